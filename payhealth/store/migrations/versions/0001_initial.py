"""The first tables: history and projection of every fact, and what is kept of pulls, runs and checks.

Frozen: written out here and not read from the code, which will have moved on. A fact's columns are written
``name``, ``name:kind``, with a ``?`` where they may be null; text is the kind of those without one.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from payhealth.store.sqltypes import BIG, ExactAmount, UtcMoment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KINDS: dict[str, Any] = {
    "text": sa.Text(),
    "integer": BIG,
    "boolean": sa.Boolean(),
    "money": ExactAmount(),
    "moment": UtcMoment(),
    "real": sa.Double(),
}
BOOKKEEPING = (
    "content_hash recorded_at:moment first_recorded_at:moment change_seq:integer previous_seq:integer?"
)

# Name, natural key, indexes of the projection, columns.
FACTS = (
    (
        "movement",
        "connector movement_id",
        "payment_key|effective_at",
        (
            "connector movement_id rail kind status account handle payment_key reference amount:money "
            "asset symbol effective_at:moment chain? block_number:integer? finality_s:integer? "
            "finality?"
        ),
    ),
    (
        "link",
        "connector alias payment_key",
        "alias",
        "connector alias payment_key",
    ),
    (
        "charge",
        "connector charge_id",
        "created_at|intent_id",
        (
            "connector charge_id intent_id? status amount:money amount_captured:money asset "
            "created_at:moment failure_code? decline_code? network_status? outcome_reason? risk_level? "
            "risk_score:integer? radar_rule? brand? country? funding? bin? fingerprint? wallet? "
            "three_d_secure? customer? account balance_transaction?"
        ),
    ),
    (
        "payment_intent",
        "connector intent_id",
        "",
        (
            "connector intent_id status amount:money amount_received:money asset created_at:moment "
            "canceled_at:moment? latest_charge? customer? account"
        ),
    ),
    (
        "refund",
        "connector refund_id",
        "charge_id",
        (
            "connector refund_id charge_id? intent_id? status amount:money asset reason? "
            "created_at:moment balance_transaction? failure_balance_transaction?"
        ),
    ),
    (
        "dispute",
        "connector dispute_id",
        "charge_id",
        (
            "connector dispute_id charge_id? intent_id? status reason? amount:money asset "
            "withdrawn:money reinstated:money created_at:moment evidence_due_at:moment?"
        ),
    ),
    (
        "balance_transaction",
        "connector balance_transaction_id",
        "source_id",
        (
            "connector balance_transaction_id source_id? type reporting_category? amount:money "
            "fee:money net:money asset exchange_rate:money? created_at:moment available_at:moment?"
        ),
    ),
    (
        "payout",
        "connector payout_id",
        "",
        (
            "connector payout_id status amount:money asset automatic:boolean created_at:moment "
            "arrival_at:moment? balance_transaction?"
        ),
    ),
    (
        "transfer_observation",
        "connector movement_id block_hash",
        "connector block_number",
        (
            "connector movement_id block_hash block_number:integer transaction_hash position sender "
            "recipient amount:money asset block_at:moment canonical:boolean ignored_reason?"
        ),
    ),
    (
        "block",
        "connector block_number block_hash",
        "",
        "connector block_number:integer block_hash parent_hash block_at:moment canonical:boolean",
    ),
    (
        "chain_mark",
        "connector chain",
        "",
        "connector chain head:integer safe:integer final:integer head_at:moment",
    ),
    (
        "entry",
        "connector entry_id",
        "effective_at",
        (
            "connector entry_id kind account reference amount:money asset effective_at:moment "
            "ledger_recorded_at:moment? deleted:boolean"
        ),
    ),
    (
        "handle",
        "connector handle account valid_from",
        "handle",
        "connector handle account valid_from:moment valid_to:moment?",
    ),
    (
        "rejected",
        "connector stream object_id reason",
        "",
        "connector stream object_id reason raw",
    ),
    (
        "match",
        "match_id",
        "",
        "match_id rule state confidence:real movement_ids entry_ids residual:money asset reasons",
    ),
    (
        "break",
        "break_id",
        "state",
        (
            "break_id primary_reason reasons movement_ids entry_ids amount:money at_risk:money asset "
            "legs effective_at:moment? explanation state decided_by? note?"
        ),
    ),
)


def _columns(written: str, primary: Sequence[str]) -> list[sa.Column[Any]]:
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


def _facts() -> None:
    for name, key, indexes, written in FACTS:
        keys = key.split()
        for table, primary in ((f"{name}_version", ["change_seq"]), (f"{name}_current", keys)):
            _table(table, *_columns(f"{written} {BOOKKEEPING}", primary), key=primary)
        for group in filter(None, indexes.split("|")):
            columns = group.split()
            op.create_index(f"ix_{name}_current_{'_'.join(columns)}", f"{name}_current", columns)


def _number(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, BIG, nullable=False, **options)


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _moment(name: str) -> sa.Column[Any]:
    return sa.Column(name, UtcMoment(), nullable=False)


def _table(name: str, *columns: sa.Column[Any], key: Sequence[str] = ("id",)) -> None:
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"))


def _pulls() -> None:
    _table(
        "coverage_window",
        _text("connector"),
        _text("stream"),
        _text("unit"),
        _number("lower"),
        sa.Column("unproved", sa.Boolean(), nullable=False),
        _number("upper"),
        _text("provider"),
        _number("objects"),
        _moment("read_at"),
        key=("connector", "stream", "unit", "lower", "unproved"),
    )
    _table(
        "pull_cursor",
        _text("connector"),
        _text("stream"),
        _text("cursor"),
        _moment("updated_at"),
        key=("connector", "stream"),
    )
    _table(
        "pull_outcome",
        _number("id", autoincrement=True),
        _text("connector"),
        _text("stream"),
        _moment("started_at"),
        _moment("finished_at"),
        *(_number(name) for name in ("objects_read", "new", "changed", "rejected", "requests")),
        _text("error", nullable=True),
        _text("coverage"),
    )
    op.create_index("ix_pull_outcome_connector_stream_id", "pull_outcome", ["connector", "stream", "id"])


def _runs() -> None:
    _table(
        "statement_version",
        _number("change_seq", autoincrement=False),
        _moment("recorded_at"),
        _moment("ran_at"),
        _text("content_hash"),
        _text("body"),
        key=("change_seq",),
    )
    _table("last_run", _number("id", autoincrement=False), _moment("ran_at"))
    _table(
        "check_result",
        _number("id", autoincrement=True),
        _text("check_name"),
        _text("outcome"),
        _text("message"),
        _moment("evaluated_at"),
        _text("value", nullable=True),
        _text("unit"),
        sa.Column("interval_lower", sa.Float(), nullable=True),
        sa.Column("interval_upper", sa.Float(), nullable=True),
        _text("baseline", nullable=True),
        *(_text(name) for name in ("thresholds", "segments", "examples", "inputs", "not_seen", "next_step")),
    )
    op.create_index("ix_check_result_check_name_id", "check_result", ["check_name", "id"])


def upgrade() -> None:
    _facts()
    _table(
        "change_counter", _number("id", autoincrement=False), _number("change_seq"), _moment("recorded_at")
    )
    _pulls()
    _runs()
    counter = sa.table(
        "change_counter",
        sa.column("id", BIG),
        sa.column("change_seq", BIG),
        sa.column("recorded_at", UtcMoment()),
    )
    op.execute(counter.insert().values(id=1, change_seq=0, recorded_at=EPOCH))


def downgrade() -> None:
    raise NotImplementedError("a store is never downgraded: restore a backup")
