-- Which movements and entries a match holds: one row for each, side is movement or entry.
CREATE VIEW v_match_rows AS
SELECT m.match_id, m.state, m.rule, 'movement' AS side, e.value AS row_id
FROM match_current AS m, $elements(m.movement_ids)
WHERE m.state <> 'superseded'
UNION ALL
SELECT m.match_id, m.state, m.rule, 'entry' AS side, e.value AS row_id
FROM match_current AS m, $elements(m.entry_ids)
WHERE m.state <> 'superseded'
