"""Plugins by entry point; one that does not load is an error, not a warning."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, TypeVar

from payhealth.domain.errors import PluginError

if TYPE_CHECKING:
    from payhealth.plugins import CheckPlugin, ConnectorPlugin, NotifierPlugin

P = TypeVar("P")

CONNECTORS = "payhealth.connectors"
CHECKS = "payhealth.checks"
NOTIFIERS = "payhealth.notifiers"


def connector_kinds() -> tuple[str, ...]:
    """The kinds of connectors that are installed, without loading them."""
    return tuple(sorted(point.name for point in entry_points(group=CONNECTORS)))


def connector(kind: str) -> ConnectorPlugin | None:
    """The connector of a kind, None where no such kind is installed.

    Raises:
        PluginError: it is installed and does not load.
    """
    from payhealth.plugins import ConnectorPlugin

    for point in entry_points(group=CONNECTORS):
        if point.name == kind:
            return _load(point, ConnectorPlugin)
    return None


def checks() -> tuple[CheckPlugin, ...]:
    """All checks, by name.

    Raises:
        PluginError: one does not load, or two carry one name.
    """
    from payhealth.plugins import CheckPlugin

    loaded = [_load(point, CheckPlugin) for point in entry_points(group=CHECKS)]
    names = [check.name for check in loaded]
    for name in names:
        if names.count(name) > 1:
            raise PluginError(f"two checks are named {name}")
    return tuple(sorted(loaded, key=lambda check: check.name))


def notifier(scheme: str) -> NotifierPlugin | None:
    """The notifier for a target's scheme, None where only the general one fits."""
    from payhealth.plugins import NotifierPlugin

    for point in entry_points(group=NOTIFIERS):
        if point.name == scheme:
            return _load(point, NotifierPlugin)
    return None


def _load(point: EntryPoint, expected: type[P]) -> P:
    try:
        plugin = point.load()
    except Exception as error:  # an entry point may fail in any way; all mean the same to the user
        raise PluginError(
            f"the plugin {point.name} ({point.value}) does not load: {type(error).__name__}: {error}",
            hint="mend or uninstall the package that brings it",
        ) from error
    if not isinstance(plugin, expected):
        raise PluginError(f"the plugin {point.name} ({point.value}) is not a {expected.__name__}")
    return plugin
