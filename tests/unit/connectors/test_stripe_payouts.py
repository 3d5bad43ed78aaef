"""Payouts are proved by their list, explained by their own line, or said to differ."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest

from payhealth.connectors.stripe import payout_proofs
from payhealth.connectors.stripe.fields import UnfitError
from payhealth.connectors.stripe.payouts import Composition, ListedLines, needs_list, prove
from payhealth.domain.errors import SourceDataError, SourceError
from payhealth.domain.records import PayoutProof
from tests.unit.connectors.books_support import NAME, Books, day

AT = day(3)
NOW = day(4)
LATE = day(9)
MONEY = Decimal("100.50")


def payout(**values: Any) -> dict[str, Any]:
    """An automatic payout of 100.50 USD whose list is whole."""
    given: dict[str, Any] = {
        "connector": NAME,
        "payout_id": "po_1",
        "status": "paid",
        "amount": MONEY,
        "asset": "USD",
        "automatic": True,
        "created_at": AT,
        "balance_transaction": "txn_own",
        "failure_balance_transaction": None,
        "method": "standard",
        "reconciliation_status": "completed",
    }
    return given | values


def own(**values: Any) -> dict[str, dict[str, Any]]:
    """The payout's own line of the balance."""
    given = {"type": "payout", "amount": -MONEY, "asset": "USD", "created_at": AT}
    return {"txn_own": given | values}


def listed(line_id: str, net: Any, **values: Any) -> dict[str, Any]:
    """A line as Stripe lists it, net in minor units."""
    given = {"object": "balance_transaction", "id": line_id, "net": net, "currency": "usd", "type": "charge"}
    return given | values


def proved(row: dict[str, Any], **known: Any) -> PayoutProof:
    """The proof of one payout."""
    given: dict[str, Any] = {"lines": {}, "listed": {}, "now": NOW}
    [proof] = prove([row], **(given | known))
    return proof


def came_to(net: str | None, transactions: int = 2) -> dict[str, Composition]:
    """What the list of the payout comes to."""
    found = Composition(net=None if net is None else Decimal(net), transactions=transactions)
    return {"po_1": found}


@pytest.mark.parametrize(
    ("net", "state"),
    [("100.5", "proved"), ("100.49", "mismatch"), ("-100.5", "mismatch"), (None, "mismatch")],
)
def test_a_list_must_come_to_the_payout_to_the_last_unit(net: str | None, state: str) -> None:
    """What is listed is kept beside what was paid, with how many lines that is."""
    proof = proved(payout(), listed=came_to(net))
    assert (proof.state, proof.method, proof.transactions) == (state, "list", 2)
    assert proof.listed == (None if net is None else Decimal(net))
    assert proof.amount == MONEY


def test_an_automatic_payout_waits_for_its_list() -> None:
    """Until it is reconciled its list is not whole, whatever it holds by now, and however long that takes."""
    for row in (payout(reconciliation_status="in_progress"), payout(reconciliation_status=None)):
        assert not needs_list(row)
        assert proved(row, listed=came_to("100.5"), now=LATE).state == "waiting"
    assert proved(payout(), now=LATE).state == "waiting"


@pytest.mark.parametrize(
    ("how", "lines", "state"),
    [
        ({"automatic": False}, own(), "explained"),
        ({"automatic": False, "method": "instant"}, own(fee=Decimal(1), net=Decimal("-101.5")), "explained"),
        ({"method": "instant"}, own(), "explained"),
        ({"automatic": False}, {}, "waiting"),
        ({"automatic": False, "balance_transaction": None}, own(), "waiting"),
        ({"automatic": False}, own(amount=Decimal("-100.49")), "waiting"),
        ({"automatic": False}, own(amount=MONEY), "waiting"),
        ({"automatic": False}, own(asset="EUR"), "waiting"),
        ({"automatic": False}, own(type="adjustment"), "waiting"),
        ({"automatic": False}, own(created_at=AT + timedelta(hours=24)), "explained"),
        ({"automatic": False}, own(created_at=AT - timedelta(hours=24)), "explained"),
        ({"automatic": False}, own(created_at=AT + timedelta(hours=24, seconds=1)), "waiting"),
        ({"automatic": False}, own(created_at=AT - timedelta(hours=24, seconds=1)), "waiting"),
        ({"automatic": False, "amount": -MONEY}, own(amount=MONEY), "explained"),
    ],
)
def test_payouts_without_a_list_are_explained_by_their_own_line(
    how: dict[str, Any], lines: dict[str, Any], state: str
) -> None:
    """By type, amount, currency and time; what is not explained waits for five days, then it differs."""
    row = payout(reconciliation_status="not_applicable", **how)
    proof = proved(row, lines=lines)
    assert (proof.state, proof.method) == (state, "booking")
    late = proved(row, lines=lines, now=AT + timedelta(days=5, seconds=1))
    assert late.state == ("mismatch" if state == "waiting" else state)
    assert proved(row, lines=lines, now=AT + timedelta(days=5)).state == state


def test_what_the_own_line_says_is_kept() -> None:
    """A line of another amount is what was found; a line of another kind is nothing found."""
    row = payout(automatic=False)
    assert proved(row, lines=own(amount=Decimal(-99))).listed == Decimal(99)
    assert proved(row, lines=own(asset="EUR")).listed is None
    assert proved(row, lines=own(asset="EUR")).transactions == 0


@pytest.mark.parametrize("status", ["failed", "canceled"])
@pytest.mark.parametrize("automatic", [True, False])
def test_a_payout_that_failed_must_have_given_the_money_back(status: str, automatic: bool) -> None:
    """Its list does not matter any more; a part of the money back is not all of it."""
    row = payout(status=status, automatic=automatic, failure_balance_transaction="txn_back")
    back = {"type": "payout_failure", "amount": MONEY, "asset": "USD", "created_at": LATE}
    given = {**own(), "txn_back": back}
    assert not needs_list(row)
    assert proved(row, lines=given).state == "explained"
    assert proved(row, lines=given, listed=came_to("1")).state == "explained"
    assert proved(row, lines=own()).state == "waiting"
    assert proved(row, lines=own(), now=LATE).state == "mismatch"
    part = {**given, "txn_back": back | {"amount": Decimal(1)}}
    assert proved(row, lines=part, now=LATE).listed == Decimal(1)
    assert proved(row, lines=part, now=LATE).state == "mismatch"
    assert proved(row | {"failure_balance_transaction": None}, lines=given, now=LATE).state == "mismatch"


def added(row: dict[str, Any], *pages: list[Any]) -> Composition:
    """What some pages of a list come to."""
    lines = ListedLines(row)
    for page in pages:
        lines.add(page)
    return lines.composition()


def test_lines_are_added_up_without_the_payouts_own() -> None:
    """Each line counts once, however often it is shown; the payout's own line is no part of it."""
    lines = [listed("txn_1", 10_000), listed("txn_2", 75), listed("txn_3", -25, type="payout_failure")]
    mine = listed("txn_own", -10_050, type="payout", source="po_1")
    unnamed = listed("txn_other", -10_050, type="payout", source="po_1")
    for extra in ([], [mine], [unnamed], lines):
        assert added(payout(), lines, extra) == Composition(net=MONEY, transactions=3)
    assert added(payout(), [listed("txn_9", 7, type="payout", source="po_2")]).transactions == 1
    assert added(payout()) == Composition(net=Decimal(0), transactions=0)


@pytest.mark.parametrize(("asset", "net"), [("JPY", "10050"), ("KWD", "10.05"), ("USD", "100.5")])
def test_minor_units_are_the_currencys(asset: str, net: str) -> None:
    """10050 of the smallest unit are as much as the currency's digits say."""
    row = payout(asset=asset)
    assert added(row, [listed("txn_1", 10_050, currency=asset.lower())]).net == Decimal(net)


def test_a_list_of_several_currencies_has_no_sum() -> None:
    """Even where the numbers would come to the payout's."""
    lines = [listed("txn_1", 10_000), listed("txn_2", 50, currency="eur")]
    assert added(payout(), lines) == Composition(net=None, transactions=2)


@pytest.mark.parametrize(
    "line",
    [
        None,
        "txn_1",
        listed("", 1),
        listed("txn_1", 1.5),
        listed("txn_1", None),
        listed("txn_1", 1, currency="IQD"),
        listed("txn_1", 1, object="charge"),
    ],
)
def test_a_line_that_cannot_be_understood_proves_nothing(line: Any) -> None:
    """It is no line of zero."""
    with pytest.raises(UnfitError):
        added(payout(), [line])


def states(books: Books, now: datetime, **known: Any) -> dict[str, tuple[str, str]]:
    """Pull the books' lists, then the proofs; each payout's state and method."""
    books.list("payouts", "balance_transactions", now=now)
    cursor = books.store.cursor(NAME, payout_proofs.STREAM)
    for batch in payout_proofs.pull(books.reading, cursor, now, books.store, **known):
        books.commit(batch)
    rows = books.store.records(PayoutProof).to_pylist()
    return {row["payout_id"]: (row["state"], row["method"]) for row in rows}


def paid_out(books: Books, count: int) -> list[str]:
    """So many automatic payouts, each of two payments, three days apart."""
    made = []
    for number in range(count):
        books.sell(2, day(1 + 3 * number))
        payout_made = books.account.pay_out(at=day(3.5 + 3 * number))
        assert payout_made is not None
        made.append(payout_made["id"])
    return made


def lists_asked(books: Books, now: datetime) -> int:
    """How many requests the proofs of one pull take."""
    books.list("payouts", "balance_transactions", now=now)
    before = books.wire.requests
    states_before = books.store.cursor(NAME, payout_proofs.STREAM)
    for batch in payout_proofs.pull(books.reading, states_before, now, books.store):
        books.commit(batch)
    return books.wire.requests - before


def test_every_payout_of_an_account_is_proved_or_explained() -> None:
    """An automatic one waits until it arrives and is then proved; others are explained at once."""
    books = Books()
    books.wire.page_rows = 3
    books.sell(7, day(1))
    automatic = books.account.pay_out(at=day(4))
    assert automatic is not None
    assert states(books, day(4.5)) == {automatic["id"]: ("waiting", "list")}
    books.sell(5, day(5))
    instant = books.account.pay_out_by_hand(at=day(8), amount_minor=1_000, instant=True)
    manual = books.account.pay_out_by_hand(at=day(8.1), amount_minor=700)
    ids = [each["id"] for each in (automatic, instant, manual)]
    found = states(books, day(9))
    assert [found[payout_id] for payout_id in ids] == [
        ("proved", "list"),
        ("explained", "booking"),
        ("explained", "booking"),
    ]
    [proof] = [row for row in books.store.records(PayoutProof).to_pylist() if row["payout_id"] == ids[0]]
    assert (proof["transactions"], proof["listed"]) == (7, proof["amount"])


def test_paid_then_failed_is_followed() -> None:
    """A proved payout that the bank sends back is proved anew by what came back."""
    books = Books()
    books.sell(3, day(1))
    made = books.account.pay_out(at=day(4))
    assert made is not None
    assert states(books, day(7))[made["id"]] == ("proved", "list")
    books.account.fail_payout(made["id"], at=day(8))
    books.account.advance_to(day(9))
    for batch in books.reading.fetched(
        books.reading.stream_of("payout"), [made["id"]], "events", books.store
    ):  # type: ignore[arg-type]
        books.commit(batch)
    assert states(books, day(9))[made["id"]] == ("explained", "booking")


def test_what_is_proved_is_not_asked_for_again() -> None:
    """The next pull asks for nothing, and a payout that only waits costs no request."""
    books = Books()
    paid_out(books, 4)
    assert lists_asked(books, day(13)) == 3
    assert lists_asked(books, day(13.1)) == 0
    books.list("payouts", now=day(15))
    assert lists_asked(books, day(15.1)) == 1
    assert lists_asked(books, day(17)) == 0


class _Cheating(httpx.BaseTransport):
    """Changes the net of one line where a payout's list is asked for."""

    def __init__(self) -> None:
        self.inner: httpx.BaseTransport | None = None
        self.net_off = 0
        self.fail_after: int | None = None
        self.lists = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert self.inner is not None
        if "payout=" not in str(request.url):
            return self.inner.handle_request(request)
        self.lists += 1
        if self.fail_after is not None and self.lists > self.fail_after:
            return httpx.Response(403, json={"error": {"type": "invalid_request_error"}})
        answer = self.inner.handle_request(request)
        body = orjson.loads(answer.content)
        body["data"][-1]["net"] += self.net_off
        return httpx.Response(200, json=body, headers={"date": answer.headers.get("date", "")})


def cheated() -> tuple[Books, _Cheating]:
    """An account whose lists of payouts pass through somebody."""
    between = _Cheating()
    books = Books(transport=between)
    between.inner = books.wire
    return books, between


def test_a_list_that_differs_is_a_mismatch_and_is_asked_again_once_a_day() -> None:
    """It costs its list again only once a day, and is proved once the list is right."""
    books, between = cheated()
    between.net_off = -1
    books.sell(3, day(1))
    made = books.account.pay_out(at=day(4))
    assert made is not None
    assert states(books, day(7))[made["id"]] == ("mismatch", "list")
    [row] = books.store.records(PayoutProof).to_pylist()
    assert row["amount"] - row["listed"] == Decimal("0.01")
    assert between.lists == 1
    assert states(books, day(7.5))[made["id"]] == ("mismatch", "list")
    assert between.lists == 1
    between.net_off = 0
    assert states(books, day(8.1))[made["id"]] == ("proved", "list")
    assert between.lists == 2


def test_a_broken_line_leaves_the_payout_waiting() -> None:
    """A list that cannot be understood is neither right nor wrong."""
    books, between = cheated()
    between.net_off = 0.5  # type: ignore[assignment]
    books.sell(2, day(1))
    made = books.account.pay_out(at=day(4))
    assert made is not None
    assert states(books, day(7))[made["id"]] == ("waiting", "list")
    between.net_off = 0
    assert states(books, day(7.1))[made["id"]] == ("proved", "list")


def test_a_list_that_is_refused_keeps_the_proofs_before_it() -> None:
    """What was proved stays, the error is told, and the next pull does the rest."""
    books, between = cheated()
    paid_out(books, 6)
    between.fail_after = 3
    with pytest.raises(SourceError):
        states(books, day(30))
    found = [row["state"] for row in books.store.records(PayoutProof).to_pylist()]
    assert found.count("proved") >= 3
    between.fail_after = None
    assert set(states(books, day(30)).values()) == {("proved", "list")}


def test_work_of_one_pull_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pull did not come to waits in plain sight, the oldest last, and is proved by the next ones."""
    monkeypatch.setattr(payout_proofs, "PAGES_A_PULL", 2)
    books = Books()
    made = paid_out(books, 6)
    found = states(books, day(30))
    proved_now = [payout_id for payout_id in made if found[payout_id] == ("proved", "list")]
    assert len(found) == 6
    assert 2 <= len(proved_now) < 6
    assert proved_now == made[-len(proved_now) :]
    for _ in range(3):
        found = states(books, day(30))
    assert set(found.values()) == {("proved", "list")}


def test_what_a_report_tells_is_not_listed() -> None:
    """A payout whose composition is known costs no request, and is judged by it."""
    books, between = cheated()
    books.sell(2, day(1))
    made = books.account.pay_out(at=day(4))
    assert made is not None
    amount = Decimal(made["amount"]).scaleb(-2)
    known = {made["id"]: Composition(net=amount, transactions=2)}
    assert states(books, day(7), known=known)[made["id"]] == ("proved", "list")
    assert between.lists == 0


def test_payouts_of_another_connector_are_not_touched() -> None:
    """A store holds several accounts."""
    books = Books()
    books.sell(2, day(1))
    books.account.pay_out(at=day(4))
    books.list("payouts", "balance_transactions", now=day(7))
    books.reading.name = "other"
    batches = list(payout_proofs.pull(books.reading, None, day(7), books.store))
    assert [batch.records for batch in batches] == [{}]


def test_coverage_reaches_as_far_as_both_lists() -> None:
    """Every payout that was listed has a proof: that is what the stream's window says."""
    books = Books()
    assert states(books, day(3)) == {}
    [window] = [
        w for w in books.store.rows("select * from v_coverage") if w["stream"] == payout_proofs.STREAM
    ]
    listed_to = [w["upper"] for w in books.store.rows("select * from v_coverage") if w["stream"] == "payouts"]
    assert (window["lower"], window["upper"]) == (books.reading.start_s * 1_000_000, listed_to[0])


@pytest.mark.parametrize("cursor", ["nonsense", "[]", '{"seen_seq": "x", "again_at_s": 0}'])
def test_a_cursor_of_somebody_else_is_refused(cursor: str) -> None:
    """It is not read as a beginning."""
    books = Books()
    with pytest.raises(SourceDataError, match="cursor of payout_proofs"):
        list(payout_proofs.pull(books.reading, cursor, NOW, books.store))
