"""Which rows of the store belong together."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from payhealth.matching.gathering import Gathering, gather

HASH = "0x" + "ab" * 32


def gathered(
    movements: Sequence[tuple[str, str]],
    entries: Sequence[str],
    links: Sequence[tuple[str, str]] = (),
    most: int = 50,
) -> Gathering:
    """Groups of movements (payment key, metadata reference) and entries (reference)."""
    return gather(
        pa.table(
            {"payment_key": [key for key, _ in movements], "reference": [name for _, name in movements]}
        ),
        pa.table({"reference": pa.array(entries, pa.string())}),
        pa.table(
            {
                "alias": pa.array([alias for alias, _ in links], pa.string()),
                "payment_key": pa.array([key for _, key in links], pa.string()),
            }
        ),
        most,
    )


def test_an_alias_leads_to_its_payment() -> None:
    """An entry may carry any id of a payment."""
    found = gathered([("pi_1", "")], ["ch_1", "pi_1", "cs_9"], [("ch_1", "pi_1"), ("pi_1", "pi_1")])
    assert found.of_movements.to_pylist() == ["pi_1"]
    assert found.of_entries.to_pylist() == ["pi_1", "pi_1", ""]
    assert found.entry_references.to_pylist() == ["ch_1", "pi_1", "cs_9"]


def test_a_metadata_reference_gathers_payments() -> None:
    """Payments of one order are one group, called by the smallest payment key."""
    found = gathered([("pi_2", "order"), ("pi_1", "order"), ("pi_3", "")], ["order"])
    assert found.of_movements.to_pylist() == ["pi_1", "pi_1", "pi_3"]
    assert found.of_entries.to_pylist() == ["pi_1"]


def test_deposits_of_one_transaction_are_groups_of_their_own() -> None:
    """Named by their position, two customers' deposits do not taint each other."""
    links = [(HASH, f"{HASH}:0"), (HASH, f"{HASH}:1")]
    found = gathered([(f"{HASH}:0", ""), (f"{HASH}:1", "")], [f"{HASH}:0"], links)
    assert found.of_movements.to_pylist() == [f"{HASH}:0", f"{HASH}:1"]


def test_a_bare_transaction_gathers_its_deposits() -> None:
    """An entry that names the transaction alone stands for all deposits in it; hexadecimal has no case."""
    links = [(HASH, f"{HASH}:0"), (HASH, f"{HASH}:1")]
    found = gathered([(f"{HASH}:0", ""), (f"{HASH}:1", "")], [f" {HASH.upper().replace('0X', '0x')} "], links)
    assert found.of_movements.to_pylist() == [f"{HASH}:0"] * 2
    assert found.of_entries.to_pylist() == [f"{HASH}:0"]


def test_a_reference_that_too_many_share_is_none() -> None:
    """It gathers nothing, on neither side, and is listed with its count; a payment key always holds."""
    movements = [(f"pi_{number}", "campaign") for number in range(3)] + [("pi_9", "")] * 4
    found = gathered(movements, ["campaign", "pi_9"], most=2)
    assert found.of_movements.to_pylist() == ["pi_0", "pi_1", "pi_2", *["pi_9"] * 4]
    assert found.of_entries.to_pylist() == ["", "pi_9"]
    assert found.entry_references.to_pylist() == ["", "pi_9"]
    assert found.shared == {"campaign": 3}


def test_case_matters_where_it_is_not_hexadecimal() -> None:
    """Vendors' ids are case-sensitive."""
    assert gathered([("pi_A", "")], ["pi_a"]).of_entries.to_pylist() == [""]


def test_empty_sides_gather_nothing() -> None:
    """No rows, no groups."""
    assert len(gathered([], []).of_movements) == 0
