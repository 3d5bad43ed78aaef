"""Quick doubles of the processor and the chain, for tests of the business alone."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from payhealth.sandbox.interfaces import Card, CardProcessor, Chain, ChainTransfer, Decline, StripeObject

START = datetime(2026, 3, 1, tzinfo=UTC)


class FakeProcessor:
    """Keeps charges, refunds and disputes as dicts; refuses what a processor refuses."""

    def __init__(self) -> None:
        self.charges: dict[str, StripeObject] = {}
        self.refunds: dict[str, StripeObject] = {}
        self.disputes: dict[str, StripeObject] = {}
        self.intents: dict[str, StripeObject] = {}
        self.warned: list[str] = []
        self.payouts = 0
        self.setups = 0
        self._made = 0
        self._now = datetime(2000, 1, 1, tzinfo=UTC)

    def _id(self, prefix: str, at: datetime) -> str:
        self.advance_to(at)
        self._made += 1
        return f"{prefix}_{self._made:06d}"

    def advance_to(self, at: datetime) -> None:
        """Refuse a moment in the past."""
        assert at >= self._now, f"moments never go back: {at} < {self._now}"
        self._now = at

    def create_customer(self, *, at: datetime, email: str, metadata: dict[str, str]) -> StripeObject:
        """A customer."""
        return {"id": self._id("cus", at), "email": email, "metadata": metadata}

    def create_payment_intent(
        self, *, at: datetime, amount_minor: int, currency: str, customer: str, metadata: dict[str, str]
    ) -> StripeObject:
        """An intent."""
        intent: StripeObject = {
            "id": self._id("pi", at),
            "amount": amount_minor,
            "metadata": metadata,
            "currency": currency,
            "customer": customer,
            "status": "requires_payment_method",
        }
        self.intents[intent["id"]] = intent
        return intent

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
        """A charge."""
        of = self.intents[intent]
        assert of["status"] == "requires_payment_method"
        if decline is None:
            of["status"] = "succeeded" if capture else "requires_capture"
        charge = {
            "id": self._id("ch", at),
            "payment_intent": intent,
            "created": int(at.timestamp()),
            "amount": of["amount"],
            "amount_captured": of["amount"] if capture and decline is None else 0,
            "amount_refunded": 0,
            "status": "succeeded" if decline is None else "failed",
            "metadata": of["metadata"],
            "failure_code": decline.failure_code if decline else None,
        }
        self.charges[charge["id"]] = charge
        return charge

    def capture_charge(self, charge: str, *, at: datetime, amount_minor: int | None = None) -> StripeObject:
        """Capture."""
        self.advance_to(at)
        held = self.charges[charge]
        assert held["amount_captured"] == 0
        held["amount_captured"] = held["amount"] if amount_minor is None else amount_minor
        return held

    def refund(
        self, charge: str, *, at: datetime, amount_minor: int | None = None, pending: bool = False
    ) -> StripeObject:
        """A refund within what is left."""
        paid = self.charges[charge]
        left = paid["amount_captured"] - paid["amount_refunded"]
        amount = left if amount_minor is None else amount_minor
        assert 0 < amount <= left
        paid["amount_refunded"] += amount
        refund: StripeObject = {
            "id": self._id("re", at),
            "charge": charge,
            "amount": amount,
            "created": int(at.timestamp()),
            "status": "pending" if pending else "succeeded",
        }
        self.refunds[refund["id"]] = refund
        return refund

    def settle_refund(self, refund: str, *, at: datetime, failed: bool) -> StripeObject:
        """End a refund."""
        self.advance_to(at)
        self.refunds[refund]["status"] = "failed" if failed else "succeeded"
        return self.refunds[refund]

    def open_dispute(
        self,
        charge: str,
        *,
        at: datetime,
        amount_minor: int | None = None,
        reason: str = "fraudulent",
        inquiry: bool = False,
    ) -> StripeObject:
        """A dispute."""
        dispute: StripeObject = {
            "id": self._id("dp", at),
            "charge": charge,
            "amount": amount_minor or self.charges[charge]["amount_captured"],
            "created": int(at.timestamp()),
            "status": "warning_needs_response" if inquiry else "needs_response",
        }
        self.disputes[dispute["id"]] = dispute
        return dispute

    def close_dispute(self, dispute: str, *, at: datetime, status: str) -> StripeObject:
        """End a dispute."""
        self.advance_to(at)
        self.disputes[dispute]["status"] = status
        return self.disputes[dispute]

    def warn_of_fraud(self, charge: str, *, at: datetime) -> StripeObject:
        """A warning."""
        self.warned.append(charge)
        return {"id": self._id("issfr", at), "charge": charge}

    def create_setup_intent(
        self, *, at: datetime, customer: str, decline: Decline | None = None
    ) -> StripeObject:
        """A card saved."""
        self.setups += 1
        return {"id": self._id("seti", at), "customer": customer}

    def pay_out(self, *, at: datetime) -> StripeObject | None:
        """A payout."""
        self.advance_to(at)
        self.payouts += 1
        return None


class FakeChain:
    """Keeps transfers in a list and balances in two dicts; blocks are their times alone."""

    chain_id = 31337
    token_address = "0xF00000000000000000000000000000000000000F"
    token_decimals = 6

    def __init__(self) -> None:
        self.block_times: list[datetime] = [datetime(2000, 1, 1, tzinfo=UTC)]
        self.transfers: list[ChainTransfer] = []
        self.dropped: list[ChainTransfer] = []
        self.reorgs: list[datetime] = []
        self._balances: dict[tuple[str, str | None], int] = {}
        self._states: list[tuple[int, int, dict[tuple[str, str | None], int]]] = []
        self._made = 0

    def new_address(self) -> str:
        """An address."""
        self._made += 1
        return "0x" + hashlib.sha256(b"address %d" % self._made).hexdigest()[:40]

    def faucet(self, address: str, *, at: datetime, native: int = 0, token: int = 0) -> None:
        """Coins and tokens from nowhere."""
        for asset, amount in ((None, native), (self.token_address, token)):
            if amount:
                self.mine(at=max(at, self.block_times[-1]), blocks=1)
                self._balances[address, asset] = self._balances.get((address, asset), 0) + amount

    def send_token(self, *, at: datetime, sender: str, recipient: str, amount: int) -> ChainTransfer:
        """A token transfer, which takes gas."""
        self._take(sender, None, 10**14)
        return self._send(at, sender, recipient, amount, self.token_address)

    def send_native(self, *, at: datetime, sender: str, recipient: str, amount: int) -> ChainTransfer:
        """A native transfer, which takes gas."""
        self._take(sender, None, 4 * 10**13)
        return self._send(at, sender, recipient, amount, None)

    def native_balance(self, address: str) -> int:
        """Coins."""
        return self._balances.get((address, None), 0)

    def token_balance(self, address: str) -> int:
        """Tokens."""
        return self._balances.get((address, self.token_address), 0)

    def mine(self, *, at: datetime, blocks: int = 1) -> None:
        """Empty blocks; their times never go back."""
        assert at >= self.block_times[-1], f"moments never go back: {at} < {self.block_times[-1]}"
        self.block_times += [at] * blocks

    def head(self) -> int:
        """The newest block's number."""
        return len(self.block_times) - 1

    def snapshot(self) -> int:
        """Remember everything."""
        self._states.append((len(self.block_times), len(self.transfers), dict(self._balances)))
        return len(self._states) - 1

    def reorg(self, snapshot: int, *, at: datetime, blocks: int) -> None:
        """Go back, and on."""
        count, kept, balances = self._states[snapshot]
        assert blocks > len(self.block_times) - count
        self.dropped += self.transfers[kept:]
        del self.block_times[count:], self.transfers[kept:]
        self._balances = balances
        self.reorgs.append(at)
        self.mine(at=at, blocks=blocks)

    def _take(self, address: str, asset: str | None, amount: int) -> None:
        left = self._balances.get((address, asset), 0) - amount
        assert left >= 0, f"{address} lacks {-left} of {asset or 'the native coin'}"
        self._balances[address, asset] = left

    def _send(
        self, at: datetime, sender: str, recipient: str, amount: int, asset: str | None
    ) -> ChainTransfer:
        assert amount > 0
        self._take(sender, asset, amount)
        self._balances[recipient, asset] = self._balances.get((recipient, asset), 0) + amount
        self.mine(at=at)
        what = f"{self.head()} {sender} {recipient} {amount} {len(self.reorgs)}"
        transfer = ChainTransfer(
            transaction_hash="0x" + hashlib.sha256(what.encode()).hexdigest(),
            log_index=0 if asset else None,
            block_number=self.head(),
            block_hash="0x" + hashlib.sha256(f"block {what}".encode()).hexdigest(),
            sender=sender,
            recipient=recipient,
            amount=amount,
            token=asset,
        )
        self.transfers.append(transfer)
        return transfer


def fakes() -> tuple[CardProcessor, Chain]:
    """Both doubles, as what they double: mypy holds them to the Protocols."""
    return FakeProcessor(), FakeChain()


def test_fake_chain_reorg_gives_back_what_was_sent() -> None:
    """After a reorg balances and transfers are those of the snapshot."""
    chain = FakeChain()
    one, two = chain.new_address(), chain.new_address()
    chain.faucet(one, at=START, native=10**18)
    snapshot = chain.snapshot()
    before: dict[Any, int] = {address: chain.native_balance(address) for address in (one, two)}
    transfer = chain.send_native(at=START, sender=one, recipient=two, amount=5)
    chain.reorg(snapshot, at=START, blocks=2)
    assert {address: chain.native_balance(address) for address in (one, two)} == before
    assert chain.transfers == []
    assert chain.dropped == [replace(transfer)]
