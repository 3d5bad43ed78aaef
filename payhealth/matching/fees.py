"""The credit that an amount should become: exact, on whole numbers.

Amounts are in units of 1e-18 and the quantum is a number of such units; a rate is a fraction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from payhealth.domain.money import to_scaled
from payhealth.matching.policy import Basis, Policy, Rounding


@dataclass(frozen=True, slots=True)
class Fee:
    """``max(minimum, x * rate + fixed)``, 0 where none is configured."""

    numerator: int
    denominator: int
    minimum: int
    fixed: int

    @classmethod
    def of(cls, policy: Policy) -> Fee:
        """The fee of a policy."""
        rate = Fraction(policy.fee_rate)
        return cls(
            rate.numerator, rate.denominator, to_scaled(policy.fee_minimum), to_scaled(policy.fee_fixed)
        )


def credit(paid: int, policy: Policy) -> int:
    """What ``paid`` should become: 0 or more, a multiple of the quantum."""
    return crediting(policy)(paid)


def crediting(policy: Policy) -> Callable[[int], int]:
    """The function from what was paid to the credit, with the policy's fee worked out once."""
    fee, quantum = Fee.of(policy), to_scaled(policy.quantum)
    if policy.basis is Basis.ON_TOP:
        return lambda paid: _on_top(paid, fee, quantum)
    return lambda paid: _gross(paid, fee, quantum, policy.rounding)


def _on_top(paid: int, fee: Fee, quantum: int) -> int:
    share = (paid - fee.fixed) * fee.denominator // (fee.denominator + fee.numerator)
    return max(0, min(share, paid - fee.minimum) // quantum * quantum)


def _gross(paid: int, fee: Fee, quantum: int, rounding: Rounding) -> int:
    kept = max(fee.minimum * fee.denominator, paid * fee.numerator + fee.fixed * fee.denominator)
    left = paid * fee.denominator - kept
    return round_to(left, fee.denominator, quantum, rounding) if left > 0 else 0


def round_to(numerator: int, denominator: int, quantum: int, rounding: Rounding) -> int:
    """``numerator / denominator`` rounded to a multiple of the quantum."""
    return round_ratio(numerator, denominator * quantum, rounding) * quantum


def round_ratio(numerator: int, denominator: int, rounding: Rounding) -> int:
    """``numerator / denominator`` (denominator above 0) rounded to a whole number."""
    whole, rest = divmod(numerator, denominator)
    if not rest or rounding is Rounding.FLOOR:
        return whole
    if rounding is Rounding.CEILING:
        return whole + 1
    towards_zero = whole if numerator >= 0 else whole + 1
    away = whole + 1 if numerator >= 0 else whole
    if rounding in (Rounding.DOWN, Rounding.UP):
        return towards_zero if rounding is Rounding.DOWN else away
    if 2 * rest != denominator:
        return whole + (2 * rest > denominator)
    if rounding is Rounding.HALF_EVEN:
        return whole + whole % 2
    return towards_zero if rounding is Rounding.HALF_DOWN else away
