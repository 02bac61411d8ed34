"""How things are called in MLflow: metrics, tags, runs, experiments.

Owns the words that MLflow's users see. MLflow's table of runs shows of each metric the point with the highest step, so a
learning curve's column shows its last epoch. Final values therefore have names of their own:

- `val/roc_auc`: the curve, by epoch; with several folds `fold_2/val/roc_auc`, and `folds/val/roc_auc` has a point a fold;
- `best/val/roc_auc`: the result, at the best epoch: sort and compare runs by these;
- `objective`: the first objective's value, whatever its metric (several objectives: `objective/<metric>` each);
- `system/cpu_percent` …: what the trial used of the machine, by epoch; MLflow shows these on a page of their own, hence
  `system/fold_2/…` with several folds;
- `test/roc_auc` with `_low` and `_high`, `baseline/roc_auc`: of the run `final` alone: its score on the test part, the ends
  of its 95 % interval, and what the trivial answer scores there;
- `parameters`, `latency_ms`, `train_s` …: facts of the trained model, which have no curve.
"""

from __future__ import annotations

import re

from tuner.domain.spec import RESOURCE_METRICS, StudySpec
from tuner.domain.states import StudyState, TrialState

TRIAL_STATUS = {
    TrialState.WAITING: "SCHEDULED",
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
    TrialState.CANCELLED: "KILLED",
}
STUDY_STATUS = {
    StudyState.COMPLETED: "FINISHED",
    StudyState.FAILED: "FAILED",
    StudyState.CANCELLED: "KILLED",
}  # the others: RUNNING
SYSTEM = "system/"
FINAL_RUN = "final"


def experiment(study_name: str, study_id: int) -> str:
    """MLflow does not free the name of a deleted experiment, hence the id."""
    return f"{study_name} (#{study_id})"


def trial_run(number: int) -> str:
    return f"trial {number}"


def registered(study_name: str, study_id: int, *, is_taken: bool = False) -> str:
    """The study's name as MLflow's registry and `models:/NAME@alias` take it; one that had to change tells the study.

    Args:
        study_name: of the study.
        study_id: of the study.
        is_taken: by a model of somebody else, who goes on with it.
    """
    cleaned = re.sub(r"^\.(?=\.|$)|^\s+|[/:?]", "_", study_name)
    return cleaned if cleaned == study_name and not is_taken else f"{cleaned} (#{study_id})"


def curve(metric: str, *, fold: int, step: int, rounds: int) -> tuple[str, int]:
    """Name and step under which a reported metric is shown."""
    if step == 0 and rounds > 1:  # the result of a whole fold; loops of one's own may count from 0
        return key(f"folds/{metric}"), fold
    if rounds == 1 and fold == 0:
        return key(metric), step
    if metric.startswith(SYSTEM):
        return key(f"{SYSTEM}fold_{fold}/{metric.removeprefix(SYSTEM)}"), step
    return key(f"fold_{fold}/{metric}"), step


def final(metric: str, *, external: bool) -> str:
    """Name of a metric of a trial's result."""
    is_fact = metric in RESOURCE_METRICS or (not external and "/" not in metric)
    return key(metric if is_fact else f"best/{metric}")


def objective(spec: StudySpec, index: int = 0) -> str:
    """Name of an objective's value."""
    objectives = spec.objectives or []
    return "objective" if len(objectives) < 2 else key(f"objective/{objectives[index].metric}")


def key(name: str) -> str:
    """The name as MLflow accepts keys: no characters but its own, no empty or dotted part, at most 250 long."""
    cleaned = re.sub(r"[^\w.\- :/]", "_", name, flags=re.ASCII)[:250]
    parts = [re.sub(r"^\.+$|^\.\.", lambda dots: "_" * len(dots.group()), part) for part in cleaned.split("/") if part]
    return "/".join(parts) or "_"


def is_ours(tag: str) -> bool:
    """Whether a tag's name is taken by MLflow or by us, so that a user's tag must not have it."""
    return tag.startswith(("mlflow.", "tuner."))
