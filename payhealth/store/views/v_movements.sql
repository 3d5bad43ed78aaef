-- Every signed effect on what customers have paid us, one row each; kind gives the sign of amount.
-- status of a transfer follows from its block and the chain's safe and final blocks; retracted stays.
-- account is the record's own, else the one that all claims of its payment agree on, else the only owner of
-- its handle at the time, else empty.
CREATE VIEW v_movements AS
SELECT
    m.movement_id,
    m.connector,
    m.rail,
    m.kind,
    CASE
        WHEN m.status NOT IN ('seen', 'safe', 'final') OR m.block_number IS NULL THEN m.status
        WHEN m.block_number <= k.final THEN 'final'
        WHEN m.block_number <= k.safe THEN 'safe'
        ELSE 'seen'
    END AS status,
    CASE
        WHEN m.account <> '' THEN m.account
        ELSE coalesce(
            (
                SELECT min(c.account)
                FROM payment_claim_current AS c
                WHERE c.connector = m.connector AND c.payment_key = m.payment_key
                HAVING count(DISTINCT c.account) = 1
            ),
            (
                SELECT min(h.account)
                FROM handle_current AS h
                WHERE m.handle <> ''
                    AND h.handle = m.handle
                    AND h.valid_from <= m.effective_at
                    AND (h.valid_to IS NULL OR m.effective_at < h.valid_to)
                HAVING count(DISTINCT h.account) = 1
            ),
            ''
        )
    END AS account,
    m.reference,
    $amount(m.amount) AS amount,
    m.amount AS amount_key,
    m.asset,
    m.symbol,
    m.effective_at,
    m.recorded_at,
    m.first_recorded_at,
    m.payment_key,
    m.handle,
    m.chain,
    m.block_number,
    m.block_hash,
    m.position,
    m.sender,
    m.recipient,
    $amount(p.price) AS price,
    p.quote AS price_quote,
    p.reason AS price_reason
FROM movement_current AS m
LEFT JOIN chain_mark_current AS k ON k.connector = m.connector AND k.chain = m.chain
LEFT JOIN asset_price_current AS p
    ON p.connector = m.connector AND p.asset = m.asset AND p.block_hash = m.block_hash
    -- One price a movement, where a feed's quote was changed and both were recorded.
    AND p.quote = (
        SELECT min(q.quote)
        FROM asset_price_current AS q
        WHERE q.connector = m.connector AND q.asset = m.asset AND q.block_hash = m.block_hash
    )
