-- What was read: half-open windows [lower, upper), in blocks or in microseconds since 1970 by unit.
-- lower_at and upper_at are moments, NULL for blocks. A gap between two windows of a stream is a hole.
CREATE VIEW v_coverage AS
SELECT
    w.connector || ':' || w.stream || ':' || w.lower AS window_id,
    w.connector,
    w.stream,
    w.unit,
    w.lower,
    w.upper,
    CASE WHEN w.unit = 'time_us' THEN $moment_us(w.lower) END AS lower_at,
    CASE WHEN w.unit = 'time_us' THEN $moment_us(w.upper) END AS upper_at,
    w.provider,
    w.objects,
    w.read_at,
    w.unproved,
    w.pages,
    w.account,
    w.refuted,
    w.finality,
    w.doubts
FROM coverage_window AS w
