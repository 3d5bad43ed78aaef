"""The oracle checked against itself: conservation on random worlds, and one example for each rule."""

import random
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings

from tests.oracle.expect import credit, fee, rounded
from tests.oracle.model import ENTRY, MOVEMENT, Break, Match, OracleResult, normalised, policy_of
from tests.oracle.reasons import REASONS_IN_ORDER
from tests.oracle.reconcile import reconcile
from tests.oracle.worlds import AS_OF, World, random_world, worlds

Row = dict[str, Any]
USD = "USD"
ON_BASE = "eip155:8453/erc20:0xaa"
ON_MAINNET = "eip155:1/erc20:0xAA"
LONG_AGO_S = 100_000


def pay(id_: str, amount: str, kind: str = "charge", *, age_s: int = LONG_AGO_S, **changes: str) -> Row:
    """A movement of account a and reference r."""
    row = {"id": id_, "kind": kind, "account": "a", "reference": "r", "amount": amount, "asset": USD}
    return {**row, "occurred_at": AS_OF - timedelta(seconds=age_s), **changes}


def enter(id_: str, amount: str, *, age_s: int = LONG_AGO_S, kind: str = "", **changes: str) -> Row:
    """An entry of account a and reference r."""
    row = {"id": id_, "account": "a", "reference": "r", "amount": amount, "asset": USD, "kind": kind}
    return {**row, "occurred_at": AS_OF - timedelta(seconds=age_s), **changes}


def run(payments: list[Row], ledger: list[Row], *policies: Row, rule: Row | None = None) -> OracleResult:
    """Reconcile at the usual T."""
    rules = None if rule is None else [{"pass": "reference", **rule}]
    return reconcile(payments, ledger, policies=list(policies), rules=rules, as_of=AS_OF)


def only_break(result: OracleResult) -> Break:
    """The one break, where nothing else came out."""
    assert not result.matches
    (found,) = result.breaks.values()
    return found


def told(found: Break) -> tuple[str, set[str], Decimal]:
    """What most examples compare."""
    return found.primary_reason, set(found.flags), found.amount


def run_world(world: World) -> OracleResult:
    """Reconcile a world."""
    return reconcile(
        world.payments, world.ledger, policies=world.policies, rules=world.rules, as_of=world.as_of
    )


# --- properties -----------------------------------------------------------------------------------


def assert_conserved(world: World, result: OracleResult) -> None:
    """Every id in one place, the statement adds up, every break has reasons of the list."""
    placed = [(MOVEMENT, id_) for match in result.matches for id_ in match.movement_ids]
    placed += [(ENTRY, id_) for match in result.matches for id_ in match.entry_ids]
    placed += [row_id for ids in result.breaks for row_id in ids]
    placed += list(result.open)
    given_ids = [(MOVEMENT, row["id"]) for row in world.payments]
    given_ids += [(ENTRY, row["id"]) for row in world.ledger]
    assert sorted(placed) == sorted(given_ids)
    for row in result.statement.values():
        right = row.credited + row.fees_kept + row.within_tolerance + row.in_flight + row.written_off
        assert row.paid_in == right + sum(row.breaks.values(), Decimal(0))
    for found in result.breaks.values():
        assert found.primary_reason in REASONS_IN_ORDER
        assert any(found.legs.values())


def test_2000_random_worlds_conserve_value() -> None:
    """The statement adds up, and each input id is in exactly one place."""
    reasons: set[str] = set()
    for seed in range(2000):
        world = random_world(seed)
        result = run_world(world)
        assert_conserved(world, result)
        assert 1 <= len(world.payments) <= 14
        assert 1 <= len(world.ledger) <= 14
        for found in result.breaks.values():
            reasons |= {found.primary_reason, *found.flags}
    assert reasons >= {*REASONS_IN_ORDER, "late", "dust", "unknown_sender", "over_refunded"}


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_hypothesis_worlds_conserve_value(world: World) -> None:
    """The strategy gives worlds of the same kind."""
    assert_conserved(world, run_world(world))


def test_order_of_input_is_irrelevant() -> None:
    """The same input in any order gives the same output."""
    for seed in range(200):
        world = random_world(seed)
        rows = random.Random(seed)
        payments = rows.sample(world.payments, len(world.payments))
        ledger = rows.sample(world.ledger, len(world.ledger))
        assert run_world(world._replace(payments=payments, ledger=ledger)) == run_world(world)


def test_on_top_credit_is_the_largest_by_its_definition() -> None:
    """On_top: the largest multiple c of quantum with c + fee(c) <= gross, found by trying each."""
    source = random.Random(1)
    for _ in range(300):
        policy = policy_of(
            {
                "basis": "on_top",
                "fee_rate": source.choice(["0", "0.055", "0.5"]),
                "fee_fixed": source.choice(["0", "0.3"]),
                "fee_minimum": source.choice(["0", "0.8"]),
                "quantum": source.choice(["0.01", "0.05", "1"]),
            }
        )
        gross = Fraction(source.randint(0, 2000), 100)
        best = Fraction(0)
        for steps in count(1):
            candidate = steps * policy.quantum
            if candidate > gross:
                break
            if candidate + fee(policy, candidate) <= gross:
                best = candidate
        assert credit(policy, gross) == best


# --- expectations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("half_even", "0.02 -0.02"),
        ("half_up", "0.03 -0.03"),
        ("half_down", "0.02 -0.02"),
        ("up", "0.03 -0.03"),
        ("down", "0.02 -0.02"),
        ("floor", "0.02 -0.03"),
        ("ceiling", "0.03 -0.02"),
    ],
)
def test_rounding_modes(mode: str, expected: str) -> None:
    """Rounding to quantum means what the mode of that name means in decimal, for both signs."""
    quantum = Fraction("0.01")
    assert [rounded(Fraction(sign * 25, 1000), quantum, mode) for sign in (1, -1)] == [
        Fraction(value) for value in expected.split()
    ]


def test_gross_credit_is_rounded_and_its_fee_is_not() -> None:
    """Gross: credit = gross - fee(gross), rounded to quantum; the rest is fees kept."""
    policy = {"fee_rate": "0.029", "fee_fixed": "0.30", "quantum": "0.01"}
    result = run([pay("m", "10.55")], [enter("e", "9.94")], policy)
    assert len(result.matches) == 1
    assert result.statement[USD, "card"].fees_kept == Decimal("0.61")


def test_fee_above_the_gross_expects_nothing() -> None:
    """A fee above the gross expects 0, and a lone row that expects 0 is confirmed."""
    result = run([pay("m", "0.50")], [], {"fee_minimum": "0.80"})
    assert result.matches == {Match("confirmed", "reference", frozenset({"m"}), frozenset())}
    assert result.statement[USD, "card"].fees_kept == Decimal("0.50")


def test_partial_reversals_give_back_exactly_the_credit() -> None:
    """The k-th reversal expects round(C * cumulative / gross) less what earlier ones expected."""
    payments = [pay("m", "10")]
    payments += [pay(f"r{k}", "3.3333", "refund", age_s=5000 - k) for k in range(2)]
    payments += [pay("r2", "3.3334", "refund", age_s=4000)]
    ledger = [enter("e", "9")] + [enter(f"c{k}", "-3.00", age_s=5000 - k) for k in range(3)]
    result = run(payments, ledger, {"fee_rate": "0.1", "quantum": "0.01"})
    assert len(result.matches) == 1


def test_reversal_takes_the_policy_and_rail_of_its_payment() -> None:
    """A refund is not a transfer, yet the refund of a transfer falls under the transfer's policy."""
    policies = [{"when": {"kind": "transfer"}, "fee_rate": "0.5"}, {}]
    result = run([pay("m", "10", "transfer"), pay("r", "4", "refund")], [enter("e", "3")], *policies)
    assert len(result.matches) == 1
    assert set(result.statement) == {(USD, "chain")}


def test_policy_asset_without_a_rate_leaves_the_movement_unpriced() -> None:
    """No price: the movement waits in open, beside the statement, and is never guessed."""
    result = run([pay("m", "10"), pay("r", "10", "refund")], [], {"asset": "EUR"})
    assert result.open == {(MOVEMENT, "m"): "unpriced", (MOVEMENT, "r"): "unpriced"}
    assert result.statement == {}


def test_to_is_exclusive_and_from_inclusive() -> None:
    """A `when` holds from `from` up to, and without, `to`."""
    moment = AS_OF - timedelta(seconds=LONG_AGO_S)
    none_left = {"fee_minimum": "1000"}
    assert run([pay("m", "1")], [], {"when": {"from": moment}, **none_left}).matches
    assert run([pay("m", "1")], [], {"when": {"to": moment}, **none_left}).breaks


# --- groups ---------------------------------------------------------------------------------------


def test_references_trim_and_hex_has_no_case_but_the_rest_has() -> None:
    """`0x…` compares without case, in an asset too; Stripe ids are case-sensitive."""
    assert normalised(" 0xAbC ") == "0xabc"
    assert normalised("eip155:1/erc20:0xAb") == "eip155:1/erc20:0xab"
    assert normalised("ch_0xAb") == "ch_0xAb"
    assert run([pay("m", "1", reference="0xAB")], [enter("e", "1", reference=" 0xab")]).matches
    assert len(run([pay("m", "1", reference="ch_A")], [enter("e", "1", reference="ch_a")]).breaks) == 2


def test_an_empty_account_joins_the_only_account() -> None:
    """One account named in the group: rows without one belong to it."""
    assert run([pay("m", "1", account="")], [enter("e", "1")]).matches


def test_tolerance_is_inclusive_and_the_wider_of_the_two() -> None:
    """All legs within the reference rule's own tolerance: confirmed, the rest is within tolerance."""
    rule = {"absolute": "0.5", "relative": "0.01"}
    result = run([pay("m", "100")], [enter("e", "99")], rule=rule)
    assert result.matches
    assert result.statement[USD, "card"].within_tolerance == 1
    assert only_break(run([pay("m", "100")], [enter("e", "98.99")], rule=rule)).amount == Decimal("1.01")


def test_tolerance_does_not_excuse_a_payment_without_any_entry() -> None:
    """Rows on one side only must cancel exactly (decision 11)."""
    assert run([pay("m", "1")], [], rule={"absolute": "5"}).breaks


def test_paid_and_refunded_before_any_credit_is_confirmed() -> None:
    """Legs that cancel on one side are a confirmed match with an empty other side."""
    result = run([pay("m", "5"), pay("r", "5", "refund")], [])
    assert result.matches == {Match("confirmed", "reference", frozenset({"m", "r"}), frozenset())}


def test_a_reference_shared_too_widely_is_no_reference() -> None:
    """More than `max_reference_share` movements share it: all its rows stand alone."""
    rows = [pay(f"m{k}", "1") for k in range(3)]
    result = run(rows, [enter("e", "3")], rule={"max_reference_share": 2})
    assert len(result.breaks) == 4
    assert result.shared_references == {"r": 3}
    assert run(rows, [enter("e", "3")], rule={"max_reference_share": 3}).matches


def test_inside_the_time_to_clear_a_residual_is_in_flight() -> None:
    """Both ways: a payment may wait for its entry and an entry for its payment, its end excluded."""
    assert run([pay("m", "1", age_s=899)], []).open == {(MOVEMENT, "m"): "in_flight"}
    assert run([], [enter("e", "1", age_s=899)]).open == {(ENTRY, "e"): "in_flight"}
    assert run([pay("m", "1", age_s=900)], []).breaks


def test_the_part_in_flight_is_no_break() -> None:
    """Of R = 30, N = 10 is in flight and B = 20 is the break."""
    result = run([pay("m", "20"), pay("n", "10", age_s=5)], [])
    assert told(only_break(result)) == ("paid_not_credited", set(), Decimal(20))
    assert result.statement[USD, "card"].in_flight == 10


def test_rows_after_t_and_other_kinds_stay_out() -> None:
    """Rows after T are after_as_of, grants are ignored; neither is in the statement."""
    result = run(
        [pay("m", "1", age_s=-1)], [enter("e", "1", kind="grant"), enter("f", "1", kind="grant", age_s=-1)]
    )
    assert result.open == {
        (MOVEMENT, "m"): "after_as_of",
        (ENTRY, "e"): "ignored",
        (ENTRY, "f"): "after_as_of",
    }
    assert result.statement == {}


# --- reasons --------------------------------------------------------------------------------------


def test_paid_not_credited() -> None:
    """Payments without entries, B > 0."""
    result = run([pay("m", "7")], [])
    assert told(only_break(result)) == ("paid_not_credited", set(), Decimal(7))
    assert result.explained == 0


def test_credited_not_paid() -> None:
    """Positive entries without movements; their rail is unassigned and explained is null."""
    result = run([], [enter("e", "7")])
    assert told(only_break(result)) == ("credited_not_paid", set(), Decimal(-7))
    assert set(result.statement) == {(USD, "unassigned")}
    assert result.explained is None


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("refund", "refund_not_clawed_back"),
        ("dispute", "dispute_not_clawed_back"),
        ("retraction", "reorg_not_clawed_back"),
    ],
)
def test_not_clawed_back(kind: str, reason: str) -> None:
    """B < 0 and an undoing movement lacks its negative entry; a lone one says the same."""
    with_payment = run([pay("m", "7"), pay("u", "3", kind, age_s=9999)], [enter("e", "7")])
    assert told(only_break(with_payment)) == (reason, set(), Decimal(-3))
    assert told(only_break(run([pay("u", "3", kind)], []))) == (reason, set(), Decimal(-3))


def test_an_excess_beyond_the_clawbacks_is_amount_over_too() -> None:
    """The reversal explains 3 of 5; the rest is amount_over."""
    result = run([pay("m", "7"), pay("u", "3", "refund")], [enter("e", "9")])
    assert told(only_break(result)) == ("refund_not_clawed_back", {"amount_over"}, Decimal(-5))


def test_a_won_dispute_first_cancels_one_never_clawed_back() -> None:
    """Dispute and reinstatement without entries: the excess is amount_over, no clawback is missing."""
    payments = [pay("m", "7"), pay("d", "7", "dispute"), pay("w", "7", "dispute_reversal")]
    assert told(only_break(run(payments, [enter("e", "9")]))) == ("amount_over", set(), Decimal(-2))


def test_a_lone_negative_entry_is_clawed_back_not_refunded() -> None:
    """So is a group whose entries take back more than its movements."""
    lone = run([], [enter("e", "-4")])
    assert told(only_break(lone)) == ("clawed_back_not_refunded", set(), Decimal(4))
    group = run([pay("m", "7")], [enter("e", "7"), enter("f", "-4")])
    assert told(only_break(group)) == ("clawed_back_not_refunded", set(), Decimal(4))


def test_reversal_not_recredited() -> None:
    """A won dispute was clawed back and is not credited again."""
    payments = [pay("m", "7"), pay("d", "7", "dispute", age_s=9999)]
    payments += [pay("w", "7", "dispute_reversal", age_s=5000)]
    result = run(payments, [enter("e", "7"), enter("f", "-7", age_s=9999)])
    assert told(only_break(result)) == ("reversal_not_recredited", set(), Decimal(7))


def test_wrong_account() -> None:
    """Legs cancel over accounts: the amount is 0, at risk is the largest leg."""
    found = only_break(run([pay("m", "7")], [enter("e", "7", account="b")]))
    assert told(found) == ("wrong_account", set(), Decimal(0))
    assert found.at_risk == 7
    assert found.legs == {("a", USD): Decimal(7), ("b", USD): Decimal(-7)}


def test_b_that_cancels_over_accounts_is_wrong_account_too() -> None:
    """R does not cancel and every B sums to 0, so no reason of the list applies (decision 20)."""
    ledger = [enter("e", "100", account="b"), enter("f", "50", account="b", age_s=5)]
    result = run([pay("m", "100")], ledger)
    assert told(only_break(result)) == ("wrong_account", set(), Decimal(0))


def test_wrong_asset() -> None:
    """An entry in an asset nobody paid; the break's asset is the paid one, its lack a flag."""
    found = only_break(run([pay("m", "7")], [enter("e", "9", asset="EUR")]))
    assert told(found) == ("wrong_asset", {"amount_under"}, Decimal(7))
    assert (found.asset, found.at_risk) == (USD, Decimal(9))


def test_wrong_chain() -> None:
    """The assets differ in their CAIP-2 part only: wrong_chain beside wrong_asset."""
    result = run([pay("m", "7", "transfer", asset=ON_BASE)], [enter("e", "7", asset=ON_MAINNET)])
    assert told(only_break(result)) == ("wrong_asset", {"wrong_chain", "amount_under"}, Decimal(7))
    assert {rail for _, rail in result.statement} == {"chain"}


def test_duplicate_credit() -> None:
    """-B is one of several equal positive entries."""
    result = run([pay("m", "7")], [enter("e", "7"), enter("f", "7")])
    assert told(only_break(result)) == ("duplicate_credit", set(), Decimal(-7))


def test_duplicate_payment() -> None:
    """B is the expectation of one of several equal payments."""
    result = run([pay("m", "7"), pay("n", "7")], [enter("e", "7")])
    assert told(only_break(result)) == ("duplicate_payment", set(), Decimal(7))


@pytest.mark.parametrize(
    ("entered", "told_"),
    [("8", ("amount_over", set(), Decimal(-1))), ("6", ("amount_under", set(), Decimal(1)))],
)
def test_amount_over_and_under(entered: str, told_: tuple[str, set[str], Decimal]) -> None:
    """Any other excess or lack; a surplus is as much a break as a lack."""
    assert told(only_break(run([pay("m", "7")], [enter("e", entered)]))) == told_


# --- flags ----------------------------------------------------------------------------------------


def test_late() -> None:
    """Late and over, or late and right: a flag on the break or the match."""
    late_s, in_time_s = LONG_AGO_S - 900, LONG_AGO_S - 899
    found = only_break(run([pay("m", "7")], [enter("e", "8", age_s=late_s)]))
    assert told(found) == ("amount_over", {"late"}, Decimal(-1))
    (flags,) = run([pay("m", "7")], [enter("e", "7", age_s=late_s)]).match_flags.values()
    assert flags == {"late"}
    (flags,) = run([pay("m", "7")], [enter("e", "7", age_s=in_time_s)]).match_flags.values()
    assert flags == frozenset()


def test_over_refunded() -> None:
    """Reversing more than was paid is not capped at the gross, and flagged."""
    result = run([pay("m", "7"), pay("u", "9", "refund", age_s=9999)], [enter("e", "7")])
    assert told(only_break(result)) == ("refund_not_clawed_back", {"over_refunded"}, Decimal(-9))


def test_unknown_sender() -> None:
    """A payment left over without an account."""
    found = only_break(run([pay("m", "7", account="", reference="")], []))
    assert told(found) == ("paid_not_credited", {"unknown_sender"}, Decimal(7))


def test_dust() -> None:
    """Every row of the group below dust_below; a big credit for a dust payment is not dust."""
    policy = {"dust_below": "1"}
    assert only_break(run([pay("m", "0.5")], [], policy)).flags == {"dust"}
    assert only_break(run([pay("m", "1")], [], policy)).flags == frozenset()
    assert only_break(run([pay("m", "0.5")], [enter("e", "9")], policy)).flags == frozenset()
