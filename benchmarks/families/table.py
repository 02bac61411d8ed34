"""The figures as `docs/families.md` shows them: means and sample standard deviations over the splits, in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.families.problem import Problem, Result

PAGE = Path("docs/families.md")

Sides = dict[str, list[Result]]
"""By who answered, ours first: a result for each split, in the same order."""


def of_sets(found: Mapping[str, tuple[Problem, Sides]]) -> str:
    """A table for each list of metrics that sets share, by the sets' names; of each set one of its problems is told."""
    by_metrics: dict[tuple[str, ...], list[str]] = {}
    for name, (problem, sides) in found.items():
        by_metrics.setdefault(problem.metrics, []).extend(_lines(name, problem, sides))
    return "\n\n".join("\n".join([*_head(metrics), *lines]) for metrics, lines in by_metrics.items())


def write(page: Path, family: str, measured: str) -> None:
    """Puts what was measured between a page's marks of a family, in the place of what was there."""
    begin, end = f"<!-- measured: {family} -->\n", f"<!-- end of {family} -->\n"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    assert ended, f"{page} has no marks of {family}"
    page.write_text(f"{before}{begin}\n{measured}\n\n{end}{after}", encoding="utf-8")


def _head(metrics: tuple[str, ...]) -> list[str]:
    names = ["set", "", *metrics, f"ours less theirs, {metrics[0]}", "ours better in", "tried", "seconds"]
    return [_line(names), "|---" * len(names) + "|"]


def _lines(name: str, problem: Problem, sides: Sides) -> list[str]:
    """A line for each side; ours, the first, has nothing to be compared with."""
    ours = next(iter(sides.values()))
    lines = []
    for who, results in sides.items():
        means = [_spread([each.scores[m] for each in results if m in each.scores]) for m in problem.metrics]
        compared = ["", ""] if results is ours else _compared(problem, ours, results)
        effort = [f"{statistics.mean(each.tried for each in results):.0f}"]
        effort.append(f"{statistics.mean(each.seconds for each in results):.1f}")
        lines.append(_line(["" if lines else name, who, *means, *compared, *effort]))
    return lines


def _compared(problem: Problem, ours: Sequence[Result], theirs: Sequence[Result]) -> list[str]:
    metric = problem.metrics[0]
    less = [mine.scores[metric] - other.scores[metric] for mine, other in zip(ours, theirs, strict=True)]
    return [_spread(less, sign="+"), f"{sum(problem.sign * each > 0 for each in less)} of {len(less)}"]


def _spread(values: Sequence[float], sign: str = "") -> str:
    if not values:
        return ""
    mean = f"{statistics.mean(values):{sign}.4g}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.2g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
