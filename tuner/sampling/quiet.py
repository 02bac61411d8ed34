"""Optuna's warnings and news that tell our users nothing: they named the sampler, a pruner's doubt is no fault of theirs.

Owns the process's filters for them. They are set once and stay: `warnings.catch_warnings` around each call would not be
safe between threads.
"""

from __future__ import annotations

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning

_EXPERIMENTAL = ("ignore", None, ExperimentalWarning, None, 0)


def hush() -> None:
    """Sets the filters unless they stand; something may have reset them."""
    if _EXPERIMENTAL in warnings.filters:
        return
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # CMA-ES: still the one way to set the size of its first step; and it says with every trial that it has no constraints
    warnings.filterwarnings("ignore", message=".*`sigma0` has been deprecated", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Constraints have been set, but CmaEsSampler", category=UserWarning)
    # Wilcoxon, percentile and patient: NaN among the values, or steps that the best trial does not have
    warnings.filterwarnings("ignore", module=r"optuna\.pruners\.")
    # importances of a parameter with few trials, and of studies where all trials are equally good
    warnings.filterwarnings("ignore", module=r"optuna\.importance\.")
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
