"""The bulk way of reading CSV means the same as reading record by record."""

from __future__ import annotations

import io
from datetime import datetime
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payhealth.domain.assets import normalise_hex
from payhealth.domain.errors import InputError
from payhealth.domain.money import checked, parse_amount
from payhealth.domain.times import parse_moment
from payhealth.tabular import delimited
from payhealth.tabular.numbers import amounts, moments
from payhealth.tabular.records import Record, records, split_lines
from payhealth.tabular.schema import LEDGER, PAYMENTS, Side
from payhealth.tabular.validate import validate

pa = pytest.importorskip("pyarrow")

_KINDS = ["charge", "refund", "", "CHARGE", "purchase", " charge "]
_AMOUNTS = [
    *[
        "5",
        "5.00",
        "+5",
        "-5",
        "0",
        "-0",
        ".5",
        "5.",
        "1e3",
        "NaN",
        "Infinity",
        "1,000",
        "1_000",
        "",
        " 7 ",
        "٣",
    ],
    *[
        "99999999999999999999.999999999999999999",
        "100000000000000000000",
        "0.1234567890123456789",
        "5/2",
        "--5",
    ],
    *[
        "0.1234567890123456780",
        "000000000000000000000001",
        str(2**256 - 1),
        "12345678901234567890123",
        "1.2.3",
    ],
]
_MOMENTS = [
    *["2026-01-31T23:59:59Z", "2026-01-31 23:59:59Z", "2026-01-31T23:59:59.123456Z", "2026-02-30T00:00:00Z"],
    *[
        "2026-01-31T23:59:59",
        "2026-01-31",
        "2026-01-31T23:59Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T23:59:60Z",
    ],
    *["2026-01-31T23:59:59+05:30", "0000-01-01T00:00:00Z", "2026-01-31T23Z", "0001-01-01T00:00:00+01:00"],
    *[
        "2026-01-31T23:59:59.123456789Z",
        "2026-01-31t23:59:59z",
        "20260131T235959Z",
        "",
        " 2026-01-31T23:59:59Z ",
    ],
    *["2026-01-31T23:59:59+00:00", "9999-12-31T23:59:59Z", "2026-13-01T00:00:00Z", "2026/01/31T23:59:59Z"],
]
_NAMES = [
    "acct",
    "",
    "0xAB",
    "0Xab",
    "ch_3AbX",
    "ch_0xAb",
    "eip155:1:0xABcD",
    "é",
    "a b",
    " x ",
    "\t",
    "a\x01b",
    "\ufeff",
    *['"a"b', 'x"y"z', '""', '"a""', 'a"', '"a" ', '"a,b"'],
]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


_names = st.sampled_from(_NAMES)
_field = st.one_of(_names, st.text(alphabet='ab,"\n\r\x00 é', max_size=5))


@st.composite
def _cells(draw: Any) -> list[str]:
    number = draw(st.integers(0, 10**9))
    cells = [
        f"id{number}" if draw(st.integers(0, 9)) else draw(_field),
        draw(st.sampled_from(_KINDS)),
        draw(_field),
        draw(_names),
        draw(st.sampled_from(_AMOUNTS)),
        draw(st.sampled_from(["USD", "eip155:1/erc20:0xAB", "", "usd"])),
        draw(st.sampled_from(_MOMENTS)),
    ]
    if draw(st.booleans()):  # mostly clean, so that bulk and careful rows stand side by side
        cells[1], cells[4], cells[6] = "charge", "5.00", "2026-01-31T23:59:59Z"
    return cells


@st.composite
def _line(draw: Any) -> bytes:
    cells = draw(_cells())
    style = draw(st.sampled_from(["quoted", "raw", "mixed", "raw"]))
    if style != "raw":
        cells = [_quoted(one) if style == "quoted" or "," in one or "\n" in one else one for one in cells]
    text = ",".join(cells)
    damage = draw(st.integers(0, 19))
    if damage == 0:
        text = text[: len(text) // 2]
    elif damage == 1:
        text = text.replace(",", ',"', 1)
    elif damage == 2:
        text = draw(st.sampled_from(["", " ", '"', '""', ",", "\x00"]))
    data = text.encode()
    if damage == 3:
        data = data.replace(b",", b",\xff", 1)
    return data + draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b"\r"]))


_HEADER = b"id,kind,account,reference,amount,asset,occurred_at"
_files = st.builds(
    lambda bom, lines, end: bom + _HEADER + b"\n" + b"".join(lines) + end,
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(_line(), max_size=25),
    st.sampled_from([b"", b"\n", b'"', b"x"]),
)


def _oracle_row(fields: tuple[str, ...], side: Side) -> tuple[Any, ...]:
    identifier, kind, account, reference, amount, asset, moment = (one.strip() for one in fields)
    kind = kind or side.default_kind or ""
    for text in (identifier, kind, account, reference, asset):
        if any((letter < " " and letter not in "\t\n") or letter == "\x7f" for letter in text):
            raise ValueError
    if not identifier or not asset or not kind or (side.kinds is not None and kind not in side.kinds):
        raise ValueError
    if not side.signed and amount[:1] in ("+", "-"):
        raise ValueError
    named = (normalise_hex(account), normalise_hex(reference))
    return identifier, kind, *named, parse_amount(amount), normalise_hex(asset), parse_moment(moment)


def _oracle(data: bytes, side: Side) -> tuple[list[tuple[Any, ...]], list[int]] | None:
    """Rows and rejected lines, record by record; None where ids contradict one another."""
    rows: dict[str, tuple[tuple[Any, ...], str]] = {}
    bad: list[int] = []
    lines = split_lines(data.removeprefix(b"\xef\xbb\xbf"))
    for record in list(records(lines, first_line=1))[1:]:
        row = _row_or_none(record, side)
        if row is None:
            bad.append(record.number)
        elif rows.setdefault(row[0], (row, record.raw))[1] != record.raw:
            return None
    return [row for row, _ in rows.values()], bad


def _row_or_none(record: Record, side: Side) -> tuple[Any, ...] | None:
    if record.fault or len(record.fields) != 7:
        return None
    try:
        return _oracle_row(record.fields, side)
    except ValueError:
        return None


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=_files, signed=st.booleans(), block_bytes=st.sampled_from([1, 64, 300, 10**6]))
def test_bulk_reading_agrees_with_reading_record_by_record(
    data: bytes, signed: bool, block_bytes: int
) -> None:
    """On any file, in blocks of any size: the same rows in the same order, the same lines rejected."""
    side = LEDGER if signed else PAYMENTS
    expected = _oracle(data, side)
    source = delimited.read(lambda: io.BytesIO(data), "f.csv", side, block_bytes=block_bytes)
    if expected is None:
        with pytest.raises(InputError, match="share an id"):
            validate(source, side)
        return
    found = validate(source, side)
    assert [tuple(row.values()) for row in found.rows.to_pylist()] == expected[0]
    assert found.rejected["line"].to_pylist() == expected[1]


def _parsed(parse: Any, text: Any) -> Decimal | datetime | None:
    try:
        return parse(text)
    except InputError:
        return None


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.from_regex(r"\A[+\-]?[0-9]{0,24}[.,/e]?[0-9]{0,22}\Z"), st.text("0159.+-,/ eE", max_size=24)
        ),
        max_size=4,
    )
)
def test_an_amount_means_what_the_domain_says(texts: list[str]) -> None:
    """No amount is read otherwise than by the domain's parser, least of all wrapped or rounded."""
    expected = [_parsed(parse_amount, text.strip()) for text in texts]
    assert amounts(pa.array(texts, pa.string()), LEDGER).values.to_pylist() == expected


_digits = st.from_regex(
    r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|\+00:00)?\Z"
)
_dates = st.builds(
    "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}Z".format,
    *[st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32), st.integers(0, 25), st.integers(0, 61)],
    st.integers(0, 61),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(_digits, _dates), max_size=4))
def test_a_moment_means_what_the_domain_says(texts: list[str]) -> None:
    """No moment is read otherwise than by the domain's parser: no 30th of February, no year 0."""
    expected = [_parsed(parse_moment, text) for text in texts]
    assert moments(pa.array(texts, pa.string())).values.to_pylist() == expected


_widths = st.tuples(st.sampled_from([128, 256]), st.integers(1, 76), st.integers(0, 60))


@settings(max_examples=400, deadline=None)
@given(_widths, st.lists(st.integers(-(10**76), 10**76), max_size=4), st.integers(0, 76))
def test_a_decimal_of_any_scale_keeps_its_value(width: Any, numbers: list[int], shorter: int) -> None:
    """Or is refused: Arrow's casts between decimals neither wrap nor round here."""
    bits, precision, scale = width
    precision = min(precision, 38 if bits == 128 else 76)
    scale = min(scale, precision)  # Arrow itself cannot hold most numbers of a negative one
    kind = pa.decimal128(precision, scale) if bits == 128 else pa.decimal256(precision, scale)
    exact = Context(prec=200)
    # Towards zero, so that a shorter number keeps its sign and fits the type.
    values = [
        Decimal(
            int(number / abs(number)) * (abs(number) // 10**shorter % 10**precision) if number else 0
        ).scaleb(-scale, exact)
        for number in numbers
    ]
    expected = [_parsed(checked, value) for value in values]
    assert amounts(pa.array(values, kind), LEDGER).values.to_pylist() == expected
