"""`make bench`: measures the rows of the table of speed and writes it down.

Owns the order, the choice of rows and the files: `.bench/<row>.json`, `.bench/results.json`, `docs/benchmarks.md`. Each
row runs in a process of its own, so one that fails costs no other.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from benchmarks import machine, report
from benchmarks.result import Row

ROWS = {
    1: "row1_storage",
    2: "row2_trivial",
    3: "row3_tracked",
    4: "row4_goodput",
    5: "row5_tracking",
    6: "row6_first_epoch",
    7: "row7_epoch",
}
FOLDER = Path(".bench")
PAGE = Path("docs/benchmarks.md")
LIMIT_S = 1500  # of one row
END_TIMEOUT_S = 120


def main() -> None:
    asked = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # unwinds, and so ends whatever was started
    if asked.into is not None:
        _measure_here(asked.rows[0], asked.rounds, asked.into, quick=asked.quick)
        return
    FOLDER.mkdir(exist_ok=True)
    about = machine.describe()
    print(report.heading(about), flush=True)
    failed = [number for number in asked.rows if not _measure(number, asked)]
    rows = [_read(number) for number in asked.rows if number not in failed]
    result = {"machine": about, "quick": asked.quick, "rows": [row.to_json() for row in rows], "failed": failed}
    (FOLDER / "results.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(report.table(rows), flush=True)
    if not asked.quick and set(asked.rows) == set(ROWS) and not failed:
        PAGE.write_text(report.page(about, rows), encoding="utf-8")
        print(f"written: {PAGE}, {FOLDER / 'results.json'}")
    else:
        print(f"written: {FOLDER / 'results.json'}; {PAGE} is written by a whole run alone")
    if failed:
        sys.exit(f"rows that failed: {', '.join(map(str, failed))}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure the table of speed.")
    parser.add_argument("--rows", type=_rows, default=list(ROWS), help="for example 1,3; left out: all")
    parser.add_argument("--rounds", type=int, help="pairs a row; left out: five or more, three for row 3")
    parser.add_argument("--quick", action="store_true", help="one small round: does everything still run?")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _rows(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    unknown = set(numbers) - set(ROWS)
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no row {min(unknown)}")
    return numbers


def _measure(number: int, asked: argparse.Namespace) -> bool:
    """Measures a row in a process of its own; prints what came out."""
    into = FOLDER / f"{number}.json"
    into.unlink(missing_ok=True)
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.run", "--rows", str(number), "--into", str(into)]
    command += ["--rounds", str(asked.rounds)] if asked.rounds else []
    command += ["--quick"] if asked.quick else []
    began = time.monotonic()
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (FOLDER / f"{number}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            process.wait(LIMIT_S)
        except BaseException as error:
            _end(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
    if not into.exists():
        print(f"row {number} failed; see {FOLDER / f'{number}.log'}", flush=True)
        return False
    print(report.details(_read(number), time.monotonic() - began), flush=True)
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """So that it ends what it started; by force if that takes too long."""
    process.terminate()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _measure_here(number: int, rounds: int | None, into: Path, *, quick: bool) -> None:
    module = importlib.import_module(f"benchmarks.{ROWS[number]}")
    try:
        row = module.measure(rounds or (1 if quick else module.ROUNDS), quick=quick)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)
    into.write_text(json.dumps(row.to_json(), indent=1) + "\n", encoding="utf-8")


def _read(number: int) -> Row:
    return Row.from_json(json.loads((FOLDER / f"{number}.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
