-- Invoices, which link their own id to the payments that settled them.
CREATE VIEW v_invoices AS
SELECT
    i.invoice_id,
    i.connector,
    i.status,
    i.billing_reason,
    i.intent_id,
    i.charge_id,
    i.customer,
    i.account,
    $amount(i.amount_due) AS amount_due,
    i.amount_due AS amount_due_key,
    $amount(i.amount_paid) AS amount_paid,
    i.amount_paid AS amount_paid_key,
    i.asset,
    i.created_at,
    i.recorded_at,
    i.first_recorded_at
FROM invoice_current AS i
