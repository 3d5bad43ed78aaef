"""What a transfer was worth: the price of its own block, and what a missing price means."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth import pipeline
from payhealth.domain.chain_records import AssetPrice, ChainMark
from payhealth.domain.money import checked
from payhealth.domain.records import Entry, Movement
from payhealth.matching.inputs import RATES, MatchOutcome
from payhealth.matching.model import parse_rules
from payhealth.ports import Batch
from payhealth.testing import MemoryStore
from tests.unit.matching.helpers import AS_OF, START, Row, open_why
from tests.unit.matching.test_store_inputs import CHAIN, USDC, credit, inputs, judged, transfer

ETH = f"{CHAIN}/slip44:60"
IN_USD = {"policy": {"default": {"asset": "USD"}}}
STALE = "stale: 3601 s old, heartbeat 3600 s"


def coins(id_: str = "t1", amount: str = "2", **columns: Any) -> Row:
    """A final deposit of ether in block b1."""
    usual = {"asset": ETH, "symbol": "ETH", "amount": Decimal(amount), "block_hash": "0xb1"}
    return transfer(id_, **{"block": 1, **usual, **columns})


def price(amount: str | None = "1500.25", **columns: Any) -> Row:
    """What an ether was worth at block b1."""
    usual = {
        "connector": "base",
        "asset": ETH,
        "quote": "USD",
        "block_hash": "0xb1",
        "block_number": 1,
        "block_at": START,
        "price": None if amount is None else Decimal(amount),
        "reason": STALE if amount is None else None,
    }
    return {**usual, **columns}


def dollars(amount: str, reference: str = "t1", **columns: Any) -> Row:
    """A credit in USD."""
    return credit(
        f"e-{reference}-{amount}", reference, **{"asset": "USD", "amount": Decimal(amount), **columns}
    )


def pegs(*assets: str) -> pa.Table:
    """One for one in dollars, as sources say it."""
    rows = [
        {"asset": asset, "quote": "USD", "price": Decimal(1), "valid_from": START - timedelta(days=999)}
        for asset in assets
    ]
    return pa.Table.from_pylist(rows, schema=RATES)


def states(outcome: MatchOutcome) -> list[str]:
    """How the matches ended."""
    return [row["state"] for row in outcome.matches.to_pylist()]


def test_a_transfer_is_worth_what_its_block_says() -> None:
    """Neither another block's price, nor another asset's, nor another connector's."""
    others = [
        price("1", block_hash="0xb2"),
        price("1", asset=USDC),
        price("1", connector="elsewhere"),
        price("1", quote="EUR"),
    ]
    outcome = judged([coins()], [dollars("3000.5")], prices=[*others, price()], rules=IN_USD)
    assert states(outcome) == ["confirmed"]
    assert outcome.breaks.num_rows == 0


@given(st.integers(10**9, 10**18), st.integers(10**6, 10**12))
@settings(max_examples=10, deadline=None)
def test_the_value_is_the_exact_product(units: int, cents: int) -> None:
    """A deposit in gwei times a price of eight digits is credited to the last digit, and not by one less."""
    amount, rate = Decimal(units).scaleb(-9), Decimal(cents).scaleb(-8)
    worth = checked(amount * rate)
    told = {"prices": [price(str(rate))], "rules": IN_USD}
    assert judged([coins(amount=str(amount))], [dollars(f"{worth:f}")], **told).breaks.num_rows == 0
    less = dollars(f"{worth - Decimal('1e-17'):f}")
    assert judged([coins(amount=str(amount))], [less], **told).breaks.num_rows == 1


def test_without_a_price_a_transfer_waits() -> None:
    """It is shown as unpriced, and its reason is counted by what comes before its numbers."""
    told = {"prices": [price(None)], "rules": IN_USD}
    assert open_why(judged([coins()], **told)) == {"t1": "unpriced"}
    assert inputs([coins()], **told).notes["withheld_prices"] == {"stale": 1}


def test_a_rate_does_not_stand_in_for_a_withheld_price() -> None:
    """One for one holds on where nobody says otherwise: for other movements and assets."""
    other = f"{CHAIN}/erc20:0x02"
    movements = [
        coins("t1", asset=USDC),
        coins("t2", asset=USDC, connector="elsewhere"),
        coins("t3", asset=other),
    ]
    outcome = judged(
        movements,
        [dollars("2", "t2"), dollars("2", "t3")],
        prices=[price(None, asset=USDC)],
        rates=pegs(USDC, other),
        rules=IN_USD,
    )
    # Another connector's chain has no mark here, so that its movement is in flight whatever it is worth.
    assert open_why(outcome)["t1"] == "unpriced"
    found = inputs(movements, prices=[price(None, asset=USDC)], rates=pegs(USDC, other), rules=IN_USD)
    rows = {row["id"]: (row["quote"], row["price"]) for row in found.movements.to_pylist()}
    assert rows == {"t1": (None, None), "t2": ("USD", Decimal(1)), "t3": (None, None)}
    assert found.rates is not None
    assert found.rates["asset"].to_pylist() == [other]


def test_a_rate_from_later_on_does_not_reach_back() -> None:
    """The movements beside a withheld price keep the rate of their own time, where there was one."""
    late = pegs(USDC).set_column(
        3, RATES.field(3), pa.array([START + timedelta(seconds=1)], RATES.field(3).type)
    )
    movements = [coins("t1", asset=USDC), coins("t2", asset=USDC, block_hash="0xb2")]
    found = inputs(movements, prices=[price(None, asset=USDC)], rates=late, rules=IN_USD)
    assert found.movements["price"].null_count == 2


def test_where_credits_count_the_asset_itself_prices_change_nothing() -> None:
    """A policy without an asset credits what was paid, priced or not."""
    told = credit("e1", "t1", asset=ETH, amount=Decimal(2))
    for one in (price(None), price()):
        outcome = judged([coins()], [told], prices=[one])
        assert states(outcome) == ["confirmed"]
        assert outcome.breaks.num_rows == 0


@pytest.mark.parametrize("block_hash", ["0xb1", "0xb9"])
def test_a_retraction_is_valued_as_the_payment_was(block_hash: str) -> None:
    """Undone whole, nothing is left over, whatever block the retraction names."""
    lost = coins(status="retracted")
    undone = coins(
        "t1:retraction", kind="retraction", status="succeeded", payment_key="t1", block_hash=block_hash
    )
    told = {"prices": [price(), price("1", block_hash="0xb9")], "rules": IN_USD}
    back = dollars("-3000.5", kind="reversal")
    outcome = judged([lost, undone], [dollars("3000.5"), back], **told)
    assert outcome.breaks.num_rows == 0
    found = inputs([lost, undone], **told)
    assert found.movements["price"].to_pylist() == [Decimal("1500.25")] * 2


def test_the_retraction_of_what_has_no_price_waits_with_it() -> None:
    """Neither half may be judged alone."""
    lost = coins(status="retracted", asset=USDC)
    undone = coins("t1:retraction", kind="retraction", status="succeeded", payment_key="t1", asset=USDC)
    outcome = judged([lost, undone], prices=[price(None, asset=USDC)], rates=pegs(USDC), rules=IN_USD)
    assert open_why(outcome) == {"t1": "unpriced", "t1:retraction": "unpriced"}


def test_a_price_in_a_currency_that_nobody_counts_in_is_not_looked_at() -> None:
    """Withheld in euros says nothing of dollars."""
    outcome = judged(
        [coins(asset=USDC)],
        [dollars("2")],
        prices=[price(None, asset=USDC, quote="EUR")],
        rates=pegs(USDC),
        rules=IN_USD,
    )
    assert states(outcome) == ["confirmed"]


def _store(*prices: AssetPrice) -> MemoryStore:
    store = MemoryStore()
    moved = coins()
    mark = ChainMark(connector="base", chain=CHAIN, head=9, safe=9, final=9, head_at=START)
    movement = Movement(
        **{field.name: moved[field.name] for field in fields(Movement) if field.name in moved}
    )
    store.commit("base", Batch(stream="transfers", records={Movement: [movement], ChainMark: [mark]}))
    store.commit("base", Batch(stream="transfers", records={AssetPrice: list(prices)}))
    entry = dollars("3000.5")
    credited = Entry(**entry)
    store.commit("credits", Batch(stream="entries", records={Entry: [credited]}))
    return store


@pytest.mark.parametrize("history", [False, True])
def test_a_run_over_a_store_looks_at_its_prices(history: bool) -> None:
    """Today's, and those of a moment in the past."""
    rules = parse_rules(IN_USD)
    store = _store(AssetPrice(**price()))
    as_of = AS_OF if not history else AS_OF + timedelta(days=36_500)
    report = pipeline.reconcile(store, [], rules, as_of=as_of, history=history)
    assert report.matches["state"].to_pylist() == ["confirmed"]
    assert report.breaks.num_rows == 0
