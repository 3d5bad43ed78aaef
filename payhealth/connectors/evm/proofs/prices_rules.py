"""What a feed's round makes of a price: exact, fresh, and 1 inside the band of a peg; pure."""

from __future__ import annotations

from decimal import Decimal

from payhealth.connectors.evm.proofs.prices_feed import FeedRef, Peg, Round
from payhealth.domain.errors import AmountError
from payhealth.domain.money import UNIT, from_units, plain, to_scaled

Judged = tuple[Decimal | None, str | None]
"""The price, and why there is none or what is odd about it."""


def judge(found: Round, at_s: int, feed: FeedRef, decimals: int, peg: Peg | None) -> Judged:
    """The price that a round gives to a block.

    A round that does not hold up gives no price, never an older or a rounded one.

    Args:
        at_s: the block's time, seconds since 1970.
        decimals: of the feed's answers.
        peg: what the asset follows; inside its band the price is exactly 1, outside it the feed's own.
    """
    problem = _problem(found, at_s, feed)
    if problem is not None:
        return None, problem
    try:
        price = from_units(found.answer, decimals)
    except AmountError as error:
        return None, f"not exact: {error}"
    return (price, None) if peg is None else _pegged(price, peg)


def _problem(found: Round, at_s: int, feed: FeedRef) -> str | None:
    if not found.id or not found.updated_s:
        return "incomplete round: it was never finished"
    if found.answered_in < found.id:
        return f"incomplete round: round {found.id} repeats the answer of round {found.answered_in}"
    if found.updated_s > at_s:
        return f"later than the block: the round is {found.updated_s - at_s} s younger"
    if found.answer <= 0:
        return f"no positive answer: the feed says {found.answer}"
    age_s = at_s - found.updated_s
    if age_s > feed.heartbeat_s:
        return f"stale: {age_s} s old, heartbeat {feed.heartbeat_s} s"
    return None


def _pegged(price: Decimal, peg: Peg) -> Judged:
    band = to_scaled(peg.band)
    if abs(to_scaled(price) - UNIT) <= band:
        return Decimal(1), None
    return price, f"outside the peg band: {plain(price)} {peg.quote}, not within {plain(peg.band)} of 1"
