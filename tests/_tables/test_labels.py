"""Labels of every type that a table may have."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skhuihen import HUIHENClassifier
from skhuihen._tables.labels import as_labels

N = 40
WHOLE = [0, 1] * (N // 2)
BOOLEAN = [False, True] * (N // 2)
LABELS = {
    "objects": np.array(WHOLE, dtype=object),
    "boolean objects": np.array(BOOLEAN, dtype=object),
    "mixed objects": np.array([0, True] * (N // 2), dtype=object),
    "numpy objects": np.array([np.bool_(value) for value in BOOLEAN], dtype=object),
    "series of objects": pd.Series(WHOLE, dtype=object),
    "decimals": np.array([Decimal(value) for value in WHOLE], dtype=object),
    "Int64": pd.Series(WHOLE, dtype="Int64"),
    "boolean": pd.Series(BOOLEAN, dtype="boolean"),
    "Float64": pd.Series(WHOLE, dtype="Float64"),
    "Arrow integers": pd.Series(WHOLE, dtype="int8[pyarrow]"),
    "Arrow booleans": pd.Series(BOOLEAN, dtype="bool[pyarrow]"),
    "category": pd.Series(WHOLE, dtype="category"),
    "polars": pl.Series(BOOLEAN),
    "pyarrow": pa.chunked_array([WHOLE]),
    "index": pd.Index(WHOLE, dtype="Int64"),
    "list": BOOLEAN,
}
IS_BOOLEAN = ("boolean objects", "numpy objects", "boolean", "Arrow booleans", "polars", "list")
every_kind = pytest.mark.parametrize("kind", LABELS)


@pytest.fixture(scope="module")
def X() -> pd.DataFrame:
    return pd.DataFrame({"age": np.random.default_rng(0).normal(size=N)})


def quick() -> HUIHENClassifier:
    return HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0)


@every_kind
def test_labels_are_what_they_mean(kind: str) -> None:
    found = as_labels(LABELS[kind])
    np.testing.assert_array_equal(found, WHOLE)
    assert (found.dtype == bool) == (kind in IS_BOOLEAN)
    assert found.dtype.kind in ("f" if kind in ("decimals", "Float64") else "ib")


@every_kind
def test_every_method_takes_them(kind: str, X: pd.DataFrame) -> None:
    y = LABELS[kind]
    wanted = quick().fit(X, np.array(WHOLE)).predict_proba(X)
    model = quick().fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), wanted)
    assert model.predict(X).dtype.kind == model.classes_.dtype.kind in "bif"
    assert model.partial_fit(X, y, classes=y[:2]).n_iter_ == 2
    assert quick().partial_fit(X, y, classes=y[:2]).classes_.tolist() == [0, 1]
    warm = quick().warm_start_from(X, y, teacher=None).fit(X, np.array(WHOLE))
    assert warm.predict_proba(X).shape == (N, 2)


@pytest.mark.parametrize("kind", ["boolean", "Int64", "objects", "Arrow booleans"])
def test_label_columns_of_parquet(kind: str, X: pd.DataFrame, tmp_path: Any) -> None:
    path = tmp_path / "X.parquet"
    X.assign(overdue=LABELS[kind]).to_parquet(path)
    model = quick().fit(path, "overdue")
    wanted = quick().fit(X, np.array(WHOLE)).predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), wanted)
    assert quick().partial_fit(path, "overdue").classes_.tolist() == [0, 1]


@pytest.mark.parametrize(
    "missing",
    [
        pd.Series([*WHOLE[1:], None], dtype="Int64"),
        pd.Series([*BOOLEAN[1:], None], dtype="boolean"),
        pd.Series([*WHOLE[1:], None], dtype="int8[pyarrow]"),
        np.array([*WHOLE[1:], None], dtype=object),
        np.array(["good", *["bad"] * (N - 2), None], dtype=object),
        pl.Series([*WHOLE[1:], None]),
        [*WHOLE[1:], np.nan],
    ],
    ids=str,
)
def test_missing_labels_are_counted(missing: Any, X: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=rf"Input y contains NaN: 1 of {N} labels are missing"):
        quick().fit(X, missing)
    with pytest.raises(ValueError, match=rf"Input y contains NaN: 1 of {N} labels are missing"):
        quick().partial_fit(X, missing)
    with pytest.raises(ValueError, match=rf"Input old_y contains NaN: 1 of {N} labels"):
        quick().warm_start_from(X, missing, teacher=None)


def test_texts_beside_numbers_are_refused(X: pd.DataFrame) -> None:
    mixed = np.array([0, "1"] * (N // 2), dtype=object)
    with pytest.raises(ValueError, match=r"labels of the types int and str.*\.astype\(int\)"):
        quick().fit(X, mixed)
    with pytest.raises(ValueError, match="old_y contains labels of the types int and str"):
        quick().warm_start_from(X, mixed, teacher=None)
