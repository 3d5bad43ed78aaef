"""The chain side of the business: deposits, finality, sweeps, gas, and the reorg."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final

from payhealth.sandbox.business.customers import CryptoCustomer
from payhealth.sandbox.business.faults import CreditedBeforeReorg
from payhealth.sandbox.business.ledger import CreditLedger, Handle
from payhealth.sandbox.business.plan import CryptoPurchase, Plan
from payhealth.sandbox.business.service import CreditService, Payment
from payhealth.sandbox.business.timeline import Timeline
from payhealth.sandbox.business.window import Window
from payhealth.sandbox.interfaces import Chain, ChainTransfer

BLOCK_S: Final = 12
GAS_MIN_WEI: Final = 2 * 10**15
"""Below it an address of ours gets gas from the operator before it sends."""
GAS_TOP_UP_WEI: Final = 10**16
NATIVE_SWEPT_FROM_WEI: Final = 3 * 10**16
"""An address with less than this of the native coin is left alone."""
NATIVE_KEPT_WEI: Final = 10**16
WALLET_GAS_WEI: Final = 10**18
OPERATOR_WEI: Final = 100 * 10**18
OUTGOING_EVERY_DAYS: Final = 3


class Addresses:
    """The addresses of everybody, made in a fixed order so that a seed gives them again."""

    def __init__(self, chain: Chain, customers: tuple[CryptoCustomer, ...]) -> None:
        self.operator = chain.new_address()
        self.treasury = chain.new_address()
        self.exchange = chain.new_address()
        """Outside the business; where the treasury sells."""
        self.wallets = [chain.new_address() for _ in {customer.wallet for customer in customers}]
        self.deposits = [chain.new_address() for _ in {customer.deposit for customer in customers}]


class ChainDesk:
    """Plays deposits on the chain, looks after the addresses, and tells the credit service.

    Args:
        finality_depth: a block is final once this many blocks stand on it.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        plan: Plan,
        service: CreditService,
        timeline: Timeline,
        window: Window,
        finality_depth: int,
    ) -> None:
        if finality_depth < 1:
            raise ValueError("a finality depth below 1 leaves nothing for a reorg to drop")
        self._chain = chain
        self._plan = plan
        self._service = service
        self._timeline = timeline
        self._window = window
        self._finality_depth = finality_depth
        self._block_at = window.start
        self._snapshot: int | None = None
        self._doomed: Payment | None = None
        self.addresses = Addresses(chain, plan.crypto_customers)

    def write_handles(self, ledger: CreditLedger) -> None:
        """Say in the ledger's database whose deposits arrive where."""
        for customer in self._plan.crypto_customers:
            address = self.addresses.deposits[customer.deposit]
            ledger.add_handle(
                Handle(
                    handle=handle_of(self._chain.chain_id, address),
                    account=customer.account,
                    valid_from=customer.valid_from,
                    valid_to=customer.valid_to,
                )
            )

    def expect(self) -> None:
        """Plan everything on the chain."""
        window = self._window
        self._timeline.at(window.start + timedelta(minutes=1), self._fill_wallets)
        for purchase in self._plan.crypto:
            self._timeline.at(purchase.at, partial(self._deposit, purchase))
        for at in window.daily(20):
            self._timeline.at(at, self._sweep)
        for at in window.daily(21)[::OUTGOING_EVERY_DAYS]:
            self._timeline.at(at, self._send_out)
        self._timeline.at(window.busy_until + timedelta(minutes=6), self._settle)
        self._timeline.at(window.doomed_deposit_at, self._doomed_deposit)
        self._timeline.at(window.reorg_at, self._reorg)
        for minutes in (30, 15, 1):
            self._timeline.at(window.end - timedelta(minutes=minutes), self._settle)

    def _fill_wallets(self, at: datetime) -> None:
        """Customers and operator come with money from outside; addresses of ours get none."""
        self._chain.faucet(self.addresses.operator, at=self._tick(at), native=OPERATOR_WEI)
        spending: dict[int, int] = {}
        for purchase in (*self._plan.crypto, self._plan.doomed):
            amount = 0 if purchase.native else self._units(purchase)
            wallet = purchase.customer.wallet
            spending[wallet] = spending.get(wallet, 0) + amount
        for wallet, token in sorted(spending.items()):
            address = self.addresses.wallets[wallet]
            self._chain.faucet(address, at=self._tick(at), native=self._native_needs(wallet))
            if token:
                self._chain.faucet(address, at=self._tick(at), token=token)

    def _native_needs(self, wallet: int) -> int:
        native = (buy.amount for buy in self._plan.crypto if buy.native and buy.customer.wallet == wallet)
        return sum(native) + WALLET_GAS_WEI

    def _tick(self, at: datetime, blocks: int = 1) -> datetime:
        """When blocks that are wanted at a moment can be mined: the chain is never ahead of itself."""
        self._block_at = max(at.replace(microsecond=0), self._block_at + timedelta(seconds=2 * blocks))
        return self._block_at

    def _units(self, purchase: CryptoPurchase) -> int:
        """What a purchase sends, in the smallest unit; the plan counts tokens in millionths."""
        if purchase.native:
            return purchase.amount
        unit: int = 10**self._chain.token_decimals
        return purchase.amount * unit // 10**6

    def _send(self, purchase: CryptoPurchase, at: datetime) -> Payment:
        send = self._chain.send_native if purchase.native else self._chain.send_token
        transfer = send(
            at=self._tick(at),
            sender=self.addresses.wallets[purchase.customer.wallet],
            recipient=self.addresses.deposits[purchase.customer.deposit],
            amount=self._units(purchase),
        )
        references = references_of(transfer)
        return Payment(
            account=purchase.customer.account,
            asset=native_asset(self._chain.chain_id) if purchase.native else "USD",
            amount=self._amount(transfer),
            references=references,
            reference=self._service.rng.choice(references),
            movement_ids=[movement_id(self._chain.chain_id, transfer)],
            conduct=purchase.conduct,
        )

    def _amount(self, transfer: ChainTransfer) -> Decimal:
        places = 18 if transfer.token is None else self._chain.token_decimals
        return Decimal(transfer.amount).scaleb(-places)

    def _deposit(self, purchase: CryptoPurchase, at: datetime) -> None:
        payment = self._send(purchase, at)
        block = self._chain.head()
        final_at = self._block_at + timedelta(seconds=BLOCK_S * self._finality_depth)
        self._timeline.at(final_at, partial(self._finalise, payment, block))

    def _finalise(self, payment: Payment, block: int, at: datetime) -> None:
        """Let the chain reach the finality of a block, unless other blocks have done that already."""
        missing = block + self._finality_depth - self._chain.head()
        if missing > 0:
            self._chain.mine(at=self._tick(at, missing), blocks=missing)
        self._service.hear_paid(payment, max(at, self._block_at))

    def _sweep(self, at: datetime) -> None:
        for number, address in enumerate(self.addresses.deposits):
            turn = at + timedelta(seconds=3 * BLOCK_S * number)
            self._timeline.at(turn, partial(self._sweep_one, address))

    def _sweep_one(self, address: str, at: datetime) -> None:
        treasury = self.addresses.treasury
        token = self._chain.token_balance(address)
        if token:
            self._need_gas(address, at)
            self._chain.send_token(at=self._tick(at), sender=address, recipient=treasury, amount=token)
        native = self._chain.native_balance(address)
        if native >= NATIVE_SWEPT_FROM_WEI:
            amount = native - NATIVE_KEPT_WEI
            self._chain.send_native(at=self._tick(at), sender=address, recipient=treasury, amount=amount)

    def _need_gas(self, address: str, at: datetime) -> None:
        if self._chain.native_balance(address) < GAS_MIN_WEI:
            operator = self.addresses.operator
            self._chain.send_native(
                at=self._tick(at), sender=operator, recipient=address, amount=GAS_TOP_UP_WEI
            )

    def _send_out(self, at: datetime) -> None:
        treasury, exchange = self.addresses.treasury, self.addresses.exchange
        token = self._chain.token_balance(treasury) // 2
        if token:
            self._need_gas(treasury, at)
            self._chain.send_token(at=self._tick(at), sender=treasury, recipient=exchange, amount=token)

    def _settle(self, at: datetime) -> None:
        """Mine on until everything so far is final."""
        blocks = self._finality_depth
        self._chain.mine(at=self._tick(at, blocks), blocks=blocks)

    def _doomed_deposit(self, at: datetime) -> None:
        """A deposit on a branch that will lose, and the service's haste to credit it."""
        self._snapshot = self._chain.snapshot()
        self._doomed = payment = self._send(self._plan.doomed, at)
        blocks = min(2, self._finality_depth - 1)
        if blocks:
            self._chain.mine(at=self._tick(at + timedelta(seconds=BLOCK_S * blocks), blocks), blocks=blocks)
        if isinstance(payment.conduct, CreditedBeforeReorg):
            self._timeline.at(
                self._window.doomed_credit_at, partial(payment.conduct.paid, self._service, payment)
            )

    def _reorg(self, at: datetime) -> None:
        if self._snapshot is None or self._doomed is None:
            raise RuntimeError("there is no deposit for the reorg to remove")
        # One block for the deposit, at most two after it: four more than were dropped are surely longer.
        blocks = min(2, self._finality_depth - 1) + 5
        self._chain.reorg(self._snapshot, at=self._tick(at, blocks), blocks=blocks)
        if isinstance(self._doomed.conduct, CreditedBeforeReorg):
            self._doomed.conduct.retracted(self._service, self._doomed, at)


def native_asset(chain_id: int) -> str:
    """The CAIP-19 id of the chain's own coin (slip44 60 is ether's)."""
    return f"eip155:{chain_id}/slip44:60"


def handle_of(chain_id: int, address: str) -> str:
    """The CAIP-10 id of an address: the same address is somebody else's on another chain."""
    return f"eip155:{chain_id}:{address.lower()}"


def movement_id(chain_id: int, transfer: ChainTransfer) -> str:
    """The id of a transfer: unique over all chains."""
    last = "native" if transfer.log_index is None else str(transfer.log_index)
    return f"eip155:{chain_id}:{transfer.transaction_hash}:{last}"


def references_of(transfer: ChainTransfer) -> tuple[str, ...]:
    """The ids by which an entry may name a deposit."""
    if transfer.log_index is None:
        return (transfer.transaction_hash,)
    return (transfer.transaction_hash, f"{transfer.transaction_hash}:{transfer.log_index}")
