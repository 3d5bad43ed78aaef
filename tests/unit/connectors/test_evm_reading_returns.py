"""Transfers that a reorg took and that land again: one movement each, whatever the log indexes do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.connectors.evm.reading.moves import Moves
from payhealth.connectors.evm.reading.returns import come_back
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.translate import lost_sighting, movement_table, retracted
from payhealth.connectors.evm.wire.values import Header, Transfer
from payhealth.domain.chain_records import TransferObservation
from payhealth.domain.records import Movement
from payhealth.ports import Batch
from payhealth.testing import MemoryStore
from tests.golden.evm.regenerate import DEPOSIT, OTHER_DEPOSIT, TREASURY, book
from tests.unit.connectors.evm_reading_support import AT, STRANGER, TRANSACTION, hash_of, moved

BOOK = book()
unhurried = settings(deadline=None, max_examples=60)
ID = f"{BOOK.chain}:{TRANSACTION}"
Content = tuple[str, str, int]
Landing = list[tuple[int, Content]]
"""Log index and content of each transfer."""


@dataclass
class Life:
    """A transaction that lands, is lost and lands again, with a store that keeps what is said of it."""

    store: MemoryStore
    landings: int = 0

    @property
    def stored(self) -> Stored:
        """The store, as the connector reads it."""
        return Stored(self.store, "base")

    def land(self, transfers: list[Transfer], *, again: bool = False) -> list[str]:
        """Read a block that holds these transfers; the ids that they get.

        Args:
            again: the block is the same as before, and is read once more.
        """
        self.landings += not again
        here = hash_of(self.landings)
        moves, refused = Moves.of_transfers([replace(one, block_hash=here) for one in transfers], BOOK)
        assert refused == []
        back = come_back(moves, BOOK, self.stored, after_reorgs=self.landings > 1)
        table = movement_table(moves, back.ids, {here: AT}, BOOK)
        rows = [Movement(**row) for row in table.to_pylist()]
        movements = [*back.renamed, *rows, *back.voided]
        records = {Movement: movements, TransferObservation: list(back.observations)}
        self.store.commit("base", Batch(stream="transfers", records=records))
        return list(back.ids.to_pylist())

    def lose(self) -> None:
        """A reorg takes the block."""
        standing = Header(number=7, hash=hash_of(9999), parent=hash_of(9998), at=AT)
        gone = self.stored.movements_in(7, 8, {hash_of(self.landings)})
        movements = [row for movement in gone for row in retracted(movement, standing)]
        records = {Movement: movements, TransferObservation: [lost_sighting(row) for row in gone]}
        self.store.commit("base", Batch(stream="transfers", records=records))

    def movements(self) -> list[Movement]:
        """All of them."""
        table = self.store.records(Movement).drop_columns(["recorded_at", "first_recorded_at"])
        return [Movement(**row) for row in table.to_pylist()]

    def standing(self) -> Counter[Any]:
        """What the store says that stands."""
        return Counter(
            (row.sender, row.recipient, row.amount, row.position)
            for row in self.movements()
            if row.kind != "retraction" and row.status != "retracted"
        )

    def paid(self) -> Decimal:
        """What customers paid, less what was undone."""
        total = Decimal(0)
        for row in self.movements():
            if row.kind == "transfer":
                total += row.amount
            elif row.kind == "retraction" and row.status == "succeeded":
                total -= row.amount
        return total


def transfers_of(landing: Landing) -> list[Transfer]:
    """As one block holds them."""
    return [
        moved(sender, recipient, units, position=str(index)) for index, (sender, recipient, units) in landing
    ]


def truth(landing: Landing) -> Counter[Any]:
    """What stands, by the landing itself."""
    return Counter(
        (sender, recipient, Decimal(units).scaleb(-6), str(index))
        for index, (sender, recipient, units) in landing
    )


def deposited(landing: Landing) -> Decimal:
    """What customers paid, by the landing itself."""
    return sum(
        (Decimal(units).scaleb(-6) for _, (sender, _, units) in landing if sender == STRANGER), Decimal(0)
    )


def natural(landing: Landing) -> list[str]:
    """The ids by where they stand."""
    return [f"{ID}:{index}" for index, _ in landing]


def by_the_rule(landings: list[Landing]) -> list[list[str]] | None:
    """The rule of the module, word by word: the same content at the same place among its equals is the same.

    Returns:
        The ids of each landing; None where ids collide, which is judged by other properties.
    """
    first: dict[tuple[Content, int], str] = {}
    found: list[list[str]] = []
    for landing in landings:
        places: Counter[Content] = Counter()
        ids: dict[int, str] = {}
        for index, content in sorted(landing):
            key = (content, places[content])
            places[content] += 1
            ids[index] = first.setdefault(key, f"{ID}:{index}")
        if len(set(ids.values())) < len(ids):
            return None
        found.append([ids[index] for index, _ in landing])
    return found


contents = st.tuples(
    st.sampled_from([STRANGER, STRANGER, TREASURY]),
    st.sampled_from([DEPOSIT, OTHER_DEPOSIT]),
    st.integers(1, 2),
)
landing = st.dictionaries(st.integers(0, 9) | st.integers(0, 200), contents, max_size=5).map(
    lambda found: list(found.items())
)


@unhurried
@given(st.lists(landing, min_size=1, max_size=5))
def test_the_store_always_holds_what_stands_and_nothing_twice(landings: list[Landing]) -> None:
    """Whatever a transaction does at each landing: no id twice, all of it stands, value is conserved."""
    life = Life(MemoryStore())
    for at, now in enumerate(landings):
        ids = life.land(transfers_of(now))
        assert len(set(ids)) == len(ids) == len(now)
        assert life.standing() == truth(now)
        assert life.paid() == deposited(now)
        if at + 1 < len(landings):
            life.lose()
            assert life.standing() == Counter()
            assert life.paid() == 0


@unhurried
@given(st.lists(landing, min_size=1, max_size=5))
def test_ids_follow_the_rule(landings: list[Landing]) -> None:
    """Same transaction, content and place among its equals: the id of the first sighting, and no other."""
    expected = by_the_rule(landings)
    life, told = Life(MemoryStore()), []
    for at, now in enumerate(landings):
        told.append(life.land(transfers_of(now)))
        if at + 1 < len(landings):
            life.lose()
    if expected is not None:
        assert told == expected


@unhurried
@given(st.lists(contents, min_size=1, max_size=5), st.lists(st.integers(0, 300), min_size=1, max_size=4))
def test_a_shift_of_log_indexes_changes_no_id(transfers: list[Content], shifts: list[int]) -> None:
    """The usual reorg: the same transaction, its logs moved by some places, any number of times."""
    life, first = Life(MemoryStore()), None
    for shift in shifts:
        ids = life.land(transfers_of([(shift + at, content) for at, content in enumerate(transfers)]))
        first = first or ids
        assert ids == first
        life.lose()


@unhurried
@given(st.lists(landing, min_size=2, max_size=4), st.booleans())
def test_reading_a_block_once_more_changes_nothing(landings: list[Landing], whole: bool) -> None:
    """The settling pass reads the logs again, without the coin's own moves: the same ids, no new version."""
    life = Life(MemoryStore())
    coin = [
        moved(STRANGER, DEPOSIT, 10**18, position="native", token=None),
        moved(STRANGER, DEPOSIT, 10**17, position="trace:0_1", token=None),
    ]
    for now in landings[:-1]:
        life.land([*transfers_of(now), *coin])
        life.lose()
    logs = transfers_of(landings[-1])
    ids = life.land([*logs, *coin])
    before = life.movements()
    assert life.land([*logs, *coin] if whole else logs, again=True) == (ids if whole else ids[: len(logs)])
    assert life.movements() == before


def test_where_ids_collide_each_transfer_keeps_its_own() -> None:
    """The transaction did something else: what stands where another once stood is not that other one."""
    five, six = (STRANGER, DEPOSIT, 5), (STRANGER, DEPOSIT, 6)
    life = Life(MemoryStore())
    assert life.land(transfers_of([(3, five)])) == [f"{ID}:3"]
    life.lose()
    both: Landing = [(3, six), (4, five)]
    assert life.land(transfers_of(both)) == natural(both)
    assert life.paid() == Decimal("0.000011")


def test_without_any_reorg_nothing_is_looked_up() -> None:
    """A backfill asks the store for nothing."""

    class Silent:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    moves, _ = Moves.of_transfers(transfers_of([(3, (STRANGER, DEPOSIT, 5))]), BOOK)
    back = come_back(moves, BOOK, Stored(Silent(), "base"), after_reorgs=False)  # type: ignore[arg-type]
    assert (back.ids.to_pylist(), back.observations, back.voided) == ([f"{ID}:3"], (), ())


def test_a_block_that_stands_again_has_its_sightings_back() -> None:
    """The chain returned to the lost branch: the sighting is canonical again and nothing is undone."""
    life = Life(MemoryStore())
    rows = transfers_of([(3, (STRANGER, DEPOSIT, 5))])
    life.land(rows)
    life.land(rows)  # a second block with the same transfer stands for the new branch
    life.landings = 1
    life.lose()
    assert life.stored.lost_sightings([TRANSACTION]) == []
    life.landings = 2
    life.lose()
    [lost] = life.stored.lost_sightings([TRANSACTION])
    assert (lost.block_hash, lost.canonical) == (hash_of(2), False)
    life.land(rows, again=True)
    [back] = life.stored.lost_sightings([TRANSACTION])
    assert back.canonical
    assert life.paid() == Decimal("0.000005")


def test_an_address_that_is_read_later_takes_no_other_ones_id() -> None:
    """Two deposits of one transaction, one address watched only after a reorg moved the logs by one place."""
    known, later = (STRANGER, DEPOSIT, 5), (STRANGER, OTHER_DEPOSIT, 7)
    life = Life(MemoryStore())
    life.land(transfers_of([(3, known)]))
    life.lose()
    life.land(transfers_of([(4, known)]))
    life.land(transfers_of([(3, later)]), again=True)
    assert life.paid() == Decimal("0.000012")
