"""Finished trials of each study, kept in this process and read on by what finished since.

Owns the cache. A finished row never changes and `finish_seq` is given out with the study's row locked, in the order of
commits; so `finish_seq > seen` misses nothing.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection

from tuner.sampling import frozen
from tuner.sampling.plan import PlanKey
from tuner.store import history
from tuner.store.history import Curves

MAX_STUDIES = 64
FEW = 32  # new trials that are put in their place one by one rather than by sorting all

States = frozenset[OptunaState] | None


@dataclass(frozen=True)
class Finished:
    """Finished trials up to one `finish_seq`; never changed, so that any thread may read it.

    Attributes:
        seq: the last `finish_seq` in it.
        by_states: the trials in these states (None: all), by number. Filled as it is asked for.
    """

    seq: int = 0
    by_states: dict[States, list[FrozenTrial]] = field(default_factory=lambda: {None: []})

    def in_states(self, states: States) -> list[FrozenTrial]:
        """The shared list: copy it before changing it."""
        found = self.by_states.get(states)
        if found is None:
            assert states is not None
            found = [trial for trial in self.by_states[None] if trial.state in states]
            self.by_states[states] = found
        return found

    def extended(self, trials: Sequence[FrozenTrial], seq: int) -> Finished:
        """These and more, up to `seq`."""
        if seq == self.seq:
            return self
        return Finished(seq, {states: _merged(old, trials, states) for states, old in list(self.by_states.items())})


def _number(trial: FrozenTrial) -> int:
    return trial.number


def _merged(old: list[FrozenTrial], new: Iterable[FrozenTrial], states: States) -> list[FrozenTrial]:
    added = [trial for trial in new if states is None or trial.state in states]
    if len(added) > FEW:
        return sorted([*old, *added], key=_number)
    merged = old.copy()
    for trial in added:
        insort(merged, trial, key=_number)
    return merged


_cache: OrderedDict[tuple[PlanKey, Curves], Finished] = OrderedDict()
_lock = threading.Lock()


def read(
    connection: Connection, key: PlanKey, curves: Curves, *, but: int | None = None
) -> tuple[Finished, list[FrozenTrial]]:
    """Finished trials from the cache and what finished since, and the unfinished ones; one statement.

    Args:
        connection: of the transaction that asks.
        key: the study's, from its plan.
        curves: how much of a finished trial's curve to keep.
        but: a trial to leave out of the unfinished ones.
    """
    with _lock:
        cached = _cache.get((key, curves), Finished())
    rows = history.finished_since(connection, key[1], cached.seq, curves)
    done = [row for row in rows if row.finish_seq is not None]
    live = [frozen.for_samplers(row) for row in rows if row.finish_seq is None and row.id != but]
    live.sort(key=_number)
    # One that ended before it was sampled teaches nothing, and brute force takes it for the whole search space
    sampled = [frozen.trial(row) for row in done if row.params != "{}"]
    finished = cached.extended(sampled, max((row.finish_seq for row in done), default=cached.seq))
    _keep(key, curves, finished)
    return finished, live


def _keep(key: PlanKey, curves: Curves, finished: Finished) -> None:
    with _lock:
        kept = _cache.get((key, curves))
        if kept is None or kept.seq < finished.seq:
            _cache[key, curves] = finished
        _cache.move_to_end((key, curves))
        while len(_cache) > MAX_STUDIES:
            _cache.popitem(last=False)


def forget(key: PlanKey) -> None:
    """Drops the trials of a study that is gone."""
    with _lock:
        for each in [each for each in _cache if each[0] == key]:
            del _cache[each]
