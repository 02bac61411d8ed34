"""A training that goes on in another process ends like one that was never interrupted, to the bit."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.unit.trainers.resuming import CASES, Case, Outcome, train
from trainers import checkpoint
from trainers.checkpoint import BadCheckpointError
from trainers.configs import TabularMlpConfig

Both = tuple[dict[str, Outcome], dict[str, Outcome], dict[str, Outcome]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """By case: never interrupted; up to the interruption; from there on, in a process of its own."""
    folder = tmp_path_factory.mktemp("checkpoints")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as workers do: sums over other numbers of threads are other sums
    try:
        straight = {name: train(case, folder / "none")[0] for name, case in CASES.items()}
        before = {
            name: train(case, folder / f"{i}.checkpoint", stop_after=case.stop_after)[0]
            for i, (name, case) in enumerate(CASES.items())
        }
    finally:
        torch.set_num_threads(threads)
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    printed = subprocess.run(
        [sys.executable, "-m", "tests.unit.trainers.resuming", str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=Path(__file__).parents[3],
    )
    return straight, before, json.loads(printed.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CASES)
def test_losses_best_epoch_and_weights_are_those_of_a_training_that_was_not_interrupted(
    trained: Both, name: str
) -> None:
    straight, before, after = (each[name] for each in trained)

    assert len(before["losses"]) == CASES[name].stop_after  # type: ignore[arg-type]  # a list
    assert before["losses"] + after["losses"] == straight["losses"]  # type: ignore[operator]  # lists
    assert {key: value for key, value in after.items() if key != "losses"} == {
        key: value for key, value in straight.items() if key != "losses"
    }


def test_a_case_really_uses_chance_so_that_losing_its_state_would_show(tmp_path: Path) -> None:
    case = CASES["numbers, adamw, noise and mix-up, cosine"]
    file = tmp_path / "1.checkpoint"
    straight, _ = train(case, tmp_path / "none")
    train(case, file, stop_after=case.stop_after)
    whole = checkpoint.read(file)

    for part in ("dropout", "shuffling", "draws"):
        other = torch.Generator().manual_seed(99).get_state()
        changed = {"generator": other, "mixing": whole["draws"]["mixing"]} if part == "draws" else other
        checkpoint.write(file, {**whole, part: changed})
        went_on, _ = train(case, file)
        assert went_on["weights"] != straight["weights"], part


def test_the_state_of_a_training_that_is_over_gives_the_same_result_without_an_epoch(tmp_path: Path) -> None:
    case = Case("iris", TabularMlpConfig(epochs=3, dropout=0.1), 3)
    straight, _ = train(case, tmp_path / "none")
    file = tmp_path / "1.checkpoint"
    train(case, file, stop_after=3)
    whole = checkpoint.read(file)
    checkpoint.write(file, {key: whole[key] for key in ("step", "train_s", "best")})

    again, _ = train(case, file)

    assert again["losses"] == []
    assert (again["weights"], again["best"], again["epochs"]) == (
        straight["weights"],
        straight["best"],
        straight["epochs"],
    )


@pytest.mark.parametrize("name", ["recommender, events, two towers", "sequence, gru", "classes of series, gru"])
def test_a_warm_process_trains_as_a_fresh_one_does(name: str, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for other in ("recommender, ratings, factors", "sequence, tcn"):
            train(CASES[other], tmp_path / "none")
        warm, _ = train(CASES[name], tmp_path / "none")
    finally:
        torch.set_num_threads(threads)
    script = (
        "import json, pathlib, sys, torch; from tests.unit.trainers import resuming; torch.set_num_threads(1);"
        f"print(json.dumps(resuming.train(resuming.CASES[{name!r}], pathlib.Path(sys.argv[1]))[0]))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )

    assert json.loads(printed.stdout.splitlines()[-1]) == warm


# ---- the file --------------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_under_its_name_and_nothing_else_is_left(tmp_path: Path) -> None:
    written = checkpoint.write(tmp_path / "1.checkpoint", {"step": 3, "weights": torch.arange(4.0)})

    assert [path.name for path in tmp_path.iterdir()] == ["1.checkpoint"]
    state = checkpoint.read(written.file)
    assert state["step"] == 3
    assert torch.equal(state["weights"], torch.arange(4.0))


def test_the_digest_that_is_given_is_that_of_the_file(tmp_path: Path) -> None:
    written = checkpoint.write(tmp_path / "1.checkpoint", {"step": 3})

    assert written.sha256 == hashlib.sha256(written.file.read_bytes()).hexdigest()


def test_what_cannot_be_written_leaves_the_file_before_and_no_half(tmp_path: Path) -> None:
    file = tmp_path / "1.checkpoint"
    checkpoint.write(file, {"step": 1})
    before = file.read_bytes()
    file.with_suffix(".draft").mkdir()  # where the next would be written

    with pytest.raises(OSError, match="directory"):
        checkpoint.write(file, {"step": 2})

    assert file.read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "bit", "header", "empty", "pickle"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = checkpoint.write(tmp_path / "1.checkpoint", {"step": 1, "weights": torch.zeros(100)}).file
    content = bytearray(file.read_bytes())
    if damage == "cut":
        del content[-1:]
    elif damage == "bit":
        content[len(content) // 2] ^= 1
    elif damage == "header":
        content[0:1] = b"T"
    elif damage == "empty":
        content.clear()
    else:
        content = bytearray(_with_code())
    file.write_bytes(content)

    with pytest.raises(BadCheckpointError):
        checkpoint.read(file)
    assert not (tmp_path / "ran").exists()


def _with_code() -> bytes:
    """A checkpoint with a good checksum whose pickle would call a function."""
    payload = io.BytesIO()
    torch.save({"step": _Call()}, payload)
    body = payload.getvalue()
    return f"tuner-checkpoint 1 {hashlib.sha256(body).hexdigest()} {len(body)}\n".encode() + body


class _Call:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("ran",)
