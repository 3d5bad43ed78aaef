-- Every id that stands for a payment: what a ledger entry may carry as its reference. A transfer answers to
-- its transaction with its position, and a customer's also to the bare transaction.
CREATE VIEW v_links AS
SELECT
    l.alias AS alias_id,
    l.payment_key,
    l.connector,
    l.recorded_at,
    l.first_recorded_at
FROM link_current AS l
UNION ALL
SELECT
    substr(m.movement_id, length(m.chain) + 2),
    m.payment_key,
    m.connector,
    m.recorded_at,
    m.first_recorded_at
FROM movement_current AS m
WHERE m.rail = 'chain' AND m.kind <> 'retraction'
    AND substr(m.movement_id, length(m.chain) + 2, 2) = '0x'
UNION ALL
SELECT
    substr(m.movement_id, length(m.chain) + 2, 66) || ':' || m.position,
    m.payment_key,
    m.connector,
    m.recorded_at,
    m.first_recorded_at
FROM movement_current AS m
WHERE m.rail = 'chain' AND m.kind <> 'retraction'
    AND substr(m.movement_id, length(m.chain) + 2, 2) = '0x'
    AND substr(m.movement_id, length(m.chain) + 69) <> m.position
UNION ALL
SELECT
    substr(m.movement_id, length(m.chain) + 2, 66),
    m.payment_key,
    m.connector,
    m.recorded_at,
    m.first_recorded_at
FROM movement_current AS m
WHERE m.rail = 'chain' AND m.kind = 'transfer'
    AND substr(m.movement_id, length(m.chain) + 2, 2) = '0x'
