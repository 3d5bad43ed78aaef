"""What was planted, written down at the moment of planting: what a reconciliation has to find."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from payhealth.sandbox.business.ledger import iso


@dataclass(frozen=True, kw_only=True)
class PlantedFault:
    """One fault of the credit service and the break it must become."""

    fault: str
    """What went wrong, in the business's words."""
    reason: str
    """The break's primary reason."""
    ids: tuple[str, ...]
    """Ids of the movements and entries of the break. A movement that another one undoes has an id here,
    the undoing or restoring movement only where the vendor gives it an id of its own."""
    payment_references: tuple[str, ...]
    """Every id by which a ledger entry may name the payment; empty where there was no payment."""
    account: str
    """The account that paid, or that was credited where nobody paid."""
    amount: str
    """Expected minus entered, summed over the accounts of the asset; exact and signed."""
    at_risk: str
    """The largest leg, unsigned: differs from ``amount`` where legs cancel over accounts."""
    asset: str
    planted_at: str


@dataclass(frozen=True, kw_only=True)
class PlantedCheck:
    """Something that no break shows and a check must find."""

    check: str
    begins_at: str
    ends_at: str
    attempts: int
    failed: int


class TruthBook:
    """Collects what was planted, in the order of planting."""

    def __init__(self, *, seed: int, start: datetime, end: datetime) -> None:
        self._head = {"seed": seed, "start": iso(start), "end": iso(end)}
        self._faults: list[PlantedFault] = []
        self._checks: list[PlantedCheck] = []

    @property
    def faults(self) -> tuple[PlantedFault, ...]:
        """The faults planted so far."""
        return tuple(self._faults)

    @property
    def checks(self) -> tuple[PlantedCheck, ...]:
        """The findings planted so far that a check has to make."""
        return tuple(self._checks)

    def plant(
        self,
        *,
        fault: str,
        reason: str,
        ids: tuple[str, ...],
        payment_references: tuple[str, ...],
        account: str,
        amount: Decimal,
        asset: str,
        at: datetime,
        at_risk: Decimal | None = None,
    ) -> None:
        """Write one fault down; without ``at_risk`` the whole amount stands on one leg."""
        largest = abs(amount) if at_risk is None else at_risk
        self._faults.append(
            PlantedFault(
                fault=fault,
                reason=reason,
                ids=ids,
                payment_references=payment_references,
                account=account,
                amount=format(amount, "f"),
                at_risk=format(largest, "f"),
                asset=asset,
                planted_at=iso(at),
            )
        )

    def plant_burst(self, *, begins_at: datetime, ends_at: datetime, attempts: int) -> None:
        """Write a burst of failed attempts down."""
        self._checks.append(
            PlantedCheck(
                check="failure_rate",
                begins_at=iso(begins_at),
                ends_at=iso(ends_at),
                attempts=attempts,
                failed=attempts,
            )
        )

    def document(self) -> dict[str, Any]:
        """The whole truth as JSON can hold it."""
        return {
            **self._head,
            "faults": [asdict(fault) for fault in self._faults],
            "checks": [asdict(check) for check in self._checks],
        }

    def write(self, path: Path) -> None:
        """Write the truth so far to a JSON file."""
        path.write_text(json.dumps(self.document(), indent=2) + "\n", encoding="utf-8")
