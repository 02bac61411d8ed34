"""The REST bodies about checkpoints: what a claimed attempt may go on from, and that it does."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt

SHA256 = r"^[0-9a-f]{64}$"


class CheckpointOut(BaseModel):
    """The state of a trial after an epoch, saved by an earlier attempt."""

    model_config = ConfigDict(from_attributes=True)

    fold: int
    step: int = Field(description="Epochs finished in this fold.")
    sha256: str = Field(description="Of the file, and its name.")
    size_bytes: int


class ResumedBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    step: Annotated[StrictInt, Field(ge=0, le=10_000_000)] = Field(
        description="The epoch after which the attempt goes on."
    )
