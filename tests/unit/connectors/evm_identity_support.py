"""A chain in dictionaries for tests of the completeness identity: what moved, what was read, a node, a store.

Every block keeps all balances, so that what the identity should say can be told block by block.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from payhealth.connectors.evm.proofs.identity import AssetRef, Identity, IdentityStep
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain import assets as asset_ids
from payhealth.domain.chain_records import AddressBalance, TransactionFee, TransferObservation
from payhealth.domain.money import from_units
from payhealth.domain.record import Record
from payhealth.domain.records import Movement
from payhealth.store.arrow import schema
from payhealth.store.spec import RECORD_SPECS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHAIN_ID = 31337
COIN = asset_ids.native(CHAIN_ID)
TOKEN_CONTRACT = "0x" + "70" * 20
TOKEN = asset_ids.erc20(CHAIN_ID, TOKEN_CONTRACT)
MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"
ASSETS: Mapping[str, AssetRef] = {
    COIN: AssetRef(contract=None, decimals=18),
    TOKEN: AssetRef(contract=TOKEN_CONTRACT, decimals=6),
}
STRANGER = "0x" + "ee" * 20
Pair = tuple[str, str]


def addresses(count: int) -> list[str]:
    """So many addresses, sorted."""
    return [f"0x{number:040x}" for number in range(1, count + 1)]


@dataclass(frozen=True)
class Effect:
    """What happened to one balance in one block; ``record`` names what was read of it, None where hidden."""

    block: int
    pair: Pair
    units: int
    record: str | None


@dataclass
class Block:
    """One block and all balances after it."""

    number: int
    hash: str
    balances: dict[Pair, int]


class Records:
    """The part of a store that the identity reads."""

    def __init__(self) -> None:
        self.kept: dict[type[Record], dict[tuple[Any, ...], Record]] = {
            kind: {} for kind in (Movement, TransferObservation, TransactionFee, AddressBalance)
        }
        self.rows_read = 0

    def put(self, *records: Record) -> None:
        """Add records, or newer versions of them."""
        for record in records:
            self.kept[type(record)][tuple(getattr(record, name) for name in record.KEY)] = record

    def lookup(
        self, record_type: type[Record], connector: str, column: str, values: Collection[str]
    ) -> pa.Table:
        """As ``StoreReader.lookup``."""
        wanted = set(values)
        return self._table(record_type, lambda row: getattr(row, column) in wanted)

    def between(
        self, record_type: type[Record], connector: str, column: str, lower: int, upper: int
    ) -> pa.Table:
        """As ``StoreReader.between``."""
        return self._table(record_type, lambda row: lower <= getattr(row, column) < upper)

    def _table(self, kind: type[Record], keep: Any) -> pa.Table:
        names = [each.name for each in fields(kind)]
        rows = [row for row in self.kept[kind].values() if keep(row)]
        self.rows_read += len(rows)
        types = schema(RECORD_SPECS[kind].shown)
        columns = [pa.array([getattr(row, name) for row in rows], types.field(name).type) for name in names]
        return pa.table(columns, names=names)

    def balances(self) -> dict[Pair, AddressBalance]:
        """The rows of balances."""
        rows = [row for row in self.kept[AddressBalance].values() if isinstance(row, AddressBalance)]
        return {(row.address, row.asset): row for row in rows}


@dataclass
class World:
    """A chain that grows and forks, the records of what was read of it, and a node.

    Args:
        ours: our addresses.
        states: for how many blocks the node keeps states; None for all.
        multicall: whether Multicall3 is there.
    """

    rng: random.Random
    ours: list[str]
    states: int | None = None
    multicall: bool = True
    genesis: Mapping[Pair, int] = field(default_factory=dict)
    records: Records = field(default_factory=Records)
    effects: list[Effect] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    asks: int = 0
    names_blocks: bool = True
    _serial: int = 0

    def __post_init__(self) -> None:
        self.blocks.append(Block(0, self._hash(), dict(self.genesis)))

    @property
    def head(self) -> Header:
        """The newest block."""
        return self.header(self.blocks[-1].number)

    def header(self, number: int) -> Header:
        """A canonical block's header."""
        block = self.blocks[number]
        parent = self.blocks[max(0, number - 1)].hash
        return Header(number=number, hash=block.hash, parent=parent, at=NOW + timedelta(seconds=12 * number))

    def mine(self, count: int = 1) -> None:
        """Blocks in which nothing of ours moves."""
        for _ in range(count):
            last = self.blocks[-1]
            self.blocks.append(Block(last.number + 1, self._hash(), dict(last.balances)))

    def transfer(self, asset: str, sender: str, recipient: str, units: int, *, how: str = "movement") -> None:
        """Move an asset in the newest block.

        Args:
            how: ``movement``, ``dust`` (ignored, though it moved) or ``hidden`` (nobody read it).
        """
        name = None if how == "hidden" else self._name()
        if sender in self.ours:
            self._effect((sender, asset), -units, name)
        if recipient in self.ours:
            self._effect((recipient, asset), units, name)
        if name is not None:
            self.records.put(self._seen(name, asset, sender, recipient, units, how))

    def fee(self, payer: str, units: int) -> None:
        """One of ours pays for a transaction in the newest block."""
        name = self._name()
        self._effect((payer, COIN), -units, name)
        self.records.put(
            TransactionFee(
                connector="chain",
                transaction_hash=name,
                payer=payer,
                amount=from_units(units, 18),
                asset=COIN,
                succeeded=bool(units % 2),
                block_number=self.head.number,
                block_hash=self.head.hash,
                block_at=self.head.at,
                canonical=True,
            )
        )

    def reorg(self, depth: int) -> None:
        """Lose the newest blocks, and what was in them."""
        fork = max(0, len(self.blocks) - 1 - depth)
        del self.blocks[fork + 1 :]
        lost = {effect.record for effect in self.effects if effect.block > fork}
        self.effects = [effect for effect in self.effects if effect.block <= fork]
        for kind, key in ((Movement, "movement_id"), (TransactionFee, "transaction_hash")):
            for row in list(self.records.kept[kind].values()):
                if getattr(row, key) in lost:
                    gone = {"status": "retracted"} if kind is Movement else {"canonical": False}
                    self.records.put(replace(row, **gone))  # type: ignore[arg-type]
        for row in list(self.records.kept[TransferObservation].values()):
            if getattr(row, "movement_id") in lost:  # noqa: B009 - a Record has no such field
                self.records.put(replace(row, canonical=False))  # type: ignore[call-arg]

    def reveal(self, effect: Effect) -> None:
        """Read at last what was hidden."""
        address, asset = effect.pair
        ends = (STRANGER, address) if effect.units > 0 else (address, STRANGER)
        seen = self._seen(self._name(), asset, *ends, abs(effect.units), "movement")
        self.records.put(replace(seen, block_number=effect.block, block_hash=self.blocks[effect.block].hash))

    def balance(self, pair: Pair, block: int) -> int:
        """In the smallest unit."""
        return self.blocks[block].balances.get(pair, 0)

    def canonical(self, number: int, block: str) -> bool | None:
        """Whether a block stands; None for those more than 12 below the head."""
        if number < len(self.blocks) - 13:
            return None
        return number < len(self.blocks) and self.blocks[number].hash == block

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """The node."""
        self.asks += 1
        self.calls.extend(calls)
        return [self._answer(call) for call in calls]

    def _answer(self, call: Call) -> Any:
        if call.method == "eth_getCode":
            return "0x60" if self.multicall else "0x"
        if call.method == "eth_getBlockByNumber":
            number = int(call.params[0], 16)
            there = self.names_blocks and number < len(self.blocks)
            return {"hash": self.blocks[number].hash} if there else None
        block = self._block(call.params[1])
        if block is None:
            return RpcFault(FaultKind.BEYOND_HEAD, "header not found")
        if self.states is not None and block.number <= self.blocks[-1].number - self.states:
            return RpcFault(FaultKind.PRUNED, "missing trie node")
        if call.method == "eth_getBalance":
            return hex(block.balances.get((call.params[0], COIN), 0))
        return self._call(call.params[0], block)

    def _call(self, message: Mapping[str, str], block: Block) -> str:
        data = bytes.fromhex(message["data"][2:])
        if message["to"] == TOKEN_CONTRACT:
            return "0x" + self._word(data, TOKEN, block).hex()
        assert message["to"] == MULTICALL3
        # Read and written by hand: eth_abi, which the tests of the parts use, takes a minute for this.
        body = data[4 + 32 :]
        starts = [32 + _number(body, 32 * at) for at in range(1, _number(body, 0) + 1)]
        words = []
        for start in starts:
            inner = start + _number(body, start + 64)
            given = body[inner + 32 : inner + 32 + _number(body, inner)]
            target = "0x" + body[start + 12 : start + 32].hex()
            words.append(self._word(given, TOKEN if target == TOKEN_CONTRACT else COIN, block))
        offsets = [32 * len(words) + 128 * at for at in range(len(words))]
        results = [_uint(1) + _uint(64) + _uint(32) + word for word in words]
        return "0x" + b"".join((_uint(32), _uint(len(words)), *map(_uint, offsets), *results)).hex()

    def _word(self, data: bytes, asset: str, block: Block) -> bytes:
        assert data[:4].hex() == ("4d2301cc" if asset == COIN else "70a08231")
        holder = "0x" + data[16:36].hex()
        return block.balances.get((holder, asset), 0).to_bytes(32, "big")

    def _block(self, where: Any) -> Block | None:
        if isinstance(where, str):
            number = int(where, 16)
            return self.blocks[number] if number < len(self.blocks) else None
        found = [block for block in self.blocks[-400:] if block.hash == where["blockHash"]]
        return found[0] if found else None

    def _effect(self, pair: Pair, units: int, name: str | None) -> None:
        block = self.blocks[-1]
        block.balances[pair] = block.balances.get(pair, 0) + units
        self.effects.append(Effect(block.number, pair, units, name))

    def _seen(self, name: str, asset: str, sender: str, recipient: str, units: int, how: str) -> Record:
        amount, head = from_units(units, ASSETS[asset].decimals), self.head
        shared: dict[str, Any] = {
            "connector": "chain",
            "movement_id": name,
            "block_hash": head.hash,
            "block_number": head.number,
            "sender": sender,
            "recipient": recipient,
            "amount": amount,
            "asset": asset,
            "position": "0",
        }
        if how == "dust":
            return TransferObservation(
                **shared, transaction_hash=name, block_at=head.at, canonical=True, ignored_reason="dust"
            )
        return Movement(
            **shared,
            rail="chain",
            kind="transfer",
            status="seen",
            account="",
            payment_key=name,
            symbol="X",
            effective_at=head.at,
        )

    def _name(self) -> str:
        self._serial += 1
        return f"0x{self._serial:064x}"

    def _hash(self) -> str:
        self._serial += 1
        return "0x" + hashlib.sha256(f"{self._serial}".encode()).hexdigest()


class Keeper:
    """Runs steps against a world and keeps what they give, as a pull would."""

    def __init__(self, world: World, *, start: int = 0, depth: int = 8, **options: int) -> None:
        self.world = world
        self.depth = depth
        self.state: dict[str, Any] | None = None
        self.windows: list[Any] = []
        self.start = start
        self.options = options
        self.last: IdentityStep | None = None
        self.reader: Any = world.records
        self._final = 0

    @property
    def final(self) -> int:
        """The newest final block; what was final stays so."""
        self._final = max(self._final, self.world.head.number - self.depth)
        return self._final

    def reorg(self, depth: int) -> None:
        """Lose some of the blocks that are not final."""
        self.world.reorg(min(depth, self.world.head.number - self.final))

    def identity(self) -> Identity:
        """A new one each time: nothing is kept in memory between steps."""
        return Identity(
            connector="chain",
            chain_id=CHAIN_ID,
            assets=ASSETS,
            addresses=self.world.ours,
            multicall3=MULTICALL3,
            start_block=self.start,
            ask=self.world.ask,
            reader=self.reader,
            provider="node.example",
            **self.options,
        )

    def try_step(self, *, touched: Collection[Pair] = ()) -> IdentityStep:
        """One step whose result is lost, as by a kill before its commit."""
        return self.identity().step(
            head=self.world.head,
            final=self.final,
            touched=touched,
            state=self.state,
            canonical=self.world.canonical,
            now=self.world.head.at,
        )

    def step(self, *, touched: Collection[Pair] = ()) -> IdentityStep:
        """One step, committed."""
        done = self.try_step(touched=touched)
        self.world.records.put(*done.balances)
        self.state, self.windows, self.last = done.state, done.windows, done
        return done

    def settle(self) -> None:
        """Quiet blocks and steps, until everything that is known now is final and proved or refuted."""
        pairs = len(self.world.ours) * len(ASSETS)
        at_a_step = min(self.options.get("sample", 200), self.options.get("most_balances", 2000))
        for _ in range(6 + 3 * -(-pairs // at_a_step)):
            self.world.mine(self.depth)
            self.step()

    def proved(self) -> tuple[int, int] | None:
        """The proved window of the last step."""
        found = [window for window in self.windows if not window.unproved]
        assert len(found) <= 1
        return (found[0].lower, found[0].upper) if found else None


def world(count: int = 2, **options: object) -> World:
    """A chain with so many addresses of ours, and one block."""
    made = World(random.Random(7), addresses(count), **options)  # type: ignore[arg-type]
    made.mine()
    return made


def deposit(chain: World, pair: Pair, units: int, how: str = "movement") -> None:
    """Something arrives, in a block of its own."""
    chain.mine()
    chain.transfer(pair[1], STRANGER, pair[0], units, how=how)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 32], "big")


def _uint(value: int) -> bytes:
    return value.to_bytes(32, "big")


def units_of(amount: Decimal, asset: str) -> int:
    """An amount in its asset's smallest unit."""
    return int(amount.scaleb(ASSETS[asset].decimals))
