"""Optuna's storage by name and JSON: the closed list of methods that a script may call from elsewhere.

Owns that list and the errors' translation. Arguments are checked by their types; attributes are kept as they come, as text
that nobody here interprets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import TrialState as OptunaState
from pydantic import ConfigDict, Field, StrictFloat, StrictInt, StrictStr, ValidationError, validate_call
from sqlalchemy import Connection, Engine

from tuner.domain.errors import (
    FieldError,
    InvalidError,
    NameTakenError,
    NotFoundError,
    TrialFinishedError,
    WrongStateError,
)
from tuner.sampling import frozen, trial_json
from tuner.sampling.storage import TunerStorage
from tuner.store import history
from tuner.store.database import transaction

Id = Annotated[StrictInt, Field(ge=-(2**62), le=2**62)]
Name = Annotated[StrictStr, Field(max_length=10_000)]
Number = StrictFloat | StrictInt
Step = Annotated[StrictInt, Field(ge=-(2**62), le=2**62)]
State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING"]
Object = dict[str, Any]


def call(where: Engine | Connection, method: str, arguments: Mapping[str, Any]) -> Any:
    """Calls a method, within the transaction of a connection if it is given one; gives something for `json.dumps`.

    Raises:
        NotFoundError: no such method, study or trial.
        InvalidError: an argument is not what it should be.
        NameTakenError: another study has the name.
        TrialFinishedError: a finished trial does not change.
        WrongStateError: the study is run by the service.
    """
    if method not in METHODS:
        raise NotFoundError(f"Optuna's storage has no method {method!r} here: there are {', '.join(sorted(METHODS))}")
    return checked(METHODS[method], TunerStorage(where), arguments)


def checked(function: Callable[..., Any], first: Any, arguments: Mapping[str, Any]) -> Any:
    """Calls a function of `validate_call`'s with JSON; what it and Optuna raise comes out as our errors."""
    try:
        return function(first, **arguments)
    except ValidationError as error:
        fields = [FieldError("/arguments/" + "/".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        raise InvalidError(fields) from None
    except DuplicatedStudyError as error:
        raise NameTakenError(str(error)) from None
    except UpdateFinishedTrialError as error:
        raise TrialFinishedError(str(error)) from None
    except KeyError as error:
        raise NotFoundError(str(error.args[0])) from None
    except ValueError as error:
        raise InvalidError([FieldError("/arguments", str(error))]) from None
    except RuntimeError as error:
        raise WrongStateError(str(error)) from None


# ---- studies ---------------------------------------------------------------------------------------------------------


def create_new_study(
    storage: TunerStorage, directions: list[Literal["minimize", "maximize", "not_set"]], study_name: Name | None = None
) -> int:
    return storage.create_new_study([StudyDirection[each.upper()] for each in directions], study_name)


def delete_study(storage: TunerStorage, study_id: Id) -> None:
    storage.delete_study(study_id)


def set_study_user_attr(storage: TunerStorage, study_id: Id, key: Name, value: Any) -> None:
    storage.set_study_user_attr(study_id, key, value)


def set_study_system_attr(storage: TunerStorage, study_id: Id, key: Name, value: Any) -> None:
    storage.set_study_system_attr(study_id, key, value)


def get_study_id_from_name(storage: TunerStorage, study_name: Name) -> int:
    return storage.get_study_id_from_name(study_name)


def get_study(storage: TunerStorage, study_id: Id) -> Object:
    with transaction(storage.engine) as connection:
        row = history.study(connection, study_id)
    if row is None:
        raise KeyError(f"there is no study {study_id}")
    return trial_json.of_study(frozen.study(row))


def get_all_studies(storage: TunerStorage) -> list[Object]:
    return [trial_json.of_study(study) for study in storage.get_all_studies()]


# ---- trials ----------------------------------------------------------------------------------------------------------


def create_new_trial(storage: TunerStorage, study_id: Id, template: Object | None = None) -> Object:
    trial = None if template is None else trial_json.to_trial(template)
    return {"id": storage.create_new_trial(study_id, trial), "lease_s": None}


def set_trial_param(storage: TunerStorage, trial_id: Id, name: Name, internal: Number, distribution: Object) -> None:
    known = trial_json.distribution(distribution)
    trial_json.external(known, internal)
    storage.set_trial_param(trial_id, name, internal, known)


def set_trial_state_values(
    storage: TunerStorage, trial_id: Id, state: State, values: list[Number] | None = None
) -> Object:
    return {"done": storage.set_trial_state_values(trial_id, OptunaState[state], values), "lease_s": None}


def set_trial_intermediate_value(storage: TunerStorage, trial_id: Id, step: Step, value: Number) -> None:
    storage.set_trial_intermediate_value(trial_id, step, value)


def set_trial_user_attr(storage: TunerStorage, trial_id: Id, key: Name, value: Any) -> None:
    storage.set_trial_user_attr(trial_id, key, value)


def set_trial_system_attr(storage: TunerStorage, trial_id: Id, key: Name, value: Any) -> None:
    storage.set_trial_system_attr(trial_id, key, value)


def get_trial(storage: TunerStorage, trial_id: Id) -> Object:
    return trial_json.of_trial(storage.get_trial(trial_id))


def get_trials(storage: TunerStorage, study_id: Id, finished_after: Id = 0) -> Object:
    """Unfinished trials, and those that finished after a `finish_seq`: finished ones never change, so a script keeps them."""
    with transaction(storage.engine) as connection:
        if history.study(connection, study_id) is None:
            raise KeyError(f"there is no study {study_id}")
        rows = history.finished_since(connection, study_id, finished_after, "live")
    seen = max([finished_after, *(row.finish_seq for row in rows if row.finish_seq is not None)])
    return {"trials": [trial_json.of_trial(frozen.trial(row)) for row in rows], "finish_seq": seen}


def _listed(*functions: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    check = validate_call(config=ConfigDict(arbitrary_types_allowed=True))
    return {function.__name__: check(function) for function in functions}


METHODS = _listed(
    create_new_study,
    delete_study,
    set_study_user_attr,
    set_study_system_attr,
    get_study_id_from_name,
    get_study,
    get_all_studies,
    create_new_trial,
    set_trial_param,
    set_trial_state_values,
    set_trial_intermediate_value,
    set_trial_user_attr,
    set_trial_system_attr,
    get_trial,
    get_trials,
)

# those whose repetition would be a second effect, or would be refused; the others may be sent as often as one likes
ONCE = frozenset({"create_new_study", "delete_study", "create_new_trial", "set_trial_state_values"})
