"""The terminal's door: starts servers and administers keys, users, teams, limits, usage and the ledger."""
