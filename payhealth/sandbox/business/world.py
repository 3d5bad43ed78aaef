"""The whole sandbox, built and served on loopback: a processor, a chain and a business that uses both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from payhealth.sandbox.business.faults import DEFAULT_FAULTS
from payhealth.sandbox.business.simulation import CreditsBusiness
from payhealth.sandbox.business.truth import TruthBook
from payhealth.sandbox.business.window import Window
from payhealth.sandbox.chain import rpc
from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe import server
from payhealth.sandbox.stripe.account import StripeAccount

FINALITY_DEPTH: Final = 5
SAFE_DEPTH: Final = 3
"""Deeper than the doomed deposit ever lies: what a chain calls safe, the simulated reorg leaves alone."""
STRIPE_API_KEY: Final = "rk_test_sandbox"
WEBHOOK_SECRET: Final = "whsec_sandbox"  # noqa: S105 - it guards nothing but a simulation on loopback
RATE_LIMIT_PER_S: Final = 10_000


class World:
    """A simulated world to point payhealth at; ``with`` it open, both servers answer.

    Build and play it phase by phase: ``run_until_before_reorg``, then ``run_to_end``. The servers show
    whatever has happened so far.

    Args:
        seed: the same seed, days and end give the same world, ids and addresses included.
        days: how much history there is before ``end``.
        end: the last simulated moment (aware).
        folder: where the ledger's database and the truth are written; it must exist.
        finality_depth: how many blocks make a block final.
        faults: how often each fault is planted, by name.
        rate_limit_per_s: how many requests a second each endpoint of the processor allows.
    """

    def __init__(
        self,
        *,
        seed: int,
        days: int,
        end: datetime,
        folder: Path,
        finality_depth: int = FINALITY_DEPTH,
        faults: Mapping[str, int] = DEFAULT_FAULTS,
        rate_limit_per_s: float = RATE_LIMIT_PER_S,
    ) -> None:
        window = Window.of(end - timedelta(days=days), end)
        self.start = window.start
        self.end = window.end
        self.finality_depth = finality_depth
        self.stripe_api_key = STRIPE_API_KEY
        self.webhook_secret = WEBHOOK_SECRET
        self.ledger_path = folder / "ledger.db"
        self.truth_path = folder / "truth.json"
        self.account = _open_account(seed, window)
        self.chain = _open_chain(seed, window, finality_depth)
        self.business = CreditsBusiness(
            seed=seed,
            start=window.start,
            end=window.end,
            processor=self.account,
            chain=self.chain,
            ledger_path=self.ledger_path,
            truth_path=self.truth_path,
            finality_depth=finality_depth,
            faults=faults,
        )
        stripe_app = server.build_app(self.account, rate_limit_per_s=rate_limit_per_s)
        self._stripe_server = LoopbackServer(stripe_app)
        self._rpc_server = LoopbackServer(rpc.build_app(self.chain))
        self._open = ExitStack()

    @property
    def stripe_url(self) -> str:
        """Base address of the processor's API."""
        return self._stripe_server.url

    @property
    def rpc_url(self) -> str:
        """Address of the chain's JSON-RPC endpoint."""
        return self._rpc_server.url

    @property
    def chain_id(self) -> int:
        """The chain's id, as in ``eip155:<id>``."""
        return self.chain.chain_id

    @property
    def token_address(self) -> str:
        """The token contract that deposits are made in."""
        return self.chain.token_address

    @property
    def token_decimals(self) -> int:
        """The token's decimals."""
        return self.chain.token_decimals

    @property
    def deposit_addresses(self) -> tuple[str, ...]:
        """The addresses that customers pay into."""
        return tuple(self.business.addresses.deposits)

    @property
    def treasury_address(self) -> str:
        """The address of ours that deposits are swept to; nobody pays into it."""
        return self.business.addresses.treasury

    @property
    def operator_addresses(self) -> tuple[str, ...]:
        """Addresses that give our addresses gas: not customers."""
        return (self.business.addresses.operator,)

    @property
    def ledger_url(self) -> str:
        """The credit ledger's database as a SQLAlchemy address."""
        return f"sqlite:///{self.ledger_path}"

    @property
    def truth(self) -> TruthBook:
        """What has been planted so far."""
        return self.business.truth

    def run_until_before_reorg(self) -> None:
        """Play the first phase: everything up to an hour before the end."""
        self.business.run_until_before_reorg()

    def run_to_end(self) -> None:
        """Play the second phase: the reorg, and a little light life after it."""
        self.business.run_to_end()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.business.close)
            stack.enter_context(self._stripe_server)
            stack.enter_context(self._rpc_server)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def _open_account(seed: int, window: Window) -> StripeAccount:
    return StripeAccount(seed=seed, api_key=STRIPE_API_KEY, webhook_secret=WEBHOOK_SECRET, start=window.start)


def _open_chain(seed: int, window: Window, finality_depth: int) -> DevChain:
    return DevChain(
        seed=seed,
        genesis_at=window.start,
        finality_depth=finality_depth,
        safe_depth=min(SAFE_DEPTH, finality_depth),
    )


@contextmanager
def open_world(
    *, seed: int, days: int = 14, end: datetime, folder: Path, faults: Mapping[str, int] = DEFAULT_FAULTS
) -> Iterator[World]:
    """A world whose first phase is played and whose servers answer, for as long as the block lasts."""
    with World(seed=seed, days=days, end=end, folder=folder, faults=faults) as world:
        world.run_until_before_reorg()
        yield world
