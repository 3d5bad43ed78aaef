-- Every id that stands for a payment: what a ledger entry may carry as its reference.
CREATE VIEW v_links AS
SELECT
    l.alias AS alias_id,
    l.payment_key,
    l.connector,
    l.recorded_at,
    l.first_recorded_at
FROM link_current AS l
