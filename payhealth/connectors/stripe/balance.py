"""The balance identity: between two moments the balance moves by what was listed, to the last cent.

Balance and list are no snapshot: lines booked around the moment of the reading may be in the one and not yet
in the other. So every cut inside a margin around the moment is tried, in the list's own order. The natural
one ends within seconds of the moment; what adds up there is proved, and the next proof begins there. What
adds up at another cut alone is believed for two pulls: a lag ends, while a missing line shifts every cut
alike. What adds up nowhere is tried again, and is a mismatch after three pulls and a quarter of an hour.

The first reading is held against an empty balance at ``start``, which is right for an account that began
after it. Where that does not add up the account is taken for an older one, and the second reading is held
against the first: of a young account whose first lines are missing this identity says nothing.

Source: https://docs.stripe.com/api/balance/balance_object
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from payhealth.connectors.stripe.balance_state import (
    ATTEMPTS_MAX,
    NEAR_S,
    Anchor,
    AssetState,
    Line,
    States,
    nearest_cut,
)
from payhealth.connectors.stripe.client import Page
from payhealth.connectors.stripe.currencies import decimals_of, to_major
from payhealth.connectors.stripe.reading import BATCH_OBJECTS, Reading, earliest, moment_of, seconds
from payhealth.connectors.stripe.streams import STREAMS
from payhealth.domain.errors import AmountError, SourceDataError
from payhealth.domain.money import from_scaled, parse_amount, to_scaled
from payhealth.domain.record import Record
from payhealth.domain.records import BalanceProof, BalanceTransaction, ProofState
from payhealth.ports import Batch, StoreReader

STREAM = "balance"
LINES = "balance_transactions"
_LOOKED_INTO_EVERY = 100
"""A mismatch that stays is looked into again at every so many pulls: reading much for nothing is no help."""

_NET = """
select ph_sum(net_key) as net from v_balance_transactions
where connector = :connector and asset = :asset and created_at >= :lower and created_at < :upper
"""


_CODE = re.compile(r"[A-Z0-9]{1,16}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The balance at a moment, and the lines around it, oldest first.

    Args:
        from_s: from when on the lines were listed, in unix seconds.
        amounts: by asset, in units of 1e-18.
        unread: assets that there is something of, in a unit that nobody documents.
    """

    at_s: int
    from_s: int
    amounts: Mapping[str, int]
    unread: Sequence[str]
    lines: Sequence[Line]


def pull(reading: Reading, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
    """Read the balance and the lines around it, and hold it against what is recorded since the last proof.

    Raises:
        SourceError: the balance or its lines could not be read.
    """
    try:
        states = States.parse(cursor)
    except (ValueError, KeyError, TypeError) as error:
        raise SourceDataError(f"{reading.name}: the cursor of {STREAM} is not one of Stripe's") from error
    answer = reading.client.single("balance")
    amounts, unread = _amounts(answer.body, reading.name)
    at_s, margin_s = seconds(answer.read_at or now), reading.settings.balance_margin_s
    from_s, upper_s = max(at_s - margin_s, reading.start_s), at_s + margin_s + 1
    lines: dict[str, Line] = {}
    yield from _listed(reading, from_s, upper_s, cursor, lines)
    found = _Found(at_s=at_s, from_s=from_s, amounts=amounts, unread=unread, lines=_oldest_first(lines))
    judged = _judged(reading, states, found, reader)
    open_since = [
        state.anchor.from_s for asset, state in judged.items() if _is_looked_into(states, asset, state, at_s)
    ]
    if open_since:
        # A line may have come into the list later than its time says: read all that is in question again.
        yield from _listed(reading, min(open_since), upper_s, cursor, None)
        judged = _judged(reading, states, found, reader)
    yield _told(reading, states, judged, found, now, requests=answer.requests)


def _is_looked_into(before: States, asset: str, state: AssetState, at_s: int) -> bool:
    pulls = state.attempts + state.shifted
    known = before.by_asset.get(asset)
    told = known is not None and known.verdict(before.at_s or at_s) is ProofState.MISMATCH
    return pulls > 0 and (not told or pulls % _LOOKED_INTO_EVERY == 0)


def _listed(
    reading: Reading, lower_s: int, upper_s: int, cursor: str | None, lines: dict[str, Line] | None
) -> Iterator[Batch]:
    """List a stretch of the books once more and record it; ``lines`` gets what it held, newest first."""
    waiting: list[Page] = []
    for page in reading.client.pages(
        LINES,
        created_from_s=max(lower_s, reading.start_s),
        created_to_s=upper_s,
        expand=STREAMS[LINES].expand,
    ):
        waiting.append(page)
        if not page.has_more or sum(len(each.objects) for each in waiting) >= BATCH_OBJECTS:
            yield _recorded(reading, waiting, cursor, lines)
            waiting = []


def _recorded(
    reading: Reading, pages: Sequence[Page], cursor: str | None, lines: dict[str, Line] | None
) -> Batch:
    objects = list({_id(found): found for page in pages for found in page.objects}.values())
    records = reading.translated(STREAMS[LINES], objects) if objects else {}
    if lines is not None:
        lines.update(_lines_of(records))
    return Batch(
        stream=STREAM,
        records=records,
        cursor=cursor,
        objects_read=len(objects),
        requests=sum(page.requests for page in pages),
        read_at=earliest(page.read_at for page in pages),
    )


def _id(found: Any) -> Any:
    return found.get("id") if isinstance(found, dict) else id(found)


def _lines_of(records: Mapping[type[Record], Any]) -> dict[str, Line]:
    """The lines of a list by their ids, in its order."""
    if BalanceTransaction not in records:
        return {}
    table = records[BalanceTransaction].select(["balance_transaction_id", "asset", "net", "created_at"])
    return {
        row["balance_transaction_id"]: Line(
            line_id=row["balance_transaction_id"],
            asset=row["asset"],
            net=to_scaled(row["net"]),
            created_s=seconds(row["created_at"]),
        )
        for row in table.to_pylist()
    }


def _oldest_first(lines: dict[str, Line]) -> list[Line]:
    """By time; inside a second the list's own order is the only one there is, and it is newest first."""
    found = list(reversed(lines.values()))
    return sorted(found, key=lambda line: line.created_s)


def _amounts(body: Any, name: str) -> tuple[dict[str, int], list[str]]:
    """Available and pending together by asset, in units of 1e-18, and the assets whose unit is not known."""
    try:
        minor = _minor_units(body)
        known = {asset: decimals_of(asset) for asset in minor}
        amounts = {
            asset: to_scaled(to_major(minor[asset], decimals))
            for asset, decimals in known.items()
            if decimals is not None
        }
    except (KeyError, TypeError, AttributeError, AmountError) as error:
        raise SourceDataError(
            f"{name}: the answer to balance is no balance of Stripe's", hint="check api_base"
        ) from error
    # Nothing is nothing in any unit; anything else of such an asset must not be guessed.
    return amounts, [asset for asset, decimals in known.items() if decimals is None and minor[asset]]


def _minor_units(body: Any) -> dict[str, int]:
    """Available and pending together by asset, in its smallest unit."""
    amounts: dict[str, int] = {}
    for part in (*body["available"], *body["pending"]):
        asset, amount_minor = part["currency"].upper(), part["amount"]
        if not _CODE.fullmatch(asset) or type(amount_minor) is not int:
            raise TypeError("no amount of a currency")
        amounts[asset] = amounts.get(asset, 0) + amount_minor
    return amounts


def _judged(reading: Reading, states: States, found: _Found, reader: StoreReader) -> dict[str, AssetState]:
    listed = {line.asset for line in found.lines}
    assets = sorted({*found.amounts, *listed, *states.by_asset} - {*found.unread})
    return {asset: _judge(reading, states, asset, found, reader) for asset in assets}


def _judge(reading: Reading, states: States, asset: str, found: _Found, reader: StoreReader) -> AssetState:
    """The state of one asset's proof after this reading."""
    known = states.known(asset, reading.start_s)
    anchor, balance = known.anchor, found.amounts.get(asset, 0)
    # With a margin that was made longer, lines from before the anchor would be counted a second time.
    from_s = max(found.from_s, anchor.from_s)
    lines = [line for line in found.lines if line.asset == asset and line.created_s >= from_s]
    # Lines from the anchor's margin up to this one's are in the balance by now, for sure.
    moved = balance - anchor.balance - _net(reading, asset, anchor.from_s, from_s, reader)
    counted = anchor.counted(lambda ids: _nets(reading, ids, reader))
    cut = nearest_cut(lines, {moved + before for before in counted}, found.at_s)
    here = Anchor(
        balance=balance,
        from_s=from_s,
        at_s=found.at_s,
        lines=tuple(line.line_id for line in lines),
        cut=cut.count if cut else None,
    )
    if states.is_first(asset) and (cut is None or cut.off_s > NEAR_S):
        # The account is older than ``start``, so it did not begin at 0: hold the next balance against this.
        return AssetState(anchor=replace(here, cut=None), since_s=found.at_s, proved=False)
    left = moved + counted[-1] - sum(line.net for line in lines if line.created_s <= found.at_s)
    return known.after(here, cut, left)


def _net(reading: Reading, asset: str, lower_s: int, upper_s: int, reader: StoreReader) -> int:
    if upper_s <= lower_s:
        return 0
    bound = {"connector": reading.name, "asset": asset}
    bounds = {"lower": moment_of(lower_s), "upper": moment_of(upper_s)}
    return to_scaled(parse_amount(str(reader.rows(_NET, bound | bounds)[0]["net"] or "0")))


def _nets(reading: Reading, line_ids: Sequence[str], reader: StoreReader) -> dict[str, int]:
    table = reader.lookup(BalanceTransaction, reading.name, "balance_transaction_id", line_ids)
    ids, nets = (table[name].to_pylist() for name in ("balance_transaction_id", "net"))
    return {line_id: to_scaled(net) for line_id, net in zip(ids, nets, strict=True)}


def _told(
    reading: Reading,
    before: States,
    judged: Mapping[str, AssetState],
    found: _Found,
    now: datetime,
    *,
    requests: int,
) -> Batch:
    """The proofs as records, and the stretch of the books that they prove."""
    windows = [
        reading.covered(STREAM, reading.start_s, found.at_s, now, objects=1, pages=requests, unproved=False)
    ]
    if judged and not found.unread and all(_adds_up(state, found.at_s) for state in judged.values()):
        # What is proved of every asset: one that joined later is proved from then on.
        lower_s = max(state.since_s for state in judged.values())
        windows.append(reading.covered(LINES, lower_s, found.at_s, now, unproved=False))
    proofs = [_proof(reading.name, asset, state, found.at_s) for asset, state in judged.items()]
    unread = [_unread(reading, asset) for asset in found.unread]
    from_s = max(before.from_s, found.from_s)
    states = States(by_asset=judged, at_s=found.at_s, from_s=from_s, unread=tuple(found.unread))
    return Batch(
        stream=STREAM,
        records={BalanceProof: [*proofs, *unread]},
        windows=[window for window in windows if window.lower < window.upper],
        cursor=states.text(),
        objects_read=1,
        requests=requests,
    )


def _adds_up(state: AssetState, at_s: int) -> bool:
    """Whether it is proved, and at a natural cut."""
    return state.verdict(at_s) is ProofState.PROVED and not state.shifted


def _proof(connector: str, asset: str, state: AssetState, at_s: int) -> BalanceProof:
    verdict = state.verdict(at_s)
    proved = verdict is ProofState.PROVED
    return BalanceProof(
        connector=connector,
        asset=asset,
        state=verdict,
        since=moment_of(state.since_s),
        difference=from_scaled(0 if proved else state.difference),
        attempts=0 if proved else min(state.attempts + state.shifted, ATTEMPTS_MAX),
    )


def _unread(reading: Reading, asset: str) -> BalanceProof:
    """There is something of an asset, and nobody says what its unit is: it stays to be proved."""
    return BalanceProof(
        connector=reading.name,
        asset=asset,
        state=ProofState.WAITING,
        since=moment_of(reading.start_s),
        difference=from_scaled(0),
        attempts=0,
    )
