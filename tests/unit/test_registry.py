"""Plugins: all built-in ones load, and one that does not is an error at start."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from payhealth import registry
from payhealth.domain.errors import ConfigurationError, PluginError
from payhealth.plugins import CheckPlugin, ConnectorPlugin, NotifierPlugin

BROKEN = {
    "missing module": "payhealth_does_not_exist:PLUGIN",
    "missing name": "payhealth.plugins:NOTHING",
    "wrong kind": "payhealth.plugins:CheckPlugin",
    "raises": "payhealth.ports:Clock.nothing.further",
}


def plant(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str, str]) -> None:
    """Make these the installed entry points: (group, name, value)."""
    made = [EntryPoint(name=name, value=value, group=group) for group, name, value in points]
    monkeypatch.setattr(
        registry, "entry_points", lambda *, group: [point for point in made if point.group == group]
    )


def test_every_built_in_plugin_loads() -> None:
    """The kinds, checks and notifier of this package are all there under their own names."""
    assert set(registry.connector_kinds()) >= {"stripe", "evm", "ledger.sql", "ledger.files"}
    for kind in registry.connector_kinds():
        plugin = registry.connector(kind)
        assert isinstance(plugin, ConnectorPlugin)
        assert plugin.kind == kind
        assert plugin.settings.model_config["extra"] == "forbid"
    names = [plugin.name for plugin in registry.checks()]
    assert names == sorted(set(names))
    assert {"source_freshness", "failure_rate", "dispute_activity", "paid_not_credited"} <= set(names)
    assert all(isinstance(plugin, CheckPlugin) for plugin in registry.checks())
    assert isinstance(registry.notifier("apprise"), NotifierPlugin)


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN.keys())
def test_a_plugin_that_does_not_load_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A plugin that is installed and broken stops the start, in one line that names it."""
    for group, load in (
        (registry.CHECKS, registry.checks),
        (registry.CONNECTORS, lambda: registry.connector("theirs")),
        (registry.NOTIFIERS, lambda: registry.notifier("theirs")),
    ):
        plant(monkeypatch, (group, "theirs", value))
        with pytest.raises(PluginError, match="theirs") as caught:
            load()
        assert value in caught.value.message
        assert "\n" not in caught.value.message
        assert isinstance(caught.value, ConfigurationError)


def test_two_checks_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither silently wins."""
    value = "payhealth.checks.failure_rate:CHECK"
    plant(monkeypatch, (registry.CHECKS, "one", value), (registry.CHECKS, "two", value))
    with pytest.raises(PluginError, match="failure_rate"):
        registry.checks()


def test_a_kind_that_is_not_installed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown is not broken: the caller names the nearest kind."""
    plant(monkeypatch)
    assert registry.connector("stripe") is None
    assert registry.notifier("apprise") is None
    assert registry.connector_kinds() == ()
    assert registry.checks() == ()
