"""why trials and attempts ended, as facts"""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.add_column('trials', sa.Column('end_detail', sa.Text(), nullable=True), schema='tuner')
    op.add_column('attempts', sa.Column('end_detail', sa.Text(), nullable=True), schema='tuner')


def downgrade() -> None:
    op.drop_column('attempts', 'end_detail', schema='tuner')
    op.drop_column('trials', 'end_detail', schema='tuner')
