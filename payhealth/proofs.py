"""Breaks of other proofs than matching: what they say stands with the breaks, outside the statement.

They carry no legs and name no movement: nothing is missing on an account, the processor's own books are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.breaks import BreakReason
from payhealth.domain.money import MAX_SCALED, from_scaled, plain, to_scaled
from payhealth.domain.records import ProofState
from payhealth.matching.inputs import BREAKS

if TYPE_CHECKING:
    from payhealth.matching.inputs import MatchOutcome


def payout_breaks(proofs: pa.Table, *, as_of: datetime) -> pa.Table:
    """The payouts that differ from what they are made of, as breaks.

    ``amount`` is the payout's amount less what was found for it, the whole amount where nothing was; the
    asset, the time and the id are the payout's.

    Args:
        proofs: records of PayoutProof, as the store gives them.
        as_of: payouts made later are left out.

    Returns:
        Columns of ``BREAKS``, by (effective_at, break_id).
    """
    wrong = pc.and_(
        pc.equal(proofs["state"], str(ProofState.MISMATCH)),
        pc.less_equal(proofs["created_at"], pa.scalar(as_of, proofs.schema.field("created_at").type)),
    )
    rows = [_break(proof) for proof in proofs.filter(wrong).to_pylist()]
    return _ordered(pa.Table.from_pylist(rows, schema=BREAKS))


def with_breaks(outcome: MatchOutcome, more: pa.Table) -> MatchOutcome:
    """A run's outcome with breaks of other proofs beside its own, counted with them."""
    breaks = _ordered(pa.concat_tables([outcome.breaks, more]))
    tally = Counter(breaks["primary_reason"].to_pylist())
    counts = {
        **outcome.summary["counts"],
        "breaks": breaks.num_rows,
        "breaks_by_reason": dict(sorted(tally.items())),
    }
    return replace(outcome, breaks=breaks, summary={**outcome.summary, "counts": counts})


def _ordered(breaks: pa.Table) -> pa.Table:
    order = [("effective_at", "ascending"), ("break_id", "ascending")]
    return breaks.take(pc.sort_indices(breaks.select(["effective_at", "break_id"]), order))


def _break(proof: Mapping[str, Any]) -> dict[str, Any]:
    missing = _missing(proof)
    return {
        "break_id": break_id("payout", proof["connector"], proof["payout_id"]),
        "primary_reason": str(BreakReason.PAYOUT_MISMATCH),
        "reasons": [str(BreakReason.PAYOUT_MISMATCH)],
        "movement_ids": [],
        "entry_ids": [],
        "amount": missing,
        "at_risk": missing.copy_abs(),
        "asset": proof["asset"],
        "legs": [],
        "effective_at": proof["created_at"],
        "explanation": _explanation(proof, missing),
    }


def break_id(kind: str, connector: str, object_id: str) -> str:
    """The id of a break by what it is about, so that an acknowledgement survives another amount."""
    text = f"{kind}:{len(connector)}:{connector}:{object_id}"
    return f"b_{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:24]}"


def _missing(proof: Mapping[str, Any]) -> Decimal:
    """The payout less what was found for it, cut at the largest amount there can be."""
    amount, listed = to_scaled(proof["amount"]), to_scaled(proof["listed"] or Decimal(0))
    return from_scaled(max(-MAX_SCALED, min(MAX_SCALED, amount - listed)))


def _explanation(proof: Mapping[str, Any], missing: Decimal) -> str:
    asset, count = proof["asset"], proof["transactions"]
    payout = f"the payout {proof['payout_id']} is of {plain(proof['amount'])} {asset}"
    by_list = proof["method"] == "list"
    if proof["listed"] is None:
        if by_list and count:
            return f"{payout}; its list of {count} transactions holds other currencies"
        return f"{payout}; " + ("its list is empty" if by_list else "no line of the balance explains it")
    of = f"its list of {count} transactions comes" if by_list else "its own lines of the balance come"
    side = "less" if (missing > 0) == (proof["amount"] > 0) else "more"
    return f"{payout}; {of} to {plain(proof['listed'])} {asset}, {plain(missing.copy_abs())} {asset} {side}"
