-- The reference pass: keys that exactly one judged row of each side carries.
-- movement_rows(row_no bigint, ref string), entry_rows(row_no bigint, ref string)
with paid as (
    select ref, count(*) as rows_of_key, min(row_no) as row_no
    from movement_rows
    where ref <> ''
    group by ref
),
entered as (
    select ref, count(*) as rows_of_key, min(row_no) as row_no
    from entry_rows
    where ref <> ''
    group by ref
)
select paid.row_no as movement, entered.row_no as entry
from paid
join entered on paid.ref = entered.ref
where paid.rows_of_key = 1 and entered.rows_of_key = 1
