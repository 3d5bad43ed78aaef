-- What each payout is made of, held against its amount.
-- state: proved (by its list), explained (by its own line of the balance), waiting, mismatch.
CREATE VIEW v_payout_proofs AS
SELECT
    p.payout_id,
    p.connector,
    p.state,
    p.method,
    $amount(p.amount) AS amount,
    p.amount AS amount_key,
    $amount(p.listed) AS listed,
    p.listed AS listed_key,
    p.asset,
    p.transactions,
    p.created_at,
    p.recorded_at,
    p.first_recorded_at
FROM payout_proof_current AS p
