"""What a commit finds new, changed, repeated or older is what a comparison row by row finds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payhealth.domain.record import Record
from payhealth.domain.records import Handle, Link, Movement
from payhealth.ports import READ_SKEW, Batch, WriteCounts
from payhealth.store import SqlStore, arrow, open_store, versioned
from payhealth.store.spec import RECORD_SPECS
from payhealth.testing import samples

START = datetime(2026, 1, 1, tzinfo=UTC)
# Few, so that keys come again; each is one that text inside SQL, JSON or CSV could break on.
TEXTS = [
    "a",
    "A",
    "",
    "'",
    '"',
    "\\",
    "[0]",
    "1",
    "é",
    "e\u0301",
    "😀",
    "\u2028",
    "\n",
    "\x1f",
    "x\0",
    "%s",
    ":x",
]
texts = st.sampled_from(TEXTS)
moments = st.sampled_from([START, START + timedelta(microseconds=1), datetime(999, 1, 1, tzinfo=UTC)])
links = st.builds(Link, connector=st.just(""), alias=texts, payment_key=texts)
handles = st.builds(
    Handle, connector=st.just(""), handle=texts, account=st.sampled_from(["a", "b"]), valid_from=moments,
    valid_to=st.none() | moments,
)  # fmt: skip
movements = st.builds(samples.movement, texts, status=st.sampled_from(["pending", "succeeded"]), handle=texts)
LATER = (timedelta(0), READ_SKEW, READ_SKEW + timedelta(microseconds=1), READ_SKEW * 3)
read_at = st.none() | st.sampled_from([START + later for later in LATER])


def _steps(
    kind: type[Record], rows: st.SearchStrategy[Record]
) -> st.SearchStrategy[tuple[type[Record], list[tuple[list[Record], datetime | None]]]]:
    pages = st.lists(st.tuples(st.lists(rows, max_size=8), read_at), min_size=1, max_size=4)
    return st.tuples(st.just(kind), pages)


steps_of_a_kind = st.one_of(_steps(Movement, movements), _steps(Link, links), _steps(Handle, handles))
numbers = itertools.count()


@pytest.fixture
def store(store_url: str) -> Iterator[SqlStore]:
    """Empty at first; every example has a connector of its own in it."""
    opened = open_store(store_url)
    yield opened
    assert opened.verify_projection() == []
    opened.close()


class _Naive:
    """One dictionary of what is current, compared a row at a time."""

    def __init__(self) -> None:
        self.current: dict[tuple[Any, ...], tuple[dict[str, Any], datetime | None]] = {}
        self.versions: list[dict[str, Any]] = []

    def commit(self, kind: type[Record], rows: list[dict[str, Any]], moment: datetime | None) -> WriteCounts:
        keys = [tuple(row[name] for name in kind.KEY) for row in rows]
        new = changed = 0
        for place, (key, row) in enumerate(zip(keys, rows, strict=True)):
            content, seen = self.current.get(key, (None, None))
            if key in keys[place + 1 :] or content == row or (moment and seen and seen > moment + READ_SKEW):
                continue
            new, changed = new + (content is None), changed + (content is not None)
            self.current[key] = (row, moment)
            self.versions.append(row | {"read_at": moment})
        return WriteCounts(new=new, changed=changed, unchanged=len(rows) - new - changed)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps_of_a_kind, st.sampled_from([3, 20_000]))
def test_commits_compare_as_row_by_row(
    store: SqlStore, told: tuple[type[Record], list[tuple[list[Record], datetime | None]]], listed: int
) -> None:
    """New, equal, changed, repeated and older rows are told apart by whole keys, in the order given."""
    connector, naive, (kind, steps) = f"c{next(numbers)}", _Naive(), told
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(versioned, "LOOKUP_ROWS", listed)
        for page, moment in steps:
            rows = _of(connector, arrow.content_table(RECORD_SPECS[kind], page))
            batch = Batch(stream="s", records={kind: rows}, read_at=moment)
            assert store.commit(connector, batch) == naive.commit(kind, rows.to_pylist(), moment)
    names = [*(column.name for column in RECORD_SPECS[kind].columns), "read_at"]
    kept = store.changes(kind, after=0).to_pylist()
    mine = [{name: row[name] for name in names} for row in kept if row["connector"] == connector]
    assert mine == naive.versions


def _of(connector: str, rows: pa.Table) -> pa.Table:
    return rows.set_column(0, "connector", pa.array([connector] * len(rows), pa.string()))


@given(st.lists(st.none() | st.text("ab\0\x1f")), st.data())
def test_a_sign_is_found_in_slices_alone(values: list[str | None], data: st.DataObject) -> None:
    """A sign counts where it stands in the slice itself, not in what is before or after it."""
    start = data.draw(st.integers(0, len(values)))
    count = data.draw(st.integers(0, len(values) - start))
    part = pa.array(values, pa.string()).slice(start, count)
    for sign in "\0\x1f":
        assert arrow._holds(part, sign) == any(sign in value for value in part.to_pylist() if value)


def test_every_key_has_a_form_in_json() -> None:
    """Keys are looked up by way of JSON: text and numbers go as they are, moments as text, nothing else."""
    kinds = {spec.column(name).kind.value for spec in RECORD_SPECS.values() for name in spec.key}
    assert kinds <= {"text", "integer", "moment"}
