"""Runs the migrations on the connection it is given; the views are dropped before and made anew after.

Views hold no data, so a revision never has to repeat them: they always are those of the code. A change of a
view alone still needs a (then empty) revision, so that stores of the older code are told to upgrade.
"""

from alembic import context

from payhealth.store.schema import VERSION_TABLE
from payhealth.store.tables import metadata
from payhealth.store.views import create_views, drop_views

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=connection.dialect.name == "sqlite",
    # The caller's transaction is the only one: it holds the lock, and takes everything back on a failure.
    transactional_ddl=False,
)
drop_views(connection)
context.run_migrations()
create_views(connection)
