-- Disputes and inquiries; withdrawn and reinstated are what moved on our balance.
CREATE VIEW v_disputes AS
SELECT
    d.dispute_id,
    d.charge_id,
    d.intent_id,
    d.connector,
    d.status,
    d.reason,
    $amount(d.amount) AS amount,
    d.amount AS amount_key,
    d.asset,
    $amount(d.withdrawn) AS withdrawn,
    d.withdrawn AS withdrawn_key,
    $amount(d.reinstated) AS reinstated,
    d.reinstated AS reinstated_key,
    d.created_at,
    d.evidence_due_at,
    d.recorded_at,
    d.first_recorded_at,
    d.has_evidence,
    d.past_due,
    d.submission_count,
    d.is_charge_refundable,
    d.network_reason_code,
    d.brand
FROM dispute_current AS d
