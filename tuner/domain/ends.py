"""How a trial ended, beyond the reason's name: the facts of each kind, and one line for people.

Owns the facts' shape, as it is stored and shown, and the words. Which kinds are tried again is in `tuner.domain.states`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tuner.domain.spec import Limits
from tuner.domain.states import TrialEnd

MAX_TEXT = 300  # characters of the line for people
MAX_BYTES = 2**60

Finite = Annotated[float, Field(allow_inf_nan=False)]
Rows = Annotated[int, Field(ge=1, le=2**31)]


def _absent(value: Any) -> bool:
    return value is None or value is False


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Memory(_Facts):
    """Where memory ran out, and what was done about it."""

    where: Literal["device", "host"]
    peak_bytes: Annotated[int, Field(ge=0, le=MAX_BYTES)] | None = Field(
        default=None,
        exclude_if=_absent,
        description="The most that the training had: allocated there, or resident here.",
    )
    killed: bool = Field(
        default=False, exclude_if=_absent, description="The kernel killed the training process for want of memory."
    )
    batch_size: Rows | None = Field(default=None, exclude_if=_absent, description="Rows of a batch that did not fit.")
    micro_batch: Rows | None = Field(
        default=None,
        exclude_if=_absent,
        description="Most rows at once in the end; the gradients of a batch's pieces were added up.",
    )


class EndDetail(_Facts):
    """The facts of an end; each kind has its own, and what does not apply is left out."""

    step: int | None = Field(default=None, exclude_if=_absent, description="pruned, non-finite: at which it was seen.")
    metric: str | None = Field(default=None, exclude_if=_absent, description="pruned, non-finite: of which.")
    value: Finite | None = Field(
        default=None, exclude_if=_absent, description="pruned: what the pruner judged; left out where it was NaN."
    )
    threshold: Finite | None = Field(default=None, exclude_if=_absent, description="pruned: what the value missed.")
    rule: str | None = Field(default=None, exclude_if=_absent, description="pruned: the pruner's rule, in words.")
    memory: Memory | None = Field(
        default=None, exclude_if=_absent, description="out-of-memory, and trials that fitted in smaller pieces."
    )
    limit_minutes: Finite | None = Field(
        default=None, exclude_if=_absent, description="timeout, no-progress: the limit of the study that was passed."
    )
    worker: str | None = Field(default=None, exclude_if=_absent, description="lost: the worker's name.")
    last_heartbeat: datetime | None = Field(
        default=None,
        exclude_if=_absent,
        description="lost: when the worker was last heard of, by the database's clock.",
    )


def stored(detail: EndDetail) -> str | None:
    """The column's text; None for a detail without facts."""
    text = detail.model_dump_json()
    return None if text == "{}" else text


def read(text: str | None) -> EndDetail:
    return EndDetail() if text is None else EndDetail.model_validate_json(text)


def with_limit(detail: EndDetail, reason: TrialEnd, limits: Limits) -> EndDetail:
    """The facts with the study's limit that was passed, where one was."""
    passed = {TrialEnd.TIMEOUT: limits.trial_minutes, TrialEnd.NO_PROGRESS: limits.no_progress_minutes}
    return detail.model_copy(update={"limit_minutes": passed[reason]}) if reason in passed else detail


# ---- for people ------------------------------------------------------------------------------------------------------


def line(reason: str, detail: EndDetail, error: str | None) -> str:
    """How it ended, in one line.

    Args:
        reason: a `TrialEnd`.
        detail: its facts.
        error: what its user was told, whose first line says what happened.
    """
    text = _words(reason, detail, error)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _words(reason: str, detail: EndDetail, error: str | None) -> str:
    match reason:
        case TrialEnd.COMPLETE:
            return f"complete{_pieces(detail.memory)}"
        case TrialEnd.PRUNED:
            return f"{_pruned(detail)}{_pieces(detail.memory)}"
        case TrialEnd.NON_FINITE if detail.metric is not None:
            at = "" if detail.step is None else f" at step {detail.step}"
            return f"non-finite: {detail.metric} became NaN or infinite{at}"
        case TrialEnd.OUT_OF_MEMORY if detail.memory is not None:
            return _out_of_memory(detail.memory)
        case TrialEnd.LOST if detail.last_heartbeat is not None:
            return f"lost: worker {detail.worker} was last heard of at {detail.last_heartbeat:%Y-%m-%d %H:%M:%S}Z"
        case TrialEnd.TIMEOUT if detail.limit_minutes is not None:
            return f"timeout: not done within {detail.limit_minutes:g} min (limits.trial_minutes)"
        case TrialEnd.NO_PROGRESS if detail.limit_minutes is not None:
            return f"no-progress: no report for {detail.limit_minutes:g} min (limits.no_progress_minutes)"
    first = (error or "").strip().partition("\n")[0].strip()
    return f"{reason}: {first}" if first else reason


def _pruned(detail: EndDetail) -> str:
    if detail.step is None:
        return "pruned" if detail.rule is None else f"pruned: {detail.rule}"
    value = "NaN" if detail.value is None else f"{detail.value:.6g}"
    rule = "" if detail.rule is None else f": {detail.rule}"
    return f"pruned at step {detail.step}, {detail.metric or 'value'} {value}{rule}"


def _out_of_memory(memory: Memory) -> str:
    peak = "" if memory.peak_bytes is None else f", peak {size(memory.peak_bytes)}"
    if memory.killed:
        return (
            f"out-of-memory: the kernel killed the training process{peak}; fewer slots or a smaller network need less"
        )
    where = "on the device" if memory.where == "device" else "on the host"
    if memory.micro_batch is None:
        return f"out-of-memory {where}{peak}; a smaller batch_size or network needs less"
    rows = "one row" if memory.micro_batch == 1 else f"{memory.micro_batch} rows"
    return f"out-of-memory {where}{peak}, even with {rows} at once; a smaller network needs less"


def _pieces(memory: Memory | None) -> str:
    if memory is None or memory.micro_batch is None:
        return ""
    whole = "" if memory.batch_size is None else f" of {memory.batch_size}"
    return f"; batches{whole} went in pieces of at most {memory.micro_batch} rows, as memory ran out"


def size(n_bytes: int) -> str:
    """1.5 GiB, 240 MiB."""
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"
