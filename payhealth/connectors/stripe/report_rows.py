"""Rows of Stripe's CSV reports as records: some thousand lines at a time, whole columns, amounts exact.

Amounts stand there in major units as decimal texts, moments as UTC texts. A report does not know all that
the list of balance transactions knows: it has the reporting category instead of the type, and no exchange
rate. Of charges and refunds in the balance's own currency both follow without doubt, and these are nearly
all lines. Whatever the report does not tell plainly is not guessed: its id is handed on, to be read itself.

Source: https://docs.stripe.com/reports/report-types/balance,
https://docs.stripe.com/reports/reporting-categories
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from payhealth.connectors.stripe.currencies import decimals_of
from payhealth.domain.errors import SourceDataError
from payhealth.domain.money import PRECISION, SCALE

ROWS_AT_ONCE = 4_000
LINE_BYTES_MAX = 16_384

ACTIVITY = (
    *("balance_transaction_id", "created_utc", "available_on_utc", "currency", "gross", "fee", "net"),
    *("reporting_category", "source_id", "charge_id", "customer_facing_currency"),
)
"""What is asked of ``balance_change_from_activity``: no column that holds a person or a text of theirs."""

PAYOUTS = ("automatic_payout_id", "balance_transaction_id", "currency", "net")
"""What is asked of ``payout_reconciliation``."""

TYPES: Mapping[tuple[str, str, str], str] = {
    ("charge", "ch_", "ch_"): "charge",
    ("charge", "py_", "py_"): "payment",
    ("refund", "re_", "ch_"): "refund",
    ("refund", "pyr_", "py_"): "payment_refund",
}
"""(reporting category, prefix of the source, prefix of its charge) -> the type that the list would give.

Cards have ``charge`` and ``refund``, other ways to pay ``payment`` and ``payment_refund``. Every other
category stands for several types (a fee may be a ``stripe_fee`` or an ``adjustment``), or for lines whose
exchange rate the report does not show (disputes): those are read themselves.
"""

_ID = r"^[!-~]{1,255}$"
_MONEY = r"^-?[0-9]{1,15}(\.[0-9]{1,18})?$"
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$"
_AMOUNTS = {"gross": "amount", "fee": "fee", "net": "net"}
_DECIMAL = pa.decimal128(PRECISION, SCALE)
_UTC = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some thousand lines of a report.

    Args:
        told: records of BalanceTransaction, without ``raw``.
        untold: ids of lines that the report does not tell plainly, to be read by themselves.
        lost: how many lines do not even name a transaction.
    """

    told: pa.Table
    untold: tuple[str, ...]
    lost: int

    @property
    def rows(self) -> int:
        """How many lines there were."""
        return int(self.told.num_rows) + len(self.untold) + self.lost


@dataclass(slots=True)
class Block:
    """Lines of a file as columns of texts, and how many were none of the header's width."""

    table: pa.Table
    lost: int = field(default=0)


def blocks(lines: Iterable[bytes], columns: Sequence[str], connector: str) -> Iterator[Block]:
    """The lines of a report, some thousand at a time.

    Args:
        lines: the file's, without line ends, its header first.
        columns: those that were asked for, in order.

    Raises:
        SourceDataError: it is another file.
    """
    coming = iter(lines)
    header = next(coming, b"")
    if header.replace(b'"', b"").strip() != ",".join(columns).encode():
        raise SourceDataError(f"{connector}: Stripe's report has other columns than were asked for")
    while block := list(islice(coming, ROWS_AT_ONCE)):
        if max(map(len, block)) > LINE_BYTES_MAX:
            raise SourceDataError(f"{connector}: a line of Stripe's report is too long")
        yield _block([line for line in block if line.strip()], columns, connector)


def _block(lines: Sequence[bytes], columns: Sequence[str], connector: str) -> Block:
    # A quote that is not closed would swallow the lines behind it.
    whole = [line for line in lines if line.count(b'"') % 2 == 0]
    bent: list[int] = []

    def skipped(row: Any) -> str:
        bent.append(row.actual_columns)
        return "skip"

    try:
        table = csv.read_csv(
            BytesIO(b"\n".join(whole)),
            read_options=csv.ReadOptions(column_names=list(columns), use_threads=False),
            parse_options=csv.ParseOptions(invalid_row_handler=skipped),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if whole:
            raise SourceDataError(f"{connector}: Stripe's report is no CSV of text") from error
        table = pa.table({name: pa.array([], pa.string()) for name in columns})
    return Block(table=table.combine_chunks(), lost=len(lines) - len(whole) + len(bent))


def activity(block: Block, connector: str) -> Part:
    """Lines of ``balance_change_from_activity`` as records; of a line that stands twice the last counts."""
    named = pc.match_substring_regex(block.table["balance_transaction_id"], _ID)
    table = _last_of_each_id(block.table.filter(named))
    lost = block.lost + block.table.num_rows - int(pc.sum(named).as_py() or 0)
    columns = {name: table[name].combine_chunks() for name in ACTIVITY}
    kinds = _types(columns)
    digits = _digits(columns["currency"])
    created, on = _moments(columns["created_utc"]), _moments(columns["available_on_utc"])
    plain = pc.and_(kinds.is_valid(), pc.and_(created.is_valid(), on.is_valid()))
    plain = pc.and_(plain, _in_own_currency(columns))
    for name in _AMOUNTS:
        plain = pc.and_(plain, _fits(columns[name], digits))
    told = _records(columns, kinds, created, on, plain, connector)
    untold = columns["balance_transaction_id"].filter(pc.invert(plain))
    return Part(told=told, untold=tuple(untold.to_pylist()), lost=lost)


def _last_of_each_id(table: pa.Table) -> pa.Table:
    ids = table["balance_transaction_id"].to_pylist()
    places = {found: place for place, found in enumerate(ids)}
    return table if len(places) == len(ids) else table.take(pa.array(sorted(places.values())))


def _types(columns: Mapping[str, pa.Array]) -> pa.Array:
    """The type of each line, null where the category does not decide it."""
    found = pa.nulls(len(columns["source_id"]), pa.string())
    for (category, source, charge), kind in TYPES.items():
        is_it = pc.and_(
            pc.equal(columns["reporting_category"], category),
            pc.and_(
                pc.and_(
                    pc.starts_with(columns["source_id"], source),
                    pc.match_substring_regex(columns["source_id"], _ID),
                ),
                pc.starts_with(columns["charge_id"], charge),
            ),
        )
        found = pc.if_else(is_it, kind, found)
    return found


def _digits(currencies: pa.Array) -> pa.Array:
    """How many digits amounts of each line's currency have, null where nobody says."""
    found = {name: decimals_of(name.upper()) for name in pc.unique(currencies).to_pylist()}
    return pa.array([found[name] for name in currencies.to_pylist()], pa.int8())


def _in_own_currency(columns: Mapping[str, pa.Array]) -> pa.Array:
    """Nothing was exchanged: what the customer saw is in the balance's own currency."""
    return pc.equal(pc.utf8_lower(columns["customer_facing_currency"]), pc.utf8_lower(columns["currency"]))


def _fits(texts: pa.Array, digits: pa.Array) -> pa.Array:
    """Plain decimals with no more digits after the point than the currency has."""
    plain = pc.match_substring_regex(texts, _MONEY)
    fits = pa.array([False] * len(texts))
    for count in (0, 2, 3):
        exact = pc.match_substring_regex(texts, rf"^-?[0-9]+(\.[0-9]{{0,{count}}}0*)?$")
        fits = pc.or_(fits, pc.and_(pc.fill_null(pc.equal(digits, count), False), exact))
    return pc.and_(plain, fits)


def _moments(texts: pa.Array) -> pa.Array:
    """Moments in UTC, null where a text is none."""
    given = pc.if_else(pc.match_substring_regex(texts, _MOMENT), texts, pa.scalar(None, pa.string()))
    try:
        found = given.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        # A day that no calendar has: each text by itself, so that only that one is left out.
        found = pa.array([_moment(text) for text in given.to_pylist()], pa.timestamp("us"))
    return found.cast(_UTC)


def _moment(text: str | None) -> Any:
    try:
        return None if text is None else pa.scalar(text).cast(pa.timestamp("us")).as_py()
    except pa.ArrowInvalid:
        return None


def _records(
    columns: Mapping[str, pa.Array],
    kinds: pa.Array,
    created: pa.Array,
    available: pa.Array,
    plain: pa.Array,
    connector: str,
) -> pa.Table:
    """The told lines, with the fields that the list gives."""
    chosen = {name: column.filter(plain) for name, column in columns.items()}
    count = len(chosen["net"])
    return pa.table(
        {
            "connector": pa.repeat(pa.scalar(connector), count),
            "balance_transaction_id": chosen["balance_transaction_id"],
            "source_id": chosen["source_id"],
            "type": kinds.filter(plain),
            "reporting_category": chosen["reporting_category"],
            **{field: chosen[name].cast(_DECIMAL) for name, field in _AMOUNTS.items()},
            "asset": pc.utf8_upper(chosen["currency"]),
            "exchange_rate": pa.nulls(count, _DECIMAL),
            "created_at": created.filter(plain),
            "available_at": available.filter(plain),
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidOut:
    """What some lines of ``payout_reconciliation`` add to one payout.

    Args:
        payout_id: empty where lines do not name one.
        net: None where a line does not tell it plainly.
    """

    payout_id: str
    asset: str
    net: Any
    transactions: int


def paid_out(block: Block) -> Iterator[PaidOut]:
    """The lines of each payout and currency, added up exactly."""
    table = block.table
    named = pc.match_substring_regex(table["automatic_payout_id"], _ID)
    payouts = pc.if_else(named, table["automatic_payout_id"], "")
    nets = table["net"].combine_chunks()
    fits = _fits(nets, _digits(table["currency"].combine_chunks()))
    amounts = pc.if_else(fits, nets, pa.scalar(None, pa.string())).cast(_DECIMAL)
    summed = (
        pa.table({"payout": payouts, "currency": table["currency"], "net": amounts})
        .group_by(["payout", "currency"])
        .aggregate([("net", "sum", pc.ScalarAggregateOptions(skip_nulls=False)), ([], "count_all")])
    )
    for row in summed.to_pylist():
        yield PaidOut(
            payout_id=row["payout"],
            asset=row["currency"].upper(),
            net=row["net_sum"],
            transactions=row["count_all"],
        )
