"""Run every benchmark, one after another, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SKIPPED = {"__init__", "__main__", "soak", "soak_chains", "stripe_server", "evm_server", "evm_support"}


def main() -> int:
    """Run them all; the exit code is the worst of theirs."""
    names = sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem not in SKIPPED)
    worst = 0
    for name in names:
        print(f"== {name} ==", flush=True)
        worst = max(
            worst, subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
        )
    return worst


if __name__ == "__main__":
    sys.exit(main())
