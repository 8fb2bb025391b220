"""Model files: the same scores, nothing that runs, and whatever is altered is refused."""

from __future__ import annotations

import gzip
import importlib.util
import json
import math
import os
import pickle
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from skorch.callbacks import Callback
from xgboost import XGBClassifier

from skhuihen import (
    BehaviorAbstractor,
    BehaviorTopics,
    HUIHENClassifier,
    IntervalStatistics,
    PointsScaler,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
    load_model,
    read_manifest,
    save_model,
)
from skhuihen.datasets import make_loan_data
from skhuihen.persistence import ModelFileError
from skhuihen.persistence._archive import (
    LARGEST_FILE,
    LARGEST_JSON,
    from_json,
    pack_part,
    to_json,
    unpack_parts,
)
from skhuihen.persistence._registry import ENTRIES
from skhuihen.persistence._schema import build_rows
from skhuihen.persistence._values import ValueReader, ValueWriter
from tests.hostile import load_altered, pack, resealed, sealed, stored, unpack
from tests.models import trees

HERE = Path(__file__).parent
#: Written once, by the first version that wrote files, and never again.
FORMAT_1 = HERE / "data" / "format_1.model"

SMALL: dict[str, Any] = {
    "max_epochs": 1,
    "n_estimators": 2,
    "random_state": 0,
    "net_params": {
        "module__behavior_dim": 3,
        "module__intention_dim": 4,
        "module__habit_dim": 4,
        "module__hidden_units": (6,),
    },
}


@pytest.fixture(scope="module")
def bank() -> tuple[pd.DataFrame, np.ndarray]:
    data = make_loan_data(n_new=160, n_old=0, overdue_rate=0.4, random_state=0)
    return attach_behaviors(data.applications, data.events, lookback="30D"), np.asarray(data.y)


def steps(**params: Any) -> Any:
    """Return the usual pipeline with a tiny network."""
    return make_pipeline(
        BehaviorAbstractor(n_behaviors=12, n_items=5),
        Sessionizer(max_sessions=5),
        HUIHENClassifier(**SMALL | params),
    )


def numbers() -> Any:
    return make_union(ProfileEncoder(), WindowStatistics(["7D"], n_operations=5))


def flat(*behind: Any) -> Any:
    return make_pipeline(numbers(), SimpleImputer(), StandardScaler(), *behind)


PROFILE = ["user__age", "user__monthly_income"]

MODELS: dict[str, Any] = {
    "usual": lambda: steps(),
    "rules, known sessions, raw operations": lambda: make_pipeline(
        Sessionizer(session_gap=timedelta(hours=2), time_zone=None, max_sessions=None),
        BehaviorAbstractor(
            [{"operation": "*.back", "field": "function_widget", "behavior": "back"}],
            merge="frequency",
            lookback=pd.Timedelta("20D"),
        ),
        HUIHENClassifier(**SMALL | {"n_estimators": 1}),
    ),
    "ablated": lambda: make_pipeline(
        Sessionizer(),
        HUIHENClassifier(
            **SMALL
            | {
                "net_params": {
                    "module__time_aware": False,
                    "module__user_item_aware": False,
                    "module__field_aware": False,
                }
            }
        ),
    ),
    "flat history, double precision": lambda: HUIHENClassifier(
        **SMALL
        | {
            "dtype": "float64",
            "net_params": {"module__hierarchical": False, "module__hidden_units": ()},
        }
    ),
    "topics, stopped early": lambda: steps(
        n_topics=2, early_stopping=True, schedule="constant", n_estimators=1
    ),
    "on LightGBM": lambda: make_pipeline(
        BehaviorAbstractor(n_behaviors=12, n_items=5),
        Sessionizer(max_sessions=5),
        HUIHENClassifier(base_estimator=trees(), teacher="base", **SMALL),
    ),
    "LightGBM": lambda: make_pipeline(
        numbers(), LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1)
    ),
    "XGBoost": lambda: make_pipeline(numbers(), XGBClassifier(n_estimators=5, n_jobs=1)),
    "logistic regression on all statistics": lambda: make_pipeline(
        make_union(ProfileEncoder(), IntervalStatistics(4), BehaviorTopics(2)),
        SimpleImputer(add_indicator=True, keep_empty_features=True),
        PowerTransformer(),
        LogisticRegression(),
    ),
    "scikit-learn's transformers": lambda: make_pipeline(
        ColumnTransformer(
            [
                ("spline", SplineTransformer(n_knots=3), ["user__age"]),
                ("quantile", QuantileTransformer(n_quantiles=10), ["user__credit_inquiries"]),
                (
                    "texts",
                    OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.1),
                    make_column_selector(dtype_include=["string", object], pattern="user__"),
                ),
            ],
            remainder="drop",
        ),
        LogisticRegression(),
    ),
    "profile prepared in front": lambda: make_pipeline(
        ColumnTransformer(
            [("scaled", StandardScaler(), ["user__age"])],
            remainder="passthrough",
            verbose_feature_names_out=False,
        ).set_output(transform="pandas"),
        *steps(n_estimators=1),
    ),
    "calibrated by a sigmoid": lambda: CalibratedClassifierCV(flat(LogisticRegression()), cv=2),
    "calibrated by steps": lambda: CalibratedClassifierCV(
        flat(LogisticRegression()), cv=2, method="isotonic"
    ),
    "with a threshold": lambda: FixedThresholdClassifier(
        flat(LogisticRegression()), threshold=0.2, response_method="predict_proba"
    ),
    "with a tuned threshold": lambda: TunedThresholdClassifierCV(
        flat(LogisticRegression()), cv=2, thresholds=5, scoring="f1"
    ),
    "points of a scorecard": lambda: PointsScaler(flat(LogisticRegression()), digits=1),
    "stacked": lambda: StackingClassifier(
        [("one", flat(LogisticRegression())), ("two", flat(LogisticRegression(C=0.1)))], cv=2
    ),
    "voting": lambda: VotingClassifier(
        [("one", flat(LogisticRegression())), ("two", flat(LogisticRegression(C=0.1)))],
        voting="soft",
    ),
}


@pytest.mark.filterwarnings("ignore:.*so all topics are 0")
@pytest.mark.filterwarnings("ignore:n_quantiles")
@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_scores_to_the_bit(
    name: str, bank: tuple[pd.DataFrame, np.ndarray], tmp_path: Path
) -> None:
    X, y = bank
    model = MODELS[name]().fit(X, y)
    save_model(model, tmp_path / "a.model", X, y)
    loaded = load_model(tmp_path / "a.model")
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert without_addresses(loaded.get_params()) == without_addresses(model.get_params())
    assert without_addresses(clone(loaded)) == without_addresses(clone(model))
    # What was loaded is saved as the same.
    save_model(loaded, tmp_path / "b.model", X, y)
    parts = [read_manifest(tmp_path / f"{which}.model")["parts"] for which in "ab"]
    assert parts[0] == parts[1]


def without_addresses(value: Any) -> str:
    return re.sub(r"0x[0-9a-f]+", "", repr(value))


def test_arrays_and_text_labels(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(80, 3))
    y = np.where(X[:, 0] + random.normal(size=80) > 0, "overdue", "in time")
    for model in (HUIHENClassifier(**SMALL), make_pipeline(StandardScaler(), LogisticRegression())):
        save_model(model.fit(X, y), tmp_path / "a.model", X, y)
        loaded = load_model(tmp_path / "a.model")
        assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
        assert_array_equal(loaded.predict(X), model.predict(X))
        assert read_manifest(tmp_path / "a.model")["classes"] == ["in time", "overdue"]


def test_a_frozen_base_model_and_a_teacher_without_a_place(
    bank: tuple[pd.DataFrame, np.ndarray], tmp_path: Path
) -> None:
    X, y = bank
    base = flat(LogisticRegression()).fit(X, y)
    model = steps(base_estimator=FrozenEstimator(base), teacher=_Foreign()).fit(X, y)
    save_model(model, tmp_path / "a.model", X)
    loaded = load_model(tmp_path / "a.model")
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert loaded[-1].teacher is None
    assert read_manifest(tmp_path / "a.model")["left_out"] == ["teacher"]


class _Foreign(ClassifierMixin, BaseEstimator):
    """A class that is in no registry."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> _Foreign:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.full((len(X), 2), 0.5)


def test_training_goes_on(bank: tuple[pd.DataFrame, np.ndarray], tmp_path: Path) -> None:
    X, y = bank
    model = steps().fit(X, y)
    save_model(model, tmp_path / "a.model", X)
    loaded = load_model(tmp_path / "a.model")
    prepared = loaded[:-1].transform(X)
    before = loaded.predict_proba(X)
    loaded[-1].partial_fit(prepared, y)
    assert loaded[-1].n_iter_ == model[-1].n_iter_ + 1
    assert len(loaded[-1].history_) == len(model[-1].history_) + 2
    assert np.abs(loaded.predict_proba(X) - before).max() > 0
    with pytest.raises(ValueError, match=r"net_params=.*was changed"):
        loaded[-1].set_params(net_params={"module__habit_dim": 7}).partial_fit(prepared, y)


def test_a_warm_start_leaves_its_rows_behind(
    bank: tuple[pd.DataFrame, np.ndarray], tmp_path: Path
) -> None:
    X, y = bank
    old = make_loan_data(n_new=2, n_old=200, random_state=1)
    model = steps()
    model[-1].warm_start_from(old.old_applications, old.old_y, teacher=None)
    model.fit(X, y)
    save_model(model, tmp_path / "a.model", X)
    assert_array_equal(load_model(tmp_path / "a.model").predict_proba(X), model.predict_proba(X))


def test_the_manifest_says_what_the_model_is(
    bank: tuple[pd.DataFrame, np.ndarray], tmp_path: Path
) -> None:
    X, y = bank
    model = steps().fit(X, y)
    path = tmp_path / "a.model"
    save_model(model, path, X, y, units={"behaviors.amount": "CNY", "user__age": "years"}, note="n")
    manifest = read_manifest(path)
    assert manifest["format"] == 1
    assert manifest["note"] == "n"
    assert manifest["classes"] == [0, 1]
    assert manifest["training"]["rows"] == len(X)
    assert manifest["training"]["events"] == X["behaviors"].array.flat_length
    assert manifest["training"]["applied"][1] == str(X["applied_at"].max().date())
    assert [of["rows"] for of in manifest["training"]["labels"]] == np.bincount(y).tolist()
    assert [step["class"] for step in manifest["model"]] == [
        "BehaviorAbstractor",
        "Sessionizer",
        "HUIHENClassifier",
    ]
    assert manifest["model"][2]["parameters"]["dropout"] == "0.4"
    columns = {column["name"]: column for column in manifest["schema"]["columns"]}
    assert columns["user__age"] == {
        "name": "user__age",
        "role": "profile",
        "type": "int64",
        "missing": False,
        "unit": "years",
    }
    assert columns["user_id"]["role"] == "identifier"
    fields = {field["name"]: field for field in columns["behaviors"]["fields"]}
    assert fields["amount"]["unit"] == "CNY"
    assert fields["time"]["type"] == "timestamp[us]"
    with pytest.raises(ValueError, match="units contains 'nonsense'"):
        save_model(model, path, X, units={"nonsense": "m"})


def test_no_training_row_is_in_the_file(
    bank: tuple[pd.DataFrame, np.ndarray], tmp_path: Path
) -> None:
    X, y = bank
    X = X.assign(user_id=np.arange(len(X)) + 7_123_456_789_012_345, name="")
    X["name"] = [f"Applicant Number {i}" for i in range(len(X))]
    X["note"] = pd.Series([f"note {i}" for i in range(len(X))], dtype="category")
    income = X["user__monthly_income"].to_numpy(copy=True)
    model = make_pipeline(
        BehaviorAbstractor(n_behaviors=12, n_items=5),
        Sessionizer(max_sessions=5),
        HUIHENClassifier(
            id_columns=("user_id", "application_id", "name", "note"),
            base_estimator=make_pipeline(
                WindowStatistics(["7D"], n_operations=3),
                LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1),
            ),
            **SMALL,
        ),
    ).fit(X, y)
    save_model(model, tmp_path / "a.model", X, y)
    content = (tmp_path / "a.model").read_bytes()
    assert b"Applicant" not in content
    assert b"note 1" not in content
    for user in X["user_id"].tolist():
        assert str(user).encode() not in content
        assert np.int64(user).tobytes() not in content
        assert np.float64(user).tobytes() not in content
    # No score of a row, and no column of the table: neighbors in it are not neighbors in the file.
    scores = model[-1].oof_log_odds_
    for array in (scores, income[~np.isnan(income)]):
        for start in range(0, len(array) - 2, 2):
            for kind in (np.float64, np.float32):
                assert array[start : start + 2].astype(kind).tobytes() not in content
    assert not hasattr(load_model(tmp_path / "a.model")[-1], "oof_log_odds_")


def test_a_usual_model_is_small(bank: tuple[pd.DataFrame, np.ndarray], tmp_path: Path) -> None:
    X, y = bank
    usual = {"max_epochs": 1, "random_state": 0}
    model = make_pipeline(BehaviorAbstractor(), Sessionizer(), HUIHENClassifier(**usual)).fit(X, y)
    save_model(model, tmp_path / "a.model", X, y)
    # Five networks of 26,000 weights of four bytes, of which three and a half are noise.
    assert (tmp_path / "a.model").stat().st_size < 500_000


# --------------------------------------------------------------------------------------------------
# What is refused.


def test_what_cannot_be_saved(bank: tuple[pd.DataFrame, np.ndarray], tmp_path: Path) -> None:
    X, y = bank
    path = tmp_path / "a.model"
    with pytest.raises(TypeError, match="without predict_proba"):
        save_model(Sessionizer(), path, X)
    with pytest.raises(ValueError, match="not fitted"):
        save_model(steps(), path, X)
    model = steps().fit(X, y)
    with pytest.raises(ValueError, match=r"(?s)cannot score rows like those of X: .*user__age"):
        save_model(model, path, X.drop(columns="user__age"))
    with pytest.raises(ValueError, match="X is empty"):
        save_model(model, path, X.iloc[:0])
    model.steps[1][1].memo = lambda: None
    with pytest.raises(TypeError, match=r"steps\[1\]\[1\]\.memo is a builtins.function"):
        save_model(model, path, X)
    assert not list(tmp_path.iterdir())


def test_another_file_than_the_approved_one(small_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    path.write_bytes(small_file)
    approved = read_manifest(path)["sha256"]
    assert load_model(path, sha256=approved.upper() + "\n") is not None
    with pytest.raises(ModelFileError, match="not the expected file"):
        load_model(path, sha256="0" * 64)
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "nothing")
    with pytest.raises(TypeError, match="must be a list"):
        load_model(path, trusted="numpy.ndarray")


@pytest.fixture(scope="module")
def small_file(
    bank: tuple[pd.DataFrame, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    X, y = bank
    base = make_pipeline(numbers(), LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1))
    path = tmp_path_factory.mktemp("model") / "a.model"
    save_model(steps(base_estimator=base, n_estimators=1).fit(X, y), path, X, y)
    return path.read_bytes()


def test_altered_files_are_refused(
    small_file: bytes, bank: tuple[pd.DataFrame, np.ndarray], tmp_path: Path
) -> None:
    outcomes, _ = load_altered(small_file, 220, 0, tmp_path / "a.model", bank[0][:20])
    assert sum(outcomes.values()) == 220
    for kind in ("cut", "swap_parts", "bombs"):
        assert f"{kind} loaded" not in outcomes
    assert outcomes["hostile_json refused"] > 30


def test_what_packed_parts_may_become(small_file: bytes, tmp_path: Path) -> None:
    parts = stored(small_file)
    manifest = json.loads(parts.pop("manifest.json"))
    parts.pop("manifest.sha256")
    name, path = "arrays.safetensors.gz", tmp_path / "a.model"
    content, size = parts[name], manifest["parts"][name]["size"]
    zeros = 40 * len(content)
    for altered, note, message in [
        (gzip.compress(bytes(zeros)), {"size": zeros}, "compressed bytes become"),
        (gzip.compress(content + bytes(zeros)), {"size": size}, "does not become"),
        (content + b"x", {"size": size}, "does not become"),
        (content[:-3], {"size": size}, "does not become"),
        (content, {"size": size - 1}, "does not become"),
        (content, {"size": size + 1}, "does not become"),
        (content, {"size": LARGEST_FILE + 1}, "has a different size"),
        (content, {"size": size, "stride": 7}, "has a different size"),
        (content, {"size": LARGEST_FILE}, "at most"),
        (b"PK\x03\x04" + content, {"size": size}, "cannot be read"),
    ]:
        notes = {**manifest["parts"], name: note}
        path.write_bytes(sealed(manifest, {**parts, name: altered}, notes))
        with pytest.raises(ModelFileError, match=message):
            load_model(path)
    both = {**parts, name.removesuffix(".gz"): b""}
    path.write_bytes(sealed(manifest, both, manifest["parts"]))
    with pytest.raises(ModelFileError, match="exists twice"):
        load_model(path)
    # What shrinks too well is not packed, and read all the same.
    wide = {**unpack(small_file)}
    wide["skops/9.skops"] = bytes(100_000)
    path.write_bytes(resealed(wide))
    assert "skops/9.skops" in stored(path.read_bytes())
    assert load_model(path) is not None


@given(st.binary(max_size=40), st.sampled_from([1, 2, 4, 8]))
def test_packed_parts_come_back_as_they_were(content: bytes, stride: int) -> None:
    name, packed, note = pack_part("a.txt", content, stride)
    assert unpack_parts({"parts": {name: note}}, {name: packed}) == {"a.txt": content}


def written(value: Any, small_file: bytes) -> bytes:
    """Return a file whose model is something else."""
    parts = unpack(small_file)
    return resealed({**parts, "model.json": json.dumps(value).encode()})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"object": ["os.system", {}]}, "cannot contain the class"),
        ({"object": ["skhuihen.Sessionizer", {"transform": 1}]}, "cannot be set"),
        ({"object": ["skhuihen.Sessionizer", {"__dict__": 1}]}, "cannot have an attribute"),
        (
            {"object": ["skhuihen.Sessionizer", {"n_features_in_": 1}]},
            "Sessionizer has no parameter 'applied_at'",
        ),
        ({"object": ["skhuihen.Range", {"low": 1}]}, "does not contain a classifier"),
        ({"call": ["os.system", "true"]}, "the unknown type 'call'"),
        ({"same": 3}, "refers to an object that is missing"),
        ([1, 2], "does not contain a classifier"),
        ({"type": "eval"}, "KeyError"),
        ({"skops": "model.json"}, "a part that is missing"),
    ],
)
def test_hostile_models(value: Any, message: str, small_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    path.write_bytes(written(value, small_file))
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def test_weights_of_another_shape(small_file: bytes, tmp_path: Path) -> None:
    parts = unpack(small_file)
    path = tmp_path / "a.model"
    for old, new, message in [
        (b'["module__habit_dim",4]', b'["module__habit_dim",5]', "different shapes"),
        (
            b'["module__habit_dim",4]',
            b'["module__habit_dim",1000000000]',
            "does not fit its weights",
        ),
        (b'["module__habit_dim",4]', b'["module__nonsense",4]', "the unknown argument"),
        (b'["module__habit_dim",4]', b'["module__habit_dim",-4]', "does not fit its weights"),
    ]:
        # The first is of a network; the parameters of the classifier come later.
        altered = parts["model.json"].replace(old, new, 1)
        path.write_bytes(resealed({**parts, "model.json": altered}))
        with pytest.raises(ModelFileError, match=message):
            load_model(path)


def test_a_model_that_scores_otherwise(small_file: bytes, tmp_path: Path) -> None:
    parts = unpack(small_file)
    weights = bytearray(parts["weights.safetensors"])
    weights[-40:] = np.ones(10, dtype="<f4").tobytes()
    path = tmp_path / "a.model"
    path.write_bytes(resealed({**parts, "weights.safetensors": bytes(weights)}))
    with pytest.raises(ModelFileError, match="gives different scores than when it was saved"):
        load_model(path)


def test_a_newer_format(small_file: bytes, tmp_path: Path) -> None:
    parts = unpack(small_file)
    manifest = json.loads(parts["manifest.json"]) | {"format": 2}
    path = tmp_path / "a.model"
    path.write_bytes(resealed({**parts, "manifest.json": json.dumps(manifest).encode()}))
    with pytest.raises(ModelFileError, match="Install a newer skhuihen"):
        load_model(path)


def test_a_pickle_is_no_model_file(tmp_path: Path) -> None:
    for content in (b"\x80\x04cbuiltins\nprint\n.", b"", b"PK\x03\x04", pack({"a.pkl": b"x"})):
        (tmp_path / "a.model").write_bytes(content)
        with pytest.raises(ModelFileError):
            load_model(tmp_path / "a.model")


def test_json_that_is_too_long_or_deep() -> None:
    with pytest.raises(ModelFileError, match="must have at most"):
        from_json(b" " * (LARGEST_JSON + 1), "part")
    with pytest.raises(ModelFileError, match="deep"):
        from_json(b"[" * 70 + b"]" * 70, "part")


def test_nothing_of_the_file_is_imported(small_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    path.write_bytes(small_file)
    code = f"""
import sys
import skhuihen
from skhuihen import load_model
seen = []
def watch(event, arguments):
    if event in ("exec", "compile", "os.system", "subprocess.Popen", "pickle.find_class",
                 "socket.connect", "marshal.loads", "import"):
        seen.append((event, arguments))
for _ in range(2):  # what the first imports may change how the second finds versions
    load_model({str(path)!r})
sys.addaudithook(watch)
load_model({str(path)!r})
found = [(event, a) for event, a in seen if event not in ("import", "exec", "compile")
         or (event == "import" and a[0] not in sys.modules)]
print(found)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert result.stdout.strip() == "[]"


def test_every_class_of_the_registry_is_there() -> None:
    missing = []
    for key, entry in ENTRIES.items():
        module = importlib.util.find_spec(entry.module)
        assert module is not None, key
        if not isinstance(getattr(__import__(entry.module, fromlist=["x"]), entry.name, 0), type):
            missing.append(key)
    assert set(missing) <= {"sklearn._TemperatureScaling"}  # scikit-learn before 1.8


@pytest.mark.skipif(
    importlib.util.find_spec("skops") is None,
    reason="skops is not installed: pip install skhuihen[skops]",
)
def test_other_estimators_take_trust(bank: tuple[pd.DataFrame, np.ndarray], tmp_path: Path) -> None:
    X, y = bank
    model = flat(_Foreign()).fit(X, y)
    path = tmp_path / "a.model"
    save_model(model, path, X)
    assert read_manifest(path)["needs_trust"] == ["_Foreign"]
    with pytest.raises(ModelFileError, match=r"pass trusted=\[...\] with their names"):
        load_model(path)
    loaded = load_model(path, trusted=[f"{__name__}._Foreign"])
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    forest = flat(RandomForestClassifier(5, max_depth=3, n_jobs=1)).fit(X, y)
    save_model(forest, path, X)
    trusted = ["sklearn.tree._tree.Tree", "sklearn.ensemble._forest.RandomForestClassifier"]
    assert_array_equal(load_model(path, trusted=trusted).predict_proba(X), forest.predict_proba(X))


@pytest.mark.skipif(
    importlib.util.find_spec("skops") is None,
    reason="skops is not installed: pip install skhuihen[skops]",
)
def test_skops_keeps_a_pipeline(bank: tuple[pd.DataFrame, np.ndarray]) -> None:
    import skops.io

    X, y = bank
    topics = make_pipeline(BehaviorTopics(2), LogisticRegression())
    for model in (steps(n_topics=2), topics):
        content = skops.io.dumps(model.fit(X, y))
        assert b"Applicant" not in content
        trusted = skops.io.get_untrusted_types(data=content)
        loaded = skops.io.loads(content, trusted=trusted)
        assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_transient_things_do_not_stand_in_the_way(
    bank: tuple[pd.DataFrame, np.ndarray], tmp_path: Path
) -> None:
    X, y = bank
    X = X.copy()
    X.attrs["source"] = {"query": "Applicant Number 17"}
    X.index = pd.Index([f"Applicant {i}" for i in range(len(X))], name="Applicant")
    model = steps(callbacks=[_Unpicklable()]).fit(X, y)
    save_model(model, tmp_path / "a.model", X)  # without the callbacks, and says so
    assert read_manifest(tmp_path / "a.model")["left_out"] == ["callbacks"]
    loaded = load_model(tmp_path / "a.model")
    content = pickle.dumps(loaded)
    assert b"Applicant" not in content
    again = pickle.loads(content)
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    model = steps().fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert b"Applicant" not in pickle.dumps(model)
    for mine, its in (
        (again[0].rules_, model[0].rules_),
        (again[0].merges_, model[0].merges_),
        (again[-1].history_, model[-1].history_),
    ):
        pd.testing.assert_frame_equal(mine, its)
    # Training goes on with the same optimizer.
    prepared = model[:-1].transform(X)
    for one in (model, again):
        one[-1].partial_fit(prepared, y)
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))


class _Unpicklable(Callback):
    """A callback with what no pickle takes."""

    def __init__(self) -> None:
        self.told = lambda: None


# --------------------------------------------------------------------------------------------------
# For ever after.


def test_format_1_loads_for_ever() -> None:
    model = load_model(FORMAT_1)
    content = FORMAT_1.read_bytes()
    parts = unpack(content)
    assert sum(name.endswith(".gz") for name in stored(content)) == 5
    assert sorted(parts) == [
        *("arrays.safetensors", "check.json", "lightgbm/0.txt", "manifest.json"),
        *("manifest.sha256", "model.json", "weights.safetensors"),
    ]
    from safetensors.numpy import load

    arrays = load(parts["arrays.safetensors"])
    rows = build_rows(ValueReader(arrays).read(json.loads(parts["check.json"]))["rows"])
    found = model.predict_proba(rows)[:, 1]
    assert np.abs(found - SCORES_OF_FORMAT_1).max() < 1e-6


SCORES_OF_FORMAT_1 = json.loads((HERE / "data" / "format_1_scores.json").read_text())


# --------------------------------------------------------------------------------------------------
# Values.


def values() -> st.SearchStrategy[Any]:
    texts = st.text(max_size=5)
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        texts,
        st.sampled_from([np.float32, np.float64, float, str, np.dtype("<f8"), np.dtype("O")]),
        st.builds(np.float32, st.floats(width=32)),
        st.builds(np.int16, st.integers(-(2**15), 2**15 - 1)),
        st.builds(np.bool_, st.booleans()),
        st.builds(np.str_, texts),
        st.builds(pd.Timestamp, st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))),
        st.just(pd.Timestamp("2024-05-01 10:00", tz="Asia/Shanghai")),
        st.just(pd.Timedelta("1h")),
        st.timedeltas(),
        st.slices(10),
        st.builds(Path, st.sampled_from(["a", "b/c.csv"])),
        st.sampled_from([np.array([1.5, np.nan]), np.arange(3, dtype=np.uint8), np.array("a")]),
        st.sampled_from([np.zeros((0, 3)), np.array([["a", "bc"]]), np.array([True, False])]),
        st.just(np.array([None, "x", 1.5, ("a", 2)], dtype=object)),
        st.just(np.array(["2024-01-01", "NaT"], dtype="M8[us]")),
        st.just(pd.DataFrame({"a": [1, 2], "b": ["x", None], 3: [1.5, np.nan]}, index=[4, 2])),
    )
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(st.one_of(texts, st.integers(-5, 5), st.tuples(texts)), inner),
            st.sets(texts),
            st.frozensets(st.integers(0, 5)),
        ),
        max_leaves=8,
    )


@given(values())
def test_values_come_back_as_they_were(value: Any) -> None:
    writer = ValueWriter()
    text = to_json(writer.write(value, "value"))
    assert same(ValueReader(writer.arrays).read(from_json(text, "part")), value)


def same(found: Any, wanted: Any) -> bool:
    if type(found) is not type(wanted):
        return False
    if isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(found, wanted)
        return True
    if isinstance(wanted, np.ndarray):
        if found.dtype != wanted.dtype or found.shape != wanted.shape:
            return False
        if wanted.dtype == object:
            return same(found.tolist(), wanted.tolist())
        return found.tobytes() == wanted.tobytes()
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and same(list(found.values()), list(wanted.values()))
    if isinstance(wanted, float | np.floating) and math.isnan(wanted):
        return math.isnan(found)
    if isinstance(wanted, float):
        return found == wanted and math.copysign(1, found) == math.copysign(1, wanted)
    return bool(found == wanted)
