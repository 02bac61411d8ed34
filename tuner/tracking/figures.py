"""Figures of a trial as PNG, drawn from the numbers in its `curves.json`.

Owns how they look. Matplotlib is imported by this module alone, which the API process never imports.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

mpl.use("agg")

Numbers = dict[str, Any]

SIZE_INCHES = (5.0, 4.0)
DPI = 100
MAX_CLASSES = 12  # from there on, only the mean curve is drawn and cells have no numbers


def draw(curves: Numbers) -> dict[str, bytes]:
    """Every figure that the numbers allow.

    Args:
        curves: as `trainers.curves` describes them.

    Returns:
        PNG files by name.
    """
    drawers: dict[str, tuple[str, Callable[[Axes, Numbers], None]]] = {
        "roc.png": ("roc", _roc),
        "precision_recall.png": ("precision_recall", _precision_recall),
        "confusion_matrix.png": ("confusion_matrix", _confusion_matrix),
        "calibration.png": ("calibration", _calibration),
        "predicted_vs_actual.png": ("predictions", _predictions),
        "residuals.png": ("residuals", _residuals),
        "recall_at_k.png": ("recall_at_k", _recall_at_k),
        "bits_per_token.png": ("bits_per_token", _bits_per_token),
    }
    return {name: _png(drawer, curves) for name, (needs, drawer) in drawers.items() if curves.get(needs)}


def _png(drawer: Callable[[Axes, Numbers], None], curves: Numbers) -> bytes:
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI)  # not pyplot, which keeps every figure and is not for threads
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.14, 0.13, 0.82, 0.78))  # a fixed place: layout engines cost as much as drawing
    drawer(axes, curves)
    file = io.BytesIO()
    canvas.print_png(file, pil_kwargs={"compress_level": 1})
    return file.getvalue()


def _roc(axes: Axes, curves: Numbers) -> None:
    roc = curves["roc"]
    classes = roc["classes"]
    if len(classes) > 1:
        axes.plot(roc["macro"]["fpr"], roc["macro"]["tpr"], color="black", linewidth=2, label="mean of classes")
    if len(classes) <= MAX_CLASSES:
        for each in classes:
            axes.plot(each["fpr"], each["tpr"], linewidth=1, label=f"{_short(each['class'])}: {each['auc']:.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    axes.set(title=f"ROC, AUC {_rounded(roc['auc'])}", xlabel="false positive rate", ylabel="true positive rate")
    _unit_square(axes, "lower right")


def _precision_recall(axes: Axes, curves: Numbers) -> None:
    found = curves["precision_recall"]
    for each in found["classes"]:
        label = (
            f"{_short(each['class'])}: {each['average_precision']:.3f}"
            if len(found["classes"]) <= MAX_CLASSES
            else None
        )
        axes.plot(each["recall"], each["precision"], linewidth=1, label=label, drawstyle="steps-pre")
    title = f"Precision-recall, average precision {_rounded(found['average_precision'])}"
    axes.set(title=title, xlabel="recall", ylabel="precision")
    _unit_square(axes, "lower left")


def _confusion_matrix(axes: Axes, curves: Numbers) -> None:
    matrix, names = curves["confusion_matrix"], [_short(name) for name in curves["class_names"]]
    most = max((cell for row in matrix for cell in row), default=0) or 1
    axes.imshow(matrix, cmap="Blues", vmin=0)
    axes.set(title="Confusion matrix, rows of validation", xlabel="predicted", ylabel="true")
    if len(names) <= MAX_CLASSES:
        axes.set_xticks(range(len(names)), names, rotation=45 if max(map(len, names)) > 3 else 0, fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        for i, row in enumerate(matrix):
            for j, cell in enumerate(row):
                color = "white" if cell > most / 2 else "black"
                axes.text(j, i, str(cell), ha="center", va="center", color=color, fontsize=8)


def _calibration(axes: Axes, curves: Numbers) -> None:
    found = curves["calibration"]
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    axes.plot(found["predicted"], found["observed"], marker="o", markersize=4)
    title = f"Calibration, expected error {_rounded(found['error'])}"
    axes.set(title=title, xlabel="predicted probability", ylabel="observed frequency")
    _unit_square(axes, None)


def _predictions(axes: Axes, curves: Numbers) -> None:
    actual, predicted = curves["predictions"]["actual"], curves["predictions"]["predicted"]
    ends = [min(*actual, *predicted), max(*actual, *predicted)]
    axes.plot(ends, ends, color="grey", linestyle=":", linewidth=1)
    axes.plot(actual, predicted, linestyle="", marker=".", markersize=4)
    axes.set(title="Predicted against actual", xlabel="actual", ylabel="predicted")


def _residuals(axes: Axes, curves: Numbers) -> None:
    edges, counts = curves["residuals"]["edges"], curves["residuals"]["counts"]
    axes.stairs(counts, edges, fill=True)
    axes.axvline(0, color="grey", linestyle=":", linewidth=1)
    axes.set(title="Residuals on validation", xlabel="predicted minus actual", ylabel="rows")


def _recall_at_k(axes: Axes, curves: Numbers) -> None:
    axes.plot(curves["recall_at_k"]["k"], curves["recall_at_k"]["recall"])
    axes.set(title="Recall of the first k recommendations", xlabel="k", ylabel="recall", ylim=(-0.02, 1.02))


def _bits_per_token(axes: Axes, curves: Numbers) -> None:
    axes.stairs(curves["bits_per_token"]["counts"], curves["bits_per_token"]["edges"], fill=True)
    axes.set(title="How hard texts of validation are", xlabel="bits per token", ylabel="texts")


def _unit_square(axes: Axes, legend: str | None) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if legend is not None and axes.get_legend_handles_labels()[0]:
        axes.legend(loc=legend, fontsize=7)


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"


def _rounded(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
