"""Transfers as columns: what each is, which are dust, and which logs are asked for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from payhealth.connectors.evm.reading.book import kind_of
from payhealth.connectors.evm.reading.filters import LogFilters
from payhealth.connectors.evm.reading.moves import Moves, concerning
from payhealth.connectors.evm.reading.translate import movement_id, sorted_out, transaction_of
from payhealth.connectors.evm.rpc.node import Place
from payhealth.connectors.evm.wire.columns import log_columns
from payhealth.connectors.evm.wire.events import ESCROW, LOG_TRANSFER, TRANSFERRED
from payhealth.connectors.evm.wire.values import TRANSFER, padded
from payhealth.domain.records import MovementKind
from tests.golden.evm.regenerate import DEPOSIT, OPERATOR, OTHER_DEPOSIT, TREASURY, book, settings
from tests.unit.connectors.evm_reading_support import STRANGER, USDC, log, moved, reading_of

unhurried = examples(deadline=None)
ENDS = [DEPOSIT, OTHER_DEPOSIT, TREASURY, OPERATOR, STRANGER, "0x" + "0" * 40]
ends = st.sampled_from(ENDS)
positions = st.one_of(
    st.integers(0, 10**6).map(str),
    st.sampled_from(["native", "mint"]),
    st.integers(0, 9).map(lambda place: f"trace:0_{place}"),
    st.integers(0, 9).map(lambda index: f"withdrawal:{index}"),
)

RANGE = Place(lower=0, upper=9)


@unhurried
@given(st.lists(st.tuples(ends, ends, positions), max_size=12))
def test_kinds_by_column_are_the_kinds_one_by_one(rows: list[tuple[str, str, str]]) -> None:
    """The quick way and the plain rule agree on every row."""
    transfers = [moved(sender, recipient, position=position) for sender, recipient, position in rows]
    moves, _ = Moves.of_transfers(transfers, book())
    expected = [str(kind_of(sender, recipient, position, book())) for sender, recipient, position in rows]
    assert moves.kinds(book()).to_pylist() == expected


@unhurried
@given(st.lists(st.tuples(ends, ends, positions), max_size=12))
def test_ids_by_column_are_the_ids_one_by_one(rows: list[tuple[str, str, str]]) -> None:
    """Chain, transaction and position; a withdrawal has no transaction, and tells of none."""
    transfers = [
        moved(
            sender,
            recipient,
            position=position,
            transaction_hash="" if position.startswith("withdrawal") else "0x" + "ee" * 32,
        )
        for sender, recipient, position in rows
    ]
    moves, _ = Moves.of_transfers(transfers, book())
    expected = [movement_id(one.transaction_hash, one.position, book()) for one in transfers]
    assert moves.natural_ids(book().chain).to_pylist() == expected
    assert [transaction_of(name, book().chain) for name in expected] == [
        one.transaction_hash for one in transfers
    ]


def test_ids_name_chain_transaction_and_log() -> None:
    """The ids are those of the documented views: hashes in lower case, the log index in decimal."""
    raw = log(STRANGER, DEPOSIT, index=171, transactionHash="0x" + "AB" * 32)
    moves, _ = Moves.of_logs(log_columns([raw])[0], book())
    assert moves.natural_ids("eip155:8453").to_pylist() == [f"eip155:8453:0x{'ab' * 32}:171"]


@unhurried
@given(st.lists(st.tuples(ends, ends, st.integers(0, 2**256 - 1) | st.integers(0, 50)), max_size=8))
def test_logs_and_single_transfers_become_the_same_moves(rows: list[tuple[str, str, int]]) -> None:
    """However a transfer was read, its row is the same; what has no amount is told with the same reason."""
    logs, bad = log_columns([log(sender, to, units, index=at) for at, (sender, to, units) in enumerate(rows)])
    assert bad == []
    by_column, refused_rows = Moves.of_logs(logs, book())
    singly, refused = Moves.of_transfers(
        [moved(sender, to, units, position=str(at)) for at, (sender, to, units) in enumerate(rows)], book()
    )
    assert by_column.rows() == singly.rows()
    assert [(str(row), reason) for row, reason in refused_rows] == [
        (transfer.position, reason) for transfer, reason in refused
    ]


@unhurried
@given(st.lists(st.tuples(ends, ends), max_size=10), st.sets(ends))
def test_what_concerns_the_watched_is_kept_and_nothing_else(
    rows: list[tuple[str, str]], watched: set[str]
) -> None:
    """An end among the watched addresses, in the order of the logs."""
    reading = reading_of([log(sender, to, index=at) for at, (sender, to) in enumerate(rows)], book(), watched)
    logs = reading.all_logs()
    expected = [at for at, pair in enumerate(rows) if watched & set(pair)]
    assert logs.log_index.tolist() == expected
    assert len(concerning(logs, book().ours)) <= len(logs)


@pytest.mark.parametrize(
    ("sender", "recipient", "units", "is_dust"),
    [
        (STRANGER, DEPOSIT, 9_999, True),
        (STRANGER, DEPOSIT, 10_000, False),
        (STRANGER, DEPOSIT, 10_001, False),
        (STRANGER, DEPOSIT, 1, True),
        (OPERATOR, DEPOSIT, 1, False),
        (DEPOSIT, TREASURY, 1, False),
        (TREASURY, STRANGER, 1, False),
    ],
)
def test_dust_is_a_deposit_below_the_threshold(
    sender: str, recipient: str, units: int, is_dust: bool
) -> None:
    """Only what a stranger pays can be dust, and the threshold itself is no dust."""
    dusty = book(dust={"USDC": "0.01"})
    found = sorted_out(reading_of([log(sender, recipient, units)], dusty).all_logs(), [], dusty)
    assert (len(found.moves), len(found.ignored)) == ((0, 1) if is_dust else (1, 0))
    if is_dust:
        assert found.ignored[0][1] == "dust: below 0.01 USDC"


def test_dust_is_told_by_asset() -> None:
    """A threshold of one asset says nothing of another; zero is zero, not dust."""
    dusty = book(dust={"USDC": "0.01"})
    coin = moved(STRANGER, DEPOSIT, 1, position="native", token=None)
    found = sorted_out(reading_of([log(STRANGER, DEPOSIT, 0)], dusty).all_logs(), [coin], dusty)
    assert [row["position"] for row in found.moves.rows()] == ["native"]
    assert [reason for _, reason in found.ignored] == ["zero value"]
    both = book(dust={"USDC": "0.01", "native": "0.000000000000000002"})
    assert sorted_out(reading_of([], both).all_logs(), [coin], both).ignored[0][0]["amount"] == Decimal(
        "1e-18"
    )


def test_without_a_threshold_the_smallest_payment_counts() -> None:
    """Nothing is dust unless it was said to be."""
    found = sorted_out(reading_of([log(STRANGER, DEPOSIT, 1)], book()).all_logs(), [], book())
    assert [row["amount"] for row in found.moves.rows()] == [Decimal("0.000001")]


def addresses(count: int) -> list[str]:
    """So many addresses."""
    return [f"0x{number:040x}" for number in range(1, count + 1)]


def filters(count: int, **changes: Any) -> LogFilters:
    """The filters for so many addresses on Base."""
    return LogFilters(settings(**changes), addresses(count))


def told(found: list[dict[str, Any]], topic: str, place: int) -> list[str]:
    """The addresses that the filters of an event ask for at one end, with repetitions."""
    return [
        each
        for one in found
        if one["topics"][0] == topic and len(one["topics"]) == place + 1 and one["topics"][place] is not None
        for each in one["topics"][place]
    ]


@unhurried
@given(st.integers(1, 40), st.integers(1, 12), st.integers(2, 16))
def test_every_address_is_asked_for_at_both_ends_or_all_is_read(count: int, chunk: int, most: int) -> None:
    """Each address once as sender and once as recipient, never more in a filter than it takes; else whole."""
    found = filters(count, addresses_per_filter=chunk, most_filters=most).build(RANGE)
    transfers = [one for one in found if one["topics"][0] == TRANSFER]
    words = [padded(address) for address in addresses(count)]
    if 2 * -(-count // chunk) > most:
        assert transfers == [{"address": [USDC], "topics": [TRANSFER]}]
        return
    assert len(transfers) <= most
    for place in (1, 2):
        assert sorted(told(found, TRANSFER, place)) == words
    assert all("address" not in one for one in transfers)
    assert all(len(part) <= chunk for one in transfers for part in one["topics"][1:] if part)


def test_polygon_logs_its_coin_at_the_second_and_third_place() -> None:
    """``LogTransfer`` names the coin's contract first; the ends follow it."""
    found = filters(3, chain_id=137, assets=["native"]).build(RANGE)
    words = [padded(address) for address in addresses(3)]
    coin = "0x0000000000000000000000000000000000001010"
    assert [one for one in found if one["topics"][0] == LOG_TRANSFER] == [
        {"address": [coin], "topics": [LOG_TRANSFER, None, None, words]},
        {"address": [coin], "topics": [LOG_TRANSFER, None, words]},
    ]
    whole = filters(3, chain_id=137, assets=["native"], addresses_per_filter=1, most_filters=2).build(RANGE)
    assert [one for one in whole if one["topics"][0] == LOG_TRANSFER] == [
        {"address": [coin], "topics": [LOG_TRANSFER]}
    ]


def test_events_are_asked_for_of_known_contracts_only() -> None:
    """Coinbase's and the escrow's; none where they are switched off or the chain has none."""
    [events] = [one for one in filters(1).build(RANGE) if isinstance(one["topics"][0], list)]
    assert set(events["topics"][0]) == {TRANSFERRED, *ESCROW}
    assert events["address"] == sorted([*settings().info.coinbase_transfers, *settings().info.escrows])
    for changes in ({"payment_events": False}, {"chain_id": 42161}):
        assert all(isinstance(one["topics"][0], str) for one in filters(1, **changes).build(RANGE))


def test_filters_are_split_until_one_address_is_left_or_all_is_read() -> None:
    """A node that takes fewer addresses gets fewer; where that makes too many filters, all logs are read."""
    found = filters(8, addresses_per_filter=8, most_filters=64)
    sizes = []
    for _ in range(10):
        sizes.append(max(len(part) for one in found.build(RANGE) for part in one["topics"][1:] if part))
        if not found.split():
            break
    assert sizes == [8, 4, 2, 1]
    few = filters(8, addresses_per_filter=8, most_filters=4)
    assert few.split()
    assert few.split()
    assert (few.shape, few.split()) == ("whole/2", False)


def test_another_shape_is_another_word() -> None:
    """The planner must not take the limits of one kind of filter for those of another."""
    shapes = {
        filters(8).shape,
        filters(8, addresses_per_filter=2).shape,
        filters(8, addresses_per_filter=1, most_filters=2).shape,
    }
    assert len(shapes) == 3


def test_kinds_are_words_of_the_records() -> None:
    """What a column says is what a movement's kind may be."""
    moves, _ = Moves.of_transfers([moved(STRANGER, DEPOSIT)], book())
    assert moves.kinds(book()).to_pylist() == [MovementKind.TRANSFER.value]
