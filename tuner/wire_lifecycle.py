"""The REST bodies of a study's lifecycle: extend, change, retry.

Owns what goes over the wire there.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StrictInt, model_validator

from tuner.wire import Answer, Body, StudyOut

HEARTBEAT_S = 2.5  # at most this late does whoever runs a trial learn that its study was paused or cancelled


class ExtendBody(Body):
    """What is added to a study's budget, not what it should be."""

    trials: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = Field(default=None, description="So many more.")
    hours: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] | None = Field(
        default=None, description="So many more; from now on, where they were used up."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.trials is None and self.hours is None:
            raise ValueError("say by how many trials, hours or both")
        return self


class ChangeBody(Body):
    """What changes at once; what is left out stays."""

    priority: Annotated[StrictInt, Field(ge=-1_000, le=1_000)] = Field(
        default=0, description="Studies with a higher one are served first."
    )
    max_parallel: Annotated[StrictInt, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="Trials at once; null: as many as there are slots. More that run already finish."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("say what to change: priority, max_parallel or both")
        return self


class RetryBody(Body):
    trials: (
        Annotated[list[Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=1_000)] | None
    ) = Field(default=None, description="Numbers of failed trials; left out: all that were not tried again yet.")


class Retried(Answer):
    """The study, and the numbers of the trials that try others again (`retry_of`)."""

    study: StudyOut
    numbers: list[int]
