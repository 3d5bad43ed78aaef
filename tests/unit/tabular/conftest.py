"""Small tables to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

HEADER = "id,kind,account,reference,amount,asset,occurred_at"


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a payments file from lines or bytes and gives its path."""

    def write(
        *lines: str | bytes, header: str | bytes = HEADER, end: bytes = b"\n", name: str = "p.csv"
    ) -> Path:
        path = tmp_path / name
        parts = [line.encode() if isinstance(line, str) else line for line in (header, *lines)]
        path.write_bytes(b"".join(part + end for part in parts))
        return path

    return write
