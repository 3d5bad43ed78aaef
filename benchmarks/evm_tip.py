"""What a poll at the tip of a chain asks: HTTP requests, and the calls inside them.

    python -m benchmarks.evm_tip

One process polls an anvil again and again, each time after some new blocks, with payments to us in half of
them or in none. However many blocks came, the requests must stay two or three.
"""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.evm_server import address
from benchmarks.evm_support import (
    BLOCK_S,
    CONNECTOR,
    FIRST,
    Asked,
    CountingTransport,
    anvil,
    empty_store,
    head_at,
    pulled,
    settings,
)
from payhealth.connectors.evm.source import EvmSource
from payhealth.domain.errors import SourceError
from payhealth.sandbox.chain import token
from payhealth.sandbox.chain.anvil import AnvilChain
from payhealth.sandbox.chain.sending import Sending
from payhealth.store import SqlStore

NEW_BLOCKS = (1, 10, 60, 240)
MOST_REQUESTS = 3
OURS = 1_000
_UNITS, _WEI = 5_000_000, 10**15


def grow(chain: AnvilChain, blocks: int, *, paid: bool, seed: int) -> int:
    """Mine blocks at the usual pace, with two payments to us in every second; how many payments."""
    if not paid:
        chain.mine(at=head_at(chain) + timedelta(seconds=BLOCK_S * blocks), blocks=blocks)
        return 0
    payments = 0
    for place in range(blocks):
        at = head_at(chain) + timedelta(seconds=BLOCK_S)
        if place % 2:
            chain.mine(at=at)
            continue
        recipient = address(FIRST + (seed + place) % OURS)
        chain.mine_block(
            [
                Sending(
                    sender=chain.faucet_address,
                    to=chain.token_address,
                    data=token.mint(recipient, _UNITS),
                    gas=token.TOKEN_GAS_LIMIT,
                ),
                Sending(sender=chain.faucet_address, to=recipient, value=_WEI, gas=token.NATIVE_GAS_LIMIT),
            ],
            at=at,
        )
        payments += 2
    return payments


def polls(name: str, assets: tuple[str, ...]) -> bool:
    """Poll after each number of new blocks, without and with payments; whether requests stayed few."""
    transport, good = CountingTransport(), True
    with anvil() as chain, TemporaryDirectory() as folder, empty_store() as store:
        ours = map(address, range(FIRST, FIRST + OURS))
        tokens = [{"address": chain.token_address, "symbol": "USDX", "decimals": 6}]
        grow(chain, 50, paid=False, seed=0)
        configured = settings(
            chain.rpc_url, ours, Path(folder), assets=assets, tokens=tokens, start_block=chain.head()
        )
        source = EvmSource(CONNECTOR, configured, transport=transport)
        grow(chain, 100, paid=False, seed=0)
        source.verify()
        pulled(source, store, head_at(chain))
        held = 0
        for blocks in NEW_BLOCKS:
            for paid in (False, True):
                made = grow(chain, blocks, paid=paid, seed=held)
                held += made if "native" in assets else made // 2
                transport.asked = Asked()
                good &= poll(source, store, chain, transport)
                asked = transport.asked
                good &= asked.requests <= MOST_REQUESTS
                what = f"{made} payments" if paid else "nothing"
                print(f"{name:12} {blocks:>3} new blocks, {what:12}: {asked}  {_listed(asked)}", flush=True)
        source.close()
        [row] = store.rows("select count(*) as n from v_movements where status <> 'retracted'")
        assert int(row["n"]) == held, f"{row['n']} of {held} payments are in the store"
    return good


def poll(source: EvmSource, store: SqlStore, chain: AnvilChain, transport: CountingTransport) -> bool:
    """Verify and pull, as a tick of the daemon does."""
    try:
        source.verify()
        pulled(source, store, head_at(chain))
    except SourceError as error:
        print(f"the poll failed after {transport.asked}: {error}", file=sys.stderr)
        return False
    return True


def _listed(asked: Asked) -> str:
    return ", ".join(
        f"{method.removeprefix('eth_')} {count}" for method, count in sorted(asked.methods.items())
    )


def main() -> int:
    """Count; 1 where a poll takes more requests."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    good = polls("tokens", ())
    good &= polls("native too", ("native",))
    print(f"at most {MOST_REQUESTS} requests a poll: {good}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
