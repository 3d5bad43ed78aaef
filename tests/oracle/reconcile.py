"""The oracle's one entry point: from rows to matches, breaks, open rows and the statement."""

from collections import Counter
from datetime import datetime
from typing import Any

from tests.oracle.expect import expectations, first_fitting
from tests.oracle.group import (
    BROKEN,
    CONFIRMED,
    Group,
    HeldEntry,
    drop_shared_references,
    gather,
    verdict,
)
from tests.oracle.model import (
    ENTRY,
    MOVEMENT,
    RECONCILED_ENTRY_KINDS,
    Break,
    Entry,
    Match,
    Movement,
    OracleResult,
    RowId,
    aware,
    entry_of,
    movement_of,
    policy_of,
    reference_rule_of,
)
from tests.oracle.reasons import break_of, flags_of
from tests.oracle.statement import Judged, lowest_explained, statement_of


def reconcile(
    payments: list[dict[str, Any]],
    ledger: list[dict[str, Any]],
    *,
    policies: list[dict[str, Any]],
    rules: list[dict[str, Any]] | None,
    as_of: datetime,
) -> OracleResult:
    """Recompute what the engine must say about two well-formed files.

    Args:
        payments: rows with id, kind, account, reference, amount (unsigned decimal string), asset and
            occurred_at (aware datetime).
        ledger: rows with id, account, reference, amount (signed decimal string), asset, occurred_at and
            kind (may be empty).
        policies: the `[policy.*]` tables in order, `default` last; empty for none.
        rules: the `[[rules]]` tables, or None; only the reference pass is known.
        as_of: T. Rows after it are open and out of the statement, ages are taken at it.
    """
    rule = reference_rule_of(rules)
    as_of = aware(as_of)
    still_open: dict[RowId, str] = {}
    movements, entries = rows_in_scope(
        [movement_of(row) for row in payments], [entry_of(row) for row in ledger], as_of, still_open
    )
    movements, entries, shared = drop_shared_references(movements, entries, rule.max_reference_share)

    parsed_policies = [policy_of(table) for table in policies]
    expected, unpriced = expectations(movements, parsed_policies)
    still_open |= {(MOVEMENT, movement.id): "unpriced" for movement in unpriced}
    held = [HeldEntry(entry, first_fitting(parsed_policies, entry)) for entry in entries]

    judged = []
    matches: dict[Match, frozenset[str]] = {}
    breaks: dict[frozenset[RowId], Break] = {}
    for group in gather(expected, held, as_of):
        judgement = verdict(group, rule)
        reason = ""
        if judgement == CONFIRMED:
            matches[match_of(group)] = frozenset(flags_of(group))
        elif judgement == BROKEN:
            breaks[group.row_ids] = break_of(group)
            reason = breaks[group.row_ids].primary_reason
        else:
            still_open |= dict.fromkeys(group.row_ids, "in_flight")
        judged.append(Judged(group, judgement, reason))

    statement = statement_of(expected, held, judged)
    return OracleResult(
        matches=set(matches),
        match_flags=matches,
        breaks=breaks,
        open=still_open,
        statement=statement,
        explained=lowest_explained(statement.values()),
        counts=counts_of(payments, ledger, matches, breaks, still_open),
        shared_references=shared,
    )


def rows_in_scope(
    movements: list[Movement], entries: list[Entry], as_of: datetime, still_open: dict[RowId, str]
) -> tuple[list[Movement], list[Entry]]:
    """Put rows after T and entries of other kinds into `still_open` (decision 3) and return the rest."""
    for side, rows in ((MOVEMENT, movements), (ENTRY, entries)):
        ids = [row.id for row in rows]
        if len(ids) != len(set(ids)):
            raise ValueError(f"duplicate ids among the rows of side {side}")
    for movement in movements:
        if movement.at > as_of:
            still_open[MOVEMENT, movement.id] = "after_as_of"
    for entry in entries:
        if entry.at > as_of:
            still_open[ENTRY, entry.id] = "after_as_of"
        elif entry.kind not in RECONCILED_ENTRY_KINDS:
            still_open[ENTRY, entry.id] = "ignored"
    return (
        [movement for movement in movements if (MOVEMENT, movement.id) not in still_open],
        [entry for entry in entries if (ENTRY, entry.id) not in still_open],
    )


def match_of(group: Group) -> Match:
    """The match that holds the rows of a confirmed group."""
    return Match(
        state="confirmed",
        rule="reference",
        movement_ids=frozenset(id_ for side, id_ in group.row_ids if side == MOVEMENT),
        entry_ids=frozenset(id_ for side, id_ in group.row_ids if side == ENTRY),
    )


def counts_of(
    payments: list[dict[str, Any]],
    ledger: list[dict[str, Any]],
    matches: dict[Match, frozenset[str]],
    breaks: dict[frozenset[RowId], Break],
    still_open: dict[RowId, str],
) -> dict[str, int]:
    """Plain counts; `open.<why>` and `break.<primary reason>` only where there are any."""
    counts = Counter({"movements": len(payments), "entries": len(ledger)})
    counts.update({"matches": len(matches), "breaks": len(breaks), "open": len(still_open)})
    counts.update(f"open.{why}" for why in still_open.values())
    counts.update(f"break.{one.primary_reason}" for one in breaks.values())
    return dict(counts)
