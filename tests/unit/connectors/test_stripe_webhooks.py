"""Stripe's webhooks: what is believed, what is kept, and what an endless or hostile sender achieves."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.stripe import PLUGIN, deliveries, webhooks
from payhealth.connectors.stripe.source import rules_of
from payhealth.connectors.stripe.streams import STREAMS, translate
from payhealth.domain.errors import ConfigurationError, InputError, StoreBusyError, StoreError
from payhealth.plugins import WebhookOutcome
from payhealth.ports import Batch
from payhealth.sandbox.stripe.webhooks import signature
from payhealth.secrets import Secret
from payhealth.store import open_store
from tests.unit.connectors.webhook_support import (
    NEXT_SECRET,
    NOW_S,
    SECRET,
    Endpoint,
    OddStore,
    event,
    settings,
    signed,
)


def test_a_signed_event_is_in_the_store_before_it_is_answered() -> None:
    """200 means stored: id, type, which object changed, and of that only what may be kept."""
    here = Endpoint()
    assert here.deliver(event()) == (200, "stored")
    [row] = here.rows(deliveries.SourceEvent)
    assert (row["connector"], row["event_id"]) == ("cards", event()["id"])
    assert (row["type"], row["object_type"]) == ("charge.refunded", "charge")
    assert row["object_id"] == event()["data"]["object"]["id"]
    assert row["created_at"].timestamp() == NOW_S - 60
    assert "ada@example.com" not in repr(row)
    assert here.heard == [WebhookOutcome.STORED]


def test_a_delivery_moves_no_cursor_and_covers_nothing() -> None:
    """What was delivered proves nothing about what was not: the pull reads its list all the same."""
    here = Endpoint()
    here.deliver(event())
    assert here.store.cursor("cards", "events") is None
    assert here.store._windows == []


@pytest.mark.parametrize("sent_at_s", [NOW_S - 300, NOW_S, NOW_S + 300])
def test_a_signature_may_be_five_minutes_off(sent_at_s: int) -> None:
    """Clocks are not equal: the tolerance itself is still inside."""
    assert Endpoint().deliver(event(), sent_at_s=sent_at_s) == (200, "stored")


@pytest.mark.parametrize(
    ("sent_at_s", "outcome"),
    [(NOW_S - 301, "too_old"), (0, "too_old"), (NOW_S + 301, "too_new"), (10**11, "too_new")],
)
def test_a_signature_of_another_time_is_refused(sent_at_s: int, outcome: str) -> None:
    """A recorded delivery cannot be played back later, and none is taken from the future."""
    here = Endpoint()
    assert here.deliver(event(), sent_at_s=sent_at_s) == (400, outcome)
    assert here.events == []


def test_any_of_several_secrets_fits() -> None:
    """While a secret is rotated, Stripe signs with the old one, the new one or both."""
    here = Endpoint(None, SECRET, NEXT_SECRET)
    payload = orjson.dumps(event(3))
    old, new = (signature(payload, secret=each, sent_at_s=NOW_S) for each in (SECRET, NEXT_SECRET))
    both = f"{old},{new.partition(',')[2]}"
    assert here.deliver(event(1), secret=SECRET) == (200, "stored")
    assert here.deliver(event(2), secret=NEXT_SECRET) == (200, "stored")
    assert here.deliver(payload, header=both) == (200, "stored")
    assert Endpoint(None, NEXT_SECRET).deliver(payload, header=both) == (200, "stored")
    assert Endpoint(None, NEXT_SECRET).deliver(event(), secret=SECRET) == (400, "wrong_signature")


def test_a_signature_is_of_these_very_bytes() -> None:
    """The same JSON written otherwise, one byte more or another event is not what was signed."""
    here = Endpoint()
    payload = orjson.dumps(event())
    header = signature(payload, secret=SECRET, sent_at_s=NOW_S)
    spaced = json.dumps(event(), indent=1).encode()
    for forged in (payload + b" ", payload[:-1], b"", spaced, orjson.dumps(event(2)), payload + b"\xff"):
        assert here.deliver(forged, header=header) == (400, "wrong_signature")
    later = header.replace(f"t={NOW_S}", f"t={NOW_S + 1}")
    assert here.deliver(payload, header=later) == (400, "wrong_signature")
    assert here.events == []


VALID = signature(orjson.dumps(event()), secret=SECRET, sent_at_s=NOW_S)
DIGEST = VALID.partition(",v1=")[2]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=",
        "v1=",
        DIGEST,
        f"v1={DIGEST}",
        f"t={NOW_S}",
        f"t={NOW_S},",
        f"t=,v1={DIGEST}",
        f"t={NOW_S}.0,v1={DIGEST}",
        f"t=-{NOW_S},v1={DIGEST}",
        f"t={'9' * 13},v1={DIGEST}",
        f"t={NOW_S},t=0,v1={DIGEST}",
        f"t=0,t={NOW_S},v1={DIGEST}",
        f"t={NOW_S}, v1={DIGEST}",
        f"t={NOW_S},v1=\xe9{DIGEST[1:]}",
        f"t={NOW_S},v1={DIGEST},{'v1=' + 'a' * 5_000}",
        f"{VALID},{','.join(['v1=' + DIGEST] * 100)}",
        "t=" + "1" * 100_000,
    ],
)
def test_a_header_of_another_form_is_refused(header: str) -> None:
    """Missing, cut, doubled, not ASCII, or huge: refused before anything is computed."""
    here = Endpoint()
    payload = orjson.dumps(event())
    answer = here.post(payload, [("Stripe-Signature", header.encode("latin-1"))])  # type: ignore[list-item]
    assert (answer.status_code, answer.json()) == (400, {"outcome": "malformed_signature"})
    assert here.events == []


def test_no_header_or_two_are_refused() -> None:
    """Which of two would be meant, nobody knows."""
    here = Endpoint()
    payload = orjson.dumps(event())
    for headers in ([], [("Stripe-Signature", VALID)] * 2):
        answer = here.post(payload, headers)
        assert (answer.status_code, answer.json()["outcome"]) == (400, "malformed_signature")


def test_an_unknown_scheme_is_no_signature() -> None:
    """Only ``v1`` counts: ``v0`` is of test deliveries and can be made by anybody who listens."""
    here = Endpoint()
    assert here.deliver(event(), header=VALID.replace("v1=", "v0=")) == (400, "wrong_signature")
    assert here.deliver(event(), header=f"{VALID},v0={DIGEST},v2={DIGEST}") == (200, "stored")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=200))
def test_no_text_is_a_signature_by_accident(header: str) -> None:
    """Whatever stands in the header, the answer is a refusal and nothing breaks."""
    outcome = webhooks.verdict(b"{}", header, [Secret(SECRET, "env:S")], now_s=NOW_S)
    assert outcome in (WebhookOutcome.MALFORMED_SIGNATURE, WebhookOutcome.WRONG_SIGNATURE)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_post_is_answered(method: str) -> None:
    """Any other method is told which one is right."""
    here = Endpoint()

    async def one(client: httpx.AsyncClient) -> httpx.Response:
        return await client.request(method, "/", headers=signed(b""))

    answer = here.ask(one)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert here.heard == [WebhookOutcome.WRONG_METHOD]


def padded(size: int) -> bytes:
    """An event of exactly so many bytes."""
    payload = orjson.dumps(event(padding=""))
    return payload.replace(b'"padding":""', b'"padding":"%s"' % (b"x" * (size - len(payload))))


def test_the_largest_body_is_taken_and_one_byte_more_is_not() -> None:
    """The bound is exact, and a body beyond it is refused by its length alone."""
    here = Endpoint()
    assert here.deliver(padded(webhooks.MAX_BODY_BYTES)) == (200, "stored")
    assert here.deliver(padded(webhooks.MAX_BODY_BYTES + 1)) == (413, "too_large")
    assert here.deliver(event(2)) == (200, "stored")


def test_a_length_that_lies_is_refused_unread() -> None:
    """A length beyond the bound is believed, however long its number is; the body is not waited for."""

    async def never() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    for length in (webhooks.MAX_BODY_BYTES + 1, 10**30):
        here = Endpoint()
        answer = here.post(never(), {**signed(b""), "Content-Length": str(length)})
        assert answer.status_code == 413


def test_a_stream_without_length_is_cut_at_the_bound() -> None:
    """Chunks are counted as they come: an endless body is refused, and its sender's chunks are left."""
    sent = 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    here = Endpoint()
    assert asyncio.run(asked(here, receive)) == 413
    assert sent == webhooks.MAX_BODY_BYTES // 65_536 + 1


async def asked(here: Endpoint, receive: Any, **scope: Any) -> int:
    """One request as an ASGI server makes it; the answer's status."""
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    given = {"type": "http", "method": "POST", "path": "/", "headers": [], **scope}
    await here.app(given, receive, send)
    assert [message["type"] for message in said] == ["http.response.start", "http.response.body"]
    status: int = said[0]["status"]
    return status


def test_a_body_that_never_ends_is_not_waited_for() -> None:
    """A sender that drips is told so after the bound; here that is at once."""

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    here = Endpoint(body_within_s=0.0)
    assert asyncio.run(asked(here, receive)) == 408
    assert here.heard == [WebhookOutcome.TOO_SLOW]


def test_a_sender_that_goes_away_leaves_nothing() -> None:
    """Half a body is no event."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    here = Endpoint()
    assert asyncio.run(asked(here, receive)) == 400
    assert here.heard == [WebhookOutcome.CUT_OFF]


def test_bodies_share_one_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many large bodies at once are put off rather than held; the room is given back when one ends."""
    monkeypatch.setattr(webhooks, "HELD_BYTES_MAX", 100_000)
    here = Endpoint()
    first_is_in, may_end = asyncio.Event(), asyncio.Event()

    async def slow() -> dict[str, Any]:
        if not first_is_in.is_set():
            first_is_in.set()
            return {"type": "http.request", "body": b"x" * 90_000, "more_body": True}
        await may_end.wait()
        return {"type": "http.disconnect"}

    async def quick() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 20_000, "more_body": False}

    async def run() -> list[int]:
        first = asyncio.create_task(asked(here, slow))
        await first_is_in.wait()
        put_off = await asked(here, quick)
        may_end.set()
        return [put_off, await first, await asked(here, quick)]

    assert asyncio.run(run()) == [503, 400, 400]
    assert here.heard == [WebhookOutcome.BUSY, WebhookOutcome.CUT_OFF, WebhookOutcome.MALFORMED_SIGNATURE]


def test_a_replay_changes_nothing() -> None:
    """The same delivery again is 200 again, and neither a row nor a version more."""
    here = Endpoint()
    for number in (1, 2, 1, 1):
        assert here.deliver(event(number)) == (200, "stored")
    assert here.store.changes(deliveries.SourceEvent, after=0).num_rows == 2


def test_attempts_of_one_event_are_one_event() -> None:
    """A repeated delivery is signed anew and may count its waiting endpoints otherwise."""
    here = Endpoint()
    here.deliver(event(), sent_at_s=NOW_S - 200)
    here.deliver(event(pending_webhooks=0), sent_at_s=NOW_S)
    assert here.store.changes(deliveries.SourceEvent, after=0).num_rows == 1


def test_what_the_list_shows_of_an_event_stays(tmp_path: Any) -> None:
    """An endpoint has an API version of its own: whatever comes first, an event ends as it is listed."""
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    here = Endpoint(store)
    elsewhere = event(api_version="2019-12-03")
    assert here.deliver(elsewhere) == (200, "stored")
    rules = rules_of("cards", settings(), live=False)
    listed = translate(STREAMS["events"], [event()], rules).records
    store.commit("cards", Batch(stream="events", records=listed, read_at=datetime.now(UTC)))
    for _ in range(2):
        assert here.deliver(elsewhere) == (200, "stored")
    [event_id] = store.records(deliveries.SourceEvent)["event_id"].to_pylist()
    versions = store.history(deliveries.SourceEvent, ("cards", event_id))
    delivered, shown = (version["raw"] for version in versions)
    assert "2019-12-03" in delivered
    assert "2026-10-28.endive" in shown
    here.app.close()
    store.close()


def test_the_order_of_deliveries_does_not_matter() -> None:
    """Whatever order they come in, the same events are stored."""
    numbers = list(range(20))
    stored = []
    for seed in range(3):
        random.Random(seed).shuffle(numbers)
        here = Endpoint()
        for number in numbers:
            here.deliver(event(number, created=NOW_S - number))
        rows = here.rows(deliveries.SourceEvent)
        stored.append(sorted((row["event_id"], row["created_at"], row["object_id"]) for row in rows))
    assert stored[0] == stored[1] == stored[2]
    assert len(stored[0]) == 20


@pytest.mark.parametrize(
    ("key", "livemode", "answer"),
    [
        ("rk_test_1", False, (200, "stored")),
        ("rk_test_1", True, (400, "wrong_mode")),
        ("sk_test_1", True, (400, "wrong_mode")),
        ("rk_live_1", True, (200, "stored")),
        ("rk_live_1", False, (400, "wrong_mode")),
        ("sk_live_1", False, (400, "wrong_mode")),
    ],
)
def test_the_modes_are_never_mixed(key: str, livemode: bool, answer: tuple[int, str]) -> None:
    """A test event at a live connector is refused, whatever it is signed with, and the other way round."""
    here = Endpoint(api_key=Secret(key, "env:K"))
    assert here.deliver(event(livemode=livemode)) == answer
    assert len(here.events) == (1 if answer[0] == 200 else 0)


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome"),
    [
        (None, None, "stored"),
        (None, "acct_1", "other_account"),
        ("acct_1", "acct_1", "stored"),
        ("acct_1", "acct_2", "other_account"),
        ("acct_1", None, "other_account"),
    ],
)
def test_another_account_is_left_to_its_own_connector(
    ours: str | None, theirs: str | None, outcome: str
) -> None:
    """A platform's endpoint hears of all its accounts: 200, or Stripe would switch it off; we store ours."""
    here = Endpoint(stripe_account=ours)
    changes = {} if theirs is None else {"account": theirs}
    assert here.deliver(event(**changes)) == (200, outcome)
    assert len(here.events) == (1 if outcome == "stored" else 0)
    assert here.rejected == []


DEEP = b'{"id":"evt_deep","object":"event","livemode":false,"data":%s%s}' % (b"[" * 900, b"]" * 900)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not JSON",
        b"null",
        b"[]",
        b"1e999",
        b'"evt_1"',
        b"{}",
        b'{"id":',
        b"[" * 100_000,
        b"\xef\xbb\xbf{}",
        DEEP,
        DEEP.replace(b"[", b'{"a":').replace(b"]", b"}").replace(b'{"a":}', b"{}"),
        b'{"id":"evt_\\u0000","object":"event","livemode":false}',
        b'{"id":"\\ud800","object":"event","livemode":false}',
        orjson.dumps(event(id=None)),
        orjson.dumps(event(id=5)),
        orjson.dumps(event(id="")),
        orjson.dumps(event(id="x" * 300)),
        orjson.dumps(event(id="evt_\x00\n")),
        orjson.dumps(event(id={"$ne": 1})),
        orjson.dumps(event(object="v2.core.event")),
        orjson.dumps(event(created="now")),
        orjson.dumps(event(created=2**63)),
        orjson.dumps(event(created=-1)),
        orjson.dumps(event()).replace(b'"created":%d' % (NOW_S - 60), b'"created":' + b"9" * 4_000),
        orjson.dumps(event(livemode=None)),
        orjson.dumps(event(livemode="false")),
        orjson.dumps(event(data=None)),
        orjson.dumps(event(data=[])),
        orjson.dumps(event(data={"object": []})),
        orjson.dumps(event(type=None)),
    ],
)
def test_what_is_signed_but_not_understood_is_kept(payload: bytes) -> None:
    """It would be no clearer the next time: 200, a rejected record with a reason, and none of its content."""
    here = Endpoint()
    assert here.deliver(payload) == (200, "rejected")
    [row] = here.rejected
    assert (row["connector"], row["stream"]) == ("cards", "events")
    assert row["reason"]
    assert "ada@example.com" not in repr(row)
    assert "\x00" not in repr(row)
    assert here.events == []
    assert here.deliver(payload) == (200, "rejected")
    assert len(here.rejected) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from(["id", "object", "created", "data", "type", "api_version", "request", "livemode"]),
)
def test_any_value_anywhere_is_stored_or_kept(value: Any, name: str) -> None:
    """Whatever stands in a field of a signed event: it is stored, kept as rejected or refused, never lost."""
    here = Endpoint()
    status, outcome = here.deliver(orjson.dumps(event(**{name: value})))
    kept = (len(here.events), len(here.rejected))
    assert (status, outcome, kept) in [
        (200, "stored", (1, 0)),
        (200, "rejected", (0, 1)),
        (400, "wrong_mode", (0, 0)),
    ]


async def until(true: Callable[[], bool]) -> None:
    """Let everybody else go on until something holds."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - what is waited for happens in a thread of its own
            await asyncio.sleep(0)


async def posted(
    client: httpx.AsyncClient, here: Endpoint, payloads: list[bytes]
) -> list[asyncio.Task[httpx.Response]]:
    """Requests on their way: the first holds the store, and all others have come meanwhile."""
    tasks = []
    for number, payload in enumerate(payloads):
        tasks.append(asyncio.create_task(client.post("/", content=payload, headers=signed(payload))))
        if not number:
            await until(lambda: not here.store.failures)
    heard = len(here.heard)
    await until(lambda: len(here.app._deliveries._waiting) + len(here.heard) - heard == len(payloads) - 1)
    return tasks


def test_many_at_once_are_all_stored_once() -> None:
    """Five hundred concurrent deliveries of 250 events: each stored once, in two transactions."""
    may_go = threading.Event()
    store = OddStore(lambda _: may_go.wait(30) and None)
    here = Endpoint(store)

    async def many(client: httpx.AsyncClient) -> list[httpx.Response]:
        tasks = await posted(client, here, [orjson.dumps(event(number % 250)) for number in range(500)])
        may_go.set()
        return list(await asyncio.gather(*tasks))

    answers = here.ask(many)
    assert {(each.status_code, each.json()["outcome"]) for each in answers} == {(200, "stored")}
    assert len(here.events) == 250
    assert store.changes(deliveries.SourceEvent, after=0).num_rows == 250
    assert store.sizes == [1, 499]


def test_more_than_is_held_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into the queue is 503 at once: Stripe comes again, and memory stays bounded."""
    monkeypatch.setattr(deliveries, "WAITING_MAX", 3)
    may_go = threading.Event()
    here = Endpoint(OddStore(lambda _: may_go.wait(30) and None))

    async def many(client: httpx.AsyncClient) -> list[int]:
        tasks = await posted(client, here, [orjson.dumps(event(number)) for number in range(10)])
        assert here.heard == [WebhookOutcome.BUSY] * 6
        may_go.set()
        return [each.status_code for each in await asyncio.gather(*tasks)]

    assert sorted(here.ask(many)) == [200] * 4 + [503] * 6
    assert len(here.events) == 4


@pytest.mark.parametrize("failure", [StoreBusyError("somebody else holds it"), StoreError("disk full")])
def test_a_store_that_fails_puts_everybody_off(failure: Exception) -> None:
    """503, so that Stripe sends it again; the next attempt is stored."""
    here = Endpoint(OddStore(failure))
    assert here.deliver(event()) == (503, "not_stored")
    assert here.events == []
    assert here.deliver(event()) == (200, "stored")


def test_a_store_that_hangs_puts_the_sender_off() -> None:
    """After the bound the answer is 503, though the transaction may end later: a replay changes nothing."""
    may_go = threading.Event()
    here = Endpoint(OddStore(lambda _: may_go.wait(10) and None), stored_within_s=0.05)
    assert here.deliver(event()) == (503, "not_stored")
    may_go.set()
    here.app.close()
    assert here.events == [event()["id"]]


def test_one_that_cannot_be_kept_spoils_it_for_nobody() -> None:
    """Where the store stumbles over one event of many, the others are stored and this one is rejected."""
    may_go = threading.Event()

    def stumble(batch: Any) -> None:
        may_go.wait(10)

    class Picky(OddStore):
        def commit(self, connector: str, batch: Any) -> Any:
            ids = [str(row) for rows in batch.records.values() for row in _pylist(rows)]
            if any("evt_000000000000000000000007" in each and "'type'" in each for each in ids):
                raise InputError("a value that cannot be kept")
            return super().commit(connector, batch)

    store = Picky(stumble)
    here = Endpoint(store)

    async def many(client: httpx.AsyncClient) -> list[str]:
        tasks = await posted(client, here, [orjson.dumps(event(number)) for number in range(10)])
        may_go.set()
        return [each.json()["outcome"] for each in await asyncio.gather(*tasks)]

    outcomes = here.ask(many)
    assert outcomes == ["stored"] * 7 + ["rejected"] + ["stored"] * 2
    assert len(here.events) == 9
    [row] = here.rejected
    assert row["object_id"] == "evt_000000000000000000000007"


def _pylist(rows: Any) -> list[Any]:
    if hasattr(rows, "to_pylist"):
        return list(rows.to_pylist())
    return [{name: getattr(row, name) for name in row.__dataclass_fields__} for row in rows]


def test_after_the_end_nothing_is_taken() -> None:
    """What waits is committed at the end, and what comes later is put off."""
    here = Endpoint()
    here.deliver(event(1))
    here.app.close()
    assert here.deliver(event(2)) == (503, "busy")
    assert len(here.events) == 1


def test_an_sql_store_keeps_them_too(tmp_path: Any) -> None:
    """On SQLite: events, rejected ones and replays, in one transaction or several."""
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    try:
        here = Endpoint(store)
        for payload in (event(1), event(2), event(1), b"nonsense", b"nonsense", event(3, object="card")):
            assert here.deliver(payload)[0] == 200
        assert len(here.events) == 2
        assert len(here.rejected) == 2
        assert store.changes(deliveries.SourceEvent, after=0).num_rows == 2
        here.app.close()
    finally:
        store.close()


def test_without_a_secret_there_is_no_endpoint() -> None:
    """Nothing could be believed: refused when it is made by hand, left out where it is optional."""
    bare = settings(webhook_secrets=())
    with pytest.raises(ConfigurationError, match="webhook_secrets"):
        webhooks.webhook_app("cards", bare, OddStore())
    assert PLUGIN.webhooks is not None
    assert PLUGIN.webhooks("cards", bare, OddStore(), lambda _: None) is None
    assert PLUGIN.webhooks("cards", settings(), OddStore(), lambda _: None) is not None


def test_every_outcome_has_its_answer() -> None:
    """No outcome is without a status; only what is stored, kept or another's is 200."""
    assert set(webhooks.STATUS) == set(WebhookOutcome)
    good = {outcome for outcome, status in webhooks.STATUS.items() if status == 200}
    assert good == {WebhookOutcome.STORED, WebhookOutcome.REJECTED, WebhookOutcome.OTHER_ACCOUNT}


def test_other_protocols_end_cleanly() -> None:
    """A server may announce its start and end, and a WebSocket is closed."""

    async def run(kind: str, *given: str) -> list[Any]:
        said: list[Any] = []
        messages = iter(given)

        async def receive() -> dict[str, Any]:
            return {"type": next(messages)}

        async def send(message: Any) -> None:
            said.append(message["type"])

        await Endpoint().app({"type": kind}, receive, send)
        return said

    started = asyncio.run(run("lifespan", "lifespan.startup", "lifespan.shutdown"))
    assert started == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert asyncio.run(run("websocket", "websocket.connect")) == ["websocket.close"]


WATCHED = """
import sys
seen = []
def watch(name, arguments):
    if name.startswith(("socket.connect", "socket.send", "socket.get", "subprocess.", "os.system")):
        seen.append(name)
    if name == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append(f"open {arguments[0]}")
sys.addaudithook(watch)
from payhealth.connectors.stripe.signatures import verdict
from payhealth.secrets import Secret
print(verdict(b"{}", "t=1,v1=00", [Secret("whsec_x", "env:X")], now_s=1))
before = list(seen)
open(sys.argv[1], "w").close()
assert len(seen) == len(before) + 1, "the watch does not see"
print(before)
"""


def test_checking_signatures_tells_nobody(tmp_path: Any) -> None:
    """Loading Stripe's package and checking a signature with it opens no connection and writes no file."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED, str(tmp_path / "seen")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["wrong_signature", "[]"]
    assert done.stderr == ""
