"""Run by Alembic for each command: uses the connection, and the transaction, that migrate.py holds."""

from alembic import context

from app.database.schema.base import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,  # also on SQLite: migrate.py begins the transaction itself
)
with context.begin_transaction():
    context.run_migrations()
