"""Who buys credits: people with cards, and people with wallets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from payhealth.sandbox.business.window import Window
from payhealth.sandbox.interfaces import Card

FIRST_NAMES = (
    "ada",
    "ben",
    "chioma",
    "dmitri",
    "elena",
    "farid",
    "grace",
    "hiro",
    "ines",
    "jonas",
    "kemal",
    "lucia",
)
BRANDS = (
    ("visa", "424242"),
    ("visa", "401288"),
    ("mastercard", "555555"),
    ("mastercard", "222300"),
    ("amex", "378282"),
)
COUNTRIES = ("US", "US", "US", "GB", "DE", "FR", "BR", "IN", "JP")
FUNDINGS = ("credit", "credit", "debit", "debit", "debit", "prepaid")
HANDOVER_GAP = timedelta(hours=1)
"""How long before and after mid-history a deposit address rests between two owners."""
LAST_CALL = timedelta(minutes=10)
"""How long before its end an owner stops paying: a block may come later than it was asked for."""


@dataclass(frozen=True, kw_only=True)
class CardCustomer:
    """Somebody who pays by card."""

    account: str
    email: str
    card: Card


@dataclass(frozen=True, kw_only=True)
class CryptoCustomer:
    """Somebody who pays from a wallet of their own into a deposit address of ours."""

    account: str
    wallet: int
    """The number of their wallet."""
    deposit: int
    """The number of their deposit address; over time two accounts may have the same one."""
    valid_from: datetime
    valid_to: datetime | None = None

    def may_pay(self, at: datetime) -> bool:
        """Whether a payment begun at a moment surely arrives while the deposit address is theirs."""
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to - LAST_CALL)


def new_card(rng: Random) -> Card:
    """A card like those that customers have."""
    brand, iin = rng.choice(BRANDS)
    return Card(
        brand=brand,
        country=rng.choice(COUNTRIES),
        funding=rng.choice(FUNDINGS),
        last4=f"{rng.randrange(10_000):04d}",
        fingerprint="".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789", k=16)),
        iin=iin,
    )


def card_customers(rng: Random, count: int) -> list[CardCustomer]:
    """``count`` customers with a card each."""
    return [
        CardCustomer(
            account=f"user-{number:04d}",
            email=f"{rng.choice(FIRST_NAMES)}.{number:04d}@example.test",
            card=new_card(rng),
        )
        for number in range(1, count + 1)
    ]


def crypto_customers(window: Window, count: int) -> list[CryptoCustomer]:
    """``count`` customers with a wallet each.

    The first two have one deposit address after each other: it is handed over in mid-history, so that
    only who looks at validity in time gives its deposits to the right account.
    """
    middle = window.start + (window.end - window.start) / 2
    middle = middle.replace(microsecond=0)
    first = CryptoCustomer(
        account="user-5001", wallet=0, deposit=0, valid_from=window.start, valid_to=middle - HANDOVER_GAP
    )
    second = CryptoCustomer(account="user-5002", wallet=1, deposit=0, valid_from=middle + HANDOVER_GAP)
    others = [
        CryptoCustomer(
            account=f"user-{5001 + number:04d}", wallet=number, deposit=number - 1, valid_from=window.start
        )
        for number in range(2, count)
    ]
    return [first, second, *others]
