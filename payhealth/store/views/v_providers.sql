-- How each RPC provider has behaved: how often it failed, and what it was caught at.
CREATE VIEW v_providers AS
SELECT
    s.connector || ':' || s.provider AS provider_id,
    s.connector,
    s.provider,
    s.failures,
    s.lies,
    s.last_fault,
    s.recorded_at
FROM provider_score_current AS s
