-- Money given back on a charge.
CREATE VIEW v_refunds AS
SELECT
    r.refund_id,
    r.charge_id,
    r.intent_id,
    r.connector,
    r.status,
    $amount(r.amount) AS amount,
    r.amount AS amount_key,
    r.asset,
    r.reason,
    r.created_at,
    r.balance_transaction,
    r.failure_balance_transaction,
    r.recorded_at,
    r.first_recorded_at,
    r.failure_reason
FROM refund_current AS r
