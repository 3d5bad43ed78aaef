-- Every payment that a customer set out to make by card.
CREATE VIEW v_intents AS
SELECT
    i.intent_id,
    i.connector,
    i.status,
    $amount(i.amount) AS amount,
    i.amount AS amount_key,
    $amount(i.amount_received) AS amount_received,
    i.amount_received AS amount_received_key,
    i.asset,
    i.created_at,
    i.canceled_at,
    i.latest_charge,
    i.customer,
    i.account,
    i.recorded_at,
    i.first_recorded_at,
    i.capture_method,
    i.cancellation_reason,
    i.setup_future_usage,
    i.last_failure_code,
    i.last_decline_code
FROM payment_intent_current AS i
