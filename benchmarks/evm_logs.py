"""How fast transfer logs come from a node, beside web3.py reading the same logs in the same run.

    python -m benchmarks.evm_logs [--logs N] [--rounds R]

All read the same blocks of one anvil in ranges of 10 000 logs, which is what hosted nodes give at most.
web3.py reads one half of them before the others and the other half after; of the others the median counts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import orjson
from web3 import HTTPProvider, Web3

from benchmarks.evm_server import address
from benchmarks.evm_support import (
    CONNECTOR,
    FIRST,
    Burst,
    CountingTransport,
    Spent,
    burst,
    burst_token,
    empty_store,
    head_at,
    median,
    pulled,
    settings,
    timed,
)
from payhealth.connectors.evm.reading.book import book_of
from payhealth.connectors.evm.reading.filters import LogFilters
from payhealth.connectors.evm.reading.logs import read_logs
from payhealth.connectors.evm.reading.moves import Moves
from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.node import Node, Place
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.source import EvmSource
from payhealth.domain.records import Movement
from payhealth.sandbox.chain.artifacts import load

COLUMNS_TARGET, STORED_TARGET = 45, 20
LOGS_PER_BLOCK, LOGS_PER_RANGE = 500, 10_000
RANGE_BLOCKS = LOGS_PER_RANGE // LOGS_PER_BLOCK
_FLOOR, _COLUMNS, _ROWS = "bytes alone (the floor)", "RPC to columns", "RPC to rows in the store"


def by_web3(filled: Burst, ranges: Sequence[tuple[int, int]]) -> int:
    """web3.py's own reading and decoding of an event."""
    web3 = Web3(HTTPProvider(filled.chain.rpc_url))
    event = web3.eth.contract(address=filled.token, abi=load("BurstToken").abi).events.Transfer()
    return sum(len(event.get_logs(from_block=lower, to_block=upper)) for lower, upper in ranges)


def as_bytes(filled: Burst, configured: EvmSettings) -> int:
    """The floor: the same requests as the connector's, and nobody looks into the answers."""
    [one] = LogFilters(configured, sorted(configured.ours)).build(Place())
    total = 0
    with httpx.Client(timeout=60, trust_env=False) as client:
        for lower, upper in filled.ranges(RANGE_BLOCKS):
            asked = {**one, "fromBlock": hex(lower), "toBlock": hex(upper)}
            calls = [("eth_getLogs", [asked]), ("eth_blockNumber", [])]
            body = [
                {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                for number, (method, params) in enumerate(calls)
            ]
            headers = {"content-type": "application/json"}
            answer = client.post(filled.chain.rpc_url, content=orjson.dumps(body), headers=headers)
            total += len(answer.read())
    return total


def as_columns(filled: Burst, configured: EvmSettings) -> int:
    """The connector from the wire to columns: logs, exact amounts, ids."""
    book = book_of(CONNECTOR, configured)
    filters = LogFilters(configured, sorted(configured.ours)).build(Place())
    watched, count = book.ours, 0
    with closing(RpcClient(configured)) as client:
        node = Node(client, configured, full=False)
        for lower, upper in filled.ranges(RANGE_BLOCKS):
            raws = node.range_logs(lower, upper, filters)
            read = read_logs(
                raws, book, watched, lambda number, _, low=lower, high=upper: low <= number <= high
            )
            moves, refused = Moves.of_logs(read.reading.all_logs(), book)
            assert not refused
            count += len(moves.natural_ids(book.chain))
    return count


def as_rows(
    filled: Burst, configured: EvmSettings, logs: int, transport: CountingTransport | None = None
) -> Spent:
    """The whole connector, into a store of its own that is there already."""
    with empty_store() as store:

        def pull() -> None:
            source = EvmSource(CONNECTOR, configured, transport=transport)
            pulled(source, store, head_at(filled.chain))
            source.close()

        spent = timed(pull)
        _all_of(logs, len(store.records(Movement)))
        return spent


def measure(logs: int, rounds: int) -> bool:
    """Print the rates and their ratios; whether the targets are met."""
    with TemporaryDirectory() as folder, burst(logs, logs // LOGS_PER_BLOCK) as filled:
        recipients = map(address, range(FIRST, FIRST + logs))
        more = {"tokens": [burst_token(filled.token)], "max_block_range": RANGE_BLOCKS}
        url = filled.chain.rpc_url
        configured = settings(url, recipients, Path(folder), balances=False, **more)
        proved = configured.model_copy(update={"balances": True})
        parts: dict[str, Callable[[], Spent]] = {
            _FLOOR: lambda: timed(lambda: as_bytes(filled, configured)),
            _COLUMNS: lambda: timed(lambda: _all_of(logs, as_columns(filled, configured))),
            _ROWS: lambda: as_rows(filled, configured, logs),
            "the same, and all balances proved": lambda: as_rows(filled, proved, logs),
        }
        ranges, read = list(filled.ranges(RANGE_BLOCKS)), list[int]()
        half = len(ranges) // 2
        before = timed(lambda: read.append(by_web3(filled, ranges[:half])))
        spent: dict[str, list[Spent]] = {name: [] for name in parts}
        for _ in range(rounds):
            for name, part in parts.items():
                spent[name].append(part())
        after = timed(lambda: read.append(by_web3(filled, ranges[half:])))
        _all_of(logs, sum(read))
        counted, counted_proved = CountingTransport(), CountingTransport()
        as_rows(filled, configured, logs, counted)
        as_rows(filled, proved, logs, counted_proved)
    base = Spent(before.wall_s + after.wall_s, before.cpu_s + after.cpu_s)
    print(f"{logs:,} Transfer logs in {logs // LOGS_PER_BLOCK} blocks, {RANGE_BLOCKS} blocks a request")
    found = {name: median(one) for name, one in spent.items()}
    floor = found[_FLOOR]
    for name, one in {"web3.py get_logs": base, **found}.items():
        print(
            f"{name:34} {logs / one.wall_s:10,.0f} logs/s  {base.wall_s / one.wall_s:5.1f} x web3.py"
            f"  {one.wall_s / floor.wall_s:5.2f} x the floor's time  ({one.cpu_s:.2f} s of processor)"
        )
    print(f"RPC to rows: {counted.asked}; with balances: {counted_proved.asked}")
    print(f"calls with balances: {dict(counted_proved.asked.methods)}")
    columns, rows = (base.wall_s / found[name].wall_s for name in (_COLUMNS, _ROWS))
    print(
        f"to columns {columns:.1f} x (target {COLUMNS_TARGET}), to rows {rows:.1f} x (target {STORED_TARGET})"
    )
    return columns >= COLUMNS_TARGET and rows >= STORED_TARGET


def _all_of(logs: int, found: int) -> None:
    assert found == logs, f"{found} of {logs} logs were read"


def main() -> int:
    """Measure; 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--logs", type=int, default=100_000, help="a multiple of 500")
    parser.add_argument("--rounds", type=int, default=3, help="an odd number")
    options = parser.parse_args()
    return 0 if measure(options.logs, options.rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
