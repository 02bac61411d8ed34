"""The REST bodies, shared by the API and its clients; the study itself is `tuner.domain.spec.StudySpec`.

Owns what goes over the wire. Times are RFC 3339 in UTC, durations carry their unit, numbers are finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, StrictStr

from tuner.domain.ends import EndDetail
from tuner.domain.space import Scalar
from tuner.domain.spec import Label, Params, StudySpec

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Token = Annotated[StrictStr, Field(min_length=1, max_length=100, pattern=r"^[\x21-\x7e]+$")]
Step = Annotated[StrictInt, Field(ge=0, le=10_000_000)]

API = "/api/v1"
"""Where every route of ours begins."""


class Body(BaseModel):
    """A request: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


Item = TypeVar("Item")


class Page(Answer, Generic[Item]):
    """A piece of a list; `next_cursor` asks for the next, None: there is no more."""

    items: list[Item]
    next_cursor: str | None


# ---- studies ---------------------------------------------------------------------------------------------------------


class Progress(Answer):
    """Numbers of trials. `finished` counts complete, pruned, failed and cancelled ones."""

    budget: int | None
    created: int
    waiting: int
    running: int
    complete: int
    pruned: int
    failed: int
    cancelled: int
    finished: int
    budget_hours: float | None = Field(default=None, description="With extensions.")
    elapsed_s: float | None = Field(
        description="Since the first claim, until the end or now; without pauses and the final fit."
    )
    remaining_s: float | None = Field(description="Estimated from the rate so far; null before the first trial ends.")


class Best(Answer):
    number: int
    value: float
    metric: str
    direction: Literal["minimize", "maximize"]


class Score(Answer):
    """A metric on the test part, with the ends of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class FinalOut(Answer):
    """The final fit: the best configuration on training and validation part together, scored once on the test part."""

    number: int = Field(description="How many there have been: each has read the test part once.")
    state: str = Field(description="waiting, running, complete, failed or cancelled.")
    trial: int = Field(description="Whose configuration it is.")
    epochs: int | None = Field(description="Trained: the trial's best number; null: the trainer has no such thing.")
    metrics: dict[str, Score] | None = Field(description="On the test part, by bare names; null until complete.")
    baseline: dict[str, float] | None = Field(
        description="What the trivial answer scores there: the majority, mean or most popular learnt, or the last value."
    )
    model: str | None = Field(description="Its name in MLflow's registry; null until MLflow shows it.")
    model_version: str | None
    model_uri: str | None = Field(description="MLflow's, of the champion.")
    reason: str | None = Field(description="Why it failed.")
    created_at: datetime
    finished_at: datetime | None


class StudyOut(Answer):
    id: int
    name: str
    state: str
    end_reason: str | None
    priority: int = Field(default=0, description="As it is now; the spec has what was submitted.")
    max_parallel: int | None = Field(default=None, description="As it is now; null: as many as there are slots.")
    progress: Progress
    best: Best | None = Field(description="One objective: the best complete trial that keeps the constraints.")
    final: FinalOut | None = Field(default=None, description="The newest; null: none was made yet.")
    spec: StudySpec
    facts: dict[str, Any] = Field(description="What resolving found: data set, task, split sizes, trainer's version.")
    tracking: Literal["idle", "behind"] = Field(description="behind: MLflow does not show everything yet.")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    links: dict[str, str]


class StudyPage(Page[StudyOut]):
    pass


class ResolvedStudy(Answer):
    """What a dry run answers: the study as it would be stored."""

    spec: StudySpec
    facts: dict[str, Any]
    estimate_s: float | None = Field(
        description="From like trials that ended here and the slots there are now; null without either."
    )


class HistoryTrial(Answer):
    """A finished trial as it travels between studies and services."""

    number: int
    state: str
    params: dict[str, Scalar]
    distributions: dict[str, Any] = Field(default={}, description="Optuna's JSON of each parameter's distribution.")
    values: list[float] | None = None
    intermediate_values: list[tuple[int, float | None]] = []
    started_at: datetime | None = None
    finished_at: datetime | None = None


class HistoryPage(Page[HistoryTrial]):
    pass


class HistoryTrialBody(Body):
    """One trial of a study's history; what else it may carry is ignored."""

    model_config = ConfigDict(extra="ignore")

    state: Annotated[StrictStr, Field(max_length=20)]
    params: Params
    values: Annotated[list[Finite], Field(max_length=8)] | None = None
    intermediate_values: Annotated[list[tuple[Step, Finite]], Field(max_length=100_000)] = []
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None


class ImportBody(Body):
    """A study that starts with the history of another; its budget counts new trials alone."""

    spec: StudySpec
    history: Annotated[list[HistoryTrialBody], Field(min_length=1, max_length=10_000)]


class Imported(Answer):
    study: StudyOut
    imported: int
    skipped: int = Field(description="Trials that were not complete or pruned, or lie outside the search space.")


class EnqueueBody(Body):
    points: Annotated[list[Params], Field(min_length=1, max_length=1_000)]


class Enqueued(Answer):
    numbers: list[int]


# ---- trials ----------------------------------------------------------------------------------------------------------


class EndOut(EndDetail):
    """Why a trial or an attempt ended: the reason, a line for people, and the facts of its kind."""

    model_config = ConfigDict(extra="ignore")  # a client takes what a newer service tells

    reason: str
    text: str


class AttemptOut(Answer):
    id: UUID
    number: int
    state: str
    worker_id: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    end: EndOut | None = None
    error: str | None
    resumed_from_step: int | None = Field(default=None, description="The epoch whose checkpoint it went on from.")


class TrialOut(Answer):
    number: int
    state: str
    end_reason: str | None
    end: EndOut | None = Field(default=None, description="Null until it has ended.")
    params: dict[str, Scalar]
    values: list[float] | None
    metrics: dict[str, float] | None
    best_step: int | None
    retry_of: int | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    model_uri: str | None = Field(description="MLflow's, of its model; null until MLflow shows it, or if it has none.")
    links: dict[str, str]


class TrialDetail(TrialOut):
    distributions: dict[str, Any]
    attempts: list[AttemptOut]
    run_id: str | None = Field(default=None, description="MLflow's; null until MLflow shows the trial.")


class TrialPage(Page[TrialOut]):
    pass


class BestTrials(Answer):
    """The best trial, or for several objectives the Pareto front, with its parameters and metrics."""

    items: list[TrialOut]


class ReportOut(Answer):
    fold: int
    step: int
    value: float | None
    metrics: dict[str, float]
    reported_at: datetime


class ReportList(Page[ReportOut]):
    next_cursor: str | None = None


class LogPiece(Answer):
    """A piece of what one attempt at a trial printed: the body of the answer, and these as its headers."""

    text: bytes
    next: int = Field(description="Bytes of the log up to the end of this piece: `after` of the next request.")
    attempt: int | None = Field(description="Which attempt this is of; none: the trial has had none.")
    ended: bool = Field(description="Nothing will follow of this attempt.")

    def headers(self) -> dict[str, str]:
        number = "" if self.attempt is None else str(self.attempt)
        return {"Log-Next": str(self.next), "Log-Attempt": number, "Log-Ended": str(self.ended).lower()}

    @classmethod
    def of_headers(cls, text: bytes, headers: Mapping[str, str]) -> Self:
        attempt = headers["Log-Attempt"]
        ended = headers["Log-Ended"] == "true"
        return cls(text=text, next=int(headers["Log-Next"]), attempt=int(attempt) if attempt else None, ended=ended)

    @classmethod
    def describe_headers(cls) -> dict[str, Any]:
        """For the OpenAPI document."""
        return {
            f"Log-{name.title()}": {"schema": {"type": "string"}, "description": cls.model_fields[name].description}
            for name in ("next", "attempt", "ended")
        }


class ArtifactOut(Answer):
    path: str
    size_bytes: int
    sha256: str
    created_at: datetime


class ArtifactList(Answer):
    items: list[ArtifactOut]


class Importances(Answer):
    metric: str
    importances: dict[str, float] = Field(description="Shares of the variance, largest first; they add up to 1.")


# ---- workers and trainers --------------------------------------------------------------------------------------------


class WorkerBody(Body):
    name: Label
    version: Token
    slots: Annotated[StrictInt, Field(ge=1, le=1_000)]
    devices: Annotated[list[Token], Field(max_length=1_000)]
    trainers: Annotated[list[Token], Field(max_length=200)]


class WorkerOut(Answer):
    id: str
    name: str
    version: str
    slots: int
    devices: list[str]
    trainers: list[str]
    busy: int
    alive: bool = Field(description="Heard of within the last minute.")
    started_at: datetime
    seen_at: datetime


class WorkerList(Answer):
    items: list[WorkerOut]


class HyperparameterOut(Answer):
    name: str
    type: str
    default: Scalar
    low: float | None
    high: float | None
    log: bool
    choices: list[Scalar] | None
    doc: str


class TrainerOut(Answer):
    name: str
    version: str
    summary: str
    kinds: list[str]
    tasks: list[str]
    metrics: dict[str, str] = Field(
        default={}, description="Of structured tasks: its own, each with the better direction."
    )
    search_space: dict[str, Any]
    hyperparameters: list[HyperparameterOut]


class TrainerList(Answer):
    items: list[TrainerOut]
    broken: dict[str, str] = Field(default={}, description="Installed, and why they cannot be used.")


# ---- errors ----------------------------------------------------------------------------------------------------------


class ProblemField(Answer):
    pointer: str
    detail: str
    row: int | None = Field(default=None, description="Of an uploaded file; the header is row 1.")
    column: str | None = Field(default=None, description="Of an uploaded file.")


class Problem(Answer):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[ProblemField] = []
