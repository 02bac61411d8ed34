"""what trials print, piece by piece while they run; the model that a trial has in MLflow"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table('log_chunks',
    sa.Column('attempt_id', sa.Uuid(), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['attempt_id'], ['tuner.attempts.id'], name=op.f('fk_log_chunks_attempt_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('attempt_id', 'position', name=op.f('pk_log_chunks')),
    schema='tuner'
    )
    op.add_column('trials', sa.Column('model_id', sa.Text(), nullable=True), schema='tuner')


def downgrade() -> None:
    op.drop_column('trials', 'model_id', schema='tuner')
    op.drop_table('log_chunks', schema='tuner')
