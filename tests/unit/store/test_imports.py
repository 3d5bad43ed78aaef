"""What the store costs before it is used."""

from __future__ import annotations

import subprocess
import sys


def test_the_package_loads_nothing_heavy() -> None:
    """Importing payhealth.store loads no database library, opening a store of this version no Alembic."""
    code = """
import sys
import payhealth.store
assert not {"sqlalchemy", "sqlmodel", "pyarrow", "alembic", "psycopg"} & set(sys.modules)
payhealth.store.open_store
assert not {"alembic", "psycopg"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
