"""`text-classifier`: small networks on the tokens of texts in any language, for classification and regression."""

from __future__ import annotations

import torch

from trainers import augmentation, loop, tasks, text_networks, text_preprocessing, token_ids
from trainers.configs import TextClassifierConfig
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.data import on_device


def train(
    train_part: Part,
    validation_part: Part,
    config: TextClassifierConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """Trains on one part, judges each epoch on the other and gives back the best epoch.

    Args:
        train_part: the rows to learn from; the vocabulary is fitted on them alone.
        validation_part: the rows to compare epochs by.
        config: the hyperparameters.
        report: called after each epoch; what it raises ends the training.
        device: as torch names it, `cpu` or `cuda:0`.
        seed: of weights, batches, dropout and augmentation; torch's global generator is seeded with it.
        objective: the metric and direction by which the best epoch is chosen.
        checkpoint: to go on from, and to keep the state of the training in.
    """
    torch.manual_seed(seed)
    data = on_device.prepare(train_part, validation_part, device, text_preprocessing.options(config))
    vocabulary = token_ids.FIRST + len(data.preprocessing["text"]["vocabulary"])
    network = text_networks.text_network(vocabulary, data.x_train.shape[1], data.outputs, config).to(device)
    problem = tasks.pose(data, config, mixed=False)
    augment = augmentation.of_tokens(augmentation.word_dropout_of(config), data.x_train.device, seed)
    return loop.fit(
        network,
        problem,
        data,
        config,
        report,
        augment=augment,
        seed=seed,
        objective=objective,
        checkpoint=checkpoint,
    )
