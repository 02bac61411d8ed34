"""studies that pause, go on after their end, and try failed trials again"""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.add_column('studies', sa.Column('budget_hours', sa.Double(), nullable=True), schema='tuner')
    op.execute("update tuner.studies set budget_hours = (spec::jsonb -> 'budget' ->> 'hours')::double precision")
    op.add_column('studies', sa.Column('paused_at', sa.DateTime(timezone=True), nullable=True), schema='tuner')
    op.add_column('studies', sa.Column('idle_s', sa.Double(), server_default=sa.text('0'), nullable=False), schema='tuner')
    op.add_column('studies', sa.Column('is_exhausted', sa.Boolean(), server_default=sa.text('false'), nullable=False), schema='tuner')
    op.add_column('studies', sa.Column('n_forgiven', sa.Integer(), server_default=sa.text('0'), nullable=False), schema='tuner')
    op.add_column('studies', sa.Column('patience_from', sa.BigInteger(), server_default=sa.text('0'), nullable=False), schema='tuner')
    op.add_column('studies', sa.Column('is_past_target', sa.Boolean(), server_default=sa.text('false'), nullable=False), schema='tuner')
    op.create_check_constraint(op.f('ck_studies_paused_at'), 'studies', "(paused_at is not null) = (state = 'paused')", schema='tuner')
    op.create_check_constraint(op.f('ck_studies_n_forgiven'), 'studies', 'n_forgiven between 0 and n_failed', schema='tuner')
    op.add_column('idempotency_keys', sa.Column('move', sa.Text(), nullable=True), schema='tuner')
    op.add_column('idempotency_keys', sa.Column('answer', sa.Text(), nullable=True), schema='tuner')


def downgrade() -> None:
    op.execute("delete from tuner.idempotency_keys where move is not null")
    op.drop_column('idempotency_keys', 'answer', schema='tuner')
    op.drop_column('idempotency_keys', 'move', schema='tuner')
    op.drop_constraint(op.f('ck_studies_n_forgiven'), 'studies', schema='tuner')
    op.drop_constraint(op.f('ck_studies_paused_at'), 'studies', schema='tuner')
    for column in ('is_past_target', 'patience_from', 'n_forgiven', 'is_exhausted', 'idle_s', 'paused_at', 'budget_hours'):
        op.drop_column('studies', column, schema='tuner')
