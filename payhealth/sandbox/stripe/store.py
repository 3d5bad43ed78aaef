"""Objects of one kind, newest first, kept as JSON bytes.

The bytes are what the server sends: an object is serialised once, when it changes, and a page of a
list is put together from the bytes. What leaves the store as a dict is a copy nobody else holds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from payhealth.sandbox.interfaces import StripeObject


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a list request asks for.

    ``created_from_s`` and ``created_to_s`` are inclusive unix seconds; ``wanted`` gives for each field
    the values that fit (any of them), ``between`` for each other field with a time its inclusive bounds
    in unix seconds; at most one of the two cursors is set.
    """

    limit: int = 10
    created_from_s: int | None = None
    created_to_s: int | None = None
    wanted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    between: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict)
    starting_after: str | None = None
    ending_before: str | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of a list: the objects' bytes, newest first, and whether there are more that way."""

    rows: list[bytes]
    has_more: bool


Body = bytes | tuple[bytes, ...]
"""An object's JSON, whole or in parts: an event shares the bytes of the object that it shows."""


@dataclass(slots=True)
class _Row:
    id: str
    body: Body
    tags: dict[str, str]


def _json(value: StripeObject) -> bytes:
    # A copy of the right size: the bytes that orjson returns keep its whole buffer, 10 KB and more.
    return bytes(memoryview(orjson.dumps(value)))


def _whole(body: Body) -> bytes:
    return body if isinstance(body, bytes) else b"".join(body)


class Collection:
    """Objects of one kind in the order they were made; ``created`` never goes back.

    Args:
        filters: the fields that lists can filter on. Their values are read when an object is added.
        ranges: the fields with a time, besides ``created``, that lists can filter on by bounds.
    """

    def __init__(self, filters: Iterable[str] = (), ranges: Iterable[str] = ()) -> None:
        self.filters = frozenset(filters)
        self.ranges = frozenset(ranges)
        self._rows: list[_Row] = []
        self._created: list[int] = []
        self._positions: dict[str, int] = {}
        self._index: dict[tuple[str, str], list[int]] = {}
        self._lost: set[int] = set()
        self._late: dict[int, int] = {}
        self._deleted: set[int] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._positions

    def add(self, value: StripeObject, *, body: Body | None = None) -> None:
        """Append a new object.

        Args:
            value: what the id, the time and the filters are read from.
            body: its JSON, where the caller has it already.

        Raises:
            ValueError: it is older than the last one.
        """
        created = int(value["created"])
        if self._created and created < self._created[-1]:
            msg = f"moments never go back: {value['id']} is older than the last of its kind"
            raise ValueError(msg)
        position = len(self._rows)
        tags = {name: value[name] for name in self.filters if isinstance(value.get(name), str)}
        self._created.append(created)
        self._positions[value["id"]] = position
        for tag in tags.items():
            self._index.setdefault(tag, []).append(position)
        if self.ranges:
            tags |= self._times(value)
        self._rows.append(_Row(value["id"], body if body is not None else _json(value), tags))

    def _times(self, value: StripeObject) -> dict[str, str]:
        # They are compared, never looked up, so they are kept beside the tags but not in the index.
        return {name: str(value[name]) for name in self.ranges if isinstance(value.get(name), int)}

    def replace(self, value: StripeObject) -> None:
        """Write a changed object over the one with its id; its place in lists stays."""
        row = self._rows[self._positions[value["id"]]]
        row.body = _json(value)
        if self.ranges:
            row.tags = row.tags | self._times(value)
        for name in self.filters:
            new = value.get(name)
            if isinstance(new, str) and row.tags.get(name) != new:
                self.tag(value["id"], name, new)

    def tag(self, object_id: str, name: str, tag: str) -> None:
        """Let a list find an object under ``name = tag``, whether or not the object has that field."""
        position = self._positions[object_id]
        row = self._rows[position]
        old = row.tags.get(name)
        if old is not None:
            self._index[name, old].remove(position)
        row.tags = {**row.tags, name: tag}
        places = self._index.setdefault((name, tag), [])
        places.insert(bisect_left(places, position), position)

    def body(self, object_id: str) -> bytes | None:
        """An object's JSON, None when there is no such id."""
        position = self._positions.get(object_id)
        return None if position is None else _whole(self._rows[position].body)

    def lose(self, object_id: str) -> None:
        """Leave an object out of lists and refuse it by id, as if its write had been lost."""
        self._lost.add(self._positions[object_id])

    def find_again(self, object_id: str) -> None:
        """Show a lost, late or deleted object as if nothing had been."""
        position = self._positions[object_id]
        self._lost.discard(position)
        self._deleted.discard(position)
        self._late.pop(position, None)

    def hold_back(self, object_id: str, until_s: int) -> None:
        """Leave an object out of lists before a moment (unix seconds); by id it can be read at once."""
        self._late[self._positions[object_id]] = until_s

    def delete(self, object_id: str) -> None:
        """Take an object away from readers, as a cursor too."""
        self.lose(object_id)
        self._deleted.add(self._positions[object_id])

    def shown(self, object_id: str) -> bytes | None:
        """An object's JSON as a reader gets it by id: None where it is lost or deleted."""
        position = self._positions.get(object_id)
        if position is None or position in self._lost:
            return None
        return _whole(self._rows[position].body)

    def is_cursor(self, object_id: str) -> bool:
        """Whether a list can be read on from an object: a deleted one has no place any more."""
        position = self._positions.get(object_id)
        return position is not None and position not in self._deleted

    def get(self, object_id: str) -> StripeObject:
        """A copy of an object as a dict.

        Raises:
            KeyError: there is no such id.
        """
        value: dict[str, Any] = orjson.loads(_whole(self._rows[self._positions[object_id]].body))
        return value

    def since(self, object_id: str | None) -> list[StripeObject]:
        """Copies of the objects made after one of them (None: all), oldest first."""
        start = 0 if object_id is None else self._positions[object_id] + 1
        return [orjson.loads(_whole(row.body)) for row in self._rows[start:]]

    def made_in(self, start_s: int, end_s: int) -> Iterator[StripeObject]:
        """Copies of the objects made in [start, end) of unix seconds, oldest first."""
        for row in self._rows[bisect_left(self._created, start_s) : bisect_left(self._created, end_s)]:
            yield orjson.loads(_whole(row.body))

    def tag_of(self, object_id: str, name: str) -> str | None:
        """What a list finds an object under, for one of the filters."""
        return self._rows[self._positions[object_id]].tags.get(name)

    def found(self, name: str, tag: str) -> list[str]:
        """The ids of the objects under ``name = tag``, oldest first."""
        return [self._rows[position].id for position in self._index.get((name, tag), ())]

    def page(self, query: Query, *, now_s: int) -> Page:
        """One page, newest first, with the cursors and filters applied.

        Args:
            query: what is asked for.
            now_s: the reader's moment (unix seconds): objects held back beyond it are left out.

        Raises:
            KeyError: a cursor names an object that is not here; the error holds its id.
        """
        low, high = self._bounds(query)
        # ``ending_before`` asks for the newer neighbours of the cursor, so that page is cut from the
        # old end of the range and then shown newest first like every other.
        upwards = query.ending_before is not None
        absent = self._lost | {place for place, until_s in self._late.items() if until_s > now_s}
        found = self._select(query, low, high, take=query.limit + 1 + len(absent), upwards=upwards)
        found = [position for position in found if position not in absent]
        has_more = len(found) > query.limit
        found = found[: query.limit]
        if upwards:
            found.reverse()
        return Page(rows=[_whole(self._rows[position].body) for position in found], has_more=has_more)

    def _bounds(self, query: Query) -> tuple[int, int]:
        low, high = 0, len(self._rows)
        if query.created_from_s is not None:
            low = bisect_left(self._created, query.created_from_s)
        if query.created_to_s is not None:
            high = bisect_right(self._created, query.created_to_s)
        if query.starting_after is not None:
            high = min(high, self._positions[query.starting_after])
        if query.ending_before is not None:
            low = max(low, self._positions[query.ending_before] + 1)
        return low, high

    def _select(self, query: Query, low: int, high: int, *, take: int, upwards: bool) -> list[int]:
        """Up to ``take`` positions inside [low, high) that fit, in the direction of travel."""
        if not query.wanted:
            places = range(low, high)
            return self._fitting(places, [], query, take, upwards=upwards)
        first, *others = query.wanted
        found: list[int] = []
        for value in query.wanted[first]:
            places_of_value = self._index.get((first, value), [])
            start, stop = bisect_left(places_of_value, low), bisect_left(places_of_value, high)
            if not others and not query.between:
                # Only the end that is shown is copied: a filter may fit nearly everything.
                start, stop = (start, min(stop, start + take)) if upwards else (max(start, stop - take), stop)
            found += self._fitting(places_of_value[start:stop], others, query, take, upwards=upwards)
        found.sort(reverse=not upwards)
        return found[:take]

    def _fitting(
        self, places: Sequence[int], others: list[str], query: Query, take: int, *, upwards: bool
    ) -> list[int]:
        if not others and not query.between:
            return list(places[:take] if upwards else places[::-1][:take])
        fits: list[int] = []
        for position in places if upwards else reversed(places):
            tags = self._rows[position].tags
            if all(tags.get(name) in query.wanted[name] for name in others) and self._inside(tags, query):
                fits.append(position)
                if len(fits) == take:
                    break
        return fits

    @staticmethod
    def _inside(tags: Mapping[str, str], query: Query) -> bool:
        for name, (low_s, high_s) in query.between.items():
            if name not in tags:
                return False
            value_s = int(tags[name])
            if (low_s is not None and value_s < low_s) or (high_s is not None and value_s > high_s):
                return False
        return True
