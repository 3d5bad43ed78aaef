"""JSON Lines, clean and hostile."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from payhealth.domain.errors import InputError
from payhealth.tabular import TableIn, jsonlines, payments_table

BASE = {
    "id": "p1",
    "kind": "charge",
    "account": "acct",
    "reference": None,
    "amount": "5.00",
    "asset": "USD",
    "occurred_at": "2026-01-31T12:00:00Z",
}


def read(tmp_path: Path, *lines: str | bytes) -> TableIn:
    """Payments from a file of these lines."""
    path = tmp_path / "p.jsonl"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return payments_table(path)


def with_value(name: str, literal: str) -> str:
    """A good object with one value replaced by a piece of JSON."""
    return json.dumps(BASE | {name: "@"}).replace('"@"', literal)


def reasons(table: TableIn) -> list[tuple[int, str]]:
    """Line and reason of each rejected row."""
    return [(one["line"], one["reason"]) for one in table.rejected.to_pylist()]


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("0.1", "0.1"),
        ("12", "12"),
        ("0.100000000000000005", "0.100000000000000005"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
        ('"7"', "7"),
    ],
)
def test_numbers_keep_every_digit(tmp_path: Path, literal: str, value: str) -> None:
    """A number is read as it is written, never through a float."""
    assert read(tmp_path, with_value("amount", literal)).rows["amount"].to_pylist() == [Decimal(value)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (with_value("amount", "1e3"), "not a plain decimal: '1e3'"),
        (with_value("amount", "NaN"), "not a plain decimal: 'NaN'"),
        (with_value("amount", "-5"), "carries no sign"),
        (with_value("amount", str(2**256 - 1)), "outside the domain"),
        (with_value("amount", "1" * 5000), "not a plain decimal"),
        (with_value("amount", '{"value": 5}'), "amount is neither text nor a number"),
        (with_value("id", "[1]"), "id is neither text nor a number"),
        (with_value("account", "true"), "account is neither text nor a number"),
        (with_value("id", '"p\\ud800"'), "id holds half a character"),
        (with_value("id", '"p\\u0000"'), "id holds a control character"),
        (with_value("id", "null"), "id is empty"),
        ('{"id": "a", "id": "b"}', "the key id is there twice"),
        ("[1, 2]", "not a JSON object"),
        ('{"id": "p1"', "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        (b'{"id": "\xff"}', "not valid UTF-8"),
    ],
)
def test_a_malformed_object_costs_its_line(tmp_path: Path, line: str | bytes, reason: str) -> None:
    """It is listed with its line and raw text; the lines beside it are read."""
    good = json.dumps(BASE | {"id": "p9"})
    table = read(tmp_path, good, b"", line, b"")
    assert table.rows["id"].to_pylist() == ["p9"]
    ((number, found),) = reasons(table)
    assert number == 3
    assert reason in found
    raw = line if isinstance(line, bytes) else line.encode()
    assert table.rejected["row"].to_pylist() == [raw.decode("utf-8", "replace")]


def test_objects_may_differ_in_their_keys(tmp_path: Path) -> None:
    """A key that is not there is an empty value, extra ones are ignored."""
    short: dict[str, Any] = {key: value for key, value in BASE.items() if key != "reference"}
    table = read(tmp_path, json.dumps(BASE), json.dumps(short | {"id": "p2", "note": {"a": [1.5]}}))
    assert table.rows["reference"].to_pylist() == ["", ""]


def test_a_key_that_no_object_has_is_a_missing_column(tmp_path: Path) -> None:
    """The line names the file and the key."""
    short = {key: value for key, value in BASE.items() if key != "kind"}
    with pytest.raises(InputError, match=r"p\.jsonl: the column kind is missing; it has id, account"):
        read(tmp_path, json.dumps(short))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    """A 0-byte file is not a file without payments."""
    for content in (b"", b"\xef\xbb\xbf", b" \n \n"):
        with pytest.raises(InputError, match=r"p\.jsonl is empty"):
            read(tmp_path, content)


def test_identical_lines_count_once_and_others_end_the_run(tmp_path: Path) -> None:
    """Byte for byte."""
    line = json.dumps(BASE)
    assert read(tmp_path, b"\xef\xbb\xbf" + line.encode(), line + "\r").rows.num_rows == 1
    with pytest.raises(InputError, match="share an id: p1"):
        read(tmp_path, line, line.replace(": ", ":"))


def test_deep_nesting_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere in the process the recursion limit may have been raised: then decoding could crash it."""

    def decode(_: str) -> Any:
        raise AssertionError("decoded")

    monkeypatch.setattr(jsonlines, "_DECODE", decode)
    assert reasons(read(tmp_path, '{"a":' * 501 + "1" + "}" * 501)) == [(1, "not a JSON object")]
    with pytest.raises(AssertionError, match="decoded"):
        read(tmp_path, "{}")


def test_a_repeated_key_of_half_a_character_can_be_reported(tmp_path: Path) -> None:
    """The reason is text that a file can hold."""
    line = json.dumps(BASE)[:-1] + ', "\\ud800": 1, "\\ud800": 2}'
    assert reasons(read(tmp_path, line)) == [(1, "the key ? is there twice")]
