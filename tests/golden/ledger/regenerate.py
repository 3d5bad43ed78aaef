"""Golden pairs of the ledger translator: the rows of a query, and the records they become.

``python -m tests.golden.ledger.regenerate`` writes the expected records anew; read the difference
before keeping it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from payhealth.connectors.ledger.translate import EntryRules, entry, handle
from payhealth.domain.records import EntryKind
from tests.golden.evm.regenerate import shown

CASES = Path(__file__).parent / "cases"


def cases() -> list[str]:
    """The names of all pairs."""
    return sorted(path.name.removesuffix(".rows.json") for path in CASES.glob("*.rows.json"))


def translated(name: str) -> list[dict[str, Any]]:
    """What the translator makes of the rows now."""
    case = json.loads((CASES / f"{name}.rows.json").read_text())
    if case["stream"] == "handles":
        return [shown(handle(row, "attribution")) for row in case["rows"]]
    kinds = {key: EntryKind(value) for key, value in case["kinds"].items()}
    found = [entry(row, EntryRules(connector="credits", kinds=kinds)) for row in case["rows"]]
    return [shown(record) for record in found if record is not None]


def expected(name: str) -> list[dict[str, Any]]:
    """What the pair says."""
    found: list[dict[str, Any]] = json.loads((CASES / f"{name}.records.json").read_text())
    return found


def main() -> None:
    """Write every pair's records anew."""
    for name in cases():
        text = json.dumps(translated(name), indent=1)
        (CASES / f"{name}.records.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
