-- Hosted checkouts, which link their own id and the business's reference to a payment.
CREATE VIEW v_sessions AS
SELECT
    s.session_id,
    s.connector,
    s.status,
    s.payment_status,
    s.mode,
    s.intent_id,
    s.invoice_id,
    s.client_reference,
    s.customer,
    s.account,
    $amount(s.amount) AS amount,
    s.amount AS amount_key,
    s.asset,
    s.created_at,
    s.recorded_at,
    s.first_recorded_at
FROM checkout_session_current AS s
