-- The cardholder's bank suspects a charge of fraud; most ignored ones become disputes.
CREATE VIEW v_fraud_warnings AS
SELECT
    w.warning_id,
    w.connector,
    w.charge_id,
    w.intent_id,
    w.fraud_type,
    w.actionable,
    w.created_at,
    w.recorded_at,
    w.first_recorded_at
FROM early_fraud_warning_current AS w
