"""What connectors report: frozen records, each with a natural key inside its connector.

A record class names its natural key in ``KEY``. Two records of one class and key are versions of one
fact; the store keeps every version. ``recorded_at`` is not here: it is the store's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from payhealth.domain.chain_records import (
    AddressBalance,
    AssetPrice,
    Block,
    ChainMark,
    PaymentEvent,
    ProviderScore,
    TransactionFee,
    TransferObservation,
)
from payhealth.domain.record import Record, VendorRecord


class Rail(StrEnum):
    """By which way money moved."""

    CARD = "card"
    CHAIN = "chain"


class MovementKind(StrEnum):
    """What a movement is; the first seven expect an entry, the rest count in balances alone."""

    CHARGE = "charge"
    TRANSFER = "transfer"
    REFUND = "refund"
    REFUND_REVERSAL = "refund_reversal"
    DISPUTE = "dispute"
    DISPUTE_REVERSAL = "dispute_reversal"
    RETRACTION = "retraction"
    INTERNAL = "internal"
    OUTGOING = "outgoing"
    FUNDING = "funding"


EXPECTING = frozenset(
    {
        MovementKind.CHARGE,
        MovementKind.TRANSFER,
        MovementKind.REFUND,
        MovementKind.REFUND_REVERSAL,
        MovementKind.DISPUTE,
        MovementKind.DISPUTE_REVERSAL,
        MovementKind.RETRACTION,
    }
)
"""Kinds that expect a ledger entry; also the kinds that a file of payments may hold."""

UNDOING = frozenset({MovementKind.REFUND, MovementKind.DISPUTE, MovementKind.RETRACTION})
"""Kinds that take back what a customer paid: their sign is minus."""

REDOING = frozenset({MovementKind.REFUND_REVERSAL, MovementKind.DISPUTE_REVERSAL})
"""Kinds that undo an undoing: their sign is plus again."""


class MovementStatus(StrEnum):
    """How far a movement has come.

    ``seen`` of a transfer becomes safe or final by the chain's marks when it is read, not by a new
    version; ``retracted`` means that no canonical block holds it any more.
    """

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    FAILED = "failed"
    SEEN = "seen"
    SAFE = "safe"
    FINAL = "final"
    RETRACTED = "retracted"


class EntryKind(StrEnum):
    """What a ledger entry is for; only the first two are reconciled."""

    PURCHASE = "purchase"
    REVERSAL = "reversal"
    GRANT = "grant"
    USAGE = "usage"
    ADJUSTMENT = "adjustment"
    EXPIRY = "expiry"


class ProofState(StrEnum):
    """How far a proof by the processor's own books has come."""

    PROVED = "proved"
    EXPLAINED = "explained"
    """By amount and time, where the processor gives no list."""
    WAITING = "waiting"
    """It does not add up yet, or cannot be asked for yet; the next pull tries again."""
    MISMATCH = "mismatch"


RECONCILED = frozenset({EntryKind.PURCHASE, EntryKind.REVERSAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement(Record):
    """One signed effect on what a customer has paid us; ``kind`` gives the sign of ``amount``."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "movement_id")
    movement_id: str
    """The Stripe object's id, or ``<caip-2>:<transaction hash>:<log index|native|trace:path>``.

    A transfer keeps the id of its first sighting when a reorg moves it to another log index.
    """
    rail: str
    kind: str
    status: str
    account: str
    """Whose payment it is; empty where the source does not say."""
    handle: str = ""
    """What attribution looks the account up by: a CAIP-10 deposit address, or a customer id."""
    payment_key: str
    """The one key that all vendor-owned ids of this payment resolve to."""
    reference: str = ""
    """The business's own reference from metadata; gathers rows, never shares a payment key."""
    amount: Decimal
    """Unsigned."""
    asset: str
    symbol: str
    effective_at: datetime
    chain: str | None = None
    """CAIP-2, transfers only."""
    block_number: int | None = None
    block_hash: str | None = None
    """The block that holds it, or held it last; transfers only, like those that follow."""
    position: str | None = None
    """Where it stands in its transaction: ``<log index>``, ``native``, ``mint`` or ``trace:<path>``."""
    sender: str | None = None
    recipient: str | None = None
    finality_s: int | None = None
    """How long the chain usually takes to reach its creditable mark, in seconds; transfers only."""
    finality: str | None = None
    """Which mark makes a transfer creditable: ``safe`` or ``final``; transfers only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Record):
    """Another id of a payment: what a ledger entry may carry as its reference."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "alias", "payment_key")
    alias: str
    payment_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentClaim(Record):
    """Whose a payment is, as an object beside it says (a checkout session or an invoice).

    It holds where the payment's own movements name no account, and only while all claims of a payment
    agree: the claims may be read before or after the movements, in any order.
    """

    KEY: ClassVar[tuple[str, ...]] = ("connector", "payment_key", "object_id")
    payment_key: str
    object_id: str
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge(VendorRecord):
    """One attempt to collect a payment by card, failed ones included."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "charge_id")
    charge_id: str
    intent_id: str | None
    status: str
    amount: Decimal
    """What was asked for, in major units."""
    amount_captured: Decimal
    asset: str
    created_at: datetime
    failure_code: str | None = None
    decline_code: str | None = None
    network_status: str | None = None
    outcome_reason: str | None = None
    risk_level: str | None = None
    risk_score: int | None = None
    radar_rule: str | None = None
    brand: str | None = None
    country: str | None = None
    funding: str | None = None
    bin: str | None = None
    fingerprint: str | None = None
    wallet: str | None = None
    three_d_secure: str | None = None
    customer: str | None = None
    account: str = ""
    balance_transaction: str | None = None
    advice_code: str | None = None
    """What the network advises after a decline, such as ``do_not_try_again``."""
    network_decline_code: str | None = None
    cvc_check: str | None = None
    payment_method_type: str | None = None
    email_domain: str | None = None
    email_hash: str | None = None
    """Keyed hash of the whole address; None without a key."""
    ip_hash: str | None = None
    statement_descriptor: str | None = None
    invoice_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentIntent(VendorRecord):
    """An intended payment, with the charges that tried to collect it."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "intent_id")
    intent_id: str
    status: str
    amount: Decimal
    amount_received: Decimal
    asset: str
    created_at: datetime
    canceled_at: datetime | None = None
    latest_charge: str | None = None
    customer: str | None = None
    account: str = ""
    capture_method: str | None = None
    cancellation_reason: str | None = None
    setup_future_usage: str | None = None
    last_failure_code: str | None = None
    last_decline_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupIntent(VendorRecord):
    """An attempt to keep a card for later: what card testers use first."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "setup_intent_id")
    setup_intent_id: str
    status: str
    created_at: datetime
    usage: str | None = None
    payment_method_type: str | None = None
    failure_code: str | None = None
    decline_code: str | None = None
    cancellation_reason: str | None = None
    customer: str | None = None
    account: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutSession(VendorRecord):
    """A hosted checkout, which links its own id and the business's reference to a payment."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "session_id")
    session_id: str
    intent_id: str | None
    invoice_id: str | None
    status: str | None
    payment_status: str | None
    mode: str | None
    client_reference: str | None
    customer: str | None
    account: str
    amount: Decimal | None
    asset: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice(VendorRecord):
    """An invoice, which links its own id to the payments that settled it."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "invoice_id")
    invoice_id: str
    intent_id: str | None
    """The newest payment that settled it; others are links."""
    charge_id: str | None
    status: str | None
    billing_reason: str | None
    """``subscription_cycle`` and the like are charged without the customer being there."""
    customer: str | None
    account: str
    amount_due: Decimal
    amount_paid: Decimal
    asset: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyFraudWarning(VendorRecord):
    """The cardholder's bank suspects a charge of fraud; most ignored ones become disputes."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "warning_id")
    warning_id: str
    charge_id: str | None
    intent_id: str | None
    fraud_type: str | None
    actionable: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund(VendorRecord):
    """Money given back on a charge."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "refund_id")
    refund_id: str
    charge_id: str | None
    intent_id: str | None
    status: str
    amount: Decimal
    asset: str
    reason: str | None
    created_at: datetime
    balance_transaction: str | None = None
    failure_balance_transaction: str | None = None
    failure_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute(VendorRecord):
    """A cardholder's bank asks for the money back, or asks about it."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "dispute_id")
    dispute_id: str
    charge_id: str | None
    intent_id: str | None
    status: str
    reason: str | None
    amount: Decimal
    asset: str
    withdrawn: Decimal
    reinstated: Decimal
    created_at: datetime
    evidence_due_at: datetime | None = None
    has_evidence: bool | None = None
    past_due: bool | None = None
    submission_count: int | None = None
    is_charge_refundable: bool | None = None
    network_reason_code: str | None = None
    brand: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceTransaction(VendorRecord):
    """One line of the processor's own books."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "balance_transaction_id")
    balance_transaction_id: str
    source_id: str | None
    type: str
    reporting_category: str | None
    amount: Decimal
    fee: Decimal
    net: Decimal
    asset: str
    exchange_rate: Decimal | None
    created_at: datetime
    available_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout(VendorRecord):
    """Money sent from the processor to the bank."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "payout_id")
    payout_id: str
    status: str
    amount: Decimal
    asset: str
    automatic: bool
    created_at: datetime
    arrival_at: datetime | None = None
    balance_transaction: str | None = None
    failure_balance_transaction: str | None = None
    failure_code: str | None = None
    method: str | None = None
    """``standard`` or ``instant``."""
    reconciliation_status: str | None = None
    """``completed`` once an automatic payout's list of balance transactions is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutProof(Record):
    """What a payout is made of, held against its amount."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "payout_id")
    payout_id: str
    state: str
    """``proved``, ``explained``, ``waiting`` or ``mismatch``; see ``ProofState``."""
    method: str
    """``list`` of an automatic payout, or ``booking``: its own line of the balance by amount and time."""
    amount: Decimal
    listed: Decimal | None
    """What the listed lines, or its own, come to in major units; None where nothing was found."""
    asset: str
    transactions: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceProof(Record):
    """Whether the processor's own balance moved by what was listed; a version only where that changes."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "asset")
    asset: str
    state: str
    """``proved``, ``waiting`` or ``mismatch``; see ``ProofState``."""
    since: datetime
    """From which moment on the balance is held against the list."""
    difference: Decimal
    """The balance's movement less what was listed, in major units; 0 where proved."""
    attempts: int
    """How many pulls in a row did not add up, or only at a cut that is hard to believe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingGap(Record):
    """An object that moved money without its line of the balance, or a line without its object."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "object_id")
    object_id: str
    reason: str
    moved_at: datetime
    """When the money moved."""
    since: datetime
    """When the half was first found alone."""
    amount: Decimal | None
    asset: str | None
    closed: bool = False
    """True once both halves were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent(VendorRecord):
    """One of the vendor's notes that an object changed, from its list or by webhook."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "event_id")
    event_id: str
    type: str
    object_type: str
    object_id: str
    object_created_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAccount(Record):
    """Which account and mode a connector was first read with; another one is refused."""

    KEY: ClassVar[tuple[str, ...]] = ("connector",)
    account_id: str
    """The vendor's id of the account, empty where the key may not see it."""
    live: bool | None
    """Whether it is the live mode, None where the key does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Record):
    """One signed line of the credit ledger."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "entry_id")
    entry_id: str
    kind: str
    account: str
    reference: str
    amount: Decimal
    """Signed."""
    asset: str
    effective_at: datetime
    ledger_recorded_at: datetime | None = None
    deleted: bool = False
    """True where the ledger no longer has the row; it then leaves the views, not the history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle(Record):
    """Whose a deposit address or customer id is, in a span of time (``valid_to`` exclusive)."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "handle", "account", "valid_from")
    handle: str
    account: str
    valid_from: datetime
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected(Record):
    """An object that could not be understood: kept, counted and shown, never dropped."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "stream", "object_id", "reason")
    stream: str
    object_id: str
    """Its id where it has one, else a hash of its text."""
    reason: str
    raw: str
    """What was received, cut to a few kilobytes and stripped of personal data."""


RECORD_TYPES: tuple[type[Record], ...] = (
    Movement,
    Link,
    PaymentClaim,
    Charge,
    PaymentIntent,
    SetupIntent,
    CheckoutSession,
    Invoice,
    EarlyFraudWarning,
    Refund,
    Dispute,
    BalanceTransaction,
    Payout,
    PayoutProof,
    BalanceProof,
    BookingGap,
    SourceEvent,
    SourceAccount,
    TransferObservation,
    TransactionFee,
    PaymentEvent,
    AssetPrice,
    AddressBalance,
    ProviderScore,
    Block,
    ChainMark,
    Entry,
    Handle,
    Rejected,
)
