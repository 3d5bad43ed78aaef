"""What movements were worth when they happened, as their sources say: settled for, or priced at a block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.matching.inputs import MONEY

_SETTLED_FOR = """
with prices as (
    select c.connector, c.payment_key, c.asset, min(b.asset) as quote, min(b.exchange_rate) as price
    from paid c join exchanged b on b.connector = c.connector and b.source_id = c.movement_id
    where c.kind = 'charge' and b.type in ('charge', 'payment') and b.asset <> c.asset
    group by c.connector, c.payment_key, c.asset
    having min(b.asset) = max(b.asset) and min(b.exchange_rate) = max(b.exchange_rate)
)
select p.quote, p.price, cast(null as varchar) as reason
from paid m left join prices p
    on p.connector = m.connector and p.payment_key = m.payment_key and p.asset = m.asset
order by m.place
"""

# A transfer is worth what its own block says; what undoes it names no block of its own, or another one.
_PRICED_AT = """
with one as (
    select connector, asset, block_hash, quote, price, reason
    from (
        select *, row_number() over (partition by connector, asset, block_hash order by quote) as nth
        from priced
    )
    where nth = 1
),
own as (
    select m.place, m.connector, m.payment_key, m.asset, p.quote, p.price, p.reason
    from paid m join one p
        on p.connector = m.connector and p.asset = m.asset and p.block_hash = m.block_hash
    where m.kind = 'transfer'
),
undone as (
    select connector, payment_key, asset, min(quote) as quote, min(price) as price, min(reason) as reason
    from own group by connector, payment_key, asset having count(*) = 1
)
select coalesce(o.quote, u.quote) as quote, coalesce(o.price, u.price) as price,
    coalesce(o.reason, u.reason) as reason
from paid m left join own o on o.place = m.place
left join undone u on m.kind <> 'transfer'
    and u.connector = m.connector and u.payment_key = m.payment_key and u.asset = m.asset
order by m.place
"""

_STANDING_IN = """
select m.place, r.quote, max_by(r.price, r.valid_us) as price
from unvalued m
join (select asset, min(quote) as quote from withheld group by asset) w on w.asset = m.asset
join rates r on r.asset = w.asset and r.quote = w.quote and r.valid_us <= m.at_us
group by m.place, r.quote
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the engine is told of values.

    Args:
        quotes: what each movement's price is counted in, null where it has none of its own.
        prices: what one unit of its asset was worth.
        rates: the rates that stand in for the rest.
        withheld: why a price was not given -> of how many movements.
    """

    quotes: pa.Array
    prices: pa.Array
    rates: pa.Table | None
    withheld: Mapping[str, int]


def values(
    movements: pa.Table,
    *,
    exchanged: pa.Table,
    priced: pa.Table,
    wanted: Collection[str],
    rates: pa.Table | None,
) -> Values:
    """Each movement's price, from the processor's books or from what the chain said at its block.

    What undoes a payment is valued as the payment was, so that undoing it whole leaves nothing over. A
    record without a price is a statement too: the movement waits, and no general rate stands in for it.

    Args:
        exchanged: balance transactions.
        priced: asset prices.
        wanted: the assets that policies count credits in; prices in another one are not looked at.
        rates: as in ``MatchInputs``.
    """
    exchanged = exchanged.filter(pc.is_valid(exchanged["exchange_rate"]))
    priced = priced.filter(pc.is_in(priced["quote"], value_set=pa.array(sorted(wanted), pa.string())))
    table = _nothing(movements)
    if exchanged.num_rows:
        table = _run(_SETTLED_FOR, movements, exchanged=exchanged)
    if priced.num_rows:
        table = _merged(table, _run(_PRICED_AT, movements, priced=priced))
    silent = pc.and_(pc.is_valid(table["quote"]), pc.is_null(table["price"]))
    if not pc.any(silent).as_py():
        return Values(quotes=_whole(table["quote"]), prices=_whole(table["price"]), rates=rates, withheld={})
    heads = Counter((reason or "").partition(":")[0] for reason in table["reason"].filter(silent).to_pylist())
    pairs = pa.table({"asset": movements["asset"].filter(silent), "quote": table["quote"].filter(silent)})
    if rates is not None and rates.num_rows:
        unvalued = pc.is_null(table["quote"])
        table = _merged(table, _standing_in(movements, unvalued, pairs, rates))
        rates = _without(rates, pairs)
    return Values(
        quotes=_whole(pc.if_else(silent, pa.scalar(None, pa.string()), table["quote"])),
        prices=_whole(table["price"]),
        rates=rates,
        withheld=dict(sorted(heads.items())),
    )


def _nothing(movements: pa.Table) -> pa.Table:
    rows = movements.num_rows
    text = pa.nulls(rows, pa.string())
    return pa.table({"quote": text, "price": pa.nulls(rows, MONEY), "reason": text})


def _run(sql: str, movements: pa.Table, **tables: pa.Table) -> pa.Table:
    """A query's rows, one for each movement in its place."""
    names = ["connector", "movement_id", "kind", "payment_key", "asset", "block_hash"]
    with duckdb.connect() as session:
        session.register("paid", movements.select(names).append_column("place", _places(movements)))
        for name, rows in tables.items():
            session.register(name, rows)
        return session.sql(sql).to_arrow_table()


def _merged(first: pa.Table, other: pa.Table) -> pa.Table:
    """The first's word where it has one, else the other's."""
    said = pc.is_valid(first["quote"])
    return pa.table(
        {name: pc.if_else(said, first[name], other[name]) for name in ("quote", "price", "reason")}
    )


def _standing_in(
    movements: pa.Table, unvalued: pa.ChunkedArray, pairs: pa.Table, rates: pa.Table
) -> pa.Table:
    """The rates of pairs of which some movement's price was withheld, for the movements that have them still.

    A rate holds for an asset whoever moved it. Where one connector has a feed and says of one movement
    that there is no price, the rate must be kept from that movement, and from no other.
    """
    asked = pa.table(
        {"place": _places(movements), "asset": movements["asset"], "at_us": _us(movements["effective_at"])}
    )
    with duckdb.connect() as session:
        session.register("unvalued", asked.filter(unvalued))
        session.register("withheld", pairs)
        session.register("rates", rates.append_column("valid_us", _us(rates["valid_from"])))
        session.register("every", asked.select(["place"]))
        session.execute(f"create temp view found as {_STANDING_IN}")
        return session.sql(
            "select f.quote, f.price, cast(null as varchar) as reason"
            " from every e left join found f on f.place = e.place order by e.place"
        ).to_arrow_table()


def _without(rates: pa.Table, pairs: pa.Table) -> pa.Table:
    return rates.join(pairs, keys=["asset", "quote"], join_type="left anti").select(rates.column_names)


def _places(table: pa.Table) -> pa.Array:
    return pa.array(np.arange(table.num_rows))


def _us(moments: pa.ChunkedArray) -> pa.ChunkedArray:
    return moments.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()
