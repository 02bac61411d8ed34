"""How much each parameter matters for an objective, judged by Optuna's PED-ANOVA: milliseconds, and no torch.

Owns the importances of a study.
"""

from __future__ import annotations

import math

from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection

from tuner.domain.errors import WrongStateError
from tuner.sampling import plan, quiet, snapshot
from tuner.sampling.snapshot import SnapshotStudy

MIN_TRIALS = 4  # with fewer, the best tenth and the rest are hardly different sets


def importances(connection: Connection, study_id: int, objective_index: int) -> dict[str, float]:
    """Shares that sum to 1, by parameter, the largest first.

    Raises:
        WrongStateError: too few trials are complete.
    """
    study = plan.of(connection, study_id)
    judged = SnapshotStudy(snapshot.of(connection, study))
    # PED-ANOVA holds that less is better
    sign = -1.0 if study.directions[objective_index] is StudyDirection.MAXIMIZE else 1.0

    def loss(trial: FrozenTrial) -> float:
        return sign * float(trial.values[objective_index])

    complete = judged.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
    n_usable = sum(math.isfinite(loss(trial)) for trial in complete)
    if n_usable < MIN_TRIALS:
        raise WrongStateError(
            f"importances need {MIN_TRIALS} complete trials, and study {study_id} has {n_usable}: wait for more"
        )
    quiet.hush()
    shares = get_param_importances(judged, evaluator=PedAnovaImportanceEvaluator(), target=loss)
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
