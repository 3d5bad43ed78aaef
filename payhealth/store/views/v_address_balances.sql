-- What each address of ours holds, held against what was read of it (in, out and fees).
CREATE VIEW v_address_balances AS
SELECT
    b.connector || ':' || b.address || ':' || b.asset AS balance_id,
    b.connector,
    b.address,
    b.asset,
    b.state,
    b.proved_from,
    b.proved_block,
    $amount(b.proved_amount) AS proved_amount,
    b.pending_block,
    $amount(b.pending_amount) AS pending_amount,
    $amount(b.difference) AS difference,
    b.gap_lower,
    b.gap_upper,
    b.since,
    b.recorded_at
FROM address_balance_current AS b
