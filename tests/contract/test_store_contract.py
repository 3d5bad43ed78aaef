"""The store's contract, held against all three stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from payhealth.ports import Store
from payhealth.store import open_store
from payhealth.testing import MemoryStore
from payhealth.testing.contract import StoreContract


class TestMemoryStore(StoreContract):
    """The double that is shipped."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """Empty."""
        made = MemoryStore()
        yield made
        made.close()


class TestSqlStore(StoreContract):
    """The real one, on both databases."""

    @pytest.fixture
    def store(self, store_url: str) -> Iterator[Store]:
        """Empty."""
        made = open_store(store_url)
        yield made
        made.close()
