"""The balance identity: healthy books are never called wrong, and missing money is never proved for long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.connectors.stripe import balance
from payhealth.connectors.stripe.balance_state import Line, States, nearest_cut
from payhealth.connectors.stripe.client import Page
from payhealth.connectors.stripe.http import Answer
from payhealth.connectors.stripe.reading import Reading, moment_of, seconds
from payhealth.connectors.stripe.translate import Rules
from payhealth.domain.errors import SourceDataError
from payhealth.domain.money import plain, to_scaled
from payhealth.domain.records import BalanceProof, BalanceTransaction
from payhealth.ports import Batch

START_S = 1_772_323_200
MARGIN_S = 300
CENT = 10**16


@dataclass(slots=True)
class Books:
    """An account's books and its reader: the lines are what is true, the list and the balance may lag."""

    now_s: int = START_S
    margin_s: int = MARGIN_S
    lines: list[dict[str, Any]] = field(default_factory=list)
    unlisted: set[str] = field(default_factory=set)
    uncounted: set[str] = field(default_factory=set)
    extra: list[dict[str, Any]] = field(default_factory=list)
    cursor: str | None = None
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    proofs: dict[str, BalanceProof] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    provider: str = "127.0.0.1"

    def book(self, net: int, *, currency: str = "usd", ago_s: int = 0) -> str:
        """One more line; ``net`` in minor units."""
        line_id = f"txn_{len(self.lines):05d}"
        line = {"id": line_id, "object": "balance_transaction", "amount": net, "fee": 0, "net": net}
        more = {"currency": currency, "created": self.now_s - ago_s, "type": "charge", "source": None}
        self.lines.append(line | more | {"available_on": self.now_s, "livemode": False})
        return line_id

    def single(self, _: str) -> Answer:
        """The balance."""
        sums: dict[str, int] = {}
        for line in self.lines:
            if line["id"] not in self.uncounted:
                sums[line["currency"]] = sums.get(line["currency"], 0) + line["net"]
        parts = [{"currency": currency, "amount": amount} for currency, amount in sums.items()]
        body = {"available": [*parts, *self.extra], "pending": []}
        return Answer(body=body, read_at=moment_of(self.now_s), requests=1)

    def pages(self, _: str, *, created_from_s: int, created_to_s: int, expand: Any) -> Iterator[Page]:
        """The list, newest first, a hundred at once."""
        found = [line for line in self._listed() if created_from_s <= line["created"] < created_to_s][::-1]
        for start in range(0, max(1, len(found)), 100):
            page = found[start : start + 100]
            yield Page(objects=page, has_more=start + 100 < len(found), read_at=moment_of(self.now_s))

    def _listed(self) -> list[dict[str, Any]]:
        found = [line for line in self.lines if line["id"] not in self.unlisted]
        return sorted(found, key=lambda line: line["created"])

    def rows(self, _: str, bound: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What the recorded lines of a stretch come to."""
        nets = [
            row["net"]
            for row in self.kept.values()
            if row["asset"] == bound["asset"] and bound["lower"] <= row["created_at"] < bound["upper"]
        ]
        return [{"net": plain(sum(nets)) if nets else None}]

    def lookup(self, kind: type, connector: str, column: str, ids: Sequence[str]) -> pa.Table:
        """Recorded lines by their ids."""
        assert (kind, connector, column) == (BalanceTransaction, "cards", "balance_transaction_id")
        return pa.Table.from_pylist([self.kept[each] for each in ids if each in self.kept])

    def pull(self) -> dict[str, str]:
        """One pull; the verdicts by asset."""
        settings = SimpleNamespace(start=moment_of(START_S), balance_margin_s=self.margin_s)
        rules = Rules(connector="cards", account_key="account_id", reference_keys=())
        reading = Reading(name="cards", settings=settings, client=self, rules=rules)  # type: ignore[arg-type]
        table = reading.translated(balance.STREAMS[balance.LINES], self._listed()) if self._listed() else {}
        self._keep(table)
        self.batches = []
        for batch in balance.pull(reading, self.cursor, moment_of(self.now_s), self):  # type: ignore[arg-type]
            self._keep(batch.records)
            self.batches.append(batch)
            self.cursor = batch.cursor or self.cursor
        return {asset: str(proof.state) for asset, proof in self.proofs.items()}

    def _keep(self, records: Mapping[Any, Any]) -> None:
        if BalanceTransaction in records:
            rows = records[BalanceTransaction].to_pylist()
            self.kept.update({row["balance_transaction_id"]: row for row in rows})
        self.proofs.update({proof.asset: proof for proof in records.get(BalanceProof, [])})

    def proved_windows(self) -> list[tuple[int, int]]:
        """The stretches of the lines that the last pull calls proved, in unix seconds."""
        windows = [window for batch in self.batches for window in batch.windows]
        return [
            (window.lower // 10**6, window.upper // 10**6)
            for window in windows
            if window.stream == balance.LINES and not window.unproved
        ]


@pytest.fixture
def books() -> Books:
    """An account that sold something and is proved."""
    made = Books()
    made.now_s += 3_600
    made.book(1_000, ago_s=1_000)
    assert made.pull() == {"USD": "proved"}
    return made


LINES = st.lists(
    st.tuples(
        st.sampled_from([1_000, 1_000, -1_000, 250, 7]),
        st.sampled_from(["usd", "eur", "jpy"]),
        st.integers(0, 60),
    ),
    max_size=6,
)
STEPS = st.lists(
    st.tuples(st.integers(60, 2_000), LINES, st.sampled_from(["balance", "list"]), st.integers(0, 4)),
    max_size=8,
)


def step(books: Books, wait_s: int, lines: Sequence[tuple[int, str, int]]) -> list[str]:
    """Time passes and lines are booked within the last minute of it; their ids, oldest first."""
    books.now_s += wait_s
    ordered = sorted(lines, key=lambda line: -line[2])
    return [books.book(net, currency=currency, ago_s=min(ago, wait_s - 1)) for net, currency, ago in ordered]


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_lag_is_never_called_wrong(steps: Any) -> None:
    """Balance and list may each be behind by some lines: never a mismatch, and proved once neither is."""
    books = Books()
    step(books, 3_600, [(500, "usd", 30)])
    assert books.pull() == {"USD": "proved"}
    for number, (wait_s, lines, behind, count) in enumerate(steps):
        booked = step(books, wait_s, lines)
        quiet = number % 3 == 2
        late = set() if quiet else set(booked[len(booked) - count :] if count else [])
        books.uncounted, books.unlisted = (late, set()) if behind == "balance" else (set(), late)
        verdicts = books.pull()
        assert "mismatch" not in verdicts.values()
        if quiet:
            assert set(verdicts.values()) == {"proved"}
    books.uncounted, books.unlisted = set(), set()
    step(books, 600, [])
    assert set(books.pull().values()) == {"proved"}


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([1_000, -1_000, 250, -7]), st.integers(0, 200))
def test_missing_money_is_never_proved_for_long(steps: Any, net: int, gap_s: int) -> None:
    """Where only the natural cut is possible it is not proved; in the end it is a mismatch of that amount."""
    books = Books()
    step(books, 3_600, [(500, "usd", 30)])
    books.pull()
    books.now_s += 600
    books.unlisted = {books.book(net)}
    for wait_s, lines, _, _ in steps:
        # A line of the reading's own second may be in the balance or not: that is no proof either way.
        step(books, wait_s, [(each, currency, ago_s + 1) for each, currency, ago_s in lines])
        verdict = books.pull()["USD"]
        near = [line for line in books.lines if line["created"] >= books.now_s - MARGIN_S]
        if not {line["id"] for line in near if line["currency"] == "usd"} - books.unlisted:
            assert verdict != "proved"
    for _ in range(7):
        # A sale of the same amount each time, which a cut may leave out, but not near the reading.
        step(books, 400, [(abs(net), "usd", 10 + gap_s % 50)])
        verdict = books.pull()["USD"]
    assert verdict == "mismatch"
    assert to_scaled(books.proofs["USD"].difference) == net * CENT
    books.unlisted = set()
    step(books, 400, [])
    assert books.pull()["USD"] == "proved"


@pytest.mark.parametrize("ago_s", [1, 5, 6, 200])
def test_equal_sales_hide_a_missing_refund_for_three_pulls_at_most(books: Books, ago_s: int) -> None:
    """Each pull can leave out the last sale instead, however near it is: the same shift again is no lag."""
    books.unlisted = {books.book(-1_000)}
    told = []
    for _ in range(9):
        step(books, 300, [(1_000, "usd", ago_s)])
        told.append(books.pull()["USD"])
    first_waiting = 3 if ago_s <= 5 else 2
    assert told[:first_waiting] == ["proved"] * first_waiting
    assert told[first_waiting : first_waiting + 3] == ["waiting"] * 3
    assert set(told[first_waiting + 3 :]) == {"mismatch"}
    assert to_scaled(books.proofs["USD"].difference) == -1_000 * CENT


def test_a_busy_account_whose_answer_lags_by_seconds_is_proved(books: Books) -> None:
    """Lines of the last seconds are missing from each balance, never of the same amount: natural cuts."""
    for number in range(10):
        booked = step(books, 300, [(100 + number * 10 + ago, "usd", ago) for ago in range(60)])
        books.uncounted = set(booked[-3:])
        assert books.pull() == {"USD": "proved"}
        assert books.proved_windows()


def test_a_currency_that_appears_is_held_against_nothing(books: Books) -> None:
    """What no line explains is a mismatch, though no reading of that currency came before."""
    last_s = books.now_s
    books.extra = [{"currency": "eur", "amount": 7_000}]
    told = []
    for _ in range(3):
        books.now_s += 3_600
        told.append(books.pull()["EUR"])
    assert told == ["waiting", "waiting", "mismatch"]
    proof = books.proofs["EUR"]
    assert (seconds(proof.since), to_scaled(proof.difference)) == (last_s, 7_000 * CENT)


def test_a_currency_that_appears_with_its_lines_is_proved_since_then(books: Books) -> None:
    """It is proved from the last reading on; no stretch before that is called proved for all."""
    last_s = books.now_s
    step(books, 3_600, [(500, "eur", 50)])
    assert books.pull() == {"USD": "proved", "EUR": "proved"}
    assert books.proved_windows() == [(last_s, books.now_s)]


def test_an_account_read_empty_is_remembered() -> None:
    """A first currency is held against the empty reading before it."""
    books = Books(now_s=START_S + 3_600)
    assert books.pull() == {}
    books.extra = [{"currency": "usd", "amount": 5}]
    books.now_s += 3_600
    books.pull()
    books.now_s += 3_600
    books.pull()
    books.now_s += 3_600
    assert books.pull() == {"USD": "mismatch"}


def test_an_older_account_is_proved_from_its_first_reading() -> None:
    """Its balance at ``start`` is not known: nothing before the first reading is called proved."""
    books = Books(now_s=START_S + 3_600, extra=[{"currency": "usd", "amount": 77}])
    assert books.pull() == {"USD": "waiting"}
    assert books.proved_windows() == []
    first_s = books.now_s
    step(books, 3_600, [(10, "usd", 0)])
    assert books.pull() == {"USD": "proved"}
    assert books.proved_windows() == [(first_s, books.now_s)]


@pytest.mark.parametrize("currency", ["usdc", "iqd", "zz9"])
def test_a_currency_of_an_unknown_unit_waits_alone(books: Books, currency: str) -> None:
    """Nothing of it is nothing; something of it is not guessed, and everything else is judged."""
    books.extra = [{"currency": currency, "amount": 5}, {"currency": currency, "amount": -5}]
    books.now_s += 600
    assert books.pull() == {"USD": "proved"}
    assert books.proved_windows()
    books.extra = [{"currency": currency, "amount": 5}]
    for _ in range(5):
        books.now_s += 600
        assert books.pull() == {"USD": "proved", currency.upper(): "waiting"}
        assert books.proved_windows() == []


def test_a_unit_that_becomes_known_is_opened_anew(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """What there was of it is not known, so it was not nothing."""
    books.extra = [{"currency": "usdc", "amount": 5}]
    books.now_s += 600
    books.pull()
    monkeypatch.setattr(balance, "decimals_of", lambda _: 2)
    for told in ("waiting", "proved", "proved"):
        books.now_s += 600
        assert books.pull()["USDC"] == told


@pytest.mark.parametrize("part", [{}, {"currency": "", "amount": 0}, {"currency": "a b", "amount": 0}, "x"])
def test_an_answer_that_is_no_balance_is_refused(books: Books, part: Any) -> None:
    """It names no currency: nothing is said about the books."""
    books.extra = [part]
    with pytest.raises(SourceDataError, match="is no balance of Stripe's"):
        books.pull()


def test_quick_pulls_are_no_mismatch_before_a_quarter_of_an_hour(books: Books) -> None:
    """Three failed pulls count from a quarter of an hour after the first of them."""
    books.now_s += 600
    late = books.book(33)
    books.unlisted = {late}
    for _ in range(90):
        assert books.pull() == {"USD": "waiting"}
        books.now_s += 10
    assert books.pull() == {"USD": "mismatch"}
    books.unlisted = set()
    books.now_s += 10
    assert books.pull() == {"USD": "proved"}


@pytest.mark.parametrize("margin_s", [0, 60, 3_600, 86_400])
def test_another_margin_changes_no_verdict(books: Books, margin_s: int) -> None:
    """Lines from before the last reading's margin are not counted a second time."""
    step(books, 1_000, [(10, "usd", 30)])
    books.pull()
    books.margin_s = margin_s
    for _ in range(5):
        step(books, 700, [(11, "usd", 30), (12, "usd", 1)])
        assert books.pull() == {"USD": "proved"}


def test_what_is_read_again_comes_in_batches(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a difference stays, no batch holds more than so many objects and a page."""
    monkeypatch.setattr(balance, "BATCH_OBJECTS", 200)
    books.now_s += 600
    books.unlisted = {books.book(33)}
    for _ in range(900):
        books.now_s += 10
        books.book(1)
    books.now_s += 600
    assert books.pull() == {"USD": "waiting"}
    listed = [batch.objects_read for batch in books.batches[1:-1]]
    assert max(listed) == 200
    assert sum(listed) >= 900


def first_version(cursor: str) -> str:
    """The cursor as it was first written: the assets alone, without the newer keys."""
    assets = orjson.loads(cursor)["assets"]
    newer = {"failed_since_s", "shifted", "shifted_since_s"}
    old = {
        asset: {name: value for name, value in state.items() if name not in newer}
        for asset, state in assets.items()
    }
    return orjson.dumps(old).decode()


def test_a_cursor_of_the_first_version_goes_on(books: Books) -> None:
    """Its proofs are kept, and a currency that appears then was nothing at its last reading."""
    books.cursor = first_version(books.cursor or "")
    last_s = books.now_s
    step(books, 600, [(5, "usd", 0), (5, "eur", 0)])
    assert books.pull() == {"USD": "proved", "EUR": "proved"}
    assert seconds(books.proofs["EUR"].since) == last_s
    assert seconds(books.proofs["USD"].since) == START_S


@pytest.mark.parametrize(
    "cursor", ["", "[]", "7", '{"assets": 1}', '{"assets": {}}', '{"USD": 1}', '{"USD": {}}', "2026-01-01/x"]
)
def test_a_foreign_cursor_is_refused(books: Books, cursor: str) -> None:
    """Nothing is guessed from it."""
    books.cursor = cursor
    with pytest.raises(SourceDataError, match="is not one of Stripe's"):
        books.pull()


def test_a_cursor_reads_back_what_it_wrote(books: Books) -> None:
    """Also with something failed, shifted and unread."""
    books.unlisted = {books.book(33)}
    books.extra = [{"currency": "usdc", "amount": 5}]
    books.now_s += 600
    books.pull()
    states = States.parse(books.cursor)
    assert states.unread == ("USDC",)
    assert states.by_asset["USD"].attempts == 1
    assert States.parse(states.text()) == states


def test_the_nearest_cut_wins() -> None:
    """Of several cuts that fit the one that ends nearest to the reading is taken."""
    lines = [
        Line(line_id=str(at_s), asset="USD", net=net, created_s=at_s)
        for at_s, net in ((10, 5), (20, -5), (30, 5), (40, -5))
    ]
    for at_s, count, off_s in ((9, 0, 0), (25, 2, 0), (29, 2, 0), (31, 2, 1), (38, 4, 2), (50, 4, 0)):
        cut = nearest_cut(lines, {0}, at_s)
        assert cut is not None
        assert (cut.count, cut.off_s) == (count, off_s)
    assert nearest_cut(lines, {1}, 30) is None
