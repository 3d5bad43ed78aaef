-- Every visible movement of each (reference, asset) that something was undone on, in total order.
-- movement_rows(row_no bigint, ref string, asset string, undoes boolean)
with undone as (
    select ref, asset, min(row_no) as cell_no
    from movement_rows
    where undoes and ref <> ''
    group by ref, asset
)
select undone.cell_no as cell_no, movement_rows.row_no as row_no
from undone
join movement_rows on movement_rows.ref = undone.ref and movement_rows.asset = undone.asset
order by undone.cell_no, movement_rows.row_no
