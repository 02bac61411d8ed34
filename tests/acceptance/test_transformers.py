"""Models of Hugging Face's from a worker's disk, from raw texts to answers of the final model; nothing is faked."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.families import text as real
from tests.acceptance.waiting import ended, until
from tests.unit.trainers import made_models
from tests.whole import whole_service
from trainers import catalog
from tuner import up
from tuner.client import Client, ClientError
from tuner.settings import child_environment


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[up.Service]:
    """Whose worker has a folder of models."""
    weights = tmp_path_factory.mktemp("weights")
    made_models.make(weights, "bert")
    made_models.make(weights, "gpt2")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TUNER_WEIGHTS", str(weights))
        with whole_service() as running:
            yield running


@pytest.fixture
def client(service: up.Service) -> Iterator[Client]:
    with Client(service.settings.base_url, service.admin_key) as opened:
        yield opened


def tuner(service: up.Service, *arguments: str | Path) -> None:
    settings = service.settings
    done = subprocess.run(
        [sys.executable, "-m", "tuner.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(TUNER_DATA=str(settings.data), TUNER_PORT=str(settings.port)),
    )
    assert done.returncode == 0, done.stderr


def predicted(service: up.Service, study: int, file: Path) -> pd.DataFrame:
    out = file.with_suffix(".out.csv")
    tuner(service, "predict", str(study), file, "--output", out)
    return pd.read_csv(out)


def test_texts_end_as_answers_of_a_model_that_was_fine_tuned(
    service: up.Service, client: Client, tmp_path: Path
) -> None:
    frame = real.reviews(120)
    file, name = tmp_path / "reviews.csv", f"reviews {uuid.uuid4().hex[:8]}"
    frame.to_csv(file, index=False)
    client.upload_dataset(name, data=file, text="text", target="label")
    spec = {"name": name, "dataset": name, "trainer": "text-transformer", "budget": {"trials": 1}}

    with pytest.raises(ClientError, match="text-transformer needs model: fix it"):
        client.submit(spec)
    fixed = {"model": "bert", "max_length": 16, "epochs": 1, "lora_targets": "all"}
    study = ended(client, client.submit({**spec, "fixed": fixed}).id)

    assert (study.state, study.progress.complete) == ("completed", 1)
    assert study.final is not None
    assert {"accuracy", "roc_auc"} <= set(study.final.metrics or {})
    answers = predicted(service, study.id, file)
    assert answers.columns.tolist() == ["text", "label", "neg", "pos", "prediction"]
    assert answers[["neg", "pos"]].sum(axis=1).to_numpy() == pytest.approx(1)


def test_texts_without_a_target_end_as_perplexities(service: up.Service, client: Client, tmp_path: Path) -> None:
    frame = real.reviews(120)[["text"]].assign(text=lambda each: each.text.str[:20])
    file, name = tmp_path / "texts.csv", f"texts {uuid.uuid4().hex[:8]}"
    frame.to_csv(file, index=False)
    fixed = {"model": "gpt2", "max_length": 32, "epochs": 4, "lora_rank": 0, "learning_rate": 3e-3}
    spec = tmp_path / "fine.json"
    spec.write_text(json.dumps({"fixed": fixed, "budget": {"trials": 1}}))
    tuner(service, "submit", spec, "--dataset", file, "--text", "text", "--name", name)
    study = ended(client, client.study(name).id)

    assert (study.state, study.progress.complete, study.spec.trainer) == ("completed", 1, "causal-lm")
    assert study.final is not None
    assert (study.final.metrics or {})["perplexity"].value < (study.final.baseline or {})["perplexity"]
    judged = predicted(service, study.id, file)
    assert judged.columns.tolist() == ["text", "tokens", "log_likelihood", "perplexity"]
    assert len(judged) == 120
    assert (judged.perplexity > 1).all()


WITHOUT_EXTRA = """
import sys
sys.modules["peft"] = None  # as where it is not installed
from tuner.cli import main
sys.argv = ["tuner", "worker", "--slots", "1", "--name", "bare"]
main()
"""


def test_a_worker_without_the_extra_offers_all_other_trainers_and_tells_the_cure(
    service: up.Service, client: Client, tmp_path: Path
) -> None:
    settings, log = service.settings, tmp_path / "bare.log"
    known = child_environment("TUNER_", TUNER_DATA=str(settings.data), TUNER_URL=settings.base_url)
    with log.open("wb") as out:
        worker = subprocess.Popen([sys.executable, "-c", WITHOUT_EXTRA], env=known, stdout=out, stderr=out)
    try:
        until(lambda: any(each.name == "bare" for each in client.workers().items), "the worker is there")
        offered = {each.name: {name.partition("@")[0] for name in each.trainers} for each in client.workers().items}
    finally:
        worker.terminate()
        worker.wait(60)

    bare = offered.pop("bare")
    assert bare == set(catalog.TRAINERS) - {"text-transformer", "causal-lm"}
    assert all(whole == set(catalog.TRAINERS) for whole in offered.values())
    assert log.read_text().count("pip install 'tuner[transformers]'") == 2


def test_a_model_that_no_worker_has_fails_with_the_cure(client: Client, tmp_path: Path) -> None:
    file, name = tmp_path / "texts.csv", f"lost {uuid.uuid4().hex[:8]}"
    real.reviews(60)[["text"]].to_csv(file, index=False)
    client.upload_dataset(name, data=file, text="text")
    budget = {"trials": 1, "max_failures": 1}
    spec = {"name": name, "dataset": name, "fixed": {"model": "gpt3"}, "budget": budget, "finalize": False}
    study = ended(client, client.submit(spec).id)

    assert study.state == "failed"
    error = client.trial(study.id, 0).error
    assert error is not None
    assert "there is no model 'gpt3' in the worker's folder TUNER_WEIGHTS: there are bert, gpt2" in str(error)
