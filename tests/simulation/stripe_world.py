"""A small Stripe account, a store that is pulled into, and everything that may come between the two."""

from __future__ import annotations

import functools
import itertools
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from payhealth import pipeline
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.source import StripeSource
from payhealth.connectors.stripe.webhooks import webhook_app
from payhealth.domain.record import Record
from payhealth.domain.records import (
    BalanceTransaction,
    Charge,
    CheckoutSession,
    Dispute,
    EarlyFraudWarning,
    Invoice,
    Link,
    Movement,
    PaymentClaim,
    PaymentIntent,
    Payout,
    Refund,
    Rejected,
    SetupIntent,
)
from payhealth.outcomes import PullReport
from payhealth.sandbox.stripe.server import build_app
from payhealth.sandbox.stripe.webhooks import deliver_webhooks
from payhealth.secrets import Secret
from payhealth.store import SqlStore, open_store, upgrade
from payhealth.testing import FixedClock
from tests.auditor import audit, audit_money
from tests.simulation.stripe_life import KEY, SECRET, Life, new_account
from tests.simulation.stripe_wire import LoopWire, Wire

NAME = "cards"
START = datetime(2026, 3, 1, tzinfo=UTC)
FINAL = (
    *(Movement, Link, PaymentClaim, Charge, PaymentIntent, SetupIntent, CheckoutSession, Invoice),
    *(EarlyFraudWarning, Refund, Dispute, BalanceTransaction, Payout, Rejected),
)
"""What must be the same however it was learned; proofs and notes of events tell how it was."""

_OF_THE_STORE = {"recorded_at", "first_recorded_at", "read_at", "change_seq"}
_LONG_S = 31_536_000
_OPTIONAL = ("setup_intents", "early_fraud_warnings", "invoices")
_SETTINGS = {"rate_limit_per_s": 10_000, "per_endpoint_rate_limit_per_s": 10_000, "parallel_windows": 2}


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Where this process keeps its stores, with an empty one that the others are copied from."""
    folder = tempfile.TemporaryDirectory(prefix="payhealth-orders-")
    upgrade(f"sqlite:///{folder.name}/empty.db")
    return folder


_numbers = itertools.count()


def new_store(clock: FixedClock) -> SqlStore:
    """An empty store; copying one is a hundred times as fast as making one."""
    folder = Path(_folder().name)
    path = folder / f"{next(_numbers)}.db"
    shutil.copyfile(folder / "empty.db", path)
    return open_store(f"sqlite:///{path}", clock=clock)


class Patience:
    """A monotonic clock that moves by waiting alone, so that nobody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, seconds: float) -> None:
        """Wait, in no time."""
        self.now_s += max(0.0, seconds)

    def monotonic(self) -> float:
        """How long was waited."""
        return self.now_s


class World:
    """One account that lives, is told about and is pulled.

    Args:
        settings: settings of the source that differ from the defaults.
        carried: wraps what carries requests, to break answers on their way.
        start: from when on the source must know everything; the account begins at ``START``.
    """

    def __init__(
        self,
        *,
        settings: dict[str, Any] | None = None,
        carried: Callable[[httpx.BaseTransport], httpx.BaseTransport] = lambda wire: wire,
        start: datetime = START,
    ) -> None:
        self.account = new_account(START)
        self.life = Life(self.account)
        self.clock = FixedClock(START + timedelta(hours=1))
        self.skew = timedelta(0)
        self.start = start
        self.patience = Patience()
        self.store = new_store(self.clock)
        self.undelivered: list[dict[str, Any]] = []
        self.before_request: Callable[[int], None] = lambda _: None
        self._seen: str | None = None
        self._late: list[str] = []
        self._settings = settings or {}
        self.app = build_app(self.account, rate_limit_per_s=None, now_s=self._now_s)
        self.wire = Wire(self.app, before=self._before)
        self._carried = carried(self.wire)
        self.source = self.new_source()

    def _before(self, number: int) -> None:
        self.before_request(number)

    def now(self) -> datetime:
        """Stripe's present moment, which our clock may miss by ``skew``."""
        return self.clock.now() - self.skew

    def _now_s(self) -> int:
        return int(self.now().timestamp())

    def wait(self, seconds: float) -> None:
        """Let time pass, and with it what was due by then."""
        self.clock.advance(timedelta(seconds=seconds))
        self.account.advance_to(self.now())
        self._take_events("listed", webhook=False)

    def happen(self, step: str, pick: int = 0, *, event: str = "listed", webhook: bool = False) -> bool:
        """One step of the account's life.

        Args:
            event: ``listed``, or ``lost`` for events that no list ever shows.
            webhook: whether the events are given to whoever delivers them, too.
        """
        self.account.advance_to(self.now())
        self._take_events("listed", webhook=False)
        happened = self.life.do(step, self.now(), pick)
        self._take_events(event, webhook=webhook)
        return happened

    def show_pages_of(self, rows: int) -> None:
        """Let every page of a list hold no more than so many objects."""
        self.wire.page_rows = rows

    def _take_events(self, event: str, *, webhook: bool) -> None:
        fresh = self.account.events_since(self._seen)
        if not fresh:
            return
        self._seen = fresh[-1]["id"]
        if event == "lost":
            for each in fresh:
                self.account.hide(each["id"])
        if webhook:
            self.undelivered += fresh

    def hide_newest(self, name: str) -> None:
        """Keep the newest object of a kind out of its list until the end; by its id it is found."""
        rows = getattr(self.account, name).since(None)
        if rows:
            self._late.append(rows[-1]["id"])
            self.account.delay(rows[-1]["id"], for_s=_LONG_S)

    def deliver(self, *, order: int = 1, times: int = 1, only: slice = slice(None)) -> None:
        """Post what waits to be delivered to the connector's webhook endpoint, which must take it.

        Args:
            order: 1 for the order in which it happened, -1 for the other way round.
            times: how often each is delivered.
            only: which of it; the rest is never delivered.
        """
        events, self.undelivered = self.undelivered[only][::order] * times, []
        if not events:
            return
        endpoint = webhook_app(NAME, self.settings(), self.store, clock=self._now_s)
        client = httpx.Client(transport=LoopWire(endpoint))
        try:
            answers = deliver_webhooks(
                "http://127.0.0.1/stripe", events, secret=SECRET, sent_at_s=self._now_s(), client=client
            )
        finally:
            client.close()
            endpoint.close()
        assert {answer.status for answer in answers} == {200}, answers

    def settings(self) -> StripeSettings:
        """The connector's settings."""
        values = {
            "api_key": Secret(KEY, "env:STRIPE_API_KEY"),
            "api_base": "http://127.0.0.1",
            "start": self.start,
            "webhook_secrets": [Secret(SECRET, "env:STRIPE_WEBHOOK_SECRET")],
            **_SETTINGS,
            **self._settings,
        }
        return StripeSettings.model_validate(values)

    def new_source(self) -> StripeSource:
        """A source with nothing in memory, as after a restart."""
        patience = self.patience
        return StripeSource(
            NAME,
            self.settings(),
            transport=self._carried,
            sleep=patience.sleep,
            monotonic=patience.monotonic,
        )

    def restart(self) -> None:
        """The process ends and another one begins on the same store."""
        self.source.close()
        self.source = self.new_source()

    def pull(self, *, batches: int | None = None) -> PullReport:
        """Pull to now; with ``batches``, killed after so many of them."""
        left = [batches]

        def stop() -> bool:
            if left[0] is None:
                return False
            left[0] -= 1
            return left[0] < 0

        return pipeline.pull([self.source], self.store, self.clock, stop=stop)

    def finish(self) -> PullReport:
        """What was late is listed, a day passes, and everything is read again by a fresh process."""
        while self._late:
            self.account.reveal(self._late.pop())
        self.wait(25 * 3600)
        self.restart()
        return self.pull()

    def differences(self) -> list[str]:
        """What the auditor says about the store."""
        return audit(self.account, self.store, connector=NAME, start=self.start, without=_unread(self.source))

    def money_differences(self) -> list[str]:
        """The same for what moves money alone."""
        return audit_money(self.account, self.store, connector=NAME, start=self.start)

    def pulled_afresh(self) -> dict[str, list[dict[str, Any]]]:
        """What another store holds after one pull of the account as it is now."""
        store, source = new_store(self.clock), self.new_source()
        report = pipeline.pull([source], store, self.clock)
        source.close()
        assert not report.failed, report.failed
        found = contents(store)
        store.close()
        return found

    def close(self) -> None:
        """Give everything back."""
        self.source.close()
        self.store.close()


def contents(store: Any, kinds: Sequence[type[Record]] = FINAL) -> dict[str, list[dict[str, Any]]]:
    """What a store holds, without what it adds itself, in one order."""
    return {
        kind.__name__: sorted(
            (
                {name: value for name, value in row.items() if name not in _OF_THE_STORE}
                for row in store.records(kind).to_pylist()
            ),
            key=repr,
        )
        for kind in kinds
    }


def _unread(source: StripeSource) -> Collection[str]:
    """The account's collections that the source does not read."""
    read = {plan.stream.rpartition("/")[2] for plan in source.streams()}
    optional = {"sessions": "checkout_sessions"} | {name: name for name in _OPTIONAL}
    return {name for stream, name in optional.items() if stream not in read}
