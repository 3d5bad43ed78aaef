"""Explanations name the field that differs, by how much, and what a lone row might belong to."""

from __future__ import annotations

from tests.unit.matching.helpers import Row, breaks, entry, only_break, paid, run

DAY = 86_400


def texts(payments: list[Row], ledger: list[Row]) -> dict[str, str]:
    """Each break's explanation by the first id in it."""
    found = breaks(run(payments, ledger))
    return {(row["movement_ids"] + row["entry_ids"])[0]: row["explanation"] for row in found}


def test_a_lone_row_names_the_same_amount_on_another_account() -> None:
    """An entry of the same amount exists on account X, 40 s later."""
    found = texts(
        [paid("c1", "10", reference="")], [entry("e1", "10", reference="", account="bob", second=40)]
    )
    assert "an entry (e1) of the same amount exists on account bob, 40 s later" in found["c1"]
    assert "a payment (c1) of the same amount exists on account alice, 40 s earlier" in found["e1"]


def test_a_lone_row_names_the_tolerance_that_would_do() -> None:
    """Would match under tolerance 0.03."""
    found = texts([paid("c1", "10", reference="")], [entry("e1", "9.97", reference="", second=40)])
    assert "an entry (e1), 40 s later, would match under tolerance 0.03 USD" in found["c1"]


def test_far_rows_are_not_near() -> None:
    """More than the window apart, or more than a twentieth off, is no near-miss."""
    for row in (entry("e1", "10", reference="", second=2 * DAY), entry("e1", "9", reference="")):
        assert "e1" not in texts([paid("c1", "10", reference="")], [row])["c1"]


def test_the_nearest_of_several_is_named() -> None:
    """Among equal amounts the nearest in time counts."""
    ledger = [entry(f"e{n}", "10", reference="", second=second) for n, second in enumerate((-50, 30, 90))]
    assert "(e1)" in texts([paid("c1", "10", reference="")], ledger)["c1"]


def test_fees_and_parts_in_flight_are_told() -> None:
    """The arithmetic is shown: paid, expected after fees, entered, and what may still clear."""
    payments = [paid("c1", "100"), paid("c2", "50", second=30 * DAY - 10)]
    found = only_break(run(payments, [entry("e1", "80")], policy={"fee_rate": "0.1"}))["explanation"]
    assert "expected 135 USD after fees on 150, entered 80 USD, 10 USD too little, 45 USD more" in found


def test_a_missing_clawback_tells_of_what_and_how_much() -> None:
    """The kinds that nobody answered are listed with their amounts."""
    payments = [paid("c1", "10"), paid("f1", "4", kind="refund", second=DAY)]
    assert "4 USD refunded without a negative entry" in texts(payments, [entry("e1", "10")])["c1"]


def test_long_texts_of_strangers_are_cut() -> None:
    """An id or account of any length cannot drown the sentence."""
    found = texts([paid("c" * 500, "10", account="a" * 500)], [])["c" * 500]
    assert len(found) < 400


def test_many_legs_are_counted() -> None:
    """More legs than a sentence can hold are counted instead of listed."""
    payments = [paid(f"c{n}", "10", account=f"acct{n}") for n in range(9)]
    assert "and 5 more legs" in texts(payments, [])["c0"]


def test_a_break_keeps_its_id_when_a_row_joins_it() -> None:
    """The id hashes the payment key (a lone row's: its id), so that acknowledgements survive new rows."""
    before = only_break(run([paid("c1", "10")], []))["break_id"]
    assert only_break(run([paid("c1", "10")], [entry("e1", "7")]))["break_id"] == before
    assert only_break(run([paid("c0", "10", second=-5)], []))["break_id"] == before
    lone = only_break(run([paid("c1", "10", reference="")], []))["break_id"]
    assert lone != before
    assert lone != only_break(run([paid("c2", "10", reference="")], []))["break_id"]
    assert lone != only_break(run([], [entry("c1", "10", reference="")]))["break_id"]
