-- Every verdict of every check; is_latest marks the newest of each. Lists and tables are JSON text.
CREATE VIEW v_check_results AS
SELECT
    r.id AS result_id,
    r.check_name,
    r.outcome,
    r.message,
    r.evaluated_at,
    r.value,
    r.unit,
    r.interval_lower,
    r.interval_upper,
    r.baseline,
    r.thresholds,
    r.segments,
    r.examples,
    r.inputs,
    r.not_seen,
    r.next_step,
    r.id = (SELECT max(n.id) FROM check_result AS n WHERE n.check_name = r.check_name) AS is_latest
FROM check_result AS r
