"""Python's garbage collector, told to wait while a large answer is taken apart."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_MANY = 5000
"""Objects from which on it is worth it."""


@contextmanager
def uncollected(objects: int = _MANY) -> Iterator[None]:
    """No collection while this lasts, where many objects are made that all stay.

    Each of a hundred thousand new containers would otherwise be looked at several times, and none is garbage.

    Args:
        objects: about how many are made, where that is known.
    """
    if objects < _MANY or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
