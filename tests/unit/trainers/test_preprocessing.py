import json

import numpy as np
import pytest

from trainers import preprocessing
from trainers.contract import Dataset, Part
from trainers.data.load import load


def tabular(x: np.ndarray, y: np.ndarray) -> Dataset:
    names = tuple(f"column {i}" for i in range(x.shape[1]))
    return Dataset("made", "tabular", "regression", x, y, names, (), "sha256:made")


def test_columns_and_targets_are_standardised_by_the_training_part_alone() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(5.0, 3.0, (50, 2)), rng.normal(100.0, 10.0, 50)
    x[40:], y[40:] = 1e6, -1e6  # rows that validate
    fitted = preprocessing.fit(Part(tabular(x, y), np.arange(40)))

    trained = preprocessing.apply(fitted, x[:40])
    assert np.allclose(trained.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(trained.std(axis=0), 1, atol=1e-6)
    assert fitted["target_mean"] == y[:40].mean()
    assert fitted["target_scale"] == y[:40].std()


def test_a_constant_column_becomes_zero_although_its_mean_is_rounded() -> None:
    x = np.full((10, 2), 0.1)
    x[:, 1] = np.arange(10)
    fitted = preprocessing.fit(Part(tabular(x, np.ones(10)), np.arange(10)))

    assert (preprocessing.apply(fitted, x)[:, 0] == 0).all()
    assert (fitted["scale"][0], fitted["target_scale"]) == (1.0, 1.0)


def test_a_value_far_outside_of_training_stays_finite() -> None:
    x = np.array([[0.0], [1e-45], [0.0], [1e300], [-1e300]])
    fitted = preprocessing.fit(Part(tabular(x, np.arange(5.0)), np.arange(3)))

    assert preprocessing.apply(fitted, x)[3:, 0].tolist() == [1e6, -1e6]


def test_images_are_standardised_by_channel_and_channels_come_first() -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 4, 5, 3)).astype(np.uint8)
    dataset = Dataset("made", "image", "classification", x, np.arange(20) % 2, (), ("a", "b"), "sha256:made")
    fitted = preprocessing.fit(Part(dataset, np.arange(20)))
    made = preprocessing.apply(fitted, x)

    assert made.shape == (20, 3, 4, 5)
    assert made.dtype == np.float32
    assert np.allclose(made.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    assert np.allclose(made[7, 2, 3, 1] * fitted["scale"][2] + fitted["mean"][2], x[7, 3, 1, 2], atol=1e-4)


def test_what_is_fitted_survives_json_to_the_bit() -> None:
    dataset = load("breast_cancer")
    fitted = preprocessing.fit(Part(dataset, np.arange(300)))

    assert json.loads(json.dumps(fitted, allow_nan=False)) == fitted


def test_an_infinite_value_is_refused_by_column() -> None:
    x = np.ones((5, 2))
    x[3, 1] = np.inf
    with pytest.raises(ValueError, match="'column 1' of made has values that are missing or infinite"):
        preprocessing.fit(Part(tabular(x, np.ones(5)), np.arange(5)))


def test_synthetic_rows_look_like_the_training_part_but_are_none_of_its_rows() -> None:
    dataset = load("wine")
    fitted = preprocessing.fit(Part(dataset, np.arange(100)))
    made = preprocessing.synthetic(fitted, 500, dataset.x.dtype, seed=0)

    assert made.shape == (500, 13)
    assert (made >= dataset.x[:100].min(axis=0)).all()
    assert (made <= dataset.x[:100].max(axis=0)).all()
    assert (np.abs(made.mean(axis=0) - dataset.x[:100].mean(axis=0)) < 0.2 * dataset.x[:100].std(axis=0)).all()
    assert not (made[:, None] == dataset.x[None]).all(axis=2).any()


def test_synthetic_images_have_the_type_of_real_ones() -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 4, 5, 3)).astype(np.uint8)
    dataset = Dataset("made", "image", "classification", x, np.arange(20) % 2, (), ("a", "b"), "sha256:made")
    made = preprocessing.synthetic(preprocessing.fit(Part(dataset, np.arange(20))), 3, x.dtype, seed=0)

    assert (made.shape, made.dtype) == ((3, 4, 5, 3), np.uint8)


@pytest.mark.parametrize("shape", [(30, 4, 5), (30, 4, 5, 3)])
def test_bytes_are_standardised_as_the_same_numbers_in_floats(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(20, 200, shape).astype(np.uint8)
    if len(shape) == 4:
        x[..., 1] = 7  # a constant channel
    counted, summed = (
        preprocessing.fit(
            Part(Dataset("m", "image", "classification", each, np.arange(30) % 2, (), ("a", "b"), "d"), np.arange(20))
        )
        for each in (x, x.astype(np.float64))
    )

    for key in ("mean", "scale", "low", "high"):
        assert counted.pop(key) == pytest.approx(summed.pop(key), rel=1e-12)
    assert counted == summed
