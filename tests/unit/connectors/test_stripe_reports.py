"""Reports: asked for, waited for, read exactly, and held against what the lists give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from payhealth.connectors.stripe import report_history, report_rows
from payhealth.connectors.stripe.errors import NotPermittedError
from payhealth.connectors.stripe.http import Answer
from payhealth.connectors.stripe.report_history import LEFT_OUT, backfill
from payhealth.connectors.stripe.report_rows import ACTIVITY, PAYOUTS, Part
from payhealth.connectors.stripe.reports import (
    Prepared,
    Waiting,
    history,
    payout_composition,
    prepared,
)
from payhealth.connectors.stripe.source import rules_of
from payhealth.connectors.stripe.windows import Cursor
from payhealth.domain.errors import SourceDataError, SourceRefusedError, SourceUnavailableError
from payhealth.domain.records import BalanceTransaction, Payout
from payhealth.domain.times import to_us
from tests.unit.connectors.books_support import NAME, Books, Patience, day

FROM_S = to_us(day(0)) // 1_000_000
TO_S = to_us(day(31)) // 1_000_000
RULES = rules_of(NAME, Books().reading.settings, live=False)
URL = "https://files.stripe.com/v1/files/file_1/contents"


def line(line_id: str = "txn_1", **values: str) -> dict[str, str]:
    """One line of the report: a charge of 10.50 USD."""
    given = {
        "balance_transaction_id": line_id,
        "created_utc": "2026-01-02 03:04:05",
        "available_on_utc": "2026-01-04 00:00:00",
        "currency": "usd",
        "gross": "10.50",
        "fee": "0.61",
        "net": "9.89",
        "reporting_category": "charge",
        "source_id": "ch_1",
        "charge_id": "ch_1",
        "customer_facing_currency": "usd",
    }
    return given | values


def csv(*lines: dict[str, str] | str, columns: tuple[str, ...] = ACTIVITY) -> list[bytes]:
    """A file's lines; one that is a text stands as it is."""
    texts = [each if isinstance(each, str) else ",".join(each[name] for name in columns) for each in lines]
    return [",".join(columns).encode(), *(text.encode() for text in texts)]


@dataclass
class FakeStripe:
    """Makes one report: its run is pending so often, then as ``run`` says.

    Args:
        run: what the run says at the end, over a success.
        size: what Stripe says of the file's size; the true one unless given.
    """

    lines: list[bytes]
    pending: int = 0
    run: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None
    failure: Exception | None = None
    posted: list[Mapping[str, Any]] = field(default_factory=list)
    given: int = 0
    polls: int = 0

    def post(self, path: str, form: Mapping[str, str | list[str]]) -> Any:
        """A new run."""
        assert path == "/v1/reporting/report_runs"
        if self.failure is not None:
            raise self.failure
        self.posted.append(form)
        return self._run()

    def fetch(self, resource: str, object_id: str, *, expand: tuple[str, ...] = ()) -> Answer:
        """The run, or what a report type has."""
        if resource == "reporting/report_types":
            body = {"data_available_start": FROM_S, "data_available_end": TO_S}
            return Answer(body=body, read_at=None, requests=1)
        assert (resource, object_id, expand) == ("reporting/report_runs", "frr_1", ())
        self.polls += 1
        return Answer(body=self._run(), read_at=None, requests=1)

    def _run(self) -> dict[str, Any]:
        run = {"id": "frr_1", "object": "reporting.report_run", "livemode": False, "result": None}
        if self.polls < self.pending:
            return {**run, "status": "pending"}
        whole = sum(len(each) + 1 for each in self.lines)
        file = {"id": "file_1", "url": URL, "size": whole if self.size is None else self.size}
        return {**run, "status": "succeeded", "result": file, **self.run}

    def stream_lines(self, url: str) -> Iterator[bytes]:
        """The file."""
        assert url == URL
        for each in self.lines:
            self.given += 1
            yield each


def told(*lines: dict[str, str] | str) -> tuple[list[dict[str, Any]], list[str], int]:
    """The records, the untold ids and the lost lines of a report."""
    parts = read(FakeStripe(csv(*lines)))
    rows = [row for part in parts for row in part.told.to_pylist()]
    return rows, [found for part in parts for found in part.untold], sum(part.lost for part in parts)


def read(client: FakeStripe, waiting: Waiting | None = None) -> list[Part]:
    """The whole history of January."""
    return list(history(client, RULES, from_s=FROM_S, to_s=TO_S, waiting=waiting))


def patient(**how: Any) -> tuple[Waiting, Patience]:
    """Waiting that takes no time."""
    clock = Patience()
    return Waiting(sleep=clock.sleep, monotonic=clock.monotonic, **how), clock


def test_a_line_is_the_record_that_the_list_gives() -> None:
    """Major units become exact decimals, UTC texts moments, the category a type."""
    [row], untold, lost = told(line())
    assert (untold, lost) == ([], 0)
    assert row == {
        "connector": NAME,
        "balance_transaction_id": "txn_1",
        "source_id": "ch_1",
        "type": "charge",
        "reporting_category": "charge",
        "amount": Decimal("10.5"),
        "fee": Decimal("0.61"),
        "net": Decimal("9.89"),
        "asset": "USD",
        "exchange_rate": None,
        "created_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "available_at": datetime(2026, 1, 4, tzinfo=UTC),
    }


@pytest.mark.parametrize(
    ("category", "source", "charge", "kind"),
    [
        ("charge", "ch_1", "ch_1", "charge"),
        ("charge", "py_1", "py_1", "payment"),
        ("refund", "re_1", "ch_1", "refund"),
        ("refund", "pyr_1", "py_1", "payment_refund"),
        ("refund", "re_1", "py_1", None),
        ("charge", "", "", None),
        ("charge", "src_1", "ch_1", None),
        ("dispute", "dp_1", "ch_1", None),
        ("fee", "", "", None),
        ("payout", "po_1", "", None),
        ("something_new", "ch_1", "ch_1", None),
        ("", "ch_1", "ch_1", None),
    ],
)
def test_a_type_is_told_only_where_it_follows(
    category: str, source: str, charge: str, kind: str | None
) -> None:
    """A category that stands for several types, or for lines without their rate, is not guessed at."""
    rows, untold, lost = told(line(reporting_category=category, source_id=source, charge_id=charge))
    assert [row["type"] for row in rows] == ([kind] if kind else [])
    assert untold == ([] if kind else ["txn_1"])
    assert lost == 0


@pytest.mark.parametrize(
    "values",
    [
        {"customer_facing_currency": "eur"},
        {"customer_facing_currency": ""},
        {"gross": "10.505"},
        {"gross": "1e3"},
        {"gross": ""},
        {"net": "nan"},
        {"fee": "+1"},
        {"gross": "1,050.00".replace(",", " ")},
        {"gross": "1234567890123456.00"},
        {"created_utc": "2026-02-30 00:00:00"},
        {"created_utc": "02.01.2026"},
        {"created_utc": ""},
        {"available_on_utc": "soon"},
        {"currency": "iqd", "customer_facing_currency": "iqd"},
        {"currency": "", "customer_facing_currency": ""},
        {"currency": "usdt", "customer_facing_currency": "usdt"},
        {"source_id": "ch_1 or so"},
    ],
)
def test_what_is_not_plain_is_read_by_itself(values: dict[str, str]) -> None:
    """A line with any value that we do not understand is no record, and its id is not lost."""
    rows, untold, lost = told(line("txn_a"), line("txn_b", **values), line("txn_c"))
    assert [row["balance_transaction_id"] for row in rows] == ["txn_a", "txn_c"]
    assert (untold, lost) == (["txn_b"], 0)


@pytest.mark.parametrize(
    ("currency", "gross", "amount"),
    [
        ("jpy", "1050", "1050"),
        ("jpy", "1050.00", "1050"),
        ("jpy", "1050.5", None),
        ("kwd", "10.505", "10.505"),
        ("kwd", "10.5051", None),
        ("usd", "-10.50", "-10.5"),
        ("USD", "10.5", "10.5"),
        ("usd", "0", "0"),
        ("usd", "999999999999999.99", "999999999999999.99"),
    ],
)
def test_amounts_have_the_currencys_digits(currency: str, gross: str, amount: str | None) -> None:
    """Exactly, in major units; more digits than the currency has are no amount of it."""
    rows, untold, _ = told(
        line(currency=currency, customer_facing_currency=currency, gross=gross, fee="0", net="0")
    )
    assert [str(row["amount"].normalize().__format__("f")) for row in rows] == ([amount] if amount else [])
    assert bool(untold) == (amount is None)
    assert [row["asset"] for row in rows] == ([currency.upper()] if amount else [])


@pytest.mark.parametrize(
    ("bad", "lost"),
    [
        ("txn_2,too,few", 1),
        (",".join(["x"] * 12), 1),
        (",".join(['"open'] + ["x"] * 10), 1),
        (",".join(["", *["x"] * 10]), 1),
        (",".join(["two words", *["x"] * 10]), 1),
        ("", 0),
    ],
)
def test_a_line_that_names_no_transaction_is_counted(bad: str, lost: int) -> None:
    """It swallows no other line, and is not taken for nothing."""
    rows, untold, found = told(line("txn_1"), bad, line("txn_3"))
    assert [row["balance_transaction_id"] for row in rows] == ["txn_1", "txn_3"]
    assert (untold, found) == ([], lost)


def test_quotes_and_line_ends_of_other_systems_change_nothing() -> None:
    """A quoted value is the value, and a carriage return is no part of one."""
    quoted = ",".join(f'"{value}"' for value in line().values())
    plain = told(line())
    assert told(quoted) == plain
    assert told(",".join(line().values()) + "\r") == plain
    client = FakeStripe([b"\xef\xbb\xbf" + b"x", b""])
    with pytest.raises(SourceDataError, match="other columns"):
        read(client)


def test_of_a_line_that_stands_twice_the_last_counts() -> None:
    """A natural key stands once in a table."""
    rows, _, _ = told(line(net="1"), line("txn_2"), line(net="2"))
    assert [(row["balance_transaction_id"], row["net"]) for row in rows] == [
        ("txn_2", Decimal("9.89")),
        ("txn_1", 2),
    ]


def test_a_file_is_read_some_thousand_lines_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first part is there before the rest was asked for: memory does not grow with the file."""
    monkeypatch.setattr(report_rows, "ROWS_AT_ONCE", 10)
    client = FakeStripe(csv(*(line(f"txn_{n}") for n in range(95))))
    parts = history(client, RULES, from_s=FROM_S, to_s=TO_S)
    assert next(parts).rows == 10
    assert client.given <= 12
    assert [part.rows for part in parts] == [10] * 8 + [5]


def test_a_report_without_lines_is_a_report() -> None:
    """A month in which nothing happened."""
    assert read(FakeStripe(csv())) == []


def test_the_run_is_asked_for_with_columns_and_exclusive_end() -> None:
    """No column that holds a person is asked for."""
    client = FakeStripe(csv())
    read(client)
    [form] = client.posted
    assert form["report_type"] == "balance_change_from_activity.itemized.3"
    assert (form["parameters[interval_start]"], form["parameters[interval_end]"]) == (str(FROM_S), str(TO_S))
    assert form["parameters[columns][]"] == list(ACTIVITY)
    assert not [
        name for name in (*ACTIVITY, *PAYOUTS) if "email" in name or "name" in name or "description" in name
    ]


def test_a_run_is_waited_for_ever_more_patiently() -> None:
    """Each wait is twice the one before, up to a bound."""
    waiting, clock = patient(poll_s_max=10)
    assert read(FakeStripe(csv(line()), pending=6), waiting)[0].rows == 1
    assert clock.waits == [1, 2, 4, 8, 10, 10]


def test_a_run_that_is_not_made_is_given_up() -> None:
    """Within the time that was given, and with what to do."""
    waiting, clock = patient(run_s_max=100)
    with pytest.raises(SourceUnavailableError, match="not made in time") as caught:
        read(FakeStripe(csv(), pending=10**6), waiting)
    assert clock.now_s <= 100
    assert "lists" in caught.value.hint


@pytest.mark.parametrize(
    "run",
    [{"status": "failed", "error": "SECRET"}, {"status": "odd"}, {"result": None}, {"result": {"url": 1}}],
)
def test_a_run_that_fails_is_an_error_without_stripes_words(run: dict[str, Any]) -> None:
    """They may repeat what stands in the account."""
    with pytest.raises(SourceUnavailableError) as caught:
        read(FakeStripe(csv(), run=run))
    assert "SECRET" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(("off", "whole"), [(0, True), (-1, True), (1, False), (-2, False), (5000, False)])
def test_a_file_that_broke_off_is_noticed(off: int, whole: bool) -> None:
    """By its size: an end without an error is no end. The last line may lack its line end."""
    lines = csv(line())
    client = FakeStripe(lines, size=sum(len(each) + 1 for each in lines) + off)
    if whole:
        assert read(client)[0].rows == 1
        return
    with pytest.raises(SourceUnavailableError, match="broke off"):
        read(client)


def test_a_file_that_drips_is_given_up() -> None:
    """The time for a file is bounded, however regularly a line comes."""
    waiting, clock = patient(file_s_max=60)

    class Dripping(FakeStripe):
        def stream_lines(self, url: str) -> Iterator[bytes]:
            for each in super().stream_lines(url):
                clock.sleep(7)
                yield each

    with pytest.raises(SourceUnavailableError, match="too slowly"):
        read(Dripping(csv(*(line(f"txn_{n}") for n in range(50)))), waiting)


def test_a_line_without_end_is_refused() -> None:
    """Whatever the client lets through."""
    with pytest.raises(SourceDataError, match="too long"):
        read(FakeStripe(csv("x" * 20_000)))


@pytest.mark.parametrize("created", ["2025-12-31 23:59:59", "2026-02-01 00:00:00"])
def test_a_report_of_another_time_is_refused(created: str) -> None:
    """A report whose times are of another zone would move every movement."""
    with pytest.raises(SourceDataError, match="another time"):
        read(FakeStripe(csv(line(), line("txn_2", created_utc=created))))


def test_a_report_of_the_other_mode_is_refused() -> None:
    """Live and test objects are never mixed."""
    with pytest.raises(SourceDataError, match="other mode"):
        read(FakeStripe(csv(), run={"livemode": True}))


def test_other_columns_are_refused() -> None:
    """A file whose columns stand in another order would put amounts in the wrong place."""
    with pytest.raises(SourceDataError, match="other columns"):
        read(FakeStripe([b"net,fee", b"1,2"]))


def test_text_that_is_no_text_is_refused() -> None:
    """Bytes that are no UTF-8 are another file."""
    with pytest.raises(SourceDataError, match="no CSV of text"):
        read(FakeStripe([*csv(), b"\xff\xfe" + b"," * 10]))


def test_a_key_that_may_not_make_reports_is_told_so() -> None:
    """With both ways out."""
    with pytest.raises(SourceRefusedError) as caught:
        read(FakeStripe([], failure=NotPermittedError("no")))
    assert "report runs" in caught.value.hint
    assert "lists" in caught.value.hint


def test_reports_reach_as_far_as_their_data() -> None:
    """A stretch is cut to what is prepared; one outside of it has none."""
    data = prepared(FakeStripe([]), NAME)
    assert data == Prepared(from_s=FROM_S, to_s=TO_S)
    assert data.within(FROM_S - 10, TO_S + 10) == (FROM_S, TO_S)
    assert data.within(FROM_S + 5, FROM_S + 6) == (FROM_S + 5, FROM_S + 6)
    assert data.within(TO_S, TO_S + 10) is None
    with pytest.raises(SourceDataError, match="no report"):
        prepared(_Mute([]), NAME)


class _Mute(FakeStripe):
    """Says nothing of its report types."""

    def fetch(self, resource: str, object_id: str, *, expand: tuple[str, ...] = ()) -> Answer:
        return Answer(body={} if "types" in resource else None, read_at=None, requests=1)


def paid(payout: str, net: str, currency: str = "usd", line_id: str = "txn_1") -> dict[str, str]:
    """A line of the payout reconciliation."""
    values = (payout, line_id, currency, net)
    return dict(zip(PAYOUTS, values, strict=True))


def composed(*lines: dict[str, str] | str) -> dict[str, tuple[Any, int]]:
    """What each payout is made of: net and number of lines."""
    client = FakeStripe(csv(*lines, columns=PAYOUTS))
    found = payout_composition(client, RULES, from_s=FROM_S, to_s=TO_S)
    return {payout: (each.net, each.transactions) for payout, each in found.items()}


def test_payouts_are_composed_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over any number of blocks; several currencies have no sum, a payout with an odd line is left out."""
    monkeypatch.setattr(report_rows, "ROWS_AT_ONCE", 2)
    many = [paid("po_1", "0.10", line_id=f"txn_{n}") for n in range(9)]
    found = composed(
        *many,
        paid("po_2", "-5.25"),
        paid("po_2", "10"),
        paid("po_3", "1"),
        paid("po_3", "1", "eur"),
        paid("po_4", "1"),
        paid("po_4", "1.005"),
        paid("po_5", "3", "jpy"),
    )
    assert found == {
        "po_1": (Decimal("0.9"), 9),
        "po_2": (Decimal("4.75"), 2),
        "po_3": (None, 2),
        "po_5": (Decimal(3), 1),
    }


@pytest.mark.parametrize("bad", [paid("", "1"), "po_1,txn_1", "a b,txn_1,usd,1"])
def test_a_line_of_no_payout_makes_all_sums_doubtful(bad: Any) -> None:
    """It may belong to any of them."""
    with pytest.raises(SourceDataError, match="names no payout"):
        composed(paid("po_1", "1"), bad)


def lived(*, until: float = 70, **options: Any) -> Books:
    """An account of two months: sales, refunds, disputes, payouts that fail, another currency."""
    books = Books(rates={"eur": Decimal("1.1"), "jpy": Decimal("0.65")}, **options)
    account = books.account
    for week in range(9):
        at = 1 + 7 * week
        charges = books.sell(30, day(at), amount=1000 + 7 * week)
        account.refund(charges[0], at=day(at + 0.5), amount_minor=400)
        if week == 2:
            books.sell(2, day(at + 0.6), currency="eur")
            books.sell(1, day(at + 0.7), currency="jpy", amount=5000)
            account.open_dispute(charges[5], at=day(at + 0.8))
        if week == 4:
            account.pay_out_by_hand(at=day(at + 4), amount_minor=100, instant=True)
        made = account.pay_out(at=day(at + 4))
        assert made is not None
        if week == 3:
            account.fail_payout(made["id"], at=day(at + 4.5))
    account.advance_to(day(until))
    return books


def records(books: Books) -> dict[str, dict[str, Any]]:
    """The store's balance transactions, without what a report cannot have."""
    beside = {"recorded_at", "first_recorded_at", "read_at", "raw"}
    rows = books.store.records(BalanceTransaction).to_pylist()
    return {
        row["balance_transaction_id"]: {name: value for name, value in row.items() if name not in beside}
        for row in rows
    }


def by_report(books: Books, now: datetime) -> None:
    """Backfill by reports as far as they go."""
    cursor = books.store.cursor(NAME, "balance_transactions")
    waiting = Waiting(sleep=books.patience.sleep, monotonic=books.patience.monotonic)
    for batch in backfill(books.reading, cursor, now, books.store, waiting=waiting):
        books.commit(batch)


def test_reports_and_lists_give_the_same_records() -> None:
    """Every field but the raw object, for every line of an account that has seen most things."""
    by_list, by_run = lived(), lived()
    by_list.list("balance_transactions", now=day(70))
    by_report(by_run, day(70))
    by_run.list("balance_transactions", now=day(70))
    assert len(records(by_list)) > 280
    assert records(by_run) == records(by_list)


def test_history_tells_what_is_plain_and_names_the_rest() -> None:
    """Told and untold together are the activity, each once; nothing told differs from the list."""
    books = lived()
    books.list("balance_transactions", now=day(70))
    data = prepared(books.reading.client, NAME)
    waiting = Waiting(sleep=books.patience.sleep, monotonic=books.patience.monotonic)
    parts = list(
        history(
            books.reading.client, books.reading.rules, from_s=data.from_s, to_s=data.to_s, waiting=waiting
        )
    )
    listed = records(books)
    rows = {row["balance_transaction_id"]: row for part in parts for row in part.told.to_pylist()}
    untold = {found for part in parts for found in part.untold}
    assert sum(part.lost for part in parts) == 0
    assert all(listed[found] == row for found, row in rows.items())
    assert rows.keys().isdisjoint(untold)
    left_out = {found for found, row in listed.items() if row["type"] in LEFT_OUT}
    assert rows.keys() | untold == listed.keys() - left_out
    assert {
        listed[found]["exchange_rate"] is not None or listed[found]["type"] == "adjustment"
        for found in untold
    } == {True}
    assert len(rows) > 250


def test_the_lists_go_on_from_where_reports_end() -> None:
    """Coverage has no hole, and of the past nothing is listed again but what was just before."""
    books = lived()
    by_report(books, day(70))
    reached = Cursor.parse(books.store.cursor(NAME, "balance_transactions") or "")
    data = prepared(books.reading.client, NAME)
    assert (reached.since_s, reached.until_s) == (books.reading.start_s, data.to_s)
    assert reached.began_s == data.to_s
    before = books.wire.requests
    books.list("balance_transactions", now=day(70.2))
    assert books.wire.requests - before <= 3
    windows = books.store.rows(
        "select lower, upper, objects from v_coverage where stream = 'balance_transactions'"
    )
    assert min(row["lower"] for row in windows) == books.reading.start_s * 1_000_000
    assert max(row["upper"] for row in windows) == to_us(day(70.2))
    assert len(windows) == 1


def test_reports_take_fewer_requests_than_lists() -> None:
    """That is what they are for: with pages of ten, as if there were ten times as much."""
    by_list, by_run = lived(), lived()
    for books in (by_list, by_run):
        books.wire.page_rows = 2
    counts = []
    for books, read_all in ((by_list, None), (by_run, by_report)):
        before = books.wire.requests
        if read_all is not None:
            read_all(books, day(70))
        books.list("balance_transactions", now=day(70))
        counts.append(books.wire.requests - before)
    assert counts[1] < counts[0] / 2


def test_a_short_stretch_is_left_to_the_lists() -> None:
    """An account that was read yesterday needs no report, and none is asked for."""
    books = lived()
    books.list("balance_transactions", now=day(69))
    before = books.wire.requests
    by_report(books, day(70))
    assert books.wire.requests == before


def test_a_start_before_the_account_is_proved_empty_by_a_list() -> None:
    """Reports begin with the account; what lies before it is claimed only after somebody looked."""
    books = lived()
    early = replace(books.reading, settings=books.reading.settings.model_copy(update={"start": day(-400)}))
    books.reading = early
    by_report(books, day(70))
    windows = books.store.rows("select lower, upper from v_coverage where stream = 'balance_transactions'")
    assert [row["lower"] for row in windows] == [to_us(day(-400))]
    assert Cursor.parse(books.store.cursor(NAME, "balance_transactions") or "").since_s == early.start_s


def test_a_report_that_tells_too_little_is_left_to_the_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rest costs more than the list, nothing is claimed, and lists read all."""
    monkeypatch.setattr(report_history, "FEW_REQUESTS", 0)
    books, by_list = lived(), lived()
    by_report(books, day(70))
    reached = books.store.cursor(NAME, "balance_transactions")
    upper_s = Cursor.parse(reached).until_s if reached else books.reading.start_s
    assert upper_s < prepared(books.reading.client, NAME).to_s
    books.list("balance_transactions", now=day(70))
    by_list.list("balance_transactions", now=day(70))
    assert records(books) == records(by_list)


class _Failing(httpx.BaseTransport):
    """Answers files with an error from the given one on."""

    def __init__(self, from_file: int) -> None:
        self.inner: httpx.BaseTransport | None = None
        self.files = 0
        self.from_file = from_file

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert self.inner is not None
        if request.url.path.endswith("/contents"):
            self.files += 1
            if self.files >= self.from_file:
                raise httpx.ReadError("cut", request=request)
        return self.inner.handle_request(request)


def test_a_file_that_breaks_off_costs_one_stretch() -> None:
    """What was claimed before stays claimed; the next pull goes on from there."""
    between = _Failing(from_file=2)
    books, by_list = lived(transport=between), lived()
    between.inner = books.wire
    with pytest.raises(SourceUnavailableError):
        by_report(books, day(70))
    reached = Cursor.parse(books.store.cursor(NAME, "balance_transactions") or "")
    assert reached.until_s == books.reading.start_s + report_history.REPORT_S
    between.from_file = 10**6
    by_report(books, day(70))
    books.list("balance_transactions", now=day(70))
    by_list.list("balance_transactions", now=day(70))
    assert records(books) == records(by_list)


@pytest.mark.parametrize(("listed_at", "changed"), [(69.5, True), (70.3, False)])
def test_what_was_read_later_stays(listed_at: float, changed: bool) -> None:
    """A report's clock is when its data was prepared (day 70): a list that was read after it knows better."""
    books = lived(until=listed_at)
    books.list("balance_transactions", now=day(listed_at))
    books.account.advance_to(day(70.3))
    waiting = Waiting(sleep=books.patience.sleep, monotonic=books.patience.monotonic)
    batches = backfill(books.reading, None, day(70.3), books.store, waiting=waiting)
    counts = [books.store.commit(NAME, batch).changed for batch in batches]
    # Told lines differ from listed ones in the raw object alone, which a report does not have.
    assert (sum(counts) > 250) == changed
    assert sum(counts) == 0 or changed


def test_compositions_are_those_of_the_payouts() -> None:
    """Each automatic payout that arrived comes to its amount."""
    books = lived()
    books.list("payouts", now=day(70))
    data = prepared(books.reading.client, NAME, "payout_reconciliation.itemized.5")
    waiting = Waiting(sleep=books.patience.sleep, monotonic=books.patience.monotonic)
    found = payout_composition(
        books.reading.client, books.reading.rules, from_s=data.from_s, to_s=data.to_s, waiting=waiting
    )
    payouts = {row["payout_id"]: row for row in books.store.records(Payout).to_pylist() if row["automatic"]}
    assert len(found) >= 8
    assert {payout: each.net for payout, each in found.items()} == {
        payout: payouts[payout]["amount"] for payout in found
    }
