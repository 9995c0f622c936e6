"""The ledger's SQL in the words of both engines, and how each of them runs it."""
