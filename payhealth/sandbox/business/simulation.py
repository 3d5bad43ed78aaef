"""A business that sells credits for card payments and for deposits on a chain, simulated."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from payhealth.sandbox.business import faults as planted
from payhealth.sandbox.business.cards import CardDesk, CardRoutine
from payhealth.sandbox.business.crypto import Addresses, ChainDesk
from payhealth.sandbox.business.ledger import CreditLedger, EntryWord
from payhealth.sandbox.business.plan import make_plan
from payhealth.sandbox.business.service import CreditService
from payhealth.sandbox.business.timeline import Timeline
from payhealth.sandbox.business.truth import TruthBook
from payhealth.sandbox.business.window import Window
from payhealth.sandbox.interfaces import CardProcessor, Chain

CARD_PER_DAY = 30
CRYPTO_PER_DAY = 6
PROMOS_PER_DAY = 3
SPENDS_PER_DAY = 40


class CreditsBusiness:
    """A seeded business, its customers, its faults, and the truth about them.

    Args:
        seed: decides everything together with the window.
        start: the first simulated moment (aware).
        end: the last one; the burst, the reorg and the quiet lie at fixed distances before it.
        processor: where cards are charged.
        chain: where deposits arrive.
        ledger_path: a SQLite database to create.
        truth_path: a JSON file for the truth, written at the end of each phase; None for no file.
        finality_depth: how many blocks must stand on a deposit's block before it is credited.
        faults: how often each fault is planted, by name; none for a business that makes no mistakes.
        card_per_day: card purchases a day; short histories have at least 110 in all.
        crypto_per_day: deposits a day; short histories have at least 12 in all.

    Raises:
        ValueError: a fault that does not exist, or a history too short for what must happen in it.
        FileExistsError: there is a ledger already.
    """

    def __init__(
        self,
        *,
        seed: int,
        start: datetime,
        end: datetime,
        processor: CardProcessor,
        chain: Chain,
        ledger_path: Path,
        truth_path: Path | None = None,
        finality_depth: int = 5,
        faults: Mapping[str, int] = planted.DEFAULT_FAULTS,
        card_per_day: int = CARD_PER_DAY,
        crypto_per_day: int = CRYPTO_PER_DAY,
    ) -> None:
        planted.check_names(faults)
        self.window = window = Window.of(start, end)
        self.truth = TruthBook(seed=seed, start=window.start, end=window.end)
        self._truth_path = truth_path
        self._processor = processor
        self._plan = make_plan(
            seed=seed, window=window, faults=faults, card_per_day=card_per_day, crypto_per_day=crypto_per_day
        )
        self._rng = Random(f"{seed}/business")
        self._timeline = Timeline(window.start)
        self._ledger = CreditLedger(ledger_path)
        self._service = self._make_service(seed)
        self._cards, self._routine = self._make_card_side(seed)
        self._chain_desk = ChainDesk(
            chain=chain,
            plan=self._plan,
            service=self._service,
            timeline=self._timeline,
            window=window,
            finality_depth=finality_depth,
        )
        self._chain_desk.write_handles(self._ledger)
        self._expect_everything()

    @property
    def addresses(self) -> Addresses:
        """The addresses of the business and of its customers."""
        return self._chain_desk.addresses

    def run_until_before_reorg(self) -> None:
        """The first phase: everything up to an hour before the end, an early credit included."""
        self._run_until(self.window.before_reorg)

    def run_to_end(self) -> None:
        """The second phase: the reorg and a little light life; runs the first one where it has not run."""
        self._run_until(self.window.end)

    def close(self) -> None:
        """Close the ledger's database."""
        self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make_service(self, seed: int) -> CreditService:
        return CreditService(
            ledger=self._ledger,
            timeline=self._timeline,
            truth=self.truth,
            rng=Random(f"{seed}/service"),
            accounts=list(self._plan.accounts),
        )

    def _make_card_side(self, seed: int) -> tuple[CardDesk, CardRoutine]:
        desk = CardDesk(
            processor=self._processor,
            service=self._service,
            timeline=self._timeline,
            window=self.window,
            rng=Random(f"{seed}/cards"),
        )
        routine = CardRoutine(
            processor=self._processor,
            timeline=self._timeline,
            window=self.window,
            rng=Random(f"{seed}/routine"),
            truth=self.truth,
        )
        return desk, routine

    def _run_until(self, moment: datetime) -> None:
        self._timeline.run_until(moment)
        self._processor.advance_to(moment)
        self._ledger.commit()
        if self._truth_path is not None:
            self.truth.write(self._truth_path)

    def _expect_everything(self) -> None:
        for purchase in self._plan.card:
            self._cards.expect(purchase)
        first, *others = self._plan.light
        self._cards.refund_soon(first, after=timedelta(minutes=5))
        for purchase in others:
            self._cards.expect(purchase)
        for unpaid in self._plan.unpaid:
            credit = planted.UnpaidCredit(fault=unpaid.fault, account=unpaid.account)
            self._timeline.at(unpaid.at, partial(credit.write, self._service, self.truth))
        self._routine.expect()
        self._chain_desk.expect()
        self._expect_usage()

    def _expect_usage(self) -> None:
        """Promotions and usage: entries beside purchases that no payment explains and none must."""
        window = self.window
        for _ in range(round(PROMOS_PER_DAY * window.days)):
            at = planted.random_moment(self._rng, window.busy_from, window.busy_until)
            self._timeline.at(at, self._promote)
        for _ in range(round(SPENDS_PER_DAY * window.days)):
            at = planted.random_moment(self._rng, window.busy_from, window.busy_until)
            self._timeline.at(at, self._spend)
        for minutes in (40, 33, 20, 9, 1):
            self._timeline.at(window.end - timedelta(minutes=minutes), self._spend)

    def _promote(self, at: datetime) -> None:
        code = self._rng.choice(("WELCOME5", "SPRING10", "SORRY20"))
        amount = {"WELCOME5": 5, "SPRING10": 10, "SORRY20": 20}[code]
        self._write_beside(EntryWord.PROMO, Decimal(amount), code, at)

    def _spend(self, at: datetime) -> None:
        amount = -Decimal(self._rng.randint(1, 40_000)).scaleb(-4)
        self._write_beside(EntryWord.SPEND, amount, f"job-{self._rng.randrange(16**10):010x}", at)

    def _write_beside(self, kind: EntryWord, amount: Decimal, reference: str, at: datetime) -> None:
        self._ledger.enter(
            at=at,
            account=self._rng.choice(self._plan.accounts),
            reference=reference,
            amount=amount,
            asset="USD",
            kind=kind,
        )
