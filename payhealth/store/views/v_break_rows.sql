-- Which movements and entries a break holds: one row for each, side is movement or entry.
CREATE VIEW v_break_rows AS
SELECT b.break_id, b.state, b.primary_reason, 'movement' AS side, e.value AS row_id
FROM break_current AS b, $elements(b.movement_ids)
UNION ALL
SELECT b.break_id, b.state, b.primary_reason, 'entry' AS side, e.value AS row_id
FROM break_current AS b, $elements(b.entry_ids)
