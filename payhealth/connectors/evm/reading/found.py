"""What a stretch of blocks holds for us, before anyone says what it means."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from payhealth.connectors.evm.wire.columns import LogColumns, joined, log_columns
from payhealth.connectors.evm.wire.values import Header, Transfer
from payhealth.domain.chain_records import PaymentEvent, TransactionFee
from payhealth.domain.records import Link, Rejected


@dataclass(slots=True, kw_only=True)
class Reading:
    """What a stretch of blocks holds.

    Args:
        logs: token transfers with an end of ours, each once.
        transfers: the chain's own coin: values, internal transfers, withdrawals, mints.
        headers: the blocks that were read one by one, oldest first; empty for ranges.
        times: block hash -> moment, of every block that holds something.
        raw_logs: how many logs the node gave.
        copies: unregistered contract -> the registered symbol that it copies.
        refunds: where an outgoing transfer stands -> the payment that an escrow event says it gives back.
    """

    logs: list[LogColumns] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    fees: list[TransactionFee] = field(default_factory=list)
    events: list[PaymentEvent] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    times: dict[str, datetime] = field(default_factory=dict)
    raw_logs: int = 0
    copies: dict[str, str] = field(default_factory=dict)
    refunds: dict[str, str] = field(default_factory=dict)

    @property
    def objects(self) -> int:
        """How many vendor objects were read that concern us."""
        parts = (self.transfers, self.fees, self.events, self.rejected)
        return sum(len(part) for part in self.logs) + sum(len(part) for part in parts)

    def all_logs(self) -> LogColumns:
        """The token transfers of the whole stretch."""
        return joined(self.logs) if self.logs else log_columns([])[0]

    def add(self, other: Reading) -> None:
        """Take in what another stretch holds; its headers stay its own."""
        self.logs += other.logs
        self.transfers += other.transfers
        self.fees += other.fees
        self.events += other.events
        self.links += other.links
        self.rejected += other.rejected
        self.times.update(other.times)
        self.raw_logs += other.raw_logs
        self.copies.update(other.copies)
        self.refunds.update(other.refunds)
