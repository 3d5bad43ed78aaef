"""Rows of a ledger become entries exactly, or are rejected with a reason."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.ledger.settings import LedgerFilesSettings, LedgerSqlSettings
from payhealth.connectors.ledger.translate import EntryRules, UnmappedKindError, entry, handle
from payhealth.domain.errors import SourceDataError
from payhealth.domain.money import from_scaled
from payhealth.domain.records import Entry, EntryKind, Handle, Rejected
from tests.golden.ledger.regenerate import cases, expected, translated

RULES = EntryRules(connector="credits")
ROW: dict[str, Any] = {
    "id": "e-1",
    "account": "acct-1",
    "reference": "pi_1",
    "amount": "12.50",
    "asset": "USD",
    "occurred_at": "2026-01-02T03:04:05.678901Z",
}


@pytest.mark.parametrize("name", cases())
def test_golden(name: str) -> None:
    """The rows of a query become exactly the records of their pair."""
    assert translated(name) == expected(name)


def made(rules: EntryRules = RULES, **changes: Any) -> Entry:
    """The entry of a row with changes."""
    found = entry({**ROW, **changes}, rules)
    assert isinstance(found, Entry), found
    return found


@given(st.integers(min_value=-(10**38) + 1, max_value=10**38 - 1))
def test_amounts_are_exact_at_both_ends(scaled: int) -> None:
    """Every amount of the domain arrives unchanged, as text and as a decimal."""
    amount = from_scaled(scaled)
    assert made(amount=f"{amount:f}").amount == amount
    assert made(amount=amount).amount == amount


def test_floats_are_refused_with_the_cast_to_write() -> None:
    """A float is not exact in any row, so it ends the pull and says what to write."""
    with pytest.raises(SourceDataError, match=r"cast\(amount as text\)"):
        entry({**ROW, "amount": 12.5}, EntryRules(connector="credits", dialect="sqlite"))
    with pytest.raises(SourceDataError, match=r"cast\(amount as numeric\(38,18\)\)"):
        entry({**ROW, "amount": 12.5}, EntryRules(connector="credits", dialect="postgresql"))


unfit: dict[str, tuple[dict[str, Any], str]] = {
    "null id": ({"id": None}, "id is null"),
    "blank id": ({"id": " "}, "id is no id"),
    "null amount": ({"amount": None}, "amount is null"),
    "exponent": ({"amount": "1e3"}, "not a plain decimal"),
    "not a number": ({"amount": Decimal("NaN")}, "outside the domain"),
    "2^256-1": ({"amount": 2**256 - 1}, "outside the domain"),
    "too fine": ({"amount": Decimal("1E-19")}, "outside the domain"),
    "a truth": ({"amount": True}, "neither text"),
    "null asset": ({"asset": None}, "asset is missing"),
    "blank asset": ({"asset": " "}, "asset is missing"),
    "naive": ({"occurred_at": datetime(2026, 1, 1)}, "occurred_at has no time zone"),  # noqa: DTZ001
    "naive text": ({"occurred_at": "2026-01-01 00:00:00"}, "occurred_at has no time zone"),
    "naive recorded_at": ({"recorded_at": "2026-01-01 00:00:00"}, "recorded_at has no time zone"),
    "a day": ({"occurred_at": date(2026, 1, 1)}, "neither a moment"),
    "a number": ({"occurred_at": 1767225600}, "neither a moment"),
    "no moment": ({"occurred_at": None}, "occurred_at is null"),
    "float account": ({"account": 1.5}, "account is neither"),
    "NUL": ({"reference": "a\x00b"}, "reference is too long or holds a NUL"),
}


@pytest.mark.parametrize("case", unfit)
def test_unfit_rows_are_rejected(case: str) -> None:
    """What cannot be an entry is kept with its reason and never dropped."""
    changes, reason = unfit[case]
    found = entry({**ROW, **changes}, RULES)
    assert isinstance(found, Rejected)
    assert reason in found.reason
    assert found.object_id
    assert "\x00" not in found.raw


def test_rejected_rows_keep_known_columns_alone() -> None:
    """Columns that the query gives besides may be personal, and are not kept."""
    found = entry({**ROW, "amount": "x", "email": "someone@example.com"}, RULES)
    assert isinstance(found, Rejected)
    assert "someone" not in found.raw
    assert json.loads(found.raw)["reference"] == "pi_1"


def test_normalising() -> None:
    """Trim; hexadecimal without case; everything else with case."""
    found = made(account=" 0xABCdef ", reference="pi_AbC", asset=" eip155:1/erc20:0xAB ", id=UUID(int=7))
    assert (found.account, found.reference, found.asset) == ("0xabcdef", "pi_AbC", "eip155:1/erc20:0xab")
    assert found.entry_id == str(UUID(int=7))
    assert made(account=None, reference=None).account == ""
    assert made(account=17).account == "17"


def test_moments_become_utc() -> None:
    """A moment with another zone is the same moment."""
    east = timezone(timedelta(hours=9))
    assert made(occurred_at=datetime(2026, 1, 1, 9, tzinfo=east)).effective_at == datetime(
        2026, 1, 1, tzinfo=UTC
    )


def test_kinds() -> None:
    """The map decides; an empty kind is a purchase; without a map the six words hold."""
    mapped = EntryRules(connector="credits", kinds={"topup": EntryKind.PURCHASE, "promo": EntryKind.GRANT})
    assert made(mapped, kind="promo").kind == "grant"
    assert made(mapped, kind=None).kind == made(mapped, kind="").kind == made(mapped).kind == "purchase"
    assert made(kind="usage").kind == "usage"
    for rules, kind in ((mapped, "purchase"), (mapped, "bonus"), (RULES, "bonus")):
        with pytest.raises(UnmappedKindError, match=kind):
            entry({**ROW, "kind": kind}, rules)


def test_rows_before_the_start_are_not_read() -> None:
    """``start`` is inclusive."""
    rules = EntryRules(connector="credits", start=datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC))
    assert entry(ROW, rules) is None
    assert entry({**ROW, "occurred_at": "2026-01-02T03:04:06Z"}, rules) is not None


def test_handles() -> None:
    """Validity may be open on both sides; a span that ends before it begins is rejected."""
    row = {"handle": "eip155:1:0xAB", "account": "a", "valid_from": None, "valid_to": None}
    found = handle(row, "attribution")
    assert isinstance(found, Handle)
    assert (found.handle, found.valid_from.year, found.valid_to) == ("eip155:1:0xab", 1970, None)
    turned = {**row, "valid_from": "2026-02-01T00:00:00Z", "valid_to": "2026-01-01T00:00:00Z"}
    assert isinstance(handle(turned, "attribution"), Rejected)
    assert isinstance(handle({**row, "account": ""}, "attribution"), Rejected)


def test_settings() -> None:
    """One statement, without its semicolon; one path or many; unknown keys refused."""
    found = LedgerSqlSettings.model_validate({"url": "sqlite:///x.db", "query": " select 1 ;\n"})
    assert found.query == "select 1"
    assert LedgerFilesSettings.model_validate({"paths": "a.csv"}).paths == ("a.csv",)
    for wrong in ({"url": "sqlite://", "query": " ; "}, {"url": "sqlite://", "query": "q", "kindz": {}}):
        with pytest.raises(ValueError, match="validation error"):
            LedgerSqlSettings.model_validate(wrong)


def test_golden_pairs_stand_in_their_folder() -> None:
    """Every payload has its records."""
    folder = Path(__file__).parents[2] / "golden" / "ledger" / "cases"
    assert {path.name.split(".")[0] for path in folder.glob("*.json")} == set(cases())
