"""Studies, trials, attempts and reports written straight into our tables, as the use cases would have written them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from tuner.store.database import transaction
from tuner.store.tables import artifacts, attempts, finals, reports, studies, trials

EPOCH = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32
DATASET = {
    "name": "breast_cancer",
    "digest": DIGEST,
    "rows": 569,
    "features": 30,
    "columns": {"mean radius": "number", "grade": "category"},
    "classes": ["malignant", "benign"],
}


class Rows:
    """Writes what the use cases would have written."""

    def __init__(self, engine: Engine, store: Path) -> None:
        self.engine = engine
        self.store = store

    def study(self, *, name: str | None = None, state: str = "running", **spec: Any) -> int:
        written = {
            "name": name or f"study-{uuid.uuid4().hex[:8]}",
            "dataset": "breast_cancer",
            "trainer": "tabular-mlp",
            "objectives": [{"metric": "roc_auc", "direction": "maximize"}],
            "search_space": {"learning_rate": {"type": "float", "low": 1e-4, "high": 0.1, "log": True}},
            "fixed": {"epochs": 3, "optimizer": "adamw"},
            "budget": {"trials": 100},
            **spec,
        }
        values = {
            "name": written["name"],
            "spec": json.dumps(written),
            "facts": json.dumps({"task": "classification", "dataset": DATASET}),
            "trainer": f"{written['trainer']}@1",
            "directions": [objective["direction"] for objective in written["objectives"]],
            "state": state,
            "n_created": 100,
            "started_at": EPOCH,
        }
        with transaction(self.engine) as connection:
            made = connection.execute(insert(studies).values(values).returning(studies.c.id))
            return int(made.scalar_one())

    def trial(self, study_id: int, number: int, *, state: str = "running", **values: Any) -> int:
        """A trial with one attempt, both running."""
        row = {
            "study_id": study_id,
            "number": number,
            "state": state,
            "params": json.dumps({"learning_rate": 0.01 * (number + 1)}),
            "created_at": EPOCH + timedelta(seconds=number),
            "started_at": EPOCH + timedelta(seconds=number),
            **values,
        }
        with transaction(self.engine) as connection:
            trial_id = int(connection.execute(insert(trials).values(row).returning(trials.c.id)).scalar_one())
            attempt = {
                "id": uuid.uuid4(),
                "trial_id": trial_id,
                "number": 1,
                "state": "running",
                "worker_id": "worker-1",
                "request_id": f"r{trial_id}",
                "lease_s": 30,
                "lease_until": EPOCH + timedelta(days=3650),
            }
            connection.execute(insert(attempts).values(attempt))
        return trial_id

    def report(self, trial_id: int, step: int, metrics: Mapping[str, float], **more: Any) -> None:
        self.reports(trial_id, [(step, metrics)], **more)

    def reports(
        self,
        trial_id: int,
        made: Sequence[tuple[int, Mapping[str, float]]],
        *,
        fold: int = 0,
        at: datetime | None = None,
    ) -> None:
        values = [
            {
                "trial_id": trial_id,
                "fold": fold,
                "step": step,
                "metrics": json.dumps(metrics),
                "reported_at": at or EPOCH + timedelta(seconds=60 * fold + step),
            }
            for step, metrics in made
        ]
        with transaction(self.engine) as connection:
            connection.execute(insert(reports), values)

    def upload(self, trial_id: int, files: Mapping[str, bytes]) -> uuid.UUID:
        """Files of the trial's attempt."""
        with transaction(self.engine) as connection:
            attempt_id = connection.execute(select(attempts.c.id).where(attempts.c.trial_id == trial_id)).scalar_one()
            self._store(connection, attempt_id, files)
        return attempt_id  # type: ignore[no-any-return]

    def _store(self, connection: Connection, attempt_id: uuid.UUID, files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            file = self.store / "attempts" / str(attempt_id) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            row = {"attempt_id": attempt_id, "path": path, "size_bytes": len(data), "sha256": "0" * 64}
            connection.execute(insert(artifacts).values(row))

    def finish(
        self,
        trial_id: int,
        state: str = "complete",
        *,
        metrics: Mapping[str, float] | None = None,
        values: Sequence[float] | None = None,
        **more: Any,
    ) -> None:
        """Ends the trial and its attempt, and notes the study's best."""
        ended = EPOCH + timedelta(minutes=10)
        accepted = "succeeded" if state in {"complete", "pruned"} else "failed"
        with transaction(self.engine) as connection:
            study_id = connection.execute(select(trials.c.study_id).where(trials.c.id == trial_id)).scalar_one()
            seq = connection.execute(
                update(studies)
                .where(studies.c.id == study_id)
                .values({"finish_seq": studies.c.finish_seq + 1, f"n_{state}": studies.c[f"n_{state}"] + 1})
                .returning(studies.c.finish_seq)
            ).scalar_one()
            row = {
                "state": state,
                "end_reason": state,
                "metrics": None if metrics is None else json.dumps(metrics),
                "objective_values": values,
                "finished_at": ended,
                "finish_seq": seq,
                **more,
            }
            connection.execute(update(trials).where(trials.c.id == trial_id).values(row))
            end = {"state": accepted, "ended_at": ended}
            connection.execute(update(attempts).where(attempts.c.trial_id == trial_id).values(end))
            if values is not None:
                better = studies.c.best_value.is_(None) | (studies.c.best_value < values[0])
                number = select(trials.c.number).where(trials.c.id == trial_id).scalar_subquery()
                best = {"best_number": number, "best_value": values[0], "best_finish_seq": seq}
                connection.execute(update(studies).where(studies.c.id == study_id, better).values(best))

    def final(
        self, trial_id: int, *, state: str = "complete", files: Mapping[str, bytes], metrics: Mapping[str, float] | None
    ) -> int:
        """A final fit of the trial's configuration that has ended, with its one attempt's files."""
        with transaction(self.engine) as connection:
            study_id = connection.execute(select(trials.c.study_id).where(trials.c.id == trial_id)).scalar_one()
            row = {
                "study_id": study_id,
                "number": 1,
                "trial_id": trial_id,
                "epochs": 2,
                "state": state,
                "metrics": None if metrics is None else json.dumps(metrics),
                "error": None if metrics else "trainer-error: it broke",
                "created_at": EPOCH + timedelta(minutes=20),
                "finished_at": EPOCH + timedelta(minutes=30),
            }
            final_id = int(connection.execute(insert(finals).values(row).returning(finals.c.id)).scalar_one())
            attempt_id = uuid.uuid4()
            attempt = {
                "id": attempt_id,
                "final_id": final_id,
                "number": 1,
                "state": "succeeded" if metrics else "failed",
                "worker_id": "worker-1",
                "request_id": f"f{final_id}",
                "lease_s": 30,
                "lease_until": EPOCH + timedelta(days=3650),
                "ended_at": EPOCH + timedelta(minutes=30),
            }
            connection.execute(insert(attempts).values(attempt))
            self._store(connection, attempt_id, files)
        return final_id

    def end(self, study_id: int, state: str = "completed", reason: str = "trials") -> None:
        row = {"state": state, "end_reason": reason, "ended_at": EPOCH + timedelta(hours=1)}
        with transaction(self.engine) as connection:
            connection.execute(update(studies).where(studies.c.id == study_id).values(row))

    def get(self, table: Any, row_id: Any) -> Any:
        with transaction(self.engine) as connection:
            return connection.execute(select(table).where(table.c.id == row_id)).one()

    def set(self, table: Any, row_id: Any, **values: Any) -> None:
        with transaction(self.engine) as connection:
            connection.execute(update(table).where(table.c.id == row_id).values(values))
