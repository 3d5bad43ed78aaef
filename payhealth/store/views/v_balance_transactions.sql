-- The processor's own books; amount, fee and net are signed.
CREATE VIEW v_balance_transactions AS
SELECT
    b.balance_transaction_id,
    b.source_id,
    b.connector,
    b.type,
    b.reporting_category,
    $amount(b.amount) AS amount,
    b.amount AS amount_key,
    $amount(b.fee) AS fee,
    b.fee AS fee_key,
    $amount(b.net) AS net,
    b.net AS net_key,
    b.asset,
    $amount(b.exchange_rate) AS exchange_rate,
    b.created_at,
    b.available_at,
    b.recorded_at,
    b.first_recorded_at
FROM balance_transaction_current AS b
