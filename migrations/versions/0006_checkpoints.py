"""checkpoints of trials, and the epoch from which an attempt went on"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table('checkpoints',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('trial_id', sa.BigInteger(), nullable=False),
    sa.Column('fold', sa.Integer(), nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('attempt_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['trial_id'], ['tuner.trials.id'], name=op.f('fk_checkpoints_trial_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_checkpoints')),
    sa.UniqueConstraint('trial_id', 'sha256', name=op.f('uq_checkpoints_trial_id_sha256')),
    schema='tuner'
    )
    op.add_column('attempts', sa.Column('resumed_from_step', sa.BigInteger(), nullable=True), schema='tuner')


def downgrade() -> None:
    op.drop_column('attempts', 'resumed_from_step', schema='tuner')
    op.drop_table('checkpoints', schema='tuner')
