"""What the ledger says when it is read: usage, limit status, audit, comparison with the bill, retention."""
