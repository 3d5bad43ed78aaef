"""A chain of plain Python behind JSON-RPC, a shelf for records, and the truth block by block.

Mining is free here, so that thousands of chains with reorgs fit into seconds; what the connector reads
from it is then read from a real EVM in ``test_evm_devchain.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import orjson

from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.source import EvmSource
from payhealth.domain.records import Movement
from tests.simulation.test_evm_shelf import Shelf

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
TOKEN = "0x" + "70" * 20
NOW = datetime(2026, 1, 5, tzinfo=UTC)
GENESIS_S = 1_767_000_000
FEE = 21_000
"""What every transaction costs its sender, in wei."""
RICH = 10**24
"""What everybody has of everything at first."""


def address(number: int) -> str:
    """An address that is easy to tell apart."""
    return f"0x{number:040x}"


OURS = tuple(address(0xA0 + number) for number in range(4))
TREASURY = address(0xB0)
OPERATOR = address(0xC0)
STRANGERS = tuple(address(0xD0 + number) for number in range(3))


def hashed(*words: object) -> str:
    """A hash of anything."""
    return "0x" + hashlib.sha256(repr(words).encode()).hexdigest()


@dataclass(frozen=True)
class Tx:
    """A transaction: token transfers ``(token, sender, recipient, units)``, and native value.

    Args:
        hidden: ``(sender, recipient, wei)`` that contracts move: no log and no field tells of it.
    """

    name: str
    transfers: tuple[tuple[str, str, str, int], ...] = ()
    sender: str = STRANGERS[0]
    to: str | None = STRANGERS[1]
    value: int = 0
    status: int = 1
    hidden: tuple[tuple[str, str, int], ...] = ()

    @property
    def hash(self) -> str:
        """The same wherever the transaction lands."""
        return hashed("tx", self.name)

    def effects(self) -> Iterator[tuple[str, str | None, int]]:
        """Whose balance of what (None for the coin) changes by how much, fees included."""
        yield self.sender, None, -FEE
        if not self.status:
            return
        for token, sender, recipient, units in self.transfers:
            yield sender, token, -units
            yield recipient, token, units
        for sender, recipient, units in ((self.sender, self.to or "", self.value), *self.hidden):
            yield sender, None, -units
            yield recipient, None, units


@dataclass(frozen=True)
class FakeBlock:
    """A block with its transactions."""

    number: int
    parent: str
    salt: int
    timestamp: int
    txs: tuple[Tx, ...]
    balances: dict[tuple[str, str | None], int] = field(default_factory=dict, compare=False)

    @property
    def hash(self) -> str:
        """Differs between branches."""
        return hashed("block", self.number, self.parent, self.salt, [tx.hash for tx in self.txs])

    def logs(self) -> Iterator[dict[str, Any]]:
        """The block's logs; the index counts through the whole block."""
        index = 0
        for position, tx in enumerate(self.txs):
            for token, sender, recipient, units in tx.transfers if tx.status else ():
                yield {
                    "address": token,
                    "topics": [TRANSFER, "0x" + "0" * 24 + sender[2:], "0x" + "0" * 24 + recipient[2:]],
                    "data": f"0x{units:064x}",
                    "blockNumber": hex(self.number),
                    "blockHash": self.hash,
                    "transactionHash": tx.hash,
                    "transactionIndex": hex(position),
                    "logIndex": hex(index),
                    "removed": False,
                }
                index += 1

    def json(self, *, full: bool) -> dict[str, Any]:
        """The block as a node shows it."""
        txs = [
            {
                "hash": tx.hash,
                "from": tx.sender,
                "to": tx.to,
                "value": hex(tx.value),
                "type": "0x2",
                "nonce": "0x0",
            }
            if full
            else tx.hash
            for tx in self.txs
        ]
        return {
            "number": hex(self.number),
            "hash": self.hash,
            "parentHash": self.parent,
            "timestamp": hex(self.timestamp),
            "transactions": txs,
        }

    def receipts(self) -> list[dict[str, Any]]:
        """The receipts of the block's transactions."""
        logs = list(self.logs())
        return [
            {
                "transactionHash": tx.hash,
                "transactionIndex": hex(position),
                "blockHash": self.hash,
                "blockNumber": hex(self.number),
                "from": tx.sender,
                "to": tx.to,
                "status": hex(tx.status),
                "contractAddress": None,
                "type": "0x2",
                "gasUsed": hex(FEE),
                "effectiveGasPrice": "0x1",
                "logs": [log for log in logs if log["transactionHash"] == tx.hash],
            }
            for position, tx in enumerate(self.txs)
        ]


class NodeError(Exception):
    """What the node answers instead of a result."""


@dataclass
class FakeNode:
    """A node with one canonical chain; lost blocks stay known by hash, as in geth.

    Args:
        tags: whether it knows ``safe`` and ``finalized``.
        max_range: most blocks in one eth_getLogs.
        states_kept: how many blocks' balances it can still tell, None for all.
        on_call: sees each call before it is answered, and may answer in its place (else None).
        on_response: sees each whole response and may replace it.
    """

    chain_id: int = 31337
    safe_depth: int = 4
    final_depth: int = 12
    tags: bool = True
    max_range: int | None = None
    states_kept: int | None = None
    on_call: Callable[[str, list[Any]], Any] | None = None
    on_response: Callable[[httpx.Request, Any], httpx.Response | None] | None = None
    blocks: list[FakeBlock] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    posts: int = 0

    def __post_init__(self) -> None:
        self.known: dict[str, FakeBlock] = {}
        self._salt = 0
        self.finalized = 0
        if not self.blocks:
            self.mine()

    @property
    def head(self) -> int:
        """The newest block's number."""
        return self.blocks[-1].number

    def mine(self, *txs: Tx) -> FakeBlock:
        """Add a block."""
        number = len(self.blocks)
        parent = self.blocks[-1].hash if self.blocks else "0x" + "0" * 64
        balances = dict(self.blocks[-1].balances) if self.blocks else {}
        for tx in txs:
            for who, asset, units in tx.effects():
                balances[who, asset] = balances.get((who, asset), RICH) + units
        at = GENESIS_S + 12 * number + self._salt % 7
        block = FakeBlock(number, parent, self._salt, at, txs, balances)
        self.blocks.append(block)
        self.known[block.hash] = block
        # Finality never goes back, even where a new branch is shorter than the old one.
        self.finalized = max(self.finalized, number - self.final_depth)
        return block

    def drop(self, depth: int) -> list[Tx]:
        """Lose the newest blocks; what is mined next stands on another branch."""
        self._salt += 1
        lost = [tx for block in self.blocks[-depth:] for tx in block.txs]
        del self.blocks[-depth:]
        return lost

    def transport(self) -> httpx.MockTransport:
        """The node as an HTTP server."""
        return httpx.MockTransport(self._respond)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.posts += 1
        body = orjson.loads(request.content)
        answer = [self._item(item) for item in body] if isinstance(body, list) else self._item(body)
        replaced = self.on_response(request, answer) if self.on_response else None
        return httpx.Response(200, content=orjson.dumps(answer)) if replaced is None else replaced

    def _item(self, item: dict[str, Any]) -> dict[str, Any]:
        frame = {"jsonrpc": "2.0", "id": item["id"]}
        self.calls.append(item["method"])
        try:
            told = self.on_call(item["method"], item["params"]) if self.on_call else None
            return {**frame, "result": self.answer(item["method"], item["params"]) if told is None else told}
        except NodeError as error:
            return {**frame, "error": {"code": -32000, "message": str(error)}}

    def answer(self, method: str, params: list[Any]) -> Any:
        """The result of one call."""
        answers: dict[str, Callable[[], Any]] = {
            "eth_chainId": lambda: hex(self.chain_id),
            "eth_blockNumber": lambda: hex(self.head),
            "eth_getBlockByNumber": lambda: self._block(self._number(params[0]), full=params[1]),
            "eth_getTransactionReceipt": lambda: self._receipt(params[0]),
            "eth_getLogs": lambda: self._logs(params[0]),
            "eth_getBlockReceipts": lambda: list(self.known[params[0]].receipts()),
            "eth_getCode": lambda: "0x6001" if params[0] == TOKEN else "0x",
            "eth_call": lambda: self._call(*params),
            "eth_getBalance": lambda: hex(self._balance(params[0], None, params[1])),
        }
        if method not in answers:
            raise NodeError(f"the method {method} does not exist/is not available")
        return answers[method]()

    def _block(self, number: int, *, full: bool) -> dict[str, Any] | None:
        return self.blocks[number].json(full=full) if number <= self.head else None

    def _number(self, which: str) -> int:
        if which in ("safe", "finalized"):
            if not self.tags:
                raise NodeError(f"unknown block tag {which}")
            return max(0, self.head - self.safe_depth) if which == "safe" else self.finalized
        return self.head if which == "latest" else int(which, 16)

    def _receipt(self, transaction: str) -> dict[str, Any] | None:
        found = (one for block in self.blocks for one in block.receipts())
        return next((one for one in found if one["transactionHash"] == transaction), None)

    def _call(self, call: dict[str, str], where: Any) -> str:
        if call["data"].startswith("0x313ce567"):
            return f"0x{6:064x}"
        return f"0x{self._balance('0x' + call['data'][-40:], call['to'], where):064x}"

    def _balance(self, who: str, asset: str | None, where: Any) -> int:
        if isinstance(where, dict):
            block = self.known.get(where["blockHash"])
            if block is None:
                raise NodeError("unknown block")
        else:
            block = self.blocks[self._number(where)]
        if self.states_kept is not None and block.number < self.head - self.states_kept:
            raise NodeError("missing trie node 00 (path ) state 0x00 is not available")
        return block.balances.get((who, asset), RICH)

    def _logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in wanted:
            if wanted["blockHash"] not in self.known:
                raise NodeError("unknown block")
            blocks = [self.known[wanted["blockHash"]]]
        else:
            lower, upper = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
            if self.max_range is not None and upper - lower + 1 > self.max_range:
                raise NodeError(f"range {upper - lower + 1} exceeds limit of {self.max_range}")
            # As a node behind a load balancer does: nothing is said of blocks that it does not have.
            blocks = self.blocks[lower : upper + 1]
        return [log for block in blocks for log in block.logs() if _passes(log, wanted)]


def _passes(log: dict[str, Any], wanted: dict[str, Any]) -> bool:
    if "address" in wanted and log["address"] not in wanted["address"]:
        return False
    for topic, asked in zip(log["topics"], wanted["topics"], strict=False):
        if asked is not None and topic not in (asked if isinstance(asked, list) else [asked]):
            return False
    return True


def settings(**changes: Any) -> EvmSettings:
    """A configuration for the fake chain."""
    base: dict[str, Any] = {
        "chain_id": 31337,
        "rpc_urls": ["http://node.invalid/v2/secret-key"],
        "addresses": [*OURS, TREASURY],
        "operators": [OPERATOR],
        "assets": ["native"],
        "tokens": [{"address": TOKEN, "symbol": "USDX", "decimals": 6}],
        "backoff_ms": 1,
    }
    return EvmSettings.model_validate({**base, **changes})


def source(node: FakeNode, **changes: Any) -> EvmSource:
    """The connector on a fake node, without waiting."""
    return EvmSource("chain", settings(**changes), transport=node.transport(), sleep=lambda _: None)


def pull(node: FakeNode, shelf: Shelf, *, most_batches: int | None = None, **changes: Any) -> int:
    """Pull once; with ``most_batches`` the process dies after that many commits."""
    count = 0
    for batch in source(node, **changes).pull("transfers", shelf.cursors.get("transfers"), NOW, shelf):
        if most_batches is not None and count >= most_batches:
            break
        shelf.commit(batch)
        count += 1
    return count


@dataclass(frozen=True)
class Truth:
    """A transfer as the canonical chain holds it."""

    transaction: str
    position: str
    block_hash: str
    block_number: int
    sender: str
    recipient: str
    amount: Decimal


def truth(node: FakeNode, ours: Sequence[str] = (*OURS, TREASURY), *, native: bool = True) -> set[Truth]:
    """Every transfer of value to or from ours, by walking the canonical chain block by block."""
    found: set[Truth] = set()
    for block in node.blocks:
        for log in block.logs():
            sender, recipient = ("0x" + log["topics"][at][26:] for at in (1, 2))
            units = int(log["data"], 16)
            if log["address"] == TOKEN and units and {sender, recipient} & set(ours):
                where = log["transactionHash"], str(int(log["logIndex"], 16)), block.hash, block.number
                found.add(Truth(*where, sender, recipient, Decimal(units) / 10**6))
        for tx in block.txs if native else ():
            if tx.value and tx.status and {tx.sender, tx.to} & set(ours):
                where = tx.hash, "native", block.hash, block.number
                found.add(Truth(*where, tx.sender, str(tx.to), Decimal(tx.value) / 10**18))
    return found


def seen(shelf: Shelf) -> set[Truth]:
    """What the records say stands on the chain."""
    return {
        Truth(
            row.movement_id.split(":")[2],
            str(row.position),
            str(row.block_hash),
            row.block_number or 0,
            str(row.sender),
            str(row.recipient),
            row.amount,
        )
        for row in shelf.all(Movement)
        if row.status == "seen"
    }


def assert_exact(shelf: Shelf, node: FakeNode, **how: Any) -> None:
    """What lives is the chain's; a payment that does not is undone, and nothing else is."""
    rows = [row for row in shelf.all(Movement) if row.status == "seen"]
    assert len(rows) == len(seen(shelf)), "a transfer lives twice"
    assert seen(shelf) == truth(node, **how)
    movements = {row.movement_id: row for row in shelf.all(Movement)}
    for name, row in movements.items():
        assert row.payment_key == name.removesuffix(":retraction")
        if row.kind == "retraction":
            lost = movements[name.removesuffix(":retraction")]
            # A transaction that came back may hold another transfer at the same index, of another kind.
            stands = lost.status == "retracted" and lost.kind == "transfer"
            assert row.status == ("succeeded" if stands else "failed")
            assert row.status == "failed" or row.amount == lost.amount
        elif row.status != "seen":
            assert row.status == "retracted"
            undoing = movements.get(f"{name}:retraction")
            # Only a payment is undone; nobody was credited for a sweep, for gas or for a payment out.
            if row.kind == "transfer":
                assert undoing is not None
                assert undoing.status == "succeeded"
            elif undoing is not None:
                assert undoing.status == "failed"


def deposit(name: str, units: int = 1_000_000, *, to: str = OURS[0], sender: str = STRANGERS[0]) -> Tx:
    """A customer's payment in tokens."""
    return Tx(name, transfers=((TOKEN, sender, to, units),))


def test_the_fake_chain_links() -> None:
    """Blocks of the fake chain name their parents, and a lost branch stays known by hash alone."""
    node = FakeNode()
    node.mine(deposit("a"))
    lost = node.blocks[-1]
    node.drop(1)
    node.mine()
    assert node.blocks[1].parent == node.blocks[0].hash
    assert lost.hash in node.known
    assert lost not in node.blocks


def test_a_first_pull_is_exact_and_a_second_adds_nothing() -> None:
    """Pulling twice adds no version, and coverage is one window from the start to the head."""
    node, shelf = FakeNode(), Shelf()
    for number in range(40):
        node.mine(*([deposit(f"d{number}", number + 1)] if number % 3 else []))
    pull(node, shelf)
    assert_exact(shelf, node)
    versions = shelf.versions
    pull(node, shelf)
    assert shelf.versions == versions
    assert (min(shelf.windows)[0], max(shelf.windows)[1]) == (0, node.head + 1)
