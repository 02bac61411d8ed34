"""answers to calls that take effect once, for those who ask again since the first answer was lost"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table('answered_calls',
    sa.Column('holder', sa.Text(), nullable=False),
    sa.Column('request_id', sa.Text(), nullable=False),
    sa.Column('call_digest', sa.Text(), nullable=False),
    sa.Column('answer', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('holder', 'request_id', name=op.f('pk_answered_calls')),
    schema='tuner'
    )


def downgrade() -> None:
    op.drop_table('answered_calls', schema='tuner')
