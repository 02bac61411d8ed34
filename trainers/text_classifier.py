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
    """Trains on texts, as `trainers.contract.Train` says; the vocabulary is fitted on the training part alone."""
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
