-- Short ids for matches and breaks, out of a text that says what they hold.
-- texts(row_no bigint, text string, prefix string), where the prefix is m or b
select row_no, concat(prefix, '_', substr(md5(text), 1, 24)) as name
from texts
order by row_no
