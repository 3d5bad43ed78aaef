"""Is there credit without money behind it?"""

from __future__ import annotations

from payhealth.checks.break_checks import break_check

CHECK = break_check(
    name="credited_not_paid",
    question="Is there credit without money behind it?",
    reasons=("credited_not_paid",),
    defaults={"warn": {"count": 1}, "fail": {"amount": "100"}},
    what="credit without a payment",
    next_step=(
        "open each with `payhealth breaks show ID`; hold the credit until the payment is found, or reverse it"
    ),
)
