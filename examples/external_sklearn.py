"""Tunes scikit-learn's gradient boosting on breast_cancer: a loop of your own, in which the service only chooses.

    tuner up                                  # in another terminal
    python examples/external_sklearn.py       # as often at once as you like: the trials are shared out

It finds the service by TUNER_URL and TUNER_KEY, or else where `tuner up` puts it on this machine.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from tuner.client import Client, ClientError

STAGES, TREES_PER_STAGE = 5, 20

SPEC = {
    "trainer": "external",
    "objectives": [{"metric": "roc_auc", "direction": "maximize"}],
    "search_space": {
        "learning_rate": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
        "max_depth": {"type": "int", "low": 1, "high": 6},
        "subsample": {"type": "float", "low": 0.3, "high": 1.0},
        "max_features": {"type": "categorical", "choices": ["sqrt", "log2", None]},
    },
    "pruner": {"name": "median", "n_startup_trials": 4},
    "budget": {"trials": 12},
}


def main(name: str) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_validation, y_train, y_validation = train_test_split(x, y, stratify=y, random_state=0)
    key = os.environ.get("TUNER_KEY") or Path(".tuner/admin.key").read_text().strip()
    with Client(os.environ.get("TUNER_URL", "http://127.0.0.1:8642"), key) as client:
        for trial in submitted(client, name).trials():
            with trial:
                model = GradientBoostingClassifier(**trial.params, random_state=trial.seed, warm_start=True)
                for stage in range(1, STAGES + 1):
                    model.set_params(n_estimators=stage * TREES_PER_STAGE).fit(x_train, y_train)
                    roc_auc = roc_auc_score(y_validation, model.predict_proba(x_validation)[:, 1])
                    trial.report(stage, roc_auc=roc_auc)
                trial.complete(roc_auc=roc_auc)
        best = client.study(name).best
    print(f"best: trial {best.number}, roc_auc {best.value:.4f}")


def submitted(client: Client, name: str):  # noqa: ANN201
    """The study, made by whichever process comes first."""
    try:
        return client.submit({**SPEC, "name": name})
    except ClientError as error:
        if error.type != "name-taken":
            raise
        return client.study(name)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "boosting")
