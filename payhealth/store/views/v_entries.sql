-- The lines of the credit ledger, signed; lines that the ledger no longer has are left out.
CREATE VIEW v_entries AS
SELECT
    e.entry_id,
    e.connector,
    e.kind,
    e.account,
    e.reference,
    $amount(e.amount) AS amount,
    e.amount AS amount_key,
    e.asset,
    e.effective_at,
    e.ledger_recorded_at,
    e.recorded_at,
    e.first_recorded_at
FROM entry_current AS e
WHERE NOT e.deleted
