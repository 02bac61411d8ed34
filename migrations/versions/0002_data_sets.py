"""data sets of one's own, and which study uses which"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table('datasets',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('folder', sa.Uuid(), nullable=False),
    sa.Column('files_digest', sa.Text(), nullable=False),
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('about', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint('version >= 1', name=op.f('ck_datasets_version')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_datasets')),
    sa.UniqueConstraint('folder', name=op.f('uq_datasets_folder')),
    sa.UniqueConstraint('name', 'files_digest', name=op.f('uq_datasets_name_files_digest')),
    sa.UniqueConstraint('name', 'version', name=op.f('uq_datasets_name_version')),
    schema='tuner'
    )
    op.add_column('studies', sa.Column('dataset_id', sa.BigInteger(), nullable=True), schema='tuner')
    op.create_foreign_key(
        op.f('fk_studies_dataset_id'), 'studies', 'datasets', ['dataset_id'], ['id'],
        source_schema='tuner', referent_schema='tuner',
    )
    op.create_index('ix_studies_dataset_id', 'studies', ['dataset_id'], schema='tuner')


def downgrade() -> None:
    op.drop_index('ix_studies_dataset_id', table_name='studies', schema='tuner')
    op.drop_constraint(op.f('fk_studies_dataset_id'), 'studies', schema='tuner', type_='foreignkey')
    op.drop_column('studies', 'dataset_id', schema='tuner')
    op.drop_table('datasets', schema='tuner')
