"""Objects that are read by their ids: one that Stripe does not give keeps no other waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from payhealth.connectors.stripe.client import StripeClient
from payhealth.connectors.stripe.reading import Reading
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.streams import STREAMS
from payhealth.domain.errors import SourceRefusedError, SourceUnavailableError
from payhealth.domain.records import Movement, Refund, Rejected
from payhealth.ports import Batch
from payhealth.secrets import Secret
from tests.golden.stripe.regenerate import RULES, payload
from tests.unit.connectors.support import KeptInStore

DATE = {"Date": "Fri, 02 Jan 2026 00:00:00 GMT"}


@dataclass
class Server:
    """Answers by path; what it does not know does not exist."""

    answers: dict[str, httpx.Response] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request."""
        self.asked.append(request.url.path)
        return self.answers.get(request.url.path) or httpx.Response(404, headers=DATE, json={})

    def has(self, resource: str, found: dict[str, Any]) -> None:
        """Let an object exist."""
        self.answers[f"/v1/{resource}/{found['id']}"] = httpx.Response(200, headers=DATE, json=found)

    def refuses(self, path: str, status: int) -> None:
        """Let something end with a status."""
        error = {"type": "invalid_request_error", "message": "free text"}
        self.answers[path] = httpx.Response(status, json={"error": error})


@pytest.fixture
def server() -> Server:
    """A server that knows nothing yet."""
    return Server()


@pytest.fixture
def read(server: Server) -> Iterator[Callable[..., list[Batch]]]:
    """Reads objects of a stream by their ids."""
    settings = StripeSettings.model_validate(
        {
            "api_key": Secret("rk_test_1", "env:K"),
            "api_base": "https://api.stripe.test",
            "start": "2026-01-01",
            "max_attempts": 1,
        }
    )
    client = StripeClient("cards", settings, transport=httpx.MockTransport(server))
    reading = Reading(name="cards", settings=settings, client=client, rules=RULES)
    yield lambda resource, *ids: list(reading.fetched(STREAMS[resource], ids, "events", KeptInStore().store))
    client.close()


def charge(charge_id: str, **changes: Any) -> dict[str, Any]:
    """A charge that took 25.50 dollars, with changes."""
    return {**payload("charge_captured")["object"], "id": charge_id, **changes}


def refund(**changes: Any) -> dict[str, Any]:
    """A refund of ``ch_1`` that has no line yet, with changes."""
    return {**payload("refund_succeeded")["object"], "balance_transaction": None, **changes}


@pytest.mark.parametrize("status", [400, 404, 422])
def test_one_that_is_not_given_becomes_a_rejected_record(
    server: Server, read: Callable[..., list[Batch]], status: int
) -> None:
    """The others go on; what does not exist any more is no news, and anything else is kept and shown."""
    server.has("charges", charge("ch_1"))
    server.has("charges", charge("ch_3"))
    server.refuses("/v1/charges/ch_2", status)
    (batch,) = read("charges", "ch_1", "ch_2", "ch_3")
    assert sorted(batch.records[Movement]["movement_id"].to_pylist()) == ["ch_1", "ch_3"]
    rejected = batch.records[Rejected].to_pylist() if Rejected in batch.records else []
    assert rejected == [
        {
            "connector": "cards",
            "stream": "charges",
            "object_id": "ch_2",
            "reason": f"Stripe did not give it: {status}",
            "raw": '{"id":"ch_2"}',
        }
    ] * (status != 404)
    assert (batch.objects_read, batch.requests) == (2, 3)
    assert (batch.read_at is None) == (status == 404)  # that answer has no clock of its own


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, SourceRefusedError), (403, SourceRefusedError), (500, SourceUnavailableError)],
)
def test_refusals_of_the_key_and_silence_end_it(
    server: Server, read: Callable[..., list[Batch]], status: int, kind: type[Exception]
) -> None:
    """Those are about all objects, and none of them may be taken as read."""
    server.has("charges", charge("ch_1"))
    server.refuses("/v1/charges/ch_2", status)
    with pytest.raises(kind):
        read("charges", "ch_1", "ch_2")


def test_a_refund_does_not_wait_for_a_charge_that_is_not_given(
    server: Server, read: Callable[..., list[Batch]]
) -> None:
    """The refund is recorded with what it says itself, and the charge as rejected."""
    server.has("refunds", refund())
    server.refuses("/v1/charges/ch_1", 400)
    (batch,) = read("refunds", "re_1")
    assert batch.records[Refund]["refund_id"].to_pylist() == ["re_1"]
    assert batch.records[Rejected]["object_id"].to_pylist() == ["ch_1"]


def test_a_line_that_is_not_given_rejects_its_refund(
    server: Server, read: Callable[..., list[Batch]]
) -> None:
    """A failed refund cannot be understood without the line of its failure, and says so."""
    server.has("charges", charge("ch_1"))
    server.has("refunds", refund(failure_balance_transaction="txn_f"))
    server.refuses("/v1/balance_transactions/txn_f", 400)
    (batch,) = read("refunds", "re_1")
    assert batch.records[Rejected]["reason"].to_pylist() == ["failure_balance_transaction is not expanded"]


@pytest.mark.parametrize("odd", [".", ".."])
def test_a_refund_of_no_charge_reaches_no_other_path(
    server: Server, read: Callable[..., list[Batch]], odd: str
) -> None:
    """Nothing but the refund is asked for."""
    server.has("refunds", refund(charge=odd))
    (batch,) = read("refunds", "re_1", odd)
    assert batch.objects_read == 1
    assert batch.read_at is not None
    assert server.asked == ["/v1/refunds/re_1"]


@pytest.mark.parametrize(("captured", "status"), [(2550, "succeeded"), (2000, "pending")])
def test_a_refund_without_a_line_counts_once_it_is_sure(
    server: Server, read: Callable[..., list[Batch]], captured: int, status: str
) -> None:
    """Of a charge captured in part it may be the release of the rest."""
    server.has("charges", charge("ch_1", amount=2550, amount_captured=captured))
    server.has("refunds", refund())
    (batch,) = read("refunds", "re_1")
    moved = {row["movement_id"]: row["status"] for row in batch.records[Movement].to_pylist()}
    assert moved == {"ch_1": "succeeded", "re_1": status}
