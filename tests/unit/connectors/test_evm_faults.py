"""What error messages ask for: every wording of the data file, and wordings nobody has seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.evm.rpc.faults import PATTERNS, FaultKind, classify, table

EXAMPLES: list[tuple[int, str, dict[str, Any]]] = [
    (number, row["class"], example)
    for number, row in enumerate(table()["fault"])
    for example in row["example"]
]
SAMPLES = Path(__file__).parents[4] / "shared" / "data" / "execution_apis"


@pytest.mark.parametrize(
    ("number", "kind", "example"),
    EXAMPLES,
    ids=[f"{example['provider']}: {example['message'][:70]}" for _, _, example in EXAMPLES],
)
def test_each_wording_has_one_class_and_its_number(number: int, kind: str, example: dict[str, Any]) -> None:
    """A wording met in the wild is matched by its own row first: its class and limit, in any case."""
    message = example["message"]
    first = next(at for at, row in enumerate(PATTERNS) if row.words.search(message))
    assert first == number, f"an earlier row takes it: {PATTERNS[first].words.pattern}"
    expected = (example.get("class", kind), example.get("limit"))
    for spelling in (message, message.upper(), message.lower()):
        fault = classify(spelling)
        assert (fault.kind, fault.limit) == expected


def test_every_row_has_an_example_and_every_key_is_known() -> None:
    """No row of the table is dead, and no key of it is a slip of the pen."""
    data = table()
    assert set(data) == {"fault", "unlisted"}
    for row in data["fault"]:
        assert set(row) <= {"class", "class_when_known", "pattern", "example"}
        assert row["example"]
        assert all(set(one) <= {"provider", "message", "limit", "class"} for one in row["example"])
    assert {row["class"] for row in data["fault"]} == set(FaultKind) - {FaultKind.OTHER}


def test_no_wording_stands_twice() -> None:
    """Two providers with the same words need one example."""
    messages = [example["message"] for _, _, example in EXAMPLES]
    assert len(set(messages)) == len(messages)


@pytest.mark.parametrize("row", table()["unlisted"], ids=lambda row: row["message"])
def test_an_unlisted_wording_that_names_a_number_of_blocks_is_a_limit(row: dict[str, Any]) -> None:
    """Words that no row knows: a number in words about blocks is a limit, anything else unknown."""
    assert not any(pattern.words.search(row["message"]) for pattern in PATTERNS)
    fault = classify(row["message"])
    assert (fault.kind, fault.limit) == (row["class"], row.get("limit"))


def test_a_suggestion_is_told_from_a_limit() -> None:
    """A suggested range speaks of these blocks alone; a limit in words holds for all of them."""
    assert classify("Try with this block range [0x10, 0x1f]").suggested
    assert classify("query exceeds max results 20000, retry with the range 1-9").suggested
    assert not classify("block range too large, max 2000").suggested


@pytest.mark.parametrize(
    "reason", ["block range too large, max 1", "too many requests", "batch too large", "invalid api key"]
)
def test_a_contract_cannot_speak_for_the_node(reason: str) -> None:
    """What a contract gives as the reason of its failure is a stranger's text, and never obeyed."""
    assert classify(f"execution reverted: {reason}").kind is FaultKind.EXECUTION


@given(st.text(max_size=300))
def test_any_text_has_a_class(message: str) -> None:
    """No message breaks the reading, a limit is at least one, and what is shown is one bounded line."""
    fault = classify(message)
    assert fault.limit is None or fault.limit >= 1
    assert len(fault.message) <= 200
    assert "\n" not in fault.message


@pytest.mark.parametrize(
    "words", ["range " * 3000, "batch" * 5000, "max " * 5000, "9" * 20_000, "block range [0x" + "1" * 20_000]
)
def test_a_long_message_comes_to_an_end(words: str) -> None:
    """A hostile message cannot keep the patterns busy: only its beginning is looked at."""
    assert classify(words).kind is classify(words[:2000]).kind


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the published samples of execution-apis are not here")
def test_the_reference_node_s_errors_are_known() -> None:
    """Errors of the published samples: beyond the head is one, the others are plain mistakes of a request."""
    kinds = {}
    for path in SAMPLES.glob("*.io"):
        for line in path.read_text().splitlines():
            if line.startswith("<< ") and "error" in (answer := orjson.loads(line[3:])):
                kinds[path.name] = classify(answer["error"]["message"]).kind
    assert kinds == {
        "eth_getLogs.filter-error-future-block-range.io": FaultKind.BEYOND_HEAD,
        "eth_getLogs.filter-error-reversed-block-range.io": FaultKind.OTHER,
        "eth_getLogs.filter-error-invalid-blockHash-and-range.io": FaultKind.OTHER,
    }
