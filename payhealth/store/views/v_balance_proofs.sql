-- Whether the processor's own balance moved by what was listed, one row for each currency.
-- state: proved, waiting (tried again at the next pull), mismatch (three pulls did not add up).
CREATE VIEW v_balance_proofs AS
SELECT
    b.connector || ':' || b.asset AS proof_id,
    b.connector,
    b.asset,
    b.state,
    b.since,
    $amount(b.difference) AS difference,
    b.difference AS difference_key,
    b.attempts,
    b.recorded_at,
    b.first_recorded_at
FROM balance_proof_current AS b
