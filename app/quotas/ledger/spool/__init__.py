"""Settlements that the database does not take, kept on disk until it does."""
