"""What may become of a card purchase, and how often it does."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Story(StrEnum):
    """How a card purchase goes on after its charge was approved."""

    PLAIN = "plain"
    ABANDONED = "abandoned"
    """Every attempt was declined and the customer gave up."""
    CAPTURED_LATER = "captured_later"
    CAPTURED_IN_PART = "captured_in_part"
    NEVER_CAPTURED = "never_captured"
    REFUNDED = "refunded"
    REFUNDED_IN_PART = "refunded_in_part"
    REFUNDED_IN_PARTS = "refunded_in_parts"
    REFUND_PENDING = "refund_pending"
    """Pending for days, then succeeded."""
    REFUND_STILL_PENDING = "refund_still_pending"
    REFUND_REJECTED = "refund_rejected"
    """Pending, then failed: the money never left, the credit stays."""
    REFUND_BOUNCED = "refund_bounced"
    """Succeeded, and failed days later: clawed back, then credited again."""
    DISPUTE_LOST = "dispute_lost"
    DISPUTE_WON = "dispute_won"
    DISPUTE_OPEN = "dispute_open"
    INQUIRY_CLOSED = "inquiry_closed"
    INQUIRY_OPEN = "inquiry_open"
    WARNED = "warned"
    WARNED_AND_REFUNDED = "warned_and_refunded"


TAKES_TIME: Final = frozenset(Story) - {Story.PLAIN, Story.ABANDONED, Story.NEVER_CAPTURED}
"""Stories that need some of the history still to come."""

PER_THOUSAND: Final[Mapping[Story, int]] = {
    Story.CAPTURED_LATER: 12,
    Story.CAPTURED_IN_PART: 6,
    Story.NEVER_CAPTURED: 8,
    Story.REFUNDED: 24,
    Story.REFUNDED_IN_PART: 18,
    Story.REFUNDED_IN_PARTS: 10,
    Story.REFUND_PENDING: 8,
    Story.REFUND_STILL_PENDING: 4,
    Story.REFUND_REJECTED: 6,
    Story.REFUND_BOUNCED: 6,
    Story.DISPUTE_LOST: 5,
    Story.DISPUTE_WON: 5,
    Story.DISPUTE_OPEN: 4,
    Story.INQUIRY_CLOSED: 4,
    Story.INQUIRY_OPEN: 3,
    Story.WARNED: 5,
    Story.WARNED_AND_REFUNDED: 4,
}
"""How many of a thousand purchases take each story; every story happens at least once."""
