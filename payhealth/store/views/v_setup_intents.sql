-- Every attempt to keep a card for later: what card testers use first.
CREATE VIEW v_setup_intents AS
SELECT
    s.setup_intent_id,
    s.connector,
    s.status,
    s.created_at,
    s.usage,
    s.payment_method_type,
    s.failure_code,
    s.decline_code,
    s.cancellation_reason,
    s.customer,
    s.account,
    s.recorded_at,
    s.first_recorded_at
FROM setup_intent_current AS s
