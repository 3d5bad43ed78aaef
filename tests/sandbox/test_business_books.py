"""A second bookkeeping, naive and independent: what was paid, from the processor's and chain's objects."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from payhealth.sandbox.business.ledger import Entry, EntryWord, Handle, read_entries, read_handles
from payhealth.sandbox.business.simulation import CreditsBusiness
from payhealth.sandbox.interfaces import ChainTransfer
from tests.sandbox.test_business_fakes import FakeChain, FakeProcessor

Row = dict[str, Any]
Leg = tuple[str, str]
TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
SIGNS = {
    "charge": 1,
    "transfer": 1,
    "refund": -1,
    "dispute": -1,
    "retraction": -1,
    "refund_reversal": 1,
    "dispute_reversal": 1,
}


@dataclass
class Seen:
    """What an outside observer sees of a history."""

    charges: list[Row]
    refunds: list[Row]
    disputes: list[Row]
    transfers: list[tuple[ChainTransfer, datetime]]
    retracted: list[tuple[ChainTransfer, datetime, datetime]]
    """Transfers that a reorg dropped, with the times of their block and of the reorg."""
    head: int
    entries: list[Entry]
    handles: list[Handle]
    deposits: set[str]
    ours: set[str]
    """Deposit addresses, the treasury, and the operator."""
    chain_id: int
    token_decimals: int


@dataclass
class Books:
    """Every payment and undoing as rows of a payments file, and the ledger's as rows of the other."""

    payments: list[Row] = field(default_factory=list)
    ledger: list[Row] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    """Any id of a payment -> the id of its charge or transfer."""

    def residuals(self) -> dict[str, dict[Leg, Decimal]]:
        """Expected less entered by payment, account and asset, where it is not 0.

        An entry that names no payment stands under its own id.
        """
        sums: dict[str, dict[Leg, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        for row in self.payments:
            leg = (row["account"], row["asset"])
            sums[row["reference"]][leg] += SIGNS[row["kind"]] * Decimal(row["amount"])
        for row in self.ledger:
            leg = (row["account"], row["asset"])
            key: str = self.aliases.get(row["reference"]) or row["id"]
            sums[key][leg] -= Decimal(row["amount"])
        return {
            key: {leg: value for leg, value in legs.items() if value}
            for key, legs in sums.items()
            if any(legs.values())
        }

    def for_oracle(self) -> tuple[list[Row], list[Row]]:
        """The rows as files would hold them: references resolved to one key, amounts in words."""
        ledger = [
            {**row, "reference": self.aliases.get(row["reference"], row["reference"])} for row in self.ledger
        ]
        return self.payments, ledger


def observe_fakes(
    business: CreditsBusiness, processor: FakeProcessor, chain: FakeChain, ledger: Path
) -> Seen:
    """Look at a history on the doubles."""
    addresses = business.addresses
    return Seen(
        charges=list(processor.charges.values()),
        refunds=list(processor.refunds.values()),
        disputes=list(processor.disputes.values()),
        transfers=[(one, chain.block_times[one.block_number]) for one in chain.transfers],
        retracted=[(one, business.window.doomed_deposit_at, chain.reorgs[0]) for one in chain.dropped],
        head=chain.head(),
        entries=read_entries(ledger),
        handles=read_handles(ledger),
        deposits=set(addresses.deposits),
        ours={*addresses.deposits, addresses.treasury, addresses.operator},
        chain_id=chain.chain_id,
        token_decimals=chain.token_decimals,
    )


def observe_blocks(chain: Any) -> list[tuple[ChainTransfer, datetime]]:
    """All transfers of the canonical blocks of a real chain, read from their logs and transactions."""
    found = []
    for number in range(1, chain.head() + 1):
        block = chain.block_at(number)
        at = datetime.fromtimestamp(block.timestamp_s, tz=UTC)
        where = {"block_number": number, "block_hash": block.hash}
        for log in block.logs:
            if log["topics"][0] == TRANSFER_TOPIC:
                transfer = ChainTransfer(
                    transaction_hash=log["transactionHash"],
                    log_index=int(log["logIndex"], 16),
                    sender="0x" + log["topics"][1][-40:],
                    recipient="0x" + log["topics"][2][-40:],
                    amount=int(log["data"], 16),
                    token=log["address"],
                    **where,
                )
                found.append((transfer, at))
        for transaction in block.transactions:
            if int(transaction["value"], 16):
                transfer = ChainTransfer(
                    transaction_hash=transaction["hash"],
                    log_index=None,
                    sender=transaction["from"],
                    recipient=transaction["to"],
                    amount=int(transaction["value"], 16),
                    token=None,
                    **where,
                )
                found.append((transfer, at))
    return found


def keep_books(seen: Seen) -> Books:
    """Write down what every payment is worth, object by object."""
    books = Books()
    for charge in seen.charges:
        _book_charge(books, charge)
    for refund in seen.refunds:
        _book_refund(books, refund)
    for dispute in seen.disputes:
        _book_dispute(books, dispute)
    for transfer, at in seen.transfers:
        if is_deposit(seen, transfer):
            _book_deposit(books, seen, transfer, at)
    for transfer, at, gone_at in seen.retracted:
        row = _book_deposit(books, seen, transfer, at)
        books.payments.append(
            {**row, "id": row["id"] + ":retracted", "kind": "retraction", "occurred_at": gone_at}
        )
    for entry in seen.entries:
        if entry.kind in {EntryWord.TOPUP, EntryWord.CLAWBACK}:
            books.ledger.append(_ledger_row(entry))
    return books


def is_deposit(seen: Seen, transfer: ChainTransfer) -> bool:
    """Whether a transfer is a customer's: to a deposit address, from nobody of ours."""
    deposits = {address.lower() for address in seen.deposits}
    ours = {address.lower() for address in seen.ours}
    return transfer.recipient.lower() in deposits and transfer.sender.lower() not in ours


def _book_charge(books: Books, charge: Row) -> None:
    if charge["status"] != "succeeded" or not charge["amount_captured"]:
        return
    books.aliases |= {charge["id"]: charge["id"], charge["payment_intent"]: charge["id"]}
    account = charge["metadata"]["account_id"]
    books.payments.append(_card_row(charge, "charge", charge["id"], account, charge["amount_captured"]))


def _book_refund(books: Books, refund: Row) -> None:
    books.aliases[refund["id"]] = refund["charge"]
    if refund["status"] == "pending":
        return
    account = _account_of(books, refund["charge"])
    row = _card_row(refund, "refund", refund["charge"], account, refund["amount"])
    books.payments.append(row)
    if refund["status"] == "failed":
        books.payments.append({**row, "id": row["id"] + ":failed", "kind": "refund_reversal"})


def _book_dispute(books: Books, dispute: Row) -> None:
    books.aliases[dispute["id"]] = dispute["charge"]
    if dispute["status"].startswith("warning"):
        return
    account = _account_of(books, dispute["charge"])
    row = _card_row(dispute, "dispute", dispute["charge"], account, dispute["amount"])
    books.payments.append(row)
    if dispute["status"] == "won":
        books.payments.append({**row, "id": row["id"] + ":won", "kind": "dispute_reversal"})


def _account_of(books: Books, charge: str) -> str:
    (account,) = {row["account"] for row in books.payments if row["id"] == charge}
    return str(account)


def _card_row(value: Row, kind: str, charge: str, account: str, amount_minor: int) -> Row:
    return {
        "id": value["id"],
        "kind": kind,
        "account": account,
        "reference": charge,
        "amount": str(Decimal(amount_minor) / 100),
        "asset": "USD",
        "occurred_at": datetime.fromtimestamp(value["created"], tz=UTC),
    }


def _book_deposit(books: Books, seen: Seen, transfer: ChainTransfer, at: datetime) -> Row:
    places = seen.token_decimals if transfer.token else 18
    last = "native" if transfer.log_index is None else transfer.log_index
    key = f"eip155:{seen.chain_id}:{transfer.transaction_hash}:{last}"
    books.aliases |= {transfer.transaction_hash: key, f"{transfer.transaction_hash}:{last}": key}
    handle = f"eip155:{seen.chain_id}:{transfer.recipient.lower()}"
    (account,) = {
        known.account
        for known in seen.handles
        if known.handle == handle
        and known.valid_from <= at
        and (known.valid_to is None or at < known.valid_to)
    }
    row = {
        "id": key,
        "kind": "transfer",
        "account": account,
        "reference": key,
        "amount": format(Decimal(transfer.amount).scaleb(-places), "f"),
        "asset": "USD" if transfer.token else f"eip155:{seen.chain_id}/slip44:60",
        "occurred_at": at,
    }
    books.payments.append(row)
    return row


def _ledger_row(entry: Entry) -> Row:
    return {
        "id": entry.id,
        "account": entry.account,
        "reference": entry.reference or "",
        "amount": format(entry.amount, "f"),
        "asset": entry.asset,
        "occurred_at": entry.occurred_at,
        "kind": "purchase" if entry.kind is EntryWord.TOPUP else "reversal",
    }


def test_a_pending_refund_is_booked_as_nothing() -> None:
    """A refund counts once it succeeded; one that failed counts and counts back."""
    books = Books()
    charge = {"id": "ch_1", "payment_intent": "pi_1", "created": 0, "status": "succeeded"}
    _book_charge(books, charge | {"amount_captured": 1000, "metadata": {"account_id": "a"}})
    refund = {"charge": "ch_1", "amount": 400, "created": 0}
    _book_refund(books, refund | {"id": "re_1", "status": "pending"})
    _book_refund(books, refund | {"id": "re_2", "status": "failed"})
    _book_refund(books, refund | {"id": "re_3", "status": "succeeded"})
    assert books.residuals() == {"ch_1": {("a", "USD"): Decimal(6)}}
