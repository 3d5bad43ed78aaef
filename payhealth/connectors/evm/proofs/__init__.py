"""What proves a reading: balances held against what was read, and prices at a payment's block."""
