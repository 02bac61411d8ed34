"""The commands about data sets: `tuner dataset add|show|delete`, `tuner datasets`, and what `tuner submit` takes of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner import terminal
from tuner.terminal import AsJson

if TYPE_CHECKING:
    from tuner.client import Client

app = typer.Typer(help="Data sets of your own.", no_args_is_help=True)

EXTENSIONS = (".csv", ".tsv", ".parquet", ".npz", ".zip")

Target = Annotated[str | None, typer.Option(help="The column to predict.", metavar="COLUMN")]
Text = Annotated[
    str | None,
    typer.Option(help="The column of texts to predict from, in any language; others are ignored.", metavar="COLUMN"),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="classification or regression; left out: inferred from the target. structured: labels are texts that an "
        "installed trainer understands, as transcripts or boxes."
    ),
]
Encoding = Annotated[str | None, typer.Option(help="Of a text file, for example latin-1; left out: utf-8.")]
Delimiter = Annotated[str | None, typer.Option(help="Of a text file, for example ';'.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        help="Of a column: number, category, boolean, date or ignore; may be given several times.",
        metavar="COLUMN=KIND",
    ),
]
SplitColumn = Annotated[
    str | None, typer.Option(help="The column that says train, validation or test.", metavar="COLUMN")
]
ImageSize = Annotated[
    int | None, typer.Option(min=4, max=1024, help="Of a zip of images: pixels of the longer side that all get.")
]
SampleRate = Annotated[
    int | None, typer.Option(min=1_000, max=48_000, help="Of a zip of clips: samples a second that all get.")
]
User = Annotated[str | None, typer.Option(help="Of interactions, the column of who.", metavar="COLUMN")]
Item = Annotated[str | None, typer.Option(help="Of interactions, the column of what.", metavar="COLUMN")]
Rating = Annotated[
    str | None,
    typer.Option(help="Of interactions, the column of ratings; left out: rows are events.", metavar="COLUMN"),
]
Time = Annotated[
    str | None, typer.Option(help="The column of when, of interactions, or with --target of series.", metavar="COLUMN")
]
Series = Annotated[
    str | None,
    typer.Option(
        help="The column of which series, where there are several. Where --target is a class all along each, series are told "
        "apart, else forecast; --task decides.",
        metavar="COLUMN",
    ),
]
UserFeatures = Annotated[
    list[str] | None,
    typer.Option(
        "--user-feature", help="A column that tells of the user; may be given several times.", metavar="COLUMN"
    ),
]
ItemFeatures = Annotated[
    list[str] | None,
    typer.Option(
        "--item-feature", help="A column that tells of the item; may be given several times.", metavar="COLUMN"
    ),
]
Named = Annotated[str, typer.Argument(help="The data set, NAME or NAME@VERSION.", metavar="NAME")]


@app.command()
def add(
    file: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV, TSV, Parquet, .npz with x and y, or a zip: images, clips, interactions.csv with users.csv.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Left out: the file's name.")] = None,
    target: Target = None,
    text: Text = None,
    train: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Instead of FILE.")] = None,
    validation: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Beside --train.")] = None,
    test: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Beside --train.")] = None,
    split_column: SplitColumn = None,
    task: Task = None,
    kind: Kinds = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    image_size: ImageSize = None,
    sample_rate: SampleRate = None,
    user: User = None,
    item: Item = None,
    rating: Rating = None,
    time: Time = None,
    series: Series = None,
    user_feature: UserFeatures = None,
    item_feature: ItemFeatures = None,
    as_json: AsJson = False,
) -> None:
    """Upload a data set: a new one, or the next version of one."""
    from tuner import show_datasets

    if name is None and file is None:
        raise typer.BadParameter("say --name, or give one FILE that has it")
    said = source(target, text, task, encoding, delimiter, kind, split_column)
    said |= given(image_size=image_size, sample_rate=sample_rate)
    said |= roles(user, item, rating, time, series, user_feature, item_feature)
    with terminal.client() as client:
        made = client.upload_dataset(
            name or name_of(file), data=file, train=train, validation=validation, test=test, **said
        )
        profile = client.dataset_profile(made.name, made.version)
    if as_json:
        terminal.print_json(made.model_dump(mode="json"))
    else:
        show_datasets.one(made, profile)


@app.command()
def show(name: Named, as_json: AsJson = False) -> None:
    """Show a data set: its columns, classes and versions, and what looks wrong with its rows."""
    from tuner import show_datasets

    with terminal.client() as client:
        found = client.dataset(*split_name(name))
        profile = client.dataset_profile(found.name, found.version)
    if as_json:
        terminal.print_json({**found.model_dump(mode="json"), "profile": profile.model_dump(mode="json")})
    else:
        show_datasets.one(found, profile)


@app.command()
def delete(name: Named) -> None:
    """Delete a data set, or with NAME@VERSION one version of it, that no study uses."""
    with terminal.client() as client:
        client.delete_dataset(*split_name(name))
    typer.echo(f"Data set {name} is deleted.")


def listed(as_json: AsJson = False) -> None:
    """List data sets, newest first; built-in ones last."""
    from tuner import show_datasets

    with terminal.client() as client:
        found = list(client.datasets())
    if as_json:
        terminal.print_json([each.model_dump(mode="json") for each in found])
    else:
        show_datasets.all_of(found)


# ---- what is said on the command line --------------------------------------------------------------------------------


def source(
    target: str | None,
    text: str | None,
    task: str | None,
    encoding: str | None,
    delimiter: str | None,
    kinds: list[str] | None,
    split_column: str | None,
) -> dict[str, Any]:
    """What options say of files; without those that were left out."""
    columns: dict[str, str] = {}
    for each in kinds or []:
        column, equals, kind = each.rpartition("=")
        if not equals or not column:
            raise typer.BadParameter(f"--kind {each}: write COLUMN=KIND, for example zip=category")
        columns[column] = kind
    said = {
        "target": target,
        "text": text,
        "task": task,
        "encoding": encoding,
        "delimiter": delimiter,
        "columns": columns or None,
        "split_column": split_column,
    }
    return given(**said)


def given(**said: Any) -> dict[str, Any]:
    """Without what was left out."""
    return {key: value for key, value in said.items() if value is not None}


def roles(
    user: str | None,
    item: str | None,
    rating: str | None,
    time: str | None,
    series: str | None,
    user_features: list[str] | None,
    item_features: list[str] | None,
) -> dict[str, Any]:
    """What options say of a table of users and items, or of series; without those that were left out."""
    said: dict[str, Any] = {"user": user, "item": item, "rating": rating, "time": time, "series": series}
    said |= {"user_features": user_features, "item_features": item_features}
    return {key: value for key, value in said.items() if value}


def uploaded(client: Client, dataset: str, said: dict[str, Any], *, quiet: bool) -> str:
    """The name by which a study uses `dataset`, which is uploaded first if it is a file."""
    from tuner import show_datasets

    file = Path(dataset)
    if not file.is_file():
        if file.suffix.lower() in EXTENSIONS:
            terminal.fail(f"there is no file {dataset}")
        if said:
            raise typer.BadParameter(f"what is said of columns is for a file to upload, and {dataset} is none")
        return dataset
    from trainers.data.builtin import BUILTIN

    name = name_of(file)
    made = client.upload_dataset(f"my-{name}" if name in BUILTIN else name, data=file, **said)
    if not quiet:
        show_datasets.one(made, client.dataset_profile(made.name, made.version))
    return f"{made.name}@{made.version}"


def name_of(file: Path | None) -> str:
    """A data set's name out of a file's."""
    assert file is not None
    return re.sub(r"[^\w .\-]+", "-", file.stem)[:100].strip(" .-")


def split_name(named: str) -> tuple[str, int | None]:
    name, at, version = named.rpartition("@")
    if not at:
        return named, None
    if not version.isdecimal():
        raise typer.BadParameter(f"{named}: a version is a number, as in {name}@1")
    return name, int(version)
