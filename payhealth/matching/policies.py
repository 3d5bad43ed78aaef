"""Which policy each row falls under."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.matching.exact import Index, Mask
from payhealth.matching.policy import SECOND_US, Ruleset, When
from payhealth.matching.rows import Side, mask_of


def policies_of(side: Side, ruleset: Ruleset, *, entries: bool) -> Index:
    """The number of the first policy whose ``when`` fits each row.

    Args:
        entries: rows of the ledger, which a policy with a kind or connector never fits.
    """
    chosen = np.full(side.size, len(ruleset.policies) - 1, dtype=np.int64)
    for number in range(len(ruleset.policies) - 2, -1, -1):
        when = ruleset.policies[number].when
        if entries and (when.kind is not None or when.connector is not None):
            continue
        chosen[_fits(side, when)] = number
    return chosen


def times_to_clear_us(chosen: Index, ruleset: Ruleset) -> Index:
    """How long each row may wait for its counterpart, microseconds."""
    seconds = np.array([policy.time_to_clear_s for policy in ruleset.policies], dtype=np.int64)
    return seconds[chosen] * SECOND_US


def _fits(side: Side, when: When) -> Mask:
    fits = np.ones(side.size, dtype=bool)
    for name in ("connector", "kind", "asset"):
        wanted = getattr(when, name)
        if wanted is not None:
            fits &= mask_of(pc.equal(_text(side, name), wanted))
    if when.account_prefix is not None:
        fits &= mask_of(pc.starts_with(_text(side, "account"), pattern=when.account_prefix))
    if when.from_us is not None:
        fits &= side.at_us >= when.from_us
    if when.to_us is not None:
        fits &= side.at_us < when.to_us
    return fits


def _text(side: Side, name: str) -> pa.Array:
    return side.column(name).fill_null("")
