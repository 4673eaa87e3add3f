"""Alembic's entry. It runs on the connection that app.store.migrate hands over, and only there."""

from alembic import context
from sqlalchemy import Connection

from app.store.tables import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
