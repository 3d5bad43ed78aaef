"""What ``payhealth doctor`` tells about a Stripe key: all that is missing, and all that is too much."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from payhealth.connectors.stripe import permissions
from payhealth.connectors.stripe.client import StripeClient
from payhealth.connectors.stripe.source import StripeSource
from payhealth.domain.errors import SourceDataError, SourceRefusedError, SourceUnavailableError
from payhealth.domain.records import SourceAccount
from payhealth.ports import Advice, Batch, DiagnosedSource, Level
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.server import build_app
from payhealth.secrets import Secret
from payhealth.testing.memory import MemoryStore
from tests.unit.connectors.webhook_support import settings

STREAMS = ("charges", "refunds", "disputes", "setup_intents", "balance", "bookings", "events")
LISTED = {"object": "list", "data": [], "has_more": False}


def refusal(status: int, **error: str) -> httpx.Response:
    """Stripe's answer where it does not do what was asked."""
    return httpx.Response(status, json={"error": {"type": "invalid_request_error", **error}})


FORBIDDEN = refusal(403, message="The provided key 'rk_test_*' does not have the required permissions")
INCOMPLETE = refusal(400, message="One of the following params should be provided: charge, payment_intent")


class Server:
    """A Stripe that forbids some resources; what was asked of it is kept."""

    def __init__(
        self,
        *forbidden: str,
        write: httpx.Response = FORBIDDEN,
        live: bool = False,
        every: httpx.Response | None = None,
        odd: dict[str, httpx.Response] | None = None,
    ) -> None:
        self.forbidden = forbidden
        self.write = write
        self.live = live
        self.every = every
        self.odd = odd or {}
        self.asked: list[tuple[str, str, bytes]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """One answer."""
        resource = request.url.path.removeprefix("/v1/")
        self.asked.append((request.method, resource, request.content))
        if self.every is not None:
            return self.every
        if request.method == "POST":
            return self.write
        if resource in self.odd:
            return self.odd[resource]
        if resource in self.forbidden:
            return FORBIDDEN
        if resource == "balance":
            return httpx.Response(200, json={"object": "balance", "livemode": self.live})
        return httpx.Response(200, json=LISTED)


def made(server: Server, **changes: Any) -> tuple[StripeClient, Any]:
    """A client of that server, and its settings."""
    given = settings(max_attempts=2, **changes)
    quick: Callable[[float], None] = lambda _: None  # noqa: E731 - a clock in one line
    return StripeClient("cards", given, transport=httpx.MockTransport(server), sleep=quick), given


def examined(server: Server, streams: Sequence[str] = STREAMS, **changes: Any) -> list[Advice]:
    """What would be told."""
    client, given = made(server, **changes)
    try:
        return permissions.examine("cards", client, given, streams)
    finally:
        client.close()


def test_a_key_that_reads_everything_and_writes_nothing_needs_no_advice() -> None:
    """Every list was asked for one object, the balance was read, and nothing is said."""
    server = Server()
    assert examined(server) == []
    reading = {resource for method, resource, _ in server.asked if method == "GET"}
    assert reading == {"charges", "refunds", "disputes", "setup_intents", "balance", "events"}


def test_all_missing_permissions_are_named_at_once() -> None:
    """One line names them all, in the order of the streams; what can be done without is said."""
    [advice] = examined(Server("refunds", "setup_intents", "balance"))
    assert advice.level is Level.FAIL
    assert advice.message == "cards: the key may not read refunds, setup_intents and balance (403)"
    assert "allow reading refunds, setup_intents and balance for this key" in advice.hint
    assert "without setup_intents you can do: name them in skip_streams" in advice.hint


def test_one_missing_permission_is_named_alone() -> None:
    """No list of one; nothing is said of streams that cannot be left out."""
    [advice] = examined(Server("disputes"))
    assert advice.message == "cards: the key may not read disputes (403)"
    assert advice.hint == "allow reading disputes for this key"


def test_a_pull_is_refused_with_all_that_is_missing() -> None:
    """The same line as an error, before anything is written; a good key passes."""
    client, given = made(Server("charges", "events"))
    with pytest.raises(SourceRefusedError, match=r"may not read charges and events \(403\)"):
        permissions.verify("cards", client, given, STREAMS)
    client, given = made(Server())
    permissions.verify("cards", client, given, STREAMS)


def test_a_list_that_answers_oddly_hides_no_missing_permission() -> None:
    """Both are told: what may not be read, and what could not be."""
    missing, odd = examined(Server("events", odd={"refunds": refusal(404)}))
    assert missing.message == "cards: the key may not read events (403)"
    assert "404" in odd.message
    assert odd.level is Level.FAIL
    client, given = made(Server(odd={"refunds": refusal(404)}))
    with pytest.raises(SourceDataError):
        permissions.verify("cards", client, given, STREAMS)


def test_a_key_that_can_write_is_warned_of() -> None:
    """The probe names nothing that could be refunded, and is refused for that and not for who asks."""
    server = Server(write=INCOMPLETE)
    [advice] = examined(server)
    assert advice.level is Level.WARN
    assert advice.message == "cards: the key can write: it may make refunds"
    assert [each for each in server.asked if each[0] == "POST"] == [("POST", "refunds", b"")]


@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_full_secret_key_is_warned_of_without_a_probe(mode: str) -> None:
    """It can do everything, which needs no proof."""
    server = Server(write=INCOMPLETE, live=mode == "live")
    [advice] = examined(server, api_key=Secret(f"sk_{mode}_0123456789", "env:K"))
    assert advice.level is Level.WARN
    assert "full secret key" in advice.message
    assert "rk_" in advice.hint
    assert not [each for each in server.asked if each[0] == "POST"]


@pytest.mark.parametrize("answer", [refusal(404), refusal(402), httpx.Response(500)])
def test_a_probe_that_tells_nothing_is_said_to_tell_nothing(answer: httpx.Response) -> None:
    """An answer of another kind proves neither; it is never taken for a key that cannot write."""
    [advice] = examined(Server(write=answer))
    assert advice.level is Level.WARN
    assert "could not be found out" in advice.message


@pytest.mark.parametrize(("key", "live"), [("rk_test_0123456789", True), ("rk_live_0123456789", False)])
def test_a_key_of_the_other_mode_is_refused(key: str, live: bool) -> None:
    """What the key's name says and what it reads must be one mode."""
    [advice] = examined(Server(live=live), api_key=Secret(key, "env:K"))
    assert advice.level is Level.FAIL
    assert "mode" in advice.message
    assert key not in advice.message + advice.hint


def test_a_connected_account_that_cannot_be_reached_is_named_as_that() -> None:
    """Stripe refuses every list then; that is one fault of the account, not many of the key."""
    server = Server(every=refusal(403, code="account_invalid"))
    with pytest.raises(SourceRefusedError, match="account") as caught:
        examined(server, stripe_account="acct_1")
    assert "stripe_account" in caught.value.hint
    assert len(server.asked) == 1


def test_a_wrong_key_is_told_once() -> None:
    """401 ends it: nothing else could be learnt with that key."""
    server = Server(every=refusal(401))
    with pytest.raises(SourceRefusedError, match=r"\(401\)"):
        examined(server)
    assert len(server.asked) == 1


def test_nobody_there_is_told_once() -> None:
    """One list's attempts are enough to know that nobody answers."""
    server = Server(every=httpx.Response(503))
    with pytest.raises(SourceUnavailableError):
        examined(server)
    assert len(server.asked) == 2


READS = frozenset(
    {
        *("charge_read", "dispute_read", "payment_intent_read", "setup_intent_read"),
        *("early_fraud_warning_read", "checkout_session_read", "invoice_read", "payout_read"),
        *("balance_read", "balance_transaction_source_read", "event_read"),
    }
)
KEYS: dict[str, frozenset[str]] = {
    "rk_test_reads0123456789": READS,
    "rk_test_lacks0123456789": READS - {"dispute_read", "event_read", "invoice_read"},
    "rk_test_writes012345678": READS | {"charge_write"},
}


UNSEEN = (Level.WARN, "cards: the key may not see its account, so one of another is not refused")


@contextmanager
def connected(key: str, *, behind_s: int = 0, **changes: Any) -> Iterator[StripeSource]:
    """A source of the simulated account with one of its keys; its clock is so many seconds behind ours."""
    account = StripeAccount(
        seed=3,
        api_key="sk_test_whole0123456789",
        webhook_secret="whsec_0123456789",
        start=datetime(2026, 1, 1, tzinfo=UTC),
        api_keys=KEYS,
    )
    app = build_app(account, rate_limit_per_s=None, now_s=lambda: int(time.time()) - behind_s)
    with LoopbackServer(app) as server:
        given = settings(api_key=Secret(key, "env:K"), api_base=server.url, **changes)
        source = StripeSource("cards", given)
        try:
            yield source
        finally:
            source.close()


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("rk_test_reads0123456789", [UNSEEN]),
        (
            "rk_test_lacks0123456789",
            [(Level.FAIL, "cards: the key may not read disputes, invoices and events (403)"), UNSEEN],
        ),
        ("rk_test_writes012345678", [(Level.WARN, "cards: the key can write: it may make refunds"), UNSEEN]),
        (
            "sk_test_whole0123456789",
            [(Level.WARN, "cards: the key is a full secret key: whoever finds it can move money")],
        ),
    ],
)
def test_a_simulated_account_is_told_by_its_keys(key: str, told: list[tuple[Level, str]]) -> None:
    """Over HTTP, with keys that have permissions of their own, through the source that doctor asks."""
    with connected(key) as source:
        assert isinstance(source, DiagnosedSource)
        assert [(each.level, each.message) for each in source.diagnose(MemoryStore())] == told


def test_a_stored_account_of_the_other_mode_is_told() -> None:
    """What the store remembers of an earlier key is compared too, and a missing store is no hindrance."""
    store = MemoryStore()
    known = SourceAccount(connector="cards", account_id="", live=True)
    store.commit("cards", Batch(stream="charges", records={SourceAccount: [known]}))
    with connected("rk_test_reads0123456789") as source:
        *_, advice = source.diagnose(store)
        assert advice.level is Level.FAIL
        assert "live mode before" in advice.message
        assert source.diagnose(None) == []


def test_a_clock_that_is_apart_from_stripes_is_told() -> None:
    """Ages and time limits are counted by this machine's clock."""
    with connected("sk_test_whole0123456789", behind_s=7_200) as source:
        told = [each.message for each in source.diagnose(MemoryStore())]
    assert "cards: this machine's clock and Stripe's are 120 minutes apart" in told


def test_a_simulated_account_that_is_not_connected_is_told() -> None:
    """One line, that names what to check."""
    with (
        connected("rk_test_reads0123456789", stripe_account="acct_1") as source,
        pytest.raises(SourceRefusedError, match="account") as caught,
    ):
        source.diagnose(None)
    assert "stripe_account" in caught.value.hint
