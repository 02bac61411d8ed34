"""`/studies/{id}/trials`: list, look, reports, artifacts, and the way to MLflow."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse, Response

from api.deps import ConnectionDep, Cursor, EngineDep, Limit, SettingsDep
from api.studies import StudyId
from tuner import trial_logs, trial_views, uploads
from tuner.domain.states import TrialState
from tuner.store.database import transaction
from tuner.tracking import draw, links
from tuner.wire import ArtifactList, LogPiece, ReportList, TrialDetail, TrialPage

router = APIRouter(prefix="/studies/{study_id}/trials", tags=["trials"])

Number = Annotated[int, Path(ge=0, le=2**31 - 1, description="The trial's number in its study, from 0.")]


@router.get("", summary="List a study's trials")
def page(
    study_id: StudyId,
    connection: ConnectionDep,
    cursor: Cursor = None,
    limit: Limit = 100,
    state: Annotated[TrialState | None, Query()] = None,
) -> TrialPage:
    """In the order of their numbers."""
    return trial_views.trial_page(connection, study_id, cursor=cursor, limit=limit, state=state)


@router.get("/{number}", summary="One trial with its attempts")
def get(study_id: StudyId, number: Number, connection: ConnectionDep) -> TrialDetail:
    return trial_views.trial(connection, study_id, number)


@router.get("/{number}/reports", summary="A trial's curves")
def reports(
    study_id: StudyId, number: Number, connection: ConnectionDep, cursor: Cursor = None, limit: Limit = 500
) -> ReportList:
    """Its reports, by fold and step."""
    return trial_views.report_page(connection, study_id, number, cursor=cursor, limit=limit)


@router.get(
    "/{number}/logs",
    response_class=PlainTextResponse,
    summary="What a trial printed",
    responses={200: {"headers": LogPiece.describe_headers()}},
)
def logs(
    study_id: StudyId,
    number: Number,
    connection: ConnectionDep,
    settings: SettingsDep,
    attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Left out: the last one.")] = None,
    after: Annotated[int, Query(ge=0, le=2**40, description="Bytes to skip: `Log-Next` of the answer before.")] = 0,
) -> Response:
    """A piece, while the trial runs and afterwards; ask on with `after` until `Log-Ended` is true."""
    piece = trial_logs.read(connection, settings.artifacts, study_id, number, attempt=attempt, after=after)
    return Response(piece.text, media_type="text/plain; charset=utf-8", headers=piece.headers())


@router.get("/{number}/artifacts", summary="A trial's files")
def artifacts(study_id: StudyId, number: Number, connection: ConnectionDep) -> ArtifactList:
    """The model folder, the numbers of its curves, its log."""
    return ArtifactList(items=trial_views.artifacts(connection, study_id, number))


@router.get("/{number}/artifacts/{path:path}", response_class=FileResponse, summary="One file of a trial")
def artifact(
    study_id: StudyId,
    number: Number,
    path: Annotated[str, Path(max_length=500)],
    connection: ConnectionDep,
    settings: SettingsDep,
) -> FileResponse:
    file: FilePath = uploads.find(connection, settings.artifacts, study_id, number, path)
    return FileResponse(file, media_type="application/octet-stream", filename=file.name)


@router.post("/{number}/figures", status_code=202, summary="Draw a trial's figures next")
def figures(study_id: StudyId, number: Number, engine: EngineDep) -> None:
    """Puts them to the front of the queue; seconds later they lie beside the run's artifacts in MLflow."""
    with transaction(engine) as connection:
        draw.request(connection, trial_views.trial_id(connection, study_id, number))


@router.get("/{number}/mlflow", status_code=302, response_class=RedirectResponse, summary="The trial in MLflow")
def mlflow(study_id: StudyId, number: Number, connection: ConnectionDep, settings: SettingsDep) -> RedirectResponse:
    """Redirects to the trial's run; 503 while MLflow does not show it yet."""
    return RedirectResponse(links.of_trial(connection, study_id, number, settings.mlflow_base), 302)
