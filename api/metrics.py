"""`/metrics`, for Prometheus: what the database holds at the moment of asking, and how this process has answered.

Owns the names. Each process counts for itself what it answers; what is counted from rows is the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from tuner.domain.states import AttemptState, StudyState, TrialState
from tuner.store import counts
from tuner.store.database import transaction
from tuner.store.workers import ALIVE_S

REPORT_BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

router = APIRouter(tags=["health"])


class Metrics:
    """One process's registry."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(Rows(engine))
        self.claims = Counter(
            "tuner_claims", "Claims answered with trials, and without.", ["answer"], registry=self.registry
        )
        self.report_s = Histogram(
            "tuner_report_seconds",
            "Time to take the reports, or the heartbeat, of one request.",
            buckets=REPORT_BUCKETS_S,
            registry=self.registry,
        )
        for answer in ("trials", "none"):
            self.claims.labels(answer)


class Rows(Collector):
    """What stands in the database, read anew at every scrape."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: so that registering it does not ask the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with transaction(self._engine) as connection:
            now = counts.read(connection, alive_s=ALIVE_S)
        states = {StudyState: now.studies, TrialState: now.trials, AttemptState: now.attempts}
        studies, trials, attempts = (
            {str(state): found.get(state, 0.0) for state in kind} for kind, found in states.items()
        )
        yield _gauge("tuner_studies", "Studies, by state.", "state", studies)
        yield _gauge("tuner_trials", "Trials, by state; waiting ones are the queue.", "state", trials)
        yield _gauge("tuner_attempts", "Attempts, by state; lost: the lease expired.", "state", attempts)
        yield _gauge("tuner_publishing_backlog", "What MLflow does not show yet.", "of", now.backlog)
        yield _gauge("tuner_slots", "Slots of the workers that are there.", "worker", now.slots)
        yield _gauge("tuner_gpu_memory_mb", "Used, as running trials reported it last.", "worker", now.gpu_memory_mb)


def _gauge(name: str, about: str, label: str, numbers: Mapping[str, float]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, about, labels=[label])
    for value, number in numbers.items():
        gauge.add_metric([value], number)
    return gauge


def _of_process(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


MetricsDep = Annotated[Metrics, Depends(_of_process)]


@router.get("/metrics", summary="For Prometheus", response_class=Response)
def metrics(counted: MetricsDep) -> Response:
    """Prometheus' text format; asks for the admin key, as everything does."""
    return Response(generate_latest(counted.registry), media_type=CONTENT_TYPE_LATEST)
