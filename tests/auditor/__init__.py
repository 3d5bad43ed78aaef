"""The auditor: what must be in the store after a complete pull, computed naively from the account itself."""

from tests.auditor.stripe import audit, audit_money

__all__ = ["audit", "audit_money"]
