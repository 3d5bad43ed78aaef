"""Businesses that live on chains through reorgs, kills and restarts, at many seeds, held against the auditor.

Run it from the project's folder: what lives and what judges is the suite's own.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from payhealth.sandbox.chain.anvil import find_anvil
from tests.simulation.evm_life import ANVIL, DEVCHAIN
from tests.simulation.evm_run import run

_SHOWN = 5


def one(kind: str, seed: int, steps: int, *, each_block: bool) -> bool:
    """Live through one seed and print how it ended; whether all was as it must be."""
    started_s = time.monotonic()
    with TemporaryDirectory() as folder:
        try:
            ended = run(kind, seed, Path(folder), steps=steps, each_block=each_block)
        except Exception:  # noqa: BLE001 - one seed that breaks down must not hide the others
            print(f"{kind} {seed}: RAISED", flush=True)
            traceback.print_exc(limit=-8)
            return False
    print(f"{kind} {seed}: {ended} ({time.monotonic() - started_s:.0f} s)", flush=True)
    for sentence in ended.differences[:_SHOWN]:
        print(f"    {sentence}", flush=True)
    return not ended.differences


def soak(kinds: list[str], seeds: range, steps: int, *, each_block: bool) -> int:
    """Live through many seeds of each kind; returns 1 if one of them ends wrong."""
    wrong: list[str] = []
    for kind in kinds:
        if kind == ANVIL and find_anvil() is None:
            print("anvil: skipped, it is not installed ($ANVIL, the PATH and node_modules were searched)")
            continue
        wrong += [f"{kind} {seed}" for seed in seeds if not one(kind, seed, steps, each_block=each_block)]
    verdict = f"wrong: {', '.join(wrong)}" if wrong else "all exact"
    print(f"chains: {len(seeds)} seeds of {' and '.join(kinds)}: {verdict}")
    return 1 if wrong else 0


def main() -> int:
    """Run the kinds that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first", type=int, default=1000, help="the first seed")
    parser.add_argument(
        "--steps", type=int, default=25, help="what happens between the first and the last pull"
    )
    parser.add_argument("--each-block", action="store_true", help="the auditor proves itself block by block")
    parser.add_argument("--kind", choices=[DEVCHAIN, ANVIL, "both"], default="both")
    chosen = parser.parse_args()
    kinds = [DEVCHAIN, ANVIL] if chosen.kind == "both" else [chosen.kind]
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    return soak(kinds, seeds, chosen.steps, each_block=chosen.each_block)


if __name__ == "__main__":
    sys.exit(main())
