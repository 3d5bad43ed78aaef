"""JSON Lines: one object a line, numbers kept as they are written."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from payhealth.domain.errors import InputError
from payhealth.tabular.schema import Texts


def read(data: bytes, file: str) -> Texts:
    """Read a JSON Lines file as texts.

    Raises:
        InputError: no object in it at all.
    """
    rows: list[dict[str, str | None]] = []
    lines: list[int] = []
    raws: list[str] = []
    bad: list[tuple[int, str, str]] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        raw = line.rstrip(b"\r").decode("utf-8", "replace")
        if not raw.strip():
            continue
        row, fault = _object(line)
        if row is None:
            bad.append((number, fault, raw))
            continue
        rows.append(row)
        lines.append(number)
        raws.append(raw)
    if not rows and not bad:
        raise InputError(f"{file} is empty")
    names = list(dict.fromkeys(name for row in rows for name in row))
    arrays = [pa.array([row.get(name) for row in rows], pa.string()) for name in names]
    return Texts(file=file, table=pa.table(arrays, names=names), lines=lines, raws=raws, rejected=tuple(bad))


def _object(line: bytes) -> tuple[dict[str, str | None] | None, str]:
    """One line's object as texts, or what is wrong with it."""
    try:
        value = json.loads(line.decode("utf-8"), parse_float=str, parse_int=str, parse_constant=str)
    except UnicodeDecodeError:
        return None, "not valid UTF-8"
    except (ValueError, RecursionError):
        return None, "not a JSON object"
    if not isinstance(value, dict):
        return None, "not a JSON object"
    return {name: _text(inner) for name, inner in value.items()}, ""


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
