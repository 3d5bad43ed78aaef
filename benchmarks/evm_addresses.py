"""Very many addresses against very many logs: exact, in few requests, with either kind of filter.

    python -m benchmarks.evm_addresses [--addresses N] [--logs N]

Half of the logs pay one of ours. What the connector keeps is held against a count over all of the token's
logs that a plain loop makes.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.evm_logs import LOGS_PER_BLOCK, RANGE_BLOCKS
from benchmarks.evm_server import address
from benchmarks.evm_support import (
    CONNECTOR,
    FIRST,
    Burst,
    CountingTransport,
    burst,
    burst_token,
    empty_store,
    head_at,
    pulled,
    settings,
    timed,
)
from payhealth.connectors.evm.source import EvmSource
from payhealth.domain.records import Movement

_AT_THE_ENDS = {"most_filters": 1000, "addresses_per_filter": 1000}
_MODES: dict[str, dict[str, Any]] = {"the token's whole logs": {}, "filtered by address": _AT_THE_ENDS}
_SIX = Decimal(10) ** 6

Paid = Counter[tuple[str, str, Decimal]]


def ours(count: int) -> list[str]:
    """As many addresses: every second one of the recipients, then others that nobody pays."""
    return [address(FIRST + 2 * number) for number in range(count)]


def naive(filled: Burst, mine: set[str]) -> Paid:
    """What was paid to us, by a plain loop over every log: transaction, recipient, amount."""
    found: Paid = Counter()
    for lower, upper in filled.ranges(RANGE_BLOCKS):
        asked = {"address": filled.token, "fromBlock": hex(lower), "toBlock": hex(upper)}
        for log in filled.chain.rpc("eth_getLogs", asked):
            recipient = "0x" + log["topics"][2][-40:]
            if recipient in mine:
                found[log["transactionHash"], recipient, int(log["data"], 16) / _SIX] += 1
    return found


def kept(filled: Burst, addresses: list[str], mode: dict[str, Any], counted: CountingTransport) -> Paid:
    """What the connector puts into a store, read back from it."""
    with TemporaryDirectory() as folder, empty_store() as store:
        more = {"tokens": [burst_token(filled.token)], "max_block_range": RANGE_BLOCKS, "timeout_s": 300}
        configured = settings(filled.chain.rpc_url, addresses, Path(folder), **more, **mode)
        source = EvmSource(CONNECTOR, configured, transport=counted)
        pulled(source, store, head_at(filled.chain))
        source.close()
        read = store.records(Movement)
        names = (read.column(name).to_pylist() for name in ("movement_id", "recipient", "amount"))
        # An id is the chain's two parts, the transaction and the place in its block.
        return Counter((name.split(":")[2], *rest) for name, *rest in zip(*names, strict=True))


def main() -> int:
    """Measure; 1 where anything is missing or too much."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--addresses", type=int, default=100_000)
    parser.add_argument("--logs", type=int, default=100_000, help="a multiple of 500")
    options = parser.parse_args()
    addresses, good = ours(options.addresses), True
    with burst(options.logs, options.logs // LOGS_PER_BLOCK) as filled:
        truth = naive(filled, set(addresses))
        print(f"{len(addresses):,} addresses, {options.logs:,} logs, {truth.total():,} of them ours")
        for name, mode in _MODES.items():
            counted, found = CountingTransport(), list[Paid]()
            spent = timed(
                lambda mode=mode, to=counted, into=found: into.append(kept(filled, addresses, mode, to))
            )
            exact = found == [truth]
            good &= exact
            print(
                f"{name:24} exact: {exact}; {counted.asked} {dict(counted.asked.methods)},"
                f" {spent.wall_s:.1f} s ({spent.cpu_s:.1f} s of processor)",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
