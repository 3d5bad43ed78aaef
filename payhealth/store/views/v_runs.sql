-- The runs whose statement differed from the one before, and the newest run, whatever it found.
-- statement is JSON: one object for each asset and rail.
CREATE VIEW v_runs AS
SELECT 'statement:' || s.change_seq AS run_id, s.ran_at, s.body AS statement
FROM statement_version AS s
UNION ALL
SELECT
    'latest' AS run_id,
    r.ran_at,
    (SELECT n.body FROM statement_version AS n ORDER BY n.change_seq DESC LIMIT 1) AS statement
FROM last_run AS r
