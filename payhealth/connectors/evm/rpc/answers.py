"""From the bytes of a response to an answer a call: whatever a server sends, one clear outcome. Pure."""

from __future__ import annotations

import email.utils
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from payhealth.connectors.evm.rpc.collecting import uncollected
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault


class _Missing:
    """The type of ``MISSING``."""

    def __repr__(self) -> str:
        return "MISSING"


_BYTES_AN_OBJECT = 300
"""About as much of a body is one object or array."""

MISSING: Final = _Missing()
"""Stands where a batch came back without one of its calls: neither null nor a fault."""

FaultOf = Callable[[Any, bool], RpcFault]
"""Classifies a JSON-RPC error object; the flag says that it answers a whole batch."""


class UnpackError(Exception):
    """A body that is not what its headers say."""


class Unpacker:
    """Takes the pieces of a body, unpacks them, and never holds more than its bound.

    Args:
        encoding: the header ``content-encoding``.
        most: largest body, unpacked, in bytes.

    Raises:
        UnpackError: an encoding that was not asked for.
    """

    def __init__(self, encoding: str, most: int) -> None:
        if encoding.strip().lower() not in ("", "identity", "gzip"):
            raise UnpackError("answered in an encoding that was not asked for")
        self._gzip = zlib.decompressobj(wbits=31) if encoding.strip().lower() == "gzip" else None
        self._most = most
        self.body = bytearray()

    def add(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            UnpackError: it cannot be unpacked.
            RpcFault: the body is larger than its bound: ask for less.
        """
        room = self._most - len(self.body) + 1
        try:
            self.body += piece if self._gzip is None else self._gzip.decompress(piece, room)
        except zlib.error:
            raise UnpackError("an answer that cannot be unpacked") from None
        if len(self.body) > self._most:
            raise RpcFault(
                FaultKind.RESULT_LIMIT, f"an answer of over {self._most} bytes", whole=True, ours=True
            )

    def end(self) -> None:
        """The body ended.

        Raises:
            UnpackError: it is not whole.
        """
        if self._gzip is not None and not self._gzip.eof:
            raise UnpackError("an answer that broke off")


def parsed(content: bytes | bytearray) -> Any:
    """The JSON object or array in a body; None where it holds none.

    Raises:
        RpcFault: it is nested more deeply than is read: ask for less.
    """
    try:
        with uncollected(len(content) // _BYTES_AN_OBJECT):
            answer = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if "depth limit" in str(error):
            raise RpcFault(
                FaultKind.RESULT_LIMIT, "an answer nested over 1024 deep", whole=True, ours=True
            ) from None
        return None
    return answer if isinstance(answer, dict | list) else None


def described(content: bytes | bytearray) -> str:
    """In a word, what came instead of JSON-RPC."""
    start = bytes(content[:200]).lstrip().lower()
    if not start:
        return "nothing"
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<?xml")):
        return "HTML"
    if start.startswith((b"{", b"[")):
        return "broken JSON"
    return "null" if start.rstrip() == b"null" else "something"


def whole_fault(answer: Any, calls: int, fault_of: FaultOf) -> RpcFault | None:
    """The error that answers a request as a whole, None where it is answered call by call.

    One error object in answer to a batch speaks of the batch; geth puts it into an array, with the id of
    the first call.
    """
    several = calls > 1
    if isinstance(answer, dict):
        if answer.get("error") is not None and answer.get("result") is None:
            return fault_of(answer["error"], several)
        if not answer.keys() & {"result", "error"} and isinstance(answer.get("message"), str):
            return fault_of(answer, several)
        return None
    if several and len(answer) == 1 and isinstance(answer[0], dict) and answer[0].get("error") is not None:
        fault = fault_of(answer[0]["error"], several)
        if answer[0].get("id") is None or fault.kind is FaultKind.BATCH_LIMIT:
            return fault
    return None


def by_call(answer: Any, calls: int, fault_of: FaultOf) -> list[Any]:
    """An answer a call, in the order of the calls: its result, its fault, or MISSING.

    Two different answers to one call are none.
    """
    found: dict[str, Any] = {}
    for item in answer if isinstance(answer, list) else [answer]:
        if not isinstance(item, dict) or ("result" not in item and item.get("error") is None):
            continue
        key = str(item.get("id"))
        found[key] = item if found.get(key, item) == item else None
    items = [found.get(str(number)) for number in range(1, calls + 1)]
    return [MISSING if item is None else _outcome(item, fault_of) for item in items]


def _outcome(item: Mapping[str, Any], fault_of: FaultOf) -> Any:
    error = item.get("error")
    return item.get("result") if error is None else fault_of(error, False)


def words_of(error: Any) -> str:
    """What a JSON-RPC error object says: its message, and what its data adds in words."""
    message = error.get("message") if isinstance(error, Mapping) else error
    text = message if isinstance(message, str) else "an error without a message"
    data = error.get("data") if isinstance(error, Mapping) else None
    return ": ".join([text, *_texts(data)])


def _texts(data: Any) -> Iterable[str]:
    values: Sequence[Any] = list(data.values()) if isinstance(data, Mapping) else [data]
    return [text for text in values[:8] if isinstance(text, str) and text and not text.startswith("0x")]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the server asks to wait, in seconds; None where it does not say."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
