"""Logs by column: the quick path and the one-by-one path are the same; amounts are exact or refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.connectors.evm.wire import columns as hot
from payhealth.connectors.evm.wire.columns import (
    LogColumns,
    amounts,
    joined,
    log_columns,
    selected,
    units_at,
)
from payhealth.connectors.evm.wire.values import TRANSFER, Transfer, WireError, padded, transfer_of_log
from payhealth.domain.errors import AmountError
from payhealth.domain.money import from_units

TOKENS = ("0x" + "Aa" * 20, "0x" + "b2" * 20, "0x" + "c3" * 20)
BLOCK = "0x" + "Be" * 32


def log(units: int = 5, *, token: str = TOKENS[0], index: int = 0, block: int = 7, **changed: Any) -> Any:
    """A well-formed Transfer log, some fields changed."""
    return {
        "address": token,
        "topics": [TRANSFER, padded("0x" + "D1" * 20), padded("0x" + "e2" * 20)],
        "data": f"0x{units:064x}",
        "blockNumber": hex(block),
        "blockHash": BLOCK,
        "transactionHash": f"0x{index:064X}",
        "logIndex": hex(index),
        "removed": False,
    } | changed


def rows(columns: LogColumns) -> list[Transfer]:
    """The columns as the transfers they hold."""
    return [
        Transfer(
            transaction_hash=columns.transaction_hash[row].as_py(),
            position=str(columns.log_index[row]),
            block_number=int(columns.block_number[row]),
            block_hash=columns.block_hash[row].as_py(),
            token=columns.token[row].as_py(),
            sender=columns.sender[row].as_py(),
            recipient=columns.recipient[row].as_py(),
            units=units_at(columns, row),
        )
        for row in range(len(columns))
    ]


def naive(raws: list[Any]) -> tuple[list[Transfer], list[tuple[Any, str]]]:
    """Each log by itself."""
    kept: list[Transfer] = []
    refused: list[tuple[Any, str]] = []
    for raw in raws:
        try:
            transfer = transfer_of_log(raw)
        except WireError as error:
            refused.append((raw, str(error)))
            continue
        number, index = transfer.block_number, int(transfer.position)
        beyond = "blockNumber" if number >= 2**63 else "logIndex" if index >= 2**63 else ""
        if beyond:
            refused.append((raw, f"{beyond} exceeds 63 bits"))
        else:
            kept.append(transfer)
    return kept, refused


NOT_WORDS: tuple[Any, ...] = (
    None, 7, 1.5, True, "", "0x", "0x1", "1", [], {}, "0x" + "g" * 64, "0X" + "1" * 64, "0x" + "1" * 63,
    "0x" + "1" * 65, " 0x" + "1" * 63, "0x" + "é" * 64, "0x" + "1" * 32 + "x" + "1" * 31,
    "0x" + "\ud800" * 64,
    "0x" + "1" * 62 + "_1", "0x" + "\0" * 64, "0x" + "1" * 64 + "\n", "x0" + "1" * 64, "0x" + "٣" * 64,
    "0x" + "Ab" * 32, "0x" + "Ab" * 20, "0x" + "0" * 64, "0x" + "f" * 64, "0x8000000000000000",
    "0x7fffffffffffffff", "1x" + "1" * 64, "1x" + "1" * 40, "0x1" + "0" * 63, "0x" + "0" * 23 + "1" * 41,
    "0x0007", "0x_7", "-0x7", "0x+7",
)  # fmt: skip
FIELDS = ("address", "data", "blockNumber", "blockHash", "transactionHash", "logIndex", "removed", "topics")
words = st.sampled_from(NOT_WORDS) | st.text(max_size=70)


@st.composite
def malformed(draw: st.DrawFn) -> Any:
    """A log with one thing changed; some of the changes leave it well-formed."""
    raw = log(draw(st.integers(0, 2**256 - 1)))
    how = draw(st.sampled_from(["field", "missing", "topic", "topics", "whole"]))
    if how == "field":
        raw[draw(st.sampled_from(FIELDS))] = draw(words)
    elif how == "missing":
        del raw[draw(st.sampled_from(FIELDS))]
    elif how == "topic":
        raw["topics"][draw(st.integers(0, 2))] = draw(words)
    elif how == "topics":
        raw["topics"] = raw["topics"][: draw(st.integers(0, 2))] + draw(st.lists(words, max_size=3))
    else:
        return draw(words | st.lists(st.integers()))
    return raw


@pytest.mark.parametrize("field", [*FIELDS, "topic 0", "topic 1", "topic 2"])
def test_each_field_is_judged_alike(field: str) -> None:
    """Whatever stands in one field of one log, both paths keep or refuse it for the same reason."""
    for word in NOT_WORDS:
        raw = log()
        if field.startswith("topic "):
            raw["topics"][int(field[-1])] = word
        else:
            raw[field] = word
        columns, refused = log_columns([log(), raw])
        kept, bad = naive([log(), raw])
        assert (rows(columns), refused) == (kept, bad)


good = st.builds(
    log,
    st.integers(0, 2**256 - 1),
    token=st.sampled_from(TOKENS),
    index=st.integers(0, 2**63 - 1),
    block=st.integers(0, 2**63 - 1),
    removed=st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(raws=st.lists(good | malformed(), max_size=12), chunk=st.integers(1, 5))
def test_both_paths_agree(raws: list[Any], chunk: int) -> None:
    """However good and bad logs are mixed and cut, the rows and the reasons are the one-by-one path's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hot, "_CHUNK", chunk)
        columns, refused = log_columns(raws)
    kept, bad = naive(raws)
    assert rows(columns) == kept
    assert refused == bad
    readable = [raw for raw in raws if not any(raw is other for other, _ in refused)]
    assert columns.any_removed == any(raw.get("removed") not in (None, False) for raw in readable)


@settings(max_examples=50, deadline=None)
@given(raws=st.lists(good, min_size=1, max_size=8))
def test_well_formed_logs_take_the_quick_path(raws: list[Any]) -> None:
    """Nothing that is well-formed falls back; both paths build columns of the same types."""
    quick = hot._by_column(raws, {})
    slow, bad = hot._one_by_one(raws)
    assert not bad
    assert rows(quick) == rows(slow)
    for name in ("token", "sender", "recipient", "block_hash", "transaction_hash"):
        quick_column, slow_column = getattr(quick, name), getattr(slow, name)
        quick_column.validate(full=True)
        assert quick_column.type == slow_column.type
    for name in ("units", "block_number", "log_index"):
        assert getattr(quick, name).dtype == getattr(slow, name).dtype


def test_nothing_in_nothing_out() -> None:
    """No logs are columns of no rows, of the same types."""
    columns, refused = log_columns([])
    assert (len(columns), refused, columns.any_removed) == (0, [], False)
    assert columns.units.shape == (0, 4)
    values, bad = amounts(columns, {})
    assert (len(values), bad) == (0, [])
    assert len(joined([columns, columns])) == 0


units_near_the_edge = st.integers(0, 2**256 - 1) | st.integers(0, 10**12) | st.builds(
    lambda power, off: max(0, min(2**256 - 1, power + off)),
    st.sampled_from([10**digits for digits in range(78)] + [2**bits for bits in (32, 63, 64, 96, 128, 192)]),
    st.integers(-2, 2),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    found=st.lists(st.tuples(units_near_the_edge, st.sampled_from(TOKENS)), min_size=1, max_size=10),
    decimals=st.tuples(*[st.integers(-1, 78) | st.sampled_from([0, 6, 8, 17, 18, 19])] * 3),
)
def test_amounts_are_exact_or_refused(found: list[tuple[int, str]], decimals: tuple[int, ...]) -> None:
    """Each amount is ``from_units`` of its units and decimals; what that refuses is null, with its reason."""
    by_token = {token.lower(): digits for token, digits in zip(TOKENS, decimals, strict=True)}
    columns, _ = log_columns([log(units, token=token) for units, token in found])
    values, refused = amounts(columns, by_token)
    values.validate(full=True)
    expected: list[Decimal | None] = []
    reasons: list[tuple[int, str]] = []
    for row, (units, token) in enumerate(found):
        try:
            expected.append(from_units(units, by_token[token.lower()]))
        except AmountError as error:
            expected.append(None)
            reasons.append((row, str(error)))
    assert values.to_pylist() == expected
    assert refused == reasons


@given(left=st.integers(0, 2**64 - 1), right=st.integers(0, 2**64 - 1))
def test_high_product(left: int, right: int) -> None:
    """The upper half of a product of two 64-bit words is exact."""
    high = hot._high_product(np.array([left], np.uint64), np.array([right], np.uint64))
    assert int(high[0]) == left * right >> 64


def test_a_token_without_decimals_has_no_amount() -> None:
    """A row whose token nobody vouches for is refused, and the others keep their amounts."""
    columns, _ = log_columns([log(5), log(5, token=TOKENS[1])])
    values, refused = amounts(columns, {TOKENS[1]: 6})
    assert values.to_pylist() == [None, Decimal("0.000005")]
    assert refused == [(0, f"no decimals are known for token {TOKENS[0].lower()}")]


def test_rows_can_be_selected_and_joined() -> None:
    """Selected rows keep every column in step; the mark of removed logs stays."""
    columns, _ = log_columns([log(1, index=1), log(2, index=2, removed=True), log(3, index=3)])
    part = selected(columns, np.array([True, False, True]))
    assert [row.units for row in rows(part)] == [1, 3]
    assert part.any_removed
    assert rows(joined([part, columns])) == rows(part) + rows(columns)
