"""The steps from each released schema to the next, for Alembic. Steps are frozen once released."""

HEAD = "0007"
