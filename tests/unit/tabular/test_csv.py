"""CSV files, clean and hostile."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from payhealth.domain.errors import InputError
from payhealth.tabular import TableIn, ledger_table, payments_table

GOOD = "p1,charge,acct,pi_1,5.00,USD,2026-01-31T12:00:00Z"
CsvFile = Callable[..., Path]


def row(number: int = 1, **changes: str) -> str:
    """A good line with some fields changed."""
    cells = {
        "id": f"p{number}",
        "kind": "charge",
        "account": "acct",
        "reference": "pi_1",
        "amount": "5.00",
        "asset": "USD",
        "occurred_at": "2026-01-31T12:00:00Z",
    }
    return ",".join((cells | changes).values())


def rejected(table: TableIn) -> list[tuple[int, str]]:
    """Line and reason of each rejected row."""
    return [(one["line"], one["reason"]) for one in table.rejected.to_pylist()]


def ids(table: TableIn) -> list[str]:
    """The good rows' ids."""
    found: list[str] = table.rows["id"].to_pylist()
    return found


def only_reason(path: Path) -> str:
    """The reason for the only rejected row."""
    table = payments_table(path)
    ((_, reason),) = rejected(table)
    return reason


def test_a_quoted_field_may_hold_line_ends_and_doubled_quotes(csv_file: CsvFile) -> None:
    """A record is listed at its first physical line, and counts on behind it by physical lines."""
    path = csv_file(row(1, account='"a ""b""\nc, d"'), row(2, amount="x"), row(3))
    table = payments_table(path)
    assert table.rows["account"].to_pylist() == ['a "b"\nc, d', "acct"]
    assert [line for line, _ in rejected(table)] == [4]


def test_an_unclosed_quote_costs_one_line(csv_file: CsvFile) -> None:
    """What follows an unclosed quote is read as if nothing had happened."""
    table = payments_table(csv_file(row(1), row(2, account='"acct'), row(3), row(4)))
    assert ids(table) == ["p1", "p3", "p4"]
    assert rejected(table) == [(3, "its quotes are not closed or stand inside a field")]
    assert table.rejected["row"].to_pylist() == [row(2, account='"acct')]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"acct"', "acct"),
        ('""', ""),
        ('x"y"z', 'x"y"z'),
        ('5"', '5"'),
        ('"a""b"', 'a"b'),
        ('"a,b"', "a,b"),
        ('"a"b', None),
        ('"a" ', None),
        ('"a""', None),
        ('"', None),
    ],
)
def test_a_quote_means_something_only_around_a_field(
    csv_file: CsvFile, written: str, meant: str | None
) -> None:
    """Inside a field it is a letter; behind a closing one only the field's end may follow."""
    table = payments_table(csv_file(row(1, account=written), row(2, account='"b"')))
    assert table.rows["account"].to_pylist() == ([] if meant is None else [meant]) + ["b"]
    assert table.rejected.num_rows == (meant is None)


@pytest.mark.parametrize(("line", "found"), [("p2,charge", 2), (GOOD + ",more", 8), ("   ", 1), (",", 2)])
def test_a_wrong_number_of_fields_is_malformed(csv_file: CsvFile, line: str, found: int) -> None:
    """The reason names both numbers, the raw text is kept."""
    table = payments_table(csv_file(row(1), line, row(3)))
    assert rejected(table) == [(3, f"{found} fields where the header has 7")]
    assert table.rejected.to_pylist()[0]["row"] == line
    assert table.rejected.to_pylist()[0]["file"] == "p.csv"
    assert ids(table) == ["p1", "p3"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_any_line_end_and_a_bom_are_fine(csv_file: CsvFile, end: bytes, bom: bytes) -> None:
    """LF, CRLF and CR end lines alike, and count alike."""
    header = bom + b"id,kind,account,reference,amount,asset,occurred_at"
    table = payments_table(csv_file(row(1), "", row(2, amount="x"), row(3), header=header, end=end))
    assert ids(table) == ["p1", "p3"]
    assert [line for line, _ in rejected(table)] == [4]


def test_a_lone_cr_ends_a_line(csv_file: CsvFile) -> None:
    """A CR inside a field cuts its record in two, and both halves are listed."""
    table = payments_table(csv_file(row(1, account="a\rb"), row(2)))
    assert [line for line, _ in rejected(table)] == [2, 3]
    assert ids(table) == ["p2"]


def test_blank_lines_are_no_rows_but_count_as_lines(csv_file: CsvFile) -> None:
    """Even before the header: whose columns are texts then as well, never floats."""
    path = csv_file(row(1, amount="0.10"), "", row(2, amount="1e3"))
    path.write_bytes(b"\n\r\n" + path.read_bytes())
    table = payments_table(path)
    assert table.rows["amount"].to_pylist() == [Decimal("0.10")]
    assert [line for line, _ in rejected(table)] == [6]


@pytest.mark.parametrize("bad", [b"a\x00b", b"a\xffb", b"\xed\xa0\x80", b"a\x1bb"])
def test_bytes_that_are_no_text_are_malformed(csv_file: CsvFile, bad: bytes) -> None:
    """NUL, other control characters and invalid UTF-8 cost their own row; its raw text is still shown."""
    line = row(2, account="@").encode().replace(b"@", bad)
    table = payments_table(csv_file(row(1), line, row(3)))
    assert ids(table) == ["p1", "p3"]
    assert [one for one, _ in rejected(table)] == [3]
    assert table.rejected["row"].to_pylist() == [line.decode("utf-8", "replace")]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n"])
def test_a_file_of_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    """A 0-byte file is not a file without payments."""
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"p\.csv is empty"):
        payments_table(path)


def test_a_header_alone_is_no_rows(csv_file: CsvFile) -> None:
    """An export without payments is fine, with or without its last line end."""
    for end in (b"\n", b""):
        table = payments_table(csv_file(end=end))
        assert (table.rows.num_rows, table.rejected.num_rows) == (0, 0)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,kind,account,reference,amount,asset", "the column occurred_at is missing; it has id, kind"),
        ("id,kind,account,reference,amount,asset,occurred_at,id", "the column id is there twice"),
        ("id,kind,account,reference,amount,asset,occurred_at, id", "the column id is there twice"),
        ('id,"kind', "not a header"),
        (b"id\xff,kind", "not a header: not valid UTF-8"),
        (b"\xff\xfei\x00d\x00", "is UTF-16"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(csv_file: CsvFile, header: str, message: str) -> None:
    """One clear line that names the file and the column."""
    with pytest.raises(InputError, match=message) as caught:
        payments_table(csv_file(GOOD, header=header))
    assert caught.value.message.startswith("p.csv")


def test_extra_columns_are_ignored_wherever_they_stand(csv_file: CsvFile) -> None:
    """Even two of one name, or without a name, and whatever they hold."""
    header = "note,id,kind, account ,reference,amount,asset,occurred_at,note,"
    table = payments_table(csv_file("1.5," + GOOD + ",NaN,", header=header))
    assert table.rows.to_pylist()[0]["account"] == "acct"
    assert table.rows.column_names == ["id", "kind", "account", "reference", "amount", "asset", "occurred_at"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"occurred_at": "2026-01-31T12:00:00"}, "time zone"),
        ({"occurred_at": "2026-01-31"}, "time zone"),
        ({"occurred_at": "1769860800"}, "time zone"),
        ({"occurred_at": "2026-02-30T12:00:00Z"}, "not a moment"),
        ({"occurred_at": "2026-01-31T25:00:00Z"}, "not a moment"),
        ({"occurred_at": "0000-01-01T00:00:00Z"}, "not a moment"),
        ({"occurred_at": ""}, "occurred_at is empty"),
        ({"amount": "1e3"}, "not a plain decimal"),
        ({"amount": "NaN"}, "not a plain decimal"),
        ({"amount": "Infinity"}, "not a plain decimal"),
        ({"amount": "1 000"}, "not a plain decimal"),
        ({"amount": '"1,000.00"'}, "not a plain decimal"),
        ({"amount": "1_000"}, "not a plain decimal"),
        ({"amount": "٣"}, "not a plain decimal"),
        ({"amount": "$5"}, "not a plain decimal"),
        ({"amount": ""}, "amount is empty"),
        ({"amount": "-5.00"}, "carries no sign"),
        ({"amount": "+5.00"}, "carries no sign"),
        ({"amount": str(2**256 - 1)}, "outside the domain"),
        ({"amount": "100000000000000000000"}, "outside the domain"),
        ({"amount": "12345678901234567890123456789"}, "outside the domain"),
        ({"amount": "0.0000000000000000001"}, "more than 18 digits after the point"),
        ({"kind": "Charge"}, "unknown kind 'Charge'; valid are charge, dispute"),
        ({"kind": ""}, "kind is empty"),
        ({"id": "  "}, "id is empty"),
        ({"asset": ""}, "asset is empty"),
        ({"reference": "x" * 1025}, "reference is longer than 1024"),
    ],
)
def test_a_malformed_value_costs_its_row(csv_file: CsvFile, change: dict[str, str], reason: str) -> None:
    """Each has its reason; the rows beside it are read."""
    table = payments_table(csv_file(row(1), row(2, **change), row(3)))
    assert ids(table) == ["p1", "p3"]
    ((line, found),) = rejected(table)
    assert line == 3
    assert reason in found


def test_every_fault_of_a_row_is_named(csv_file: CsvFile) -> None:
    """So that a row is mended once."""
    assert only_reason(csv_file(row(1, id="", amount="x"))).startswith("id is empty; not a plain decimal")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.000000000000000001", "0.000000000000000001"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
        ("1.5000000000000000000", "1.5"),
        ("12345678901234567890.123456789012345678000", "12345678901234567890.123456789012345678"),
        ("0000000000000000000000000000000000000000001.5", "1.5"),
        (" 7 ", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        ("0", "0"),
    ],
)
def test_amounts_are_exact(csv_file: CsvFile, text: str, value: str) -> None:
    """To the last of 38 digits; zeros and blanks around them say nothing."""
    assert payments_table(csv_file(row(1, amount=text))).rows["amount"].to_pylist() == [Decimal(value)]


@pytest.mark.parametrize("digits", range(21, 60))
def test_a_number_too_large_is_never_wrapped(csv_file: CsvFile, digits: int) -> None:
    """Arrow's own cast from text wraps such numbers silently; here they are rejected, of either sign."""
    for sign in ("", "-"):
        line = f"e1,acct,ref,{sign}{'7' * digits},USD,2026-01-31T12:00:00Z"
        table = ledger_table(csv_file(line, header="id,account,reference,amount,asset,occurred_at"))
        assert table.rows.num_rows == 0
        assert "outside the domain" in rejected(table)[0][1]


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-01-31T12:00Z", "2026-01-31T12:00:00+00:00"),
        ("2026-01-31 12:00:00+05:30", "2026-01-31T06:30:00+00:00"),
        ("2026-01-31T12:00:00.1-0100", "2026-01-31T13:00:00.100000+00:00"),
        ("2026-01-31t12:00:00z", "2026-01-31T12:00:00+00:00"),
        ("2026-01-31T12:00:00.123456999Z", "2026-01-31T12:00:00.123456+00:00"),
        ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999+00:00"),
    ],
)
def test_moments_of_other_forms_are_read(csv_file: CsvFile, text: str, iso: str) -> None:
    """What is finer than a microsecond is cut off, towards the past."""
    table = payments_table(csv_file(row(1, occurred_at=text), row(2)))
    assert table.rows["occurred_at"].to_pylist()[0].isoformat() == iso


def test_hexadecimal_parts_lose_their_case_and_nothing_else_does(csv_file: CsvFile) -> None:
    """References, accounts and assets, CAIP ids among them; ids and Stripe's ids keep every letter."""
    table = payments_table(
        csv_file(
            row(1, id="0xAB", account="0xABcD", reference="0XEF", asset="eip155:1/erc20:0xAbC"),
            row(2, id="ch_0xAb", account="eip155:8453:0xABcD", reference="ch_0xAbC", asset="USD"),
            row(3, account="Acct", reference="pi_3AbX"),
        )
    )
    found = [
        tuple(one[name] for name in ("id", "account", "reference", "asset")) for one in table.rows.to_pylist()
    ]
    assert found == [
        ("0xAB", "0xabcd", "0xef", "eip155:1/erc20:0xabc"),
        ("ch_0xAb", "eip155:8453:0xabcd", "ch_0xAbC", "USD"),
        ("p3", "Acct", "pi_3AbX", "USD"),
    ]


def test_a_bom_inside_the_file_is_a_letter(csv_file: CsvFile) -> None:
    """It is not lost where it happens to begin what is read at once."""
    table = payments_table(csv_file('p1,"charge', row(2, id="\ufeffp2"), row(3)))
    assert ids(table) == ["\ufeffp2", "p3"]


def test_identical_rows_count_once(csv_file: CsvFile) -> None:
    """A line written twice is one payment."""
    table = payments_table(csv_file(row(1), row(2), row(1)))
    assert ids(table) == ["p1", "p2"]
    assert table.rejected.num_rows == 0


@pytest.mark.parametrize(
    ("second", "extra"), [(row(1, amount="5.0"), ""), (row(1, account='"acct"'), ""), (row(1), "x")]
)
def test_rows_that_differ_under_one_id_end_the_run(csv_file: CsvFile, second: str, extra: str) -> None:
    """Byte for byte, ignored columns included: which of the two is true cannot be told."""
    header = "id,kind,account,reference,amount,asset,occurred_at,note"
    with pytest.raises(InputError, match=r"p\.csv: rows that differ share an id: p1$"):
        payments_table(csv_file(row(1) + ",", second + "," + extra, header=header))


def test_a_malformed_row_is_no_duplicate(csv_file: CsvFile) -> None:
    """It is listed, and the good row of that id stands."""
    table = payments_table(csv_file(row(1), row(1, amount="x"), row(1, amount="y")))
    assert ids(table) == ["p1"]
    assert [line for line, _ in rejected(table)] == [3, 4]


def test_many_contradictions_are_named_ten_by_ten(csv_file: CsvFile) -> None:
    """The message stays one line however many there are."""
    lines = [row(number, amount=amount) for number in range(12) for amount in ("1", "2")]
    with pytest.raises(InputError, match=r"p0, p1, .*p9 and 2 more"):
        payments_table(csv_file(*lines))


def test_ledger_amounts_are_signed_and_an_empty_kind_is_a_purchase(csv_file: CsvFile) -> None:
    """Any other kind is taken as it is."""
    lines = [row(1, kind="", amount="-5"), row(2, kind="grant", amount="+5"), row(3, kind=" reversal ")]
    table = ledger_table(csv_file(*lines))
    assert table.rows["kind"].to_pylist() == ["purchase", "grant", "reversal"]
    assert table.rows["amount"].to_pylist() == [Decimal(-5), Decimal(5), Decimal(5)]


def test_packed_files_are_read(csv_file: CsvFile, tmp_path: Path) -> None:
    """Under the name they have, by the lines they have unpacked."""
    path = csv_file(row(1), row(2, amount="x"), row(1))
    packed = tmp_path / "p.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    table = payments_table(packed)
    assert ids(table) == ["p1"]
    assert table.rejected.to_pylist()[0]["file"] == "p.csv.gz"
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        payments_table(packed)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.csv", "No such file"),
        ("none.parquet", "No such file"),
        ("none.txt", "No such file"),
        ("", "cannot"),
    ],
)
def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path, name: str, message: str) -> None:
    """The line names the path."""
    with pytest.raises(InputError, match=message):
        payments_table(tmp_path / name)


def test_a_large_file_of_mixed_rows_keeps_order_lines_and_copies(csv_file: CsvFile) -> None:
    """Over many blocks, with quotes, blank lines, faults and a copy far away: nothing moves."""
    lines: list[Any] = []
    for number in range(120_000):
        account = '"a\nb"' if number % 5000 == 17 else '"acct"' if number % 7 == 0 else "acct"
        lines.append(row(number, account=account, amount="x" if number % 9999 == 5 else "5.00"))
    table = payments_table(csv_file(*lines, lines[0]))
    bad = list(range(5, 120_000, 9999))
    assert ids(table) == [f"p{number}" for number in range(120_000) if number % 9999 != 5]
    over = [sum(1 for one in range(17, number, 5000)) for number in bad]
    assert [line for line, _ in rejected(table)] == [
        one + 2 + more for one, more in zip(bad, over, strict=True)
    ]
    lines[3] = lines[3].replace("acct", "tcca")
    with pytest.raises(InputError, match="p3"):
        payments_table(csv_file(*lines, row(3)))
