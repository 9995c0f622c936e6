"""What callers may still spend: limits and windows (pure), the life of a reservation (pure), the ledger (SQL)."""
