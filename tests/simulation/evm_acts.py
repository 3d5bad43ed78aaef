"""What may happen to a business on a chain: one act gives the transactions that it takes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payhealth.sandbox.chain import artifacts
from payhealth.sandbox.chain.contract_user import ContractUser
from payhealth.sandbox.chain.sending import Sending

ETHER = 10**18
UNIT = 10**6
RICH = 10**9 * UNIT
DUST_TOKEN = "0.5"
DUST_NATIVE = "0.001"
ANYTHING = 2**256 - 1
_FEE_BPS = 250
_USUAL = (UNIT, 5 * UNIT, 20 * UNIT)
"""Amounts that come again and again, so that transfers are equal in all but their place."""


@dataclass
class Cast:
    """Who takes part, and the contracts.

    Args:
        ours: deposit addresses, then the treasury.
        noise: pays too, but what a reorg takes of it never returns.
        spoof: a copy of the token that nobody registered.
    """

    deposits: list[str]
    treasury: str
    operator: str
    customers: list[str]
    noise: str
    relayer: str
    intents: str
    stranger: str
    faucet: str
    usdx: str
    auth: str
    spoof: str
    forwarder: str
    coinbase: str
    escrow: str
    multicall: str

    @property
    def ours(self) -> list[str]:
        """All addresses of the business."""
        return [*self.deposits, self.treasury]


def settled_in(chain: Any, later: Callable[[], datetime]) -> Cast:
    """Put the contracts there and give everybody what they need; nothing of this is ever reorganised."""
    names = ("treasury", "operator", "noise", "relayer", "intents", "stranger")
    people = {name: chain.new_address() for name in names}
    deposits, customers = ([chain.new_address() for _ in range(count)] for count in (3, 3))
    contracts = {
        name.lower(): chain.deploy(contract, *args, at=later())
        for name, contract, *args in (
            ("auth", "AuthToken", "AUTH", "AUTH", 6),
            ("spoof", "DevToken", "USDX", "USDX", 6),
            ("forwarder", "Forwarder"),
            ("coinbase", "CoinbaseTransfers"),
            ("escrow", "Escrow"),
            ("multicall", "Multicall3"),
        )
    }
    cast = Cast(
        deposits=deposits,
        customers=customers,
        usdx=chain.token_address,
        faucet=chain.faucet_address,
        **people,
        **contracts,
    )
    everybody = [*deposits, *customers, *people.values()]
    coins = [Sending(sender=chain.faucet_address, to=who, value=1000 * ETHER) for who in everybody]
    chain.mine_block(coins, at=later())
    payers = [*customers, cast.noise, cast.operator, cast.treasury, *deposits]
    for contract in (cast.usdx, cast.auth, cast.spoof):
        chain.mine_block([_minted(chain, contract, who) for who in payers], at=later())
    spenders = (cast.coinbase, cast.escrow, cast.multicall)
    approvals = [_approval(chain, who, spender) for who in payers for spender in spenders]
    for start in range(0, len(approvals), 10):
        chain.mine_block(approvals[start : start + 10], at=later())
    return cast


def _minted(chain: ContractUser, contract: str, who: str) -> Sending:
    return chain.sending(chain.faucet_address, contract, ("DevToken", "mint", who, RICH))


def _approval(chain: Any, who: str, spender: str) -> Sending:
    call = ("DevToken", "approve", spender, ANYTHING)
    approval: Sending = chain.sending(who, chain.token_address, call)
    return approval


class Acts:
    """Acts by chance.

    Args:
        traced: whether what contracts do inside can be seen, so that they may pay us.
    """

    def __init__(self, cast: Cast, chance: random.Random, *, traced: bool) -> None:
        self._cast = cast
        self._chance = chance
        self._count = 0
        self._intents: list[bytes] = []
        self._escrowed: list[tuple[tuple[Any, ...], int]] = []
        weights: dict[Callable[[], list[Sending]], int] = {
            self._deposit: 8,
            self._deposit_coin: 5,
            self._several: 5,
            self._dust: 2,
            self._sweep: 4,
            self._payout: 2,
            self._funding: 2,
            self._failing: 3,
            self._spam: 3,
            self._coinbase: 4,
            self._forged: 2,
            self._authorised: 4,
            self._escrow: 5,
            self._forwarded_out: 1,
            self._minted: 1,
        }
        if traced:
            weights |= {self._forwarded: 5, self._destroyed: 1, self._coinbase_coin: 1}
        self._names, self._weights = list(weights), list(weights.values())

    def one(self) -> list[Sending]:
        """The transactions of any act, in order; mostly one."""
        return self._chance.choices(self._names, self._weights)[0]()

    def noise(self) -> Sending:
        """A transfer that shifts the log indexes of what comes after it in its block."""
        to = self._chance.choice([self._cast.stranger, self._ours()])
        return self._call(self._cast.noise, self._cast.usdx, "DevToken", "transfer", to, self._amount())

    def _call(self, sender: str, to: str, name: str, function: str, *args: Any, value: int = 0) -> Sending:
        return Sending(sender=sender, to=to, value=value, data=artifacts.call_data(name, function, *args))

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _ours(self) -> str:
        return self._chance.choice(self._cast.deposits)

    def _customer(self) -> str:
        return self._chance.choice(self._cast.customers)

    def _amount(self) -> int:
        return self._chance.choice([*_USUAL, self._chance.randrange(UNIT, 900 * UNIT)])

    def _wei(self) -> int:
        return self._chance.choice([ETHER // 100, self._chance.randrange(ETHER // 500, ETHER // 10)])

    def _pay(self, sender: str, to: str, units: int) -> Sending:
        asset = self._chance.choice([self._cast.usdx, self._cast.usdx, self._cast.auth])
        return self._call(sender, asset, "DevToken", "transfer", to, units)

    def _deposit(self) -> list[Sending]:
        payers = [self._customer() for _ in range(self._chance.choice([1, 1, 2]))]
        return [self._pay(payer, self._ours(), self._amount()) for payer in payers]

    def _deposit_coin(self) -> list[Sending]:
        return [Sending(sender=self._customer(), to=self._ours(), value=self._wei(), gas=21_000)]

    def _several(self) -> list[Sending]:
        """Several transfers in one transaction, equal ones among them."""
        calls = []
        for _ in range(self._chance.randrange(2, 5)):
            ends = (self._customer(), self._chance.choice([self._ours(), self._ours(), self._cast.stranger]))
            if self._chance.random() < 0.3:
                ends = (self._ours(), self._cast.treasury)
            data = artifacts.call_data("DevToken", "transferFrom", *ends, self._chance.choice(_USUAL))
            calls.append((self._cast.usdx, True, data))
        if self._chance.random() < 0.4:
            calls.append(calls[0])
        sender = self._chance.choice([self._customer(), self._cast.treasury])
        return [self._call(sender, self._cast.multicall, "Multicall3", "aggregate3", calls)]

    def _dust(self) -> list[Sending]:
        """Below the threshold, or just at it."""
        if self._chance.random() < 0.5:
            units = self._chance.choice([1, UNIT // 2 - 1, UNIT // 2])
            return [
                self._call(self._customer(), self._cast.usdx, "DevToken", "transfer", self._ours(), units)
            ]
        wei = self._chance.choice([1, ETHER // 1000 - 1, ETHER // 1000])
        return [Sending(sender=self._customer(), to=self._ours(), value=wei, gas=21_000)]

    def _sweep(self) -> list[Sending]:
        sender, to = self._ours(), self._chance.choice([self._cast.treasury, self._ours()])
        if self._chance.random() < 0.5:
            return [Sending(sender=sender, to=to, value=self._wei(), gas=21_000)]
        return [self._pay(sender, to, self._amount())]

    def _payout(self) -> list[Sending]:
        to = self._chance.choice([self._customer(), self._cast.stranger])
        if self._chance.random() < 0.5:
            return [Sending(sender=self._cast.treasury, to=to, value=self._wei(), gas=21_000)]
        return [self._pay(self._cast.treasury, to, self._amount())]

    def _funding(self) -> list[Sending]:
        to = self._chance.choice(self._cast.ours)
        if self._chance.random() < 0.7:
            return [Sending(sender=self._cast.operator, to=to, value=self._wei(), gas=21_000)]
        return [self._pay(self._cast.operator, to, self._amount())]

    def _failing(self) -> list[Sending]:
        """What reverts: it moves nothing and costs its sender, one of ours or not."""
        sender = self._chance.choice([*self._cast.ours, self._customer()])
        if self._chance.random() < 0.5:
            to = self._chance.choice(self._cast.ours)
            return [self._call(sender, self._cast.usdx, "DevToken", "transfer", to, 10 * RICH)]
        return [Sending(sender=sender, to=self._cast.usdx, value=self._wei(), gas=60_000)]

    def _spam(self) -> list[Sending]:
        ends = [self._cast.relayer, self._ours()]
        if self._chance.random() < 0.5:
            pretended = [self._ours(), self._cast.stranger]
            self._chance.shuffle(pretended)
            args = ("DevToken", "transferFrom", *pretended, 0)
            return [self._call(ends[0], self._chance.choice([self._cast.usdx, self._cast.spoof]), *args)]
        return [
            self._call(self._customer(), self._cast.spoof, "DevToken", "transfer", ends[1], self._amount())
        ]

    def _coinbase(self) -> list[Sending]:
        """Paid by an operator that is known or is not, now and then with an id that was used before."""
        intent = self._number().to_bytes(16, "big")
        if self._intents and self._chance.random() < 0.2:
            intent = self._chance.choice(self._intents)
        known = self._chance.random() < 0.8
        operator = self._cast.intents if known else self._cast.stranger
        self._intents.append(intent)
        fee = self._chance.choice([0, 10_000])
        args = (operator, self._cast.usdx, self._ours(), self._amount(), fee, intent)
        return [self._call(self._customer(), self._cast.coinbase, "CoinbaseTransfers", "payFor", *args)]

    def _coinbase_coin(self) -> list[Sending]:
        args = (self._cast.stranger, self._ours(), self._number().to_bytes(16, "big"))
        return [
            self._call(
                self._customer(),
                self._cast.coinbase,
                "CoinbaseTransfers",
                "payNativeFor",
                *args,
                value=self._wei(),
            )
        ]

    def _forged(self) -> list[Sending]:
        """The event alone, with an id that nobody else uses."""
        operator = self._chance.choice([self._cast.intents, self._cast.stranger])
        intent = b"\xff" + self._number().to_bytes(15, "big")
        args = (operator, intent, self._ours(), self._customer(), self._amount(), self._cast.usdx)
        return [self._call(self._cast.relayer, self._cast.coinbase, "CoinbaseTransfers", "forge", *args)]

    def _authorised(self) -> list[Sending]:
        """Transfers that their holders signed, one or several in a transaction, each with its event."""
        count = self._chance.choice([1, 1, 2, 3])
        senders = [
            self._chance.choice([self._customer(), self._customer(), self._ours()]) for _ in range(count)
        ]
        to = [self._cast.treasury if one in self._cast.deposits else self._ours() for one in senders]
        if count == 3:
            senders[0], to[0] = self._customer(), self._cast.stranger
        amounts = [self._chance.choice((*_USUAL, *_USUAL, 0)) for _ in range(count)]
        nonces = [self._number().to_bytes(32, "big") for _ in range(count)]
        args: tuple[Any, ...] = (senders, to, amounts, nonces)
        name = "transferManyWithAuthorization"
        if count == 1:
            args, name = (senders[0], to[0], amounts[0], nonces[0]), "transferWithAuthorization"
        return [self._call(self._cast.relayer, self._cast.auth, "AuthToken", name, *args)]

    def _escrow(self) -> list[Sending]:
        """A payment is charged or authorised; an earlier one goes on, or comes to nothing."""
        if self._escrowed and self._chance.random() < 0.6:
            return [self._escrow_goes_on(*self._chance.choice(self._escrowed))]
        receiver = self._chance.choice([self._ours(), self._ours(), self._cast.treasury])
        terms = (self._cast.relayer, self._customer(), receiver, self._cast.usdx, 2**100, 2**40, 2**40, 2**40)
        info = (*terms, 0, 1000, self._cast.stranger, self._number())
        amount = self._amount()
        self._escrowed.append((info, amount))
        step: tuple[Any, ...] = ("authorize", info, amount)
        if self._chance.random() < 0.4:
            step = ("charge", info, amount, self._chance.choice([0, _FEE_BPS]), self._cast.stranger)
        return [self._call(self._cast.relayer, self._cast.escrow, "Escrow", *step)]

    def _escrow_goes_on(self, info: tuple[Any, ...], amount: int) -> Sending:
        part = self._chance.choice([amount, amount // 2])
        capture = ("capture", info, part, self._chance.choice([0, _FEE_BPS]), self._cast.stranger)
        steps: Sequence[tuple[Any, ...]] = (capture, capture, ("void", info), ("refund", info, part))
        step = self._chance.choice([*steps, ("reclaim", info)])
        return self._call(self._cast.relayer, self._cast.escrow, "Escrow", *step)

    def _forwarded_out(self) -> list[Sending]:
        """Ours pay a contract, which passes it on to somebody else."""
        sender = self._chance.choice(self._cast.ours)
        args = ("Forwarder", "forward", self._cast.stranger)
        return [self._call(sender, self._cast.forwarder, *args, value=self._wei())]

    def _forwarded(self) -> list[Sending]:
        """Coins that a contract pays us: no log tells of them; one way gives them up again."""
        sender = self._chance.choice([self._customer(), self._customer(), self._cast.treasury])
        if self._chance.random() < 0.3:
            args: tuple[Any, ...] = ("Forwarder", "forwardAndRevertInside", self._ours())
            return [self._call(sender, self._cast.forwarder, *args, value=self._wei())]
        if self._chance.random() < 0.5:
            args = ("Forwarder", "forward", self._ours())
            return [self._call(sender, self._cast.forwarder, *args, value=self._wei())]
        parts = [self._wei() for _ in range(self._chance.randrange(1, 4))]
        to = [self._chance.choice([self._ours(), self._cast.stranger]) for _ in parts]
        args = ("Forwarder", "forwardMany", to, parts)
        return [self._call(sender, self._cast.forwarder, *args, value=sum(parts))]

    def _destroyed(self) -> list[Sending]:
        args = ("Forwarder", "destroy", self._ours())
        return [self._call(self._customer(), self._cast.forwarder, *args)]

    def _minted(self) -> list[Sending]:
        """The token's own deployer gives a customer's address some."""
        args = ("DevToken", "mint", self._ours(), self._amount())
        return [self._call(self._cast.faucet, self._cast.usdx, *args)]
