"""What a reconciliation is told, read from the ``[[rules]]`` and ``[policy.*]`` tables of a configuration."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any

from payhealth.domain.assets import normalise_asset, normalise_hex
from payhealth.domain.errors import ConfigurationError, PayhealthError
from payhealth.domain.money import checked, parse_amount
from payhealth.domain.records import EXPECTING
from payhealth.domain.times import parse_moment, to_us
from payhealth.matching.policy import Basis, PassName, Policy, Rounding, Rule, Ruleset, When

__all__ = ["Basis", "PassName", "Policy", "Rounding", "Rule", "Ruleset", "When", "parse_rules"]

Parser = Callable[[str, Any], Any]


def parse_rules(tables: Mapping[str, Any]) -> Ruleset:
    """Read the rules of a configuration.

    Args:
        tables: ``rules`` (a list of tables) and ``policy`` (a table of tables), both optional.

    Raises:
        ConfigurationError: an unknown key (with the nearest known one) or a value that cannot be used.
    """
    _known("", tables, ("rules", "policy"))
    return Ruleset(policies=_policies(tables.get("policy", {})), rules=_rules(tables.get("rules", [])))


def _policies(tables: object) -> tuple[Policy, ...]:
    if not isinstance(tables, Mapping):
        raise ConfigurationError("[policy] must hold tables such as [policy.default]")
    policies = [_policy(str(name), table) for name, table in tables.items() if name != "default"]
    default = tables.get("default", {})
    if isinstance(default, Mapping) and "when" in default:
        raise ConfigurationError("policy.default.when: the default policy fits every row that no other fits")
    return (*policies, _policy("default", default))


def _policy(name: str, table: object) -> Policy:
    where = f"policy.{name}"
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{where} must be a table")
    _known(where, table, (*_POLICY_KEYS, "when", *_LATER))
    for key, today in _LATER.items():
        if table.get(key, today) != today:
            allowed = f'; only "{today}" is' if today else ""
            raise ConfigurationError(
                f"{where}.{key} = {table[key]!r} is not built yet in this version{allowed}"
            )
    values = {
        key: parser(f"{where}.{key}", table[key]) for key, parser in _POLICY_KEYS.items() if key in table
    }
    return Policy(name=name, when=_when(f"{where}.when", table.get("when", {})), **values)


def _when(where: str, table: object) -> When:
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{where} must be a table")
    _known(where, table, _WHEN_KEYS)
    values: dict[str, Any] = {}
    for key, value in table.items():
        field = {"from": "from_us", "to": "to_us"}.get(key, str(key))
        values[field] = _WHEN_KEYS[key](f"{where}.{key}", value)
    return When(**values)


def _rules(tables: object) -> tuple[Rule, ...]:
    if not isinstance(tables, list | tuple):
        raise ConfigurationError("rules must be a list of [[rules]] tables")
    found: dict[PassName, Rule] = {}
    for number, table in enumerate(tables, start=1):
        where = f"rules[{number}]"
        if not isinstance(table, Mapping):
            raise ConfigurationError(f"{where} must be a table")
        if "pass" not in table:
            _known(where, table, ("pass", *_RULE_KEYS))
            raise ConfigurationError(f"{where}.pass is missing")
        name: PassName = _choice(PassName)(f"{where}.pass", table["pass"])
        keys = {key: parser for key, parser in _RULE_KEYS.items() if _ONLY_IN.get(key, name) == name}
        _known(where, table, ("pass", *keys))
        if name in found:
            raise ConfigurationError(f'{where}.pass = "{name}" stands twice')
        found[name] = Rule(
            name=name,
            **{key: parse(f"{where}.{key}", table[key]) for key, parse in keys.items() if key in table},
        )
    return tuple(found[name] for name in PassName if name in found) or (Rule(name=PassName.REFERENCE),)


def _known(where: str, table: Mapping[str, Any], keys: Iterable[str]) -> None:
    keys = tuple(keys)
    for key in table:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, n=1, cutoff=0.0)
            place = f"{where}.{key}" if where else str(key)
            raise ConfigurationError(f"{place} is not a known key; the nearest is {near[0]}")


def _decimal(where: str, value: object) -> Decimal:
    if not isinstance(value, str):
        kind = type(value).__name__
        raise ConfigurationError(f'{where} must be an exact decimal in quotes, such as "0.055", not {kind}')
    try:
        amount = checked(parse_amount(value))
    except PayhealthError as error:
        raise ConfigurationError(f"{where}: {error.message}") from error
    if amount < 0:
        raise ConfigurationError(f"{where} must not be negative")
    return amount


def _positive_decimal(where: str, value: object) -> Decimal:
    amount = _decimal(where, value)
    if not amount:
        raise ConfigurationError(f"{where} must be more than 0")
    return amount


def _whole(least: int) -> Parser:
    def parse(where: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 10**9:
            raise ConfigurationError(f"{where} must be a whole number from {least} to 1000000000")
        return value

    return parse


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{where} must be a text")
    return normalise_hex(value)


def _asset(where: str, value: object) -> str:
    return normalise_asset(_text(where, value))


def _moment(where: str, value: object) -> int:
    if isinstance(value, date) and not isinstance(value, datetime):
        return to_us(datetime.combine(value, time(), tzinfo=UTC))
    try:
        if isinstance(value, datetime):
            return to_us(value)
        return to_us(parse_moment(_text(where, value)))
    except PayhealthError as error:
        raise ConfigurationError(f"{where}: {error.message}") from error


def _choice(choices: type[StrEnum]) -> Parser:
    def parse(where: str, value: object) -> StrEnum:
        names = [str(choice) for choice in choices]
        if value not in names:
            near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.0)
            raise ConfigurationError(
                f"{where} = {value!r} is not one of {', '.join(names)}; the nearest is {near[0]}"
            )
        return choices(value)

    return parse


def _kind(where: str, value: object) -> str:
    names = sorted(map(str, EXPECTING))
    if value not in names:
        near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.0)
        raise ConfigurationError(f"{where} = {value!r} is not a kind of movement; the nearest is {near[0]}")
    return str(value)


_POLICY_KEYS: Mapping[str, Parser] = {
    "asset": _asset,
    "basis": _choice(Basis),
    "fee_rate": _decimal,
    "fee_minimum": _decimal,
    "fee_fixed": _decimal,
    "rounding": _choice(Rounding),
    "quantum": _positive_decimal,
    "dust_below": _decimal,
    "time_to_clear_s": _whole(0),
}

_LATER: Mapping[str, str | None] = {"expected_from": None, "credit_at": None, "dispute_at": "withdrawn"}
"""Keys of later versions and the one value that means what this version does."""

_WHEN_KEYS: Mapping[str, Parser] = {
    "connector": _text,
    "kind": _kind,
    "account_prefix": _text,
    "asset": _asset,
    "from": _moment,
    "to": _moment,
}

_RULE_KEYS: Mapping[str, Parser] = {
    "window_s": _whole(0),
    "absolute": _decimal,
    "relative": _decimal,
    "max_parts": _whole(1),
    "max_candidates": _whole(1),
    "node_budget": _whole(1),
    "max_reference_share": _whole(1),
}

_ONLY_IN: Mapping[str, PassName] = {
    "max_parts": PassName.SPLIT,
    "max_candidates": PassName.SPLIT,
    "node_budget": PassName.SPLIT,
    "max_reference_share": PassName.REFERENCE,
}
