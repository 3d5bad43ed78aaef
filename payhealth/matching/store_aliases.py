"""What a ledger entry may call a payment by, besides its payment key."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.records import MovementKind, Rail

_COLUMNS = ("connector", "alias", "payment_key")

# As v_links has it: the view is for people and checks, this is the same rule over the tables of one moment.
_OF_TRANSFERS = """
with moved as (
    select connector, payment_key, kind, position, substr(movement_id, length(chain) + 2) as own
    from on_chain where starts_with(movement_id, chain || ':0x')
)
select connector, own as alias, payment_key from moved
union all
select connector, substr(own, 1, 66) || ':' || position, payment_key from moved
where position <> '' and substr(own, 68) <> position
union all
select connector, substr(own, 1, 66), payment_key from moved where kind = 'transfer'
"""


def aliases(movements: pa.Table, links: pa.Table) -> pa.Table:
    """Every other id of a payment, with the payment key that it leads to.

    Sources give some as links. Those of a chain's transfers follow from the transfers themselves: the
    transaction with the position of the id, and with the position where it stands now, if a reorg moved
    it. The bare transaction stands for what customers paid in it, so that a sweep beside a deposit does
    not answer to it. A withdrawal has no transaction; it goes by its whole id, as every transfer may.

    Args:
        movements: of any kind and status: what a reorg took keeps its names, and so do sweeps.
        links: the sources' own.

    Returns:
        Columns ``connector``, ``alias`` and ``payment_key``.
    """
    own = links.select(_COLUMNS)
    undoing = pc.equal(movements["kind"], str(MovementKind.RETRACTION))
    chained = pc.and_(pc.equal(movements["rail"], str(Rail.CHAIN)), pc.is_valid(movements["chain"]))
    on_chain = movements.filter(pc.and_(chained, pc.invert(undoing)))
    if not on_chain.num_rows:
        return own
    names = ["connector", "movement_id", "payment_key", "kind", "position", "chain"]
    with duckdb.connect() as session:
        session.register("on_chain", on_chain.select(names))
        derived = session.sql(_OF_TRANSFERS).to_arrow_table()
    return pa.concat_tables([own, derived.cast(own.schema)])
