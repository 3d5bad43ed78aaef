"""How coverage windows are merged."""

from __future__ import annotations

from payhealth.store.windows import merged
from payhealth.testing.samples import window


def test_touching_windows_are_one() -> None:
    """Windows that touch become one, with both providers and the sum of their objects."""
    found = merged([window(10, 20, objects=3), window(0, 10, provider="other", objects=2)])
    assert found == [window(0, 20, provider="api.stripe.com, other", objects=5)]


def test_a_gap_stays() -> None:
    """Windows with a hole between them stay apart."""
    assert merged([window(11, 20), window(0, 10)]) == [window(0, 10), window(11, 20)]


def test_reading_again_adds_no_objects() -> None:
    """A stretch that is read again counts once."""
    assert merged([window(0, 10, objects=5), window(0, 10, objects=5), window(2, 4, objects=1)]) == [
        window(0, 10, objects=5)
    ]


def test_a_proof_is_not_lent() -> None:
    """Proved and unproved neighbours stay apart; an unproved stretch inside a proved one is dropped."""
    proved = window(0, 10, unproved=False)
    assert merged([proved, window(10, 20)]) == [proved, window(10, 20)]
    assert merged([window(2, 4), proved]) == [proved]


def test_empty_windows_are_nothing() -> None:
    """A window of no length is no coverage."""
    assert merged([window(5, 5)]) == []
