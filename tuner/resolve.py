"""Fills what a submitted study left out and checks it against the trainer and the data set.

Owns the rules that need the catalog. `resolve` is pure: the same spec gives the same answer, except for a seed it has to draw.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from trainers import catalog
from trainers.contract import Direction
from trainers.data import interaction_split, split
from trainers.data.info import DatasetInfo
from trainers.hyperparameters import ConfigError
from tuner import points, search_rules
from tuner.datasets import Found
from tuner.domain.errors import FieldError, InvalidError
from tuner.domain.space import CategoricalParameter, Parameter, Scalar, SearchSpace
from tuner.domain.spec import EXTERNAL, RESOURCE_METRICS, Objective, StudySpec

DEFAULT_METRIC = {
    "classification": "roc_auc",
    "regression": "rmse",
    "recommendation": "ndcg_at_10",
    "language": "perplexity",
}

_space = TypeAdapter[dict[str, Parameter]](SearchSpace)


@dataclass(frozen=True)
class Resolved:
    """A study ready to be stored.

    Attributes:
        spec: complete: trainer, search space, objectives with directions, seed, epochs.
        facts: what the spec does not say: task, data set, split sizes, trainer's version and defaults.
        trainer: what claims match on, name@version; `external` for a loop of the user's own.
        dataset_id: of an uploaded data set's row.
    """

    spec: StudySpec
    facts: dict[str, Any]
    trainer: str
    dataset_id: int | None = None


def resolve(spec: StudySpec, found: Found | None, split_sizes: dict[str, Any] | None = None) -> Resolved:
    """Completes a study.

    Args:
        spec: as submitted.
        found: the data set that it names; None for an external study, which has none.
        split_sizes: where the study splits by a column, what that comes to, which takes the rows to know.

    Raises:
        InvalidError: with a pointer and a cure for every fault found.
    """
    if spec.is_external:
        return _resolve_external(spec)
    assert found is not None
    return _resolve_trained(spec, found, split_sizes)


# ---- external: the user's own loop -----------------------------------------------------------------------------------


def _resolve_external(spec: StudySpec) -> Resolved:
    errors: list[FieldError] = []
    if spec.search_space is None:
        errors.append(FieldError("/search_space", "an external study needs a search space: say what may vary"))
    if spec.objectives is None:
        errors.append(FieldError("/objectives", "an external study needs objectives: say what your loop reports"))
    if spec.dataset is not None:
        errors.append(FieldError("/dataset", "an external study has no data set here: leave it out"))
    if spec.profile:
        errors.append(FieldError("/profile", "an external study is trained by your own loop: profile it there"))
    if spec.finalize:
        errors.append(FieldError("/finalize", "an external study has no test part here: leave it out"))
    if spec.evaluation.by is not None:
        pointer = f"/evaluation/{spec.evaluation.by}"
        errors.append(FieldError(pointer, "an external study's loop splits its own data: leave it out"))
    for i, objective in enumerate(spec.objectives or []):
        if objective.direction is None:
            errors.append(FieldError(f"/objectives/{i}/direction", "say minimize or maximize"))
    if errors:
        raise InvalidError(errors)
    completed = points.with_enqueue(_with_seed(spec), {}).model_copy(update={"finalize": False})
    search_rules.check_search(completed)
    return Resolved(spec=completed, facts={"task": None, "dataset": None}, trainer=EXTERNAL)


# ---- trained by our workers ------------------------------------------------------------------------------------------


def _resolve_trained(spec: StudySpec, found: Found, split_sizes: dict[str, Any] | None) -> Resolved:
    dataset = found.info
    trainer = _trainer(spec, dataset)
    spec = spec.model_copy(
        update={
            "dataset": dataset.name,
            "trainer": trainer.name,
            "objectives": _objectives(spec, catalog.metrics(trainer, dataset.task), dataset),
            "search_space": _search_space(spec, trainer, dataset),
        }
    )
    _check_hyperparameters(spec, trainer, dataset)
    defaults = {hyper.name: hyper.default for hyper in catalog.hyperparameters(trainer)}
    spec = _with_epochs(spec, defaults)
    spec = points.with_enqueue(_with_seed(spec), defaults)
    _check_metrics(spec, trainer, dataset)
    search_rules.check_search(spec)
    sizes = split_sizes or _split_sizes(spec, dataset)
    spec = _with_finalize(spec, has_test=sizes["test"] > 0)
    facts = {
        "task": dataset.task,
        "dataset": _dataset_facts(found),
        "split": sizes,
        "trainer_version": trainer.version,
        "defaults": defaults,
    }
    return Resolved(spec=spec, facts=facts, trainer=f"{trainer.name}@{trainer.version}", dataset_id=found.row_id)


def _dataset_facts(found: Found) -> dict[str, Any]:
    info = found.info
    return {
        "name": info.name,
        "digest": info.digest,
        "files_digest": found.files_digest,
        "kind": info.kind,
        "rows": info.rows,
        "features": math.prod(info.shape),
        "columns": {column.name: column.kind for column in info.columns},
        "classes": list(info.class_names),
    }


def _trainer(spec: StudySpec, dataset: DatasetInfo) -> catalog.Trainer:
    fitting = catalog.fitting(dataset.kind, dataset.task)
    what = f"{dataset.name}, which is {dataset.kind} data for {dataset.task}"
    if spec.trainer is None:
        if not fitting:
            raise InvalidError([FieldError("/trainer", f"no trainer here fits {what}: install one that does")])
        return fitting[0]
    try:
        trainer = catalog.get(spec.trainer)
    except catalog.UnknownTrainerError as error:
        raise InvalidError([FieldError("/trainer", f"{error}, and {EXTERNAL} for a loop of your own")]) from None
    if trainer not in fitting:
        names = " or ".join(each.name for each in fitting)
        cure = f"use {names}, or leave it out" if fitting else "choose another data set"
        raise InvalidError([FieldError("/trainer", f"{trainer.name} does not fit {what}: {cure}")])
    return trainer


def _objectives(spec: StudySpec, metrics: Mapping[str, Direction], dataset: DatasetInfo) -> list[Objective]:
    given = spec.objectives or [Objective(metric=DEFAULT_METRIC.get(dataset.task) or next(iter(metrics)))]
    return [
        objective
        if objective.direction is not None
        else objective.model_copy(update={"direction": metrics.get(objective.metric, "minimize")})
        for objective in given
    ]


def _search_space(spec: StudySpec, trainer: catalog.Trainer, dataset: DatasetInfo) -> dict[str, Parameter]:
    """The user's space, or the trainer's for so many rows, without what the user fixed."""
    if spec.search_space is not None:
        return spec.search_space
    whole = catalog.space_for(trainer, dataset.kind, (dataset.parts or {}).get("train", dataset.rows))
    default = {name: dict(entry) for name, entry in whole.items() if name not in spec.fixed}
    for name, entry in list(default.items()):
        when = dict(entry.pop("when", None) or {})
        for parent in [parent for parent in when if parent in spec.fixed]:
            if spec.fixed[parent] in when.pop(parent):
                continue  # always true now
            del default[name]
            break
        else:
            if when:
                entry["when"] = when
    if not default:
        raise InvalidError([FieldError("/fixed", "everything is fixed, nothing is left to search: leave one out")])
    try:
        return _space.validate_python(default)
    except ValidationError as error:  # of a trainer that is not ours
        detail = f"the default search space of {trainer.name} is none ({error.errors()[0]['msg']}): give one"
        raise InvalidError([FieldError("/search_space", detail)]) from None


def _check_hyperparameters(spec: StudySpec, trainer: catalog.Trainer, dataset: DatasetInfo) -> None:
    errors = [
        FieldError(f"/fixed/{name}", f"{trainer.name} needs {name}: fix it, or give choices of it in search_space")
        for name in trainer.needed
        if name not in {**spec.fixed, **(spec.search_space or {})}
    ]

    def check(values: dict[str, Scalar], pointer: str) -> None:
        try:
            catalog.build_config(trainer, values, dataset.task)
        except ConfigError as error:
            errors.append(FieldError(pointer, str(error)))

    for name, value in spec.fixed.items():
        check({name: value}, f"/fixed/{name}")
    if not errors:
        check(dict(spec.fixed), "/fixed")
    for name, parameter in (spec.search_space or {}).items():
        if isinstance(parameter, CategoricalParameter):
            for i, choice in enumerate(parameter.choices):
                check({name: choice}, f"/search_space/{name}/choices/{i}")
        else:
            check({name: parameter.low}, f"/search_space/{name}/low")
            check({name: parameter.high}, f"/search_space/{name}/high")
    if errors:
        raise InvalidError(errors)


def _with_epochs(spec: StudySpec, defaults: dict[str, Scalar]) -> StudySpec:
    """Epochs said out loud: the pruner's resource is `fixed.epochs`."""
    if "epochs" in (spec.search_space or {}):
        if search_rules.needs_last_step(spec):
            detail = f"{spec.pruner.name} needs the same number of epochs for every trial: move epochs to fixed"
            raise InvalidError([FieldError("/search_space/epochs", detail)])
        return spec
    return spec.model_copy(update={"fixed": {"epochs": defaults["epochs"], **spec.fixed}})


def _check_metrics(spec: StudySpec, trainer: catalog.Trainer, dataset: DatasetInfo) -> None:
    known = (*catalog.metrics(trainer, dataset.task), *RESOURCE_METRICS)
    named = [(f"/objectives/{i}/metric", o.metric) for i, o in enumerate(spec.objectives or [])]
    named += [(f"/constraints/{i}/metric", c.metric) for i, c in enumerate(spec.constraints)]
    errors = [
        FieldError(pointer, f"{dataset.task} has no metric {metric!r}: choose one of {', '.join(known)}")
        for pointer, metric in named
        if metric not in known
    ]
    first = (spec.objectives or [])[0].metric
    if first in RESOURCE_METRICS:
        detail = f"the first objective chooses the best epoch, and {first} is the same in all: put another first"
        errors.append(FieldError("/objectives/0/metric", detail))
    if errors:
        raise InvalidError(errors)


def _split_sizes(spec: StudySpec, dataset: DatasetInfo) -> dict[str, Any]:
    evaluation = spec.evaluation
    sizes_with = partial(
        split.sizes,
        dataset.rows,
        validation=evaluation.validation,
        test=evaluation.test,
        class_counts=dataset.class_counts,
        parts=dataset.parts,
    )
    try:
        if dataset.kind == "interactions":
            interaction_split.refuse_folds(dataset.columns, evaluation.rounds)
        sizes = sizes_with(folds=evaluation.folds, repeats=evaluation.repeats)
    except ValueError as error:
        pointer = "/evaluation/folds" if evaluation.rounds > 1 and _works(sizes_with) else "/evaluation"
        raise InvalidError([FieldError(pointer, str(error))]) from None
    return {"test": sizes.test, "folds": [{"train": train, "validation": held} for train, held in sizes.folds]}


def _with_finalize(spec: StudySpec, *, has_test: bool) -> StudySpec:
    if spec.finalize and not has_test:
        detail = "there is no test part to score a final model on: give evaluation.test a share, or leave this out"
        raise InvalidError([FieldError("/finalize", detail)])
    return spec.model_copy(update={"finalize": has_test if spec.finalize is None else spec.finalize})


def _works(sizes_with: Callable[..., split.SplitSizes]) -> bool:
    """Whether the rows do for one fold."""
    try:
        sizes_with(folds=1, repeats=1)
    except ValueError:
        return False
    return True


def _with_seed(spec: StudySpec) -> StudySpec:
    if spec.sampler.seed is not None:
        return spec
    drawn = spec.sampler.model_copy(update={"seed": secrets.randbelow(2**32)})
    return spec.model_copy(update={"sampler": drawn})
