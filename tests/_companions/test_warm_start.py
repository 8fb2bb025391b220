"""Warm starts: what comes along, what survives scikit-learn's handling, what is refused."""

from __future__ import annotations

import pickle
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from joblib import parallel_backend
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhuihen import HUIHENClassifier, ProfileEncoder, Sessionizer, attach_behaviors
from skhuihen._companions import warm_start
from skhuihen.datasets import make_loan_data
from tests.models import STOPPED_EARLY

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=240, n_old=600, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    return Sessionizer(max_sessions=3).fit_transform(
        attach_behaviors(bank.applications, bank.events)
    )


def quick(**params: Any) -> HUIHENClassifier:
    few = {**STOPPED_EARLY, "max_epochs": 2, "batch_size": 64, "random_state": 0}
    return HUIHENClassifier(**few | params)


def still(**params: Any) -> HUIHENClassifier:
    """A classifier whose step two leaves the weights as they are."""
    return quick(early_stopping=False, **params)


@pytest.fixture(scope="module")
def warm(bank: Any) -> HUIHENClassifier:
    return quick().warm_start_from(bank.old_applications, bank.old_y, teacher=LogisticRegression())


@pytest.fixture
def step_ones(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Count how often step one is trained."""
    seen: list[Any] = []
    original = warm_start.OldData._pretrain

    def counted(self: Any, classifier: Any) -> Any:
        result = original(self, classifier)
        seen.append(classifier)
        return result

    monkeypatch.setattr(warm_start.OldData, "_pretrain", counted)
    return seen


def log_odds(y: Any) -> float:
    return float(np.log(np.mean(y)) - np.log1p(-np.mean(y)))


# ---- what it does


def test_old_data_help_where_new_rows_are_few() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.normal(size=(2000, 8))).add_prefix("x")
    y = (rng.random(2000) < 1 / (1 + np.exp(-2 * data["x0"] - data["x1"] * data["x2"]))).astype(int)
    old, few, test = slice(0, 1000), slice(1000, 1060), slice(1060, None)
    model = HUIHENClassifier(n_estimators=1, random_state=0)
    cold = clone(model).fit(data[few], y[few])
    auc = {"cold": roc_auc_score(y[test], cold.decision_function(data[test]))}
    for teacher in ("xgboost", "lightgbm", None):
        warm = clone(model).warm_start_from(data[old], y[old], teacher=teacher)
        score = warm.fit(data[few], y[few]).decision_function(data[test])
        auc[str(teacher)] = roc_auc_score(y[test], score)
    assert min(auc["xgboost"], auc["lightgbm"], auc["None"]) > auc["cold"] + 0.05, auc


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_step_two_starts_from_step_one(class_weight: Any, bank: Any, X: pd.DataFrame) -> None:
    """Without behaviors, scores differ from the student's by the odds of the new data alone."""
    y = (np.arange(len(X)) % 5 == 0).astype(int)  # another rate of overdue
    model = still(lr=1e-12, dtype="float64", class_weight=class_weight)
    student = quick(dtype="float64", class_weight=class_weight)
    student.warm_start_from(bank.old_applications, bank.old_y, teacher=None)
    model.old_data = student.old_data
    model.fit(X, y)
    before = student.warm_start_student_.decision_function(bank.applications)
    moved = model.decision_function(X.assign(behaviors=None)) - before
    rate = y if class_weight is None else [0, 1]
    np.testing.assert_allclose(moved, log_odds(rate) - log_odds(bank.old_y), atol=1e-6)


def test_step_two_starts_at_the_scores_of_step_one(warm: HUIHENClassifier, X: Any) -> None:
    y = np.arange(len(X)) % 2
    hot = clone(warm).set_params(lr=1e-12, early_stopping=False).fit(X, y)
    student = warm.warm_start_student_
    assert np.abs(hot.transform(X)).max() > 0.01  # there are behaviors, and they are read
    moved = hot.decision_function(X) - student.decision_function(X.drop(columns="behaviors"))
    np.testing.assert_allclose(moved, moved.mean(), atol=1e-5)
    assert hot.profile_encoder_ is warm.warm_start_student_.profile_encoder_


def test_pretrained_weights_have_a_rate_of_their_own(bank: Any, X: Any) -> None:
    y = np.arange(len(X)) % 2

    def moves(**params: Any) -> tuple[float, float]:
        model = quick(early_stopping=False)
        model.warm_start_from(bank.old_applications, bank.old_y, teacher=None, **params)
        joint = model.fit(X, y).net_.module_.interaction.joint
        old = model.warm_start_student_.net_.module_.interaction.joint
        return tuple(
            float((getattr(joint, name) - getattr(old, name) * factor).abs().max().detach())
            for name, factor in (("of_profile", 1), ("of_vectors", 0))
        )

    still, slow, fast = (moves(pretrained_lr=ratio) for ratio in (0, 0.1, 1))
    assert still[0] == 0
    assert 0 < slow[0] < 0.3 * fast[0]
    for _, of_vectors in (still, slow, fast):  # these are new
        assert of_vectors > 0.001


def test_history_has_both_parts_of_the_loss(warm: HUIHENClassifier, bank: Any) -> None:
    history = warm.warm_start_student_.history_
    parts = [
        f"{part}_{loss}" for part in ("train", "valid") for loss in ("cross_entropy", "divergence")
    ]
    assert {*parts, "guidance_weight", "valid_auc"} <= set(history.columns)
    model = still().warm_start_from(bank.old_applications, bank.old_y, guidance_weight=0.5)
    history = model.warm_start_student_.history_
    assert (history["guidance_weight"] == 0.5).all()
    np.testing.assert_allclose(
        history["train_cross_entropy"] + 0.25 * history["train_divergence"],
        history["train_loss"],
        rtol=0.02,  # the net weighs batches, the parts weigh rows
    )
    model = quick().warm_start_from(bank.old_applications, bank.old_y, guidance_weight="literal")
    assert (model.warm_start_student_.history_["guidance_weight"] < 1).all()


def test_a_fitted_pipeline_is_asked_for_its_columns(bank: Any) -> None:
    """A scaler refuses a table that has more columns than those it was fitted on."""
    columns = ["user__monthly_income", "item__amount"]
    scorecard = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    scorecard.fit(bank.old_applications[columns], bank.old_y)
    model = quick().warm_start_from(bank.old_applications, bank.old_y, teacher=scorecard)
    assert "train_divergence" in model.warm_start_student_.history_


def test_a_fitted_teacher_is_enough(bank: Any) -> None:
    columns, old = ["user__age"], bank.old_applications
    is_old = old["user__age"] + np.random.default_rng(0).normal(scale=5, size=600) > 40
    teacher = LogisticRegression(max_iter=1000).fit(old[columns], is_old.astype(int))
    model = HUIHENClassifier(n_estimators=1, random_state=0)
    student = model.warm_start_from(old, teacher=teacher).warm_start_student_
    assert "valid_auc" not in student.history_
    assert (student.history_["train_cross_entropy"] == 0).all()
    taught = teacher.predict_proba(bank.applications[columns])[:, 1]
    learned = student.predict_proba(bank.applications)[:, 1]
    assert np.corrcoef(taught, learned)[0, 1] > 0.8
    assert learned.mean() == pytest.approx(taught.mean(), abs=0.05)
    model.fit(bank.applications, bank.y)
    with pytest.raises(ValueError, match="column 'user__age', which is missing from old_X"):
        model.warm_start_from(old.drop(columns="user__age"), teacher=teacher)


class Service:
    """No estimator of scikit-learn, but it scores: by age, the older the worse."""

    classes_ = (0, 1)

    def fit(self, *args: Any) -> None:
        raise AssertionError("it is fitted")

    def predict_proba(self, table: pd.DataFrame) -> np.ndarray:
        p = (table["user__age"].to_numpy() / 100).clip(0, 1)
        return np.column_stack([1 - p, p])


def test_any_object_that_scores_may_teach(bank: Any) -> None:
    old = bank.old_applications
    model = quick().warm_start_from(old, teacher=Service())
    assert model.old_data is not None
    (guidance,) = model.old_data._learned.guidance.values()
    np.testing.assert_allclose(guidance, old["user__age"] / 100)
    model.fit(bank.applications, bank.y)


def test_weights_of_zero_are_left_out(bank: Any) -> None:
    used = np.arange(600) % 3 > 0
    one = quick().warm_start_from(bank.old_applications, bank.old_y, sample_weight=used * 2.0)
    other = quick().warm_start_from(bank.old_applications[used], bank.old_y[used])
    scores = [model.warm_start_student_.predict_proba(bank.applications) for model in (one, other)]
    np.testing.assert_array_equal(*scores)


def test_same_bits_no_output_no_global_state(
    bank: Any, X: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    scores = [
        quick().warm_start_from(bank.old_applications, bank.old_y).fit(X, bank.y).predict_proba(X)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*scores)
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])
    assert capfd.readouterr() == ("", "")
    quick(verbose=1).warm_start_from(bank.old_applications, bank.old_y)
    shown = capfd.readouterr().err
    assert "Teacher" in shown
    assert "step one" in shown


# ---- clones, searches, pickles


def test_survives_clone_and_pickle(warm: HUIHENClassifier, X: Any, bank: Any) -> None:
    wanted = clone(warm).fit(X, bank.y).predict_proba(X)
    assert not np.allclose(quick().fit(X, bank.y).predict_proba(X), wanted)
    copy = pickle.loads(pickle.dumps(warm))
    fitted = clone(clone(warm)).fit(X, bank.y)
    for model in (copy, clone(copy), fitted, clone(fitted), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(model.fit(X, bank.y).predict_proba(X), wanted)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_validation_in_processes_and_threads(warm: HUIHENClassifier, X: Any, bank: Any) -> None:
    model = make_pipeline("passthrough", warm)
    wanted = cross_val_score(model, X, bank.y, cv=2, scoring="roc_auc")
    cold = cross_val_score(
        make_pipeline("passthrough", quick()), X, bank.y, cv=2, scoring="roc_auc"
    )
    assert not np.allclose(wanted, cold)
    grid = {"huihenclassifier__net_params": [{"module__behavior_dim": 4}]}  # step one runs again
    scores = []
    for backend in ("loky", "threading"):
        with parallel_backend(backend):
            found = cross_validate(
                model, X, bank.y, cv=2, scoring="roc_auc", n_jobs=2, return_estimator=True
            )
            search = GridSearchCV(
                model, grid, cv=2, scoring="roc_auc", n_jobs=2, error_score="raise"
            ).fit(X, bank.y)
        np.testing.assert_array_equal(found["test_score"], wanted)
        assert all(len(pickle.dumps(one)) < 1_000_000 for one in found["estimator"])
        scores.append(search.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(*scores)


def test_step_one_runs_again_only_for_another_shape(
    bank: Any, X: Any, step_ones: list[Any]
) -> None:
    X, y = X.head(80), bank.y[:80]
    old = {"old_X": bank.old_applications, "old_y": bank.old_y, "teacher": None}
    model = quick(max_epochs=1).warm_start_from(**old)
    assert len(step_ones) == 1
    for params in (
        *(
            {"net_params": {"module__habit_dim": 5}},
            {"net_params": {"module__intention_dim": 4}},
            {"net_params": {"module__hierarchical": False}},
            {"dropout": 0.1},
        ),
        *({"net_params": {"module__mean_intention": False}}, {"n_topics": 3}),
        *(
            {"lr": 0.1},
            {"class_weight": "balanced"},
            {"random_state": 3},
            {"net_params": {"module__time_aware": False}},
        ),
    ):
        clone(model).set_params(**params).fit(X, y)
    assert len(step_ones) == 1
    shapes: tuple[dict[str, Any], ...] = (
        {"net_params": {"module__behavior_dim": 4}},
        {"net_params": {"module__hidden_units": (7,)}},
        {"net_params": {"module__hidden_units": ()}},
        {"dtype": "float64"},
        {"id_columns": ["user_id", "application_id", "user__age"]},
        {
            "profile_encoder": ProfileEncoder(
                {"item": ["item__amount"], "device": ["device__brand"]}
            )
        },
    )
    for number, params in enumerate(shapes, start=2):
        for copy in (clone(model), pickle.loads(pickle.dumps(model))):
            copy.set_params(**params)
            first = copy.fit(X, y).predict_proba(X)
            assert len(step_ones) == number, params
        # What comes out does not depend on what was trained before.
        fresh = quick(max_epochs=1, **params).warm_start_from(**old)
        np.testing.assert_array_equal(fresh.fit(X, y).predict_proba(X), first)
        step_ones.pop()


def test_a_search_over_the_settings(bank: Any, X: Any, step_ones: list[Any]) -> None:
    old, X, y = (bank.old_applications, bank.old_y), X.head(80), bank.y[:80]
    model = quick(max_epochs=1).warm_start_from(*old, teacher=None)
    grid = {"teacher": [None, LogisticRegression()], "pretrained_lr": [0.0, 10.0]}
    by = {"cv": 2, "scoring": "neg_log_loss"}
    search = GridSearchCV(
        model, {f"old_data__{name}": of for name, of in grid.items()}, error_score="raise", **by
    ).fit(X, y)
    assert len(step_ones) == 2, "one for each teacher"
    assert (model.old_data.teacher, model.old_data.pretrained_lr) == (None, 0.1)
    results = search.cv_results_
    for params, found in zip(results["params"], results["mean_test_score"], strict=True):
        settings = {name.removeprefix("old_data__"): of for name, of in params.items()}
        alone = quick(max_epochs=1).warm_start_from(*old, **settings)
        assert cross_val_score(alone, X, y, **by).mean() == found
    assert len(set(results["mean_test_score"])) == 4
    best = search.best_estimator_
    assert (
        best.get_params()["old_data__pretrained_lr"]
        == (search.best_params_["old_data__pretrained_lr"])
    )


def test_clones_do_not_share_a_setting(warm: HUIHENClassifier, bank: Any, X: Any) -> None:
    wanted = clone(warm).fit(X, bank.y).predict_proba(X)
    other = clone(warm).set_params(old_data__teacher__C=1e-4, old_data__guidance_weight=5.0)
    assert warm.old_data.teacher.C == 1.0
    assert warm.old_data.guidance_weight == "learned"
    assert not np.allclose(other.fit(X, bank.y).predict_proba(X), wanted)
    np.testing.assert_array_equal(clone(warm).fit(X, bank.y).predict_proba(X), wanted)


def test_settings_are_shown(bank: Any) -> None:
    teacher = LogisticRegression(C=0.37)
    model = quick(max_epochs=1).warm_start_from(
        bank.old_applications, bank.old_y, teacher=teacher, pretrained_lr=0.53
    )
    table = model._repr_html_().split("estimator-table", 1)[-1]  # scikit-learn 1.6 has no table
    for shown in (repr(model), repr(make_pipeline(model)), repr(model.old_data), table):
        assert "LogisticRegression(C=0.37)" in shown
        assert "0.53" in shown
    assert "600 old applications" in repr(model)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher": "oracle"}, "'teacher' parameter of OldData"),
        ({"cv": 1}, "'cv' parameter of OldData"),
        ({"guidance_weight": "free"}, "'guidance_weight' parameter of OldData"),
        ({"pretrained_lr": -1.0}, "'pretrained_lr' parameter of OldData"),
    ],
)
def test_refused_settings(
    settings: dict[str, Any], message: str, warm: HUIHENClassifier, bank: Any, X: Any
) -> None:
    model = clone(warm).set_params(**{f"old_data__{name}": of for name, of in settings.items()})
    with pytest.raises(ValueError, match=message):
        model.fit(X, bank.y)


def test_settings_that_need_what_is_not_there(warm: HUIHENClassifier, bank: Any, X: Any) -> None:
    fitted = make_pipeline(ProfileEncoder(), LogisticRegression())
    fitted.fit(bank.old_applications, bank.old_y)
    unlabeled = quick(max_epochs=1).warm_start_from(bank.old_applications, teacher=fitted)
    for teacher in (None, "xgboost", LogisticRegression()):
        with pytest.raises(ValueError, match="old_y is None, but teacher="):
            clone(unlabeled).set_params(old_data__teacher=teacher).fit(X, bank.y)
    lean = clone(warm).forget_old_data()
    clone(lean).set_params(old_data__pretrained_lr=1.0).fit(X, bank.y)  # is of step two
    with pytest.raises(ValueError, match="a setting of old_data was changed"):
        lean.set_params(old_data__teacher=None).fit(X, bank.y)


def test_a_fitted_classifier_is_pickled_without_rows(bank: Any, X: Any) -> None:
    sizes = []
    for n_rows in (100, 600):
        old, old_y = bank.old_applications[:n_rows], bank.old_y[:n_rows]
        model = quick(early_stopping=False).warm_start_from(
            old, old_y, teacher=KNeighborsClassifier()
        )
        with_rows = len(pickle.dumps(model))
        stored = pickle.dumps(model.fit(X, bank.y))
        assert model.old_data.rows is not None, "only the pickle goes without"
        sizes.append((with_rows, len(stored)))
        copy = pickle.loads(stored)
    assert sizes[1][0] > sizes[0][0] + 30_000
    assert sizes[1][1] < sizes[0][1] + 10_000
    assert len(stored) < 1_000_000
    assert copy.old_data.rows is None
    assert not copy.old_data._learned.guidance
    with pytest.raises(ValueError, match="no longer available"):
        copy.find_old_rows(X)
    with pytest.raises(ValueError, match=r"'behavior_dim': 4.*no longer available.*set the param"):
        clone(copy).set_params(net_params={"module__behavior_dim": 4}).fit(X, bank.y)


def test_forgetting_concerns_one_classifier(bank: Any, X: Any) -> None:
    model = quick().warm_start_from(bank.old_applications, bank.old_y, teacher=None)
    lean = clone(model).forget_old_data()
    assert len(pickle.dumps(lean)) < len(pickle.dumps(model))
    np.testing.assert_array_equal(
        lean.fit(X, bank.y).predict_proba(X), clone(model).fit(X, bank.y).predict_proba(X)
    )
    with pytest.raises(ValueError, match="no longer available"):
        clone(lean).set_params(net_params={"module__behavior_dim": 3}).fit(X, bank.y)
    clone(model).set_params(net_params={"module__behavior_dim": 3}).fit(X, bank.y)
    assert quick().forget_old_data().old_data is None


def test_a_second_warm_start_replaces_the_first(bank: Any, X: Any) -> None:
    old, old_y = bank.old_applications, bank.old_y
    wanted = quick().warm_start_from(old, old_y, teacher=None).fit(X, bank.y)
    model = quick().warm_start_from(old[:300], old_y[:300]).fit(X, bank.y)
    before = model.predict_proba(X)
    assert not np.allclose(before, wanted.predict_proba(X))
    model.warm_start_from(old, old_y, teacher=None)
    np.testing.assert_array_equal(model.predict_proba(X), before)  # until fit
    np.testing.assert_array_equal(model.fit(X, bank.y).predict_proba(X), wanted.predict_proba(X))


def test_an_unfitted_one_does_not_look_fitted(warm: HUIHENClassifier, X: Any) -> None:
    with pytest.raises(NotFittedError):
        clone(warm).predict_proba(X)
    assert not [name for name in vars(warm) if name.endswith("_")]
    for model in (quick(), clone(warm).set_params(net_params={"module__behavior_dim": 3})):
        with pytest.raises(AttributeError, match="no warm_start_student_"):
            _ = model.warm_start_student_


@pytest.mark.slow
def test_table_6_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "evidence")

    def run(n_repetitions: int) -> pd.DataFrame:
        options = f"--rows 400 --epochs 1 --repetitions {n_repetitions} --data bank_b --output"
        monkeypatch.setattr("sys.argv", ["table6", *options.split(), str(tmp_path)])
        runpy.run_path(str(ROOT / "evidence" / "table6.py"), run_name="__main__")
        return pd.read_csv(tmp_path / "table6_bank_b.csv")

    first, second, third = run(1), run(2), run(2)
    pd.testing.assert_frame_equal(second, third)
    pd.testing.assert_frame_equal(second.iloc[: len(first)], first)
    assert second.groupby(["repetition", "arm"]).size().eq(1).all()
    assert set(second["arm"]) == {"teacher", "MLP", "guided"}
    summary = pd.read_csv(tmp_path / "table6.csv", index_col="arm")
    auc = second.pivot_table(index="repetition", columns="arm", values="auc")
    for arm in ("teacher", "guided"):
        assert summary.loc[arm, "gain"] == pytest.approx((auc[arm] - auc["MLP"]).mean())
        assert summary.loc[arm, "AUC sd"] == pytest.approx(auc[arm].std())
    # Not of guided: a network whose best epoch is its start has learned nothing from a teacher.
    assert summary.loc["teacher", "low"] < summary.loc["teacher", "gain"]
    assert summary.loc["teacher", "gain"] < summary.loc["teacher", "high"]
    assert summary.loc["guided", "paper"] == 0.6514


# ---- columns


def test_columns_are_matched_by_name_in_any_container(
    warm: HUIHENClassifier, bank: Any, X: Any
) -> None:
    wanted = clone(warm).fit(X, bank.y).predict_proba(X)
    shuffled = X[X.columns[::-1]]
    np.testing.assert_array_equal(clone(warm).fit(shuffled, bank.y).predict_proba(shuffled), wanted)
    for old in (bank.old_applications.iloc[:, ::-1], pl.from_pandas(bank.old_applications)):
        model = quick().warm_start_from(old, bank.old_y, teacher=LogisticRegression())
        # Numbers stand in another order in the encoder: same columns, other weights.
        scores = model.fit(X, bank.y).predict_proba(X)
        assert set(model.profile_encoder_.feature_names_in_) == set(
            warm.warm_start_student_.profile_encoder_.feature_names_in_
        )
        if not isinstance(old, pd.DataFrame):
            np.testing.assert_array_equal(scores, wanted)


def test_columns_lacking_extra_and_unlike(warm: HUIHENClassifier, bank: Any, X: Any) -> None:
    y = bank.y
    with pytest.raises(ValueError, match=r"no profile column 'user__age', which was in old_X"):
        clone(warm).fit(X.drop(columns="user__age"), y)
    wanted = clone(warm).fit(X, y).predict_proba(X)
    wider = X.assign(user__score=np.arange(len(X)) / 7)
    with pytest.warns(
        UserWarning, match=r"1 profile columns that were not in old_X .* \['user__score'\]"
    ):
        model = clone(warm).fit(wider, y)
    np.testing.assert_array_equal(model.predict_proba(wider), wanted)
    with pytest.warns(
        UserWarning, match=r"None of the 240 values of .*'device__brand' was seen in old_X"
    ):
        clone(warm).fit(X.assign(device__brand="never seen"), y)
    some = X["device__brand"].mask(np.arange(len(X)) % 2 == 0, "never seen")
    clone(warm).fit(X.assign(device__brand=some), y)  # ordinary
    with pytest.raises(TypeError, match="'user__age' held numbers"):
        clone(warm).fit(X.assign(user__age="old"), y)


def test_arrays_are_matched_by_position() -> None:
    rng = np.random.default_rng(0)
    data, y = rng.normal(size=(200, 4)), np.arange(200) % 2
    model = quick().warm_start_from(data, y, teacher=RandomForestClassifier(5, random_state=0))
    assert clone(model).fit(data, y).predict_proba(data).shape == (200, 2)
    with pytest.raises(ValueError, match="array of 4 columns, but X has 5"):
        clone(model).fit(np.column_stack([data, y]), y)
    with pytest.raises(ValueError, match="no profile column 'x3'"):
        clone(model).fit(data[:, :3], y)
    with pytest.raises(ValueError, match="no profile column 'x0'"):
        clone(model).fit(pd.DataFrame(data, columns=list("abcd")), y)
    fitted = LogisticRegression().fit(data, y)
    assert quick().warm_start_from(data, teacher=fitted).fit(data, y).n_features_in_ == 4


def test_labels_must_be_coded_alike(bank: Any, X: Any) -> None:
    names = np.where(bank.old_y == 1, "overdue", "good")
    model = quick().warm_start_from(bank.old_applications, names, teacher=None)
    model.fit(X, np.where(bank.y == 1, "overdue", "good"))
    with pytest.raises(ValueError, match=r"labels \[0, 1\], .* \['good', 'overdue'\]"):
        model.fit(X, bank.y)
    quick().warm_start_from(bank.old_applications, bank.old_y == 1, teacher=None).fit(X, bank.y)


def test_old_rows_are_found(warm: HUIHENClassifier, bank: Any, X: Any) -> None:
    assert not warm.find_old_rows(X).any()
    mixed = pd.concat([bank.old_applications[5:9], bank.applications[:3]])
    found = [True] * 4 + [False] * 3
    assert warm.find_old_rows(mixed).tolist() == found
    assert warm.find_old_rows(pl.from_pandas(mixed)).tolist() == found
    renumbered = mixed.assign(user_id=1)
    assert not warm.find_old_rows(renumbered).any()
    assert (
        warm.find_old_rows(renumbered.drop(columns=["user_id", "application_id"])).tolist() == found
    )
    with pytest.raises(ValueError, match="no old data"):
        quick().find_old_rows(X)


def test_refusals(bank: Any) -> None:
    old, y = bank.old_applications, bank.old_y
    for teacher in (None, "xgboost", LogisticRegression()):
        with pytest.raises(ValueError, match="old_y is None, but teacher="):
            quick().warm_start_from(old, teacher=teacher)
    other = LogisticRegression().fit(old[["user__age"]], np.where(y, "bad", "good"))
    with pytest.raises(ValueError, match="fitted on the classes"):
        quick().warm_start_from(old, y, teacher=other)
    with pytest.raises(ValueError, match="only one class"):
        quick().warm_start_from(old, y * 0)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        quick().warm_start_from(old, y[1:])
    with pytest.raises(ValueError, match="no profile column to learn from"):
        quick().warm_start_from(old[["user_id", "applied_at"]], y)
    for params, message in (
        ({"teacher": "oracle"}, "'teacher' parameter"),
        ({"cv": 1}, "'cv' parameter"),
        ({"guidance_weight": "free"}, "'guidance_weight' parameter"),
        ({"max_epochs": 0}, "'max_epochs' parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            quick().warm_start_from(old, y, **params)
    with pytest.raises(ValueError, match="behavior_dim"):
        quick(net_params={"module__behavior_dim": 0}).warm_start_from(old, y)
