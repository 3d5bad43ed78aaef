-- Objects that moved money without their line of the balance, and lines without their object.
CREATE VIEW v_booking_gaps AS
SELECT
    g.object_id,
    g.connector,
    g.reason,
    g.moved_at,
    g.since,
    $amount(g.amount) AS amount,
    g.amount AS amount_key,
    g.asset,
    g.closed,
    g.recorded_at,
    g.first_recorded_at
FROM booking_gap_current AS g
