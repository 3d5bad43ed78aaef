"""Was a payment credited twice?"""

from __future__ import annotations

from payhealth.checks.break_checks import break_check

CHECK = break_check(
    name="duplicate_credit",
    question="Was a payment credited twice?",
    reasons=("duplicate_credit",),
    defaults={"fail": {"count": 1}},
    what="payment credited more than once",
    next_step=(
        "open each with `payhealth breaks show ID`, reverse the surplus entry and look for a retried webhook"
    ),
)
