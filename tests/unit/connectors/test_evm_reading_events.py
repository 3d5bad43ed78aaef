"""What payment protocols say of transfers, beside the golden pairs: it never makes or moves money."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.golden.evm.regenerate import cases, expected, made_of, payload

PROTOCOLS = [name for name in cases() if name.startswith(("coinbase_", "eip3009_", "escrow_", "event_"))]
EVENTS = frozenset({"PaymentEvent", "Link"})


def named(rows: list[dict[str, Any]], record: str) -> list[dict[str, Any]]:
    """The records of one class."""
    return [row for row in rows if row["record"] == record]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_without_its_events_a_block_holds_the_same_money(name: str) -> None:
    """Movements and ignored transfers are the same whether payment events are read or not."""
    case = payload(name)
    without = made_of({**case, "settings": {**case.get("settings", {}), "payment_events": False}})
    said = [row for row in expected(name) if row["record"] not in EVENTS and row["record"] != "Rejected"]
    assert without == said


@pytest.mark.parametrize("name", PROTOCOLS)
def test_an_event_names_a_movement_or_nothing(name: str) -> None:
    """A link leads to a deposit of the same block, an event to a movement of it."""
    rows = expected(name)
    movements = {row["movement_id"]: row["kind"] for row in named(rows, "Movement")}
    assert all(row["movement_id"] in {None, *movements} for row in named(rows, "PaymentEvent"))
    assert all(movements[row["payment_key"]] == "transfer" for row in named(rows, "Link"))


@pytest.mark.parametrize("name", ["coinbase_forged", "coinbase_valueless", "coinbase_unknown_operator"])
def test_a_forged_event_leads_nowhere(name: str) -> None:
    """It is kept with its reason, names no movement, and is no other id of any payment."""
    [event] = named(expected(name), "PaymentEvent")
    assert event["ignored_reason"]
    assert event["movement_id"] is None
    assert named(expected(name), "Link") == []


def test_without_known_operators_no_coinbase_event_is_believed() -> None:
    """By default none is: a business says whose intents are its own."""
    rows = made_of({**payload("coinbase_paid"), "settings": {"coinbase_operators": []}})
    assert [row["ignored_reason"] for row in named(rows, "PaymentEvent")] == ["unknown operator"]
    assert len(named(rows, "Movement")) == 1


@pytest.mark.parametrize("name", PROTOCOLS)
def test_events_that_are_told_twice_count_once(name: str) -> None:
    """A node that repeats its logs changes nothing."""
    case = copy.deepcopy(payload(name))
    case["logs"] = [log for log in case["logs"] for _ in range(2)]
    assert made_of(case) == expected(name)


@pytest.mark.parametrize("name", ["eip3009_authorization", "coinbase_paid", "escrow_charged"])
def test_an_event_of_a_transfer_that_does_not_count_names_no_movement(name: str) -> None:
    """Dust is no payment, whatever signed it: nothing may lead to it as if it were one."""
    rows = made_of({**payload(name), "settings": {"dust": {"USDC": "1000"}}})
    movements = {row["movement_id"] for row in named(rows, "Movement")}
    assert movements == set()
    assert all(row["movement_id"] is None for row in named(rows, "PaymentEvent"))
    assert named(rows, "Link") == []
