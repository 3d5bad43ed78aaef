"""The queries keep money out of SQL's arithmetic, and inside the SQL that DuckDB and Spark share."""

from __future__ import annotations

import re

import duckdb
import pyarrow as pa
import pytest

from payhealth.matching.inputs import BREAKS, MATCHES, OPEN
from payhealth.matching.queries import Session, names, query
from tests.unit.matching.helpers import entry, paid, run

TYPES = {"string": "varchar", "bigint": "bigint", "boolean": "boolean"}
NOT_SHARED = re.compile(
    r"\b(qualify|asof|exclude|pivot|unnest|arg_min|arg_max|any_value|lateral)\b|::", re.IGNORECASE
)


def described(name: str) -> list[tuple[str, str]]:
    """The result columns of a query over empty tables of the types that its comment names."""
    with duckdb.connect(":memory:") as connection:
        comment = "\n".join(line for line in query(name).splitlines() if line.startswith("--"))
        for table, columns in re.findall(r"(\w+)\(([^)]+)\)", comment):
            typed = ", ".join(
                f"{column} {TYPES[kind]}" for column, kind in (each.split() for each in columns.split(", "))
            )
            connection.execute(f"create table {table} ({typed})")
        text = re.sub(r":\w+", "1", query(name))
        return [(row[0], row[1]) for row in connection.execute(f"describe {text}").fetchall()]


def test_every_query_is_walked() -> None:
    """A query without a file, or a file that nobody runs, is a mistake."""
    assert names() == ("conservation", "gather", "names", "pairs", "reversals", "shared")


@pytest.mark.parametrize("name", names())
def test_no_result_is_inexact(name: str) -> None:
    """Row numbers, counts and texts come out of SQL; never a DOUBLE, FLOAT or DECIMAL."""
    for column, kind in described(name):
        assert kind in ("BIGINT", "VARCHAR", "BOOLEAN"), (name, column, kind)


@pytest.mark.parametrize("name", names())
def test_the_sql_is_that_of_both_engines(name: str) -> None:
    """No function or clause that only one of the two engines knows."""
    text = "\n".join(line for line in query(name).splitlines() if not line.startswith("--"))
    assert not NOT_SHARED.search(text)


def test_a_failed_query_leaves_no_tables_behind() -> None:
    """The next query of the session sees its own tables alone."""
    with Session() as session:
        with pytest.raises(duckdb.Error):
            session.run("pairs", {"movement_rows": pa.table({"x": [1]})})
        table = pa.table({"ref": ["a", "a"]})
        assert session.run("shared", {"movement_rows": table}, most=1).to_pylist() == [
            {"ref": "a", "movements": 2}
        ]


def test_money_in_the_results_is_decimal() -> None:
    """The only floating number in any output table is a match's confidence."""
    outcome = run([paid("c1", "10"), paid("c2", "5", reference="")], [entry("e1", "10")])
    for table, schema in ((outcome.matches, MATCHES), (outcome.breaks, BREAKS), (outcome.open, OPEN)):
        assert table.schema == schema
    floating = [
        field.name for schema in (MATCHES, BREAKS, OPEN) for field in schema if "double" in str(field.type)
    ]
    assert floating == ["confidence"]
