"""The other ids of a payment: by which of them a ledger entry may call it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.domain.records import Link, Movement
from payhealth.matching.store_aliases import aliases
from payhealth.ports import Batch
from payhealth.store import SqlStore, open_store
from payhealth.testing import samples
from tests.unit.matching.helpers import START, Row, open_why
from tests.unit.matching.test_store_inputs import CHAIN, credit, judged, stored, transfer

HASH = "0x" + "ab" * 32
OTHER = "0x" + "cd" * 32


def deposit(position: str = "7", *, now_at: str = "", **columns: Any) -> Row:
    """A final deposit of 10 USDC to alice; ``now_at`` is where a reorg moved it to."""
    where = {"chain": CHAIN, "position": now_at or position, "block_hash": "0xb1"}
    return transfer(f"{CHAIN}:{HASH}:{position}", block=1, **{**where, **columns})


def pairs(*movements: Row, links: tuple[Row, ...] = ()) -> set[tuple[str, str]]:
    """Alias and payment key."""
    found = aliases(stored(Movement, movements), stored(Link, links))
    return set(zip(found["alias"].to_pylist(), found["payment_key"].to_pylist(), strict=True))


@pytest.mark.parametrize("reference", [f"{CHAIN}:{HASH}:7", f"{HASH}:7", f"{HASH}:5", HASH, HASH.upper()])
def test_a_deposit_answers_to_its_transaction(reference: str) -> None:
    """By the whole id, with the first position or the present one, or by the bare hash in any case."""
    assert judged([deposit(now_at="5")], [credit("e1", reference)]).matches.num_rows == 1


@pytest.mark.parametrize("reference", [f"{HASH}:6", OTHER, HASH[:-1], f"{HASH}:", "7"])
def test_a_deposit_answers_to_nothing_else(reference: str) -> None:
    """Another position, another transaction or half a hash names another payment."""
    assert judged([deposit()], [credit("e1", reference)]).breaks.num_rows == 2


def test_a_bare_hash_gathers_the_deposits_of_its_transaction() -> None:
    """Two customers' deposits in one transaction are cut by account; swapped credits do not cancel."""
    movements = [deposit("7"), deposit("9", account="bob", amount=Decimal(4))]
    entries = [credit("e1", HASH), credit("e2", HASH, account="bob", amount=Decimal(4))]
    assert judged(movements, entries).breaks.num_rows == 0
    swapped = [credit("e1", HASH, account="bob"), credit("e2", HASH, amount=Decimal(4))]
    assert judged(movements, swapped).breaks.num_rows == 1


def test_named_by_position_each_deposit_stands_alone() -> None:
    """Two deposits of one transaction share nothing where no entry names the bare hash."""
    entries = [credit("e1", f"{HASH}:7"), credit("e2", f"{HASH}:9")]
    assert judged([deposit("7"), deposit("9")], entries).matches.num_rows == 2


@pytest.mark.parametrize("kind", ["internal", "outgoing", "funding"])
def test_only_a_payment_answers_to_the_bare_hash(kind: str) -> None:
    """A sweep in the same transaction is named by its position alone."""
    moved = deposit(kind=kind)
    assert pairs(moved) == {(f"{HASH}:7", moved["payment_key"])}


def test_a_withdrawal_goes_by_its_whole_id() -> None:
    """It has no transaction; its number alone would be a name on every chain that has withdrawals."""
    withdrawal = deposit(movement_id=f"{CHAIN}:withdrawal:12", position="")
    assert pairs(withdrawal) == set()


def test_a_retracted_deposit_keeps_its_names() -> None:
    """Credited by the bare hash and lost to a reorg is one break, not a credit of nothing."""
    lost = deposit(status="retracted")
    undone = deposit(
        movement_id=f"{lost['movement_id']}:retraction",
        kind="retraction",
        status="succeeded",
        payment_key=lost["movement_id"],
    )
    outcome = judged([lost, undone], [credit("e1", HASH)])
    assert outcome.breaks["primary_reason"].to_pylist() == ["reorg_not_clawed_back"]
    assert pairs(lost, undone) == pairs(lost)


def test_links_of_sources_stand_beside() -> None:
    """What a source says itself is kept, for payments of every rail."""
    link = {"connector": "base", "alias": "cs_1", "payment_key": "pi_1"}
    assert ("cs_1", "pi_1") in pairs(deposit(), links=(link,))
    assert (
        judged(
            [transfer("pi_1", block=1, kind="charge", rail="card", status="succeeded", chain=None)],
            [credit("e1", "cs_1")],
            links=[link],
        ).matches.num_rows
        == 1
    )


def naive(row: Row) -> Iterator[tuple[str, str]]:
    """The aliases of one chain movement, said again in the plainest way."""
    transaction, _, position = row["movement_id"].removeprefix(f"{row['chain']}:").partition(":")
    if row["kind"] == "retraction" or not transaction.startswith("0x"):
        return
    names = {f"{transaction}:{position}", f"{transaction}:{row['position']}"}
    yield from ((name, row["payment_key"]) for name in names)
    if row["kind"] == "transfer":
        yield transaction, row["payment_key"]


positions = st.sampled_from(["0", "7", "15", "native", "mint", "trace:0", "trace:0_1"])
movement_rows = st.builds(
    lambda number, first, now, kind, status, chain: transfer(
        f"{chain}:0x{number:064x}:{first}",
        block=1,
        position=now,
        kind=kind,
        status=status,
        chain=chain,
    ),
    st.integers(0, 3),
    positions,
    positions,
    st.sampled_from(["transfer", "internal", "outgoing", "funding", "retraction"]),
    st.sampled_from(["seen", "retracted"]),
    st.sampled_from([CHAIN, "eip155:1"]),
)


@given(st.lists(movement_rows, max_size=8))
@settings(max_examples=40, deadline=None)
def test_aliases_are_those_of_each_movement_alone(rows: list[Row]) -> None:
    """Set-based or one by one: the same names, whatever stands beside."""
    assert pairs(*rows) == {pair for row in rows for pair in naive(row)}


@pytest.fixture
def store(store_url: str) -> Iterator[SqlStore]:
    """A store of this version, on either database."""
    if store_url.startswith("postgresql"):
        from payhealth.store import upgrade

        upgrade(store_url)
    opened = open_store(store_url)
    yield opened
    opened.close()


def _movement(row: Row) -> Movement:
    return Movement(**{field.name: row[field.name] for field in fields(Movement) if field.name in row})


def test_they_are_the_names_that_the_view_shows(store: SqlStore) -> None:
    """What a run resolves by is what v_links tells people and checks."""
    swept = deposit("9", kind="internal")
    lost = deposit("11", now_at="10", status="retracted")
    undone = deposit("11", movement_id=f"{lost['movement_id']}:retraction", kind="retraction")
    rows = [deposit("7", now_at="5"), deposit("native"), deposit("trace:0_1"), swept, lost, undone]
    card = samples.movement("ch_1", connector="base", effective_at=START + timedelta(days=1))
    link = Link(connector="base", alias="ch_1", payment_key="pi_ch_1")
    records = {Movement: [*(_movement(row) for row in rows), card], Link: [link]}
    store.commit("base", Batch(stream="transfers", records=records))
    found = aliases(store.records(Movement), store.records(Link)).to_pylist()
    assert {(row["connector"], row["alias"], row["payment_key"]) for row in found} == {
        (row["connector"], row["alias_id"], row["payment_key"])
        for row in store.rows("select connector, alias_id, payment_key from v_links")
    }
    assert len(found) == len({tuple(row.values()) for row in found}) == 12


def test_an_unresolved_name_leaves_both_sides_waiting() -> None:
    """Before it is final a deposit named by the bare hash is in flight."""
    outcome = judged([deposit(block_number=99)], [credit("e1", HASH)])
    assert open_why(outcome)[f"{CHAIN}:{HASH}:7"] == "in_flight"
