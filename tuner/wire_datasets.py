"""The REST bodies of data sets, shared by the API and its clients.

Owns what goes over the wire about them. An upload itself is a multipart form: one file `data`, or `train` with `validation`
and `test`, beside the fields of `DatasetSource`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictStr

from tuner.wire import Answer, Body, Page

ColumnKind = Literal["number", "category", "boolean", "date", "ignore"]
ShownKind = ColumnKind | Literal["text"]
ColumnName = Annotated[StrictStr, Field(min_length=1, max_length=1_000)]
DatasetName = Annotated[
    StrictStr,
    Field(
        max_length=100,
        pattern=r"^[\w](?:[\w .\-]*[\w])?$",
        description="Letters, digits, and between them spaces, dots and dashes.",
    ),
]


def _delimiter(text: str) -> str:
    if text == r"\t":  # as shells and curl pass on a tab
        return "\t"
    if len(text) != 1 or not text.isascii() or text in '"\0\r\n':
        raise ValueError("use one ASCII character that is no quote and no line end, or leave it out")
    return text


class DatasetSource(Body):
    """What its owner says of the files; what is left out is inferred and shown."""

    target: ColumnName | None = Field(default=None, description="The column to predict; needed for tables.")
    task: Literal["classification", "regression", "structured"] | None = Field(
        default=None,
        description="structured keeps labels as texts that an installed trainer understands: a transcript, boxes as JSON.",
    )
    encoding: Annotated[StrictStr, Field(max_length=40, pattern=r"^[A-Za-z0-9_\-]+$")] | None = Field(
        default=None, description="Of text files, as Python names it; left out: utf-8."
    )
    delimiter: Annotated[StrictStr, Field(max_length=2), AfterValidator(_delimiter)] | None = Field(
        default=None, description="Of text files, one ASCII character; left out: found out for csv, a tab for tsv."
    )
    columns: Annotated[dict[ColumnName, ColumnKind], Field(max_length=10_000)] = Field(
        default={}, description="Kinds of columns, where they should not be inferred."
    )
    split_column: ColumnName | None = Field(
        default=None, description="The column that says train, validation or test of each row."
    )
    image_size: Annotated[int, Field(ge=4, le=1024)] | None = Field(
        default=None, description="Of a zip of images: pixels of the longer side that all get; left out: by the median."
    )
    sample_rate: Annotated[int, Field(ge=1_000, le=48_000)] | None = Field(
        default=None,
        description="Of a zip of clips: samples a second that all get; left out: as they are, 16000 at most.",
    )
    user: ColumnName | None = Field(
        default=None, description="Of interactions, the column of who; to recommend items, say user and item."
    )
    item: ColumnName | None = Field(default=None, description="Of interactions, the column of what.")
    rating: ColumnName | None = Field(
        default=None,
        description="Of interactions, the column of ratings, which are predicted; left out: rows are events.",
    )
    time: ColumnName | None = Field(
        default=None,
        description="Of interactions, when: each user's last ones are held out. Else it makes the table one of series.",
    )
    series: ColumnName | None = Field(
        default=None,
        description="Of a table with time and target, the column of which series, where there are several; those whose target is "
        "a class all along are told apart, others forecast (`task` decides where both could be).",
    )
    user_features: Annotated[list[ColumnName], Field(max_length=1_000)] = Field(
        default=[], description="Of interactions, columns that tell of the user, the same in all rows of one."
    )
    item_features: Annotated[list[ColumnName], Field(max_length=1_000)] = Field(
        default=[], description="Of interactions, columns that tell of the item."
    )
    text: ColumnName | None = Field(
        default=None, description="The column of texts to predict from, in any language; others are ignored."
    )


class DatasetOut(Answer):
    """A version of a data set."""

    name: str
    version: int
    builtin: bool
    kind: str
    task: str
    rows: int
    features: int
    classes: int = Field(description="How many; 0 for regression.")
    digest: str = Field(description="Of the rows.")
    created_at: datetime | None
    links: dict[str, str]


class DatasetPage(Page[DatasetOut]):
    pass


class ColumnOut(Answer):
    name: str
    kind: ShownKind
    role: str = Field(
        default="",
        description="Of interactions: user, item, time, user feature or item feature; of series: time, series, target or value.",
    )
    categories: list[str] = Field(description="A category's values, the first ones where there are very many.")
    n_categories: int
    missing: int = Field(description="Rows without a value.")


class ClassOut(Answer):
    name: str
    rows: int


class VersionOut(Answer):
    version: int
    rows: int
    digest: str
    size_bytes: int
    created_at: datetime


class DatasetDetail(DatasetOut):
    size_bytes: int | None
    source: dict[str, Any] = Field(description="What its owner said.")
    columns: list[ColumnOut]
    class_rows: list[ClassOut]
    parts: dict[str, int] | None = Field(description="Rows of the parts that its owner gave; null: split by the study.")
    notes: list[str] = Field(description="What was inferred, and how to say otherwise.")
    versions: list[VersionOut] = Field(description="Newest first; empty for built-in ones.")


class ValueOut(Answer):
    value: str
    rows: int


class NumbersOut(Answer):
    low: float
    high: float
    mean: float
    deviation: float


class ColumnProfile(Answer):
    """A column as its rows are; of numbers, booleans and dates (days since 1970) the range, of a category the top values."""

    name: str
    kind: ColumnKind
    missing: int = Field(description="Rows without a value.")
    different: int = Field(description="Different values.")
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    deviation: float | None = None
    top: list[ValueOut] | None = None


class TextsProfile(Answer):
    shortest: int = Field(description="Characters.")
    median: float
    longest: int
    empty: int = Field(description="Rows.")


class ImagesProfile(Answer):
    height: int
    width: int
    channels: int
    low: float = Field(description="Of all pixels.")
    high: float


class ClipsProfile(Answer):
    sample_rate: int
    low_s: float = Field(description="The shortest clip, as it is used.")
    median_s: float
    high_s: float


class SeriesProfile(Answer):
    series: int = Field(description="How many.")
    shortest: int = Field(description="Steps, up to the last that has a value.")
    median: float
    longest: int


class Finding(Answer):
    """Something that its owner should look at."""

    what: str = Field(description="For programs: duplicates, leak, imbalance, id-like, tells-target, ….")
    column: str | None
    text: str


class DatasetProfile(Answer):
    """What the rows of a version are like."""

    name: str
    version: int
    kind: str
    task: str
    rows: int
    classes: list[ClassOut] = Field(description="Of all parts together; empty for regression.")
    target: NumbersOut | None = Field(description="Of regression.")
    columns: list[ColumnProfile] = Field(description="Those that a trainer is given, the first 1,000.")
    images: ImagesProfile | None = None
    texts: TextsProfile | None = None
    clips: ClipsProfile | None = None
    series: SeriesProfile | None = None
    findings: list[Finding]
    notes: list[str] = Field(description="What was inferred when it was read, ignored columns among it.")
