"""Limits in the database: set, list, remove, and the counter a new limit begins with."""
