"""What became of an attempt to charge a card: outcome, failure, risk and card details.

Source: https://docs.stripe.com/declines/codes and https://docs.stripe.com/api/charges/object
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from payhealth.sandbox.stripe.ids import draw

if TYPE_CHECKING:
    from payhealth.sandbox.interfaces import Card, Decline, StripeObject

_MESSAGES: Final = {
    "authentication_required": "Your card was declined. This transaction requires authentication.",
    "card_declined": "Your card was declined.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "incorrect_number": "Your card number is incorrect.",
    "insufficient_funds": "Your card has insufficient funds.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
}
_DO_NOT_TRY_AGAIN: Final = frozenset(
    {"fraudulent", "lost_card", "pickup_card", "restricted_card", "revocation_of_all_authorizations"}
    | {"security_violation", "stolen_card", "stop_payment_order"}
)
_CONFIRM_CARD_DATA: Final = frozenset(
    {"expired_card", "incorrect_cvc", "incorrect_number", "incorrect_zip", "invalid_cvc"}
    | {"invalid_expiry_month", "invalid_expiry_year", "invalid_account"}
)
_NETWORK_CODES: Final = {
    "expired_card": "54",
    "incorrect_cvc": "N7",
    "incorrect_number": "14",
    "insufficient_funds": "51",
    "lost_card": "41",
    "stolen_card": "43",
}
_WALLETS: Final = ("apple_pay", "google_pay", "link")


def failure_message(decline: Decline) -> str:
    """The sentence for the customer, as in ``failure_message``."""
    specific = _MESSAGES.get(decline.decline_code or "")
    return specific or _MESSAGES.get(decline.failure_code, _MESSAGES["card_declined"])


def outcome_of(decline: Decline | None, *, chance: int) -> StripeObject:
    """A charge's ``outcome``.

    Args:
        decline: why it failed, None when it was approved.
        chance: a draw that decides the risk score and, of a blocked attempt, whether a rule of the
            business or the risk score stopped it.
    """
    if decline is None:
        return _outcome(
            network_status="approved_by_network",
            kind="authorized",
            risk_level="normal",
            risk_score=chance % 60,
            seller_message="Payment complete.",
        )
    if decline.blocked:
        return _blocked(chance)
    reason = decline.decline_code or decline.failure_code
    return _outcome(
        network_status="declined_by_network",
        kind="issuer_declined",
        reason=reason,
        risk_level="elevated" if reason == "fraudulent" else "normal",
        risk_score=65 + chance % 10 if reason == "fraudulent" else chance % 65,
        advice_code=_advice_code(reason),
        network_decline_code=_NETWORK_CODES.get(reason, "05"),
        seller_message="The bank did not return any further details with this decline.",
    )


def _blocked(chance: int) -> StripeObject:
    by_rule = chance % 3 == 0
    blocked = _outcome(
        network_status="not_sent_to_network",
        kind="blocked",
        reason="rule" if by_rule else "highest_risk_level",
        risk_level="elevated" if by_rule else "highest",
        risk_score=65 + chance % 10 if by_rule else 75 + chance % 25,
        seller_message="Stripe blocked this payment as too risky.",
    )
    return blocked | {"rule": "block_if_too_many_cards_per_ip"} if by_rule else blocked


def _outcome(
    *,
    network_status: str,
    kind: str,
    risk_level: str,
    risk_score: int,
    seller_message: str,
    reason: str | None = None,
    advice_code: str | None = None,
    network_decline_code: str | None = None,
) -> StripeObject:
    return {
        "advice_code": advice_code,
        "network_advice_code": None,
        "network_decline_code": network_decline_code,
        "network_status": network_status,
        "reason": reason,
        "risk_level": risk_level,
        "risk_score": risk_score,
        "seller_message": seller_message,
        "type": kind,
    }


def _advice_code(reason: str) -> str:
    if reason in _DO_NOT_TRY_AGAIN:
        return "do_not_try_again"
    return "confirm_card_data" if reason in _CONFIRM_CARD_DATA else "try_again_later"


def payment_error(decline: Decline, *, charge: str | None, method: StripeObject) -> StripeObject:
    """An intent's ``last_payment_error`` (or ``last_setup_error``) after a decline."""
    reason = decline.decline_code or decline.failure_code
    error: dict[str, Any] = {
        "advice_code": None if decline.blocked else _advice_code(reason),
        "code": decline.failure_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.failure_code.replace('_', '-')}",
        "message": failure_message(decline),
        "network_decline_code": None if decline.blocked else _NETWORK_CODES.get(reason, "05"),
        "payment_method": method,
        "type": "card_error",
    }
    if charge is not None:
        error["charge"] = charge
    if decline.decline_code is not None:
        error["decline_code"] = decline.decline_code
    return error


def card_details(card: Card, *, amount_minor: int, declined: bool, chance: int) -> StripeObject:
    """A charge's ``payment_method_details`` for a card.

    The wallet depends on the card alone (a person keeps paying the same way), the authentication on
    the attempt: cards from outside the United States are asked for it more often.
    """
    return {
        "card": {
            "amount_authorized": None if declined else amount_minor,
            "authorization_code": None if declined else f"{chance % 1_000_000:06d}",
            "brand": card.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": ("pass", "unchecked", None)[chance % 3],
                "cvc_check": "pass",
            },
            "country": card.country,
            **_expiry(card),
            "extended_authorization": {"status": "disabled"},
            "fingerprint": fingerprint(card),
            "funding": card.funding,
            "iin": card.iin,
            "incremental_authorization": {"status": "unavailable"},
            "installments": None,
            "last4": card.last4,
            "mandate": None,
            "multicapture": {"status": "unavailable"},
            "network": card.brand,
            "network_token": {"used": False},
            "network_transaction_id": None if declined else f"{chance % 10**15:015d}",
            "overcapture": {"maximum_amount_capturable": amount_minor, "status": "unavailable"},
            "regulated_status": "unregulated",
            "three_d_secure": _three_d_secure(card, chance),
            "transaction_link_id": None,
            "wallet": _wallet(card),
        },
        "type": "card",
    }


def bank_details(*, chance: int) -> StripeObject:
    """A charge's ``payment_method_details`` for a debit of a bank account."""
    return {
        "type": "us_bank_account",
        "us_bank_account": {
            "account_holder_type": "individual",
            "account_type": "checking",
            "bank_name": "STRIPE TEST BANK",
            "expected_debit_date": None,
            "fingerprint": f"{chance:x}"[:16],
            "last4": f"{chance % 10_000:04d}",
            "mandate": None,
            "payment_reference": None,
            "routing_number": "110000000",
        },
    }


def payment_method(card: Card, *, method_id: str, created_s: int, customer: str | None) -> StripeObject:
    """The payment method object inside an intent's last error."""
    return {
        "id": method_id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(email=None),
        "card": {
            "brand": card.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": card.country,
            **_expiry(card),
            "fingerprint": fingerprint(card),
            "funding": card.funding,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": _wallet(card),
        },
        "created": created_s,
        "customer": customer,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def billing_details(*, email: str | None) -> StripeObject:
    """Billing details with no more in them than an email address."""
    return {"address": no_address(), "email": email, "name": None, "phone": None, "tax_id": None}


def no_address() -> StripeObject:
    """An address whose every line is unknown."""
    return dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def fingerprint(card: Card) -> str:
    """The card's own fingerprint, or one made from what is known of it."""
    if card.fingerprint:
        return card.fingerprint
    return f"{draw('fingerprint', card.brand, card.iin, card.last4, card.country):x}"[:16]


def _expiry(card: Card) -> StripeObject:
    chance = draw("expiry", fingerprint(card))
    return {"exp_month": 1 + chance % 12, "exp_year": 2030 + chance // 12 % 4}


def _wallet(card: Card) -> StripeObject | None:
    chance = draw("wallet", fingerprint(card)) % 10
    if chance >= len(_WALLETS):
        return None
    kind = _WALLETS[chance]
    details: StripeObject = {"dynamic_last4": card.last4 if kind != "link" else None, "type": kind}
    return details if kind == "link" else details | {kind: {}}


def _three_d_secure(card: Card, chance: int) -> StripeObject | None:
    if chance // 7 % 100 >= (5 if card.country == "US" else 60):
        return None
    return {
        "authentication_flow": "frictionless" if chance % 2 else "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": f"{chance % 16**12:012x}",
        "version": "2.2.0",
    }
