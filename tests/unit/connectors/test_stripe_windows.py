"""How time is cut into windows, and what a cursor remembers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.stripe.source import StripeSource
from payhealth.connectors.stripe.windows import LONGEST_S, SHORTEST_S, Cursor, Cutter, next_span_s
from payhealth.domain.errors import SourceDataError
from payhealth.testing.memory import MemoryStore
from tests.unit.connectors.support import NOW
from tests.unit.connectors.test_stripe_client import settings

seconds = st.integers(min_value=0, max_value=4_000_000_000)
cursors = st.builds(
    Cursor,
    since_s=seconds,
    until_s=seconds,
    began_s=seconds,
    again_s=st.none() | st.tuples(seconds, seconds),
    again_at_s=seconds,
)


@given(st.integers(min_value=SHORTEST_S, max_value=LONGEST_S), st.integers(min_value=0, max_value=10**7))
def test_spans_stay_inside_their_bounds(span_s: int, objects: int) -> None:
    """However many objects there are, a window is neither endless nor empty of time."""
    assert SHORTEST_S <= next_span_s(span_s, objects) <= LONGEST_S


@given(
    st.integers(min_value=0, max_value=10**9),
    st.integers(min_value=1, max_value=400 * 86_400),
    st.data(),
)
def test_windows_leave_nothing_out(lower_s: int, length_s: int, data: st.DataObject) -> None:
    """However full windows turn out to be, and in whatever order, they stand end to end up to the end."""
    cutter = Cutter(lower_s, lower_s + length_s)
    under_way: list[tuple[int, int]] = []
    position_s, count = lower_s, 0
    while True:
        window = cutter.cut() if len(under_way) < 4 else None
        if window is not None:
            assert window[0] == position_s < window[1]
            position_s = window[1]
            under_way.append(window)
            continue
        if not under_way:
            break
        window = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
        count += 1
        cutter.held(
            window[1] - window[0], 0 if count > 50 else data.draw(st.sampled_from([0, 1_000, 100_000]))
        )
    assert position_s == lower_s + length_s


def test_an_empty_history_costs_few_windows() -> None:
    """Ten years without anything are read in some windows one after the other, then in the longest ones."""
    cutter = Cutter(0, 10 * 365 * 86_400)
    windows = 0
    while (window := cutter.cut()) is not None:
        windows += 1
        cutter.held(window[1] - window[0], 0)
    assert windows < 70


@given(cursors)
def test_a_cursor_reads_back(cursor: Cursor) -> None:
    """What was written is what is read."""
    assert Cursor.parse(cursor.text()) == cursor


def test_a_cursor_of_the_first_version_reads() -> None:
    """Stores of the first version go on where they were."""
    known = Cursor.parse("2026-01-01T00:00:00Z/2026-02-01T00:00:00Z")
    assert (known.since_s, known.until_s, known.again_s) == (1_767_225_600, 1_769_904_000, None)


@given(cursors, seconds)
def test_a_cursor_never_goes_back(cursor: Cursor, upper_s: int) -> None:
    """Reading again behind it leaves it where it is."""
    assert cursor.read_until(upper_s).until_s == max(cursor.until_s, upper_s)


@given(cursors, seconds)
def test_what_is_to_be_read_again_shrinks_to_nothing(cursor: Cursor, upper_s: int) -> None:
    """The stretch begins where reading it again has come to, and is gone at its end."""
    left = cursor.read_again_until(upper_s).again_s
    if cursor.again_s is None or upper_s >= cursor.again_s[1]:
        assert left is None
    else:
        assert left == (upper_s, cursor.again_s[1])


@pytest.mark.parametrize("text", ["", "2026-01-01T00:00:00Z", "a/b", "1/2", "{", '{"since":1}', "[]"])
@pytest.mark.parametrize("stream", ["charges", "events", "balance", "bookings"])
def test_a_cursor_of_somebody_else_is_refused(stream: str, text: str) -> None:
    """A cursor that cannot be read is an error, not a silent beginning."""
    source = StripeSource("cards", settings())
    with pytest.raises(SourceDataError, match=f"cursor of {stream}"):
        next(iter(source.pull(stream, text, NOW, MemoryStore())))
    source.close()


def test_a_start_in_the_future_reads_nothing() -> None:
    """There is nothing to read yet, and nothing is claimed."""
    source = StripeSource("cards", settings(start="2099-01-01"))
    assert list(source.pull("charges", None, NOW, MemoryStore())) == []
    source.close()
