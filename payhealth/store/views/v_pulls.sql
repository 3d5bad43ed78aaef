-- How every pull of a stream ended; error is NULL where it ended well.
CREATE VIEW v_pulls AS
SELECT
    p.id AS pull_id,
    p.connector,
    p.stream,
    p.started_at,
    p.finished_at,
    p.objects_read,
    p."new" AS new_records,
    p.changed AS changed_records,
    p.rejected AS rejected_records,
    p.requests,
    p.error,
    p.coverage
FROM pull_outcome AS p
