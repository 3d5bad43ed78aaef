"""Logs: one JSON object a line, and no secret at any depth, in any form."""

from __future__ import annotations

import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.daemon.logs import capture, logger, redact
from payhealth.secrets import MASK, Secret

KEY = "sk_live_51PlantedSecretValue"
TOKEN = "Zx81kQpLm42TtVv9Wq"
RPC = f"https://base.example/v2/{TOKEN}?net=main"
DATABASE = "postgresql+psycopg://payhealth:Tr0ub4dor&3@db.example/payhealth"
PLAIN = "correct horse battery staple"
PLANTED = (KEY, RPC, DATABASE, PLAIN)

strangers = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


def logged(*, secrets: tuple[str, ...] = PLANTED, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A line as written, and as read."""
    out = io.StringIO()
    logger(secrets, to=out).info("event", **fields)
    line = out.getvalue()
    assert line.endswith("\n")
    assert line.count("\n") == 1
    read: dict[str, Any] = json.loads(line)
    return line, read


def wrapped(secret: str) -> dict[str, Any]:
    """A secret at every depth and in every kind of container, keys among them."""
    return {
        "text": f"the key {secret} was refused",
        "deep": {"a": [{"b": ({"c": secret},)}]},
        "key": {secret: "value"},
        "set": {secret},
        "bytes": secret.encode(),
        "error": ValueError(secret),
        "object": type("Odd", (), {"__repr__": lambda _: secret})(),
        "none": None,
        "number": 5,
    }


@pytest.mark.parametrize("secret", PLANTED)
def test_no_secret_is_written_at_any_depth(secret: str) -> None:
    """Known values are masked in texts, containers, keys, bytes, errors and whatever else turns to text."""
    line, read = logged(**wrapped(secret))
    assert secret not in line
    assert MASK in line
    assert (read["number"], read["none"]) == (5, None)


@given(st.sampled_from(PLANTED), st.text(max_size=20), st.text(max_size=20), strangers)
def test_no_secret_is_written_between_any_texts(secret: str, before: str, after: str, beside: object) -> None:
    """Whatever stands around it, a known secret is gone, and the line is still JSON."""
    line, _ = logged(text=f"{before}{secret}{after}", beside=beside, nested=[{"x": f"{before}{secret}"}])
    assert secret not in line
    assert json.dumps(secret)[1:-1] not in line


@pytest.mark.parametrize(
    ("secret", "part"),
    [
        (RPC, f"HTTPSConnectionPool(host='base.example'): url: /v2/{TOKEN}?net=main"),
        (RPC, f"token {TOKEN} is over its quota"),
        (DATABASE, "password Tr0ub4dor&3 was refused"),
        (PLAIN, "correct%20horse%20battery%20staple"),
    ],
)
def test_parts_and_spellings_of_a_secret_are_masked(secret: str, part: str) -> None:
    """Libraries tell a URL's path, its password or its quoted form without the rest; that is masked too."""
    line, _ = logged(message=part)
    assert MASK in line
    assert TOKEN not in line
    assert "Tr0ub4dor" not in line
    assert "horse%20battery" not in line
    assert secret not in line


@pytest.mark.parametrize(
    "text",
    [
        "key rk_test_abcdef123456 refused",
        "pk_live_ABCDEFGH",
        "whsec_0123456789abcdef",
        "connect to https://user:hunter22@host/path failed",
        "postgresql://u:p@ss@word@db/x",
    ],
)
def test_unknown_secrets_of_known_shape_are_masked(text: str) -> None:
    """Keys of Stripe's shape and credentials in URLs are masked though nobody named them."""
    shown = redact(text, ())
    assert MASK in shown
    for leaked in ("abcdef123456", "ABCDEFGH", "0123456789abcdef", "hunter22", "p@ss", "word@"):
        assert leaked not in shown


@pytest.mark.parametrize(
    "text",
    ["risk_assessment done", "task_sk_1", "https://host/path", "a@b.example", "the disk_usage is high"],
)
def test_harmless_texts_are_left_alone(text: str) -> None:
    """Redaction garbles no ordinary line."""
    assert redact(text, PLANTED) == text


def test_a_short_value_is_not_taken_for_a_secret() -> None:
    """Masking ``db`` everywhere would garble every line and hide nothing."""
    assert logged(secrets=("db",), text="the db answers")[1]["text"] == "the db answers"


def test_a_secret_object_logs_its_reference() -> None:
    """Even unredacted it would show only where it comes from."""
    assert logged(secrets=(), secret=Secret(PLAIN, "env:KEY"))[1]["secret"] == "Secret(env:KEY)"


def test_a_traceback_is_one_field_without_secrets() -> None:
    """An exception is logged whole, on its one line."""
    out = io.StringIO()
    log = logger(PLANTED, to=out)
    try:
        raise RuntimeError(f"refused {KEY} at {DATABASE}")  # noqa: TRY301 - logged below
    except RuntimeError:
        log.exception("job_failed", job="pull")
    (line,) = out.getvalue().splitlines()
    read = json.loads(line)
    assert "RuntimeError" in read["exception"]
    assert read["level"] == "error"
    assert KEY not in line
    assert "Tr0ub4dor" not in line


def test_every_line_has_time_level_and_event() -> None:
    """What collectors sort by is always there."""
    _, read = logged()
    assert read["event"] == "event"
    assert read["level"] == "info"
    assert read["timestamp"].endswith("Z")


@pytest.fixture
def restored() -> Iterator[None]:
    """Logging and thread hooks as they were."""
    root, hook = logging.getLogger(), threading.excepthook
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    threading.excepthook = hook


@pytest.mark.usefixtures("restored")
def test_what_libraries_say_is_json_and_redacted_too() -> None:
    """Warnings, log records and dying threads come as our lines; a library's debug chatter does not."""
    out = io.StringIO()
    capture(logger(PLANTED, to=out))
    library = logging.getLogger("apscheduler.executors.default")
    library.warning("skipped %s", KEY)
    library.info("chatter")
    warnings.warn(f"old {KEY}", UserWarning, stacklevel=1)

    def die() -> None:
        raise RuntimeError(f"no {KEY}")

    thread = threading.Thread(target=die, name="payhealth-http")
    thread.start()
    thread.join()
    read = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in read] == ["library", "library", "thread_died"]
    assert read[0]["source"] == "apscheduler.executors.default"
    assert read[2]["thread"] == "payhealth-http"
    assert KEY not in out.getvalue()
    assert out.getvalue().count(MASK) == 3
