"""the retry of a trial is found, and a study deleted, without reading every trial"""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_index(
        'ix_trials_retry_of', 'trials', ['retry_of'], schema='tuner', postgresql_where=sa.text('retry_of is not null')
    )


def downgrade() -> None:
    op.drop_index('ix_trials_retry_of', 'trials', schema='tuner')
