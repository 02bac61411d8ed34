"""Chaos: short trials under a seeded schedule of faults, done to the real processes one after another; then the count.

`make chaos`, or `python -m tests.chaos.run --seed 7`. Exits with 1 where anything was lost, doubled or taken that should not
be, 95 in 100 recoveries took longer than lease + 5 s, or a bad network cost more than a minute.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Sequence

from tests.chaos import verdict, world
from tests.chaos.faults import KINDS, NETWORK
from tests.chaos.verdict import Verdict
from tests.folders import data_folder
from tests.whole import free_port

RECOVERY_S = world.LEASE_S + 5.0
HANG_S = 60.0  # after a network fault
STUDIES = 6
PAUSE_S = 1.0  # between two faults, at most

Recoveries = dict[str, list[float | None]]  # by kind, of each fault; None: nothing had to recover


def schedule(seed: int, each: int, more: int) -> list[str]:
    """Kinds in the order in which they come: each kind `each` times, and `more` drawn from all."""
    chance = random.Random(seed)
    kinds = list(KINDS) * each + chance.choices(list(KINDS), k=more)
    chance.shuffle(kinds)
    return kinds


def run(*, seed: int, trials: int, kinds: Sequence[str], studies: int = STUDIES) -> tuple[Verdict, Recoveries]:
    """Does the faults while the trials train, and counts once everything has ended."""
    chance = random.Random(seed)
    recoveries: Recoveries = defaultdict(list)
    port = free_port()
    with data_folder() as folder, world.running(folder, port) as everything:
        for number in range(studies):
            share = trials // studies + (number < trials % studies)
            everything.submit(share, sampler={"name": ("tpe", "random")[number % 2], "seed": number})
        for number, kind in enumerate(kinds, start=1):
            took_s = KINDS[kind](everything, chance)
            recoveries[kind].append(took_s)
            _say(f"{number:4d}/{len(kinds)}  {kind}{'' if took_s is None else f': {took_s:.1f} s'}")
            time.sleep(chance.uniform(0.0, PAUSE_S))
        return verdict.reach(everything), recoveries


def tell(found: Verdict, recoveries: Recoveries) -> bool:
    """Prints the figures; whether all is as promised."""
    _say(f"\n{'fault':38s} {'times':>5s} {'median s':>9s} {'longest s':>9s}")
    for kind in KINDS:
        took = _seconds(recoveries, [kind])
        figures = f"{statistics.median(took):9.1f} {max(took):9.1f}" if took else f"{'-':>9s} {'-':>9s}"
        _say(f"{kind:38s} {len(recoveries.get(kind, [])):5d} {figures}")
    took = sorted(_seconds(recoveries, [kind for kind in KINDS if kind not in NETWORK]))
    p95_s = took[min(len(took) - 1, int(0.95 * len(took)))] if took else 0.0
    hang_s = max(_seconds(recoveries, NETWORK), default=0.0)
    after_children = [epochs for reason, epochs in found.repeated if reason == "child-died"]
    n_faults = sum(map(len, recoveries.values()))
    _say(f"""
faults                        {n_faults}
trials asked for              {found.trials}
trials lost                   {found.lost}
trials doubled                {found.doubled}
reports lost                  {found.reports_lost}
stale writes taken            {found.stale_writes}
recovery, median              {statistics.median(took) if took else 0.0:.1f} s
recovery, 95th percentile     {p95_s:.1f} s (promised: {RECOVERY_S:g})
longest hang by network       {hang_s:.1f} s (promised: {HANG_S:g})
epochs done twice             {sum(epochs for _, epochs in found.repeated)}
  after one child's death     {max(after_children, default=0)} at most""")
    return found.is_clean and p95_s <= RECOVERY_S and hang_s <= HANG_S


def _seconds(recoveries: Recoveries, kinds: Collection[str]) -> list[float]:
    return [each for kind in kinds for each in recoveries.get(kind, []) if each is not None]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--each", type=int, default=6, help="how often each kind of fault comes")
    parser.add_argument("--more", type=int, default=4, help="faults beyond these, of kinds drawn at random")
    given = parser.parse_args()
    _say(f"seed {given.seed}, lease {world.LEASE_S:g} s, three workers of one slot")
    kinds = schedule(given.seed, given.each, given.more)
    sys.exit(0 if tell(*run(seed=given.seed, trials=given.trials, kinds=kinds)) else 1)


if __name__ == "__main__":
    main()
