"""The domain's own house rules: what it imports, what its error tree and its closed lists say."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import payhealth.domain
from payhealth.domain import breaks, errors, records, results
from payhealth.domain.finality import Finality, finality_of

FOLDER = Path(payhealth.domain.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))


def imported(file: Path) -> set[str]:
    """The full names of all modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.name)
def test_the_domain_imports_only_the_standard_library(file: Path) -> None:
    """Nothing but the standard library and the domain itself, not even under TYPE_CHECKING."""
    foreign = {
        name
        for name in imported(file)
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith("payhealth.domain")
    }
    assert not foreign


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.name)
def test_the_domain_reads_no_clock_and_writes_no_log(file: Path) -> None:
    """No I/O modules, no ``now()``: the present moment is an argument."""
    assert not imported(file) & {"time", "logging", "os", "pathlib", "io", "socket", "random", "subprocess"}
    calls = [
        node.func.attr
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    assert not {"now", "utcnow", "today"} & set(calls)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.name)
def test_no_float_is_near_money(file: Path) -> None:
    """The domain converts nothing to a float."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "float" not in called


def tree_lines() -> list[tuple[int, str]]:
    """Depth and class name of each line of the error tree's drawing."""
    drawing = [line for line in (errors.__doc__ or "").splitlines() if re.search(r"\w+Error", line)]
    found = []
    for line in drawing:
        name = re.search(r"\w+Error", line)
        assert name is not None
        found.append((name.start() // 4, name.group()))
    return found


def test_the_drawn_error_tree_is_the_real_one() -> None:
    """The docstring names every class once, under the class it derives from, and none that is not there."""
    drawn: dict[str, str | None] = {}
    path: list[str] = []
    for depth, name in tree_lines():
        assert name not in drawn
        path[depth:] = [name]
        drawn[name] = path[depth - 1] if depth else None
    real = {
        name: next(
            (base.__name__ for base in value.__bases__ if issubclass(base, errors.PayhealthError)), None
        )
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
    }
    assert drawn == real


def test_an_error_says_one_thing_and_hints_at_another() -> None:
    """Every error carries its message and a hint, and its text is the message."""
    error = errors.StoreBusyError("somebody else holds it", hint="wait")
    assert (str(error), error.message, error.hint) == ("somebody else holds it",) * 2 + ("wait",)


def test_records_are_frozen_and_name_their_keys() -> None:
    """Every record class is a frozen dataclass whose natural key, connector first, are fields of its own."""
    for kind in records.RECORD_TYPES:
        assert is_dataclass(kind)
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
        names = [field.name for field in fields(kind)]
        assert kind.KEY[0] == "connector"
        assert set(kind.KEY) <= set(names)
    subclasses = {
        value
        for value in vars(records).values()
        if inspect.isclass(value) and issubclass(value, records.Record)
    }
    assert set(records.RECORD_TYPES) == subclasses - {records.Record, records.VendorRecord}


@pytest.mark.parametrize(
    ("enum", "values"),
    [
        (
            breaks.BreakReason,
            """paid_not_credited credited_not_paid wrong_account wrong_asset refund_not_clawed_back
            dispute_not_clawed_back reorg_not_clawed_back duplicate_credit amount_over duplicate_payment
            clawed_back_not_refunded reversal_not_recredited amount_under payout_mismatch ledger_changed""",
        ),
        (
            breaks.BreakFlag,
            "wrong_chain late credited_before_final dust unknown_sender over_refunded ambiguous",
        ),
        (
            records.MovementKind,
            """charge transfer refund refund_reversal dispute dispute_reversal retraction
            internal outgoing funding""",
        ),
        (records.MovementStatus, "succeeded pending failed seen safe final retracted"),
        (records.EntryKind, "purchase reversal grant usage adjustment expiry"),
        (records.Rail, "card chain"),
        (results.Outcome, "pass warn fail stale no_data error"),
        (Finality, "seen safe final"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_closed_lists_are_those_of_the_design(enum: type, values: str) -> None:
    """Names that users, views and files see are the design's, all of them and no other."""
    assert [str(member) for member in enum] == values.split()  # type: ignore[attr-defined]


def test_a_value_outside_a_closed_list_raises() -> None:
    """Our own lists do not bend: an unknown value is an error, not the nearest one."""
    with pytest.raises(ValueError, match="nearly_paid"):
        breaks.BreakReason("nearly_paid")


def test_signs_of_movements_do_not_overlap() -> None:
    """An expecting kind takes back, gives again or pays: never two of them, and only those expect."""
    assert not records.UNDOING & records.REDOING
    assert records.EXPECTING >= records.UNDOING | records.REDOING
    assert set(list(records.MovementKind)[:7]) == records.EXPECTING


@pytest.mark.parametrize(
    ("block", "expected"), [(5, "final"), (10, "final"), (11, "safe"), (20, "safe"), (21, "seen")]
)
def test_finality_includes_the_marked_block(block: int, expected: str) -> None:
    """The chain's final and safe blocks are final and safe themselves."""
    assert finality_of(block, safe=20, final=10) == expected
