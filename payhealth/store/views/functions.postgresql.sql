-- The exact functions under the names that our SQLite connections have, so that one query runs on both.
-- ph_sum(amount): an exact sum. ph_cmp(a, b): -1, 0 or 1. ph_dec(x): a number or its text as an exact number.
CREATE OR REPLACE AGGREGATE ph_sum(numeric) (SFUNC = numeric_add, STYPE = numeric, COMBINEFUNC = numeric_add, PARALLEL = SAFE);
CREATE OR REPLACE FUNCTION ph_cmp(numeric, numeric) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT CASE WHEN $1 > $2 THEN 1 WHEN $1 < $2 THEN -1 ELSE 0 END';
CREATE OR REPLACE FUNCTION ph_dec(text) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT CAST($1 AS numeric(56, 18))';
CREATE OR REPLACE FUNCTION ph_dec(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT CAST($1 AS numeric(56, 18))';
