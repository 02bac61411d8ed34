"""The table of built-in data sets, so that a study can be validated without loading one; imports nothing heavy."""

from __future__ import annotations

from dataclasses import replace

from trainers.data.info import Column, DatasetInfo

CELL_MEASURES = (
    *("radius", "texture", "perimeter", "area", "smoothness"),
    *("compactness", "concavity", "concave points", "symmetry", "fractal dimension"),
)

BUILTIN: dict[str, DatasetInfo] = {
    info.name: replace(info, columns=tuple(Column(name, "number") for name in info.feature_names))
    for info in (
        DatasetInfo(
            name="digits",
            kind="image",
            task="classification",
            rows=1797,
            shape=(8, 8),
            class_names=tuple("0123456789"),
            class_counts=(178, 182, 177, 183, 181, 182, 181, 179, 174, 180),
            digest="sha256:7f66122cb178155af1d3ac437aeb64a2a4ac76b172633dc2f9b834cfc99ab83c",
        ),
        DatasetInfo(
            name="breast_cancer",
            kind="tabular",
            task="classification",
            rows=569,
            shape=(30,),
            feature_names=(
                *(f"mean {measure}" for measure in CELL_MEASURES),
                *(f"{measure} error" for measure in CELL_MEASURES),
                *(f"worst {measure}" for measure in CELL_MEASURES),
            ),
            class_names=("malignant", "benign"),
            class_counts=(212, 357),
            digest="sha256:b82aacf30e7d82126117c7fad5f61a86b0bc68a8c1e226cf176bd147533f43e9",
        ),
        DatasetInfo(
            name="wine",
            kind="tabular",
            task="classification",
            rows=178,
            shape=(13,),
            feature_names=(
                *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids"),
                *("nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue"),
                *("od280/od315_of_diluted_wines", "proline"),
            ),
            class_names=("class_0", "class_1", "class_2"),
            class_counts=(59, 71, 48),
            digest="sha256:8b2599faa2bc817c639d15bb2b99fac96357eb139ca85106e7678c04b6385d60",
        ),
        DatasetInfo(
            name="iris",
            kind="tabular",
            task="classification",
            rows=150,
            shape=(4,),
            feature_names=("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
            class_names=("setosa", "versicolor", "virginica"),
            class_counts=(50, 50, 50),
            digest="sha256:d0cb33fb3a8ba8176b2eaa71073b168351201a6afade33e4edc3b9b61849ce76",
        ),
        DatasetInfo(
            name="diabetes",
            kind="tabular",
            task="regression",
            rows=442,
            shape=(10,),
            feature_names=("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
            digest="sha256:42ec03d2724bc9ec77af7695a953b9ccd1c7609b4b35dcb556a24e19f6e7f22f",
        ),
    )
}
