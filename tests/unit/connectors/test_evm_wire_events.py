"""Events: malformed ones are refused in words; each is paired with the money it speaks of, or with none."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.connectors.evm.wire import pairing
from payhealth.connectors.evm.wire.events import (
    AuthorizationUsed,
    CoinbaseTransferred,
    EscrowEvent,
    EscrowStep,
    Event,
    PaymentInfo,
    event_of_log,
    transfer_of_polygon_log,
)
from payhealth.connectors.evm.wire.pairing import Known, Pair, coinbase_key, pair_with_transfers
from payhealth.connectors.evm.wire.values import Transfer, WireError, transfer_of_log
from tests.golden.evm_wire.regenerate import cases, payload

AT = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = [
    name for name in cases() if payload(name)["kind"] in ("event", "polygon_log") and "refused" not in name
]
TOKEN, MERCHANT, PAYER, OPERATOR, STORE, FEES = ("0x" + f"{at:02x}" * 20 for at in range(0xA1, 0xA7))
CONTRACT, ESCROW = "0x" + "c1" * 20, "0x" + "c2" * 20
KNOWN = Known(coinbase_contracts={CONTRACT}, operators={OPERATOR}, escrows={ESCROW})
PLACE: dict[str, Any] = {
    "transaction_hash": "0x" + "ee" * 32,
    "block_hash": "0x" + "bb" * 32,
    "block_number": 7,
}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_damage_is_refused_with_a_reason(data: st.DataObject) -> None:
    """A damaged event is refused in words, whatever the damage; no other error is ever raised."""
    case = payload(data.draw(st.sampled_from(EVENTS)))
    raw = case["raw"]
    field = data.draw(st.sampled_from(sorted(raw)))
    values = st.none() | st.integers() | st.text(max_size=70) | st.lists(st.text(max_size=66), max_size=5)
    if field == "data" and raw["data"] != "0x":
        at = data.draw(st.integers(0, len(raw["data"]) - 1))
        values |= st.just(raw["data"][:at]) | st.just(raw["data"][:at] + "g" + raw["data"][at + 1 :])
    damaged = {**raw, field: data.draw(values)}
    reader = event_of_log if case["kind"] == "event" else transfer_of_polygon_log
    with contextlib.suppress(WireError):
        reader(damaged)
        # What is not read at all, and what says the same in other words, may be anything.
        assert (
            field in ("transactionIndex", "blockNumber", "logIndex") or damaged == raw or not damaged[field]
        )


@pytest.mark.parametrize("name", [name for name in EVENTS if "escrow" in name or "coinbase" in name])
def test_dirty_padding_is_refused(name: str) -> None:
    """An address word with anything before its 20 bytes is no address."""
    raw = payload(name)["raw"]
    words = [raw["data"][2:][at : at + 64] for at in range(0, len(raw["data"]) - 2, 64)]
    for at, word in enumerate(words):
        if word.startswith("0" * 24) and int(word, 16) >> 80:
            dirty = [*words[:at], "1" + word[1:], *words[at + 1 :]]
            with pytest.raises(WireError):
                event_of_log({**raw, "data": "0x" + "".join(dirty)})


def moved(
    index: int | str, sender: str, recipient: str, units: int = 100, token: str | None = TOKEN
) -> Transfer:
    """A transfer in the receipt."""
    return Transfer(
        position=str(index), token=token, sender=sender, recipient=recipient, units=units, **PLACE
    )


def coinbase(index: int, intent: str = "01", **changed: Any) -> CoinbaseTransferred:
    """A well-formed claim that the merchant was paid."""
    event = CoinbaseTransferred(
        contract=CONTRACT,
        log_index=index,
        operator=OPERATOR,
        id="0x" + intent * 16,
        recipient=MERCHANT,
        sender=PAYER,
        spent_units=101,
        spent_currency=TOKEN,
        **PLACE,
    )
    return replace(event, **changed)


def paired(events: list[Event], transfers: list[Transfer], known: Known = KNOWN) -> list[tuple[Any, Any]]:
    """Each event's position of its transfer, or the reason."""
    pairs = pair_with_transfers(events, transfers, known)
    return [(pair.transfer.position if pair.transfer else None, pair.reason) for pair in pairs]


def test_a_coinbase_event_belongs_to_what_its_recipient_got() -> None:
    """The last transfer to the recipient before the event, not the payer's own and not the fee."""
    transfers = [moved(1, PAYER, CONTRACT, 101), moved(2, CONTRACT, MERCHANT), moved(3, CONTRACT, FEES, 1)]
    assert paired([coinbase(4)], transfers) == [("2", None)]


def test_a_coinbase_event_may_belong_to_a_native_value() -> None:
    """Coins that moved in a call count as well; a transfer that follows the event does not."""
    native = moved("trace:0_1", CONTRACT, MERCHANT, token=None)
    assert paired([coinbase(4)], [native, moved(5, PAYER, MERCHANT)]) == [("trace:0_1", None)]
    assert paired([coinbase(4)], [moved(5, PAYER, MERCHANT)]) == [(None, pairing.NO_VALUE)]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"contract": "0x" + "99" * 20}, pairing.UNKNOWN_CONTRACT),
        ({"operator": "0x" + "99" * 20}, pairing.UNKNOWN_OPERATOR),
        ({"recipient": "0x" + "99" * 20}, pairing.NO_VALUE),
        ({"transaction_hash": "0x" + "99" * 32}, pairing.NO_VALUE),
        ({"block_hash": "0x" + "99" * 32}, pairing.NO_VALUE),
    ],
)
def test_forged_coinbase_events_are_ignored(changed: dict[str, Any], reason: str) -> None:
    """Anyone may emit the event: without a known contract, operator and a movement it counts for nothing."""
    assert paired([coinbase(4, **changed)], [moved(2, CONTRACT, MERCHANT)]) == [(None, reason)]


def test_a_transfer_of_zero_is_no_value() -> None:
    """A zero transfer to the recipient proves nothing."""
    assert paired([coinbase(4)], [moved(2, CONTRACT, MERCHANT, 0)]) == [(None, pairing.NO_VALUE)]


def test_an_id_counts_once() -> None:
    """Another transaction cannot use a paid intent again; the same event read again is no replay."""
    later = {"transaction_hash": "0x" + "dd" * 32, "block_number": 8, "block_hash": "0x" + "cc" * 32}
    replayed = replace(coinbase(4), **later)
    transfers = [moved(2, CONTRACT, MERCHANT), replace(moved(2, CONTRACT, MERCHANT), **later)]
    expected = [("2", None), (None, pairing.USED_BEFORE)]
    assert paired([replayed, coinbase(4), coinbase(4)], transfers) == expected
    known = replace(KNOWN, used={coinbase_key(coinbase(4)): coinbase(4).transaction_hash})
    assert paired([coinbase(4), replayed], transfers, known) == expected
    other_operator = replace(KNOWN, used={(CONTRACT, FEES, coinbase(4).id): "0x" + "12" * 32})
    assert paired([coinbase(4)], transfers, other_operator) == [("2", None)]


def test_a_forged_event_uses_up_nothing() -> None:
    """An ignored event neither burns its id nor takes a transfer from a true one."""
    forged = coinbase(3, operator=FEES)
    empty = coinbase(3, recipient=FEES)
    for before in (forged, empty):
        assert paired([before, coinbase(4)], [moved(2, CONTRACT, MERCHANT)])[1] == ("2", None)


def test_two_events_never_share_a_transfer() -> None:
    """Two intents need two movements."""
    transfers = [moved(1, CONTRACT, MERCHANT), moved(3, CONTRACT, MERCHANT)]
    both: list[Event] = [coinbase(2, "01"), coinbase(4, "02")]
    assert paired(both, transfers) == [("1", None), ("3", None)]
    assert paired(both, transfers[:1]) == [("1", None), (None, pairing.NO_VALUE)]


def authorization(index: int, **changed: Any) -> AuthorizationUsed:
    """The payer's authorisation was used."""
    nonce = f"0x{index:064x}"
    event = AuthorizationUsed(contract=TOKEN, log_index=index, authorizer=PAYER, nonce=nonce, **PLACE)
    return replace(event, **changed)


def test_an_authorisation_belongs_to_the_next_transfer_of_its_token_and_holder() -> None:
    """Not to an earlier one, another token's or another holder's; each has its own."""
    transfers = [
        moved(1, PAYER, MERCHANT),
        moved(3, PAYER, MERCHANT, token=STORE),
        moved(4, FEES, MERCHANT),
        moved(10, PAYER, MERCHANT),
        moved(9, PAYER, STORE),
    ]
    assert paired([authorization(2), authorization(5)], transfers) == [("9", None), ("10", None)]
    assert paired([authorization(11)], transfers) == [(None, pairing.NO_TRANSFER)]


TERMS = PaymentInfo(
    operator=OPERATOR,
    payer=PAYER,
    receiver=MERCHANT,
    token=TOKEN,
    max_units=200,
    pre_approval_expiry=1,
    authorization_expiry=2,
    refund_expiry=3,
    min_fee_bps=0,
    max_fee_bps=10_000,
    fee_receiver=FEES,
    salt=9,
)


def step(index: int, which: EscrowStep, units: int = 100, **changed: Any) -> EscrowEvent:
    """A step of the payment."""
    with_info = which in (EscrowStep.AUTHORIZED, EscrowStep.CHARGED)
    event = EscrowEvent(
        contract=ESCROW,
        log_index=index,
        step=which,
        payment="0x" + "9a" * 32,
        units=units,
        info=TERMS if with_info else None,
        fee_bps=250 if which in (EscrowStep.CHARGED, EscrowStep.CAPTURED) else None,
        fee_receiver=FEES,
        collector=STORE,
        **PLACE,
    )
    return replace(event, **changed)


WITH_TERMS = replace(KNOWN, payments={(ESCROW, "0x" + "9a" * 32): TERMS})


@pytest.mark.parametrize(
    ("event", "transfers", "expected"),
    [
        # The collector fetches all that was approved, gives the rest back and stores the amount.
        (
            step(1, EscrowStep.AUTHORIZED),
            [moved(2, PAYER, FEES, 200), moved(3, FEES, PAYER, 100), moved(4, FEES, STORE, 100)],
            ("4", None),
        ),
        (
            step(1, EscrowStep.AUTHORIZED),
            [moved(2, PAYER, FEES, 200), moved(3, FEES, STORE, 100), moved(4, FEES, PAYER, 100)],
            ("3", None),
        ),
        (step(1, EscrowStep.AUTHORIZED), [moved(2, PAYER, FEES), moved(3, FEES, STORE)], ("3", None)),
        (
            step(1, EscrowStep.CHARGED),
            [moved(2, PAYER, STORE), moved(3, STORE, FEES, 2), moved(4, STORE, MERCHANT, 98)],
            ("4", None),
        ),
        (
            step(1, EscrowStep.CAPTURED),
            [moved(2, STORE, FEES, 2), moved(3, STORE, MERCHANT, 98)],
            ("3", None),
        ),
        (step(1, EscrowStep.CAPTURED, fee_bps=10_000), [moved(2, STORE, FEES)], (None, pairing.ALL_FEE)),
        (step(1, EscrowStep.VOIDED), [moved(2, STORE, PAYER)], ("2", None)),
        (step(1, EscrowStep.RECLAIMED), [moved(0, STORE, PAYER)], (None, pairing.NO_TRANSFER)),
        (step(1, EscrowStep.REFUNDED), [moved(2, MERCHANT, STORE), moved(3, STORE, PAYER)], ("3", None)),
        (
            step(1, EscrowStep.VOIDED, contract=CONTRACT),
            [moved(2, STORE, PAYER)],
            (None, pairing.UNKNOWN_CONTRACT),
        ),
        (step(1, EscrowStep.VOIDED), [moved(2, STORE, PAYER, token=STORE)], (None, pairing.NO_TRANSFER)),
    ],
)
def test_each_step_belongs_to_the_transfer_that_it_causes(
    event: EscrowEvent, transfers: list[Transfer], expected: tuple[Any, Any]
) -> None:
    """By token, recipient and amount after the fee, behind the event."""
    assert paired([event], transfers, WITH_TERMS) == [expected]


def test_steps_of_one_transaction_keep_to_their_own_transfers() -> None:
    """A transfer behind the contract's next event is the next step's; terms are learnt on the way."""
    steps: list[Event] = [step(1, EscrowStep.AUTHORIZED), step(4, EscrowStep.CAPTURED)]
    transfers = [moved(2, PAYER, STORE), moved(5, STORE, FEES, 2), moved(6, STORE, MERCHANT, 98)]
    assert paired(steps, transfers) == [("2", None), ("6", None)]
    assert paired(steps[1:], transfers) == [(None, pairing.UNKNOWN_PAYMENT)]
    both: list[Event] = [step(1, EscrowStep.VOIDED), step(2, EscrowStep.REFUNDED)]
    assert paired(both, [moved(3, STORE, PAYER)], WITH_TERMS) == [(None, pairing.NO_TRANSFER), ("3", None)]


events_of_all_kinds = st.one_of(
    st.builds(coinbase, st.integers(0, 20), st.sampled_from(["01", "02"])),
    st.builds(authorization, st.integers(0, 20)),
    st.builds(step, st.integers(0, 20), st.sampled_from(EscrowStep)),
)
parties = st.sampled_from([MERCHANT, PAYER, STORE, FEES, CONTRACT])
movements = st.builds(moved, st.integers(0, 20), parties, parties, st.sampled_from([0, 98, 100]))


@settings(max_examples=200, deadline=None)
@given(
    events=st.lists(events_of_all_kinds, max_size=8),
    transfers=st.lists(movements, max_size=8, unique_by=lambda transfer: transfer.position),
    random=st.randoms(use_true_random=False),
)
def test_pairs_whatever_the_order(events: list[Any], transfers: list[Transfer], random: Any) -> None:
    """Order of input changes nothing; each event has one pair; no transfer serves two events of a kind."""
    events = list({event.log_index: event for event in events}.values())
    pairs = pair_with_transfers(events, transfers, KNOWN)
    assert sorted(pair.event.log_index for pair in pairs) == sorted(event.log_index for event in events)
    served = [(type(pair.event), pair.transfer.position) for pair in pairs if pair.transfer]
    assert len(set(served)) == len(served)
    assert all((pair.transfer is None) == bool(pair.reason) for pair in pairs)
    random.shuffle(events)
    random.shuffle(transfers)
    assert pair_with_transfers(events, transfers, KNOWN) == pairs


def pairs_of(receipt: dict[str, Any], known: Known) -> list[Pair]:
    """The events of a receipt with their transfers."""
    events: list[Event] = []
    transfers: list[Transfer] = []
    for log in receipt["logs"]:
        try:
            transfers.append(transfer_of_log(log))
        except WireError:
            events.append(event_of_log(log))
    return list(pair_with_transfers(events, transfers, known))


def test_contracts_on_a_real_chain() -> None:
    """On py-evm the three kinds of contracts log what is decoded, and each event finds its money."""
    chains = pytest.importorskip("payhealth.sandbox.chain.devchain")
    chain = chains.DevChain(seed=8, genesis_at=AT)
    if not hasattr(chain, "deploy"):
        pytest.skip("this sandbox's chain deploys no contracts of its own")
    clock = iter(AT + timedelta(minutes=minute) for minute in range(1, 100))
    payer, merchant, operator = (chain.new_address() for _ in range(3))
    token = chain.deploy("AuthToken", "Dollar", "USDX", 6, at=next(clock))
    shop = chain.deploy("CoinbaseTransfers", at=next(clock))
    escrow = chain.deploy("Escrow", at=next(clock))
    chain.faucet(payer, at=next(clock), native=10**18)
    faucet = chain.faucet_address

    def run(sender: str, to: str, *call: Any) -> dict[str, Any]:
        receipt: dict[str, Any] = chain.invoke(sender, to, call, at=next(clock))
        return receipt

    run(faucet, token, "AuthToken", "mint", payer, 10**9)
    for spender in (shop, escrow):
        run(payer, token, "AuthToken", "approve", spender, 10**9)
    lower = {name.lower() for name in (shop, escrow)}
    known = Known(coinbase_contracts=lower, operators={operator.lower()}, escrows=lower)
    paid = run(payer, shop, "CoinbaseTransfers", "payFor", operator, token, merchant, 500, 5, b"\7" * 16)
    forged = run(payer, shop, "CoinbaseTransfers", "forge", operator, b"\7" * 16, merchant, payer, 9, token)
    used = run(faucet, token, "AuthToken", "transferWithAuthorization", payer, merchant, 60, b"\1" * 32)
    info = (operator, payer, merchant, token, 2000, 2**48 - 1, 2**48 - 1, 2**48 - 1, 0, 500, operator, 3)
    held = run(faucet, escrow, "Escrow", "authorize", info, 1000)
    captured = run(faucet, escrow, "Escrow", "capture", info, 400, 250, operator)
    voided = run(faucet, escrow, "Escrow", "void", info)
    (pair,) = pairs_of(held, known)
    assert isinstance(pair.event, EscrowEvent)
    assert pair.event.info is not None
    assert (pair.event.info.receiver, pair.event.info.max_units) == (merchant.lower(), 2000)
    terms = replace(known, payments={(pair.event.contract, pair.event.payment): pair.event.info})
    found = []
    for receipt in (paid, forged, used, held, captured, voided):
        (pair,) = pairs_of(receipt, terms)
        found.append((pair.transfer and (pair.transfer.recipient, pair.transfer.units), pair.reason))
    assert found == [
        ((merchant.lower(), 500), None),
        (None, pairing.NO_VALUE),
        ((merchant.lower(), 60), None),
        ((escrow.lower(), 1000), None),
        ((merchant.lower(), 390), None),
        ((payer.lower(), 600), None),
    ]
