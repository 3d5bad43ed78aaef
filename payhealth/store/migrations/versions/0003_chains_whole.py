"""What chains need: where a transfer stands, fees, events, prices, balances, providers; refuted coverage.

Frozen like 0001, and written in the same short form.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from payhealth.store.sqltypes import BIG, ExactAmount, UtcMoment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KINDS: dict[str, Any] = {
    "text": sa.Text(),
    "integer": BIG,
    "boolean": sa.Boolean(),
    "money": ExactAmount(),
    "moment": UtcMoment(),
}
BOOKKEEPING = (
    "content_hash recorded_at:moment first_recorded_at:moment change_seq:integer previous_seq:integer? "
    "read_at:moment?"
)

# Name, natural key, indexes of the projection, columns.
NEW_FACTS = (
    (
        "transaction_fee",
        "connector transaction_hash",
        "connector,block_number",
        (
            "connector transaction_hash payer amount:money asset succeeded:boolean block_number:integer "
            "block_hash block_at:moment canonical:boolean"
        ),
    ),
    (
        "payment_event",
        "connector event_id block_hash",
        "connector,block_number external_id",
        (
            "connector event_id block_hash kind contract external_id operator? payer? recipient? "
            "asset? movement_id? block_number:integer transaction_hash block_at:moment canonical:boolean "
            "ignored_reason?"
        ),
    ),
    (
        "asset_price",
        "connector asset quote block_hash",
        "block_hash",
        (
            "connector asset quote block_hash block_number:integer block_at:moment price:money? reason? "
            "feed? round_id? round_at:moment?"
        ),
    ),
    (
        "address_balance",
        "connector address asset",
        "",
        (
            "connector address asset state proved_from:integer? proved_block:integer? proved_amount:money? "
            "pending_block:integer? pending_hash? pending_amount:money? difference:money? gap_lower:integer? "
            "gap_upper:integer? since:moment?"
        ),
    ),
    ("provider_score", "connector provider", "", "connector provider failures:integer lies last_fault"),
)


def _columns(written: str, primary: tuple[str, ...] = ()) -> list[sa.Column[Any]]:
    columns = []
    for item in written.split():
        name, _, kind = item.rstrip("?").partition(":")
        columns.append(
            sa.Column(
                name,
                KINDS[kind or "text"],
                primary_key=name in primary,
                nullable=item.endswith("?"),
                autoincrement=False,
            )
        )
    return columns


def _new_facts() -> None:
    for name, key, indexes, written in NEW_FACTS:
        for table, primary in ((f"{name}_version", ("change_seq",)), (f"{name}_current", tuple(key.split()))):
            columns = _columns(f"{written} {BOOKKEEPING}", primary)
            op.create_table(table, *columns, sa.PrimaryKeyConstraint(*primary, name=f"pk_{table}"))
        for group in indexes.split():
            names = group.split(",")
            op.create_index(f"ix_{name}_current_{'_'.join(names)}", f"{name}_current", names)


def upgrade() -> None:
    _new_facts()
    for table in ("movement_version", "movement_current"):
        for column in _columns("block_hash? position? sender? recipient?"):
            op.add_column(table, column)
    # A random key is dear to index, and nothing looks movements up by it.
    op.drop_index("ix_movement_current_payment_key", "movement_current")
    op.create_index(
        "ix_movement_current_connector_block_number", "movement_current", ["connector", "block_number"]
    )
    for name, indexed in (("transfer_observation", "transaction_hash"), ("block", "block_hash")):
        op.create_index(f"ix_{name}_current_{indexed}", f"{name}_current", [indexed])
    op.add_column(
        "coverage_window", sa.Column("refuted", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    for name in ("finality", "doubts"):
        op.add_column("coverage_window", sa.Column(name, sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    raise NotImplementedError("a store is never downgraded: restore a backup")
