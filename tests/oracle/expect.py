"""Section 5.1: which policy a row falls under, and the entry that a movement should cause."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

from tests.oracle.model import (
    PAYMENT_KINDS,
    RAIL_OF_KIND,
    SIGN_OF_KIND,
    Entry,
    Movement,
    Policy,
    aware,
    normalised,
    policy_of,
)

WHEN_KEYS = frozenset({"connector", "kind", "account_prefix", "asset", "from", "to"})
BUILT_IN_POLICY = policy_of({})
"""Without any policy: the amount itself in its own asset, 900 seconds."""


@dataclass(frozen=True)
class Expectation:
    """The entry that a movement should cause; `amount` is signed."""

    movement: Movement
    amount: Fraction
    policy: Policy
    rail: str
    over_refunded: bool = False


# --- policies -------------------------------------------------------------------------------------


def fits(when: dict[str, Any], row: Movement | Entry) -> bool:
    """Whether a policy's `when` fits a row of a file (so `connector` never does)."""
    if unknown := set(when) - WHEN_KEYS:
        raise ValueError(f"unknown keys in when: {sorted(unknown)}")
    if "connector" in when:
        return False
    if "kind" in when and (isinstance(row, Entry) or row.kind != when["kind"]):
        return False
    if "account_prefix" in when and not row.account.startswith(normalised(when["account_prefix"])):
        return False
    if "asset" in when and row.asset != normalised(when["asset"]):
        return False
    if "from" in when and row.at < aware(when["from"]):
        return False
    return not ("to" in when and row.at >= aware(when["to"]))


def first_fitting(policies: Iterable[Policy], row: Movement | Entry) -> Policy:
    """The first policy whose `when` fits the row."""
    for policy in policies:
        if fits(policy.when, row):
            return policy
    return BUILT_IN_POLICY


def is_priced(policy: Policy, asset: str) -> bool:
    """Files bring no rates: only a movement already in the policy's asset has a price."""
    return policy.asset in ("", asset)


# --- fees and rounding ----------------------------------------------------------------------------


def fee(policy: Policy, amount: Fraction) -> Fraction:
    """The fee on x: max(fee_minimum, x * fee_rate + fee_fixed), never rounded."""
    return max(policy.fee_minimum, amount * policy.fee_rate + policy.fee_fixed)


def rounded(value: Fraction, quantum: Fraction, mode: str) -> Fraction:
    """The multiple of `quantum` next to `value`; modes mean what they mean in decimal (decision 9)."""
    steps = value / quantum
    below, above = floor(steps), ceil(steps)
    inward, outward = (below, above) if steps >= 0 else (above, below)
    half = Fraction(1, 2)
    if mode in ("half_even", "half_up", "half_down") and steps - below != half:
        return quantum * (below if steps - below < half else above)
    chosen = {
        "half_even": below if below % 2 == 0 else above,
        "half_up": outward,
        "half_down": inward,
        "up": outward,
        "down": inward,
        "floor": below,
        "ceiling": above,
    }
    return quantum * chosen[mode]


def credit(policy: Policy, gross: Fraction) -> Fraction:
    """The credit that a payment of `gross` should cause, 0 where the fee is above the gross."""
    if policy.basis == "gross":
        return max(Fraction(0), rounded(gross - fee(policy, gross), policy.quantum, policy.rounding))
    if policy.basis != "on_top":
        raise ValueError(f"unknown basis {policy.basis!r}")
    # c + max(a, b) <= gross says both c + a <= gross and c + b <= gross.
    under_minimum = gross - policy.fee_minimum
    under_rate = (gross - policy.fee_fixed) / (1 + policy.fee_rate)
    return max(Fraction(0), rounded(min(under_minimum, under_rate), policy.quantum, "floor"))


# --- expectations ---------------------------------------------------------------------------------


def expectations(
    movements: list[Movement], policies: list[Policy]
) -> tuple[list[Expectation], list[Movement]]:
    """The expectations of all movements, and the movements without a price."""
    expected: list[Expectation] = []
    unpriced: list[Movement] = []
    payments_of: dict[tuple[str, str], list[Expectation]] = defaultdict(list)
    known_payments: set[tuple[str, str]] = set()
    reversals_of: dict[tuple[str, str], list[Movement]] = defaultdict(list)
    for movement in sorted(movements, key=lambda movement: movement.order):
        key = (movement.reference, movement.asset)
        if movement.kind not in PAYMENT_KINDS:
            reversals_of[key].append(movement)
            continue
        known_payments.add(key)
        policy = first_fitting(policies, movement)
        if not is_priced(policy, movement.asset):
            unpriced.append(movement)
            continue
        payment = Expectation(movement, credit(policy, movement.gross), policy, RAIL_OF_KIND[movement.kind])
        expected.append(payment)
        payments_of[key].append(payment)
    for key, reversals in reversals_of.items():
        if not key[0] or key not in known_payments:
            _expect_without_payment(reversals, policies, expected, unpriced)
        elif not payments_of[key]:
            unpriced.extend(reversals)
        else:
            expected.extend(expect_reversals(payments_of[key], reversals))
    return expected, unpriced


def _expect_without_payment(
    reversals: list[Movement],
    policies: list[Policy],
    expected: list[Expectation],
    unpriced: list[Movement],
) -> None:
    """A reversal without its payment expects its own amount's credit with the sign turned."""
    for movement in reversals:
        policy = first_fitting(policies, movement)
        if not is_priced(policy, movement.asset):
            unpriced.append(movement)
            continue
        amount = SIGN_OF_KIND[movement.kind] * credit(policy, movement.gross)
        expected.append(Expectation(movement, amount, policy, RAIL_OF_KIND[movement.kind]))


def expect_reversals(payments: list[Expectation], reversals: list[Movement]) -> list[Expectation]:
    """Partial reversals are cumulative, so that a full one gives back exactly C.

    Args:
        payments: all priced payments of one reference and asset, by (time, id); they count together
            and the first one gives policy and rail (decision 5).
        reversals: the refunds, disputes, retractions and their reversals of them, by (time, id).
    """
    policy, rail = payments[0].policy, payments[0].rail
    paid_gross = sum((payment.movement.gross for payment in payments), Fraction(0))
    paid_credit = sum((payment.amount for payment in payments), Fraction(0))
    result = []
    reversed_gross = Fraction(0)
    expected_before = Fraction(0)
    for movement in reversals:
        reversed_gross -= movement.signed_gross
        if paid_gross == 0:  # Decision 7: nothing to take a share of.
            amount = SIGN_OF_KIND[movement.kind] * credit(policy, movement.gross)
        else:
            share = paid_credit * reversed_gross / paid_gross
            whole = reversed_gross == paid_gross  # "a full reversal gives back exactly C" (decision 5)
            expected_up_to_here = share if whole else rounded(share, policy.quantum, policy.rounding)
            amount = expected_before - expected_up_to_here
            expected_before = expected_up_to_here
        result.append(Expectation(movement, amount, policy, rail, reversed_gross > paid_gross))
    return result
