-- Money sent from the processor to the bank.
CREATE VIEW v_payouts AS
SELECT
    p.payout_id,
    p.connector,
    p.status,
    $amount(p.amount) AS amount,
    p.amount AS amount_key,
    p.asset,
    p.automatic,
    p.created_at,
    p.arrival_at,
    p.balance_transaction,
    p.recorded_at,
    p.first_recorded_at,
    p.failure_balance_transaction,
    p.failure_code,
    p.method,
    p.reconciliation_status
FROM payout_current AS p
