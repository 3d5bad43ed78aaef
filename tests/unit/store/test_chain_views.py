"""The views over what chains bring: the same rows on both databases, and what an older store had of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text

from payhealth.connectors.evm.reading.translate import lost_sighting, retraction_id
from payhealth.domain.chain_records import (
    AddressBalance,
    AssetPrice,
    ChainMark,
    PaymentEvent,
    ProviderScore,
    TransactionFee,
    TransferObservation,
)
from payhealth.domain.record import Record
from payhealth.domain.records import Link, Movement
from payhealth.ports import Batch
from payhealth.store import SqlStore, engine, open_store, upgrade
from payhealth.store.arrow import content_hashes, content_table
from payhealth.store.schema import alembic_config
from payhealth.store.spec import RECORD_SPECS
from payhealth.store.tables import metadata
from payhealth.testing import samples

AT = "2026-01-01T12:00:00.000000Z"
MOMENT = samples.MOMENT
CHAIN = "eip155:8453"
TRANSACTION, BLOCK, OTHER_BLOCK = "0x" + "e7" * 32, "0x" + "0b" * 32, "0x" + "0c" * 32
OURS, STRANGER = "0x" + "a1" * 20, "0x" + "d1" * 20
USDC = f"{CHAIN}/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
ID = f"{CHAIN}:{TRANSACTION}:3"


@pytest.fixture
def store(store_url: str) -> Iterator[SqlStore]:
    """Empty, on either database."""
    opened = open_store(store_url)
    yield opened
    opened.close()


def kept(store: SqlStore, *records: Record) -> None:
    """Commit records of any classes."""
    grouped = {kind: [one for one in records if type(one) is kind] for kind in {type(one) for one in records}}
    store.commit("base", Batch(stream="transfers", records=grouped))


def transfer(**values: Any) -> Movement:
    """A deposit of 12.5 USDC in block 7."""
    given = {
        "connector": "base",
        "rail": "chain",
        "kind": "transfer",
        "status": "seen",
        "account": "",
        "handle": f"{CHAIN}:{OURS}",
        "payment_key": values.get("movement_id", ID),
        "asset": USDC,
        "symbol": "USDC",
        "chain": CHAIN,
        "block_number": 7,
        "block_hash": BLOCK,
        "position": "3",
        "sender": STRANGER,
        "recipient": OURS,
        "finality_s": 60,
        "finality": "final",
    }
    return samples.movement(**{"movement_id": ID, **given, **values})


def rows(store: SqlStore, view: str, columns: str = "*") -> list[dict[str, Any]]:
    """Of a view, in the order of its first column."""
    return store.rows(f"select {columns} from {view} order by 1")


def only(store: SqlStore, view: str) -> dict[str, Any]:
    """The one row of a view."""
    [row] = rows(store, view)
    return row


def holds(row: dict[str, Any], **expected: Any) -> None:
    """The row says this, whatever else it says."""
    assert {name: row[name] for name in expected} == expected


def aliases(store: SqlStore) -> list[tuple[str, str]]:
    """What stands for which payment."""
    return sorted((row["alias_id"], row["payment_key"]) for row in rows(store, "v_links"))


def test_a_transfers_standing_follows_from_its_block(store: SqlStore) -> None:
    """Nothing is rewritten when blocks become final: the chain's marks say it."""
    mark = ChainMark(connector="base", chain=CHAIN, head=9, safe=6, final=4, head_at=MOMENT)
    kept(store, mark, *(transfer(movement_id=f"{ID}{block}", block_number=block) for block in range(3, 10)))
    found = [row["status"] for row in rows(store, "v_movements", "movement_id, status")]
    assert found == ["final", "final", "safe", "safe", "seen", "seen", "seen"]


def test_what_is_retracted_stays_so_in_final_blocks(store: SqlStore) -> None:
    """The marks say nothing of what no canonical block holds; nor do another connector's."""
    mark = ChainMark(connector="other", chain=CHAIN, head=9, safe=9, final=9, head_at=MOMENT)
    kept(store, mark, transfer())
    assert only(store, "v_movements")["status"] == "seen"
    kept(store, replace(mark, connector="base"), transfer(status="retracted"))
    assert only(store, "v_movements")["status"] == "retracted"


def test_movements_tell_where_they_stand_and_what_they_were_worth(store: SqlStore) -> None:
    """Block, place, both ends, and the price at the block with its quote or the reason why there is none."""
    price = {"connector": "base", "asset": USDC, "block_number": 7, "block_at": MOMENT, "feed": "0x1"}
    kept(
        store,
        transfer(),
        AssetPrice(block_hash=BLOCK, quote="USD", price=Decimal("0.9998"), reason=None, **price),
        AssetPrice(block_hash=OTHER_BLOCK, quote="USD", price=Decimal(7), reason=None, **price),
        AssetPrice(block_hash=BLOCK, quote="ZZZ", price=Decimal(3), reason=None, **price),
    )
    holds(
        only(store, "v_movements"),
        movement_id=ID,
        chain=CHAIN,
        block_number=7,
        block_hash=BLOCK,
        position="3",
        sender=STRANGER,
        recipient=OURS,
        price="0.9998",
        price_quote="USD",
        price_reason=None,
    )
    kept(store, AssetPrice(block_hash=BLOCK, quote="USD", price=None, reason="stale", **price))
    holds(only(store, "v_movements"), price=None, price_quote="USD", price_reason="stale")


def test_cards_have_none_of_it(store: SqlStore) -> None:
    """A card payment stands in no block, and no view of transfers shows it."""
    kept(store, samples.movement())
    empty = dict.fromkeys(("chain", "block_number", "block_hash", "position", "sender", "recipient", "price"))
    holds(only(store, "v_movements"), **empty)
    assert rows(store, "v_transfers") == rows(store, "v_links") == []


def test_a_transfer_that_stands_is_one_sighting(store: SqlStore) -> None:
    """Its row is the movement's own."""
    kept(store, transfer())
    holds(
        only(store, "v_transfers"),
        sighting_id=f"{ID}@{BLOCK}",
        movement_id=ID,
        connector="base",
        chain=CHAIN,
        kind="transfer",
        canonical=1,
        block_number=7,
        block_hash=BLOCK,
        transaction_hash=TRANSACTION,
        position="3",
        sender=STRANGER,
        recipient=OURS,
        amount="12.5",
        asset=USDC,
        block_at=AT,
        ignored_reason=None,
    )


def test_each_sighting_of_a_moved_transfer_is_told_once(store: SqlStore) -> None:
    """Lost in one block and standing in another: two rows; lost alone: one; the retraction is no sighting."""
    lost = transfer(status="retracted")
    undone = transfer(
        movement_id=retraction_id(ID), kind="retraction", status="succeeded", payment_key=ID, block_number=8
    )
    kept(store, lost, undone, lost_sighting(transfer()))
    seen = rows(store, "v_transfers", "sighting_id, canonical")
    assert seen == [{"sighting_id": f"{ID}@{BLOCK}", "canonical": 0}]
    kept(store, transfer(block_hash=OTHER_BLOCK, block_number=8, position="5"))
    seen = rows(store, "v_transfers", "sighting_id, canonical, position")
    assert seen == [
        {"sighting_id": f"{ID}@{BLOCK}", "canonical": 0, "position": "3"},
        {"sighting_id": f"{ID}@{OTHER_BLOCK}", "canonical": 1, "position": "5"},
    ]


def test_what_does_not_count_is_told_with_its_reason(store: SqlStore) -> None:
    """Ignored transfers stand beside the others, and are in no other view."""
    ignored = TransferObservation(
        connector="base",
        movement_id=f"{ID}:ignored",
        block_hash=BLOCK,
        block_number=7,
        transaction_hash=TRANSACTION,
        position="3",
        sender=STRANGER,
        recipient=OURS,
        amount=Decimal(0),
        asset=USDC,
        block_at=MOMENT,
        canonical=True,
        ignored_reason="zero value",
    )
    kept(store, ignored)
    holds(only(store, "v_transfers"), canonical=1, ignored_reason="zero value", amount="0")
    assert rows(store, "v_movements") == rows(store, "v_links") == []
    kept(store, replace(ignored, canonical=False))
    holds(only(store, "v_transfers"), canonical=0, ignored_reason="zero value")


def test_a_deposit_answers_to_its_transaction_and_its_place(store: SqlStore) -> None:
    """The bare hash, and the hash with the position."""
    kept(store, transfer())
    assert aliases(store) == [(TRANSACTION, ID), (f"{TRANSACTION}:3", ID)]


def test_a_moved_deposit_answers_to_both_places(store: SqlStore) -> None:
    """People may have written down either."""
    kept(store, transfer(position="5", block_hash=OTHER_BLOCK))
    assert aliases(store) == [(TRANSACTION, ID), (f"{TRANSACTION}:3", ID), (f"{TRANSACTION}:5", ID)]


def test_a_sweep_does_not_answer_to_the_bare_transaction(store: SqlStore) -> None:
    """Beside a deposit in one transaction it would make the hash mean two payments."""
    kinds = ("internal", "outgoing", "funding")
    named = {f"{TRANSACTION}:{at}": f"{CHAIN}:{TRANSACTION}:{at}" for at in range(3)}
    kept(
        store,
        *(
            transfer(movement_id=name, kind=kind, position=name.rpartition(":")[2])
            for kind, name in zip(kinds, named.values(), strict=True)
        ),
    )
    assert aliases(store) == sorted(named.items())


def test_the_coins_moves_answer_like_tokens(store: SqlStore) -> None:
    """By the place that stands for a log index."""
    value, inner = (f"{CHAIN}:{TRANSACTION}:{position}" for position in ("native", "trace:0_1"))
    kept(
        store,
        transfer(movement_id=value, position="native"),
        transfer(movement_id=inner, position="trace:0_1", kind="internal"),
    )
    assert aliases(store) == [
        (TRANSACTION, value),
        (f"{TRANSACTION}:native", value),
        (f"{TRANSACTION}:trace:0_1", inner),
    ]


def test_a_withdrawal_has_no_alias(store: SqlStore) -> None:
    """It uses no transaction: there is nothing that an entry could name but its own id."""
    named = f"{CHAIN}:withdrawal:457"
    kept(store, transfer(movement_id=named, kind="funding", position="withdrawal:457"))
    assert aliases(store) == []
    assert only(store, "v_movements")["movement_id"] == named


def test_what_was_lost_keeps_its_names_and_its_retraction_has_none(store: SqlStore) -> None:
    """An entry that credited it must still lead to it."""
    undone = transfer(movement_id=retraction_id(ID), kind="retraction", status="succeeded", payment_key=ID)
    kept(store, transfer(status="retracted"), undone)
    assert aliases(store) == [(TRANSACTION, ID), (f"{TRANSACTION}:3", ID)]


def test_links_of_the_sources_stand_beside_them(store: SqlStore) -> None:
    """A protocol's own id of a payment is one more alias."""
    kept(store, transfer(), Link(connector="base", alias="0x" + "0f" * 16, payment_key=ID))
    assert ("0x" + "0f" * 16, ID) in aliases(store)
    assert len(aliases(store)) == 3


def test_fees(store: SqlStore) -> None:
    """What our addresses paid, failed transactions included."""
    kept(
        store,
        TransactionFee(
            connector="base",
            transaction_hash=TRANSACTION,
            payer=OURS,
            amount=Decimal("0.000006001"),
            asset=f"{CHAIN}/slip44:60",
            succeeded=False,
            block_number=7,
            block_hash=BLOCK,
            block_at=MOMENT,
            canonical=True,
        ),
    )
    holds(
        only(store, "v_chain_fees"),
        fee_id=TRANSACTION,
        connector="base",
        payer=OURS,
        amount="0.000006001",
        succeeded=False,
        block_number=7,
        block_at=AT,
        canonical=True,
    )


def test_payment_events(store: SqlStore) -> None:
    """What protocols say, each with its transfer or the reason why it means nothing."""
    said = {
        "connector": "base",
        "event_id": f"{CHAIN}:{TRANSACTION}:4",
        "kind": "coinbase_transferred",
        "contract": "0x" + "ea" * 20,
        "external_id": "0x" + "0f" * 16,
        "operator": "0x" + "c2" * 20,
        "payer": STRANGER,
        "recipient": OURS,
        "asset": None,
        "block_number": 7,
        "transaction_hash": TRANSACTION,
    }
    here = {"block_at": MOMENT, "canonical": True}
    kept(
        store,
        PaymentEvent(block_hash=BLOCK, movement_id=ID, **said, **here),
        PaymentEvent(
            block_hash=OTHER_BLOCK, movement_id=None, ignored_reason="no value moved", **said, **here
        ),
    )
    first, second = rows(store, "v_payment_events")
    holds(first, payment_event_id=f"{said['event_id']}@{BLOCK}", movement_id=ID, ignored_reason=None, **said)
    holds(second, block_hash=OTHER_BLOCK, movement_id=None, ignored_reason="no value moved", block_at=AT)


def test_prices(store: SqlStore) -> None:
    """A price with its round, or the reason why there is none."""
    common = {"connector": "base", "asset": USDC, "quote": "USD", "block_number": 7, "block_at": MOMENT}
    kept(
        store,
        AssetPrice(
            block_hash=BLOCK,
            price=Decimal("1.0001"),
            reason=None,
            feed="0x7e",
            round_id="9",
            round_at=MOMENT,
            **common,
        ),
        AssetPrice(block_hash=OTHER_BLOCK, price=None, reason="the round is stale", **common),
    )
    first, second = rows(store, "v_asset_prices")
    holds(first, price_id=f"{USDC}/USD@{BLOCK}", price="1.0001", reason=None, round_id="9", round_at=AT)
    holds(second, price=None, price_key=None, reason="the round is stale", feed=None, round_at=None)


def test_balances(store: SqlStore) -> None:
    """Proved, waiting and mismatched, with signs kept."""
    common = {"connector": "base", "asset": USDC, "proved_from": 1}
    kept(
        store,
        AddressBalance(
            address=OURS,
            state="mismatch",
            proved_block=5,
            proved_amount=Decimal("10.5"),
            difference=Decimal("-0.25"),
            gap_lower=6,
            gap_upper=6,
            since=MOMENT,
            **common,
        ),
        AddressBalance(
            address=STRANGER,
            state="waiting",
            proved_block=None,
            proved_amount=None,
            pending_block=7,
            pending_hash=BLOCK,
            pending_amount=Decimal(0),
            **common,
        ),
    )
    first, second = rows(store, "v_address_balances")
    holds(
        first,
        balance_id=f"base:{OURS}:{USDC}",
        proved_amount="10.5",
        difference="-0.25",
        gap_lower=6,
        gap_upper=6,
        since=AT,
    )
    holds(second, state="waiting", proved_amount=None, pending_block=7, pending_amount="0", difference=None)


def test_providers(store: SqlStore) -> None:
    """One row a provider and connector."""
    score = ProviderScore(
        connector="base", provider="a.test", failures=3, lies="missing logs x2", last_fault="HTTP 503"
    )
    kept(store, score, replace(score, connector="other"))
    first, second = rows(store, "v_providers")
    holds(first, provider_id="base:a.test", failures=3, lies="missing logs x2", last_fault="HTTP 503")
    assert second["provider_id"] == "other:a.test"


def test_coverage_tells_finality_and_doubts(store: SqlStore) -> None:
    """What was read how near the head, what a balance refutes, and who was caught at what."""
    window = samples.window(
        5, 9, connector="base", finality="final", refuted=True, doubts="a.test: missing logs x1"
    )
    store.commit("base", Batch(stream="charges", records={}, windows=[window]))
    holds(only(store, "v_coverage"), finality="final", refuted=True, doubts="a.test: missing logs x1")


NEW_COLUMNS = ("block_hash", "position", "sender", "recipient")


@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
def test_a_store_of_the_second_revision_keeps_its_movements(
    database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transfers that the first version recorded are there after the upgrade, with their status and names."""
    url: str = request.getfixturevalue(database)
    second = engine.connect(engine.parse(url))
    with monkeypatch.context() as without_views, engine.writing(second) as connection:
        # The views of today stand on columns that the second revision did not have.
        without_views.setattr("payhealth.store.views.create_views", lambda _connection: None)
        command.upgrade(alembic_config(connection), "0002")
    old = transfer(block_hash=None, position=None, sender=None, recipient=None)
    with engine.writing(second) as connection:
        _insert_as_0002_did(connection, old)
    second.dispose()
    assert "upgraded from revision 0002" in upgrade(url)
    store = open_store(url)
    assert Movement(**_content(store.records(Movement).to_pylist()[0])) == old
    empty = dict.fromkeys(NEW_COLUMNS)
    holds(only(store, "v_movements"), movement_id=ID, status="seen", amount="12.5", **empty)
    assert aliases(store) == [(TRANSACTION, ID), (f"{TRANSACTION}:3", ID)]
    assert rows(store, "v_transfers") == []
    assert store.verify_projection() == []
    kept(store, transfer())
    holds(only(store, "v_transfers"), sighting_id=f"{ID}@{BLOCK}", canonical=1)
    assert len(rows(store, "v_movements")) == 1
    assert store.verify_projection() == []
    store.close()


def _content(row: dict[str, Any]) -> dict[str, Any]:
    return {field.name: row[field.name] for field in fields(Movement)}


def _insert_as_0002_did(connection: Connection, movement: Movement) -> None:
    """A transfer in history and projection, with the columns of the second revision."""
    spec = RECORD_SPECS[Movement]
    names = [field.name for field in fields(Movement) if field.name not in NEW_COLUMNS]
    values = {name: getattr(movement, name) for name in names} | {
        "content_hash": content_hashes(spec, content_table(spec, [movement]))[0].as_py(),
        "recorded_at": MOMENT,
        "first_recorded_at": MOMENT,
        "change_seq": 1,
    }
    for name in (spec.version, spec.current):
        connection.execute(metadata.tables[name].insert().values(values))
    connection.execute(text("UPDATE change_counter SET change_seq = 1"))
