"""A clerk who credits deposits when chance says so: before a reorg, between loss and return, and after."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal

from payhealth import pipeline
from payhealth.domain.chain_records import PaymentEvent
from payhealth.domain.records import Entry, Handle, Movement
from payhealth.domain.times import EPOCH
from payhealth.matching.model import parse_rules
from payhealth.outcomes import ReconcileReport
from payhealth.ports import Batch
from payhealth.testing import FixedClock
from tests.simulation.evm_pull import Puller

LEDGER = "credits"
SIGNED = "eip3009:"
"""What an entry writes before the nonce of an authorised transfer."""
_LATEST = 12
"""After how many looks a deposit is credited at the latest, where it is credited at all."""


class Clerk:
    """Credits what the store says was paid.

    Args:
        puller: whose books; they must be of the store that ships.
    """

    def __init__(self, puller: Puller, *, seed: int) -> None:
        self._puller = puller
        self._chance = random.Random(f"clerk {seed}")
        self._planned: dict[str, int | None] = {}
        self._looks = 0
        self.credited: dict[str, str] = {}
        """Movement -> the reference that its entry carries."""
        self.stands_at_credit: Counter[str] = Counter()
        self._amounts: dict[str, Decimal] = {}
        self.clawed_back: set[str] = set()
        chain = f"eip155:{puller.life.chain.chain_id}"
        ours = [address.lower() for address in puller.life.cast.ours]
        self._accounts = {f"{chain}:{address}": f"account-{number}" for number, address in enumerate(ours)}
        handles = [
            Handle(connector=LEDGER, handle=handle, account=account, valid_from=EPOCH)
            for handle, account in self._accounts.items()
        ]
        puller.books.reader.commit(LEDGER, Batch(stream="handles", records={Handle: handles}))

    def _deposits(self) -> dict[str, Movement]:
        rows = self._puller.rows(Movement)
        return {row.movement_id: row for row in rows if row.kind == "transfer"}

    def look(self) -> None:
        """Credit what is due by now, standing or lost, and plan for what is new."""
        self._looks += 1
        deposits = self._deposits()
        for name in deposits:
            if name not in self._planned:
                soon = self._looks + self._chance.choice([0, 0, 1, 2, 4, _LATEST])
                self._planned[name] = soon if self._chance.random() < 0.8 else None
        due = [
            name
            for name, when in self._planned.items()
            if when is not None and when <= self._looks and name not in self.credited and name in deposits
        ]
        self._credit([deposits[name] for name in due])

    def credit(self, names: list[str], *, reference: str | None = None) -> None:
        """Credit some deposits now, as the store has them now.

        Args:
            reference: what their entries carry, by default the movement's own id.
        """
        deposits = self._deposits()
        for name in names:
            self.credited[name] = reference or name
        self._enter([self._entry(deposits[name], "purchase") for name in names])

    def reconciled(self) -> ReconcileReport:
        """A reconciliation long after everything."""
        source, as_of = self._puller.source(), self._as_of()
        store = self._puller.books.reader
        report = pipeline.reconcile(store, [source], parse_rules({}), as_of=as_of, history=False)
        source.close()
        return report

    def _as_of(self) -> datetime:
        return self._puller.life.at + timedelta(days=30)

    def catch_up(self) -> None:
        """Credit all that was planned, at the end."""
        self._looks += _LATEST
        self.look()

    def claw_back(self) -> None:
        """Take back every second credit of what is gone for good."""
        gone = [row for row in self._deposits().values() if row.status == "retracted"]
        chosen = [row for row in gone if row.movement_id in self.credited and self._chance.random() < 0.5]
        self.clawed_back = {row.movement_id for row in chosen}
        self._enter([self._entry(row, "reversal") for row in chosen])

    def _credit(self, rows: list[Movement]) -> None:
        for row in rows:
            self.credited[row.movement_id] = self._reference(row)
            self._amounts[row.movement_id] = row.amount
            self.stands_at_credit[row.status] += 1
        self._enter([self._entry(row, "purchase") for row in rows])

    def _entry(self, row: Movement, kind: str) -> Entry:
        return Entry(
            connector=LEDGER,
            entry_id=f"{kind} {row.movement_id}",
            kind=kind,
            account=self._accounts[row.handle],
            reference=self.credited[row.movement_id],
            amount=row.amount if kind == "purchase" else -row.amount,
            asset=row.asset,
            effective_at=self._puller.life.at,
        )

    def _enter(self, entries: list[Entry]) -> None:
        if entries:
            batch = Batch(stream="entries", records={Entry: entries})
            self._puller.books.reader.commit(LEDGER, batch)

    def _reference(self, row: Movement) -> str:
        """Any id that names this deposit alone: its own, its place, its nonce, or the bare transaction."""
        transaction = row.movement_id.split(":")[2]
        found = [row.movement_id]
        if transaction.startswith("0x"):
            beside = [name for name in self._puller_movements() if f":{transaction}:" in name]
            if beside == [row.movement_id]:
                found += [transaction, f"{transaction}:{row.position}"]
        found += [
            f"{SIGNED}{event.external_id}"
            for event in self._puller.rows(PaymentEvent)
            if event.movement_id == row.movement_id and event.kind == "authorization_used"
        ][:1]
        return self._chance.choice(found)

    def _puller_movements(self) -> list[str]:
        return [row.movement_id for row in self._puller.rows(Movement) if row.kind != "retraction"]

    # What a reconciliation must say.

    def differences(self) -> list[str]:
        """Every deposit whose reconciliation is not as it must be."""
        source = self._puller.source()
        pulled = pipeline.pull([source], self._puller.books.reader, FixedClock(self._as_of()))
        source.close()
        report = self.reconciled()
        found = [str(hole) for hole in report.holes]
        found += [
            f"one more pull added: {one}" for one in pulled.streams if one.new or one.changed or one.rejected
        ]
        return found + [
            f"{name} ({row.status}, credited by {self.credited.get(name)}) is {told} instead of {wanted}"
            for name, row in self._deposits().items()
            # A call that came back may have given what was there then, which is another amount.
            if self._amounts.get(name, row.amount) == row.amount
            if name in self.credited or name not in self._refunded()
            if (told := said(report, name)) != (wanted := self._wanted(name, row))
        ]

    def _wanted(self, name: str, row: Movement) -> str:
        credited = name in self.credited
        if row.status == "retracted":
            return "reorg_not_clawed_back" if credited and name not in self.clawed_back else "at rest"
        if name in self._refunded():
            return "refund_not_clawed_back"
        return "confirmed" if credited else "paid_not_credited"

    def _refunded(self) -> set[str]:
        """Deposits of which something was given back."""
        rows = self._puller.rows(Movement)
        return {row.payment_key for row in rows if row.kind == "refund" and row.status == "seen"}


def said(report: ReconcileReport, name: str) -> str:
    """What a report says of a deposit, together with its retraction."""
    names = {name, f"{name}:retraction"}
    for row in report.breaks.to_pylist():
        if names & set(row["movement_ids"]):
            return str(row["primary_reason"])
    for row in report.open.to_pylist():
        if row["id"] in names:
            return f"open, {row['why']}"
    for row in report.matches.to_pylist():
        if names & set(row["movement_ids"]):
            return "at rest" if f"{name}:retraction" in row["movement_ids"] else str(row["state"])
    return "at rest"
