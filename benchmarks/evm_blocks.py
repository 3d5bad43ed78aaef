"""How fast whole blocks are scanned for native transfers, beside web3.py's batches of the same blocks.

    python -m benchmarks.evm_blocks [--blocks N] [--rounds R]

Both ask for as many blocks in one request. web3.py stops at blocks in Python's objects; the connector also
finds our transfers in them, and in the second figure asks for their receipts, as it has to.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import orjson
from web3 import HTTPProvider, Web3

from benchmarks.evm_server import address
from benchmarks.evm_support import BLOCK_S, CONNECTOR, FIRST, anvil, head_at, median, settings, timed
from payhealth.connectors.evm.reading.book import book_of
from payhealth.connectors.evm.reading.found import Reading
from payhealth.connectors.evm.reading.natives import close_natives, open_natives
from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.receipts import receipt_of
from payhealth.sandbox.chain.anvil import AnvilChain

TARGET = 1.5
PER_BLOCK, OURS_AMONG = 20, 20
"""Transactions in each block, and of how many one is ours."""

_RECIPIENTS = 200
"""Few, and paid again and again: an anvil keeps the state of many blocks."""

_WEI = 10**15


@contextmanager
def filled(blocks: int) -> Iterator[tuple[AnvilChain, range]]:
    """An anvil with so many blocks of native transfers, and their numbers."""
    with anvil() as chain, httpx.Client(trust_env=False, timeout=60) as client:
        # By anvil's own hand: signing so many would take most of the time.
        chain.rpc("anvil_autoImpersonateAccount", True)
        sender = chain.faucet_address
        nonce = int(chain.rpc("eth_getTransactionCount", sender, "latest"), 16)
        first = chain.head() + 1
        start_s = int(head_at(chain).timestamp())
        for place in range(blocks):
            calls = [("eth_sendTransaction", _payment(sender, nonce + number)) for number in range(PER_BLOCK)]
            calls.append(("evm_mine", hex(start_s + BLOCK_S * (place + 1))))
            nonce += PER_BLOCK
            for part in (calls[:-1], calls[-1:]):
                body = [
                    {"jsonrpc": "2.0", "id": number, "method": method, "params": [given]}
                    for number, (method, given) in enumerate(part)
                ]
                headers = {"content-type": "application/json"}
                answers = client.post(chain.rpc_url, content=orjson.dumps(body), headers=headers).json()
                assert all("error" not in one for one in answers), answers
        yield chain, range(first, first + blocks)


def _payment(sender: str, nonce: int) -> dict[str, str]:
    recipient = address(FIRST + nonce % _RECIPIENTS)
    return {"from": sender, "to": recipient, "value": hex(_WEI), "gas": hex(21_000), "nonce": hex(nonce)}


def by_web3(url: str, numbers: range, size: int) -> int:
    """Transactions in the blocks that web3.py's batches give."""
    web3 = Web3(HTTPProvider(url))
    count = 0
    for start in range(0, len(numbers), size):
        with web3.batch_requests() as batch:
            for number in numbers[start : start + size]:
                batch.add(web3.eth.get_block(number, True))
            count += sum(len(block["transactions"]) for block in batch.execute())
    return count


def by_connector(configured: EvmSettings, numbers: range, *, receipts: bool) -> int:
    """Our transfers in the blocks that the connector reads."""
    book, reading, candidates = book_of(CONNECTOR, configured), Reading(), 0
    with closing(RpcClient(configured)) as client:
        node = Node(client, configured, full=True)
        for start in range(0, len(numbers), configured.step_blocks):
            blocks = node.blocks(numbers[start : start + configured.step_blocks])
            found = open_natives(blocks, configured.ours, book, reading, by_logs=False)
            candidates += len(found.candidates)
            if receipts:
                wanted = sorted(found.wanted())
                read = (receipt_of(raw, op_stack=False) for raw in node.receipts(wanted))
                close_natives(found, dict(zip(wanted, read, strict=True)), book, reading)
    return len(reading.transfers) if receipts else candidates


def measure(blocks: int, rounds: int) -> bool:
    """Print the rates and their ratio; whether the target is met."""
    transactions = blocks * PER_BLOCK
    with TemporaryDirectory() as folder, filled(blocks) as (chain, numbers):
        mine = (address(FIRST + number) for number in range(0, _RECIPIENTS, OURS_AMONG))
        configured = settings(chain.rpc_url, mine, Path(folder), assets=("native",))
        size = configured.full_blocks_per_batch
        parts = {
            "web3.py batch_requests": lambda: by_web3(chain.rpc_url, numbers, size),
            "connector, transfers found": lambda: by_connector(configured, numbers, receipts=False),
            "connector, and receipts read": lambda: by_connector(configured, numbers, receipts=True),
        }
        wanted = (transactions, transactions // OURS_AMONG, transactions // OURS_AMONG)
        spent = {name: [] for name in parts}
        for _ in range(rounds):
            for (name, part), right in zip(parts.items(), wanted, strict=True):
                found: list[int] = []
                spent[name].append(timed(lambda part=part, into=found: into.append(part())))
                assert found == [right], f"{name}: {found} instead of {right}"
    print(f"{blocks:,} blocks of {PER_BLOCK} transactions, {size} in a request")
    base, plain, _ = (median(one) for one in spent.values())
    for name, times in spent.items():
        one = median(times)
        print(
            f"{name:30} {blocks / one.wall_s:8,.0f} blocks/s  {base.wall_s / one.wall_s:5.2f} x web3.py"
            f"  ({one.cpu_s:.2f} s of processor)"
        )
    ratio = base.wall_s / plain.wall_s
    print(f"{ratio:.2f} x (target {TARGET})")
    return ratio >= TARGET


def main() -> int:
    """Measure; 1 where the target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3, help="an odd number")
    options = parser.parse_args()
    return 0 if measure(options.blocks, options.rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
