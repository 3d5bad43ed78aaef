"""What the client makes of a network and a server that misbehave."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import respx
import stripe
import stripe.oauth_error  # brings the exceptions that the package loads late
from pydantic import ValidationError

from payhealth.connectors.limiter import RateLimiter
from payhealth.connectors.stripe import PLUGIN
from payhealth.connectors.stripe.client import StripeClient
from payhealth.connectors.stripe.errors import SDK_ERRORS, NotGivenError, from_sdk
from payhealth.connectors.stripe.http import MAX_BODY_BYTES
from payhealth.connectors.stripe.settings import API_VERSION, StripeSettings
from payhealth.domain.errors import (
    SourceDataError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)
from payhealth.secrets import Secret

KEY = "rk_live_5ecretSECRET5ecret"
URL = "https://api.stripe.test/v1/charges"


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now_s += seconds

    def monotonic(self) -> float:
        """The present second."""
        return self.now_s


@pytest.fixture
def time() -> Time:
    """A clock that starts at 0."""
    return Time()


@pytest.fixture
def client(time: Time) -> Iterator[StripeClient]:
    """A client on that clock."""
    made = StripeClient("cards", settings(), sleep=time.sleep, monotonic=time.monotonic, jitter=lambda: 1.0)
    yield made
    made.close()


def settings(**changes: Any) -> StripeSettings:
    """Valid settings, with changes."""
    values = {
        "api_key": Secret(KEY, "env:STRIPE_API_KEY"),
        "api_base": "https://api.stripe.test",
        "start": "2026-01-01",
        **changes,
    }
    return StripeSettings.model_validate(values)


def listed(*ids: str, has_more: bool = False) -> httpx.Response:
    """A page of charges."""
    rows = [{"id": found, "object": "charge"} for found in ids]
    return httpx.Response(
        200, json={"object": "list", "data": rows, "has_more": has_more, "url": "/v1/charges"}
    )


def read(client: StripeClient) -> list[str]:
    """The ids of a whole list."""
    pages = client.pages("charges", created_from_s=10, created_to_s=20)
    return [found["id"] for page in pages for found in page.objects]


def error_of(client: StripeClient) -> SourceError:
    """What reading ends with; the key is nowhere in it."""
    with pytest.raises(SourceError) as caught:
        read(client)
    error = caught.value
    assert KEY not in f"{error} {error.hint} {error.__cause__!r}"
    assert "\n" not in error.message
    return error


@respx.mock
def test_requests_are_as_stripe_wants_them(client: StripeClient) -> None:
    """A hundred a page, half-open windows, the pinned version, the key as bearer."""
    route = respx.get(URL).mock(side_effect=[listed("ch_2", "ch_1", has_more=True), listed("ch_0")])
    assert read(client) == ["ch_2", "ch_1", "ch_0"]
    first, second = (call.request for call in route.calls)
    assert dict(first.url.params) == {"limit": "100", "created[gte]": "10", "created[lt]": "20"}
    assert second.url.params["starting_after"] == "ch_1"
    assert first.headers["Stripe-Version"] == API_VERSION
    assert first.headers["Authorization"] == f"Bearer {KEY}"
    assert client.requests == 2


@respx.mock
def test_429_waits_as_long_as_asked(client: StripeClient, time: Time) -> None:
    """Retry-After is a floor, and jitter comes on top of it."""
    respx.get(URL).mock(side_effect=[httpx.Response(429, headers={"Retry-After": "7"}), listed("ch_1")])
    assert read(client) == ["ch_1"]
    assert 7 < sum(time.slept) < 9


@pytest.mark.parametrize("failure", [500, 502, 503, 429, 409])
@respx.mock
def test_passing_refusals_are_tried_again(client: StripeClient, failure: int) -> None:
    """Server errors, conflicts and limits pass: the page is asked for again."""
    respx.get(URL).mock(side_effect=[httpx.Response(failure)] * 5 + [listed("ch_1")])
    assert read(client) == ["ch_1"]


broken: dict[str, Any] = {
    "web page": httpx.Response(200, html="<html>maintenance</html>"),
    "truncated": httpx.Response(200, content=b'{"object":"list","data":[{"id":"ch_'),
    "empty": httpx.Response(200, content=b""),
    "not gzip": httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"nope")),
    "reset": httpx.ReadError("reset"),
    "refused": httpx.ConnectError("refused"),
    "protocol": httpx.RemoteProtocolError("peer closed"),
    "timeout": httpx.ReadTimeout("slow"),
    "500": httpx.Response(500, json={"error": {"message": f"oops {KEY}"}}),
}


@pytest.mark.parametrize("fault", broken)
@respx.mock
def test_lasting_faults_end_in_one_clear_line(client: StripeClient, fault: str, time: Time) -> None:
    """Retries are bounded, in number and in time; then the source is unavailable."""
    route = respx.get(URL).mock(side_effect=lambda _request: again(broken[fault]))
    error = error_of(client)
    assert isinstance(error, SourceUnavailableError)
    assert "6 attempts" in error.message
    assert route.call_count == 6
    assert sum(time.slept) < 60


def again(fault: Any) -> httpx.Response:
    """A fresh copy of an answer, or its exception."""
    if isinstance(fault, Exception):
        raise fault
    stream = fault.stream
    return httpx.Response(fault.status_code, headers=fault.headers, stream=stream)


@respx.mock
def test_oversized_bodies_are_cut_off(client: StripeClient) -> None:
    """A body is bounded after it was unpacked, too."""
    bomb = gzip.compress(b" " * (MAX_BODY_BYTES + 1))
    respx.get(URL).mock(
        return_value=httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(bomb))
    )
    error = error_of(client)
    assert isinstance(error, SourceDataError)
    assert "larger than" in error.message


@respx.mock
def test_slow_drips_are_cut_off(client: StripeClient, time: Time) -> None:
    """An answer that never ends does not hold a pull for ever."""

    class Drip(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                time.now_s += 20
                yield b" "

    respx.get(URL).mock(side_effect=lambda _request: httpx.Response(200, stream=Drip()))
    assert "takes too long" in error_of(client).message


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (401, SourceRefusedError, "refused the API key"),
        (403, SourceRefusedError, "lacks the permission"),
        (400, SourceDataError, "parameter_unknown"),
        (404, SourceDataError, "404"),
        (302, SourceDataError, "elsewhere"),
    ],
)
@respx.mock
def test_lasting_refusals_are_not_tried_again(
    client: StripeClient, status: int, kind: type[SourceError], word: str
) -> None:
    """A wrong key, a missing permission, a wrong address: one request, one clear line."""
    body = {"error": {"type": "invalid_request_error", "code": "parameter_unknown", "message": f"no {KEY}"}}
    route = respx.get(URL).mock(return_value=httpx.Response(status, json=body))
    error = error_of(client)
    assert isinstance(error, kind)
    assert word in error.message
    assert route.call_count == 1


@respx.mock
def test_stripes_own_word_on_retrying_counts(client: StripeClient) -> None:
    """``stripe-should-retry: false`` ends it, even for a 500."""
    route = respx.get(URL).mock(return_value=httpx.Response(500, headers={"stripe-should-retry": "false"}))
    assert isinstance(error_of(client), SourceUnavailableError)
    assert route.call_count == 1


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"data":{},"has_more":true}', b'{"data":[]}', b"7"])
@respx.mock
def test_other_json_is_no_list(client: StripeClient, body: bytes) -> None:
    """A server that answers in another shape is not Stripe."""
    respx.get(URL).mock(return_value=httpx.Response(200, content=body))
    assert "no list of Stripe's" in error_of(client).message


@respx.mock
def test_a_list_without_end_ends(client: StripeClient) -> None:
    """A page that says there is more, and goes nowhere, is an error rather than a loop."""
    respx.get(URL).mock(side_effect=lambda _request: listed("ch_1", has_more=True))
    assert "does not go on" in error_of(client).message


@respx.mock
def test_pages_that_name_each_other_end(client: StripeClient) -> None:
    """No object is gone on from twice, however many pages lie between."""
    after = {None: "ch_3", "ch_3": "ch_2", "ch_2": "ch_1", "ch_1": "ch_3"}
    route = respx.get(URL).mock(
        side_effect=lambda request: listed(after[request.url.params.get("starting_after")], has_more=True)
    )
    assert "leads back" in error_of(client).message
    assert route.call_count == 4


@pytest.mark.parametrize("odd", ["x" * 70_000, "free text of\nthe vendor", "", "\x00"])
@respx.mock
def test_what_is_no_id_is_no_cursor(client: StripeClient, odd: str) -> None:
    """It neither goes into an address nor into a message."""
    route = respx.get(URL).mock(side_effect=lambda _request: listed(odd, has_more=True))
    error = error_of(client)
    assert isinstance(error, SourceDataError)
    assert len(error.message) < 120
    assert "vendor" not in error.message
    assert route.call_count == 1


@respx.mock
def test_a_list_goes_on_from_the_last_object_that_has_an_id(client: StripeClient) -> None:
    """One odd object at the end of a page does not stop a list; it comes again, and so do those behind it."""
    odd = "x" * 70_000
    route = respx.get(URL).mock(
        side_effect=[listed("ch_2", odd, has_more=True), listed(odd, "ch_1", has_more=False)]
    )
    assert read(client) == ["ch_2", odd, odd, "ch_1"]
    assert route.calls[1].request.url.params["starting_after"] == "ch_2"


@respx.mock
def test_ids_cannot_reach_another_endpoint(client: StripeClient) -> None:
    """An id is quoted into the path."""
    route = respx.get(url__regex=r".*").mock(return_value=httpx.Response(404, json={}))
    assert client.fetch("charges", "../customers?x=1#").body is None
    assert route.calls[0].request.url.raw_path == b"/v1/charges/..%2Fcustomers%3Fx%3D1%23"


@pytest.mark.parametrize("odd", [".", "..", "", "x" * 256, "a\nb"])
@respx.mock
def test_what_can_be_no_id_is_not_asked_for(client: StripeClient, odd: str) -> None:
    """As a part of a path it would lead elsewhere: it is an object that does not exist."""
    answer = client.fetch("charges", odd)
    assert (answer.body, answer.requests) == (None, 0)
    assert not respx.calls


def test_an_address_that_cannot_be_is_an_error_of_ours(client: StripeClient) -> None:
    """What httpx refuses to send never reaches the caller as its exception."""
    with pytest.raises(SourceDataError, match="fits no address"):
        list(client.listed("charges", {"type": "x" * 70_000}))


@respx.mock
def test_a_single_object_has_no_cursor_that_could_be_gone(client: StripeClient) -> None:
    """Stripe's word on a cursor that was not sent is a refusal like any other."""
    respx.get(f"{URL}/ch_1").mock(return_value=gone())
    with pytest.raises(NotGivenError) as caught:
        client.fetch("charges", "ch_1")
    assert caught.value.why == "400"


def test_the_limiter_keeps_both_paces(time: Time) -> None:
    """No endpoint goes faster than its limit, nor all together than theirs."""
    limiter = RateLimiter(total_per_s=50, endpoint_per_s=25, monotonic=time.monotonic, sleep=time.sleep)
    for _ in range(100):
        limiter.wait("charges")
    assert 100 / 25 - 0.3 < time.now_s < 100 / 25 + 0.1
    began_s = time.now_s
    for number in range(400):
        limiter.wait(f"endpoint-{number % 8}")
    assert 400 / 50 - 0.3 < time.now_s - began_s < 400 / 50 + 0.1


def test_429_slows_the_endpoint_until_answers_come(time: Time) -> None:
    """Half the pace after a refusal, the full one again after some answers, and other endpoints go on."""
    limiter = RateLimiter(total_per_s=1_000, endpoint_per_s=10, monotonic=time.monotonic, sleep=time.sleep)
    limiter.wait("charges")
    limiter.slow_down("charges", 3)
    limiter.wait("refunds")
    assert time.now_s == 0
    limiter.wait("charges")
    assert time.now_s == pytest.approx(3)
    limiter.wait("charges")
    assert time.now_s == pytest.approx(3.2)
    for _ in range(100):
        limiter.went_well("charges")
    limiter.wait("charges")
    began_s = time.now_s
    for _ in range(10):
        limiter.wait("charges")
    assert time.now_s - began_s == pytest.approx(1)


def gone() -> httpx.Response:
    """What Stripe says where the object of ``starting_after`` is not there."""
    error = {"type": "invalid_request_error", "code": "resource_missing", "param": "starting_after"}
    return httpx.Response(400, json={"error": error})


@respx.mock
def test_a_cursor_whose_object_is_gone_begins_again(client: StripeClient) -> None:
    """The list is read from its beginning again, and nothing of it is missing."""
    respx.get(URL).mock(
        side_effect=[
            listed("ch_3", "ch_2", has_more=True),
            gone(),
            listed("ch_3", "ch_1", has_more=True),
            listed("ch_0"),
        ]
    )
    assert read(client) == ["ch_3", "ch_2", "ch_3", "ch_1", "ch_0"]


@respx.mock
def test_a_list_whose_objects_keep_vanishing_ends(client: StripeClient) -> None:
    """Beginning again has a bound."""
    answers = {True: gone(), False: listed("ch_1", has_more=True)}
    respx.get(URL).mock(side_effect=lambda request: answers["starting_after" in request.url.params])
    assert "vanish" in error_of(client).message


@respx.mock
@pytest.mark.parametrize(
    ("date", "second"),
    [
        ("Thu, 01 Jan 2026 00:00:07 GMT", 7),
        ("yesterday", None),
        (None, None),
        ("", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
        ("Thu, 99 Jan 2026 00:00:00 GMT", None),
    ],
)
def test_the_servers_clock_comes_with_the_page(
    client: StripeClient, date: str | None, second: int | None
) -> None:
    """It is what tells which reading of an object is the newest."""
    headers = {} if date is None else {"Date": date}
    respx.get(URL).mock(
        return_value=httpx.Response(200, json={"data": [], "has_more": False}, headers=headers)
    )
    page = next(client.pages("charges", created_from_s=10, created_to_s=20))
    expected = None if second is None else datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
    assert page.read_at == expected


@respx.mock
def test_a_connected_account_is_named(time: Time) -> None:
    """Every request says whose account it is about."""
    route = respx.get(URL).mock(return_value=listed())
    client = StripeClient("cards", settings(stripe_account="acct_1Q"), sleep=time.sleep)
    assert read(client) == []
    assert route.calls[0].request.headers["Stripe-Account"] == "acct_1Q"
    client.close()


@respx.mock
@pytest.mark.parametrize(("status", "may"), [(403, False), (400, True), (200, True)])
def test_whether_a_key_can_write(client: StripeClient, status: int, may: bool) -> None:
    """Refused for who asks, it cannot; refused for what is missing, it could."""
    answer = httpx.Response(status, json={"error": {"type": "invalid_request_error"}})
    route = respx.post("https://api.stripe.test/v1/refunds").mock(return_value=answer)
    assert client.can_write() is may
    assert route.calls[0].request.content == b""


@respx.mock
def test_files_are_read_line_by_line(client: StripeClient) -> None:
    """Lines come without their ends, the last one too where it has none."""
    url = "https://files.stripe.com/v1/files/file_1/contents"
    respx.get(url).mock(return_value=httpx.Response(200, content=b"a,b\n1,2\n3,4"))
    assert list(client.stream_lines(url)) == [b"a,b", b"1,2", b"3,4"]


@pytest.mark.parametrize(("drip", "seconds"), [(b"1", 20), (b"1\n", 20), (b"1\n1", 20)])
@respx.mock
def test_files_that_drip_are_cut_off(client: StripeClient, time: Time, drip: bytes, seconds: int) -> None:
    """A line has a time limit, and so has the whole file, whatever it is made of."""

    class Drip(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                time.now_s += seconds
                yield drip

    url = "https://files.stripe.com/v1/files/file_1/contents"
    respx.get(url).mock(return_value=httpx.Response(200, stream=Drip()))
    with pytest.raises(SourceUnavailableError, match="takes too long"):
        list(client.stream_lines(url))
    assert time.now_s <= (3_600 if b"\n" in drip else settings().timeout_s * 4) + seconds


@respx.mock
def test_a_slow_reader_of_a_file_is_not_a_slow_file(client: StripeClient, time: Time) -> None:
    """Only waiting for Stripe counts: what is done with the lines may take as long as it likes."""
    url = "https://files.stripe.com/v1/files/file_1/contents"

    class Chunks(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from (b"1\n2\n", b"3")

    respx.get(url).mock(return_value=httpx.Response(200, stream=Chunks()))
    lines = []
    for line in client.stream_lines(url):
        time.now_s += 10_000
        lines.append(line)
    assert lines == [b"1", b"2", b"3"]


@respx.mock
@pytest.mark.parametrize(
    "url", ["http://[", "https://evil.test/v1/files/f", "http://files.stripe.com.evil.test/x", "file:///etc"]
)
def test_the_key_goes_to_stripes_hosts_alone(client: StripeClient, url: str) -> None:
    """A file's address comes from an answer: the key is not sent wherever it says."""
    with pytest.raises(SourceDataError, match="not Stripe's"):
        list(client.stream_lines(url))
    assert not respx.calls


def _subclasses(base: type[Exception]) -> Iterator[type[Exception]]:
    for found in base.__subclasses__():
        yield found
        yield from _subclasses(found)


def test_every_exception_of_the_sdk_is_mapped() -> None:
    """The table names each class of the stripe package: a new one must be thought about."""
    names = {found.__name__ for found in _subclasses(stripe.StripeError)} | {"StripeError"}
    assert names == set(SDK_ERRORS)


@pytest.mark.parametrize("found", [stripe.StripeError, *_subclasses(stripe.StripeError)])
def test_sdk_exceptions_in_our_words(found: type[Exception]) -> None:
    """Each becomes an error of ours that shows neither key nor text."""
    error = found.__new__(found)
    stripe.StripeError.__init__(error, f"Invalid API Key provided: {KEY}", http_status=401)  # type: ignore[arg-type]
    ours = from_sdk(error, connector="cards", endpoint="charges")  # type: ignore[arg-type]
    assert isinstance(ours, SourceError)
    assert KEY not in f"{ours} {ours.hint}"


def test_a_raised_sdk_exception_never_says_more_than_its_class() -> None:
    """A class that is newer than the table goes by its nearest known base."""

    class NewerError(stripe.AuthenticationError):
        pass

    assert isinstance(from_sdk(NewerError("x"), connector="cards", endpoint="charges"), SourceRefusedError)


refused_settings: dict[str, tuple[dict[str, Any], str]] = {
    "key in clear": ({"api_key": KEY}, "never the secret itself"),
    "unknown key": ({"api_keyy": "env:X"}, "Extra inputs"),
    "naive start": ({"start": "2026-01-01T00:00:00"}, "time zone"),
    "no start": ({"start": None}, "must be a date"),
    "no server": ({"api_base": "api.stripe.com"}, "must be a URL"),
    "credentials": ({"api_base": "https://me:secret@api.stripe.com"}, "no credentials"),
    "plain http": ({"api_base": "http://api.stripe.com"}, "in clear"),
    "no rate": ({"rate_limit_per_s": 0}, "greater than 0"),
}


@pytest.mark.parametrize("case", refused_settings)
def test_settings_that_cannot_be(case: str) -> None:
    """A wrong setting is refused with what is wrong, never with the key's value."""
    changes, word = refused_settings[case]
    with pytest.raises(ValidationError) as caught:
        settings(**changes)
    first = caught.value.errors(include_url=False, include_input=False)[0]
    assert word in first["msg"]
    assert KEY not in str(first)


def test_plain_http_is_for_test_keys_and_loopback() -> None:
    """A sandbox may stand elsewhere; only a live key must not travel in clear."""
    settings(api_base="http://127.0.0.1:9", api_key=Secret(KEY, "env:K"))
    settings(api_base="http://sandbox:8080/", api_key=Secret("sk_test_1", "env:K"))


def test_the_plugin_builds_without_a_network() -> None:
    """Building a source opens nothing."""
    source = PLUGIN.build("cards", settings())
    assert (source.name, source.kind, PLUGIN.kind) == ("cards", "stripe", "stripe")
    assert next(plan.stream for plan in source.streams()) == "charges"
    source.close()
