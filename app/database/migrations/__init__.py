"""The steps from each released schema to the next, for Alembic. Steps are frozen once released."""

HEAD = "0011"
MOVING = "moving"  # in the place of a version, while rows of another database are copied into this one
