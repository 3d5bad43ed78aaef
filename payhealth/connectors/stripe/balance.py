"""The balance identity: between two moments the balance moves by what was listed, to the last cent.

Balance and list are no snapshot: lines booked around the moment of the reading may be in the one and not yet
in the other. So every cut inside a margin around the moment is tried, in the list's own order; what adds up
at one of them is proved, and that cut is where the next proof begins. What does not add up is tried again
at the next pull, and is a mismatch after three.

Source: https://docs.stripe.com/api/balance/balance_object
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from payhealth.connectors.stripe.balance_state import (
    ATTEMPTS_MAX,
    Anchor,
    AssetState,
    Line,
    States,
    prefix_sums,
)
from payhealth.connectors.stripe.currencies import decimals_of, to_major
from payhealth.connectors.stripe.reading import Reading, earliest, moment_of, seconds
from payhealth.connectors.stripe.streams import STREAMS
from payhealth.domain.errors import AmountError, SourceDataError
from payhealth.domain.money import from_scaled, parse_amount, to_scaled
from payhealth.domain.records import BalanceProof, BalanceTransaction, ProofState, Record
from payhealth.ports import Batch, StoreReader

STREAM = "balance"
LINES = "balance_transactions"
_LOOKED_INTO_EVERY = 100
"""A mismatch that stays is looked into again at every so many pulls: reading much for nothing is no help."""

_NET = """
select ph_sum(net_key) as net from v_balance_transactions
where connector = :connector and asset = :asset and created_at >= :lower and created_at < :upper
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The balance at a moment by asset, in units of 1e-18, and the lines around it, oldest first."""

    at_s: int
    from_s: int
    amounts: Mapping[str, int]
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
    at_s, margin_s = seconds(answer.read_at or now), reading.settings.balance_margin_s
    upper_s = at_s + margin_s + 1
    lines: list[Line] = []
    yield from _listed(reading, at_s - margin_s, upper_s, cursor, lines)
    found = _Found(
        at_s=at_s, from_s=at_s - margin_s, amounts=_amounts(answer.body, reading.name), lines=lines
    )
    judged = _judged(reading, states, found, reader)
    open_since = [state.anchor.from_s for state in judged.values() if _is_looked_into(state)]
    if open_since:
        # A line may have come into the list later than its time says: read all that is in question again.
        yield from _listed(reading, min(open_since), upper_s, cursor, [])
        judged = _judged(reading, states, found, reader)
    yield _told(reading, states, judged, found, now, requests=answer.requests)


def _is_looked_into(state: AssetState) -> bool:
    return 0 < state.attempts <= ATTEMPTS_MAX or state.attempts % _LOOKED_INTO_EVERY == 1


def _listed(
    reading: Reading, lower_s: int, upper_s: int, cursor: str | None, lines: list[Line]
) -> Iterator[Batch]:
    """List a stretch of the books once more and record it; ``lines`` gets what it held, oldest first."""
    pages = list(
        reading.client.pages(
            LINES,
            created_from_s=max(lower_s, reading.start_s),
            created_to_s=upper_s,
            expand=STREAMS[LINES].expand,
        )
    )
    objects = list({_id(found): found for page in pages for found in page.objects}.values())
    records = reading.translated(STREAMS[LINES], objects) if objects else {}
    lines.extend(_lines_of(records))
    yield Batch(
        stream=STREAM,
        records=records,
        cursor=cursor,
        objects_read=len(objects),
        requests=sum(page.requests for page in pages),
        read_at=earliest(page.read_at for page in pages),
    )


def _id(found: Any) -> Any:
    return found.get("id") if isinstance(found, dict) else id(found)


def _lines_of(records: Mapping[type[Record], Any]) -> list[Line]:
    """The lines of a list, oldest first: inside a second the list's own order is the only one there is."""
    if BalanceTransaction not in records:
        return []
    rows = records[BalanceTransaction].select(["balance_transaction_id", "asset", "net"]).to_pylist()
    return [
        Line(line_id=row["balance_transaction_id"], asset=row["asset"], net=to_scaled(row["net"]))
        for row in reversed(rows)
    ]


def _amounts(body: Any, name: str) -> dict[str, int]:
    """Available and pending together, by asset."""
    try:
        parts = [_amount(part) for part in (*body["available"], *body["pending"])]
    except (KeyError, TypeError, AttributeError, AmountError) as error:
        raise SourceDataError(f"{name}: the answer to balance is no balance of Stripe's") from error
    amounts: dict[str, int] = {}
    for asset, amount in parts:
        amounts[asset] = amounts.get(asset, 0) + amount
    return amounts


def _amount(part: Mapping[str, Any]) -> tuple[str, int]:
    """One part of the balance: its asset, and the amount in units of 1e-18."""
    asset, amount_minor = part["currency"].upper(), part["amount"]
    decimals = decimals_of(asset)
    if decimals is None or type(amount_minor) is not int:
        raise TypeError(asset)
    return asset, to_scaled(to_major(amount_minor, decimals))


def _judged(reading: Reading, states: States, found: _Found, reader: StoreReader) -> dict[str, AssetState]:
    assets = sorted({*found.amounts, *states.by_asset})
    return {asset: _judge(reading, states.by_asset.get(asset), asset, found, reader) for asset in assets}


def _judge(
    reading: Reading, state: AssetState | None, asset: str, found: _Found, reader: StoreReader
) -> AssetState:
    """The state of one asset's proof after this reading."""
    known = state or AssetState.opened(reading.start_s)
    anchor, balance = known.anchor, found.amounts.get(asset, 0)
    lines = [line for line in found.lines if line.asset == asset]
    # Lines from the anchor's margin up to this one's are in the balance by now, for sure.
    settled = _net(reading, asset, anchor.from_s, found.from_s, reader)
    counted = anchor.counted(lambda ids: _nets(reading, ids, reader))
    moved = balance - anchor.balance - settled
    sums = prefix_sums([line.net for line in lines])
    cut = _cut({moved + before for before in counted}, sums)
    here = Anchor(
        balance=balance,
        from_s=found.from_s,
        at_s=found.at_s,
        lines=tuple(line.line_id for line in lines),
        cut=cut,
    )
    if cut is not None:
        return replace(known, anchor=here, proved=True, attempts=0, difference=0)
    if state is None:
        # The account is older than ``start``, so it did not begin at 0: hold the next balance against this.
        return AssetState(anchor=here, since_s=found.at_s, proved=False)
    return replace(known, attempts=known.attempts + 1, difference=moved + counted[-1] - sums[-1])


def _cut(wanted: set[int], sums: Sequence[int]) -> int | None:
    """The latest cut at which the lines come to a wanted sum, None where there is none."""
    return next((count for count in range(len(sums) - 1, -1, -1) if sums[count] in wanted), None)


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
    if judged and all(state.proved and not state.attempts for state in judged.values()):
        lower_s = min(
            (before.by_asset[asset].anchor if asset in before.by_asset else state.anchor).at_s
            if state.since_s != reading.start_s or asset in before.by_asset
            else reading.start_s
            for asset, state in judged.items()
        )
        windows.append(reading.covered(LINES, lower_s, found.at_s, now, unproved=False))
    return Batch(
        stream=STREAM,
        records={BalanceProof: [_proof(reading.name, asset, state) for asset, state in judged.items()]},
        windows=[window for window in windows if window.lower < window.upper],
        cursor=States(by_asset=judged).text(),
        objects_read=1,
        requests=requests,
    )


def _proof(connector: str, asset: str, state: AssetState) -> BalanceProof:
    if state.attempts >= ATTEMPTS_MAX:
        verdict = ProofState.MISMATCH
    else:
        verdict = ProofState.PROVED if state.proved and not state.attempts else ProofState.WAITING
    return BalanceProof(
        connector=connector,
        asset=asset,
        state=verdict,
        since=moment_of(state.since_s),
        difference=from_scaled(state.difference),
        attempts=min(state.attempts, ATTEMPTS_MAX),
    )
