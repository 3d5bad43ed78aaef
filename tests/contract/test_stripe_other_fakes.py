"""The Stripe source against other people's fakes of Stripe: what they list is read, what they lack is said.

They are imperfect in ways that nobody here thought of: lists that know no ``created`` or no ``expand``,
fields and whole endpoints that are missing, answers of API versions from years ago. Each test is skipped
where its program is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from itertools import count, islice
from typing import Any

import httpx
import pytest

from payhealth.connectors.stripe import lists
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.source import StripeSource
from payhealth.connectors.stripe.streams import STREAMS
from payhealth.domain.errors import SourceError
from payhealth.domain.record import Record
from payhealth.domain.records import BookingGap, Charge, Movement, Refund, Rejected
from payhealth.secrets import Secret
from tests.contract.foreign_stripes import KEY, Fake, localstripe, stripe_stateful_mock
from tests.unit.connectors.support import KeptInStore

DIGITS = {"usd": 2, "eur": 2, "jpy": 0, "kwd": 3}
WITHOUT_DIGITS = "iqd"
"""A currency of which Stripe does not say how many digits its amounts have."""

PAGE_AND_A_BIT = 101
CARD = {"type": "card", "card__exp_month": 12, "card__exp_year": 2040, "card__cvc": "123"}
BOUNDS = {"created[gte]": "1600000000", "created[lt]": "4000000000"}
OPTIONAL = ("setup_intents", "radar/early_fraud_warnings", "checkout/sessions", "invoices")

FILTERS = frozenset({"created[gte]", "created[lt]", "expand[]", "limit", "starting_after"})


class WithFilters(httpx.BaseTransport):
    """Lends localstripe what its lists lack: bounds of ``created``, newest first, pages of those.

    Every list is asked for whole; what it says of its objects is passed on as it is. Its lists are oldest
    first, so that objects of one second are turned round as well. Its clock is put ahead, and goes on with
    every answer: what was made in its very second would be left to a later pull.
    """

    def __init__(self) -> None:
        self._network = httpx.HTTPTransport()
        self._began, self._answers = soon(), count()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask localstripe in words that it knows."""
        params = request.url.params
        kept = {name: value for name, value in params.items() if name not in FILTERS}
        is_list = "limit" in params
        request.url = request.url.copy_with(params={**kept, "limit": "100000"} if is_list else kept)
        answer = self._network.handle_request(request)
        answer.read()
        clock = self._began + timedelta(seconds=next(self._answers))
        date = {"Date": format_datetime(clock, usegmt=True)}
        if not is_list or answer.status_code != 200:
            return httpx.Response(answer.status_code, content=answer.content, headers=date)
        return httpx.Response(200, json=_page(answer.json(), params), headers=date)

    def close(self) -> None:
        """Give connections back."""
        self._network.close()


def _page(body: dict[str, Any], params: httpx.QueryParams) -> dict[str, Any]:
    lower, upper = int(params.get("created[gte]", 0)), int(params.get("created[lt]", 2**40))
    newest_first = sorted(body["data"], key=lambda each: int(each["created"]))[::-1]
    found = [each for each in newest_first if lower <= each["created"] < upper]
    ids = [each["id"] for each in found]
    after = params.get("starting_after")
    first = ids.index(after) + 1 if after else 0
    last = first + int(params["limit"])
    return {**body, "data": found[first:last], "has_more": last < len(found)}


@contextmanager
def connected(
    fake: Fake, transport: httpx.BaseTransport | None = None, **changes: Any
) -> Iterator[StripeSource]:
    """A source that reads a fake since yesterday; nothing waits before it tries again."""
    values = {
        "api_key": Secret(KEY, "env:STRIPE_API_KEY"),
        "api_base": fake.url,
        "start": (datetime.now(UTC) - timedelta(days=1)).date(),
        "rate_limit_per_s": 5000,
        "per_endpoint_rate_limit_per_s": 5000,
        "max_attempts": 2,
        **changes,
    }
    settings = StripeSettings.model_validate(values)
    source = StripeSource("cards", settings, transport=transport, sleep=lambda _delay_s: None)
    try:
        yield source
    finally:
        source.close()


def soon() -> datetime:
    """A minute ahead, so that what was made in this very second lies in the past."""
    return datetime.now(UTC) + timedelta(minutes=1)


def read(
    source: StripeSource, kept: KeptInStore, now: datetime, *, batches: int | None = None
) -> dict[str, SourceError]:
    """Read every stream as far as it goes; why each that did not end well did not.

    Any other exception ends the test.

    Args:
        batches: after so many each stream is stopped; without it none is.
    """
    failed: dict[str, SourceError] = {}
    for plan in source.streams():
        pulled = source.pull(plan.stream, kept.cursor(source.name, plan.stream), now, kept)
        try:
            for batch in islice(pulled, batches):
                kept.commit(source.name, batch)
        except SourceError as error:
            assert_one_clear_line(error)
            failed[plan.stream] = error
    return failed


def assert_one_clear_line(error: SourceError) -> None:
    """A failure names the connector in one line, and shows nothing of the key."""
    assert error.message.startswith("cards: ")
    assert len(error.message.splitlines()) == 1
    assert len(error.message) < 200
    assert KEY not in f"{error.message}{error.hint}"


def answers(fake: Fake, resource: str) -> bool:
    """Whether the fake has this list and lets it be read as Stripe's."""
    expand = [("expand[]", f"data.{name}") for name in STREAMS[resource].expand]
    return fake.client.get(f"/v1/{resource}", params=[*BOUNDS.items(), *expand]).status_code == 200


def assert_exact(fake: Fake, kept: KeptInStore, *, rejected: set[str]) -> None:
    """Every charge and refund that the fake lists is in the store to the last digit, or rejected and why.

    Args:
        rejected: which are to be rejected; the others are not.
    """
    charges, refunds = fake.listed("charges"), fake.listed("refunds")
    assert charges
    assert refunds
    refused = {row.object_id: row for row in kept.all(Rejected) if row.stream in ("charges", "refunds")}
    assert set(refused) == rejected
    assert all(row.reason.strip() for row in refused.values())
    assert {row.charge_id: (row.amount, row.status) for row in kept.all(Charge)} == _facts(charges, rejected)
    assert {row.refund_id: (row.amount, row.status) for row in kept.all(Refund)} == _facts(refunds, rejected)
    moved = {row.movement_id: (str(row.kind), row.amount, str(row.status)) for row in kept.all(Movement)}
    assert moved == {
        found["id"]: (found["object"], *_moved(found))
        for found in (*charges, *refunds)
        if found["id"] not in rejected
    }


def _facts(listed: list[dict[str, Any]], rejected: set[str]) -> dict[str, tuple[Decimal, str]]:
    return {
        found["id"]: (_major(found["amount"], found["currency"]), found["status"])
        for found in listed
        if found["id"] not in rejected
    }


def _moved(found: dict[str, Any]) -> tuple[Decimal, str]:
    """What a person would say has moved, and how far it came."""
    amount, status = found["amount"], found["status"]
    if found["object"] == "charge" and status == "succeeded":
        captured = found.get("amount_captured", amount if found["captured"] else 0)
        amount, status = (captured, status) if captured else (amount, "pending")
    return _major(amount, found["currency"]), status


def _major(minor: int, currency: str) -> Decimal:
    return Decimal(minor).scaleb(-DIGITS[currency])


def facts(kept: KeptInStore) -> list[Record]:
    """Every record but for the moment at which a pull first noticed that a line of the books is missing."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [replace(row, since=at) if isinstance(row, BookingGap) else row for row in kept.everything()]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    """A localstripe with payments of every kind that it knows."""
    with localstripe(tmp_path_factory.mktemp("localstripe")) as fake:
        card = fake.post("payment_methods", card__number="4242424242424242", **CARD)["id"]
        broke = fake.post("payment_methods", card__number="4000000000000341", **CARD)["id"]
        customer = fake.post("customers", email="a@example.com")["id"]
        fake.post(f"payment_methods/{card}/attach", customer=customer)
        for number in range(PAGE_AND_A_BIT):
            fake.post("charges", amount=100 + number, currency="usd", source=card, metadata__account_id="a-1")
        paid = fake.post("charges", amount=1230, currency="kwd", source=card)["id"]
        fake.post("refunds", charge=paid, amount=1)
        fake.post("refunds", charge=paid, amount=5_000)
        intent = fake.post("payment_intents", amount=500, currency="jpy", payment_method=card, confirm="true")
        fake.post("refunds", payment_intent=intent["id"])
        fake.post("payment_intents", amount=700, currency="usd")
        fake.post("charges", 402, amount=900, currency="eur", source=broke)
        fake.post("charges", amount=800, currency="eur", source=card, capture="false")
        part = fake.post("charges", amount=900, currency="eur", source=card, capture="false")["id"]
        fake.post(f"charges/{part}/capture", amount=400)
        fake.post("charges", amount=100, currency=WITHOUT_DIGITS, source=card)
        assert (fake.folder / "localstripe.pickle").exists(), "it keeps its store elsewhere"
        yield fake


@pytest.fixture(scope="module")
def stateful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    """A stripe-stateful-mock with payments of every kind that it knows."""
    with stripe_stateful_mock(tmp_path_factory.mktemp("stateful")) as fake:
        customer = fake.post("customers", email="a@example.com", source="tok_visa")["id"]
        for number in range(PAGE_AND_A_BIT):
            fake.post("charges", amount=100 + number, currency="usd", customer=customer)
        paid = fake.post(
            "charges", amount=1234, currency="usd", source="tok_visa", metadata__account_id="a-1"
        )
        fake.post("refunds", charge=paid["id"], amount=234)
        fake.post("refunds", charge=paid["id"])
        fake.post("charges", amount=500, currency="jpy", source="tok_mastercard")
        fake.post("charges", 402, amount=900, currency="eur", source="tok_chargeDeclined")
        fake.post("charges", amount=800, currency="eur", source="tok_visa", capture="false")
        part = fake.post("charges", amount=900, currency="eur", source="tok_visa", capture="false")["id"]
        fake.post(f"charges/{part}/capture", amount=400)
        yield fake


@pytest.fixture(params=["local", "stateful"])
def either(request: pytest.FixtureRequest) -> Fake:
    """Each of the two."""
    found: Fake = request.getfixturevalue(request.param)
    return found


def test_what_a_fake_lacks_is_one_clear_error(either: Fake) -> None:
    """A list that is missing or refuses our request ends in one line; all others end well."""
    kept = KeptInStore()
    with connected(either) as source:
        with pytest.raises(SourceError) as refused:
            source.verify()
        assert_one_clear_line(refused.value)
        failed = read(source, kept, soon())
        # Events are not asked for where less than a second has gone by since the lists were.
        names = {plan.stream for plan in source.streams()} & STREAMS.keys() - {"events"}
    assert failed.keys() & names == {name for name in names if not answers(either, name)}


def test_stateful_mock_is_read_to_the_last_digit(stateful: Fake) -> None:
    """Its charges and refunds are exact, though it shows all of them whatever time is asked for.

    The one that is rejected came with a partial capture: only its line in the books, which this fake does not
    have, could say whether money was given back or never taken.
    """
    kept = KeptInStore()
    with connected(stateful, skip_streams=OPTIONAL) as source:
        failed = read(source, kept, soon())
    assert not failed.keys() & {"charges", "refunds", *OPTIONAL}
    in_part = {row["id"] for row in stateful.listed("charges") if 0 < row["amount_captured"] < row["amount"]}
    assert len(in_part) == 1
    undecided = {row["id"] for row in stateful.listed("refunds") if row["charge"] in in_part}
    assert_exact(stateful, kept, rejected=undecided)


def test_localstripe_is_read_to_the_last_digit(local: Fake) -> None:
    """With the filters that it lacks lent to it, all it holds is read; a strange currency is rejected."""
    kept = KeptInStore()
    with connected(local, WithFilters(), skip_streams=OPTIONAL[1:3]) as source:
        failed = read(source, kept, soon())
    assert failed.keys() == {"disputes", "balance"}
    strange = {row["id"] for row in local.listed("charges") if row["currency"] == WITHOUT_DIGITS}
    assert_exact(local, kept, rejected=strange)
    intents = {row["id"] for row in local.listed("payment_intents")}
    # Its payment intents do not say what was received.
    rejected = {row.object_id: row.reason for row in kept.all(Rejected) if row.stream == "payment_intents"}
    assert rejected == dict.fromkeys(intents, "amount_received is missing")


def test_stops_and_a_second_pull_add_nothing(either: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulls that are cut off again and again end with an undisturbed pull's records; another adds none."""
    monkeypatch.setattr(lists, "BATCH_OBJECTS", 50)
    lent = WithFilters() if either.name == "localstripe" else None
    whole, kept, now = KeptInStore(), KeptInStore(), soon()
    with connected(either, lent, skip_streams=OPTIONAL) as source:
        read(source, whole, now)
        versions = whole.versions
        read(source, whole, now)
        assert whole.versions == versions
        for batches in (1, 2):
            read(source, kept, now, batches=batches)
            assert batches > 1 or kept.versions < versions
        read(source, kept, now)
    assert facts(kept) == facts(whole)
