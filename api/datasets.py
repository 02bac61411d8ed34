"""`/datasets`: upload, list, look, download, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.deps import ConnectionDep, Cursor, EngineDep, Limit, SettingsDep
from tuner import dataset_folder, dataset_profiles, dataset_uploads, dataset_views, datasets
from tuner.forms import MAX_FIELDS_BYTES
from tuner.inspection import Limits
from tuner.store import datasets as store
from tuner.store.database import transaction
from tuner.wire_datasets import DatasetDetail, DatasetPage, DatasetProfile, DatasetSource

router = APIRouter(prefix="/datasets", tags=["datasets"])

Name = Annotated[str, Path(max_length=200, description="The data set's name.")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1, description="Its version.")]


def _form() -> dict[str, Any]:
    """The upload's form for the OpenAPI document: it is streamed, so FastAPI does not read it."""
    files = {part: {"type": "string", "format": "binary"} for part in dataset_folder.PARTS}
    fields = DatasetSource.model_json_schema()["properties"]
    whole = {"type": "string", "maxLength": MAX_FIELDS_BYTES, "description": "The other fields as one JSON object."}
    schema = {"type": "object", "properties": {**files, **fields, "source": whole}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


@router.post("", status_code=201, summary="Upload a data set", openapi_extra=_form())
async def upload(
    name: Annotated[str, Query(max_length=200, description="A new name, or one that gets its next version.")],
    request: Request,
    response: Response,
    engine: EngineDep,
    settings: SettingsDep,
) -> DatasetDetail:
    """One file `data`, or `train` with `validation` and `test`: csv, tsv, parquet, npz or zip; tables need a `target`.

    A zip holds images, or clips of sound, in folders of classes. Everything is read before it is accepted. The same files
    with the same fields are the same version, and answered 200.
    """
    limits = Limits.of(settings)
    content_type = request.headers.get("content-type", "")
    row, is_new = await dataset_uploads.receive(
        engine, settings.artifacts, name, content_type, request.stream(), limits
    )
    shown = await run_in_threadpool(_detail, engine, row.name, row.version)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"{shown.links['self']}/versions/{shown.version}"
    return shown


def _detail(engine: EngineDep, name: str, version: int) -> DatasetDetail:
    with transaction(engine) as connection:
        return dataset_views.detail(connection, name, version)


@router.get("", summary="List data sets")
def page(connection: ConnectionDep, cursor: Cursor = None, limit: Limit = 50) -> DatasetPage:
    """The newest version of each, newest first; built-in ones last."""
    return dataset_views.page(connection, cursor=cursor, limit=limit)


@router.get("/{name}", summary="A data set's newest version, with its columns")
def get(name: Name, connection: ConnectionDep) -> DatasetDetail:
    return dataset_views.detail(connection, name)


@router.get("/{name}/versions/{version}", summary="One version of a data set")
def get_version(name: Name, version: Version, connection: ConnectionDep) -> DatasetDetail:
    return dataset_views.detail(connection, name, version)


@router.get("/{name}/profile", summary="What the rows of a data set are like")
def profile(name: Name, engine: EngineDep, settings: SettingsDep) -> DatasetProfile:
    """Columns, classes and sizes of the newest version, and what its owner should look at.

    It is made at the upload; of a built-in data set when first asked for, which takes seconds.
    """
    return dataset_profiles.profile(engine, datasets.Shelf.of(settings), name)


@router.get("/{name}/versions/{version}/profile", summary="What the rows of one version are like")
def profile_of_version(name: Name, version: Version, engine: EngineDep, settings: SettingsDep) -> DatasetProfile:
    return dataset_profiles.profile(engine, datasets.Shelf.of(settings), name, version)


@router.get(
    "/{name}/versions/{version}/files",
    response_class=StreamingResponse,
    summary="The files of an uploaded data set",
    responses={200: {"content": {"application/x-tar": {}}}},
)
def files(name: Name, version: Version, connection: ConnectionDep, settings: SettingsDep) -> StreamingResponse:
    """One tar: the files as they were uploaded, what was said of them, and what was found.

    410 `gone` where the server's disk does not have them any more; the same files, uploaded again, mend that.
    """
    folder = datasets.whole_folder(settings.artifacts, store.get(connection, name, version))
    length, pieces = dataset_folder.pack(folder)
    return StreamingResponse(pieces, media_type="application/x-tar", headers={"Content-Length": str(length)})


@router.delete("/{name}", status_code=204, summary="Delete a data set with all versions")
def delete(name: Name, engine: EngineDep, settings: SettingsDep) -> None:
    """409 `in-use` while there is a study that uses it."""
    datasets.delete(engine, settings.artifacts, name, None)


@router.delete("/{name}/versions/{version}", status_code=204, summary="Delete one version of a data set")
def delete_version(name: Name, version: Version, engine: EngineDep, settings: SettingsDep) -> None:
    """409 `in-use` while there is a study that uses it."""
    datasets.delete(engine, settings.artifacts, name, version)
