"""From an account to the verdict on its books: proved where it is healthy, told where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from payhealth import pipeline, registry
from payhealth.domain.results import CheckResult
from payhealth.matching.model import parse_rules
from payhealth.outcomes import ReconcileReport
from payhealth.pipeline import CheckJob
from tests.simulation.stripe_world import World

DAY_S = 86_400
NAMES = ("balance_identity", "payout_recon")


class Crooked(httpx.BaseTransport):
    """Passes everything on, and while ``off`` is set changes the last line of every payout's list by it."""

    def __init__(self, wire: httpx.BaseTransport) -> None:
        self._wire = wire
        self.off = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        answer = self._wire.handle_request(request)
        if not self.off or "payout" not in request.url.params:
            return answer
        body = orjson.loads(answer.content)
        body["data"][-1]["net"] += self.off
        return httpx.Response(200, json=body, headers={"date": answer.headers["date"]})


@pytest.fixture
def crooked() -> list[Crooked]:
    """What stands between the world and its account."""
    return []


@pytest.fixture
def world(crooked: list[Crooked]) -> Iterator[World]:
    """An account that sold and paid out."""

    def carried(wire: httpx.BaseTransport) -> httpx.BaseTransport:
        crooked.append(Crooked(wire))
        return crooked[0]

    made = World(carried=carried)
    for _ in range(3):
        made.happen("pay")
        made.wait(60)
    made.wait(3 * DAY_S)
    assert made.happen("pay_out")
    made.wait(60)
    yield made
    made.close()


def judged(world: World) -> tuple[ReconcileReport, dict[str, CheckResult]]:
    """Pull, reconcile and ask the two checks."""
    report = world.pull()
    assert not report.failed, report.failed
    now = world.clock.now()
    found = pipeline.reconcile(world.store, [world.source], parse_rules({}), as_of=now, history=False)
    context = pipeline.context_of(
        world.store, [world.source], now=now, intervals_s={"cards": 60.0}, time_to_clear_s=900
    )
    plugins = [plugin for plugin in registry.checks() if plugin.name in NAMES]
    jobs = [CheckJob(plugin=plugin, thresholds=plugin.defaults) for plugin in plugins]
    results = pipeline.check(jobs, world.store, context, keep=False)
    return found, {result.check: result for result in results}


def mismatches(report: ReconcileReport) -> list[dict[str, Any]]:
    """The breaks that are payouts."""
    return [row for row in report.breaks.to_pylist() if row["primary_reason"] == "payout_mismatch"]


def test_a_healthy_account_is_proved(world: World) -> None:
    """Waiting is no alarm, and once the payout arrived both checks pass and there is no break of it."""
    report, first = judged(world)
    assert first["payout_recon"].outcome == "pass"
    assert "1 wait for their proof" in first["payout_recon"].message
    world.wait(3 * DAY_S)
    report, results = judged(world)
    assert {name: str(result.outcome) for name, result in results.items()} == dict.fromkeys(NAMES, "pass")
    assert results["payout_recon"].message == "every payout of 1 is proved"
    assert mismatches(report) == []


def test_a_payout_that_differs_is_told_until_it_does_not(world: World, crooked: list[Crooked]) -> None:
    """It is a break outside the statement and a failed check; the right list of a later day resolves it."""
    judged(world)
    crooked[0].off = -5
    world.wait(3 * DAY_S)
    report, results = judged(world)
    [row] = mismatches(report)
    assert str(row["amount"]).startswith("0.05")
    assert report.exit_code() == 1
    assert results["payout_recon"].outcome == "fail"
    assert results["payout_recon"].examples == (row["break_id"],)
    assert results["balance_identity"].outcome == "pass"
    crooked[0].off = 0
    world.wait(2 * DAY_S)
    report, results = judged(world)
    assert mismatches(report) == []
    assert results["payout_recon"].outcome == "pass"
    states = {
        each["break_id"]: each["state"] for each in world.store.rows("select break_id, state from v_breaks")
    }
    assert states[row["break_id"]] == "resolved"


def test_a_payout_that_fails_and_one_by_hand_are_explained(world: World) -> None:
    """Nothing of them is an alarm."""
    world.wait(3 * DAY_S)
    judged(world)
    assert world.happen("fail_payout")
    world.wait(DAY_S)
    assert world.happen("pay_out_part", 0)
    assert world.happen("pay_out_part", 1)
    world.wait(DAY_S)
    report, results = judged(world)
    assert mismatches(report) == []
    assert {name: str(result.outcome) for name, result in results.items()} == dict.fromkeys(NAMES, "pass")
    rows = world.store.rows("select state, method from v_payout_proofs")
    assert [(row["state"], row["method"]) for row in rows] == [("explained", "booking")] * 3
