"""What a reconciliation is told: policies (what a movement should become) and rules (how rows are joined).

Standard library only, so that configuration can be checked without loading the engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from payhealth.domain.errors import ConfigurationError

SECOND_US = 1_000_000
ZERO = Decimal(0)
UNIT_QUANTUM = Decimal("1e-18")


class Basis(StrEnum):
    """How a credit follows from what was paid."""

    GROSS = "gross"
    """The credit is what was paid less the fee on it."""
    ON_TOP = "on_top"
    """The credit is the largest one which, with the fee on it, does not exceed what was paid."""


class Rounding(StrEnum):
    """How an amount between two multiples of the quantum is rounded; names as in Python's decimal."""

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"
    HALF_DOWN = "half_down"
    UP = "up"
    DOWN = "down"
    CEILING = "ceiling"
    FLOOR = "floor"


class PassName(StrEnum):
    """The passes in the order in which they run, whatever the order of the rules."""

    REFERENCE = "reference"
    EXACT = "exact"
    TOLERANCE = "tolerance"
    SPLIT = "split"
    UNATTRIBUTED = "unattributed"


BUILT_PASSES = frozenset({PassName.REFERENCE})
"""The passes of this version; a rule that names another one is refused, never skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Which rows a policy is for; None fits all.

    Args:
        from_us: microseconds since 1970, inclusive.
        to_us: microseconds since 1970, exclusive.
    """

    connector: str | None = None
    kind: str | None = None
    account_prefix: str | None = None
    asset: str | None = None
    from_us: int | None = None
    to_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a movement should become in the ledger, and how long that may take.

    Args:
        asset: what credits are counted in, None for the movement's own.
        fee_rate: of the amount, as a ratio.
        fee_minimum: in the policy's asset, as ``fee_fixed``, ``quantum`` and ``dust_below`` are.
        quantum: the step that expected credits are rounded to.
        dust_below: a residual smaller than this is flagged as dust.
    """

    name: str = "default"
    when: When = field(default_factory=When)
    asset: str | None = None
    basis: Basis = Basis.GROSS
    fee_rate: Decimal = ZERO
    fee_minimum: Decimal = ZERO
    fee_fixed: Decimal = ZERO
    rounding: Rounding = Rounding.HALF_EVEN
    quantum: Decimal = UNIT_QUANTUM
    dust_below: Decimal = ZERO
    time_to_clear_s: int = 900

    @property
    def identity(self) -> bool:
        """Whether the expected credit is the amount itself."""
        return not (self.fee_rate or self.fee_minimum or self.fee_fixed) and self.quantum == UNIT_QUANTUM


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One pass and its bounds.

    Args:
        window_s: how far apart in time two rows may be, both directions, inclusive.
        absolute: tolerated residual in the asset, inclusive.
        relative: tolerated residual as a ratio of the larger side, inclusive; the wider one counts.
        max_reference_share: a reference that more movements share is no reference.
    """

    name: PassName
    window_s: int = 86_400
    absolute: Decimal = ZERO
    relative: Decimal = ZERO
    max_parts: int = 6
    max_candidates: int = 32
    node_budget: int = 200_000
    max_reference_share: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """The policies in the order in which they are tried (the default last), and the passes to run."""

    policies: tuple[Policy, ...] = (Policy(),)
    rules: tuple[Rule, ...] = (Rule(name=PassName.REFERENCE),)

    def __post_init__(self) -> None:
        if not self.policies or self.policies[-1].when != When():
            raise ConfigurationError("the last policy must fit every row")
        for rule in self.rules:
            if rule.name not in BUILT_PASSES:
                raise ConfigurationError(
                    f'[[rules]] pass = "{rule.name}": this pass is not built yet in this version',
                    hint=f"use {', '.join(sorted(BUILT_PASSES))}, or leave the rule out",
                )

    @property
    def reference(self) -> Rule:
        """The rule of the reference pass; without one, its defaults still gather what is left over."""
        found = [rule for rule in self.rules if rule.name is PassName.REFERENCE]
        return found[0] if found else Rule(name=PassName.REFERENCE)
