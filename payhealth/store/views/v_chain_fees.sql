-- What our addresses paid for their transactions, failed ones included, in the chain's own coin.
CREATE VIEW v_chain_fees AS
SELECT
    f.transaction_hash AS fee_id,
    f.connector,
    f.payer,
    $amount(f.amount) AS amount,
    f.amount AS amount_key,
    f.asset,
    f.succeeded,
    f.block_number,
    f.block_hash,
    f.block_at,
    f.canonical,
    f.recorded_at
FROM transaction_fee_current AS f
