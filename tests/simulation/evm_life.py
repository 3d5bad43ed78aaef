"""A business that lives on a chain by seeded chance, through reorgs that take and give back."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from payhealth.sandbox.chain.anvil import AnvilChain
from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.evm import TransactionRefusedError
from payhealth.sandbox.chain.rpc import build_app
from payhealth.sandbox.chain.sending import Item, Placed, Withdrawal
from payhealth.sandbox.serve import LoopbackServer
from tests.auditor.evm_facts import Business
from tests.auditor.evm_node import Node
from tests.sandbox.chains import GENESIS_AT
from tests.simulation.evm_acts import DUST_NATIVE, DUST_TOKEN, Acts, Cast, settled_in

FINAL_DEPTH = 32
DEEPEST = 30
DEVCHAIN, ANVIL = "devchain", "anvil"
_NATIVE = ("ETH", "eip155:31337/slip44:60")
_NOBODY = "0x" + "11" * 20


@dataclass(frozen=True)
class Sent:
    """A transaction as it was mined once."""

    sender: str
    nonce: int
    block: int
    index: int


class Life:
    """A chain and the business on it.

    Args:
        chain: young, with nothing but the token.
        url: where it answers.
        kind: ``devchain`` or ``anvil``.
        final_depth: how far below the head a block is final; no reorg goes so deep.
    """

    def __init__(self, chain: Any, url: str, kind: str, seed: int, *, final_depth: int = FINAL_DEPTH) -> None:
        self.chain, self.url, self.kind = chain, url, kind
        self.final_depth = final_depth
        self.chance = random.Random(f"{kind} {seed}")
        self.at = GENESIS_AT
        self.cast: Cast = settled_in(chain, self.later)
        self.acts = Acts(self.cast, self.chance, traced=kind == ANVIL)
        self.base = self.head()
        """The newest block that no reorg takes."""
        self.highest = self.base
        self.reorgs: list[int] = []
        self.returned = 0
        self._node = Node(url)
        self._sent: dict[str, Sent] = {}
        self._withdrawn: dict[int, int] = {}

    def close(self) -> None:
        """Let go of the connection."""
        self._node.close()

    def later(self) -> datetime:
        """The next moment."""
        self.at += timedelta(seconds=self.chance.randrange(12, 90))
        return self.at

    def head(self) -> int:
        """The newest block's number."""
        return int(self.chain.head())

    def business(self) -> Business:
        """The same business in the auditor's words."""
        caip2, cast = f"eip155:{self.chain.chain_id}", self.cast
        dust = {f"{caip2}/erc20:{cast.usdx.lower()}": Decimal(DUST_TOKEN), _NATIVE[1]: Decimal(DUST_NATIVE)}
        return Business(
            chain_id=self.chain.chain_id,
            addresses=frozenset(cast.ours),
            operators=frozenset({cast.operator}),
            tokens={cast.usdx: ("USDX", 6), cast.auth: ("AUTH", 6)},
            native=_NATIVE,
            coinbase_contracts=frozenset({cast.coinbase}),
            coinbase_operators=frozenset({cast.intents}),
            escrows=frozenset({cast.escrow}),
            eip3009_tokens=frozenset({cast.auth}),
            dust=dust,
            traces=self.kind == ANVIL,
        )

    def settings(self) -> dict[str, Any]:
        """The same business as its configuration has it, without how it is read."""
        cast = self.cast
        return {
            "chain_id": self.chain.chain_id,
            "rpc_urls": [self.url],
            "addresses": cast.ours,
            "operators": [cast.operator],
            "assets": ["native"],
            "tokens": [
                {"address": cast.usdx, "symbol": "USDX", "decimals": 6},
                {"address": cast.auth, "symbol": "AUTH", "decimals": 6, "eip3009": True},
            ],
            "dust": {"USDX": DUST_TOKEN, "native": DUST_NATIVE},
            "coinbase_operators": [cast.intents],
            "chain": {"coinbase_transfers": [cast.coinbase], "escrows": [cast.escrow]},
            "backoff_ms": 1,
        }

    # What happens.

    def step(self) -> None:
        """Something happens: blocks with acts, empty blocks, or a reorg."""
        roll = self.chance.random()
        if roll < 0.3:
            self.reorg()
        elif roll < 0.4:
            self.quiet(self.chance.randrange(1, 6))
        else:
            for _ in range(self.chance.randrange(1, 4)):
                self.mine()

    def quiet(self, blocks: int) -> None:
        """Empty blocks."""
        self.at += timedelta(seconds=12 * blocks)
        self.chain.mine(at=self.at, blocks=blocks)
        self._grown()

    def mine(self) -> None:
        """One block of acts, and of transactions that a reorg dropped where they can still be mined."""
        orders: list[Item] = [one for _ in range(self.chance.randrange(1, 4)) for one in self.acts.one()]
        back = self._merged(self._returning(self._pending(self.head())), [1]) if self._may_return() else []
        senders = {self._sent[item.what].sender for item in back if isinstance(item.what, str)}
        orders = [one for one in orders if not isinstance(one, str) and one.sender.lower() not in senders]
        place = self.chance.choice([0, len(orders)])
        orders[place:place] = [item.what for item in back]
        extra: dict[str, Any] = {}
        if self.kind == DEVCHAIN and self.chance.random() < 0.15:
            extra["withdrawals"] = self._withdrawals()
        try:
            self.chain.mine_block(orders, at=self.later(), **extra)
        except TransactionRefusedError:
            return
        self.returned += len(back)
        if extra:
            self._withdrawn[self.head()] = 1
        self._grown()

    def reorg(self) -> None:
        """Lose blocks, never final ones, to a longer branch that holds some of what they held."""
        deepest = min(DEEPEST, self.head() - self.base, self.head() - (self.highest - self.final_depth) - 1)
        if deepest < 1:
            return
        depth = min(
            deepest, self.chance.choice([self.chance.randrange(1, 6), self.chance.randrange(1, DEEPEST + 1)])
        )
        fork, blocks = self.head() - depth, depth + self.chance.choice([1, 1, 2, 4])
        again = self._branch(fork, blocks, self._learned(range(fork + 1, self.head() + 1)))
        at = self.at = self.at + timedelta(seconds=12 * blocks)
        try:
            self.chain.drop(depth, at=at, blocks=blocks, again=again)
            self.returned += sum(isinstance(item.what, str) for item in again)
        except TransactionRefusedError:
            if self.kind == DEVCHAIN:  # nothing was changed; anvil's branch merely ends early
                self.chain.drop(depth, at=at, blocks=blocks)
        self.reorgs.append(depth)
        self._withdrawn = {number: count for number, count in self._withdrawn.items() if number <= fork}
        self._grown()

    def _grown(self) -> None:
        self.highest = max(self.highest, self.head())

    def _withdrawals(self) -> list[Withdrawal]:
        """One more payment of the beacon chain: the sandbox counts them a block, a real chain throughout."""
        before = sum(self._withdrawn.values())
        paid = Withdrawal(
            recipient=self.cast.treasury, amount_gwei=self.chance.choice([10**6, 10**7 + before])
        )
        return [*(Withdrawal(recipient=_NOBODY, amount_gwei=0) for _ in range(before)), paid]

    # What was dropped and may return.

    def _may_return(self) -> bool:
        return bool(self.chain.dropped()) and self.chance.random() < 0.3

    def _learned(self, numbers: Sequence[int]) -> list[str]:
        """The transactions of some blocks, in order; where each stands is remembered."""
        found: list[str] = []
        for number in numbers:
            block = self._node.ask("eth_getBlockByNumber", hex(number), True)
            for index, sent in enumerate(block["transactions"]):
                self._sent[sent["hash"]] = Sent(sent["from"].lower(), int(sent["nonce"], 16), number, index)
                found.append(sent["hash"])
        return found

    def _pending(self, fork: int) -> dict[str, list[str]]:
        """What each sender could send again on top of a block, in the order of its nonces."""
        lost = [name for name, sent in self._sent.items() if sent.block > fork]
        by_sender: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        for name in dict.fromkeys([*self.chain.dropped(), *lost]):
            sent = self._sent[name]
            if sent.sender != self.cast.noise.lower():
                by_sender[sent.sender][sent.nonce].append(name)
        found: dict[str, list[str]] = {}
        for sender, by_nonce in by_sender.items():
            nonce = int(self._node.ask("eth_getTransactionCount", sender, hex(fork)), 16)
            while nonce in by_nonce:
                found.setdefault(sender, []).append(self.chance.choice(by_nonce[nonce]))
                nonce += 1
        return found

    def _returning(self, pending: dict[str, list[str]]) -> list[list[str]]:
        whole = self.chance.random() < 0.25
        kept = (
            names if whole else names[: self.chance.randrange(len(names) + 1)] for names in pending.values()
        )
        return [names for names in kept if names]

    def _merged(self, queues: list[list[str]], blocks: Sequence[int]) -> list[Placed]:
        """Each sender's transactions in their order, spread over blocks, senders mixed."""
        entries: list[tuple[int, float, str]] = []
        for names in queues:
            places = sorted((self.chance.choice(blocks), self.chance.random()) for _ in names)
            entries += [(block, order, name) for (block, order), name in zip(places, names, strict=True)]
        return [Placed(what=name, block=block) for block, _, name in sorted(entries)]

    def _branch(self, fork: int, blocks: int, dropped: list[str]) -> list[Placed]:
        """What a new branch holds: nothing, the same in the same places, or some of it anywhere."""
        roll = self.chance.random()
        if roll < 0.3:
            return []
        pending = self._pending(fork)
        if roll < 0.45:
            chosen = set(dropped)
            whole = {name for queue in pending.values() for name in _unbroken(queue, chosen)}
            return [
                Placed(what=name, block=self._sent[name].block - fork) for name in dropped if name in whole
            ]
        back = self._merged(self._returning(pending), range(1, self.chance.choice([1, blocks]) + 1))
        noise = [
            Placed(what=self.acts.noise(), block=block)
            for block in sorted({item.block for item in back})
            if self.chance.random() < 0.5
        ]
        return [*noise, *back]


def _unbroken(queue: list[str], chosen: set[str]) -> list[str]:
    found = []
    for name in queue:
        if name not in chosen:
            break
        found.append(name)
    return found


@contextmanager
def lived(
    kind: str, seed: int, *, max_block_range: int | None = None, final_depth: int = FINAL_DEPTH
) -> Iterator[Life]:
    """A life on a fresh chain of a kind, behind HTTP.

    Args:
        max_block_range: the most blocks that the node takes in one range; py-evm's only.
    """
    with ExitStack() as stack:
        if kind == ANVIL:
            anvil = stack.enter_context(
                AnvilChain(seed=seed, genesis_at=GENESIS_AT, safe_depth=final_depth // 2, states_kept=1000)
            )
            life = Life(anvil, anvil.rpc_url, kind, seed, final_depth=final_depth)
        else:
            chain = DevChain(
                seed=seed, genesis_at=GENESIS_AT, finality_depth=final_depth, safe_depth=final_depth // 2
            )
            server = stack.enter_context(LoopbackServer(build_app(chain, max_block_range=max_block_range)))
            life = Life(chain, server.url, kind, seed, final_depth=final_depth)
        stack.callback(life.close)
        yield life
