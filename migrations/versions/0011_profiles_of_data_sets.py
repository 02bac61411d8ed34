"""what was seen of a data set's rows, beside it: lists of data sets do not read it"""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table(
        'dataset_profiles',
        sa.Column('dataset_id', sa.BigInteger(), nullable=False),
        sa.Column('profile', sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ['dataset_id'],
            ['tuner.datasets.id'],
            name=op.f('fk_dataset_profiles_dataset_id_datasets'),
            ondelete='CASCADE',
        ),
        sa.PrimaryKeyConstraint('dataset_id', name=op.f('pk_dataset_profiles')),
        schema='tuner',
    )


def downgrade() -> None:
    op.drop_table('dataset_profiles', schema='tuner')
