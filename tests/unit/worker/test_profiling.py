"""How much of a training is looked at: after the first epoch, a few epochs, or so many calls of layers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from tests.claimed import attempt
from tuner.worker import profiling
from tuner.worker.messages import Done, Run
from tuner.worker.profiling import Profile
from tuner.worker.saving import Saving


def events(profile: Profile, folder: Path) -> list[str]:
    profile.write(folder / "profile")
    trace = json.loads(gzip.decompress((folder / "profile" / "trace.json.gz").read_bytes()))
    return [event.get("name", "") for event in trace["traceEvents"]]


def train(profile: Profile, epochs: int, batches: int) -> None:
    layer = torch.nn.Linear(2, 2)
    for _ in range(epochs):
        for _ in range(batches):
            layer(torch.ones(3, 2)).sum().backward()
        profile.epoch_ended()


def test_two_epochs_after_the_first_are_looked_at(tmp_path: Path) -> None:
    profile = Profile("cpu")
    train(profile, 7, 5)
    profile.stop()

    assert events(profile, tmp_path).count("aten::addmm") == 2 * 5
    assert "aten::addmm" in (tmp_path / "profile" / "operators.txt").read_text()


def test_a_long_epoch_is_not_looked_at_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "MAX_CALLS", 20)
    profile = Profile("cpu")
    train(profile, 2, 50)
    profile.stop()

    assert 15 <= events(profile, tmp_path).count("aten::addmm") <= 20
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_a_trial_whose_profile_cannot_be_written_is_complete_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / profiling.FOLDER).write_text("in the way of the folder")
    run = Run(attempt=attempt(fixed={"epochs": 2}, profile=True), folder=str(tmp_path))
    outcome = profiling.run_trial(run, "cpu", lambda *_: None, Saving(run, lambda: False, lambda _: None))

    assert isinstance(outcome, Done)
    assert outcome.state == "complete"
    assert "no profile: " in capsys.readouterr().err


def test_a_training_that_ends_early_has_what_there_was(tmp_path: Path) -> None:
    profile = Profile("cpu")
    train(profile, 1, 5)
    torch.ones(2, 2) @ torch.ones(2, 2)
    profile.stop()

    assert "aten::matmul" in events(profile, tmp_path)
