"""The configs of the built-in trainers: every hyperparameter with default, range and meaning; imports no torch.

Owns what can be tuned. How a value is used is told where it is used: `optimizers`, `schedules`, `losses`,
`augmentation`, `networks`, `loop`.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainers.hyperparameters import choice, number, switch, whole

PRESETS = ("none", "light", "strong")
BY_PRESET = "Left out (null), the preset of `augmentation` decides."


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """What every network that is trained by `trainers.loop` shares."""

    learning_rate: float = number(3e-3, 1e-8, 100.0, "Peak learning rate; the schedule scales it.", log=True)
    batch_size: int = whole(
        64, 1, 65536, "Most rows per step; an epoch is cut into batches of nearly equal size.", log=True
    )
    epochs: int = whole(20, 1, 10_000, "Passes over the training part.")
    width: int = whole(
        256, 1, 16_384, "Units of the first hidden layer; each next layer has half, at least 8.", log=True
    )
    depth: int = whole(2, 0, 8, "Hidden layers; 0 is a linear model.")
    activation: str = choice("relu", ("relu", "leaky_relu", "gelu", "silu", "tanh"), "Between layers.")
    batch_norm: bool = switch("Batch normalisation before each activation.")
    dropout: float = number(0.0, 0.0, 0.95, "Share of hidden units dropped in training.")
    weight_decay: float = number(
        1e-3,
        0.0,
        0.9,
        "Share of each weight removed per epoch at the peak of the schedule, whatever the optimizer, the learning "
        "rate and the batch size; biases and norms are spared.",
        log=True,
    )
    l1: float = number(0.0, 0.0, 10.0, "Factor of the sum of absolute weights in the loss.", log=True)
    label_smoothing: float = number(0.0, 0.0, 0.9, "Share of the target spread over all classes; classification only.")
    class_weighting: str = choice(
        "none",
        ("none", "balanced", "sampling"),
        "`balanced` weighs rows by the inverse frequency of their class; `sampling` draws each class as often as every other.",
    )
    threshold: str = choice(
        "auto",
        ("auto", "none", "accuracy", "balanced_accuracy", "f1", "sensitivity"),
        "For two classes: what the probability is chosen for, on validation, from which on a row is taken for the second; none "
        "is 0.5, and auto follows the objective. Probabilities and metrics stay as they are.",
    )
    min_specificity: float = number(
        0.95, 0.0, 1.0, "For threshold sensitivity: it is the highest at which specificity is at least this."
    )
    optimizer: str = choice(
        "adamw",
        ("sgd", "adam", "adamw"),
        "As weight decay is decoupled for all of them, `adam` and `adamw` are the same.",
    )
    momentum: float = number(0.9, 0.0, 0.999, "For sgd.")
    nesterov: bool = switch("For sgd: Nesterov's momentum, where momentum is above 0.")
    beta1: float = number(0.9, 0.0, 0.999, "For adam and adamw: memory of the gradient's mean.")
    beta2: float = number(0.999, 0.5, 0.99999, "For adam and adamw: memory of the gradient's square.")
    loss: str = choice(
        "auto",
        ("auto", "cross_entropy", "focal", "mse", "huber"),
        "`auto` is cross_entropy for classification and mse for regression.",
    )
    focal_gamma: float = number(2.0, 0.0, 10.0, "For focal: how much easy rows are played down.")
    huber_delta: float = number(1.0, 1e-3, 100.0, "For huber: where it turns linear, in target deviations.", log=True)
    schedule: str = choice(
        "cosine", ("constant", "step", "exponential", "cosine", "one_cycle"), "Course of the learning rate."
    )
    warmup_fraction: float = number(
        0.0, 0.0, 0.9, "Share of all steps in which the learning rate rises; one_cycle takes 0 as 0.3."
    )
    gradient_clip: float = number(0.0, 0.0, 1e6, "Greatest norm of the gradient; 0 is off.", log=True)
    early_stopping_patience: int = whole(
        0,
        0,
        10_000,
        "Epochs without improvement before training stops; 0 is off. It is one where the objective is better, or the same "
        "with a smaller loss on validation.",
    )
    mixed_precision: bool = switch("bfloat16 for the forward pass in training on CUDA; elsewhere without effect.")
    augmentation: str = choice("none", PRESETS, "Preset of the strengths below.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig(TrainingConfig):
    """What the trainers of images share: how these are changed in training."""

    flip_p: float | None = number(
        None, 0.0, 1.0, f"Chance of a left-right flip; 0 in all presets, as a flipped digit is none. {BY_PRESET}"
    )
    rotate_deg: float | None = number(None, 0.0, 15.0, f"Rotation by up to so many degrees. {BY_PRESET}")
    crop_pad: int | None = whole(None, 0, 4, f"Shift by up to so many pixels each way. {BY_PRESET}")
    cutout: int | None = whole(None, 0, 64, f"Side in pixels of a square that is blanked. {BY_PRESET}")
    mixup_alpha: float | None = number(None, 0.0, 4.0, f"Mixing of rows by Beta(alpha, alpha). {BY_PRESET}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMlpConfig(ImageConfig):
    """`image-mlp`: flattened pixels through fully connected layers, for example 784-256-128-10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCnnConfig(ImageConfig):
    """`image-cnn`: a small residual network of convolutions."""

    width: int = whole(
        16, 1, 1024, "Channels of the first block; a block that halves the image has twice as many.", log=True
    )
    depth: int = whole(
        3, 1, 32, "Residual blocks of two convolutions; from the second on each halves the image, down to 4 pixels."
    )
    batch_norm: bool = switch("Batch normalisation after each convolution.", default=True)
    dropout: float = number(0.0, 0.0, 0.95, "Share of channels' means dropped before the last layer in training.")
    epochs: int = whole(15, 1, 10_000, "Passes over the training part.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularMlpConfig(TrainingConfig):
    """`tabular-mlp`: standardised columns and embedded categories through fully connected layers."""

    width: int = whole(
        128, 1, 16_384, "Units of the first hidden layer; each next layer has half, at least 8.", log=True
    )
    batch_size: int = whole(
        32, 1, 65536, "Most rows per step; an epoch is cut into batches of nearly equal size.", log=True
    )
    epochs: int = whole(50, 1, 10_000, "Passes over the training part.")
    noise_std: float | None = number(None, 0.0, 2.0, f"Gaussian noise, in deviations of the column. {BY_PRESET}")
    feature_dropout: float | None = number(
        None, 0.0, 0.9, f"Share of cells replaced by their column's mean, or by an unknown category. {BY_PRESET}"
    )
    mixup_alpha: float | None = number(None, 0.0, 4.0, f"Mixing of rows by Beta(alpha, alpha). {BY_PRESET}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommenderConfig(TrainingConfig):
    """`recommender`: a vector for each user and each item, whose product is the score."""

    architecture: str = choice(
        "mf",
        ("mf", "two_tower"),
        "`mf` learns a vector for each user and item that it knows; `two_tower` adds what networks make of their features.",
    )
    width: int = whole(64, 1, 4096, "Numbers in a vector: the factors.", log=True)
    depth: int = whole(1, 0, 8, "Hidden layers of each tower of two_tower; 0 is linear.")
    batch_size: int = whole(
        512, 1, 65536, "Most rows per step; an epoch is cut into batches of nearly equal size.", log=True
    )
    epochs: int = whole(30, 1, 10_000, "Passes over the training part.")
    learning_rate: float = number(1e-2, 1e-8, 100.0, "Peak learning rate; the schedule scales it.", log=True)
    batch_norm: bool = switch("Batch normalisation before each activation of a tower.")
    weight_decay: float = number(
        0.1, 0.0, 0.9, "Share of each vector and weight removed per epoch at the peak of the schedule.", log=True
    )
    dropout: float = number(0.0, 0.0, 0.95, "Share of each vector's numbers, and of hidden units, dropped in training.")
    loss: str = choice(
        "auto",
        ("auto", "bpr", "softmax", "mse", "huber"),
        "For events bpr (`auto`: each negative below the item) or softmax (the item among its negatives); for ratings "
        "mse (`auto`) or huber.",
    )
    negatives: int = whole(16, 1, 4096, "For events: items drawn anew for each row, which its user has not.", log=True)
    id_dropout: float = number(
        0.1, 0.0, 0.95, "For two_tower: share of rows whose user is known by features alone, as a new one is."
    )
    augmentation: str = choice("none", ("none",), "There is none for interactions.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceConfig(TrainingConfig):
    """`sequence`: a window of a series' past, or a whole series, through a recurrent, convolutional or attending network."""

    architecture: str = choice("gru", ("gru", "tcn", "transformer"), "What reads the window, or the series.")
    window: int = whole(24, 1, 1024, "For forecasts: values of the past; a season or more.", log=True)
    horizon: int = whole(
        1, 1, 1024, "For forecasts: how many values; fix it, as results of different horizons do not compare."
    )
    max_steps: int = whole(512, 1, 4096, "For classes: most steps that are read of a series, its last ones.", log=True)
    width: int = whole(32, 1, 1024, "Units of a layer.", log=True)
    depth: int = whole(1, 1, 8, "Layers; each of tcn sees twice as far as the one before.")
    batch_norm: bool = switch("Without effect here.")
    dropout: float = number(0.0, 0.0, 0.95, "Share of units dropped in training.")
    epochs: int = whole(50, 1, 10_000, "Passes over the training part.")
    augmentation: str = choice("none", ("none",), "There is none for series.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextClassifierConfig(TrainingConfig):
    """`text-classifier`: tokens of texts in any language through a small network of one of four architectures."""

    architecture: str = choice(
        "embedding_bag",
        ("embedding_bag", "cnn", "gru", "transformer"),
        "The mean of the tokens' vectors; convolutions over neighbouring ones; recurrent units; self-attention.",
    )
    tokens: str = choice(
        "word",
        ("word", "char", "byte"),
        "What a text is cut into; a Chinese character, as any sign of a script without blanks, is a word.",
    )
    ngrams: int = whole(2, 1, 6, "Up to so many neighbouring words, characters or bytes together are a token, too.")
    min_count: int = whole(2, 1, 1000, "Texts of the training part that a token must be in to have a vector.", log=True)
    vocabulary_size: int = whole(20_000, 16, 1_000_000, "Most tokens that have a vector: the most frequent.", log=True)
    max_length: int = whole(
        256, 1, 8192, "Words, characters or bytes that are read of a text; what follows is left out.", log=True
    )
    width: int = whole(
        64, 1, 4096, "Numbers of a token's vector, and units, channels or width of the layers behind it.", log=True
    )
    depth: int = whole(
        1,
        0,
        8,
        "Layers behind the vectors: convolutions, recurrent layers or transformer blocks, at least one; behind the mean "
        "of embedding_bag fully connected ones, of which each next has half the units, at least 8.",
    )
    kernel_size: int = whole(3, 1, 15, "For cnn: neighbouring tokens that a convolution sees.")
    batch_norm: bool = switch("Batch normalisation of what is pooled of a text, or in embedding_bag's layers.")
    dropout: float = number(
        0.3, 0.0, 0.95, "Share of what is pooled of a text, and of hidden units, dropped in training."
    )
    learning_rate: float = number(3e-3, 1e-8, 100.0, "Peak learning rate; the schedule scales it.", log=True)
    epochs: int = whole(20, 1, 10_000, "Passes over the training part.")
    word_dropout: float | None = number(
        None, 0.0, 0.9, f"Share of tokens that are made unknown in training. {BY_PRESET}"
    )
