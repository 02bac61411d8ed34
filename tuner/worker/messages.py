"""What agent and child say to each other: one JSON object a line over the child's stdin and stdout.

Owns the message types; both sides import this and nothing else of each other.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from tuner.domain.ends import Memory
from tuner.wire_attempts import ClaimedAttempt


class Run(BaseModel):
    """Agent to child: train this; write its files into `folder`, which exists and is empty.

    `data_folder` holds the data set, if it was uploaded; the child itself knows no network. Training goes on from the
    file `checkpoint`, if there is one; new ones are written into `checkpoint_folder`.
    """

    type: Literal["run"] = "run"
    attempt: ClaimedAttempt
    folder: str
    data_folder: str | None = None
    checkpoint: str | None = None
    checkpoint_folder: str | None = None


class Decide(BaseModel):
    """Agent to child: end the running trial at its next report; with a last checkpoint where it is to go on elsewhere."""

    type: Literal["decide"] = "decide"
    decision: Literal["prune", "stop"]
    checkpoint: bool = False


class Ready(BaseModel):
    """Child to agent: imports are done."""

    type: Literal["ready"] = "ready"


class Reported(BaseModel):
    """Child to agent: an epoch, or with step 0 a fold, has ended; `at_s` is the machine's monotonic clock."""

    type: Literal["reported"] = "reported"
    fold: int
    step: int
    metrics: dict[str, float]
    at_s: float


class Resumed(BaseModel):
    """Child to agent: the training goes on after this epoch, which an earlier attempt saved."""

    type: Literal["resumed"] = "resumed"
    fold: int
    step: int


class Saved(BaseModel):
    """Child to agent: the state after this epoch, which was reported before, is on the disk.

    The child removes the file once there are two newer ones.
    """

    type: Literal["saved"] = "saved"
    fold: int
    step: int
    file: str
    sha256: str


class Done(BaseModel):
    """Child to agent: the trial has its result, and its files lie in the folder."""

    type: Literal["done"] = "done"
    state: Literal["complete", "pruned"]
    metrics: dict[str, float]
    best_step: int | None
    memory: Memory | None = None


class Failed(BaseModel):
    """Child to agent: the trial raised. The child goes on unless it says that it is broken."""

    type: Literal["failed"] = "failed"
    reason: Literal["trainer-error", "non-finite", "out-of-memory", "device-fatal"]
    error: str
    step: int | None = None
    metric: str | None = None
    memory: Memory | None = None
    broken: bool = False


class Stopped(BaseModel):
    """Child to agent: the trial was stopped as asked; nothing is kept of it but checkpoints."""

    type: Literal["stopped"] = "stopped"


ToChild = TypeAdapter[Run | Decide](Annotated[Run | Decide, Field(discriminator="type")])
Outcome = Done | Failed | Stopped
Told = Ready | Reported | Resumed | Saved | Outcome
FromChild = TypeAdapter[Told](Annotated[Told, Field(discriminator="type")])
