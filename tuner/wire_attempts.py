"""The REST bodies between the control plane and whoever runs trials: claims, reports, results.

Owns what goes over the wire there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StrictInt, StrictStr

from tuner.domain.ends import Memory
from tuner.domain.space import Scalar
from tuner.domain.spec import MetricName
from tuner.wire import Answer, Body, Finite, Step, Token
from tuner.wire_checkpoints import CheckpointOut

MAX_METRICS = 1_000  # in one report
MAX_REPORTS = 1_000  # in one request
MAX_LOG_TEXT = 65_536  # characters, in one request
MAX_WAIT_S = 30.0

PROTOCOL = 2
"""What a worker of this version understands of a claim.

1: trials whose rows are split anywhere, which is all that a worker knows that says nothing. 2: also final fits (`is_final`),
and splits by the column `group` or `time`; who does not know these would train and judge by other rows, and nobody would see it.
"""

Metrics = Annotated[dict[MetricName, Finite], Field(max_length=MAX_METRICS)]
LongText = Annotated[StrictStr, Field(max_length=100_000)]
Fold = Annotated[StrictInt, Field(ge=0, le=10_000)]


class ClaimBody(Body):
    """A worker asks for trials to run; the same `request_id` again gets the same answer."""

    request_id: Token
    worker_id: Token
    slots: Annotated[StrictInt, Field(ge=1, le=64)] = 1
    trainers: Annotated[list[Token], Field(max_length=200)] = Field(
        default=[], description="name@version, those it has."
    )
    protocol: Annotated[StrictInt, Field(ge=1, le=1_000)] = Field(
        default=1,
        description="What it understands: 2 is final fits and splits by group or time; whoever says 1 is given none of these.",
    )
    study_id: Annotated[StrictInt, Field(ge=1, le=2**62)] | None = Field(
        default=None, description="Only this study; how a loop of your own asks."
    )
    wait_s: Annotated[float, Field(ge=0, le=MAX_WAIT_S, allow_inf_nan=False)] = 0.0


class ClaimedAttempt(Answer):
    """Everything a worker needs to run one trial, or a study's final fit."""

    attempt_id: UUID
    study_id: int
    study: str
    trial: int
    is_final: bool = Field(
        default=False,
        description="The final fit of this trial's configuration: learn from all rows but the test part's, and score there.",
    )
    threshold: float | None = Field(
        default=None, description="For a final fit: from which probability on its trial's model takes the second class."
    )
    params: dict[str, Scalar]
    fixed: dict[str, Scalar]
    trainer: str
    dataset: str | None
    dataset_digest: str | None
    dataset_files: str | None = Field(
        default=None, description="Digest of an uploaded data set's files, under which they are cached; null: built in."
    )
    task: str | None
    objectives: list[dict[str, str]] = Field(description="metric and direction of each.")
    validation: float
    test: float
    folds: int
    repeats: int
    split_seed: int
    group: str | None = Field(default=None, description="The column whose groups stay together in every split.")
    time: str | None = Field(default=None, description="The column by whose times rows are split.")
    seed: int = Field(description="Of weights, batches and augmentation; a hash of the study's seed and the number.")
    lease_s: float
    trial_minutes: float | None
    no_progress_minutes: float | None
    halvings: int = Field(
        default=0, description="How often to halve the rows of a batch that are in memory at once, from the start."
    )
    profile: bool = Field(default=False, description="Whether to look which operators take the time.")
    checkpoints: list[CheckpointOut] = Field(
        default=[],
        description="What earlier attempts saved, newest first; if none can be used, begin at the beginning.",
    )


class Claims(Answer):
    attempts: list[ClaimedAttempt]


class ReportBody(Body):
    fold: Fold = 0
    step: Step = Field(description="Epochs finished, from 1; 0 is the result of a whole fold.")
    metrics: Metrics
    age_s: Annotated[float, Field(ge=0, le=10**7, allow_inf_nan=False)] = Field(
        default=0.0, description="How long ago it happened; so a worker's clock does not matter."
    )


class LogBody(Body):
    """What a trial has printed, from a byte of its log on."""

    position: Annotated[StrictInt, Field(ge=0, le=2**40)] = Field(description="Bytes of UTF-8 before it.")
    text: Annotated[StrictStr, Field(max_length=MAX_LOG_TEXT, pattern=r"^[^\x00]*$")]


class ReportsBody(Body):
    reports: Annotated[list[ReportBody], Field(max_length=MAX_REPORTS)] = Field(
        default=[], description="Empty: a heartbeat."
    )
    log: LogBody | None = None


class Decision(Answer):
    """What the worker should do next, and how long its lease now is.

    `prune`: hand the trial in as pruned. `pause`: keep what is needed to go on, and give the trial back (`release`).
    """

    decision: Literal["continue", "prune", "pause"]
    lease_s: float
    log_bytes: int | None = Field(
        default=None, description="Where a log was sent: how much of it is stored; send what comes after that."
    )


class CompleteBody(Body):
    state: Literal["complete", "pruned"] = "complete"
    metrics: Metrics
    best_step: Step | None = None
    memory: Memory | None = Field(default=None, description="Memory ran out, and it went on with smaller pieces.")


class FailBody(Body):
    reason: Literal[
        "trainer-error", "non-finite", "out-of-memory", "device-fatal", "child-died", "timeout", "no-progress"
    ]
    error: LongText = ""
    step: Step | None = None
    metric: Annotated[StrictStr, Field(max_length=200)] | None = None
    memory: Memory | None = Field(default=None, description="out-of-memory: where, how much, and what was tried.")


class TrialEnded(Answer):
    study_id: int
    trial: int
    state: str


class OptunaCall(Body):
    """A call of a method of Optuna's storage."""

    holder: Token = Field(description="Of the script's process: it holds the leases of its trials.")
    request_id: Token = Field(description="Chosen anew for each call; the same when it is sent again.")
    arguments: Annotated[dict[StrictStr, Any], Field(max_length=10)]
