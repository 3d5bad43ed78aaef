"""The ledger agrees with the payments exactly, but for what the truth says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from payhealth.sandbox.business import DEFAULT_FAULTS, CreditsBusiness, PlantedFault
from tests.oracle import reconcile
from tests.sandbox.test_business_books import Leg, Seen, keep_books, observe_fakes
from tests.sandbox.test_business_fakes import START, FakeChain, FakeProcessor

SEEDS = (1, 2, 3, 7, 20_261_123)
POLICIES = [{"asset": "", "time_to_clear_s": 900}]


def play(
    folder: Path, *, seed: int, days: int = 14, faults: Mapping[str, int] = DEFAULT_FAULTS, phases: int = 2
) -> tuple[CreditsBusiness, Seen]:
    """Play a history on the doubles and look at it."""
    processor, chain = FakeProcessor(), FakeChain()
    ledger = folder / "ledger.db"
    with CreditsBusiness(
        seed=seed,
        start=START,
        end=START + timedelta(days=days, hours=5, minutes=7),
        processor=processor,
        chain=chain,
        ledger_path=ledger,
        truth_path=folder / "truth.json",
        faults=faults,
    ) as business:
        business.run_until_before_reorg()
        if phases == 2:
            business.run_to_end()
    return business, observe_fakes(business, processor, chain, ledger)


def truth_by_key(faults: tuple[PlantedFault, ...], keys: set[str]) -> dict[str, PlantedFault]:
    """Each fault under the payment or entry that a bookkeeper would find it at."""
    found = {}
    for fault in faults:
        (key,) = keys & set(fault.ids)
        assert key not in found
        found[key] = fault
    return found


def summed(legs: dict[Leg, Decimal], asset: str) -> Decimal:
    """Residuals of an asset over all accounts."""
    assert {of for _, of in legs} == {asset}
    return sum(legs.values(), Decimal(0))


@pytest.mark.parametrize("seed", SEEDS)
def test_residuals_are_exactly_the_planted_ones(seed: int, tmp_path: Path) -> None:
    """Payment by payment, expected less entered is 0, or it is a planted fault's amount and leg."""
    business, seen = play(tmp_path, seed=seed)
    residuals = keep_books(seen).residuals()
    truth = truth_by_key(business.truth.faults, set(residuals))
    assert set(truth) == set(residuals)
    for key, fault in truth.items():
        legs = residuals[key]
        assert summed(legs, fault.asset) == Decimal(fault.amount), fault
        assert max(map(abs, legs.values())) == Decimal(fault.at_risk), fault
        assert any(account == fault.account for account, _ in legs), fault


@pytest.mark.parametrize("seed", SEEDS)
def test_the_oracle_finds_the_planted_reasons(seed: int, tmp_path: Path) -> None:
    """An oracle of the matching rules finds each planted reason, amount and ids, and no other break."""
    business, seen = play(tmp_path, seed=seed)
    payments, ledger = keep_books(seen).for_oracle()
    result = reconcile(payments, ledger, policies=POLICIES, rules=None, as_of=business.window.end)
    found = sorted(
        (broken.primary_reason, broken.amount, broken.at_risk, broken.asset)
        for broken in result.breaks.values()
    )
    planted = sorted(
        (fault.reason, Decimal(fault.amount), Decimal(fault.at_risk), fault.asset)
        for fault in business.truth.faults
    )
    assert found == planted
    rows = {frozenset(id_.split(":retr")[0].split(":won")[0] for _, id_ in group) for group in result.breaks}
    assert rows == {frozenset(fault.ids) for fault in business.truth.faults}
    assert not result.open


@pytest.mark.parametrize("days", [1, 2, 14])
def test_every_fault_is_planted_as_often_as_asked(days: int, tmp_path: Path) -> None:
    """Short histories hold every kind of fault too."""
    business, _ = play(tmp_path, seed=5, days=days)
    planted: dict[str, int] = {}
    for fault in business.truth.faults:
        planted[fault.fault] = planted.get(fault.fault, 0) + 1
    assert planted == dict(DEFAULT_FAULTS)


def test_faults_never_meet(tmp_path: Path) -> None:
    """No two faults are on one account, so that no rule can settle one with the other."""
    business, _ = play(tmp_path, seed=5)
    accounts = [fault.account for fault in business.truth.faults]
    assert len(accounts) == len(set(accounts))


def test_without_faults_nothing_is_wrong(tmp_path: Path) -> None:
    """A business that makes no mistakes has a ledger that agrees to the last unit, reorg or not."""
    business, seen = play(tmp_path, seed=4, faults={})
    assert business.truth.faults == ()
    assert keep_books(seen).residuals() == {}


def test_before_the_reorg_its_fault_is_not_yet_one(tmp_path: Path) -> None:
    """The truth is written at the moment of planting: an early credit is a fault once the reorg came."""
    first = tmp_path / "first"
    first.mkdir()
    business, _ = play(first, seed=6, phases=1)
    assert "credited_before_reorg" not in {fault.fault for fault in business.truth.faults}
    moments = [fault.planted_at for fault in business.truth.faults]
    assert moments == sorted(moments)


def test_truth_is_written_as_json(tmp_path: Path) -> None:
    """The file holds the seed, every fault and the burst, amounts as exact strings."""
    business, _ = play(tmp_path, seed=9)
    document = json.loads((tmp_path / "truth.json").read_text("utf-8"))
    assert document == json.loads(json.dumps(business.truth.document()))
    assert document["seed"] == 9
    assert [check["check"] for check in document["checks"]] == ["failure_rate"]
    assert all(isinstance(fault["amount"], str) for fault in document["faults"])


def test_a_seed_gives_the_same_history_again(tmp_path: Path) -> None:
    """Same seed and window: same ledger rows, ids, transfers and truth; another seed: others."""
    histories = []
    for name, seed in (("one", 11), ("two", 11), ("three", 12)):
        folder = tmp_path / name
        folder.mkdir()
        business, seen = play(folder, seed=seed, days=2)
        histories.append((seen.entries, seen.charges, seen.transfers, business.truth.document()))
    assert histories[0] == histories[1]
    assert histories[0][0] != histories[2][0]


@pytest.mark.parametrize("faults", [{"lost_webhok": 1}, {"lost_webhook": -1}, {"credited_before_reorg": 2}])
def test_impossible_faults_are_refused(faults: dict[str, int], tmp_path: Path) -> None:
    """A fault that does not exist, or cannot happen that often, is refused by name."""
    (name,) = faults
    with pytest.raises(ValueError, match=name):
        play(tmp_path, seed=1, faults=faults)
