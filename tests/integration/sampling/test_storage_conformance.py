"""Optuna's own suite for storages, on ours and a real PostgreSQL."""

from __future__ import annotations

import pytest
from optuna.testing.pytest_storages import StorageTestCase
from sqlalchemy import Engine, text

from tuner.sampling.storage import TunerStorage
from tuner.store.database import transaction


class TestTunerStorage(StorageTestCase):
    @pytest.fixture
    def storage(self, engine: Engine) -> TunerStorage:
        with transaction(engine) as connection:
            connection.execute(text("truncate tuner.studies cascade"))
        return TunerStorage(engine)
