"""Alembic's entry: runs the migrations on the connection which `schema.py` hands over, inside its transaction.

There is no alembic.ini and no database URL here, so that nothing can migrate a database behind the store's back. A new
migration is written by hand into `versions/`; a test compares the outcome of all of them with the models.
"""

from alembic import context

from loadgen.store.tables import Entity

context.configure(connection=context.config.attributes["connection"], target_metadata=Entity.metadata)
with context.begin_transaction():
    context.run_migrations()
