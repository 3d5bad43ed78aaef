"""What the simulated business asks of its card processor and its chain.

Every method that changes something takes the simulated moment ``at`` (aware, UTC); moments never go
back. Amounts of cards are integers in the currency's minor unit, amounts on the chain integers in the
asset's smallest unit (wei for the native coin).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

StripeObject = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A card as the processor reports it: what checks segment by, no number anywhere."""

    brand: str = "visa"
    country: str = "US"
    funding: str = "credit"
    last4: str = "4242"
    fingerprint: str = ""
    iin: str = "424242"


@dataclass(frozen=True, kw_only=True)
class Decline:
    """Why an attempt did not succeed; ``blocked`` when it was stopped before the network."""

    failure_code: str = "card_declined"
    decline_code: str | None = "generic_decline"
    blocked: bool = False


class CardProcessor(Protocol):
    """The processor's side of card payments, in process (the HTTP server shows the same objects)."""

    def advance_to(self, at: datetime) -> None:
        """Move the processor's clock: what was to appear by then (late fees, availability) appears."""

    def create_customer(self, *, at: datetime, email: str, metadata: dict[str, str]) -> StripeObject: ...

    def create_payment_intent(
        self,
        *,
        at: datetime,
        amount_minor: int,
        currency: str,
        customer: str,
        metadata: dict[str, str],
    ) -> StripeObject: ...

    def attempt_payment(
        self,
        intent: str,
        *,
        at: datetime,
        card: Card,
        decline: Decline | None = None,
        capture: bool = True,
        fee_visible_after_s: int = 0,
    ) -> StripeObject:
        """One charge on an intent; returns the charge. With ``decline`` it fails and the intent waits."""

    def capture_charge(
        self, charge: str, *, at: datetime, amount_minor: int | None = None
    ) -> StripeObject: ...

    def refund(
        self,
        charge: str,
        *,
        at: datetime,
        amount_minor: int | None = None,
        pending: bool = False,
    ) -> StripeObject: ...

    def settle_refund(self, refund: str, *, at: datetime, failed: bool) -> StripeObject:
        """Bring a refund to its end: a pending one succeeds or fails, a succeeded one may still fail."""

    def open_dispute(
        self,
        charge: str,
        *,
        at: datetime,
        amount_minor: int | None = None,
        reason: str = "fraudulent",
        inquiry: bool = False,
    ) -> StripeObject: ...

    def close_dispute(self, dispute: str, *, at: datetime, status: str) -> StripeObject:
        """``won``, ``lost`` or, for an inquiry, ``warning_closed``."""

    def warn_of_fraud(self, charge: str, *, at: datetime) -> StripeObject: ...

    def create_setup_intent(
        self, *, at: datetime, customer: str, decline: Decline | None = None
    ) -> StripeObject: ...

    def pay_out(self, *, at: datetime) -> StripeObject | None:
        """Pay the available balance out to the bank; nothing happens when there is none."""


@dataclass(frozen=True, kw_only=True)
class ChainTransfer:
    """One transfer as the chain recorded it."""

    transaction_hash: str
    log_index: int | None
    """None for a native transfer."""
    block_number: int
    block_hash: str
    sender: str
    recipient: str
    amount: int
    token: str | None
    """The token contract's checksummed address, None for the native coin."""


class Chain(Protocol):
    """A chain with one ERC-20 token, in process (the JSON-RPC endpoint shows the same blocks)."""

    chain_id: int
    token_address: str
    token_decimals: int

    def new_address(self) -> str:
        """A fresh checksummed address whose key the chain's wallet holds."""

    def faucet(self, address: str, *, at: datetime, native: int = 0, token: int = 0) -> None:
        """Give an address coins and tokens from outside the business, each in a block of its own."""

    def send_token(self, *, at: datetime, sender: str, recipient: str, amount: int) -> ChainTransfer:
        """Mine one block with one token transfer (the sender needs native coin for gas)."""

    def send_native(self, *, at: datetime, sender: str, recipient: str, amount: int) -> ChainTransfer: ...

    def native_balance(self, address: str) -> int: ...

    def token_balance(self, address: str) -> int: ...

    def mine(self, *, at: datetime, blocks: int = 1) -> None:
        """Mine empty blocks; the last one carries the time ``at``."""

    def head(self) -> int: ...

    def snapshot(self) -> int: ...

    def reorg(self, snapshot: int, *, at: datetime, blocks: int) -> None:
        """Drop every block after the snapshot and mine a longer, empty branch in its place.

        ``blocks`` must exceed the number dropped; the new blocks' times lie after the dropped ones'
        and the last carries ``at``.
        """
