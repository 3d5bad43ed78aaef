-- How many ids there are and what they hash to together: equal on both ends of a run, in any order.
-- ids(id string)
select cast(count(*) as bigint) as ids, cast(sum(hash(id)) as string) as digest
from ids
