"""The auditor of a chain: what is true of it, recomputed block by block, and whether the balances agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.auditor.evm_events import read_events
from tests.auditor.evm_facts import Audit, AuditError, Business, Movement, NodeError
from tests.auditor.evm_moves import read_block
from tests.auditor.evm_node import Node, RawBlock, number, open_node

_BALANCE_OF = "0x70a08231"

_Flows = Mapping[tuple[str, str, int], tuple[int, int, int]]


def audit_chain(source: str | Node, business: Business, *, start: int = 0, end: int | None = None) -> Audit:
    """Walk the canonical chain and say everything that is true of it.

    Args:
        source: the node's url, or a node that was opened with ``business.traces``.
        business: whose money is looked for.
        start: the first block's number.
        end: the last block's number, by default the head's.

    Raises:
        ChainMovedError: a reorganisation happened meanwhile.
        AuditError: the node cannot answer all that is needed, or is another chain's.
    """
    with open_node(source, traces=business.traces) as node:
        chain_id = int(node.ask("eth_chainId"), 16)
        if chain_id != business.chain_id:
            raise AuditError(f"the node is of chain {chain_id}, not of {business.chain_id}")
        safe, finalized = node.tagged("safe"), node.tagged("finalized")
        blocks = node.chain(start=start, end=end)
    return _read(blocks, business, safe=safe, finalized=finalized)


def _read(blocks: list[RawBlock], business: Business, *, safe: int | None, finalized: int | None) -> Audit:
    read = [read_block(raw, business) for raw in blocks]
    events = read_events(blocks, business)
    return Audit(
        business=business,
        blocks=tuple((raw.number, raw.hash) for raw in blocks),
        parent=_parent(blocks[0]),
        movements=_ordered(movement for block in read for movement in block.counted),
        moved=_ordered(movement for block in read for movement in block.moved),
        ignored=(*(row for block in read for row in block.ignored), *events.ignored),
        events=events.events,
        fees=tuple(fee for block in read for fee in block.fees),
        safe=safe,
        finalized=finalized,
    )


def _parent(raw: RawBlock) -> tuple[int, str]:
    return (0, raw.hash) if raw.number == 0 else (raw.number - 1, raw.fields["parentHash"].lower())


def _ordered(movements: Iterable[Movement]) -> tuple[Movement, ...]:
    return tuple(sorted(movements, key=lambda movement: movement.sort_key))


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Balance against movements for one address and asset, in the asset's smallest unit.

    Attributes:
        address: one of ours.
        asset: CAIP-19.
        before: balance after the block ``from_block``, None where the node could not say.
        after: balance after the block ``to_block``, likewise.
        difference: (after - before) - (incoming - outgoing - fees); None where a balance is unknown.
        blocks: (number, difference) of each single block that does not add up, where each was looked at.
        unproved: what the node answered instead of a balance; empty where it answered everything.
    """

    address: str
    asset: str
    from_block: int
    to_block: int
    before: int | None
    after: int | None
    incoming: int
    outgoing: int
    fees: int
    difference: int | None
    blocks: tuple[tuple[int, int], ...]
    unproved: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether it is proved: nothing unknown, nothing unexplained, in no block that was looked at."""
        return self.difference == 0 and not self.blocks and not self.unproved


def identities(
    source: str | Node, audit: Audit, *, each_block: bool = False, addresses: Iterable[str] | None = None
) -> list[Identity]:
    """Hold the balances that the node shows against the movements, for every address and asset.

    The range is from the state before the audit's first block to that after its last; where the genesis is
    the first, from what it gave.

    Args:
        source: the node's url, or a node.
        audit: what moved.
        each_block: ask for every balance after every block, and name the blocks that do not add up. Without
            it two hidden moves that cancel are not seen.
        addresses: which of ours, all by default.
    """
    chosen = audit.business.addresses if addresses is None else {one.lower() for one in addresses}
    flows = _flows(audit)
    with open_node(source, traces=False) as node:
        return [
            _identity(node, audit, address, asset, flows, each_block=each_block)
            for address in sorted(chosen)
            for asset in audit.business.assets()
        ]


def _identity(
    node: Node, audit: Audit, address: str, asset: str, all_flows: _Flows, *, each_block: bool
) -> Identity:
    token = audit.business.assets()[asset]
    flows = {at: all_flows.get((address, asset, at), (0, 0, 0)) for at, _ in audit.blocks}
    asked = (audit.parent, *(audit.blocks if each_block else audit.blocks[-1:]))
    balances: dict[int, int] = {}
    unproved = []
    for at, block_hash in asked:
        try:
            balances[at] = _balance(node, address, token, block_hash)
        except NodeError as error:
            unproved.append(f"block {at}: {error}")
    before, after = balances.get(audit.parent[0]), balances.get(audit.last)
    incoming, outgoing, fees = (sum(flow[part] for flow in flows.values()) for part in range(3))
    difference = None
    if before is not None and after is not None:
        difference = after - before - (incoming - outgoing - fees)
    return Identity(
        address=address,
        asset=asset,
        from_block=audit.parent[0],
        to_block=audit.last,
        before=before,
        after=after,
        incoming=incoming,
        outgoing=outgoing,
        fees=fees,
        difference=difference,
        blocks=tuple(_unexplained(balances, flows)) if each_block else (),
        unproved=tuple(unproved),
    )


def _flows(audit: Audit) -> _Flows:
    """What came, went and was paid as fees, by (address, asset, block number)."""
    totals: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for moved in audit.moved:
        totals[moved.recipient, moved.asset, moved.place.block_number][0] += moved.units
        totals[moved.sender, moved.asset, moved.place.block_number][1] += moved.units
    if audit.business.native is not None:
        for fee in audit.fees:
            totals[fee.sender, audit.business.native[1], fee.place.block_number][2] += fee.wei
    return {key: (incoming, outgoing, fees) for key, (incoming, outgoing, fees) in totals.items()}


def _unexplained(
    balances: Mapping[int, int], flows: Mapping[int, tuple[int, int, int]]
) -> Iterable[tuple[int, int]]:
    for at, (incoming, outgoing, fees) in flows.items():
        if at in balances and at - 1 in balances:
            difference = balances[at] - balances[at - 1] - (incoming - outgoing - fees)
            if difference:
                yield at, difference


def _balance(node: Node, address: str, token: str | None, block_hash: str) -> int:
    """A balance after a block, in the smallest unit."""
    where = {"blockHash": block_hash}
    if token is None:
        return number(node.ask("eth_getBalance", address, where))
    call = {"to": token, "data": _BALANCE_OF + address.removeprefix("0x").rjust(64, "0")}
    answer = node.ask("eth_call", call, where)
    if answer == "0x":
        if node.ask("eth_getCode", token, where) != "0x":
            raise NodeError(f"balanceOf of {token} answers nothing")
        return 0
    return int(answer, 16)
