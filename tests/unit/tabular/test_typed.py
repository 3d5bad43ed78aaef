"""Tables whose columns have types of their own: Parquet, Arrow, pandas, Polars, Python values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payhealth.domain.errors import InputError
from payhealth.tabular import TableIn, ledger_table, payments_table

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def table(rows: int = 2, **columns: Any) -> pa.Table:
    """Good payments with some columns replaced."""
    base = {
        "id": pa.array([f"p{number}" for number in range(rows)]),
        "kind": pa.array(["charge"] * rows),
        "account": pa.array(["acct"] * rows),
        "reference": pa.array([None] * rows, pa.string()),
        "amount": pa.array(["5.00"] * rows),
        "asset": pa.array(["USD"] * rows),
        "occurred_at": pa.array([NOON] * rows, pa.timestamp("us", "UTC")),
    }
    return pa.table(base | columns)


def through_parquet(found: pa.Table, tmp_path: Path) -> TableIn:
    """The table read from a Parquet file."""
    path = tmp_path / "p.parquet"
    pq.write_table(found, path)
    return payments_table(path)


def reasons(found: TableIn) -> list[tuple[int, str]]:
    """Line and reason of each rejected row."""
    return [(one["line"], one["reason"]) for one in found.rejected.to_pylist()]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.string_view()]
)
def test_texts_of_any_layout_are_read(kind: pa.DataType) -> None:
    """A text is a text, however it is stored; an empty one and none mean the same."""
    changed = {name: table()[name].cast(kind) for name in ("id", "kind", "account", "amount", "asset")}
    found = payments_table(table(**changed)).rows
    assert found.to_pylist() == payments_table(table()).rows.to_pylist()
    assert found["reference"].to_pylist() == ["", ""]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.decimal128(20, 2), ["5.00", "0.10"]),
        (pa.decimal128(38, 18), ["99999999999999999999.999999999999999999", "0.000000000000000001"]),
        (pa.decimal256(76, 38), ["99999999999999999999.999999999999999999", "0.000000000000000001"]),
        (pa.decimal128(10, 0), ["5", "1234567890"]),
        (pa.decimal128(5, -3), ["5000", "12000"]),
        (pa.decimal32(9, 2), ["5.00", "0.10"]),
        (pa.int64(), [5, 2**63 - 1]),
        (pa.int8(), [5, 0]),
        (pa.uint64(), [5, 2**64 - 1]),
    ],
)
def test_exact_numbers_of_any_type_are_read(tmp_path: Path, kind: pa.DataType, values: list[Any]) -> None:
    """Decimals of any scale and integers, signed or not."""
    expected = [Decimal(value) for value in values]
    amounts = pa.array(expected if pa.types.is_decimal(kind) else values, kind)
    assert payments_table(table(amount=amounts)).rows["amount"].to_pylist() == expected
    if kind not in (pa.decimal128(5, -3), pa.decimal32(9, 2)):  # Parquet has no such types of its own
        assert through_parquet(table(amount=amounts), tmp_path).rows["amount"].to_pylist() == expected


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (pa.decimal128(38, 0), "100000000000000000000", "outside the domain"),
        (pa.decimal128(38, 0), "9" * 38, "outside the domain"),
        (pa.decimal128(38, 4), "-9193944893968492458699", "outside the domain"),
        (pa.decimal128(38, 4), "37244644099208732499128985", "outside the domain"),
        (pa.decimal256(76, 0), "9" * 76, "outside the domain"),
        (pa.decimal128(38, 19), "0.0000000000000000001", "more than 18 digits"),
        (pa.decimal256(76, 38), "0.0000000000000000001", "more than 18 digits"),
        (pa.decimal128(20, 2), "-5.00", "carries no sign"),
        (pa.decimal128(20, 2), None, "amount is empty"),
        (pa.int64(), -5, "carries no sign"),
        (pa.int64(), None, "amount is empty"),
    ],
)
def test_a_number_that_does_not_fit_costs_its_row(kind: pa.DataType, value: Any, reason: str) -> None:
    """Never wrapped, never rounded; the row beside it is read."""
    values = [Decimal(value) if isinstance(value, str) else value, 7]
    found = payments_table(table(amount=pa.array(values, kind)))
    assert found.rows["amount"].to_pylist() == [Decimal(7)]
    ((line, said),) = reasons(found)
    assert line == 1
    assert reason in said


@pytest.mark.parametrize(
    "kind", [pa.float16(), pa.float32(), pa.float64(), pa.dictionary(pa.int8(), pa.float64())]
)
def test_a_float_amount_is_refused(kind: pa.DataType) -> None:
    """A float is not an amount, even where it looks like one."""
    amounts = pa.array([5.0, 6.0], pa.float64()).cast(pa.float16() if kind == pa.float16() else pa.float64())
    amounts = amounts.dictionary_encode() if pa.types.is_dictionary(kind) else amounts.cast(kind)
    with pytest.raises(InputError, match="payments: amount is a float column"):
        payments_table(table(amount=amounts))


@pytest.mark.parametrize(
    ("name", "values"), [("account", [1.5, 2.5]), ("asset", [True, False]), ("occurred_at", [1.5, 2.5])]
)
def test_a_column_of_another_type_is_refused(name: str, values: list[Any]) -> None:
    """The line names the column and its type."""
    with pytest.raises(InputError, match=f"the column {name} is of type (double|bool), which cannot be read"):
        payments_table(table(**{name: pa.array(values)}))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "+05:30", "America/New_York"])
def test_timestamps_of_any_unit_with_a_zone_are_read(tmp_path: Path, unit: str, zone: str) -> None:
    """The zone only tells how a moment is shown."""
    moments = pa.array([NOON, NOON], pa.timestamp(unit, zone))
    assert through_parquet(table(occurred_at=moments), tmp_path).rows["occurred_at"].to_pylist() == [
        NOON,
        NOON,
    ]


@pytest.mark.parametrize(("ticks", "us"), [(1_999, 1), (-1, -1), (-1_000, -1), (-1_001, -2)])
def test_nanoseconds_are_cut_to_microseconds(ticks: int, us: int) -> None:
    """Towards the past, as in texts: files agree whatever they are stored as."""
    moments = pa.array([ticks], pa.timestamp("ns", "UTC"))
    found = payments_table(table(1, occurred_at=moments)).rows["occurred_at"].cast(pa.int64())
    assert found.to_pylist() == [us]


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("ns"), pa.date32(), pa.date64()])
def test_timestamps_without_a_zone_are_malformed(tmp_path: Path, kind: pa.DataType) -> None:
    """Each row is listed, as it would be in CSV."""
    found = through_parquet(table(occurred_at=pa.array([NOON.replace(tzinfo=None)] * 2).cast(kind)), tmp_path)
    assert found.rows.num_rows == 0
    assert [line for line, _ in reasons(found)] == [1, 2]
    assert all("time zone" in reason for _, reason in reasons(found))


@pytest.mark.parametrize(
    ("unit", "ticks"), [("s", 2**62), ("s", -(2**62)), ("us", 2**63 - 1), ("ms", -(2**60))]
)
def test_a_timestamp_outside_the_calendar_is_malformed(unit: str, ticks: int) -> None:
    """It is no moment that a report could show."""
    found = payments_table(table(occurred_at=pa.array([ticks, 0], pa.timestamp(unit, "UTC"))))
    assert reasons(found) == [(1, "not a moment of the years 1 to 9999")]
    assert found.rows.num_rows == 1


def test_a_missing_moment_is_malformed() -> None:
    """A null is an empty value."""
    found = payments_table(table(occurred_at=pa.array([None, NOON], pa.timestamp("us", "UTC"))))
    assert reasons(found) == [(1, "occurred_at is empty")]


def test_an_extra_column_of_any_type_is_ignored_but_told_apart(tmp_path: Path) -> None:
    """Identical rows agree in it as well."""
    same = pa.array(["p0", "p0"])
    found = through_parquet(table(id=same, note=pa.array([1.5, 1.5])), tmp_path)
    assert found.rows.num_rows == 1
    with pytest.raises(InputError, match="share an id: p0"):
        through_parquet(table(id=same, note=pa.array([1.5, 2.5])), tmp_path)


def test_a_folder_name_is_no_column(tmp_path: Path) -> None:
    """``kind=refund/p.parquet`` says nothing about kinds."""
    folder = tmp_path / "kind=refund"
    folder.mkdir()
    pq.write_table(table(id=pa.array(["p0", "p0"])), folder / "p.parquet")
    assert payments_table(folder / "p.parquet").rows["kind"].to_pylist() == ["charge"]


@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b"PAR1 no", "is not a Parquet file")])
def test_a_broken_parquet_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """With one clear line."""
    path = tmp_path / "p.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"p\.parquet {message}"):
        payments_table(path)


def test_missing_and_repeated_columns_are_refused() -> None:
    """In memory as in files."""
    with pytest.raises(InputError, match="payments: the column kind is missing"):
        payments_table(table().drop_columns(["kind"]))
    twice = table().append_column("id", table()["id"])
    with pytest.raises(InputError, match="payments: the column id is there twice"):
        payments_table(twice)
    extra = table().append_column("x", table()["id"]).append_column("x", table()["id"])
    assert payments_table(extra).rows.num_rows == 2


def test_tables_without_rows_are_fine() -> None:
    """Whatever shape nothing comes in."""
    assert payments_table(table().slice(0, 0)).rows.num_rows == 0
    assert payments_table(table().schema.empty_table()).rows.num_rows == 0
    assert payments_table([]).rows.num_rows == 0
    assert payments_table(iter(())).rows.num_rows == 0


def test_slices_and_streams_are_read_as_they_stand() -> None:
    """A slice begins where it begins; lines are counted from its first row."""
    whole = table(5, amount=pa.array(["1", "2", "x", "4", "5"]))
    found = payments_table(whole.slice(1, 3))
    assert found.rows["id"].to_pylist() == ["p1", "p3"]
    assert [line for line, _ in reasons(found)] == [2]
    assert payments_table(whole.slice(1, 3).combine_chunks().to_batches()[0]).rows.num_rows == 2
    assert (
        payments_table(pa.RecordBatchReader.from_batches(whole.schema, whole.to_batches())).rows.num_rows == 4
    )


def test_polars_frames_are_read() -> None:
    """Texts, decimals and moments of Polars."""
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(table(amount=pa.array([Decimal("5.00"), Decimal("0.10")])))
    assert payments_table(frame).rows["amount"].to_pylist() == [Decimal("5.00"), Decimal("0.10")]
    with pytest.raises(InputError, match="float"):
        payments_table(frame.with_columns(polars.col("amount").cast(polars.Float64)))


def test_pandas_frames_are_read() -> None:
    """Objects value by value, columns of one type at once; the index is no column."""
    pandas = pytest.importorskip("pandas")
    frame = table().to_pandas()
    frame["amount"] = pandas.Series([Decimal("5.00"), None], dtype=object)
    found = payments_table(frame.set_index(frame["id"] + "x"))
    assert found.rows["amount"].to_pylist() == [Decimal("5.00")]
    assert reasons(found) == [(2, "amount is empty")]
    frame["amount"] = pandas.Series([2**256 - 1, "7"], dtype=object)
    assert "outside the domain" in reasons(payments_table(frame))[0][1]
    frame["amount"] = [1.5, 2.5]
    with pytest.raises(InputError, match="float"):
        payments_table(frame)
    frame["amount"] = pandas.Series([1.5, "2.5"], dtype=object)
    with pytest.raises(InputError, match="float values cannot be read"):
        payments_table(frame)


@dataclass
class Payment:
    """A record of somebody's own."""

    id: str
    amount: Any
    occurred_at: Any
    kind: str = "charge"
    account: str = ""
    reference: str = ""
    asset: str = "USD"


@pytest.mark.parametrize(
    ("amount", "value"),
    [
        (Decimal("5.00"), 5),
        (Decimal("1E+2"), 100),
        (5, 5),
        ("5", 5),
        pytest.param(10**5000, None, id="huge"),
        (Decimal("1E+999999"), None),
    ],
)
def test_python_values_are_read(amount: Any, value: int | None) -> None:
    """Exactly, or not at all: however many digits there are."""
    found = payments_table([Payment("p1", amount, NOON)])
    assert found.rows["amount"].to_pylist() == ([] if value is None else [Decimal(value)])
    assert found.rejected.num_rows == (value is None)


@pytest.mark.parametrize("amount", [5.0, True, b"5", object()])
def test_python_values_of_other_types_are_refused(amount: Any) -> None:
    """A float is no amount."""
    with pytest.raises(InputError, match="values cannot be read"):
        payments_table([Payment("p1", amount, NOON)])


def test_python_moments_need_a_zone() -> None:
    """Any zone will do, none and a bare date will not."""
    odd = timezone(timedelta(hours=5, minutes=53, seconds=28))
    moments = [NOON.astimezone(odd), NOON.replace(tzinfo=None), date(2026, 1, 31), None]
    found = payments_table([Payment(f"p{number}", "5", one) for number, one in enumerate(moments)])
    assert found.rows["occurred_at"].to_pylist() == [NOON]
    assert [line for line, _ in reasons(found)] == [2, 3, 4]


def test_half_a_character_costs_its_row() -> None:
    """Text that no file could hold is malformed, not a crash."""
    found = payments_table([Payment("p\ud800", "5", NOON), Payment("p2", "5", NOON)])
    assert reasons(found) == [(1, "id holds a control character")]


@pytest.mark.parametrize("data", [5, None, b"x", {"id": ["p1"]}, ["p1"], [1]])
def test_what_is_no_table_is_refused(data: Any) -> None:
    """With a line that says what it is."""
    with pytest.raises(InputError, match=r"neither a table|must be a mapping"):
        payments_table(data)


def test_ledger_tables_may_lack_a_kind() -> None:
    """Then every entry is a purchase."""
    assert ledger_table(table().drop_columns(["kind"])).rows["kind"].to_pylist() == ["purchase", "purchase"]
