-- Every sighting of a chain transfer, one row a movement and block: the one that stands (canonical, not
-- ignored), those that a reorg took (not canonical), and those that do not count (ignored_reason).
CREATE VIEW v_transfers AS
SELECT
    m.movement_id || '@' || m.block_hash AS sighting_id,
    m.movement_id,
    m.connector,
    m.chain,
    m.kind,
    (m.status NOT IN ('retracted', 'failed')) AS canonical,
    m.block_number,
    m.block_hash,
    CASE
        WHEN substr(m.movement_id, length(m.chain) + 2, 2) = '0x' THEN substr(m.movement_id, length(m.chain) + 2, 66)
        ELSE ''
    END AS transaction_hash,
    m.position,
    m.sender,
    m.recipient,
    $amount(m.amount) AS amount,
    m.amount AS amount_key,
    m.asset,
    m.effective_at AS block_at,
    NULL AS ignored_reason,
    m.recorded_at
FROM movement_current AS m
WHERE m.rail = 'chain' AND m.kind <> 'retraction' AND m.block_hash IS NOT NULL
UNION ALL
SELECT
    o.movement_id || '@' || o.block_hash,
    o.movement_id,
    o.connector,
    NULL,
    NULL,
    o.canonical,
    o.block_number,
    o.block_hash,
    o.transaction_hash,
    o.position,
    o.sender,
    o.recipient,
    $amount(o.amount),
    o.amount,
    o.asset,
    o.block_at,
    o.ignored_reason,
    o.recorded_at
FROM transfer_observation_current AS o
WHERE o.ignored_reason IS NOT NULL
    OR (NOT o.canonical AND NOT EXISTS (
        SELECT 1
        FROM movement_current AS m
        WHERE m.connector = o.connector AND m.movement_id = o.movement_id AND m.block_hash = o.block_hash
    ))
