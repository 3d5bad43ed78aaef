"""Rules and policies are read strictly: what is not understood is refused, with the nearest key named."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from payhealth.domain.errors import ConfigurationError
from payhealth.domain.times import to_us
from payhealth.matching.model import Basis, PassName, Policy, Rounding, Rule, Ruleset, When, parse_rules


def test_nothing_configured_is_the_reference_pass_and_the_amount_itself() -> None:
    """Without rules and policies the reference pass runs alone and a movement expects its own amount."""
    ruleset = parse_rules({})
    assert ruleset.rules == (Rule(name=PassName.REFERENCE),)
    assert ruleset.policies == (Policy(),)
    assert Policy().identity
    assert Policy().time_to_clear_s == 900


WHEN: dict[str, Any] = {
    "connector": "cards",
    "kind": "charge",
    "account_prefix": "vip_",
    "asset": "USD",
    "from": date(2026, 1, 1),
    "to": "2026-02-01T00:00:00Z",
}
KEYS: dict[str, Any] = {
    "when": WHEN,
    "asset": "USD",
    "basis": "on_top",
    "fee_rate": "0.055",
    "fee_minimum": "0.80",
    "fee_fixed": "0.30",
    "rounding": "half_up",
    "quantum": "0.01",
    "dust_below": "0.5",
    "time_to_clear_s": 60,
    "dispute_at": "withdrawn",
}


def test_every_key_is_read() -> None:
    """Each documented key of a policy and of the reference rule arrives in its record."""
    rule = {
        "pass": "reference",
        "window_s": 5,
        "absolute": "0.02",
        "relative": "0.01",
        "max_reference_share": 7,
    }
    ruleset = parse_rules({"policy": {"vip": KEYS}, "rules": [rule]})
    assert ruleset.policies[0] == Policy(
        name="vip",
        when=When(
            connector="cards",
            kind="charge",
            account_prefix="vip_",
            asset="USD",
            from_us=to_us(datetime(2026, 1, 1, tzinfo=UTC)),
            to_us=to_us(datetime(2026, 2, 1, tzinfo=UTC)),
        ),
        asset="USD",
        basis=Basis.ON_TOP,
        fee_rate=Decimal("0.055"),
        fee_minimum=Decimal("0.80"),
        fee_fixed=Decimal("0.30"),
        rounding=Rounding.HALF_UP,
        quantum=Decimal("0.01"),
        dust_below=Decimal("0.5"),
        time_to_clear_s=60,
    )
    assert ruleset.policies[-1] == Policy()
    assert ruleset.reference == Rule(
        name=PassName.REFERENCE,
        window_s=5,
        absolute=Decimal("0.02"),
        relative=Decimal("0.01"),
        max_reference_share=7,
    )


BAD: list[tuple[dict[str, Any], str]] = [
    ({"polcy": {}}, "polcy is not a known key; the nearest is policy"),
    (
        {"policy": {"default": {"fee_rat": "0"}}},
        "policy.default.fee_rat is not a known key; the nearest is fee_rate",
    ),
    (
        {"policy": {"x": {"when": {"kin": "charge"}}}},
        "policy.x.when.kin is not a known key; the nearest is kind",
    ),
    ({"policy": {"x": {"when": {"kind": "chrage"}}}}, "the nearest is charge"),
    ({"policy": {"default": {"when": {"kind": "charge"}}}}, "the default policy fits every row"),
    ({"policy": {"default": {"fee_rate": 0.055}}}, "an exact decimal in quotes"),
    ({"policy": {"default": {"fee_rate": 1}}}, "an exact decimal in quotes"),
    ({"policy": {"default": {"fee_rate": "5e-2"}}}, "not a plain decimal"),
    ({"policy": {"default": {"fee_rate": "NaN"}}}, "not a plain decimal"),
    ({"policy": {"default": {"fee_fixed": "-1"}}}, "must not be negative"),
    ({"policy": {"default": {"quantum": "0"}}}, "must be more than 0"),
    ({"policy": {"default": {"quantum": "0.0000000000000000001"}}}, "more than 18 digits"),
    ({"policy": {"default": {"basis": "net"}}}, "is not one of gross, on_top"),
    ({"policy": {"default": {"rounding": "half_evn"}}}, "the nearest is half_even"),
    ({"policy": {"default": {"time_to_clear_s": 1.5}}}, "must be a whole number"),
    ({"policy": {"default": {"time_to_clear_s": True}}}, "must be a whole number"),
    ({"policy": {"default": {"time_to_clear_s": -1}}}, "must be a whole number"),
    ({"policy": {"default": {"expected_from": "credits"}}}, "is not built yet in this version"),
    (
        {"policy": {"default": {"dispute_at": "lost"}}},
        'is not built yet in this version; only "withdrawn" is',
    ),
    ({"policy": {"x": {"when": {"from": datetime(2026, 1, 1)}}}}, "without a time zone"),  # noqa: DTZ001
    ({"policy": {"x": "fees"}}, "policy.x must be a table"),
    ({"rules": {"pass": "reference"}}, "rules must be a list"),
    ({"rules": [{"window_s": 1}]}, "rules[1].pass is missing"),
    ({"rules": [{"pass": "referense"}]}, "the nearest is reference"),
    (
        {"rules": [{"pass": "reference", "windows": 1}]},
        "rules[1].windows is not a known key; the nearest is window_s",
    ),
    ({"rules": [{"pass": "reference", "max_parts": 2}]}, "rules[1].max_parts is not a known key"),
    ({"rules": [{"pass": "reference"}, {"pass": "reference"}]}, "stands twice"),
]


@pytest.mark.parametrize(("tables", "message"), BAD, ids=[message for _, message in BAD])
def test_what_is_not_understood_is_refused(tables: dict[str, Any], message: str) -> None:
    """A wrong key names the nearest known one, a wrong value says what it must be."""
    with pytest.raises(ConfigurationError) as refused:
        parse_rules(tables)
    assert message in refused.value.message


@pytest.mark.parametrize("name", ["exact", "tolerance", "split", "unattributed"])
def test_a_pass_of_a_later_version_is_refused(name: str) -> None:
    """A rule is never silently skipped: a pass that is not built is an error."""
    with pytest.raises(ConfigurationError, match="not built yet in this version"):
        parse_rules({"rules": [{"pass": "reference"}, {"pass": name}]})


def test_the_last_policy_fits_every_row() -> None:
    """A ruleset made by hand cannot leave a row without a policy."""
    with pytest.raises(ConfigurationError, match="must fit every row"):
        Ruleset(policies=(Policy(when=When(kind="charge")),))
