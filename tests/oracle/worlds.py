"""Small worlds, rich in collisions: by a seed (`random_world`) or by hypothesis (`worlds`).

One generator draws from either source. Most entries come from the oracle's own expectations and are then
spoilt in one way, so that matches, each reason and what lies in between are all frequent.
"""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st

from tests.oracle.expect import expectations
from tests.oracle.model import exact_decimal, movement_of, policy_of

T = TypeVar("T")
Row = dict[str, Any]

AS_OF = datetime(2026, 3, 10, 12, tzinfo=UTC)
ROWS_MAX = 14
ASSETS = (
    "USD",
    "EUR",
    "eip155:1/erc20:0xa0B86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
    "eip155:8453/erc20:0xa0B86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
    "eip155:8453/erc20:0xA0B86991C6218B36C1D19D4A2E9EB0CE3606EB48",
    "eip155:1/slip44:60",
    "eip155:8453/slip44:60",
)
ACCOUNTS = ("acct_1", "acct_2", "vip_3", "", "eip155:1:0xAb01", "eip155:1:0xaB01", "Acct_1")
REFERENCES = ("ch_A", "ch_a", " ch_A ", "order 7", "0xAbC1", "0xabc1", "pi_9", "", "  ")
AMOUNTS = (
    *("0", "0.000000000000000001", "0.01", "0.50", "0.80", "1", "10", "10.00", "30", "33.33"),
    *("50", "50", "99.995", "100", "100", "100.00"),
)
AGES_S = (
    *(259200, 259200, 172800, 172800, 100000, 90000, 86401, 86400, 86399, 7200, 7200, 7200, 3600),
    *(1801, 1800, 1799, 905, 901, 900, 900, 899, 895, 600, 60, 1, 0, -1),
)
DELAYS_S = (*(5,) * 12, 0, 60, 895, 899, 900, 901, 3600, -5, -60, -899, -900, -901)
FEES: tuple[Row, ...] = (
    {},
    {},
    {"basis": "gross", "fee_rate": "0.029", "fee_fixed": "0.30", "quantum": "0.01"},
    {"basis": "on_top", "fee_rate": "0.055", "fee_minimum": "0.80", "quantum": "0.01"},
    {"basis": "on_top", "fee_rate": "0.055", "quantum": "0.05"},
    {"basis": "gross", "fee_minimum": "1", "quantum": "0.01", "rounding": "half_up"},
    {"basis": "gross", "fee_rate": "0.1", "quantum": "1", "rounding": "up"},
    {"quantum": "0.01", "rounding": "down"},
)
RULES: tuple[list[Row] | None, ...] = (
    None,
    None,
    [{"pass": "reference"}],
    [{"pass": "reference", "absolute": "0.01"}],
    [{"pass": "reference", "absolute": "0.02", "relative": "0.01"}],
    [{"pass": "reference", "max_reference_share": 1}],
    [{"pass": "reference", "max_reference_share": 3}],
)
SPOILS = (
    *("none",) * 30,
    *("drop",) * 3,
    *("double", "double", "account", "account", "no_account", "asset", "asset", "off", "off", "split"),
    *("no_reference", "other_reference", "only_half", "sign", "ignored"),
)


class World(NamedTuple):
    """The arguments of one reconciliation."""

    payments: list[Row]
    ledger: list[Row]
    policies: list[Row]
    rules: list[Row] | None
    as_of: datetime


class Picker:
    """Draws from a source of integers; the first choice is the one that hypothesis shrinks to."""

    def __init__(self, integer: Callable[[int, int], int]) -> None:
        self.integer = integer

    def one_of(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.integer(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 draws."""
        return self.integer(1, 100) > 100 - percent

    def shuffled(self, rows: list[Row]) -> list[Row]:
        """The rows in another order."""
        rest, result = list(rows), []
        while rest:
            result.append(rest.pop(self.integer(0, len(rest) - 1)))
        return result


def random_world(seed: int) -> World:
    """The world of a seed; the same on every machine."""
    return build_world(Picker(random.Random(seed).randint))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Worlds for hypothesis, which shrinks them."""
    return build_world(Picker(lambda low, high: draw(st.integers(low, high))))


def build_world(pick: Picker) -> World:
    """Draw policies, then payments with what undoes them, then the entries that answer them."""
    assets = [pick.one_of(ASSETS) for _ in range(pick.integer(1, 3))]
    policies = draw_policies(pick, assets)
    payments: list[Row] = []
    for story in range(pick.integer(1, 5)):
        payments += draw_story(pick, assets, f"ch_{story}" if pick.chance(60) else pick.one_of(REFERENCES))
    payments = numbered("m", pick.shuffled(payments)[:ROWS_MAX])
    ledger: list[Row] = []
    for row, amount in expected_amounts(payments, policies):
        ledger += draw_answer(pick, row, amount, assets)
    while not ledger or pick.chance(20):
        ledger.append(draw_noise(pick, assets))
    ledger = numbered(pick.one_of(("e", "m")), pick.shuffled(ledger)[:ROWS_MAX])
    return World(payments, ledger, policies, pick.one_of(RULES), AS_OF)


def numbered(letter: str, rows: list[Row]) -> list[Row]:
    """Give ids whose order has nothing to do with time; the two sides may use the same ids."""
    return [{"id": f"{letter}{index}", **row} for index, row in enumerate(rows)]


def draw_policies(pick: Picker, assets: list[str]) -> list[Row]:
    """None, or up to two special policies with `default` last."""
    if pick.chance(25):
        return []
    policies = []
    for _ in range(pick.integer(0, 2)):
        when: Row = pick.one_of(
            (
                {"kind": pick.one_of(("charge", "transfer", "refund", "dispute_reversal"))},
                {"account_prefix": pick.one_of(("vip_", "acct", "eip155:1:0xAB"))},
                {"asset": pick.one_of(assets)},
                {"from": AS_OF - timedelta(seconds=pick.one_of((900, 86400)))},
                {"to": AS_OF - timedelta(seconds=pick.one_of((900, 86400)))},
                {"connector": "cards"},
            )
        )
        policies.append({"when": when, **draw_terms(pick, assets)})
    return [*policies, draw_terms(pick, assets)]


def draw_terms(pick: Picker, assets: list[str]) -> Row:
    """What a policy says, apart from its `when`."""
    terms = dict(pick.one_of(FEES))
    if pick.chance(50):
        terms["time_to_clear_s"] = pick.one_of((900, 0, 1, 1800, 86400))
    if pick.chance(10):
        terms["asset"] = pick.one_of((*assets, "USD"))
    if pick.chance(20):
        terms["dust_below"] = pick.one_of(("1", "0.01", "50"))
    return terms


def at(pick: Picker, age_s: int) -> datetime:
    """A time so many seconds before T, sometimes a microsecond beside it."""
    beside_us = pick.one_of((0, 0, 0, 0, 0, 0, 1, -1))
    return AS_OF - timedelta(seconds=age_s, microseconds=beside_us)


def draw_story(pick: Picker, assets: list[str], reference: str) -> list[Row]:
    """One payment, perhaps paid twice, and up to three movements that undo it or undo that."""
    on_chain = pick.chance(40)
    age_s = pick.one_of(AGES_S)
    payment: Row = {
        "kind": "transfer" if on_chain else "charge",
        "account": pick.one_of(ACCOUNTS),
        "reference": reference,
        "amount": pick.one_of(AMOUNTS),
        "asset": pick.one_of(assets),
        "occurred_at": at(pick, age_s),
    }
    rows = [payment]
    if pick.chance(15):
        rows.append({**payment, "occurred_at": at(pick, pick.one_of(AGES_S))})
    follow_ups = pick.one_of((0, 0, 0, 1, 1, 2, 3))
    rows += [draw_follow_up(pick, payment, age_s, on_chain) for _ in range(follow_ups)]
    if len(rows) > 1 and pick.chance(12):
        rows.remove(payment)
    return rows


def draw_follow_up(pick: Picker, payment: Row, age_s: int, on_chain: bool) -> Row:
    """A movement that undoes a payment in part, in whole or too much, or that reverses such a one."""
    cards = ("refund", "refund", "dispute", "dispute_reversal", "dispute", "refund_reversal")
    share = pick.one_of((Decimal(1), Decimal(1), Decimal("0.5"), Decimal("0.3"), Decimal("1.5")))
    amount = (Decimal(payment["amount"]) * share).quantize(Decimal("0.000000000000000001"))
    later_s = pick.one_of((10, 10, 60, 600, 1000, 3600, 80000, -10))
    return {
        "kind": pick.one_of(("retraction", "refund") if on_chain else cards),
        "account": pick.one_of(ACCOUNTS) if pick.chance(8) else payment["account"],
        "reference": pick.one_of(REFERENCES) if pick.chance(8) else payment["reference"],
        "amount": plain(amount),
        "asset": pick.one_of(ASSETS) if pick.chance(5) else payment["asset"],
        "occurred_at": at(pick, max(age_s - later_s, pick.one_of((901, 10, 0, -1)))),
    }


def plain(amount: Decimal) -> str:
    """An amount without an exponent and without useless zeros."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def expected_amounts(payments: list[Row], policies: list[Row]) -> list[tuple[Row, Fraction]]:
    """The rows with the entry each should cause; rows without a price have none."""
    expected, _ = expectations([movement_of(row) for row in payments], [policy_of(one) for one in policies])
    amounts = {one.movement.id: one.amount for one in expected}
    return [(row, amounts[row["id"]]) for row in payments if row["id"] in amounts]


def draw_answer(pick: Picker, movement: Row, amount: Fraction, assets: list[str]) -> list[Row]:
    """The entries that answer a movement, mostly the right one."""
    spoil = pick.one_of(SPOILS)
    if spoil == "drop" or (amount == 0 and pick.chance(70)):
        return []
    if spoil == "off":
        amount += pick.one_of((Fraction(1, 100), Fraction(-1, 100), Fraction(2, 100), Fraction(-5)))
    if spoil in ("only_half", "split"):
        amount /= 2
    if spoil == "sign":
        amount = -amount
    if amount.limit_denominator(10**18) != amount:
        return []
    entry: Row = {
        "account": movement["account"],
        "reference": movement["reference"],
        "amount": plain(exact_decimal(amount)),
        "asset": movement["asset"],
        "occurred_at": movement["occurred_at"] + timedelta(seconds=pick.one_of(DELAYS_S)),
        "kind": pick.one_of(("", "purchase")) if amount >= 0 else pick.one_of(("reversal", "", "purchase")),
    }
    changes: dict[str, Row] = {
        "account": {"account": pick.one_of(ACCOUNTS)},
        "no_account": {"account": ""},
        "asset": {"asset": pick.one_of((*assets, *ASSETS))},
        "no_reference": {"reference": ""},
        "other_reference": {"reference": pick.one_of(REFERENCES)},
        "ignored": {"kind": pick.one_of(("grant", "usage", "Purchase"))},
    }
    entry |= changes.get(spoil, {})
    again = {**entry, "occurred_at": entry["occurred_at"] + timedelta(seconds=pick.one_of((0, 1, 3600)))}
    return [entry, again] if spoil in ("double", "split") else [entry]


def draw_noise(pick: Picker, assets: list[str]) -> Row:
    """An entry that nothing caused."""
    amount = pick.one_of(AMOUNTS)
    return {
        "account": pick.one_of(ACCOUNTS),
        "reference": pick.one_of(REFERENCES),
        "amount": f"-{amount}" if pick.chance(30) and Decimal(amount) else amount,
        "asset": pick.one_of(assets),
        "occurred_at": at(pick, pick.one_of(AGES_S)),
        "kind": pick.one_of(("", "purchase", "reversal", "grant", "adjustment")),
    }
