"""What Alembic runs: the migrations, in the transaction that ``router.storage.database`` began."""

from __future__ import annotations

from alembic import context

from router.storage.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
