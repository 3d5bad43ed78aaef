"""Whatever happens to a business on a chain, and however it is pulled, the store ends as the chain's truth.

A business lives on py-evm and on anvil by seeded chance: payments of every kind, reorgs of depth 1 to 30,
transactions that return in the same place, in another, or not at all; pulls of any step size, killed, begun
anew, and with the chain moving under them. Then the auditor, who shares no code with the connector, says
what is true. More seeds: ``python -m benchmarks.soak_chains``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from payhealth.domain.chain_records import AddressBalance, PaymentEvent, TransactionFee, TransferObservation
from payhealth.domain.records import Movement
from payhealth.sandbox.chain.sending import Item
from payhealth.testing import FixedClock
from tests.sandbox.chains import skip_without_anvil
from tests.simulation.evm_acts import UNIT, Acts
from tests.simulation.evm_credits import Clerk, said
from tests.simulation.evm_life import ANVIL, DEVCHAIN, Life, lived
from tests.simulation.evm_pull import Books, Puller, ShelfBooks, SqlBooks
from tests.simulation.evm_run import run
from tests.simulation.evm_verdict import Judge
from tests.simulation.test_evm_fake_node import FakeNode, assert_exact, deposit, pull
from tests.simulation.test_evm_shelf import Shelf

_STEPS = 9
"""So few that the suite stays quick; the soak lives longer."""


@pytest.mark.parametrize("kind", [DEVCHAIN, ANVIL])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_store_ends_as_the_chain(kind: str, seed: int, tmp_path: Path) -> None:
    """Nothing is missing, nothing too much, nothing stays retracted that lives; credits end as they must."""
    if kind == ANVIL:
        skip_without_anvil()
    ended = run(kind, seed, tmp_path, steps=_STEPS)
    assert ended.differences == []
    assert ended.reorgs
    assert ended.movements > 0


@contextmanager
def young(books: Callable[[Life], Books]) -> Iterator[tuple[Life, Puller, Clerk | None]]:
    """A life whose setting in is left out of what is read, and a clerk where the books can be reconciled."""
    with lived(DEVCHAIN, 5, final_depth=8) as life:
        kept = books(life)
        puller = Puller(life, kept, seed=5, start=life.base + 1)
        with closing(puller):
            yield life, puller, Clerk(puller, seed=5) if isinstance(kept, SqlBooks) else None


def _sql(folder: Path) -> Callable[[Life], Books]:
    return lambda life: SqlBooks(folder / "store.db", FixedClock(life.at))


def _pays(life: Life, payer: int, units: int = UNIT) -> Item:
    cast = life.cast
    call = ("DevToken", "transfer", cast.deposits[payer % 3], units)
    order: Item = life.chain.sending(cast.customers[payer], life.chain.token_address, call)
    return order


def test_credited_before_between_and_after(tmp_path: Path) -> None:
    """Whenever a deposit was credited: confirmed where it returns, else a reorg that nobody clawed back."""
    with young(_sql(tmp_path)) as (life, puller, clerk):
        assert clerk is not None
        life.quiet(3)
        orders = [_pays(life, payer, (1 + payer) * UNIT) for payer in (0, 0, 1, 1, 2, 2)]
        paid = [receipt["transactionHash"] for receipt in life.chain.mine_block(orders, at=life.later())]
        names = [f"eip155:31337:{name}:{place}" for place, name in enumerate(paid)]
        returning, before, between = names[::2], names[:2], names[2:4]
        puller.pull()
        clerk.credit(before)
        life.chain.drop(3, at=life.later(), blocks=4)
        puller.pull()
        clerk.credit(between)
        # Each customer's first returns, behind transfers that shift its log index.
        noise = [life.acts.noise() for _ in paid]
        life.chain.mine_block([*noise, *paid[::2]], at=life.later())
        puller.pull()
        clerk.credit(names[4:])
        puller.settle()
        report = clerk.reconciled()
        assert {name: said(report, name) for name in names} == {
            name: "confirmed" if name in returning else "reorg_not_clawed_back" for name in names
        }
        assert Judge(puller).differences() == []
        rows = {row.movement_id: row for row in puller.rows(Movement)}
        assert all(rows[name].position != name.rpartition(":")[2] for name in returning)


def test_a_credit_by_the_place_between_is_found(tmp_path: Path) -> None:
    """A deposit that moved twice answers to its transaction with each log index that it ever had."""
    with young(_sql(tmp_path)) as (life, puller, clerk):
        assert clerk is not None
        life.quiet(3)
        (receipt,) = life.chain.mine_block([_pays(life, 0)], at=life.later())
        paid = receipt["transactionHash"]
        name = f"eip155:31337:{paid}:0"
        puller.pull()
        for shift in (1, 2):
            noise = [life.acts.noise() for _ in range(shift)]
            life.chain.drop(shift, at=life.later(), blocks=shift + 1, again=[*noise, paid])
            puller.pull()
            if shift == 1:
                clerk.credit([name], reference=f"{paid}:1")
        puller.settle()
        assert said(clerk.reconciled(), name) == "confirmed"


def test_an_authorisation_of_nothing_belongs_to_no_payment() -> None:
    """Anyone may have a transfer of 0 authorised: its event names no movement, and no link leads to one."""
    with young(lambda _: ShelfBooks()) as (life, puller, _):
        cast = life.cast
        call = ("AuthToken", "transferWithAuthorization", cast.customers[0], cast.deposits[0], 0, b"\7" * 32)
        life.chain.mine_block([life.chain.sending(cast.relayer, cast.auth, call)], at=life.later())
        puller.settle()
        assert Judge(puller).differences() == []


def test_a_refund_follows_its_payment_through_a_reorg() -> None:
    """Payment and refund return together at other log indexes: the refund is of the payment's first id."""
    with young(lambda _: ShelfBooks()) as (life, puller, _):
        cast = life.cast
        parties = (cast.relayer, cast.customers[0], cast.deposits[0], cast.usdx)
        info = (*parties, 2**100, 2**40, 2**40, 2**40, 0, 1000, cast.stranger, 7)
        steps = [("Escrow", "charge", info, UNIT, 0, cast.stranger), ("Escrow", "refund", info, UNIT)]
        orders = [life.chain.sending(cast.relayer, cast.escrow, step) for step in steps]
        life.quiet(3)
        receipts = life.chain.mine_block(orders, at=life.later())
        puller.pull()
        again = [life.acts.noise(), *(receipt["transactionHash"] for receipt in receipts)]
        life.chain.drop(1, at=life.later(), blocks=2, again=again)
        puller.settle()
        assert Judge(puller).differences() == []


def test_a_block_that_comes_back_and_is_lost_again() -> None:
    """Lost, back with the same hash, and lost once more: retracted once, each record once in a step."""
    node, shelf = FakeNode(), Shelf()
    for _ in range(20):
        node.mine()
    common = list(node.blocks)
    node.mine(deposit("to and fro"))
    with_deposit = list(node.blocks)
    for turn in range(1, 5):
        node.blocks = list(with_deposit if turn % 2 else common)
        node._salt += 1
        for _ in range(turn + 1):
            node.mine()
        pull(node, shelf)
        assert_exact(shelf, node)


@pytest.mark.parametrize("seed", range(6))
def test_branches_that_take_turns(seed: int) -> None:
    """A chain that goes back to blocks that it had dropped, with the same hashes: what stood lives again."""
    chance, node, shelf = random.Random(seed), FakeNode(final_depth=30), Shelf()
    for number in range(35):
        node.mine(*([deposit(f"early {number}")] if number % 4 == 0 else []))
    branches = [list(node.blocks)]
    for turn in range(14):
        node.blocks = list(chance.choice(branches))
        node._salt += 1
        depth = chance.randrange(6)
        del node.blocks[len(node.blocks) - depth :]
        for block in range(depth + chance.randrange(1, 3)):
            # The same transaction may stand on several branches, behind another one or not.
            txs = [deposit(f"{chance.randrange(12)}", 1 + chance.randrange(3)) for _ in range(block % 3)]
            node.mine(*{tx.name: tx for tx in txs if _is_new(node, tx.name)}.values())
        branches.append(list(node.blocks))
        branches = [branch for branch in branches if len(branch) > node.finalized + 6][-4:]
        pull(node, shelf, most_batches=chance.choice([1, None, None]))
        if turn % 3 == 0:
            pull(node, shelf)
    pull(node, shelf)
    assert_exact(shelf, node)


def _is_new(node: FakeNode, name: str) -> bool:
    return all(tx.name != name for block in node.blocks for tx in block.txs)


@pytest.fixture(scope="module")
def settled() -> Iterator[Puller]:
    """A settled life in memory whose records a test may damage, and must put back."""
    with lived(DEVCHAIN, 8, final_depth=16) as life, closing(Puller(life, ShelfBooks(), seed=8)) as puller:
        life.quiet(2)
        acts: Any = life.acts
        for act in (*_EVERY_KIND, *_EVERY_KIND):
            life.chain.mine_block(getattr(acts, act)(), at=life.later())
        puller.pull()
        life.chain.drop(len(_EVERY_KIND), at=life.later(), again=[])
        puller.pull()
        life.chain.mine_block([_pays(life, 0)], at=life.later())
        puller.settle()
        assert Judge(puller).differences() == []
        yield puller


_EVERY_KIND = ("_deposit", "_sweep", "_coinbase", "_spam", "_authorised", "_deposit_coin")


def _change(**fields: Any) -> Callable[[Any], Any]:
    return lambda row: replace(row, **fields)


def _stands(row: Any) -> bool:
    return bool(row.status == "seen" and row.kind == "transfer")


def _is_lost(row: Any) -> bool:
    return bool(row.status == "retracted" and row.kind == "transfer")


def _any(row: Any) -> bool:
    return bool(getattr(row, "canonical", True))


@pytest.mark.parametrize(
    ("kind", "which", "damage"),
    [
        pytest.param(Movement, _stands, None, id="a deposit is missing"),
        pytest.param(Movement, _stands, _change(amount=Decimal(3)), id="another amount"),
        pytest.param(Movement, _stands, _change(status="retracted"), id="retracted though it lives"),
        pytest.param(Movement, _stands, _change(position="77"), id="another log index"),
        pytest.param(Movement, _stands, _change(kind="internal"), id="another kind"),
        pytest.param(Movement, _stands, _change(block_hash="0x00"), id="another block"),
        pytest.param(Movement, _is_lost, _change(status="seen"), id="lives though it is lost"),
        pytest.param(Movement, _is_lost, None, id="a lost deposit is forgotten"),
        pytest.param(Movement, lambda row: row.kind == "retraction", None, id="no retraction"),
        pytest.param(
            Movement, lambda row: row.kind == "retraction", _change(status="failed"), id="a void one"
        ),
        pytest.param(TransferObservation, _any, None, id="an ignored one is missing"),
        pytest.param(TransferObservation, _any, _change(ignored_reason="dust"), id="another reason"),
        pytest.param(TransactionFee, _any, None, id="a fee is missing"),
        pytest.param(TransactionFee, _any, _change(amount=Decimal(1)), id="another fee"),
        pytest.param(PaymentEvent, _any, None, id="an event is missing"),
        pytest.param(PaymentEvent, _any, _change(movement_id="no such"), id="another transfer"),
        pytest.param(AddressBalance, _any, _change(state="waiting"), id="a balance not proved"),
        pytest.param(AddressBalance, _any, _change(proved_amount=Decimal(5)), id="another balance"),
        pytest.param(AddressBalance, _any, None, id="a pair that nothing proves"),
    ],
)
def test_every_damage_is_seen(settled: Puller, kind: Any, which: Any, damage: Any) -> None:
    """A store that is wrong in one record is told from a right one."""
    rows = settled.books.reader.current[kind]
    key, row = next((key, row) for key, row in rows.items() if which(row))
    try:
        if damage is None:
            del rows[key]
        else:
            rows[key] = damage(row)
        assert Judge(settled).differences()
    finally:
        rows[key] = row


def test_a_gap_in_coverage_is_seen(settled: Puller) -> None:
    """A window that was not read, or not read again once final, is a difference."""
    whole = list(settled.windows)
    for left_out in (None, "final"):
        settled.windows = [
            window for window in whole if window.lower != 10 or left_out not in (None, window.finality)
        ]
        settled.windows = [one for one in settled.windows if not one.lower <= 10 < one.upper]
        assert Judge(settled).differences()
    settled.windows = whole


def test_acts_are_the_seeds(settled: Puller) -> None:
    """The same seed gives the same acts, so that a seed that fails can be lived through again."""
    cast = settled.life.cast
    lives = [Acts(cast, random.Random(4), traced=True) for _ in range(2)]
    first, second = ([acts.one() for _ in range(60)] for acts in lives)
    assert first == second


def test_an_authorisation_of_nothing_takes_no_other_movement() -> None:
    """One of 0 that returns at the log index by which a payment beside it is named is not that payment's."""
    with young(lambda _: ShelfBooks()) as (life, puller, _):
        cast = life.cast
        ends = (cast.customers[:2], cast.deposits[:2])
        args = (*ends, [0, UNIT], [bytes([1]) * 32, bytes([2]) * 32])
        call = ("AuthToken", "transferManyWithAuthorization", *args)
        life.quiet(3)
        order = life.chain.sending(cast.relayer, cast.auth, call)
        (receipt,) = life.chain.mine_block([order], at=life.later())
        puller.pull()
        # The payment was named by index 3; behind two other logs the transfer of 0 stands there.
        again = [life.acts.noise(), life.acts.noise(), receipt["transactionHash"]]
        life.chain.drop(1, at=life.later(), blocks=2, again=again)
        puller.settle()
        assert Judge(puller).differences() == []
