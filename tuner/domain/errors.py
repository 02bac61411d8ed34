"""Every way in which a request can be refused; each error tells the user what to do next.

Owns the error tree. The HTTP status of each is decided in `api.errors`, nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with one field.

    Attributes:
        pointer: JSON pointer into the body, for example `/search_space/width/low`.
        detail: what is wrong and how to cure it.
        row: of the file that the pointer names, as people count lines: the header is row 1.
        column: of that file.
    """

    pointer: str
    detail: str
    row: int | None = None
    column: str | None = None


class TunerError(Exception):
    """Base of all expected refusals.

    Attributes:
        type: stable machine-readable name, the last part of the problem's `type`.
        title: the same for a human, constant for the class.
        detail: what happened this time, with the cure.
    """

    type = "error"
    title = "The request could not be served"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidError(TunerError):
    """The request is well-formed JSON and makes no sense; carries a pointer for each fault."""

    type = "invalid"
    title = "The request is not valid"

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("; ".join(f"{error.pointer or '/'}: {error.detail}" for error in errors))
        self.errors = errors


class NotFoundError(TunerError):
    type = "not-found"
    title = "There is no such thing"


class GoneError(TunerError):
    type = "gone"
    title = "Its files are gone from the server"


class NameTakenError(TunerError):
    type = "name-taken"
    title = "A study with this name exists"


class IdempotencyMismatchError(TunerError):
    type = "idempotency-mismatch"
    title = "This Idempotency-Key was used with another body"


class WrongStateError(TunerError):
    type = "wrong-state"
    title = "The study's state does not allow this"


class InUseError(TunerError):
    type = "in-use"
    title = "It is in use"


class StaleAttemptError(TunerError):
    type = "stale-attempt"
    title = "This attempt no longer holds its trial"

    @classmethod
    def of(cls, attempt_id: object) -> Self:
        return cls(
            f"attempt {attempt_id} holds no trial: its lease expired, its study was cancelled, or it has ended; claim anew"
        )


class TrialFinishedError(TunerError):
    type = "trial-finished"
    title = "A finished trial does not change"


class StudyEndedError(TunerError):
    type = "study-ended"
    title = "The study starts no further trial"


class UnauthenticatedError(TunerError):
    type = "unauthenticated"
    title = "A key is needed"


class TooManyWrongKeysError(TunerError):
    """One address has shown too many wrong keys of late; `retry_after_s`: when the next one is looked at."""

    type = "too-many-wrong-keys"
    title = "Too many wrong keys came from this address"

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class ForbiddenError(TunerError):
    type = "forbidden"
    title = "This key may not do that"


class TooLargeError(TunerError):
    type = "too-large"
    title = "The request is too large"


class NoRoomError(TunerError):
    type = "no-room"
    title = "The disk of the service is full"


NO_ROOM = "no room is left for files: make some on the disk of TUNER_DATA (delete old studies), and send it again"


class UnavailableError(TunerError):
    type = "unavailable"
    title = "The service cannot answer just now"
