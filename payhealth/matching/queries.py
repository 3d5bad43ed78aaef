"""The passes' SQL, each query in a file of its own with a name, run by DuckDB over Arrow tables.

The files keep to the SQL that DuckDB and Spark share: bigint row numbers and microseconds, equi-joins,
BETWEEN, row_number. They hold no amounts: money is counted in :mod:`payhealth.matching.exact`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa


@cache
def query(name: str) -> str:
    """The text of a query.

    Args:
        name: the file's name under ``sql/`` without its ending.
    """
    return resources.files("payhealth.matching").joinpath("sql", f"{name}.sql").read_text("utf-8")


def names() -> tuple[str, ...]:
    """The names of all queries."""
    files = resources.files("payhealth.matching").joinpath("sql").iterdir()
    return tuple(sorted(file.name.removesuffix(".sql") for file in files if file.name.endswith(".sql")))


class Session:
    """A database in memory for one run."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:")
        self._connection.execute("set timezone = 'UTC'")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def run(self, name: str, tables: Mapping[str, pa.Table], **values: int) -> pa.Table:
        """Run a named query over these tables.

        Args:
            tables: by the names that the query uses.
            values: whole numbers put in for ``:name``.

        Returns:
            The rows, in no promised order unless the query names one.
        """
        text = query(name)
        for key, value in values.items():
            text = text.replace(f":{key}", str(int(value)))
        for table, rows in tables.items():
            self._connection.register(table, rows)
        try:
            return self._connection.sql(text).to_arrow_table()
        finally:
            for table in tables:
                self._connection.unregister(table)
