-- The matches of the last run; superseded ones are in the history only. Lists are JSON text.
CREATE VIEW v_matches AS
SELECT
    m.match_id,
    m.rule,
    m.state,
    m.confidence,
    $amount(m.residual) AS residual,
    m.residual AS residual_key,
    m.asset,
    m.movement_ids,
    m.entry_ids,
    m.reasons,
    m.recorded_at,
    m.first_recorded_at
FROM match_current AS m
WHERE m.state <> 'superseded'
