-- Whose a payment is, as an object beside it says: a checkout session or an invoice.
-- A claim holds where the payment names no account itself and all claims agree: see v_movements.
CREATE VIEW v_payment_claims AS
SELECT
    c.payment_key || ':' || c.object_id AS claim_id,
    c.connector,
    c.payment_key,
    c.object_id,
    c.account,
    c.recorded_at,
    c.first_recorded_at
FROM payment_claim_current AS c
