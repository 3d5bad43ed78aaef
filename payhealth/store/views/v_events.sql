-- Stripe's notes that an object changed, listed or delivered. The object itself is read by its id.
CREATE VIEW v_events AS
SELECT
    e.event_id,
    e.connector,
    e.type,
    e.object_type,
    e.object_id,
    e.object_created_at,
    e.created_at,
    e.recorded_at,
    e.first_recorded_at
FROM source_event_current AS e
