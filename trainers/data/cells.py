"""How the cells of a column are written: finding the format they share, and their values by it.

Owns the formats that `Column.format` names. `trainers.exported_model` reads cells by the same formats on its own, since
it runs without this package; a test holds both to the same values. Values are float64 with NaN for a missing cell.

- number: empty (as Python writes it), `whole`, `text` (the same beside words for a missing value, so that the column is
  text to pandas), `1,234.50` or `1.234,50` (with thousands, currencies and percent signs)
- category: empty, or `whole` where all names are whole numbers, so that the column is numbers to pandas
- boolean: empty (true and false themselves), or the two words, `yes/no`
- date: empty (dates themselves), `ISO8601`, or as strptime has it, `%d.%m.%Y`; the value is days since 1970 in UTC
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", "."})
MISSING_TO_PANDAS = frozenset({"", "#N/A", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"})
MISSING_TARGETS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "?"})  # `-` and `none` are names of classes

SPACE = "[ \u00a0\u202f]"
GAPS = "'\u2019 \u00a0\u202f"  # between thousands, beside comma or point
SIGN = "[+-]?"
CURRENCY = f"(?:(?:[$€£¥₹₩₽₺]|[A-Z]{{3}}|R[$]|kr|zł|Fr|元){SPACE}?)?"
NUMBERS = {
    "whole": f"{SIGN}[0-9]+",
    "": rf"{SIGN}(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf(?:inity)?))",
    "1,234.50": rf"{SIGN}{CURRENCY}{SIGN}(?:[0-9]{{1,3}}(?:[,{GAPS}][0-9]{{3}})+|[0-9]+)(?:\.[0-9]+)?",
    "1.234,50": rf"{SIGN}{CURRENCY}{SIGN}(?:[0-9]{{1,3}}(?:[.{GAPS}][0-9]{{3}})+|[0-9]+)(?:,[0-9]+)?",
}
AFTER = f"{SPACE}?{CURRENCY}%?"
ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
DAYS = (
    *("%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%m/%d/%y"),
    *("%d/%m/%y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%Y年%m月%d日"),
)
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")
DATES = ("ISO8601", *(day + time for time, day in product(TIMES, DAYS)))
WORDS = ("true/false", "yes/no", "y/n", "t/f", "on/off", "ja/nein", "oui/non", "si/no", "是/否")
FEW_CELLS = 20
LARGEST = 1e30  # beyond, squares and a network's numbers of 32 bits may overflow
DAY_US = 86_400_000_000


def without_missing(texts: pd.Series, missing: frozenset[str] = MISSING) -> pd.Series:
    """Texts without blanks at their ends, and None where a word says that there is no value."""
    stripped = texts.str.strip()
    return stripped.mask(stripped.str.lower().isin(missing))


def composed(texts: pd.Series) -> pd.Series:
    """Texts with one character for a letter and its accent, which macOS writes as two."""
    return texts.str.normalize("NFC")


def has_own_words(raw: pd.Series) -> bool:
    """Whether a word of the file stands for a missing value that pandas would take for text."""
    absent = raw[without_missing(raw).isna()].dropna()
    return not set(absent.unique()) <= MISSING_TO_PANDAS


def number_format(texts: pd.Series, *, decimal_comma: bool) -> tuple[str, np.ndarray]:
    """The likeliest number format of those that read the most texts, and which it reads `(rows,)`.

    A missing text is read by all. With `decimal_comma`, 1,234 is more likely one and a bit than a thousand.
    """
    decorated = ("1.234,50", "1,234.50") if decimal_comma else ("1,234.50", "1.234,50")
    best, best_reads = "", np.zeros(len(texts), bool)
    for form in ("whole", "", *decorated):
        reads = _matches(texts, NUMBERS[form] + (AFTER if "1" in form else "")).to_numpy()
        if reads.sum() > best_reads.sum():
            best, best_reads = form, reads
        if best_reads.all():
            break
    return best, best_reads


def date_formats(texts: pd.Series) -> list[str]:
    """The date formats that read every text, the likeliest first."""
    different = texts.dropna().drop_duplicates()
    if _matches(different, ISO).all() and not np.isnan(dates(different, "ISO8601")).any():
        return ["ISO8601"]
    # few columns hold dates: a few cells tell which formats are worth a look at all of them
    few = different.head(FEW_CELLS)
    if not few.str.contains("[0-9]", regex=True).all():
        return []
    likely = [form for form in DATES[1:] if not np.isnan(dates(few, form)).any()]
    return [form for form in likely if not np.isnan(dates(different, form)).any()]


def boolean_format(texts: pd.Series) -> str | None:
    """The pair of words that all texts are of, or None."""
    for some in (texts.head(FEW_CELLS), texts):  # few columns are booleans, and a few cells tell most others
        words = set(some.dropna().str.lower().unique())
        pair = next((pair for pair in WORDS if words <= set(pair.split("/"))), None)
        if pair is None:
            break
    return pair


def numbers(texts: pd.Series, form: str) -> np.ndarray:
    """Values of numbers `(rows,)`; NaN for what is none. A percentage keeps its number: 12.5% is 12.5."""
    if "1" in form:
        kept = texts.str.replace(r"[^0-9.,+-]", "", regex=True)
        thousands, point = (",", ".") if form == "1,234.50" else (".", ",")
        texts = kept.str.replace(thousands, "", regex=False).str.replace(point, ".", regex=False)
    return np.asarray(pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan))


def booleans(texts: pd.Series, form: str) -> np.ndarray:
    """1 for the first word of the format, 0 for the second, NaN for any other, `(rows,)`."""
    yes, no = form.split("/")
    words = texts.str.lower()
    return np.select([(words == yes).to_numpy(bool), (words == no).to_numpy(bool)], [1.0, 0.0], np.nan)


def dates(texts: pd.Series, form: str) -> np.ndarray:
    """Days since 1970 in UTC `(rows,)`, with the time of day as a fraction; NaN for what is no date."""
    return days(pd.to_datetime(texts, format=form, errors="coerce", utc=True).dt.tz_localize(None))


def days(times: pd.Series) -> np.ndarray:
    """Days since 1970 `(rows,)` of times without a zone; NaN for NaT."""
    since = times.to_numpy("datetime64[us]")
    return np.where(np.isnat(since), np.nan, since.astype(np.int64) / DAY_US)


def _matches(texts: pd.Series, pattern: str) -> pd.Series:
    # arrow's own engine: pandas would match one Python string after the other
    found = compute.match_substring_regex(pa.array(texts, pa.string(), from_pandas=True), f"^(?:{pattern})$")
    return pd.Series(compute.fill_null(found, fill_value=True).to_numpy(zero_copy_only=False), texts.index)
