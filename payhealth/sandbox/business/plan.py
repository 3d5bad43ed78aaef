"""Who buys what, when, and what becomes of it: decided before anything happens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

from payhealth.sandbox.business import customers
from payhealth.sandbox.business.customers import CardCustomer, CryptoCustomer
from payhealth.sandbox.business.faults import (
    CARD_FAULTS,
    CRYPTO_FAULTS,
    UNPAID_FAULTS,
    CreditedBeforeReorg,
    random_moment,
)
from payhealth.sandbox.business.service import Conduct
from payhealth.sandbox.business.stories import PER_THOUSAND, TAKES_TIME, Story
from payhealth.sandbox.business.window import Window
from payhealth.sandbox.interfaces import Decline

PRICES_MINOR: Final = (1000, 1000, 2500, 2500, 5000, 10000, 25000)
TOKEN_PRICES: Final = (10_000_000, 25_000_000, 50_000_000, 100_000_000, 500_000_000)
"""In millionths of the token; scaled where the token has other decimals."""
NATIVE_PRICES_WEI: Final = (20 * 10**15, 50 * 10**15, 100 * 10**15)
DECLINE_PERCENT: Final = 8
GIVES_UP_PERCENT: Final = 35
DECLINES: Final = (
    Decline(decline_code="generic_decline"),
    Decline(decline_code="insufficient_funds"),
    Decline(decline_code="insufficient_funds"),
    Decline(decline_code="do_not_honor"),
    Decline(failure_code="expired_card", decline_code="expired_card"),
    Decline(failure_code="incorrect_cvc", decline_code="incorrect_cvc"),
    Decline(failure_code="processing_error", decline_code="processing_error"),
    Decline(decline_code="fraudulent", blocked=True),
)
LIGHT_PURCHASES: Final = 5


@dataclass(frozen=True, kw_only=True)
class CardPurchase:
    """One order paid by card."""

    order: str
    at: datetime
    customer: CardCustomer
    amount_minor: int
    declines: tuple[Decline, ...] = ()
    """The attempts that fail before one is approved, or all of them if the story is ``ABANDONED``."""
    story: Story = Story.PLAIN
    conduct: Conduct


@dataclass(frozen=True, kw_only=True)
class CryptoPurchase:
    """One deposit: ``amount`` in the smallest unit of the token or, if ``native``, in wei."""

    at: datetime
    customer: CryptoCustomer
    amount: int
    native: bool
    conduct: Conduct


@dataclass(frozen=True, kw_only=True)
class UnpaidPlan:
    """A credit that nobody will have paid for."""

    fault: str
    account: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that customers and faults will do."""

    card: tuple[CardPurchase, ...]
    light: tuple[CardPurchase, ...]
    """The few purchases after the reorg, all well treated; the first is refunded."""
    crypto: tuple[CryptoPurchase, ...]
    doomed: CryptoPurchase
    """The deposit that the reorg will remove."""
    unpaid: tuple[UnpaidPlan, ...]
    crypto_customers: tuple[CryptoCustomer, ...]
    accounts: tuple[str, ...]


def make_plan(
    *, seed: int, window: Window, faults: Mapping[str, int], card_per_day: int, crypto_per_day: int
) -> Plan:
    """Plan a whole history.

    Args:
        seed: decides everything together with the window.
        window: the history's moments.
        faults: how often each fault is planted, by name.
        card_per_day: card purchases a day; short histories have at least 110 in all.
        crypto_per_day: deposits a day; short histories have at least 12 in all.
    """
    rng = Random(f"{seed}/plan")
    card_count = max(110, round(card_per_day * window.days))
    crypto_count = max(12, round(crypto_per_day * window.days))
    card_people = customers.card_customers(rng, max(60, card_count // 4))
    crypto_people = customers.crypto_customers(window, min(18, max(8, crypto_count // 5)))
    card = _card_purchases(rng, window, card_people, card_count)
    card = _cast(rng, window, card, _roles(faults, card_count))
    crypto, doomed = _deposits(rng, window, crypto_people, crypto_count, faults)
    accounts = (*(person.account for person in card_people), *(person.account for person in crypto_people))
    return Plan(
        card=tuple(card),
        light=tuple(_light_purchases(rng, window, card_people, card_count)),
        crypto=tuple(crypto),
        doomed=doomed,
        unpaid=tuple(_unpaid(rng, window, faults, card, card_people)),
        crypto_customers=tuple(crypto_people),
        accounts=accounts,
    )


def _card_purchases(
    rng: Random, window: Window, people: Sequence[CardCustomer], count: int
) -> list[CardPurchase]:
    purchases = []
    moments = sorted(_shopping_moment(rng, window) for _ in range(count))
    for number, at in enumerate(moments, start=1):
        declines, gave_up = _declines(rng)
        purchases.append(
            CardPurchase(
                order=f"order-{number:05d}",
                at=at,
                customer=rng.choice(people),
                amount_minor=_price_minor(rng),
                declines=declines,
                story=Story.ABANDONED if gave_up else Story.PLAIN,
                conduct=Conduct(),
            )
        )
    return purchases


def _light_purchases(
    rng: Random, window: Window, people: Sequence[CardCustomer], ordered: int
) -> list[CardPurchase]:
    begin = window.reorg_at + timedelta(minutes=2)
    step = (window.light_until - begin) / (LIGHT_PURCHASES + 1)
    return [
        CardPurchase(
            order=f"order-{ordered + 1 + number:05d}",
            at=(begin + step * number).replace(microsecond=0),
            customer=rng.choice(people),
            amount_minor=_price_minor(rng),
            conduct=Conduct(),
        )
        for number in range(LIGHT_PURCHASES)
    ]


def _shopping_moment(rng: Random, window: Window) -> datetime:
    """A moment of the busy life, at night less often than by day."""
    while True:
        at = random_moment(rng, window.busy_from, window.shops_close_at)
        if rng.random() < 0.6 + 0.4 * math.sin((at.hour - 9) / 24 * math.tau):
            return at


def _price_minor(rng: Random) -> int:
    return rng.choice(PRICES_MINOR) if rng.random() < 0.75 else rng.randint(501, 29_999)


def _declines(rng: Random) -> tuple[tuple[Decline, ...], bool]:
    """The declines before an approval (mostly none), and whether the customer then gave up."""
    declines: list[Decline] = []
    while len(declines) < 4 and rng.randrange(100) < (30 if declines else DECLINE_PERCENT):
        declines.append(rng.choice(DECLINES))
    return tuple(declines), bool(declines) and rng.randrange(100) < GIVES_UP_PERCENT


@dataclass(frozen=True, kw_only=True)
class _Role:
    """A story to be given to some purchase, and how the service treats it."""

    story: Story
    conduct: Conduct


def _roles(faults: Mapping[str, int], count: int) -> list[_Role]:
    """The roles to cast, those of faults first: they are choosier."""
    victims = [
        _Role(story=story, conduct=kind())
        for name, (kind, story) in CARD_FAULTS.items()
        for _ in range(faults.get(name, 0))
    ]
    others = [
        _Role(story=story, conduct=Conduct())
        for story, share in PER_THOUSAND.items()
        for _ in range(max(1, round(count * share / 1000)))
    ]
    return victims + others


def _cast(
    rng: Random, window: Window, purchases: Sequence[CardPurchase], roles: Iterable[_Role]
) -> list[CardPurchase]:
    """Give each role to a purchase of its own; no two faults meet on one account."""
    cast = list(purchases)
    pool = [place for place, purchase in enumerate(purchases) if purchase.story is Story.PLAIN]
    rng.shuffle(pool)
    in_time = window.start + (window.end - window.start) * 0.6
    hit: set[str] = set()
    for role in roles:
        faulty = bool(role.conduct.fault)
        for place in pool:
            purchase = purchases[place]
            late = role.story in TAKES_TIME and purchase.at > in_time
            if late or (faulty and purchase.customer.account in hit):
                continue
            cast[place] = replace(purchase, story=role.story, conduct=role.conduct)
            pool.remove(place)
            if faulty:
                hit.add(purchase.customer.account)
            break
        else:
            raise ValueError(f"the history is too short for the story {role.story.value!r}")
    return cast


def _deposits(
    rng: Random,
    window: Window,
    people: Sequence[CryptoCustomer],
    count: int,
    faults: Mapping[str, int],
) -> tuple[list[CryptoPurchase], CryptoPurchase]:
    """The deposits of the busy life, and the doomed one; the last customer makes no other."""
    *regulars, unlucky = people
    native_turn = rng.randrange(8)
    moments = sorted(_shopping_moment(rng, window) for _ in range(count))
    purchases = []
    for number, at in enumerate(moments):
        native = number % 8 == native_turn
        payer = rng.choice([person for person in regulars if person.may_pay(at)])
        price = _price_wei(rng) if native else _price_token(rng)
        purchases.append(
            CryptoPurchase(at=at, customer=payer, amount=price, native=native, conduct=Conduct())
        )
    hit: set[str] = set()
    for name, kind in CRYPTO_FAULTS.items():
        for _ in range(faults.get(name, 0)):
            free = [place for place, purchase in enumerate(purchases) if purchase.customer.account not in hit]
            place = rng.choice(free)
            hit.add(purchases[place].customer.account)
            purchases[place] = replace(purchases[place], conduct=kind())
    doomed = CryptoPurchase(
        at=window.doomed_deposit_at,
        customer=unlucky,
        amount=_price_token(rng),
        native=False,
        conduct=CreditedBeforeReorg() if faults.get(CreditedBeforeReorg.fault) else Conduct(),
    )
    return purchases, doomed


def _price_token(rng: Random) -> int:
    """A price in millionths; some people send what their wallet happens to hold."""
    draw = rng.random()
    if draw < 0.7:
        return rng.choice(TOKEN_PRICES)
    return rng.randint(501, 49_999) * 10_000 if draw < 0.9 else rng.randint(5_000_000, 300_000_000)


def _price_wei(rng: Random) -> int:
    return rng.choice(NATIVE_PRICES_WEI) if rng.random() < 0.5 else rng.randint(10**16, 2 * 10**17)


def _unpaid(
    rng: Random,
    window: Window,
    faults: Mapping[str, int],
    card: Sequence[CardPurchase],
    people: Sequence[CardCustomer],
) -> list[UnpaidPlan]:
    """Unpaid credits, each on an account that no other fault has hit."""
    hit = {purchase.customer.account for purchase in card if purchase.conduct.fault}
    free = [person.account for person in people if person.account not in hit]
    rng.shuffle(free)
    names = [name for name in UNPAID_FAULTS for _ in range(faults.get(name, 0))]
    return [
        UnpaidPlan(fault=name, account=free.pop(), at=random_moment(rng, window.busy_from, window.busy_until))
        for name in names
    ]
