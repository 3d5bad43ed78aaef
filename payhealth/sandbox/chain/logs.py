"""What eth_getLogs asks for: reading the filter, and telling which logs it lets through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from payhealth.sandbox.chain.errors import INVALID_PARAMS, RpcError, invalid_argument
from payhealth.sandbox.chain.hexes import ADDRESS_BYTES, HASH_BYTES, data, from_data

MAX_TOPICS = 4
"""An EVM log has at most four topics."""


@dataclass(frozen=True, kw_only=True)
class LogFilter:
    """A filter as asked: empty ``addresses`` and empty topic sets let everything through.

    Attributes:
        block_hash: the one block asked for, instead of a range.
        from_block: a tag or quantity, not yet resolved; None where absent.
        to_block: likewise.
        addresses: lower-case addresses of contracts.
        topics: for each position the lower-case topics that are let through.
    """

    block_hash: str | None
    from_block: object
    to_block: object
    addresses: frozenset[str]
    topics: tuple[frozenset[str], ...]

    def lets_through(self, log: dict[str, Any]) -> bool:
        """Whether a log is one of those asked for."""
        if self.addresses and log["address"] not in self.addresses:
            return False
        topics = log["topics"]
        if len(topics) < len(self.topics):
            return False
        # strict=False: a filter may name fewer positions than the log has.
        return all(not wanted or topic in wanted for wanted, topic in zip(self.topics, topics, strict=False))


def read_filter(raw: object, *, max_addresses: int) -> LogFilter:
    """Read the one parameter of eth_getLogs.

    Raises:
        RpcError: as a node answers a filter it cannot read.
    """
    if not isinstance(raw, dict):
        raise invalid_argument(0, "json: cannot unmarshal into Go value of type filters.input")
    block_hash = raw.get("blockHash")
    from_block, to_block = raw.get("fromBlock"), raw.get("toBlock")
    if block_hash is not None and (from_block is not None or to_block is not None):
        raise invalid_argument(
            0, "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
        )
    try:
        return LogFilter(
            block_hash=None if block_hash is None else data(from_data(block_hash, length=HASH_BYTES)),
            from_block=from_block,
            to_block=to_block,
            addresses=_addresses(raw.get("address"), max_addresses=max_addresses),
            topics=_topics(raw.get("topics")),
        )
    except ValueError as error:
        raise invalid_argument(0, error) from error


def _addresses(raw: object, *, max_addresses: int) -> frozenset[str]:
    if raw is None:
        return frozenset()
    listed = raw if isinstance(raw, list) else [raw]
    if len(listed) > max_addresses:
        raise RpcError(
            INVALID_PARAMS, f"specify less number of addresses: {len(listed)} exceeds {max_addresses}"
        )
    return frozenset(data(from_data(address, length=ADDRESS_BYTES)) for address in listed)


def _topics(raw: object) -> tuple[frozenset[str], ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise invalid_argument(0, "json: cannot unmarshal topics into Go value of type []interface {}")
    if len(raw) > MAX_TOPICS:
        raise RpcError(INVALID_PARAMS, "exceed max topics")
    return tuple(_topic_set(position) for position in raw)


def _topic_set(raw: object) -> frozenset[str]:
    if raw is None:
        return frozenset()
    listed = raw if isinstance(raw, list) else [raw]
    # A null inside an OR-list lets everything through, as an empty list does.
    if None in listed:
        return frozenset()
    return frozenset(data(from_data(topic, length=HASH_BYTES)) for topic in listed)
