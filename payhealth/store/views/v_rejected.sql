-- Objects that could not be understood, with the reason.
CREATE VIEW v_rejected AS
SELECT
    r.object_id,
    r.connector,
    r.stream,
    r.reason,
    r.raw,
    r.recorded_at,
    r.first_recorded_at
FROM rejected_current AS r
