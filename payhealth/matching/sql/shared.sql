-- References that more movements share than a reference may.
-- movement_rows(ref string)
select ref, cast(count(*) as bigint) as movements
from movement_rows
where ref <> ''
group by ref
having count(*) > :most
order by ref
