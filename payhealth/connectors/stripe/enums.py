"""The values of Stripe's open enums that this version knows; any other is kept as it is, and counted.

Codes of failures and declines are not here: those lists have hundreds of values and are passed through.

Source: the enums of Stripe's OpenAPI description, version 2026-10-28.endive
"""

from __future__ import annotations

from collections.abc import Mapping

from payhealth.connectors.stripe.balance_types import SOURCE_OBJECTS
from payhealth.domain.record import Record
from payhealth.domain.records import (
    BalanceTransaction,
    Charge,
    CheckoutSession,
    Dispute,
    EarlyFraudWarning,
    Invoice,
    PaymentIntent,
    Payout,
    Refund,
    SetupIntent,
    SourceEvent,
)


def _values(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INTENT_STATUSES = _values(
    "requires_payment_method requires_confirmation requires_action processing succeeded canceled"
)

_METHODS = _values("""
    ach_credit_transfer ach_debit acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit
    bacs_debit bancontact bank_account billie bizum blik boleto card card_present cashapp crypto
    customer_balance eps fpx giropay grabpay ideal interac_present kakao_pay klarna konbini kr_card link
    mb_way mobilepay multibanco naver_pay nz_bank_account oxxo p24 pay_by_bank payco paynow paypal paypay
    payto pix promptpay revolut_pay samsung_pay satispay scalapay sepa_credit_transfer sepa_debit sequra
    sofort stripe_account sunbit swish twint upi us_bank_account wechat wechat_pay zip
""")

_OBJECTS = _values("""
    account application application_fee balance balance_settings balance_transaction bank_account
    billing.alert billing.alert_triggered billing.credit_balance_transaction billing.credit_grant
    billing.meter billing_portal.configuration billing_portal.session capability card cash_balance charge
    checkout.session climate.order climate.product coupon credit_note customer
    customer_cash_balance_transaction discount dispute entitlements.active_entitlement_summary event
    fee_refund file financial_connections.account financial_connections.account_ownership
    financial_connections.transaction identity.verification_session invoice invoice_payment invoiceitem
    issuing.authorization issuing.card issuing.cardholder issuing.dispute issuing.personalization_design
    issuing.settlement issuing.token issuing.transaction mandate payment_intent payment_link payment_method
    payment_method_configuration payout person plan price product promotion_code quote
    radar.early_fraud_warning refund reporting.report_run reporting.report_type reserve.hold reserve.plan
    reserve.release reserve_transaction review scheduled_query_run setup_attempt setup_intent source
    source_transaction subscription subscription_item subscription_schedule tax.settings tax_id tax_rate
    terminal.reader test_helpers.test_clock topup transfer transfer_reversal treasury.credit_reversal
    treasury.debit_reversal treasury.financial_account treasury.inbound_transfer treasury.outbound_payment
    treasury.outbound_transfer treasury.received_credit treasury.received_debit webhook_endpoint
""")

KNOWN: Mapping[type[Record], Mapping[str, frozenset[str]]] = {
    Charge: {
        "status": _values("succeeded pending failed"),
        "network_status": _values(
            "approved_by_network declined_by_network not_sent_to_network reversed_after_approval"
        ),
        "risk_level": _values("normal elevated highest not_assessed unknown"),
        "advice_code": _values("confirm_card_data do_not_try_again try_again_later"),
        "funding": _values("credit debit prepaid unknown"),
        "brand": _values(
            "amex cartes_bancaires diners discover eftpos_au jcb link mastercard unionpay visa unknown"
        ),
        "cvc_check": _values("pass fail unavailable unchecked"),
        "three_d_secure": _values(
            "attempt_acknowledged authenticated data_share_only exempted failed not_supported"
            " processing_error"
        ),
        "wallet": _values(
            "amex_express_checkout apple_pay google_pay link masterpass samsung_pay visa_checkout"
        ),
        "payment_method_type": _METHODS,
    },
    PaymentIntent: {
        "status": _INTENT_STATUSES | {"requires_capture"},
        "capture_method": _values("automatic automatic_async manual"),
        "cancellation_reason": _values(
            "abandoned automatic duplicate expired failed_invoice fraudulent requested_by_customer"
            " void_invoice"
        ),
        "setup_future_usage": _values("off_session on_session"),
    },
    SetupIntent: {
        "status": _INTENT_STATUSES,
        "usage": _values("off_session on_session"),
        "payment_method_type": _METHODS,
        "cancellation_reason": _values("abandoned duplicate requested_by_customer"),
    },
    CheckoutSession: {
        "status": _values("open complete expired"),
        "payment_status": _values("paid unpaid no_payment_required"),
        "mode": _values("payment setup subscription"),
    },
    Invoice: {
        "status": _values("draft open paid uncollectible void"),
        "billing_reason": _values(
            "automatic_pending_invoice_item_invoice manual quote_accept subscription subscription_create"
            " subscription_cycle subscription_threshold subscription_update upcoming"
        ),
    },
    EarlyFraudWarning: {
        "fraud_type": _values(
            "card_never_received fraudulent_card_application made_with_counterfeit_card"
            " made_with_lost_card made_with_stolen_card misc unauthorized_use_of_card"
        ),
    },
    Refund: {
        "status": _values("succeeded pending requires_action failed canceled"),
        "reason": _values("duplicate fraudulent requested_by_customer expired_uncaptured_charge"),
        "failure_reason": _values(
            "lost_or_stolen_card expired_or_canceled_card charge_for_pending_refund_disputed"
            " insufficient_funds declined merchant_request unknown"
        ),
    },
    Dispute: {
        "status": _values(
            "warning_needs_response warning_under_review warning_closed needs_response under_review"
            " appeal_needs_response appeal_under_review won lost prevented"
        ),
        "reason": _values(
            "bank_cannot_process check_returned credit_not_processed customer_initiated"
            " debit_not_authorized duplicate fraudulent general incorrect_account_details"
            " insufficient_funds noncompliant product_not_received product_unacceptable"
            " subscription_canceled unrecognized"
        ),
    },
    Payout: {
        "status": _values("pending in_transit paid failed canceled"),
        "method": _values("standard instant"),
        "reconciliation_status": _values("completed in_progress not_applicable"),
    },
    BalanceTransaction: {"type": frozenset(SOURCE_OBJECTS)},
    SourceEvent: {"object_type": _OBJECTS},
}
"""Record -> field -> its known values."""
