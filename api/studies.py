"""`/studies`: submit, list, look, enqueue, delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import RedirectResponse

from api.deps import ConnectionDep, Cursor, EngineDep, Limit, SettingsDep
from tuner import datasets, studies, trial_views, views
from tuner.domain.spec import StudySpec
from tuner.domain.states import StudyState
from tuner.store.database import transaction
from tuner.tracking import links
from tuner.wire import (
    BestTrials,
    EnqueueBody,
    Enqueued,
    HistoryPage,
    Importances,
    ImportBody,
    Imported,
    ResolvedStudy,
    StudyOut,
    StudyPage,
)

router = APIRouter(prefix="/studies", tags=["studies"])

StudyId = Annotated[int, Path(ge=1, le=2**62, description="The study's number.")]
NO_NUL = r"^[^\x00]*$"
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x20-\x7e]+$",
        description="Chosen by you; sent again with the same body it does nothing further, and gives the same answer.",
    ),
]


@router.post(
    "",
    status_code=201,
    response_model=StudyOut | ResolvedStudy,
    summary="Submit a study",
    responses={200: {"model": ResolvedStudy, "description": "A dry run: the study as it would be stored."}},
)
def submit(
    spec: StudySpec,
    engine: EngineDep,
    settings: SettingsDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
    dry_run: Annotated[bool, Query(description="Only check and complete it; nothing is stored.")] = False,
) -> StudyOut | ResolvedStudy:
    """Queues a study. `name`, and `dataset` with one of `budget.trials` and `budget.hours`, are enough.

    A dry run answers 200 with the study as it would be stored.
    """
    shelf = datasets.Shelf.of(settings)
    if dry_run:
        response.status_code = 200
        return studies.dry_run(engine, spec, shelf=shelf)
    study_id = studies.submit(engine, spec, idempotency_key, shelf=shelf)
    with transaction(engine) as connection:
        shown = views.study(connection, study_id)
    response.headers["Location"] = shown.links["self"]
    return shown


@router.post("/import", status_code=201, summary="Submit a study that starts with a history")
def import_(body: ImportBody, engine: EngineDep, settings: SettingsDep, response: Response) -> Imported:
    """The history's complete and pruned trials become the study's first ones; its budget counts new trials alone."""
    study_id, imported = studies.submit_with_history(engine, body.spec, body.history, shelf=datasets.Shelf.of(settings))
    with transaction(engine) as connection:
        shown = views.study(connection, study_id)
    response.headers["Location"] = shown.links["self"]
    return Imported(study=shown, imported=imported, skipped=len(body.history) - imported)


@router.get("", summary="List studies")
def page(
    connection: ConnectionDep,
    cursor: Cursor = None,
    limit: Limit = 50,
    state: Annotated[StudyState | None, Query()] = None,
    name: Annotated[str | None, Query(max_length=200, pattern=NO_NUL, description="A part of the name.")] = None,
    tag: Annotated[str | None, Query(max_length=800, pattern=NO_NUL, description="key:value")] = None,
) -> StudyPage:
    """Newest first, page by page."""
    return views.study_page(connection, cursor=cursor, limit=limit, state=state, name=name, tag=tag)


@router.get("/{study_id}", summary="One study with its progress")
def get(study_id: StudyId, connection: ConnectionDep) -> StudyOut:
    return views.study(connection, study_id)


@router.delete("/{study_id}", status_code=204, summary="Delete a study that has ended")
def delete(study_id: StudyId, engine: EngineDep) -> None:
    """Its trials go with it, and its MLflow experiment and artifacts soon after."""
    studies.delete(engine, study_id)


@router.post("/{study_id}/points", status_code=201, summary="Enqueue points to try next")
def enqueue(study_id: StudyId, body: EnqueueBody, engine: EngineDep) -> Enqueued:
    """Each point becomes a trial within the budget; parameters it leaves out are sampled."""
    return Enqueued(numbers=studies.enqueue(engine, study_id, body.points))


@router.get("/{study_id}/history", summary="A study's finished trials, to take elsewhere")
def history(study_id: StudyId, connection: ConnectionDep, cursor: Cursor = None, limit: Limit = 200) -> HistoryPage:
    """With distributions and intermediate values, in the order of their numbers."""
    return trial_views.history_page(connection, study_id, cursor=cursor, limit=limit)


@router.get("/{study_id}/best", summary="The best trial, or the Pareto front")
def best(study_id: StudyId, connection: ConnectionDep) -> BestTrials:
    return BestTrials(items=trial_views.best(connection, study_id))


@router.get("/{study_id}/importances", summary="Which parameters matter")
def importances(
    study_id: StudyId, connection: ConnectionDep, objective: Annotated[int, Query(ge=0, le=100)] = 0
) -> Importances:
    """Shares of the objective's variance, by Optuna's evaluator; needs a few complete trials."""
    return views.importance(connection, study_id, objective)


@router.get("/{study_id}/mlflow", status_code=302, response_class=RedirectResponse, summary="The study in MLflow")
def mlflow(study_id: StudyId, connection: ConnectionDep, settings: SettingsDep) -> RedirectResponse:
    """Redirects to the study's runs, sorted by the objective; 503 while MLflow does not show it yet."""
    return RedirectResponse(links.of_study(connection, study_id, settings.mlflow_base), 302)
