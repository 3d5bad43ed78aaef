"""Alerts: one message for what changed, and lost data mends nothing."""

from __future__ import annotations

import pytest

from payhealth.daemon import notify
from payhealth.domain.errors import ConfigurationError, DeliveryError
from payhealth.domain.results import Outcome
from tests.unit.report.support import HOSTILE, UNPRINTABLE, check_result

BAD = ("warn", "fail", "stale", "error")
QUIET = ("pass", "no_data")


def told(before: str | None, now: str) -> tuple[str, str] | None:
    """The message for one check that goes from one outcome to another."""
    previous = {} if before is None else {"failure_rate": before}
    return notify.message(previous, [check_result(Outcome(now))])


@pytest.mark.parametrize(
    ("before", "now"),
    [(None, now) for now in QUIET]
    + [(same, same) for same in Outcome]
    + [("pass", "no_data"), ("no_data", "pass")],
)
def test_nothing_new_is_not_told(before: str | None, now: str) -> None:
    """The same outcome again, and quiet after quiet, send nothing."""
    assert told(before, now) is None


@pytest.mark.parametrize(
    ("before", "now"),
    [(None, now) for now in BAD]
    + [(before, now) for before in (*QUIET, *BAD) for now in BAD if before != now]
    + [(before, "no_data") for before in BAD],
)
def test_what_is_not_well_is_to_be_looked_at(before: str | None, now: str) -> None:
    """A new fault, another fault, and data that went missing under a fault are told, never as mended."""
    message = told(before, now)
    assert message is not None
    assert message[0] == "payhealth: 1 to look at"
    assert message[1].startswith(f"{now}: failure_rate: ")


@pytest.mark.parametrize("before", BAD)
def test_only_a_pass_mends(before: str) -> None:
    """Back to normal is said of a check that judged its data and found it well."""
    message = told(before, "pass")
    assert message == ("payhealth: 1 back to normal", "pass: failure_rate: said")


def test_one_message_tells_of_everything_worst_first() -> None:
    """Several changes are one message; what is mended stands behind what is not."""
    previous = {"a": "fail", "b": "pass", "c": "pass"}
    results = [
        check_result(Outcome.PASS, name="a"),
        check_result(Outcome.FAIL, name="b"),
        check_result(Outcome.PASS, name="c"),
    ]
    message = notify.message(previous, results)
    assert message == ("payhealth: 1 to look at", "fail: b: said\npass: a: said")


def test_a_message_is_bounded() -> None:
    """Fifty changes are twenty lines and a count."""
    message = notify.message({}, [check_result(Outcome.FAIL, name=f"c{n}") for n in range(50)])
    assert message is not None
    lines = message[1].splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 30 more"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_message_mentions_and_links_nothing(text: str) -> None:
    """What strangers write into it pings nobody in a chat and makes no line of its own."""
    message = notify.message({}, [check_result(Outcome.FAIL, text)])
    assert message is not None
    assert "\n" not in message[1]
    assert "://" not in message[1]
    assert "@e" not in message[1]
    assert "](" not in message[1]
    assert not set(message[1]) & set(UNPRINTABLE)


class Recording:
    """A notifier that keeps what it gets, or fails."""

    def __init__(self, failing: Exception | None = None) -> None:
        self.sent: list[tuple[str, str]] = []
        self._failing = failing

    def send(self, title: str, body: str) -> None:
        """Keep it, or raise."""
        if self._failing is not None:
            raise self._failing
        self.sent.append((title, body))


def test_a_target_that_fails_keeps_no_other_from_hearing() -> None:
    """Every target is tried, and every failure comes back."""
    first, last = Recording(), Recording()
    failures = notify.tell([first, Recording(DeliveryError("down")), last], "title", "body")
    assert first.sent == last.sent == [("title", "body")]
    assert [failure.message for failure in failures] == ["down"]


def test_a_target_that_is_no_url_is_refused_without_showing_it() -> None:
    """It holds a token, so the error names the table and not the value."""
    with pytest.raises(ConfigurationError) as caught:
        notify.AppriseNotifier("not a url with s3cr3tt0ken")
    assert "s3cr3tt0ken" not in str(caught.value) + caught.value.hint
