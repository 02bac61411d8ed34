"""a study's best configuration is fitted again, scored on the test part, and registered"""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    # all at once and in the order in which the service locks them, which runs meanwhile
    op.execute("lock table tuner.studies, tuner.trials, tuner.attempts in access exclusive mode")
    op.create_table(
        'finals',
        sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column('study_id', sa.BigInteger(), nullable=False),
        sa.Column('number', sa.Integer(), nullable=False),
        sa.Column('trial_id', sa.BigInteger(), nullable=False),
        sa.Column('epochs', sa.Integer(), nullable=True),
        sa.Column('state', sa.Text(), nullable=False),
        sa.Column('n_attempts', sa.Integer(), server_default=sa.text('0'), nullable=False),
        sa.Column('metrics', sa.Text(), nullable=True),
        sa.Column('error', sa.Text(), nullable=True),
        sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
        sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('run_id', sa.Text(), nullable=True),
        sa.Column('model_name', sa.Text(), nullable=True),
        sa.Column('model_version', sa.Text(), nullable=True),
        sa.Column('published_at', sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state in ('waiting', 'running', 'complete', 'failed', 'cancelled')", name=op.f('ck_finals_state')),
        sa.CheckConstraint("(finished_at is not null) = (state in ('complete', 'failed', 'cancelled'))", name=op.f('ck_finals_finished_at')),
        sa.CheckConstraint("(metrics is not null) = (state = 'complete')", name=op.f('ck_finals_metrics')),
        sa.ForeignKeyConstraint(['study_id'], ['tuner.studies.id'], name=op.f('fk_finals_study_id'), ondelete='CASCADE'),
        sa.ForeignKeyConstraint(['trial_id'], ['tuner.trials.id'], name=op.f('fk_finals_trial_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_finals')),
        sa.UniqueConstraint('study_id', 'number', name=op.f('uq_finals_study_id_number')),
        schema='tuner',
    )
    op.create_index('ix_finals_trial_id', 'finals', ['trial_id'], schema='tuner')
    op.create_index('ix_finals_one_open', 'finals', ['study_id'], unique=True, schema='tuner', postgresql_where=sa.text("state in ('waiting', 'running')"))
    op.create_index('ix_finals_unpublished', 'finals', ['study_id'], schema='tuner', postgresql_where=sa.text("published_at is null and state in ('complete', 'failed')"))
    op.alter_column('attempts', 'trial_id', nullable=True, schema='tuner')
    op.add_column('attempts', sa.Column('final_id', sa.BigInteger(), nullable=True), schema='tuner')
    op.create_foreign_key(op.f('fk_attempts_final_id'), 'attempts', 'finals', ['final_id'], ['id'], source_schema='tuner', referent_schema='tuner', ondelete='CASCADE')
    op.create_unique_constraint(op.f('uq_attempts_final_id_number'), 'attempts', ['final_id', 'number'], schema='tuner')
    op.create_check_constraint(op.f('ck_attempts_of_one'), 'attempts', '(trial_id is null) <> (final_id is null)', schema='tuner')
    op.create_index('ix_attempts_one_live_final', 'attempts', ['final_id'], unique=True, schema='tuner', postgresql_where=sa.text("state = 'running'"))
    op.create_index('ix_attempts_one_final_result', 'attempts', ['final_id'], unique=True, schema='tuner', postgresql_where=sa.text("state = 'succeeded'"))
    op.drop_index('ix_studies_claimable', 'studies', schema='tuner')
    op.create_index('ix_studies_claimable', 'studies', ['priority'], schema='tuner', postgresql_where=sa.text("state in ('queued', 'running', 'finalizing')"))


def downgrade() -> None:
    op.drop_index('ix_studies_claimable', 'studies', schema='tuner')
    op.create_index('ix_studies_claimable', 'studies', ['priority'], schema='tuner', postgresql_where=sa.text("state in ('queued', 'running')"))
    op.execute("update tuner.studies s set state = 'completed', ended_at = now() where state = 'finalizing' and exists (select 1 from tuner.finals f where f.study_id = s.id and f.state in ('waiting', 'running'))")
    op.execute('delete from tuner.attempts where trial_id is null')
    op.drop_index('ix_attempts_one_final_result', 'attempts', schema='tuner')
    op.drop_index('ix_attempts_one_live_final', 'attempts', schema='tuner')
    op.drop_constraint(op.f('ck_attempts_of_one'), 'attempts', schema='tuner')
    op.drop_constraint(op.f('uq_attempts_final_id_number'), 'attempts', schema='tuner')
    op.drop_constraint(op.f('fk_attempts_final_id'), 'attempts', schema='tuner')
    op.drop_column('attempts', 'final_id', schema='tuner')
    op.alter_column('attempts', 'trial_id', nullable=False, schema='tuner')
    op.drop_table('finals', schema='tuner')
