"""How time is cut into windows, and what a cursor remembers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.stripe.source import StripeSource
from payhealth.connectors.stripe.windows import LONGEST_S, SHORTEST_S, Cursor, next_span_s
from payhealth.domain.errors import SourceDataError
from tests.unit.connectors.support import NOW, Kept
from tests.unit.connectors.test_stripe_client import settings

seconds = st.integers(min_value=0, max_value=4_000_000_000)


@given(st.integers(min_value=SHORTEST_S, max_value=LONGEST_S), st.integers(min_value=0, max_value=10**7))
def test_spans_stay_inside_their_bounds(span_s: int, objects: int) -> None:
    """However many objects there are, a window is neither endless nor empty of time."""
    assert SHORTEST_S <= next_span_s(span_s, objects) <= LONGEST_S


@given(seconds, seconds)
def test_a_cursor_reads_back(since_s: int, until_s: int) -> None:
    """What was written is what is read."""
    cursor = Cursor(since_s=since_s, until_s=until_s)
    assert Cursor.parse(cursor.text()) == cursor


@given(seconds, seconds)
def test_a_cursor_never_goes_back(until_s: int, upper_s: int) -> None:
    """Reading again behind it leaves it where it is."""
    assert Cursor(since_s=0, until_s=until_s).read_until(upper_s).until_s == max(until_s, upper_s)


@pytest.mark.parametrize("text", ["", "2026-01-01T00:00:00Z", "a/b", "1/2"])
def test_a_cursor_of_somebody_else_is_refused(text: str) -> None:
    """A cursor that cannot be read is an error, not a silent beginning."""
    source = StripeSource("cards", settings())
    with pytest.raises(SourceDataError, match="cursor of charges"):
        next(iter(source.pull("charges", text, NOW, Kept())))
    source.close()


def test_a_start_in_the_future_reads_nothing() -> None:
    """There is nothing to read yet, and nothing is claimed."""
    source = StripeSource("cards", settings(start="2099-01-01"))
    assert list(source.pull("charges", None, NOW, Kept())) == []
    source.close()
