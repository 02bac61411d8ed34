"""The study as submitted: shape, ranges and the rules that need no catalog and no data set.

Owns the body of `POST /studies`. `tuner.resolve` fills what was left out and checks it against trainer and data.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, model_validator

from tuner.domain.search import NonePrunerSpec, PrunerSpec, SamplerSpec, TpeSpec
from tuner.domain.space import MAX_PARAMETERS, ParameterName, Scalar, SearchSpace, Text, condition_order

EXTERNAL = "external"
MAX_TRIALS = 100_000
MIN_FAILURES = 10  # the default of budget.max_failures, for studies of up to 100 trials
RESOURCE_METRICS = ("parameters", "model_bytes", "latency_ms", "train_s")  # all to be minimised

Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
MetricName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_./\-]{0,99}$")]
Label = Annotated[StrictStr, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
StudyName = Annotated[
    StrictStr,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f-\x9f/]*[^\x00-\x1f\x7f-\x9f/0-9][^\x00-\x1f\x7f-\x9f/]*$",
        description="Unique; no slash, no control characters, not a number alone.",
    ),
]
ColumnName = Annotated[StrictStr, Field(min_length=1, max_length=1_000, pattern=r"^[^\x00]*$")]
Params = Annotated[dict[ParameterName, Scalar], Field(max_length=MAX_PARAMETERS)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Objective(_Part):
    metric: MetricName
    direction: Literal["minimize", "maximize"] | None = Field(
        default=None, description="Left out: the metric's own; needed for an external study."
    )


class Constraint(_Part):
    """A bound that the best trial must keep."""

    metric: MetricName
    max: Finite | None = None
    min: Finite | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.max is None) == (self.min is None):
            raise ValueError("a constraint needs exactly one of max and min")
        return self


class Budget(_Part):
    trials: Annotated[StrictInt, Field(ge=1, le=MAX_TRIALS)] | None = None
    hours: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] | None = Field(
        default=None, description="Wall time since the first claim, pauses excluded."
    )
    max_parallel: Annotated[StrictInt, Field(ge=1, le=10_000)] | None = None
    max_failures: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = Field(
        default=MIN_FAILURES,
        description="The study fails with its n-th failed trial; null: never. Left out: 10, or a tenth of `trials`.",
    )
    target: Finite | None = Field(default=None, description="Stop once the first objective is at least as good.")
    no_improvement: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Stop after this many finished trials without a better best."
    )

    @model_validator(mode="before")
    @classmethod
    def _failures_by_size(cls, given: Any) -> Any:
        """A large study may lose more trials to what is rare; one that only fails still stops early."""
        if not isinstance(given, dict) or "max_failures" in given or not isinstance(given.get("trials"), int):
            return given
        return {**given, "max_failures": max(MIN_FAILURES, min(given["trials"], MAX_TRIALS) // 10)}

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.trials is None and self.hours is None:
            raise ValueError("say how long to search: trials, hours or both")
        return self


class Limits(_Part):
    lease_s: Annotated[float, Field(ge=1, le=3600, allow_inf_nan=False)] = 30
    max_attempts: Annotated[StrictInt, Field(ge=1, le=100)] = 3
    trial_minutes: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] | None = 60
    no_progress_minutes: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] | None = 10


class Evaluation(_Part):
    validation: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.2
    test: Fraction = 0.2
    folds: Annotated[StrictInt, Field(ge=1, le=50)] = 1
    repeats: Annotated[StrictInt, Field(ge=1, le=50)] = 1
    seed: Annotated[StrictInt, Field(ge=0, le=2**31 - 1)] = 0
    group: ColumnName | None = Field(
        default=None, description="A column: rows with one value of it are on one side of every split."
    )
    time: ColumnName | None = Field(
        default=None, description="A column of dates or numbers: validation comes after training, the test part last."
    )

    @model_validator(mode="after")
    def _one_column(self) -> Self:
        if self.group is not None and self.time is not None:
            raise ValueError("rows are split by group or by time, not by both: leave one out")
        return self

    @model_validator(mode="after")
    def _rows_left(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave nothing to train on: lower one")
        return self

    @property
    def rounds(self) -> int:
        """How often one trial trains: once for every fold of every repeat."""
        return self.folds * self.repeats

    @property
    def by(self) -> Literal["group", "time"] | None:
        """What kind of column the rows are split by; None: by none."""
        return "group" if self.group is not None else "time" if self.time is not None else None


class StudySpec(_Part):
    """A study as a user writes it. `name`, and `dataset` with one of `budget.trials` and `budget.hours`, are enough."""

    name: StudyName
    dataset: Label | None = None
    trainer: Label | None = Field(default=None, description="Left out: chosen by the data set's kind.")
    objectives: Annotated[list[Objective], Field(min_length=1, max_length=8)] | None = None
    constraints: Annotated[list[Constraint], Field(max_length=20)] = []
    search_space: SearchSpace | None = Field(default=None, description="Left out: the trainer's default.")
    fixed: Params = {}
    sampler: SamplerSpec = TpeSpec()
    pruner: PrunerSpec = NonePrunerSpec()
    budget: Budget
    limits: Limits = Limits()
    evaluation: Evaluation = Evaluation()
    enqueue: Annotated[list[Params], Field(max_length=1_000)] | None = Field(
        default=None, description="Points to try first; left out: the trainer's defaults are trial 0."
    )
    finalize: StrictBool | None = Field(
        default=None,
        description="Whether the best configuration is fitted again on training and validation part together, scored once "
        "on the test part, and registered. Left out: wherever there is a test part and our workers train.",
    )
    profile: StrictBool = Field(
        default=False, description="Profile the first trial that completes, with torch's profiler."
    )
    priority: Annotated[StrictInt, Field(ge=-1_000, le=1_000)] = 0
    tags: Annotated[dict[Label, Text], Field(max_length=50)] = {}
    notes: Annotated[StrictStr, Field(max_length=20_000, pattern=r"^[^\x00]*$")] = ""

    @model_validator(mode="after")
    def _conditions_hold(self) -> Self:
        if self.search_space is not None:
            condition_order(self.search_space)
        return self

    @model_validator(mode="after")
    def _objectives_distinct(self) -> Self:
        metrics = [objective.metric for objective in self.objectives or []]
        if len(set(metrics)) < len(metrics):
            raise ValueError("two objectives have the same metric: remove one")
        return self

    @model_validator(mode="after")
    def _fixed_or_searched(self) -> Self:
        both = sorted(set(self.fixed) & set(self.search_space or {}))
        if both:
            raise ValueError(f"{', '.join(both)}: either fixed or in the search space, not both")
        return self

    @property
    def is_external(self) -> bool:
        return self.trainer == EXTERNAL


def metric_key(metric: str, *, external: bool) -> str:
    """The name under which a report or a result carries an objective's or a constraint's metric.

    Validation metrics are reported as `val/<metric>`; resources, and whatever an external loop reports, by their own name.
    """
    return metric if external or metric in RESOURCE_METRICS else f"val/{metric}"
