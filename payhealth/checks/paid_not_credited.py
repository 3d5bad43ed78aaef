"""Who paid and has nothing?"""

from __future__ import annotations

from payhealth.checks.break_checks import break_check

CHECK = break_check(
    name="paid_not_credited",
    question="Who paid and has nothing?",
    reasons=(
        "paid_not_credited",
        "wrong_account",
        "wrong_asset",
        "reversal_not_recredited",
        "clawed_back_not_refunded",
    ),
    defaults={
        "warn": {"age_s": 600},
        "fail": {"age_s": 3600, "amount": "1000"},
        "chain_warn": {"age_s": 1800},
        "chain_fail": {"age_s": 14_400, "amount": "1000"},
    },
    what="payment without its right credit",
    next_step=(
        "open each with `payhealth breaks show ID`"
        ", credit the customer or correct the entry, then reconcile again"
    ),
)
