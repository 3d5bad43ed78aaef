-- What payment protocols say of transfers: Coinbase, EIP-3009 (x402), commerce-payments escrow.
CREATE VIEW v_payment_events AS
SELECT
    e.event_id || '@' || e.block_hash AS payment_event_id,
    e.event_id,
    e.connector,
    e.kind,
    e.contract,
    e.external_id,
    e.operator,
    e.payer,
    e.recipient,
    e.asset,
    e.movement_id,
    e.block_number,
    e.block_hash,
    e.transaction_hash,
    e.block_at,
    e.canonical,
    e.ignored_reason,
    e.recorded_at
FROM payment_event_current AS e
