"""When the training process saves a trial's state, what it tells of it, and how a trial of several rounds goes on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.claimed import attempt
from trainers import catalog, checkpoint
from trainers.contract import State, TrialStopped
from tuner.worker import saving, training
from tuner.worker.messages import Done, Outcome, Resumed, Run, Saved, Stopped
from tuner.worker.saving import Round, Saving


class Agent:
    """What the agent is told, and whether it wants a last checkpoint."""

    def __init__(self, folder: Path, *, wants: bool = False, found: str | None = None, **changes: Any) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "files").mkdir(exist_ok=True)
        self.told: list[Saved | Resumed] = []
        self.run = Run(
            attempt=attempt(**{"fixed": {"epochs": 4, "dropout": 0.2}} | changes),
            folder=str(folder / "files"),
            checkpoint=found,
            checkpoint_folder=str(folder),
        )
        self.saving = Saving(self.run, lambda: wants, self.told.append)


def state(step: int) -> State:
    return {"step": step, "weights": torch.full((5,), float(step))}


def test_a_short_trial_saves_nothing_unless_it_is_asked_to(tmp_path: Path) -> None:
    idle, asked = Agent(tmp_path / "idle"), Agent(tmp_path / "asked", wants=True)

    for agent in (idle, asked):
        Round(agent.saving, 0).save(1, lambda: state(1))
        Round(agent.saving, 0).save(2, lambda: state(2), stopping=True)

    assert idle.told == []
    assert [(told.fold, told.step) for told in asked.told] == [(0, 2)]


def test_the_newest_two_are_kept_and_each_is_told_with_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "FIRST_S", 0.0)
    monkeypatch.setattr(saving, "SHARE", 1e12)  # so that every epoch is due
    agent = Agent(tmp_path)

    for step in (1, 2, 3):
        Round(agent.saving, 0).save(step, lambda step=step: state(step))  # type: ignore[misc]  # bound at once
        told = agent.told[-1]
        assert isinstance(told, Saved)
        assert told.sha256 == hashlib.sha256(Path(told.file).read_bytes()).hexdigest()

    kept = sorted(tmp_path.glob("*.*"))
    assert [checkpoint.read(file)["state"]["step"] for file in kept] == [2, 3]


def test_after_a_save_that_cost_time_the_next_waits_many_times_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "FIRST_S", 0.0)
    agent = Agent(tmp_path)

    def slow() -> State:
        time.sleep(1.0)  # the next is due after 50 s
        return state(1)

    Round(agent.saving, 0).save(1, slow)
    Round(agent.saving, 0).save(2, lambda: state(2))

    assert [told.step for told in agent.told] == [1]


def test_a_disk_that_takes_nothing_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(saving, "FIRST_S", 0.0)
    agent = Agent(tmp_path)
    (tmp_path / "1.draft").mkdir()  # where it would be written

    Round(agent.saving, 0).save(1, lambda: state(1))

    assert agent.told == []
    assert "no checkpoint of epoch 1: " in capsys.readouterr().err
    assert list(tmp_path.glob("*.checkpoint")) == []


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", None])
def test_a_bad_file_is_told_of_and_training_begins_at_the_beginning(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.fetched"
    if content is None:
        checkpoint.write(file, {"step": 1})  # whole, and no trial's
    else:
        file.write_bytes(content)

    agent = Agent(tmp_path, found=str(file))

    assert agent.saving.found is None
    assert agent.saving.load(0) is None
    assert "the checkpoint cannot be used" in capsys.readouterr().err


class Told:
    """The reports of a trial; stops it where it is told to."""

    def __init__(self, stop_at: tuple[int, int] | None = None) -> None:
        self.reports: list[tuple[int, int, float]] = []
        self._stop_at = stop_at

    def __call__(self, fold: int, step: int, metrics: Mapping[str, float]) -> None:
        self.reports.append((fold, step, metrics["val/loss"]))
        if (fold, step) == self._stop_at:
            raise TrialStopped


def comparable(outcome: Outcome) -> dict[str, float]:
    assert isinstance(outcome, Done), outcome
    return {name: value for name, value in outcome.metrics.items() if name not in {"train_s", "latency_ms"}}


@pytest.mark.parametrize(("folds", "stop_at"), [(1, (0, 2)), (3, (0, 1)), (3, (1, 2)), (3, (2, 4))])
def test_a_trial_goes_on_in_its_round_and_does_no_round_again(
    tmp_path: Path, folds: int, stop_at: tuple[int, int]
) -> None:
    whole = Agent(tmp_path / "whole", folds=folds)
    straight = Told()
    expected = training.run_trial(whole.run, "cpu", straight, whole.saving)
    first = Agent(tmp_path / "first", wants=True, folds=folds)
    before = Told(stop_at)
    assert training.run_trial(first.run, "cpu", before, first.saving) == Stopped()
    assert isinstance(first.told[-1], Saved)

    second = Agent(tmp_path / "second", folds=folds, found=first.told[-1].file)
    after = Told()
    outcome = training.run_trial(second.run, "cpu", after, second.saving)

    assert second.saving.found == stop_at
    assert second.told[0] == Resumed(fold=stop_at[0], step=stop_at[1])  # on a slow machine it saves later on, too
    assert before.reports + after.reports == straight.reports
    assert comparable(outcome) == comparable(expected)
    curves = Path("files", "curves.json")
    assert (tmp_path / "second" / curves).read_bytes() == (tmp_path / "whole" / curves).read_bytes()


def test_a_trial_that_was_stopped_twice_still_has_its_earlier_rounds(tmp_path: Path) -> None:
    whole = Agent(tmp_path / "whole", folds=3)
    expected = training.run_trial(whole.run, "cpu", Told(), whole.saving)
    found: str | None = None
    for i, stop_at in enumerate([(1, 1), (2, 2)]):
        agent = Agent(tmp_path / str(i), wants=True, folds=3, found=found)
        training.run_trial(agent.run, "cpu", Told(stop_at), agent.saving)
        assert isinstance(agent.told[-1], Saved)
        found = agent.told[-1].file

    last = Agent(tmp_path / "last", folds=3, found=found)
    outcome = training.run_trial(last.run, "cpu", Told(), last.saving)

    assert comparable(outcome) == comparable(expected)


def test_a_trainer_need_not_know_of_checkpoints() -> None:
    def old(train_part: object, validation_part: object, config: object, report: object, *, device: str) -> None: ...

    assert not catalog.takes_checkpoint(old)  # type: ignore[arg-type]  # gives nothing
    assert all(catalog.takes_checkpoint(catalog.load(trainer)) for trainer in catalog.TRAINERS.values())
