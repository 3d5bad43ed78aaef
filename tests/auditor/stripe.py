"""Holds a store against the Stripe account that it was pulled from, and says every difference in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from payhealth.domain import records
from tests.auditor.stripe_facts import Claim, Expected, Facts, expected_claims, expected_movements, facts_of
from tests.auditor.stripe_objects import SHAPES, Shape

Row = dict[str, Any]
MONEY_LISTS = ("payouts", "balance_transactions")


class Records(Protocol):
    """What the auditor asks of a store."""

    def records(self, record_type: type[records.Record]) -> Any:
        """Current records of a class, as an Arrow table."""


def audit(
    account: Any,
    store: Records,
    *,
    connector: str,
    start: datetime,
    without: Collection[str] = (),
    account_key: str = "account_id",
) -> list[str]:
    """Every way in which a store differs from what a complete pull of an account must bring.

    Args:
        account: the simulated account as it stands now, in memory.
        store: what was pulled into.
        connector: the source's name; rows of others are not looked at.
        start: objects created before it may be missing, but not be wrong.
        without: the account's collections that were not read.
        account_key: the metadata key that names the business's account.

    Returns:
        One sentence a difference, none where all is right.
    """
    facts = facts_of(account, account_key=account_key)
    start_s = int(start.timestamp())
    found = list(_money(facts, store, connector, start_s))
    for name, shape in SHAPES.items():
        if name not in without:
            found += _objects(facts, _rows(store, shape.record, connector), name, shape, start_s)
    found += _claims(facts, store, connector)
    found += _loose_ends(store, connector)
    return found


def audit_money(
    account: Any, store: Records, *, connector: str, start: datetime, account_key: str = "account_id"
) -> list[str]:
    """The same for what moves money alone: movements, their payments, payouts and the balance's lines."""
    facts = facts_of(account, account_key=account_key)
    start_s = int(start.timestamp())
    found = list(_money(facts, store, connector, start_s))
    for name in MONEY_LISTS:
        found += _objects(facts, _rows(store, SHAPES[name].record, connector), name, SHAPES[name], start_s)
    return found


def _rows(store: Records, record: type[records.Record], connector: str) -> list[Row]:
    return [row for row in store.records(record).to_pylist() if row["connector"] == connector]


def _objects(facts: Facts, rows: list[Row], name: str, shape: Shape, start_s: int) -> Iterator[str]:
    """A list's objects against the store's records of them."""
    ours = {row[shape.key]: row for row in rows}
    theirs = facts.lists[name]
    if len(ours) != len(rows):
        yield f"{name}: a record stands twice among the current ones"
    for object_id in ours.keys() - theirs.keys():
        yield f"{name}: {object_id} is in the store and not in the account"
    for object_id, row in theirs.items():
        if object_id not in ours:
            if row["created"] >= start_s:
                yield f"{name}: {object_id} is not in the store"
            continue
        for column, read in shape.fields.items():
            wanted, known = read(row), ours[object_id][column]
            if wanted != known:
                yield f"{name}: {object_id}.{column} is {known!r} and must be {wanted!r}"


def _money(facts: Facts, store: Records, connector: str, start_s: int) -> Iterator[str]:
    """Movements that count, under the payment they belong to."""
    expected = [each for each in expected_movements(facts) if max(each.seconds) >= start_s]
    rows = _rows(store, records.Movement, connector)
    keys = _Keys(rows, _rows(store, records.Link, connector))
    payments = {each.payment for each in expected}
    names = {payment: keys.of(payment) for payment in payments}
    yield from _one_key_each(facts, keys, names)
    yield from _movements(expected, rows, names)
    yield from _rest(facts, expected, rows)


class _Keys:
    """Which payment keys an id resolves to: it is one itself, or a link says so."""

    def __init__(self, movements: list[Row], links: list[Row]) -> None:
        self._used = {row["payment_key"] for row in (*movements, *links)}
        self._links: dict[str, set[str]] = defaultdict(set)
        for link in links:
            self._links[link["alias"]].add(link["payment_key"])

    def of(self, alias: str) -> set[str]:
        """The payment keys behind an id."""
        return self._links.get(alias, set()) | ({alias} & self._used)


def _one_key_each(facts: Facts, keys: _Keys, names: Mapping[str, set[str]]) -> Iterator[str]:
    """All ids of a payment resolve to its one key, and two payments never share one."""
    seen: dict[str, str] = {}
    for payment, found in names.items():
        if len(found) != 1:
            yield f"payment {payment} resolves to {sorted(found)}, not to one payment key"
            continue
        (key,) = found
        if key in seen:
            yield f"payments {payment} and {seen[key]} share the payment key {key}"
        seen[key] = payment
    for alias, payments in facts.payment_of.items():
        if not payments or not payments <= names.keys():
            continue
        wanted = set().union(*(names[payment] for payment in payments))
        if keys.of(alias) != wanted:
            yield f"{alias} resolves to {sorted(keys.of(alias))} and must resolve to {sorted(wanted)}"


def _movements(expected: list[Expected], rows: list[Row], names: Mapping[str, set[str]]) -> Iterator[str]:
    """What must count and does not, and what counts and must not."""
    if len({row["movement_id"] for row in rows}) != len(rows):
        yield "a movement id stands twice among the current ones"
    open_rows = [row for row in rows if row["status"] == "succeeded"]
    for each in sorted(expected, key=repr):
        row = next((row for row in open_rows if _fits(each, row, names)), None)
        if row is None:
            yield f"no movement that counts is {_in_words(each, names)}"
            continue
        open_rows.remove(row)
    for row in open_rows:
        yield f"a movement counts that must not: {_row_in_words(row)}"


def _fits(each: Expected, row: Row, names: Mapping[str, set[str]]) -> bool:
    return (
        row["kind"] == each.kind
        and each.movement_id in {None, row["movement_id"]}
        and row["rail"] == "card"
        and {row["payment_key"]} == names[each.payment]
        and (row["amount"], row["asset"], row["account"]) == (each.amount, each.asset, each.account)
        and row["effective_at"].timestamp() in each.seconds
    )


def _in_words(each: Expected, names: Mapping[str, set[str]]) -> str:
    keys = "/".join(sorted(names[each.payment])) or "none"
    seconds = " or ".join(str(second) for second in sorted(each.seconds))
    return (
        f"{each.kind} {each.movement_id or ''} {each.amount} {each.asset} of account {each.account!r}, "
        f"payment {each.payment} (key {keys}) at {seconds}"
    )


def _row_in_words(row: Row) -> str:
    at = int(row["effective_at"].timestamp())
    return (
        f"{row['kind']} {row['movement_id']} {row['amount']} {row['asset']} of account {row['account']!r}, "
        f"key {row['payment_key']} at {at}"
    )


def _rest(facts: Facts, expected: list[Expected], rows: list[Row]) -> Iterator[str]:
    """Rows that do not count say that they do not, and belong to something that exists."""
    every_id = facts.every_id
    for row in rows:
        if row["status"] not in {"succeeded", "pending", "failed"}:
            yield f"movement {row['movement_id']} has the status {row['status']}, which no card has"
        if row["movement_id"].split(":")[0] not in every_id:
            yield f"movement {row['movement_id']} is named after nothing in the account"
    counting = Counter(each.movement_id for each in expected if each.movement_id)
    for movement_id, times in counting.items():
        if times > 1:
            yield f"{movement_id} must count once and is expected {times} times: the auditor is wrong"


def _claims(facts: Facts, store: Records, connector: str) -> Iterator[str]:
    """Whose payments are, as sessions and invoices say."""
    keys = _Keys(_rows(store, records.Movement, connector), _rows(store, records.Link, connector))
    wanted = {
        (key, claim.object_id, claim.account)
        for claim in expected_claims(facts)
        for key in _collected(facts, keys, claim)
    }
    rows = _rows(store, records.PaymentClaim, connector)
    known = {(row["payment_key"], row["object_id"], row["account"]) for row in rows}
    for claim in sorted(wanted - known):
        yield f"the claim {claim} is not in the store"
    said = {(claim.object_id, claim.account) for claim in expected_claims(facts)}
    for claim in sorted(known - wanted):
        if claim[1:] not in said:
            yield f"the claim {claim} is in the store and nothing in the account says so"


def _collected(facts: Facts, keys: _Keys, claim: Claim) -> set[str]:
    """The keys of a claimed payment that has collected money; for others the text asks nothing."""
    charges = facts.lists["charges"].values()
    paid = any(row["captured"] and claim.payment in facts.payment_of[row["id"]] for row in charges)
    return keys.of(claim.payment) if paid else set()


def _loose_ends(store: Records, connector: str) -> Iterator[str]:
    """Nothing was rejected, no gap is open and no proof failed: the account is in order."""
    for row in _rows(store, records.Rejected, connector):
        yield f"rejected: {row['stream']} {row['object_id']}: {row['reason']}"
    for row in _rows(store, records.BookingGap, connector):
        if not row["closed"]:
            yield f"gap: {row['object_id']}: {row['reason']}"
    for kind in (records.BalanceProof, records.PayoutProof):
        for row in _rows(store, kind, connector):
            if row["state"] == "mismatch":
                yield f"a proof failed: {row}"
