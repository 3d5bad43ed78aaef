"""Does a credit differ from what was paid?"""

from __future__ import annotations

from payhealth.checks.break_checks import break_check

CHECK = break_check(
    name="amount_mismatch",
    question="Does a credit differ from what was paid?",
    reasons=(
        "amount_over",
        "amount_under",
        "duplicate_payment",
    ),
    defaults={"warn": {"count": 1}, "fail": {"count": 1, "amount": "1"}},
    what="credit that differs from its payment",
    next_step=(
        "open each with `payhealth breaks show ID`"
        ", correct the entry, and check fees and rounding in [policy]"
    ),
)
