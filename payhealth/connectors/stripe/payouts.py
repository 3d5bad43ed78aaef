"""What each payout is made of, held against its amount.

An automatic payout has a list of its transactions once it is reconciled; the sum of their nets must be the
payout, to the last unit. Stripe makes no such list for one that was made by hand or at once: its own line of
the balance must explain it, by amount and time. One that failed must have given the money back.

Source: https://docs.stripe.com/payouts/reconciliation, https://docs.stripe.com/api/payouts/object
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from payhealth.connectors.stripe.currencies import decimals_of, to_major
from payhealth.connectors.stripe.fields import (
    JsonObject,
    UnfitError,
    bounded,
    currency,
    linked_id,
    required_id,
    signed,
    text,
)
from payhealth.domain.records import PayoutProof, ProofState

COMPLETED = "completed"
"""``reconciliation_status`` of an automatic payout whose list is whole."""

BY_LIST = "list"
BY_BOOKING = "booking"

_GONE = frozenset({"failed", "canceled"})
_BACK = frozenset({"payout_failure", "payout_cancel"})
_OWN_WITHIN = timedelta(hours=24)
_EXPLAINED_WITHIN = timedelta(days=5)

Row = Mapping[str, Any]
"""A record's fields, as the store gives them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """What a payout's transactions come to.

    Args:
        net: the sum of their nets in the payout's currency, None where they are of several currencies.
        transactions: how many there are, the payout's own line left out.
    """

    net: Decimal | None
    transactions: int


def needs_list(payout: Row) -> bool:
    """Whether a payout is proved by the list of its transactions, and the list is whole by now."""
    return _by_list(payout) and payout["reconciliation_status"] == COMPLETED


def _by_list(payout: Row) -> bool:
    return bool(payout["automatic"]) and payout["status"] not in _GONE and payout["method"] != "instant"


class ListedLines:
    """The listed lines of one payout, added up page by page; one that is shown twice counts once."""

    def __init__(self, payout: Row) -> None:
        self._payout = payout
        self._seen: set[str] = set()
        self._assets: set[str] = set()
        self._net_minor = 0

    def add(self, objects: Iterable[Any]) -> None:
        """One page of balance transactions as Stripe lists them.

        Raises:
            UnfitError: a line cannot be understood.
        """
        for found in objects:
            if type(found) is not dict or found.get("object") != "balance_transaction":
                raise UnfitError("not a balance_transaction")
            line_id = required_id(found)
            if line_id in self._seen or _is_own(self._payout, found):
                continue
            self._seen.add(line_id)
            self._assets.add(currency(found)[0])
            self._net_minor += signed(found, "net")

    def composition(self) -> Composition:
        """What they come to.

        Raises:
            UnfitError: the sum is larger than any amount.
        """
        digits = decimals_of(self._payout["asset"])
        if digits is None or not self._assets <= {self._payout["asset"]}:
            return Composition(net=None, transactions=len(self._seen))
        net_minor = bounded(self._net_minor, "net")
        return Composition(net=to_major(net_minor, digits), transactions=len(self._seen))


def _is_own(payout: Row, line: JsonObject) -> bool:
    own = (payout["balance_transaction"], payout["failure_balance_transaction"])
    if line["id"] in own:
        return True
    return text(line, "type") == "payout" and linked_id(line, "source") == payout["payout_id"]


def prove(
    payouts: Iterable[Row],
    *,
    lines: Mapping[str, Row],
    listed: Mapping[str, Composition],
    now: datetime,
) -> list[PayoutProof]:
    """The proof of each payout by what is known.

    Args:
        payouts: records of Payout.
        lines: records of BalanceTransaction by id: the payouts' own lines, and those that gave money back.
        listed: payout id -> what its list comes to, where it was read.
    """
    return [_proof(payout, lines, listed, now) for payout in payouts]


def _proof(
    payout: Row, lines: Mapping[str, Row], listed: Mapping[str, Composition], now: datetime
) -> PayoutProof:
    if _by_list(payout):
        found = listed.get(payout["payout_id"])
        return _made(payout, BY_LIST, _list_state(payout, found), found)
    prove_by = _given_back if payout["status"] in _GONE else _sent
    found = prove_by(payout, lines)
    state = ProofState.EXPLAINED
    if found is None or found.net != payout["amount"]:
        late = now - payout["created_at"] > _EXPLAINED_WITHIN
        state = ProofState.MISMATCH if late else ProofState.WAITING
    return _made(payout, BY_BOOKING, state, found)


def _list_state(payout: Row, found: Composition | None) -> ProofState:
    if found is None or not needs_list(payout):
        return ProofState.WAITING
    return ProofState.PROVED if found.net == payout["amount"] else ProofState.MISMATCH


def _sent(payout: Row, lines: Mapping[str, Row]) -> Composition | None:
    """What a payout's own line says that was sent; its fee is not part of what the bank gets."""
    own = lines.get(payout["balance_transaction"] or "")
    if own is None or own["type"] != "payout" or own["asset"] != payout["asset"]:
        return None
    apart: timedelta = own["created_at"] - payout["created_at"]
    if not -_OWN_WITHIN <= apart <= _OWN_WITHIN:
        return None
    return Composition(net=own["amount"].copy_negate(), transactions=1)


def _given_back(payout: Row, lines: Mapping[str, Row]) -> Composition | None:
    """What came back of a payout that failed or was canceled, however late."""
    back = lines.get(payout["failure_balance_transaction"] or "")
    if back is None or back["type"] not in _BACK or back["asset"] != payout["asset"]:
        return None
    return Composition(net=back["amount"], transactions=1)


def _made(payout: Row, method: str, state: ProofState, found: Composition | None) -> PayoutProof:
    return PayoutProof(
        connector=payout["connector"],
        payout_id=payout["payout_id"],
        state=str(state),
        method=method,
        amount=payout["amount"],
        listed=None if found is None else found.net,
        asset=payout["asset"],
        transactions=0 if found is None else found.transactions,
        created_at=payout["created_at"],
    )


def line_ids(payouts: Iterable[Row]) -> set[str]:
    """The ids of the lines that payouts are explained by."""
    names = ("balance_transaction", "failure_balance_transaction")
    return {payout[name] for payout in payouts for name in names if payout[name]}
