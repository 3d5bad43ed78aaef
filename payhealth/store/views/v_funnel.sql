-- From the intention to the credit: one row for each card payment (an intent, or a charge without one) and
-- each transfer from a customer. stage is the furthest reached: created, attempted, paid, credited.
-- refunds and disputes count those of the payment's charges, whatever their status.
CREATE VIEW v_funnel AS
WITH credited AS (
    SELECT DISTINCT r.row_id
    FROM v_match_rows AS r
    INNER JOIN match_current AS m ON m.match_id = r.match_id
    WHERE r.side = 'movement' AND m.state = 'confirmed' AND m.entry_ids <> '[]'
),
attempts AS (
    SELECT
        c.connector,
        coalesce(c.intent_id, c.charge_id) AS payment_id,
        count(*) AS attempts,
        sum(CASE WHEN c.status = 'failed' THEN 1 ELSE 0 END) AS failed_attempts,
        min(CASE WHEN c.status = 'succeeded' THEN c.created_at END) AS paid_at,
        count(w.row_id) AS credited,
        min(c.created_at) AS first_attempt_at
    FROM charge_current AS c
    LEFT JOIN credited AS w ON w.row_id = c.charge_id
    GROUP BY c.connector, coalesce(c.intent_id, c.charge_id)
),
refunds AS (
    SELECT r.connector, coalesce(c.intent_id, r.intent_id, r.charge_id) AS payment_id, count(*) AS refunds
    FROM refund_current AS r
    LEFT JOIN charge_current AS c ON c.connector = r.connector AND c.charge_id = r.charge_id
    GROUP BY r.connector, coalesce(c.intent_id, r.intent_id, r.charge_id)
),
disputes AS (
    SELECT d.connector, coalesce(c.intent_id, d.intent_id, d.charge_id) AS payment_id, count(*) AS disputes
    FROM dispute_current AS d
    LEFT JOIN charge_current AS c ON c.connector = d.connector AND c.charge_id = d.charge_id
    GROUP BY d.connector, coalesce(c.intent_id, d.intent_id, d.charge_id)
),
payments AS (
    SELECT i.intent_id AS payment_id, i.connector, i.account, i.amount, i.asset, i.created_at
    FROM payment_intent_current AS i
    UNION ALL
    SELECT c.charge_id, c.connector, c.account, c.amount, c.asset, c.created_at
    FROM charge_current AS c
    WHERE c.intent_id IS NULL
)
SELECT
    p.payment_id,
    p.connector,
    'card' AS rail,
    CASE
        WHEN a.credited > 0 THEN 'credited'
        WHEN a.paid_at IS NOT NULL THEN 'paid'
        WHEN a.attempts > 0 THEN 'attempted'
        ELSE 'created'
    END AS stage,
    p.account,
    $amount(p.amount) AS amount,
    p.amount AS amount_key,
    p.asset,
    p.created_at,
    a.first_attempt_at,
    a.paid_at,
    coalesce(a.attempts, 0) AS attempts,
    coalesce(a.failed_attempts, 0) AS failed_attempts,
    coalesce(r.refunds, 0) AS refunds,
    coalesce(d.disputes, 0) AS disputes
FROM payments AS p
LEFT JOIN attempts AS a ON a.connector = p.connector AND a.payment_id = p.payment_id
LEFT JOIN refunds AS r ON r.connector = p.connector AND r.payment_id = p.payment_id
LEFT JOIN disputes AS d ON d.connector = p.connector AND d.payment_id = p.payment_id
UNION ALL
SELECT
    m.movement_id,
    m.connector,
    m.rail,
    CASE WHEN w.row_id IS NOT NULL THEN 'credited' WHEN m.status = 'retracted' THEN 'attempted' ELSE 'paid' END,
    m.account,
    m.amount,
    m.amount_key,
    m.asset,
    m.effective_at,
    m.effective_at,
    m.effective_at,
    1,
    CASE WHEN m.status = 'retracted' THEN 1 ELSE 0 END,
    0,
    0
FROM v_movements AS m
LEFT JOIN credited AS w ON w.row_id = m.movement_id
WHERE m.kind = 'transfer'
