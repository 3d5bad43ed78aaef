"""The documented views: one named file each, with a few macros for what the two databases say differently.

A macro is written ``$name(argument)`` in the files under ``views/``:

``$amount(x)``    the exact amount: canonical text such as ``12.5`` on SQLite, the numeric on PostgreSQL
``$elements(x)``  the elements of a JSON list as a table ``e`` with a column ``value``
``$moment_us(x)`` microseconds since 1970 as a moment

Everything in them is plain SQL, so that other programs can read the views of an SQLite store too.
"""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import Connection, text

FOLDER = Path(__file__).parent / "views"
VIEWS = (
    "v_movements",
    "v_links",
    "v_payment_claims",
    "v_charges",
    "v_intents",
    "v_setup_intents",
    "v_sessions",
    "v_invoices",
    "v_refunds",
    "v_disputes",
    "v_fraud_warnings",
    "v_balance_transactions",
    "v_payouts",
    "v_payout_proofs",
    "v_balance_proofs",
    "v_booking_gaps",
    "v_events",
    "v_transfers",
    "v_chain_fees",
    "v_payment_events",
    "v_asset_prices",
    "v_address_balances",
    "v_providers",
    "v_entries",
    "v_rejected",
    "v_matches",
    "v_match_rows",
    "v_breaks",
    "v_break_rows",
    "v_funnel",
    "v_coverage",
    "v_pulls",
    "v_runs",
    "v_check_results",
)
"""In the order in which they can be created: a view stands behind those that it reads."""

_MACRO = re.compile(r"\$(\w+)\(([\w.]+)\)")

# The digits of an ordered key; below zero every digit is nine minus itself, taken back in three parts that
# each fit 64 bits.
_DIGITS = (
    "CASE WHEN {0} >= '1' THEN substr({0}, 2) ELSE printf('%013d%013d%012d', "
    "9999999999999 - CAST(substr({0}, 2, 13) AS INTEGER), "
    "9999999999999 - CAST(substr({0}, 15, 13) AS INTEGER), "
    "999999999999 - CAST(substr({0}, 28, 12) AS INTEGER)) END"
)
_SQLITE = {
    "amount": (
        "(CASE WHEN {0} < '1' THEN '-' WHEN {0} >= '1' THEN '' END"
        f" || coalesce(nullif(ltrim(substr({_DIGITS}, 1, 20), '0'), ''), '0')"
        f" || rtrim('.' || rtrim(substr({_DIGITS}, 21), '0'), '.'))"
    ),
    "elements": "json_each({0}) AS e",
    "moment_us": (
        "(strftime('%Y-%m-%dT%H:%M:%S', {0} / 1000000, 'unixepoch') || printf('.%06dZ', {0} % 1000000))"
    ),
}
_POSTGRESQL = {
    "amount": "{0}",
    "elements": "json_array_elements_text({0}::json) AS e(value)",
    "moment_us": "(to_timestamp({0} / 1000000) + ({0} % 1000000) * interval '1 microsecond')",
}


def view_sql(name: str, dialect: str) -> str:
    """The CREATE VIEW statement of a view for ``sqlite`` or ``postgresql``."""
    macros = _SQLITE if dialect == "sqlite" else _POSTGRESQL
    body = (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    # Comments stay in the files: a mark of a bound parameter in one would be taken for a real one.
    lines = [line for line in body.splitlines() if not line.lstrip().startswith("--")]
    return _MACRO.sub(lambda found: macros[found[1]].format(found[2]), "\n".join(lines).strip())


def drop_views(connection: Connection) -> None:
    """Take all views away, so that the tables below can be changed."""
    for name in reversed(VIEWS):
        connection.execute(text(f"DROP VIEW IF EXISTS {name}"))


def create_views(connection: Connection) -> None:
    """Create all views, and on PostgreSQL the exact functions that our SQLite connections bring along."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        functions = (FOLDER / "functions.postgresql.sql").read_text(encoding="utf-8")
        for statement in filter(str.strip, functions.split(";\n")):
            connection.execute(text(statement))
    for name in VIEWS:
        connection.execute(text(view_sql(name, dialect)))
