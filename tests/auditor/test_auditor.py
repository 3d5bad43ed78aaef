"""The auditor sees every kind of damage: a store that is right is made wrong in one place at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from payhealth.domain import records
from tests.auditor import audit
from tests.simulation.stripe_world import NAME, START, World

LIVED = (
    *("pay", "hold", "capture_part", "pay", "refund", "pay", "dispute", "win", "pay", "refund_pending"),
    *("refund_settles", "refund_fails", "decline", "retry", "pay", "inquiry", "warn", "setup", "intent"),
    *("session", "session_pays", "invoice", "invoice_pays", "pay_out", "hold"),
)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A busy account, pulled whole."""
    made = World()
    for step in LIVED:
        assert made.happen(step), step
        made.wait(90_000)
    assert not made.pull().failed
    assert made.differences() == []
    yield made
    made.close()


class Tampered:
    """A store whose rows of one class go through a change on their way out."""

    def __init__(self, store: Any, kind: type[records.Record], change: Callable[[list[Any]], None]) -> None:
        self._store, self._kind, self._change = store, kind, change

    def records(self, record_type: type[records.Record]) -> Any:
        """Rows, changed where they are of the class."""
        rows = self._store.records(record_type).to_pylist()
        if record_type is self._kind:
            self._change(rows)
        return _Rows(rows)


class _Rows:
    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def to_pylist(self) -> list[Any]:
        """The rows."""
        return self._rows


def _differences(world: World, kind: type[records.Record], change: Callable[[list[Any]], None]) -> list[str]:
    return audit(world.account, Tampered(world.store, kind, change), connector=NAME, start=START)


CLASSES = (
    *(records.Charge, records.Refund, records.Dispute, records.PaymentIntent, records.SetupIntent),
    *(records.EarlyFraudWarning, records.CheckoutSession, records.Invoice, records.Payout),
    *(records.BalanceTransaction, records.Movement, records.PaymentClaim),
)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_row_that_is_missing_is_seen(world: World, kind: type[records.Record]) -> None:
    """Every class has rows here, and not one of the counting ones may go."""
    count = world.store.records(kind).num_rows
    assert count
    for place in range(count):
        row = world.store.records(kind).to_pylist()[place]
        if kind is records.Movement and row["status"] != "succeeded":
            continue
        assert _differences(world, kind, lambda rows, place=place: rows.pop(place) and None), row


@pytest.mark.parametrize("kind", CLASSES[:-1])
def test_a_row_that_stands_twice_is_seen(world: World, kind: type[records.Record]) -> None:
    """A record is current once."""
    assert _differences(world, kind, lambda rows: rows.append(dict(rows[0])))


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("amount", lambda value: value + Decimal("0.01")),
        ("asset", lambda _: "EUR"),
        ("account", lambda _: "somebody-else"),
        ("kind", lambda value: "transfer"),
        ("status", lambda value: "pending" if value == "succeeded" else "succeeded"),
        ("payment_key", lambda value: value + "x"),
        ("effective_at", lambda value: value + timedelta(seconds=1)),
        ("movement_id", lambda value: "ch_nobody_knows"),
        ("rail", lambda _: "chain"),
    ],
)
def test_a_movement_that_is_altered_is_seen(world: World, column: str, change: Callable[[Any], Any]) -> None:
    """Each field that the text fixes, of each movement that counts."""
    rows = world.store.records(records.Movement).to_pylist()
    for place, row in enumerate(rows):
        if row["status"] != "succeeded":
            continue

        def alter(rows: list[Any], place: int = place, old: Any = row[column]) -> None:
            rows[place][column] = change(old)

        assert _differences(world, records.Movement, alter), row


def test_two_payments_under_one_key_are_seen(world: World) -> None:
    """Movements and links of one payment are put under another's key."""
    movements = world.store.records(records.Movement).to_pylist()
    first, second = (row["payment_key"] for row in (movements[0], movements[-1]))
    assert first != second

    def merge(rows: list[Any]) -> None:
        for row in rows:
            row["payment_key"] = first if row["payment_key"] == second else row["payment_key"]

    assert _differences(world, records.Movement, merge)
    assert _differences(world, records.Link, merge)


def test_a_link_that_leads_astray_is_seen(world: World) -> None:
    """Each alias of a payment that collected money leads to it and nowhere else."""
    stray = {"connector": NAME, "alias": "", "payment_key": "pi_stray"}
    paid = [row for row in world.account.charges.since(None) if row["captured"]]
    for charge in paid:
        found = _differences(
            world, records.Link, lambda rows, c=charge: rows.append({**stray, "alias": c["id"]})
        )
        assert any(charge["id"] in difference for difference in found)


def test_an_account_that_went_on_is_seen(world: World) -> None:
    """What happened after the pull is missing, and said to be."""
    later = World()
    try:
        later.happen("pay")
        later.wait(2)
        assert not later.pull().failed
        for step in ("refund_part", "dispute_part", "pay", "warn"):
            before = later.differences()
            assert later.happen(step), step
            assert len(later.differences()) > len(before), step
    finally:
        later.close()
