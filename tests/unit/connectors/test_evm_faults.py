"""What error messages ask for: every wording of the table, and wordings nobody has seen."""

from __future__ import annotations

import pytest

from payhealth.connectors.evm.rpc.faults import PATTERNS, FaultKind, classify
from payhealth.connectors.evm.rpc.ranges import RangePlanner

MESSAGES: list[tuple[str, FaultKind, int | None]] = [
    ("range 20000 exceeds limit of 10000", FaultKind.RANGE_LIMIT, 10_000),
    ("exceeds the maximum of 10000 blocks per logs request", FaultKind.RANGE_LIMIT, 10_000),
    ("block range too large, max 2000", FaultKind.RANGE_LIMIT, 2000),
    ("limited to a 10 block range", FaultKind.RANGE_LIMIT, 10),
    ("eth_getLogs and eth_newFilter are limited to a 10,000 blocks range", FaultKind.RANGE_LIMIT, 10_000),
    ("you can ask for up to a 2K block range", FaultKind.RANGE_LIMIT, 2000),
    ("block range greater than 5000 max", FaultKind.RANGE_LIMIT, 5000),
    ("exceed maximum block range: 50000", FaultKind.RANGE_LIMIT, 50_000),
    ("bigger than maxBlockRange", FaultKind.RANGE_LIMIT, None),
    ("larger than max block range", FaultKind.RANGE_LIMIT, None),
    ("exceeds max block range", FaultKind.RANGE_LIMIT, None),
    ("block range too high", FaultKind.RANGE_LIMIT, None),
    ("block range limit exceeded", FaultKind.RANGE_LIMIT, None),
    ("Try with this block range [0x10, 0x1f]", FaultKind.RANGE_LIMIT, 16),
    (
        "query returned more than 10000 results. Try with this block range [0x1f, 0x10].",
        FaultKind.RANGE_LIMIT,
        16,
    ),
    ("you may only ask for 128 blocks at once", FaultKind.RANGE_LIMIT, 128),
    ("query returned more than 10000 results", FaultKind.RESULT_LIMIT, None),
    ("returns too many logs, narrow your filter: 20000", FaultKind.RESULT_LIMIT, None),
    ("response is too big", FaultKind.RESULT_LIMIT, None),
    ("Log response size exceeded", FaultKind.RESULT_LIMIT, None),
    ("query timeout exceeded", FaultKind.RESULT_LIMIT, None),
    ("block range extends beyond current head block", FaultKind.BEYOND_HEAD, None),
    (
        "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be found.",
        FaultKind.BEYOND_HEAD,
        None,
    ),
    ("unknown block", FaultKind.BEYOND_HEAD, None),
    ("header not found", FaultKind.BEYOND_HEAD, None),
    ("requested block is after last accepted block", FaultKind.BEYOND_HEAD, None),
    ("specify less number of addresses", FaultKind.ADDRESS_LIMIT, None),
    ("exceed max addresses or topics per search position", FaultKind.ADDRESS_LIMIT, None),
    ("too many requests", FaultKind.THROTTLED, None),
    ("Your app has exceeded its compute units per second capacity", FaultKind.THROTTLED, None),
    ("daily request count exceeded, request rate limited", FaultKind.THROTTLED, None),
    ("batch too large", FaultKind.BATCH_LIMIT, None),
    ("maximum allowed number of requests in batch is 3", FaultKind.BATCH_LIMIT, None),
    ("too many calls in a batch", FaultKind.BATCH_LIMIT, None),
    ("the method eth_foo does not exist/is not available", FaultKind.UNSUPPORTED, None),
    ("Unknown block tag", FaultKind.UNSUPPORTED, None),
    ("invalid api key", FaultKind.REFUSED, None),
    ("execution reverted", FaultKind.OTHER, None),
    ("invalid block range params", FaultKind.OTHER, None),
]


@pytest.mark.parametrize(("message", "kind", "limit"), MESSAGES, ids=[message for message, _, _ in MESSAGES])
def test_messages_are_classified_by_their_words(message: str, kind: FaultKind, limit: int | None) -> None:
    """Each wording seen in the wild has one class, and its number where it names one."""
    fault = classify(message)
    assert (fault.kind, fault.limit) == (kind, limit)
    assert classify(message.upper()).kind is kind


def test_every_pattern_is_needed() -> None:
    """No row of the table is dead: each is the first to match one of the messages above."""
    first = {
        next((number for number, row in enumerate(PATTERNS) if row.words.search(message)), None)
        for message, _, _ in MESSAGES
    }
    assert set(range(len(PATTERNS))) <= first


def test_the_planner_doubles_until_a_limit_then_grows_slowly() -> None:
    """500, 1000, 2000 …; after a limit by a tenth, and never beyond a number that the node named."""
    planner = RangePlanner(10_000)
    sizes = []
    for _ in range(6):
        sizes.append(planner.upper(0, 10**9) + 1)
        planner.accepted(sizes[-1])
    assert sizes == [500, 1000, 2000, 4000, 8000, 10_000]
    assert planner.refused(10_000, classify("query returned more than 10000 results"))
    assert planner.size == 5000
    planner.accepted(5000)
    assert planner.size == 5500
    assert planner.refused(5500, classify("block range too large, max 2000"))
    planner.accepted(2000)
    assert planner.size == 2000


def test_the_planner_gives_up_at_one_block() -> None:
    """A single block, or a refusal that a smaller range does not mend, is not answered by shrinking."""
    planner = RangePlanner(10_000)
    assert not planner.refused(1, classify("query returned more than 10000 results"))
    assert not planner.refused(500, classify("unknown block"))
