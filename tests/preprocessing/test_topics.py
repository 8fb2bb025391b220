"""BehaviorTopics against a whole singular value decomposition, and its promises."""

from __future__ import annotations

import pickle
from contextlib import nullcontext
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError

from skhuihen import BehaviorAbstractor, BehaviorTopics, attach_behaviors
from skhuihen.datasets import make_loan_data
from skhuihen.preprocessing import _correspondence as correspondence
from skhuihen.preprocessing._correspondence import Correspondence, Table
from tests.preprocessing.strategies import applications, drawn, event, tables

NOTHING = "do not distinguish applications, so all topics are 0"

# ---- against the definition


def coordinates(counts: np.ndarray, n_axes: int) -> np.ndarray:
    """Place the rows of a table of counts by the definition; signs are those of `numpy.linalg.svd`.

    A profile is the shares of the square roots, with 20 of the average profile beside.
    """
    roots = np.sqrt(counts[:, (counts > 0).sum(axis=0) >= 20])
    total = roots.sum(axis=1, keepdims=True)
    average = (roots / (total + 20)).sum(axis=0) / (total / (total + 20)).sum()
    profiles = (roots + 20 * average) / (total + 20)
    np.testing.assert_allclose(profiles.sum(axis=1), 1)
    np.testing.assert_allclose(profiles.mean(axis=0), average)
    left, size, _ = np.linalg.svd((profiles - average) / np.sqrt(average), full_matrices=False)
    result = np.zeros((len(counts), n_axes))
    n = min(n_axes, int((size > 1e-6).sum()))
    result[:, :n] = np.clip(left[:, :n] * np.sqrt(len(counts)), -5, 5)
    return result


def as_table(counts: np.ndarray) -> Table:
    row, behavior = np.nonzero(counts)
    times = counts[row, behavior]
    return Table(np.repeat(row, times), np.repeat(behavior, times), len(counts))


def draw_counts(n: int = 60, n_behaviors: int = 7, seed: int = 0) -> np.ndarray:
    """Draw applications that like some behaviors more than others; the first have no events."""
    rng = np.random.default_rng(seed)
    liking = np.exp(rng.normal(size=(n, 2)) @ rng.normal(size=(2, n_behaviors)))
    counts = rng.poisson(4 * liking)
    counts[:3] = 0
    return counts


def fitted(counts: np.ndarray, n_axes: int) -> Correspondence:
    return Correspondence(counts.shape[1], n_axes).fit(lambda: [as_table(counts)])


@pytest.mark.parametrize("n_axes", [1, 3, 5, 9])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_definition(n_axes, seed):
    counts = draw_counts(seed=seed)
    counts[5:24, 6] += 3
    counts[:5, 6] = counts[24:, 6] = 0  # of 19 applications
    counts[30] *= 40  # one that is far more active
    found = fitted(counts, n_axes).transform(as_table(counts))
    wanted = coordinates(counts, n_axes)
    wanted *= np.sign((found * wanted).sum(axis=0))
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    assert not found[:3].any()
    assert found.any(axis=0).sum() == min(n_axes, 5), "six behaviors differ in five ways"
    if np.abs(found).max() < 5:
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(found[:, :5].std(axis=0), 1)


def test_the_farthest_behavior_of_a_topic_is_above_zero():
    loadings = fitted(draw_counts(), 4).loadings_
    assert (loadings[np.abs(loadings).argmax(axis=0), range(4)] > 0).all()
    # Of two that are as far, the first, in whatever order the rows come.
    two = np.random.default_rng(0).poisson(3, size=(50, 2))
    two = np.concatenate([two, two[:, ::-1]])
    for seed in range(10):
        shuffled = np.random.default_rng(seed).permutation(two)
        assert fitted(shuffled, 1).loadings_[0, 0] > 0


def test_it_finds_what_goes_together():
    rng = np.random.default_rng(0)
    appetite = rng.random(500)
    risky = np.arange(10) % 2 == 0
    chance = np.where(risky, appetite[:, None], 1 - appetite[:, None]) / 5
    counts = np.array([rng.multinomial(30, p) for p in chance])
    model = fitted(counts, 1)
    above = model.loadings_[:, 0] > 0
    assert (above == risky).all() or (above != risky).all()
    assert abs(np.corrcoef(model.transform(as_table(counts))[:, 0], appetite)[0, 1]) > 0.9


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_in_whatever_pieces_events_come_the_sums_are_the_same_to_the_bit(monkeypatch, block):
    monkeypatch.setattr(correspondence, "BLOCK", block)
    counts = draw_counts()
    whole = fitted(counts, 3).loadings_
    for cuts in ([20], [1, 2, 40], [0, 59], [30, 30]):
        pieces = [as_table(piece) for piece in np.split(counts, cuts)]
        np.testing.assert_array_equal(Correspondence(7, 3).fit(lambda p=pieces: p).loadings_, whole)


# ---- the rules, one by one


@pytest.mark.parametrize("block", [7, 4096])
def test_a_weight_of_two_is_two_applications(monkeypatch, block):
    monkeypatch.setattr(correspondence, "BLOCK", block)
    counts = draw_counts()
    counts[30:, 6] = 0
    counts[:15, 6] = 1  # of enough applications only if they count by weight
    weight = np.random.default_rng(1).integers(1, 4, len(counts))
    weight[:15] = 2
    repeated = fitted(np.repeat(counts, weight, axis=0), 3)
    weighted = Correspondence(counts.shape[1], 3)
    cuts = [0, 20, 25, len(counts)]
    parts = [
        as_table(counts[a:b])._replace(weight=weight[a:b].astype(float)) for a, b in pairwise(cuts)
    ]
    weighted.fit(lambda: parts)
    assert repeated.loadings_[6].any()
    np.testing.assert_allclose(weighted.loadings_, repeated.loadings_, rtol=1e-9, atol=1e-12)
    assert not np.allclose(fitted(counts, 3).loadings_, repeated.loadings_, atol=1e-3)


def test_rows_of_a_frame_count_by_their_weights():
    X = frame()
    weight = np.arange(len(X)) % 3
    weighted = BehaviorTopics(3).fit(X, sample_weight=weight)
    repeated = BehaviorTopics(3).fit(X.iloc[np.repeat(np.arange(len(X)), weight)])
    pd.testing.assert_frame_equal(weighted.loadings_, repeated.loadings_)


def test_rare_and_unknown_behaviors_are_left_out():
    counts = draw_counts()
    counts[:, 6] = 0
    counts[5:24, 6] = 3  # of 19 applications
    model = fitted(counts, 3)
    assert not model.loadings_[6].any()
    assert model.loadings_[:6].all()
    np.testing.assert_allclose(model.loadings_[:6], fitted(counts[:, :6], 3).loadings_)
    events = Table(np.zeros(4, dtype=np.int64), np.array([0, 1, 6, 12]), 1)
    known = Table(np.zeros(2, dtype=np.int64), np.array([0, 1]), 1)
    np.testing.assert_array_equal(model.transform(events), model.transform(known))
    counts[24, 6] = 1
    assert fitted(counts, 3).loadings_[6].all()


def test_of_very_many_behaviors_those_of_most_applications_are_looked_at(monkeypatch):
    monkeypatch.setattr(correspondence, "MOST", 5)
    counts = draw_counts()
    counts[10:35, [1, 3]] = 0
    model = fitted(counts, 3)
    assert np.flatnonzero(~model.loadings_.any(axis=1)).tolist() == [1, 3]


def test_coordinates_are_cut_at_five_standard_deviations():
    counts = np.zeros((2000, 2), dtype=np.int64)
    counts[:, 0] = 100
    counts[:20, 1] = 1
    counts[0] = [0, 1000]
    found = fitted(counts, 1).transform(as_table(counts))
    assert np.abs(found).max() == 5


def test_a_burst_counts_little_and_the_most_active_do_not_own_a_topic():
    counts = draw_counts(200)
    counts[0] = [10**6, 0, 0, 0, 0, 0, 0]
    usual = fitted(draw_counts(200), 1).loadings_[:, 0]
    assert abs(np.corrcoef(fitted(counts, 1).loadings_[:, 0], usual)[0, 1]) > 0.95


def frame(n: int = 80, seed: int = 0) -> pd.DataFrame:
    """Return applications whose events are of two tastes."""
    rng = np.random.default_rng(seed)
    taste = rng.random(n)
    histories: list[Any] = []
    for share in taste:
        kinds = np.where(rng.random(12) < share, "a", "b")
        histories.append([event(k, f"{x}{rng.integers(3)}", item=x) for k, x in enumerate(kinds)])
    return applications([*histories, None])


def test_topics_of_a_frame_have_names_and_loadings():
    X = frame()
    model = BehaviorTopics(2).fit(X)
    table = model.transform(X)
    assert table.columns.tolist() == ["topic_1", "topic_2"]
    assert model.get_feature_names_out().tolist() == table.columns.tolist()
    assert table.index.tolist() == X.index.tolist()
    assert set(table.dtypes) == {np.dtype(np.float64)}
    loadings = model.loadings_
    assert loadings.index.tolist() == ["a0", "a1", "a2", "b0", "b1", "b2"]
    above = (loadings["topic_1"] > 0).tolist()
    assert above in ([True] * 3 + [False] * 3, [False] * 3 + [True] * 3)
    np.testing.assert_allclose(table["topic_1"].mean(), 0, atol=1e-9)
    np.testing.assert_allclose(table["topic_1"].std(ddof=0), 1)
    assert not table.iloc[-1].any()
    by_item = BehaviorTopics(2, group_by="item").fit(X)
    assert by_item.loadings_.index.tolist() == ["a", "b"]
    assert not by_item.transform(X)["topic_2"].any(), "two behaviors differ in one way"


def test_the_fitted_table_may_be_sorted_and_parameters_changed():
    X = frame()
    model = BehaviorTopics(2).fit(X)
    whole = model.transform(X)
    model.loadings_ = model.loadings_.sort_values("topic_1")
    model.set_params(n_topics=5)
    pd.testing.assert_frame_equal(model.transform(X), whole, check_exact=True)


@pytest.mark.filterwarnings(f"ignore:.*{NOTHING}")
@given(table=tables(min_rows=1), data=st.data())
@settings(max_examples=20)
def test_rows_together_in_part_shuffled_and_one_by_one(table, data):
    histories, applied_at = table
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correspondence, "FEWEST", 1)
        model = BehaviorTopics(2).fit(drawn(histories, applied_at))
    shuffled = [data.draw(st.permutations(h)) if h else h for h in histories]
    whole = model.transform(drawn(histories, applied_at)).to_numpy()
    # `seq` says in which order events of one instant come, so any order of them is the same.
    np.testing.assert_array_equal(model.transform(drawn(shuffled, applied_at)), whole)
    X = drawn(histories, applied_at)
    for i in range(len(X)):
        np.testing.assert_array_equal(model.transform(X.iloc[[i]])[:1], whole[[i]])
    chosen = data.draw(st.lists(st.sampled_from(range(len(X)))))
    np.testing.assert_array_equal(model.transform(X.iloc[chosen]), whole[chosen])


def test_a_row_depends_on_itself_alone():
    X = frame()
    model = BehaviorTopics(3).fit(X)
    whole = model.transform(X)
    pd.testing.assert_frame_equal(model.transform(X.iloc[5:9]), whole.iloc[5:9], check_exact=True)
    shuffled = X.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        model.transform(shuffled), whole.loc[shuffled.index], check_exact=True
    )
    again = BehaviorTopics(3).fit(shuffled).transform(shuffled)
    pd.testing.assert_frame_equal(again, whole.loc[shuffled.index], atol=1e-9)
    pd.testing.assert_frame_equal(clone(model).fit(X).transform(X), whole, check_exact=True)
    restored = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(restored.transform(X), whole, check_exact=True)


@given(table=tables(min_rows=1), extra=st.lists(st.integers(0, 300), max_size=4))
@settings(max_examples=20)
def test_what_comes_at_the_application_or_later_does_not_count(table, extra):
    model = BehaviorTopics(2).fit(frame())
    histories, applied_at = table
    wanted = model.transform(drawn(histories, applied_at))
    later = [
        [*(h or []), *({"time": at + k, "operation": "a0"} for k in extra)]
        for h, at in zip(histories, applied_at, strict=True)
    ]
    found = model.transform(drawn(later, applied_at))
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)


def test_what_is_older_than_the_lookback_does_not_count():
    X = applications([[event(0, "a0"), event(1, "b1"), event(2, "a1")]])
    model = BehaviorTopics(2).fit(frame())
    near = model.transform(applications([[event(1, "b1"), event(2, "a1")]]))
    assert not np.array_equal(model.transform(X), near)
    model.set_params(lookback=timedelta(days=100, hours=-1))
    np.testing.assert_array_equal(model.transform(X), near)


def test_labels_are_not_looked_at():
    X = frame()
    y = np.arange(len(X)) % 2
    pd.testing.assert_frame_equal(
        BehaviorTopics(2).fit(X, y).transform(X), BehaviorTopics(2).fit(X, 1 - y).transform(X)
    )


def test_trees_take_it_behind_a_behavior_abstractor():
    bank = make_loan_data(n_new=120, n_old=0, random_state=0)
    X = attach_behaviors(bank.applications, bank.events)
    trees = LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1)
    model = make_pipeline(BehaviorAbstractor(), BehaviorTopics(4, group_by="behavior"), trees)
    model.fit(X, bank.y)
    assert model[-1].feature_name_ == ["topic_1", "topic_2", "topic_3", "topic_4"]


@pytest.mark.parametrize("histories", [[None, None], [[event(0)], None], []])
def test_without_enough_events_topics_are_zero(histories):
    X = applications(histories)
    n_events = sum(len(h) for h in histories if h)
    told = pytest.warns(UserWarning, match=NOTHING) if n_events else nullcontext()
    with told as caught:
        model = BehaviorTopics(2).fit(X)
    assert all(warning.filename == __file__ for warning in caught or [])
    table = model.transform(X)
    assert table.shape == (len(X), 2)
    assert not table.to_numpy().any()
    assert not model.transform(frame(25)).to_numpy().any()


def test_where_all_do_the_same_there_is_no_topic(monkeypatch):
    monkeypatch.setattr(correspondence, "FEWEST", 1)
    for n in (1, 2, 30):
        X = applications([[event(0, "a"), event(1, "b"), event(2, "b"), event(3, "c")]] * n)
        with pytest.warns(UserWarning, match=NOTHING):
            model = BehaviorTopics(3).fit(X)
        assert not model.loadings_.to_numpy().any()


@pytest.mark.parametrize("wrong", [{"n_topics": 0}, {"n_topics": 2.5}, {"group_by": None}])
def test_refuses_parameters(wrong: dict[str, Any]):
    with pytest.raises(InvalidParameterError, match=f"The '{next(iter(wrong))}' parameter"):
        BehaviorTopics(**wrong).fit(frame(2))


def test_refuses_what_it_cannot_read():
    with pytest.raises(ValueError, match="no subfield 'behavior'; they have"):
        BehaviorTopics(group_by="behavior").fit(frame(2))
    with pytest.raises(NotFittedError):
        BehaviorTopics().transform(frame(2))
