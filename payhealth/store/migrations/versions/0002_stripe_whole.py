"""What the whole of Stripe needs: new kinds of facts, more columns of the known ones, when a source was read.

Frozen like 0001, and written in the same short form.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from payhealth.store.sqltypes import BIG, ExactAmount, UtcMoment

revision = "0002"
down_revision = "0001"
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
        "payment_claim",
        "connector payment_key object_id",
        "payment_key",
        "connector payment_key object_id account",
    ),
    (
        "setup_intent",
        "connector setup_intent_id",
        "",
        (
            "connector raw? setup_intent_id status created_at:moment usage? payment_method_type? "
            "failure_code? decline_code? cancellation_reason? customer? account"
        ),
    ),
    (
        "checkout_session",
        "connector session_id",
        "intent_id",
        (
            "connector raw? session_id intent_id? invoice_id? status? payment_status? mode? "
            "client_reference? customer? account amount:money? asset? created_at:moment"
        ),
    ),
    (
        "invoice",
        "connector invoice_id",
        "",
        (
            "connector raw? invoice_id intent_id? charge_id? status? billing_reason? customer? account "
            "amount_due:money amount_paid:money asset created_at:moment"
        ),
    ),
    (
        "early_fraud_warning",
        "connector warning_id",
        "charge_id",
        "connector raw? warning_id charge_id? intent_id? fraud_type? actionable:boolean created_at:moment",
    ),
    (
        "payout_proof",
        "connector payout_id",
        "",
        (
            "connector payout_id state method amount:money listed:money? asset transactions:integer "
            "created_at:moment"
        ),
    ),
    (
        "balance_proof",
        "connector asset",
        "",
        "connector asset state since:moment difference:money attempts:integer",
    ),
    (
        "booking_gap",
        "connector object_id",
        "",
        "connector object_id reason moved_at:moment since:moment amount:money? asset? closed:boolean",
    ),
    (
        "source_event",
        "connector event_id",
        "created_at",
        ("connector raw? event_id type object_type object_id object_created_at:moment? created_at:moment"),
    ),
    ("source_account", "connector", "", "connector account_id live:boolean?"),
)

KNOWN_FACTS = (
    "movement link charge payment_intent refund dispute balance_transaction payout transfer_observation "
    "block chain_mark entry handle rejected match break"
)
NEW_COLUMNS = {
    "charge": (
        "raw? advice_code? network_decline_code? cvc_check? payment_method_type? email_domain? email_hash? "
        "ip_hash? statement_descriptor? invoice_id?"
    ),
    "payment_intent": (
        "raw? capture_method? cancellation_reason? setup_future_usage? last_failure_code? last_decline_code?"
    ),
    "refund": "raw? failure_reason?",
    "dispute": (
        "raw? has_evidence:boolean? past_due:boolean? submission_count:integer? "
        "is_charge_refundable:boolean? network_reason_code? brand?"
    ),
    "balance_transaction": "raw?",
    "payout": "raw? failure_balance_transaction? failure_code? method? reconciliation_status?",
}


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
            shown = written if primary == ("change_seq",) else written.replace(" raw?", "")
            columns = _columns(f"{shown} {BOOKKEEPING}", primary)
            op.create_table(table, *columns, sa.PrimaryKeyConstraint(*primary, name=f"pk_{table}"))
        for column in indexes.split():
            op.create_index(f"ix_{name}_current_{column}", f"{name}_current", [column])


def _new_columns() -> None:
    for name in KNOWN_FACTS.split():
        for table in (f"{name}_version", f"{name}_current"):
            written = NEW_COLUMNS.get(name, "")
            # What is kept of the raw object stands in the history alone.
            shown = written if table.endswith("_version") else written.replace("raw?", "")
            for column in _columns(f"{shown} read_at:moment?"):
                op.add_column(table, column)
    op.create_index(
        "ix_balance_transaction_current_created_at", "balance_transaction_current", ["created_at"]
    )
    op.add_column("coverage_window", sa.Column("pages", BIG, nullable=False, server_default="0"))
    op.add_column("coverage_window", sa.Column("account", sa.String(), nullable=False, server_default=""))


def upgrade() -> None:
    _new_facts()
    _new_columns()


def downgrade() -> None:
    raise NotImplementedError("a store is never downgraded: restore a backup")
