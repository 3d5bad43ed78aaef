-- Breaks with their state: open, acknowledged, reopened (these three are live) and resolved.
-- decided_by names the person who last set the state, NULL for a run. Lists are JSON text.
CREATE VIEW v_breaks AS
SELECT
    b.break_id,
    b.primary_reason,
    b.reasons,
    b.state,
    $amount(b.amount) AS amount,
    b.amount AS amount_key,
    $amount(b.at_risk) AS at_risk,
    b.at_risk AS at_risk_key,
    b.asset,
    b.effective_at,
    b.explanation,
    b.movement_ids,
    b.entry_ids,
    b.legs,
    b.decided_by,
    b.note,
    b.recorded_at,
    b.first_recorded_at
FROM break_current AS b
