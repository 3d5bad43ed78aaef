"""payhealth's own database: history and current state of every fact, exact on SQLite and PostgreSQL.

The heavy libraries load with the first use of a name, not with the import of this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from payhealth.store.schema import open_store, upgrade
    from payhealth.store.sqlstore import SqlStore

__all__ = ["SqlStore", "open_store", "upgrade"]

_HOMES = {
    "SqlStore": "payhealth.store.sqlstore",
    "open_store": "payhealth.store.schema",
    "upgrade": "payhealth.store.schema",
}


def __getattr__(name: str) -> Any:
    """Load a public name's module when the name is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
