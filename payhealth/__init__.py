"""payhealth: did every payment become the right credit, and was every credit paid for?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from payhealth.api import PayHealth, reconcile
    from payhealth.domain.errors import PayhealthError
    from payhealth.domain.money import Money

__all__ = ["Money", "PayHealth", "PayhealthError", "reconcile"]

_HOMES = {
    "Money": "payhealth.domain.money",
    "PayHealth": "payhealth.api",
    "PayhealthError": "payhealth.domain.errors",
    "reconcile": "payhealth.api",
}


def __getattr__(name: str) -> Any:
    """Load public names when they are first used, so that importing payhealth stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
