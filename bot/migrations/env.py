"""Alembic's entry: runs on the connection it is handed."""

from alembic import context

from bot.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=METADATA, render_as_batch=True, user_module_prefix="storage."
)
with context.begin_transaction():
    context.run_migrations()
