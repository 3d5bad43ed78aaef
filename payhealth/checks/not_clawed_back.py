"""Was money given back while the credit stayed?"""

from __future__ import annotations

from payhealth.checks.break_checks import break_check

CHECK = break_check(
    name="not_clawed_back",
    question="Was money given back while the credit stayed?",
    reasons=(
        "refund_not_clawed_back",
        "dispute_not_clawed_back",
        "reorg_not_clawed_back",
    ),
    defaults={"warn": {"count": 1}, "fail": {"amount": "100"}},
    what="refund, dispute or lost deposit whose credit stayed",
    next_step=("open each with `payhealth breaks show ID` and claw the credit back before it is spent"),
)
