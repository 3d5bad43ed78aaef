-- How many ids there are and what they hash to together: equal on both ends of a run, in any order.
-- movements_in(id string), movements_out(id string), entries_in(id string), entries_out(id string)
select 'movements' as side, 'in' as place, cast(count(*) as bigint) as ids, cast(sum(hash(id)) as string) as digest
from movements_in
union all
select 'movements', 'out', cast(count(*) as bigint), cast(sum(hash(id)) as string)
from movements_out
union all
select 'entries', 'in', cast(count(*) as bigint), cast(sum(hash(id)) as string)
from entries_in
union all
select 'entries', 'out', cast(count(*) as bigint), cast(sum(hash(id)) as string)
from entries_out
