-- Number the groups of the rows that no pair took: a group is named by its first row, over both sides.
-- left_rows(row_no bigint, ref string), where row_no is twice the row's number, plus one for an entry
with groups as (
    select ref, min(row_no) as group_no
    from left_rows
    where ref <> ''
    group by ref
)
select left_rows.row_no as row_no, groups.group_no as group_no
from left_rows
join groups on left_rows.ref = groups.ref
