"""the last version that each name of a data set has had, deleted ones included"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table('dataset_names',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('last_version', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_dataset_names')),
    schema='tuner'
    )
    op.execute(
        'insert into tuner.dataset_names (name, last_version) select name, max(version) from tuner.datasets group by name'
    )


def downgrade() -> None:
    op.drop_table('dataset_names', schema='tuner')
