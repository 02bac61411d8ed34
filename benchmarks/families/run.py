"""Tuned champions beside usual answers: `python -m benchmarks.families.run [FAMILY …] [--seconds S] [--seeds N] [--write]`.

One service runs our side of all families, sets and splits; then, with nothing else running, the libraries get for each of
these the wall time that ours took. `--write` puts the tables into `docs/families.md`.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from pathlib import Path

from benchmarks import machine, report, service
from benchmarks.families import table, tuned, usual
from benchmarks.families.problem import Family, Problem, Result
from benchmarks.families.table import Sides

FAMILIES = ("tabular", "text", "image", "audio", "recommender", "sequence", "series_classes")
SEEDS = 5

Ran = list[tuple[Problem, Result]]
"""Our side of a family's problems."""


def main(*names: str) -> None:
    """Runs those families, or those of the command line."""
    given = _arguments(names)
    families = [_family(name) for name in given.families or FAMILIES]
    heading = report.heading(machine.describe())
    print(heading, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        ours = _ours(families, Path(scratch), given.seconds, given.seeds)
        for family in families:
            measured = f"{table.of_sets(_beside(family, ours[family.name]))}\n\n{heading}."
            print(f"\n{family.name}\n\n{measured}\n", flush=True)
            if given.write:
                table.write(table.PAGE, family.name, measured)


def _arguments(names: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    if not names:
        parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(FAMILIES)}; left out: all")
    parser.set_defaults(families=names)
    parser.add_argument("--seconds", type=float, help="of search a split of a set; left out: the family's own")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many splits")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {table.PAGE}")
    return parser.parse_args()


def _family(name: str) -> Family:
    found: Family = importlib.import_module(f"benchmarks.families.{name}").FAMILY
    return found


def _ours(families: list[Family], scratch: Path, seconds: float | None, seeds: int) -> dict[str, Ran]:
    """By family's name, what one service made of its problems."""
    found: dict[str, Ran] = {family.name: [] for family in families}
    with service.running() as running:
        for family in families:
            for seed in range(seeds):
                for problem in family.problems(seed, scratch / family.name):
                    result = tuned.search(running.client, family, problem, seconds or family.seconds)
                    found[family.name].append((problem, result))
                    _tell(problem, family.trainer, result)
    return found


def _beside(family: Family, ours: Ran) -> dict[str, tuple[Problem, Sides]]:
    """By set's name: the results of everybody, ours first."""
    found: dict[str, tuple[Problem, Sides]] = {}
    for problem, mine in ours:
        _, sides = found.setdefault(problem.name, (problem, {}))
        sides.setdefault(f"{family.trainer}, tuned", []).append(mine)
        for each in family.usual:
            theirs = usual.search(each, problem, mine.seconds)
            sides.setdefault(each.name, []).append(theirs)
            _tell(problem, each.name, theirs)
    return found


def _tell(problem: Problem, who: str, result: Result) -> None:
    metric = problem.metrics[0]
    effort = f"{result.tried} tried in {result.seconds:.1f} s"
    print(f"{problem.name}, split {problem.seed}, {who}: {metric} {result.scores[metric]:.4f}, {effort}", flush=True)


if __name__ == "__main__":
    main()
