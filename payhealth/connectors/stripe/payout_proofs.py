"""The stream of payout proofs: which payouts are to be proved at this pull, and the lists that prove them.

A payout is asked for again when it changed, and as long as its proof waits; one that differs once a day,
because its list costs as many requests as it has pages. What one pull may spend on lists is bounded: the
payouts that it did not come to wait for the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from payhealth.connectors.stripe.client import Page
from payhealth.connectors.stripe.fields import UnfitError
from payhealth.connectors.stripe.parallel import as_they_come
from payhealth.connectors.stripe.payouts import Composition, ListedLines, Row, line_ids, needs_list, prove
from payhealth.connectors.stripe.reading import Reading, seconds
from payhealth.connectors.stripe.windows import Cursor
from payhealth.domain.coverage import CoverageWindow
from payhealth.domain.errors import SourceDataError, SourceError
from payhealth.domain.records import BalanceTransaction, Payout, PayoutProof, ProofState
from payhealth.ports import Batch, StoreReader

STREAM = "payout_proofs"
LINES = "balance_transactions"
PAGES_A_PULL = 2_000
"""At 25 requests a second some 80 seconds; lists that were begun are read to their end."""

_PAYOUTS_A_BATCH = 100
_LISTED = ("payouts", LINES)
_OPEN = """
select payout_id, state from v_payout_proofs
where connector = :connector and state in ('waiting', 'mismatch')
"""


def pull(
    reading: Reading,
    cursor: str | None,
    now: datetime,
    reader: StoreReader,
    *,
    known: Mapping[str, Composition] | None = None,
) -> Iterator[Batch]:
    """Prove what changed since the last pull and what is still open.

    Args:
        known: payout id -> what it is made of, where a report told already; not listed then.

    Raises:
        SourceError: a list could not be read; the proofs before it stay.
    """
    position = _Position.parse(cursor, reading)
    open_now = {row["payout_id"]: row["state"] for row in reader.rows(_OPEN, {"connector": reading.name})}
    due = position.is_due(reading, seconds(now))
    asked = {payout_id for payout_id, state in open_now.items() if due or state != ProofState.MISMATCH}
    changed_ids, seen_seq = _changed(reading, position.seen_seq, reader)
    payouts = _payouts(reading, asked | changed_ids, reader)
    work = _Work(reading, payouts, dict(known or {}), now, reader)
    for records, lines, requests in work.proofs():
        yield Batch(
            stream=STREAM,
            records={PayoutProof: records} if records else {},
            cursor=cursor,
            objects_read=lines,
            requests=requests,
        )
    left = [payout for payout in work.left if open_now.get(payout["payout_id"]) != ProofState.MISMATCH]
    records = work.proved(left)
    yield Batch(
        stream=STREAM,
        records={PayoutProof: records} if records else {},
        windows=_covered(reading, reader, now),
        cursor=_Position(seen_seq=seen_seq, again_at_s=seconds(now) if due else position.again_at_s).text(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Position:
    """Up to which change payouts were looked at, and when those that differ were last asked for again."""

    seen_seq: int
    again_at_s: int

    @classmethod
    def parse(cls, text: str | None, reading: Reading) -> _Position:
        if text is None:
            return cls(seen_seq=0, again_at_s=0)
        try:
            found = orjson.loads(text)
            return cls(seen_seq=int(found["seen_seq"]), again_at_s=int(found["again_at_s"]))
        except (ValueError, KeyError, TypeError) as error:
            raise SourceDataError(f"{reading.name}: the cursor of {STREAM} is not one of Stripe's") from error

    def text(self) -> str:
        return orjson.dumps({"seen_seq": self.seen_seq, "again_at_s": self.again_at_s}).decode()

    def is_due(self, reading: Reading, now_s: int) -> bool:
        return now_s - self.again_at_s >= reading.settings.repull_every_s


def _changed(reading: Reading, after: int, reader: StoreReader) -> tuple[set[str], int]:
    """The connector's payouts that changed, and the number of the newest change of any."""
    table = reader.changes(Payout, after=after)
    names, ids, numbers = (table[name].to_pylist() for name in ("connector", "payout_id", "change_seq"))
    changed = {found for name, found in zip(names, ids, strict=True) if name == reading.name}
    return changed, max(numbers, default=after)


def _payouts(reading: Reading, payout_ids: set[str], reader: StoreReader) -> list[Row]:
    """Payouts as they are now, the newest first."""
    rows: list[Row] = reader.lookup(Payout, reading.name, "payout_id", payout_ids).to_pylist()
    return sorted(rows, key=lambda row: (row["created_at"], row["payout_id"]), reverse=True)


@dataclass(slots=True)
class _Work:
    """The payouts of one pull.

    Args:
        known: payout id -> what its list comes to, as far as it was read.
    """

    reading: Reading
    payouts: Sequence[Row]
    known: dict[str, Composition]
    now: datetime
    reader: StoreReader
    pages: int = 0
    done: set[str] = field(default_factory=set)

    @property
    def left(self) -> list[Row]:
        """The payouts that this pull did not come to."""
        return [payout for payout in self.payouts if payout["payout_id"] not in self.done]

    def proofs(self) -> Iterator[tuple[list[PayoutProof], int, int]]:
        """Proofs with the lines and requests that they took: first what needs no list, then by lists."""
        at_once = [
            payout for payout in self.payouts if not needs_list(payout) or payout["payout_id"] in self.known
        ]
        if at_once:
            yield self.proved(at_once), 0, 0
        made: list[Row] = []
        lines = requests = 0
        try:
            for payout, page_lines, page_requests in self._listed():
                lines, requests = lines + page_lines, requests + page_requests
                if payout is not None:
                    made.append(payout)
                if len(made) >= _PAYOUTS_A_BATCH:
                    yield self.proved(made), lines, requests
                    made, lines, requests = [], 0, 0
        except SourceError:
            # What was listed before the failure is proved by it all the same.
            yield self.proved(made), lines, requests
            raise
        if made or requests:
            yield self.proved(made), lines, requests

    def proved(self, payouts: Sequence[Row]) -> list[PayoutProof]:
        """The proofs of some payouts by what is known now."""
        ids = line_ids(payouts)
        table = self.reader.lookup(BalanceTransaction, self.reading.name, "balance_transaction_id", ids)
        lines = {row["balance_transaction_id"]: row for row in table.to_pylist()}
        self.done.update(payout["payout_id"] for payout in payouts)
        return prove(payouts, lines=lines, listed=self.known, now=self.now)

    def _jobs(self) -> Iterator[Row]:
        for payout in self.payouts:
            if not needs_list(payout) or payout["payout_id"] in self.known:
                continue
            if self.pages >= PAGES_A_PULL:
                return
            yield payout

    def _listed(self) -> Iterator[tuple[Row | None, int, int]]:
        """Read lists: (the payout once its list is read to the end, lines, requests)."""
        sums: dict[str, ListedLines | None] = {}
        workers = self.reading.settings.parallel_windows
        jobs = self._jobs()
        for payout, page in as_they_come(lambda: next(jobs, None), self._pages, workers=workers):
            payout_id = payout["payout_id"]
            if page is None:
                self._keep(payout_id, sums.pop(payout_id, ListedLines(payout)))
                yield payout, 0, 0
                continue
            self.pages += 1
            sums[payout_id] = _added(sums.get(payout_id, ListedLines(payout)), page)
            yield None, len(page.objects), page.requests

    def _keep(self, payout_id: str, lines: ListedLines | None) -> None:
        """A list with a line that cannot be understood proves nothing: its payout waits."""
        if lines is None:
            return
        try:
            self.known[payout_id] = lines.composition()
        except UnfitError:
            return

    def _pages(self, payout: Row) -> Iterator[Page]:
        return self.reading.client.listed(LINES, {"payout": payout["payout_id"]})


def _added(lines: ListedLines | None, page: Page) -> ListedLines | None:
    if lines is None:
        return None
    try:
        lines.add(page.objects)
    except UnfitError:
        return None
    return lines


def _covered(reading: Reading, reader: StoreReader, now: datetime) -> tuple[CoverageWindow, ...]:
    """Every payout that was listed so far has its proof, if only one that waits."""
    texts = [reader.cursor(reading.name, stream) for stream in _LISTED]
    read = [Cursor.parse(text) for text in texts if text]
    if len(read) < len(_LISTED):
        return ()
    lower_s = max(reading.start_s, *(each.since_s for each in read))
    upper_s = min(each.until_s for each in read)
    if upper_s <= lower_s:
        return ()
    return (reading.covered(STREAM, lower_s, upper_s, now, unproved=False),)
