"""Objects over a pipe between a process and its child, each behind its length."""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any

_LENGTH = struct.Struct("!Q")
_BYTES_MAX = 1 << 30


def send(pipe: IO[bytes], content: object) -> None:
    """Hand an object over.

    Raises:
        OSError: nobody reads any more.
    """
    body = pickle.dumps(content, protocol=5)
    pipe.write(_LENGTH.pack(len(body)))
    pipe.write(body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """The next object; it comes from a child of our own, so that it may be unpickled.

    Raises:
        EOFError: the other side ended, or what came is no frame.
    """
    head = pipe.read(_LENGTH.size)
    size = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
    body = pipe.read(size) if 0 < size <= _BYTES_MAX else b""
    if not body or len(body) != size:
        raise EOFError
    return pickle.loads(body)  # noqa: S301
