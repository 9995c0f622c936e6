"""The tables, their columns and constraints: one schema for SQLite and PostgreSQL. Contains no query.

Times are integer milliseconds since 1970 UTC, money is integer nano-USD. Text columns contain names, ids and closed
words only: no prompt, no image, no secret of anybody but the gateway itself.
"""
