"""The credit ledger: entries from a database or from files, and whose a deposit address is."""
