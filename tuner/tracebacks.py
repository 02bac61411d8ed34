"""What a user is told of an exception: its message first, then the frames from the one that raised it outwards.

Owns the form, its bounds, and that no secret is in it. The frames of this service, which called the user's code, are left
out; a text that is cut loses the outermost frames, never the message.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from tuner.domain.redact import redacted

MAX_TEXT = 20_000  # characters
MAX_MESSAGE = 4_000
MAX_FRAMES = 20  # of one exception
MAX_CHAIN = 4  # exceptions, of which one led to the next

_OURS = (Path(__file__).parent / "worker", Path(__file__).parent / "loop.py")


def told(error: BaseException, *secrets: str) -> str:
    """The text for an exception.

    Args:
        error: as it was caught.
        secrets: what must not be shown, beside what looks like a secret anyway.
    """
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < MAX_CHAIN:
        parts.append(_one(current))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return redacted("\nafter this: ".join(parts), *secrets)[:MAX_TEXT]


def _one(error: BaseException) -> str:
    message = "".join(traceback.format_exception_only(error)).strip()[:MAX_MESSAGE]
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not _is_ours(frame.filename)] or list(frames)
    if not theirs:
        return message
    lines = [line for frame in reversed(theirs[-MAX_FRAMES:]) for line in _frame(frame)]
    if len(theirs) > MAX_FRAMES:
        lines.append(f"  … {len(theirs) - MAX_FRAMES} frames further out")
    return "\n".join([message, "Traceback (most recent call first):", *lines])


def _frame(frame: traceback.FrameSummary) -> list[str]:
    where = f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
    return [where, f"    {frame.line}"] if frame.line else [where]


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return any(path == ours or ours in path.parents for ours in _OURS)
