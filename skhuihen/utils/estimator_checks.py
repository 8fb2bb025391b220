"""Checks for estimators that read applications with a nested column of events.

scikit-learn's own checks use arrays, and test little of estimators that read tables. These make the
same demands, and a few more, on tables with events in a column ``behaviors``. They are called like
those of scikit-learn and imbalanced-learn: in a test with `parametrize_with_checks`, without pytest
with `check_estimator`. They run on any estimator for such tables with the usual column names,
including your own steps. Use few epochs or trees: the estimator is fitted about forty times.
"""

from __future__ import annotations

import copy
import os
import pickle
import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sklearn import config_context, get_config
from sklearn.base import clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.pipeline import Pipeline
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils._testing import raises
from sklearn.utils.estimator_checks import _get_check_estimator_ids
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skhuihen._assembly.attach import attach_behaviors
from skhuihen._events.behaviors import Behaviors
from skhuihen._events.frames import as_frame
from skhuihen._events.nested import is_nested
from skhuihen.datasets import make_loan_data
from skhuihen.preprocessing import Sessionizer
from skhuihen.utils.containers import CONTAINERS, as_lists_of_dicts

#: The methods to check, if the estimator has them.
METHODS = ("transform", "predict", "predict_proba", "decision_function")
#: Positions of an application with a null history, and of one with an empty history.
NULL, EMPTY = 3, 5


def estimator_checks_generator(
    estimator: Any, *, expected_failed_checks: dict[str, str] | None = None, mark: str | None = None
) -> Iterator[Any]:
    """Yield every check that applies to an estimator.

    Parameters
    ----------
    estimator : estimator
        A transformer, classifier or pipeline to be fitted on applications with a nested column
        ``behaviors``. It is cloned and never fitted itself.
    expected_failed_checks : dict of str to str, default=None
        Names of the checks that must fail, with the reasons.
    mark : {"xfail"}, default=None
        Mark these for pytest, strictly: it is an error if they pass.

    Yields
    ------
    tuple of estimator and callable, or pytest parameter set
        ``check(estimator)`` raises if the check fails.

    Raises
    ------
    ValueError
        If a check that is expected to fail does not exist or does not apply.
    """
    expected = expected_failed_checks or {}
    checks = [*CHECKS, *(TRANSFORMER_CHECKS if hasattr(estimator, "transform") else ())]
    unknown = sorted(set(expected) - {check.__name__ for check in checks})
    if unknown:
        raise ValueError(
            f"expected_failed_checks names {unknown[0]!r}, which is not a check of "
            f"{type(estimator).__name__}. Remove it, or use one of "
            f"{[check.__name__ for check in checks]}."
        )
    for check in checks:
        bound = partial(check, type(estimator).__name__)
        if mark == "xfail" and check.__name__ in expected:
            import pytest

            reason = expected[check.__name__]
            marks = pytest.mark.xfail(reason=reason, strict=True)
            yield pytest.param(estimator, bound, marks=marks)
        else:
            yield estimator, bound


def parametrize_with_checks(
    estimators: Sequence[Any],
    *,
    expected_failed_checks: Callable[[Any], dict[str, str]] | None = None,
) -> Any:
    """Return a pytest decorator that runs a test with every check of every estimator.

    Parameters
    ----------
    estimators : sequence of estimators
    expected_failed_checks : callable, default=None
        Takes an estimator and returns names of the checks that must fail, with the reasons.

    Returns
    -------
    pytest.MarkDecorator
        For a test with the arguments ``estimator`` and ``check``.

    Examples
    --------
    >>> from skhuihen import Sessionizer, WindowStatistics
    >>> from skhuihen.utils.estimator_checks import parametrize_with_checks
    >>> @parametrize_with_checks([Sessionizer(), WindowStatistics()])
    ... def test_checks(estimator, check):
    ...     check(estimator)
    """
    import pytest

    expect = expected_failed_checks or (lambda estimator: {})
    return pytest.mark.parametrize(
        ("estimator", "check"),
        [
            pair
            for estimator in estimators
            for pair in estimator_checks_generator(
                estimator, expected_failed_checks=expect(estimator), mark="xfail"
            )
        ],
        ids=_get_check_estimator_ids,
    )


def check_estimator(
    estimator: Any, *, expected_failed_checks: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Run every check that applies to an estimator.

    Parameters
    ----------
    estimator : estimator
        See `estimator_checks_generator`.
    expected_failed_checks : dict of str to str, default=None
        Names of the checks that must fail, with the reasons.

    Returns
    -------
    list of dict
        For each check ``check_name``, ``status`` (``"passed"`` or ``"xfail"``), ``exception`` and
        ``expected_to_fail_reason``, as in scikit-learn's function of the same name.

    Raises
    ------
    AssertionError or other
        The error of the first check that fails unexpectedly, or an AssertionError if a check
        passes that is expected to fail.

    Examples
    --------
    >>> from skhuihen import Sessionizer
    >>> from skhuihen.utils.estimator_checks import check_estimator
    >>> {result["status"] for result in check_estimator(Sessionizer())}
    {'passed'}
    """
    expected = expected_failed_checks or {}
    results = []
    for _, check in estimator_checks_generator(estimator, expected_failed_checks=expected):
        name = check.func.__name__
        result = {
            "check_name": name,
            "status": "passed",
            "exception": None,
            "expected_to_fail_reason": expected.get(name),
        }
        try:
            check(estimator)
        except Exception as error:
            if name not in expected:
                raise
            result |= {"status": "xfail", "exception": error}
        else:
            if name in expected:
                raise AssertionError(
                    f"{name} is expected to fail ({expected[name]}), but passes for {estimator}."
                )
        results.append(result)
    return results


# ---- independence of scores


def check_subset_invariance(name: str, estimator: Any) -> None:
    """Check that rows give the same results one by one, in batches and together."""
    X, y = make_applications()
    model = _fit(estimator, X, y)
    whole = _results(model, X)
    for size, n_rows in ((1, 20), (7, len(X))):
        parts = [_results(model, X.iloc[i : i + size]) for i in range(0, n_rows, size)]
        expected = {method: result[:n_rows] for method, result in whole.items()}
        _assert_alike(_joined(parts), expected, f"{name} depends on the batch, here of {size} rows")


def check_order_invariance(name: str, estimator: Any) -> None:
    """Check that each row gives the same result at any position."""
    X, y = make_applications()
    model = _fit(estimator, X, y)
    order = np.random.default_rng(0).permutation(len(X))
    _assert_alike(
        _results(model, X.iloc[order]),
        _taken(_results(model, X), order),
        f"{name} depends on the order of rows",
    )


def check_event_order_invariance(name: str, estimator: Any) -> None:
    """Check that events may come in any order."""
    X, y = make_applications()
    backwards = _with_histories(X, [events and events[::-1] for events in _histories(X)])
    _assert_alike(
        _results(_fit(estimator, backwards, y), backwards),
        _results(_fit(estimator, X, y), X),
        f"{name} depends on the order of events",
    )


def check_future_events(name: str, estimator: Any) -> None:
    """Check that no event at or after the application changes anything, in fit or afterwards."""
    X, y = make_applications()
    histories = _histories(X)
    some_event = next(events for events in histories if events)[0]
    later = [
        [
            *(events or ()),
            *({**some_event, "time": at + pd.Timedelta(days, "D")} for days in (0, 1)),
        ]
        for events, at in zip(histories, X["applied_at"], strict=True)
    ]
    with_future = _with_histories(X, later)
    wanted = _results(_fit(estimator, X, y), X)
    for seen in (X, with_future):
        _assert_alike(
            _results(_fit(estimator, seen, y), with_future), wanted, f"{name} sees the future"
        )


# ---- no, one and many rows


def check_few_rows(name: str, estimator: Any) -> None:
    """Check that no row and one row give as many results, with the same width and columns."""
    X, y = make_applications()
    model = _fit(estimator, X, y)
    whole = _results(model, X)
    for rows in (slice(0, 0), slice(7, 8)):
        _assert_alike(_results(model, X.iloc[rows]), _taken(whole, rows), f"{name} on few rows")


def check_fit_on_one_row(name: str, estimator: Any) -> None:
    """Check that fit works on one row, with and without events (except for classifiers)."""
    if is_classifier(estimator):
        return
    X, y = make_applications()
    for row in (0, NULL, EMPTY):
        one = X.iloc[[row]]
        for method, result in _results(_fit(estimator, one, y[[row]]), one).items():
            assert len(result) == 1, f"{name}.{method} fails on one row after fit on it"


def check_many_rows(name: str, estimator: Any) -> None:
    """Check that each of thousands of rows gives the same result as in a small table."""
    X, y = make_applications()
    model = _fit(estimator, X, y)
    rows = np.tile(np.arange(len(X)), 50)
    _assert_alike(
        _results(model, X.iloc[rows]), _taken(_results(model, X), rows), f"{name} on many rows"
    )


def check_empty_and_missing_histories(name: str, estimator: Any) -> None:
    """Check that empty histories work in fit and afterwards, and null equals empty."""
    X, y = make_applications()
    empty, missing = _with_histories(X, [[]] * len(X)), _with_histories(X, [None] * len(X))
    model = _fit(estimator, X, y)
    without = _results(model, empty)
    _assert_alike(_results(model, missing), without, f"{name} treats null and empty differently")
    _assert_alike(
        _taken(_results(model, X), [NULL, EMPTY]),
        _taken(without, [NULL, EMPTY]),
        f"{name} makes the result of a row without history depend on other rows",
    )
    _assert_alike(
        _results(_fit(estimator, missing, y), missing),
        _results(_fit(estimator, empty, y), empty),
        f"{name} learns differently from null and from empty histories",
    )


# ---- inputs are unchanged, in any container


def check_containers(name: str, estimator: Any) -> None:
    """Check that a table gives the same results in any container, in fit and afterwards."""
    X, y = make_applications()
    model = _fit(estimator, X, y)
    wanted = _results(model, X)
    for kind, convert in CONTAINERS.items():
        other = convert(X)
        _assert_alike(_results(model, other), wanted, f"{name} on {kind}")
        _assert_alike(_results(_fit(estimator, other, y), X), wanted, f"{name}, fitted on {kind}")


def check_input_not_mutated(name: str, estimator: Any) -> None:
    """Check that neither X nor y changes."""
    X, y = make_applications()
    for table in (X, as_lists_of_dicts(X)):
        before, labels = copy.deepcopy(table), y.copy()
        _results(_fit(estimator, table, y), table)
        assert table.columns.equals(before.columns), f"{name} changes the columns of X"
        for column in X.columns.drop("behaviors"):
            assert table[column].equals(before[column]), f"{name} changes column {column!r} of X"
        assert _histories(table) == _histories(before), f"{name} changes the events of X"
        np.testing.assert_array_equal(y, labels, f"{name} changes y")


def check_parameters_not_mutated(name: str, estimator: Any) -> None:
    """Check that parameters do not change."""
    X, y = make_applications()
    model = _fresh(estimator)
    before = joblib.hash(clone(model))
    _results(model.fit(X, y), X)
    assert joblib.hash(clone(model)) == before, f"{name} changes its own parameters"


# ---- copies


def check_cloned(name: str, estimator: Any) -> None:
    """Check that the clone of a fitted estimator is not fitted and learns the same."""
    X, y = make_applications()
    model = _fit(estimator, X, y)
    twin = clone(model)
    assert repr(twin) == repr(_fresh(estimator)), f"The clone of {name} has other parameters"
    with raises(NotFittedError, err_msg=f"The clone of {name} is fitted"):
        check_is_fitted(twin, None if get_tags(twin).requires_fit else "n_features_in_")
    _assert_alike(
        _results(twin.fit(X, y), X), _results(model, X), f"The clone of {name} learns differently"
    )


def check_pickled(name: str, estimator: Any) -> None:
    """Check that pickling does not change an estimator, fitted or not."""
    X, y = make_applications()
    model = _fit(estimator, X, y)
    wanted = _results(model, X)
    back = pickle.loads(pickle.dumps(model))
    _assert_alike(_results(back, X), wanted, f"{name}, fitted and pickled")
    unfitted = pickle.loads(pickle.dumps(_fresh(estimator)))
    _assert_alike(_results(unfitted.fit(X, y), X), wanted, f"{name}, pickled and fitted")


def check_refitted(name: str, estimator: Any) -> None:
    """Check that fit keeps nothing from an earlier fit on other rows and columns."""
    X, y = make_applications()
    model = _fit(estimator, X.iloc[:45].drop(columns=X.columns[3]), y[:45])
    _assert_alike(
        _results(model.fit(X, y), X), _results(_fit(estimator, X, y), X), f"{name}, fitted again"
    )


def check_unfitted(name: str, estimator: Any) -> None:
    """Check that an unfitted estimator raises, or gives the same results if it needs no fit."""
    X, y = make_applications()
    requires_fit = get_tags(estimator).requires_fit
    fitted = _fit(estimator, X, y)
    for method in METHODS:
        if not hasattr(fitted, method):
            continue
        ask = getattr(_fresh(estimator), method)
        if requires_fit:
            with raises(NotFittedError, err_msg=f"{name}.{method} works without fit"):
                ask(X)
        else:
            _assert_alike(ask(X), getattr(fitted, method)(X), f"{name}.{method} without fit")
    if hasattr(fitted, "get_feature_names_out"):
        with raises(NotFittedError, err_msg=f"{name} names its columns without fit"):
            _fresh(estimator).get_feature_names_out()


# ---- the user's data and environment


def check_keys_are_no_features(name: str, estimator: Any) -> None:
    """Check that user and application numbers change nothing."""
    X, y = make_applications()
    model = _fit(estimator, X, y)
    keys = ["user_id", "application_id"]
    other = X.assign(**{key: X[key].to_numpy()[::-1] + 1_000_000 for key in keys})
    _assert_alike(
        _without(_results(model, other), keys),
        _without(_results(model, X), keys),
        f"{name} uses a key as a feature",
    )


def check_missing_path(name: str, estimator: Any) -> None:
    """Check that a missing path is rejected, by its name or because paths are not accepted."""
    X, y = make_applications()
    model = _fit(estimator, X, y)
    path = os.path.join("no_such_folder", "applications.parquet")
    asked = [lambda X: _fresh(estimator).fit(X, y)]
    asked += [getattr(model, method) for method in METHODS if hasattr(model, method)]
    for ask in asked:
        with (
            warnings.catch_warnings(action="ignore"),
            raises((FileNotFoundError, TypeError, ValueError), match=["no_such_folder", "a str;"]),
        ):
            ask(path)


def check_scale_of_weights(name: str, estimator: Any) -> None:
    """Check that only the ratios of weights matter, and that equal weights change nothing."""
    if not has_fit_parameter(estimator, "sample_weight"):
        return
    X, y = make_applications()

    def results(weight: Any) -> dict[str, Any]:
        return _results(_fresh(estimator).fit(X, y, sample_weight=weight), X)

    weight = np.random.default_rng(0).uniform(0.1, 5, len(X))
    for one, wanted in ((weight, results(weight)), (np.ones(len(X)), results(None))):
        for constant in (1e-6, 1e6):
            _assert_alike(
                results(constant * one), wanted, f"{name} with all weights times {constant}"
            )


def check_global_state(name: str, estimator: Any) -> None:
    """Check that random states, warnings, threads and other settings do not change."""
    X, y = make_applications()
    # The first run imports modules, which may change their own settings.
    for shared in (_random_states, _settings):
        before = shared()
        _results(_fit(estimator, X, y), X)
        for what, value in shared().items():
            assert value == before[what], f"{name} changes {what}"


# ---- scikit-learn's interfaces


def check_metadata_routing(name: str, estimator: Any) -> None:
    """Check that weights reach fit through a pipeline if and only if requested."""
    X, y = make_applications()
    plain = _results(_fit(estimator, X, y), X)
    with config_context(enable_metadata_routing=True):
        get_routing_for_object(estimator)
        routed = _results(Pipeline([("step", _fresh(estimator))]).fit(X, y), X)
        _assert_alike(routed, plain, f"{name} with metadata routing")
        if not has_fit_parameter(estimator, "sample_weight"):
            return
        weight = np.random.default_rng(0).uniform(0.1, 5, len(X))
        asking = _fresh(estimator).set_fit_request(sample_weight=True)
        routed = _results(Pipeline([("step", asking)]).fit(X, y, sample_weight=weight), X)
        weighted = _results(_fresh(estimator).fit(X, y, sample_weight=weight), X)
        _assert_alike(routed, weighted, f"{name} with routed weights")
        with raises(AssertionError, err_msg=f"Weights change nothing in {name}"):
            _assert_alike(weighted, plain, "")
        with raises(UnsetMetadataPassedError, err_msg=f"{name} accepts weights without a request"):
            Pipeline([("step", _fresh(estimator))]).fit(X, y, sample_weight=weight)


def check_html_repr(name: str, estimator: Any) -> None:
    """Check that the HTML picture is drawn and contains no dead links.

    scikit-learn only has pages for its own estimators. Any other link must come from the
    estimator's own package.
    """
    X, y = make_applications()
    for model in (_fresh(estimator), _fit(estimator, X, y)):
        html = estimator_html_repr(model)
        assert name in html, f"The HTML picture of {name} does not show its name"
        pages = set()
        for part in [model, *model.get_params().values()]:
            link = part._get_doc_link() if hasattr(part, "_get_doc_link") else ""
            if not link:
                continue
            pages.add(link)
            own = type(part).__module__.split(".")[0] == "sklearn"
            assert own or "//scikit-learn.org/" not in link, f"{link} does not exist"
        linked = {href.split("#")[0] for href in re.findall(r'href="([^"]*)"', html)}
        assert linked <= pages, f"{name} links to {linked - pages}"


# ---- transformers


def check_fit_transform(name: str, estimator: Any) -> None:
    """Check that fit_transform equals fit and transform."""
    X, y = make_applications()
    _assert_alike(
        _fresh(estimator).fit_transform(X, y),
        _fit(estimator, X, y).transform(X),
        f"{name}.fit_transform",
    )


def check_index_kept(name: str, estimator: Any) -> None:
    """Check that frames keep any index, even with duplicate labels."""
    X, y = make_applications()
    index = pd.Index([f"application {i // 2}" for i in range(len(X))], name="number")
    X = X.set_index(index)
    model = _fresh(estimator).set_output(transform="pandas")
    for result in (model.fit_transform(X, y), model.fit(X, y).transform(X)):
        pd.testing.assert_index_equal(result.index, index)


def check_get_feature_names_out(name: str, estimator: Any) -> None:
    """Check that the names are those of the columns, all texts and unique."""
    X, y = make_applications()
    model = _fit(estimator, X, y)
    names = model.get_feature_names_out()
    assert isinstance(names, np.ndarray), f"{name} returns its names as a {type(names)}"
    assert names.dtype == object, f"{name} returns names of dtype {names.dtype}"
    assert all(isinstance(column, str) for column in names), f"{name} has names that are not texts"
    assert len(set(names)) == len(names), f"{name} has duplicate column names"
    result = model.transform(X)
    assert result.shape == (len(X), len(names)), f"{name} has {len(names)} names"
    framed = _fresh(estimator).set_output(transform="pandas").fit(X, y).transform(X)
    assert framed.columns.tolist() == names.tolist(), f"The columns of {name} have other names"


def check_set_output(name: str, estimator: Any) -> None:
    """Check that set_output and the global setting return such frames, with equal values."""
    X, y = make_applications()
    model = _fit(estimator, X, y)
    plain = model.transform(X)
    values = pd.DataFrame(plain, columns=model.get_feature_names_out())
    for kind in ("pandas", "polars"):
        if find_spec(kind) is None:
            continue
        with config_context(transform_output=kind):
            by_all = model.transform(X)
        by_itself = _fit(estimator, X, y).set_output(transform=kind).transform(X)
        for result in (by_all, by_itself):
            assert type(result).__module__.split(".")[0] == kind, f"{name} returns {type(result)}"
            _assert_alike(as_frame(result, "behaviors"), values, f"{name} with output {kind}")
    again = model.set_output(transform="default").transform(X)
    assert type(again) is type(plain)
    _assert_alike(again, plain, f"{name} after set_output(transform='default')")


def check_column_transformer(name: str, estimator: Any) -> None:
    """Check that an estimator returns the same inside a ColumnTransformer."""
    X, y = make_applications()
    table = ColumnTransformer(
        [("step", _fresh(estimator), X.columns.tolist())], verbose_feature_names_out=False
    ).set_output(transform="pandas")
    alone = _fresh(estimator).set_output(transform="pandas")
    wanted = alone.fit_transform(X, y)
    _assert_alike(table.fit_transform(X, y), wanted, f"{name} in a ColumnTransformer")
    _assert_alike(table.transform(X), alone.transform(X), f"{name} in a ColumnTransformer")


def check_weights_are_rows(name: str, estimator: Any) -> None:
    """Check that a weight of two equals two rows and a weight of 0 none, if fit accepts weights.

    Classifiers are exempt, because training in batches depends on the number of rows.
    """
    if is_classifier(estimator) or not has_fit_parameter(estimator, "sample_weight"):
        return
    X, y = make_applications()
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    rows = np.repeat(np.arange(len(X)), weight)
    weighted = _fresh(estimator).fit(X, y, sample_weight=weight)
    repeated = _fit(estimator, X.iloc[rows].reset_index(drop=True), y[rows])
    _assert_alike(_results(weighted, X), _results(repeated, X), f"{name} with weights as rows")


CHECKS = (
    check_subset_invariance,
    check_order_invariance,
    check_event_order_invariance,
    check_future_events,
    check_few_rows,
    check_fit_on_one_row,
    check_many_rows,
    check_empty_and_missing_histories,
    check_containers,
    check_input_not_mutated,
    check_parameters_not_mutated,
    check_cloned,
    check_pickled,
    check_refitted,
    check_unfitted,
    check_keys_are_no_features,
    check_missing_path,
    check_scale_of_weights,
    check_global_state,
    check_metadata_routing,
    check_html_repr,
)
TRANSFORMER_CHECKS = (
    check_fit_transform,
    check_index_kept,
    check_get_feature_names_out,
    check_set_output,
    check_column_transformer,
    check_weights_are_rows,
)


# ---- shared by the checks


def make_applications() -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Make the table of the checks and its labels.

    Returns
    -------
    X : DataFrame of shape (60, 23)
        Simulated applications, cut into sessions so that any step can read them. One has a null
        history and one an empty history.
    y : int64 ndarray of shape (60,)
    """
    X, y = _simulated()
    return X.copy(), y.copy()


@cache
def _simulated() -> tuple[pd.DataFrame, NDArray[np.int64]]:
    bank = make_loan_data(n_new=60, n_old=0, overdue_rate=0.3, random_state=0)
    X = Sessionizer(max_sessions=3).fit_transform(attach_behaviors(bank.applications, bank.events))
    histories = _histories(X)
    histories[NULL], histories[EMPTY] = None, []
    return _with_histories(X, histories), np.asarray(bank.y)


def _histories(X: pd.DataFrame) -> list[Any]:
    """Return the events of each row as a list of dicts."""
    if X["behaviors"].dtype == object:
        return X["behaviors"].tolist()
    return pa.table(X[["behaviors"]])["behaviors"].to_pylist()


def _with_histories(X: pd.DataFrame, histories: list[Any]) -> pd.DataFrame:
    dtype = X["behaviors"].dtype
    lists = pa.array(histories, pa.table(X[["behaviors"]])["behaviors"].type)
    return X.assign(behaviors=pd.Series(lists, X.index, dtype=dtype))


def _fresh(estimator: Any) -> Any:
    """Return a clone with every seed set."""
    model = clone(estimator)
    seeds = [name for name in model.get_params() if name.split("__")[-1] == "random_state"]
    return model.set_params(**dict.fromkeys(seeds, 0))


def _fit(estimator: Any, X: Any, y: Any) -> Any:
    return _fresh(estimator).fit(X, y)


def _results(model: Any, X: Any) -> dict[str, Any]:
    """Return the result of each method."""
    return {name: getattr(model, name)(X) for name in METHODS if hasattr(model, name)}


def _without(results: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """Drop columns of frames where present."""
    return {
        name: result.drop(columns=columns, errors="ignore")
        if isinstance(result, pd.DataFrame)
        else result
        for name, result in results.items()
    }


def _random_states() -> dict[str, Any]:
    """Return the random states of the process, in comparable forms."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "the state of random": random.getstate(),
        "the random state of NumPy": (kind, np.asarray(keys).tolist(), rest),
        "the random state of torch": torch.get_rng_state().tolist(),
    }


def _settings() -> dict[str, Any]:
    """Return other settings of the process."""
    return {
        "the number of torch threads": torch.get_num_threads(),
        "the default dtype of torch": torch.get_default_dtype(),
        "whether torch is deterministic": torch.are_deterministic_algorithms_enabled(),
        # Enough numbers for all threads to take part.
        "denormal numbers": int((torch.full((1_000_000,), 1e-39) / 2).count_nonzero()),
        "the filters of warnings": list(warnings.filters),
        "how NumPy treats errors": np.geterr(),
        "the configuration of scikit-learn": get_config(),
        "the environment": dict(os.environ),
    }


def _taken(results: dict[str, Any], rows: Any) -> dict[str, Any]:
    return {
        name: result.iloc[rows] if isinstance(result, pd.DataFrame) else result[rows]
        for name, result in results.items()
    }


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    values = {name: [part[name] for part in parts] for name in parts[0]}
    return {
        name: pd.concat(found) if isinstance(found[0], pd.DataFrame) else np.concatenate(found)
        for name, found in values.items()
    }


def _assert_alike(result: Any, expected: Any, what: str) -> None:
    """Compare results by value and position, with tolerance 1e-5; dtypes may differ."""
    if isinstance(expected, dict):
        assert list(result) == list(expected), what
        for name, values in expected.items():
            _assert_alike(result[name], values, f"{what}: {name}")
    elif isinstance(expected, pd.DataFrame):
        assert isinstance(result, pd.DataFrame), f"{what}: {type(result)}"
        for one, other in zip(_plain(result), _plain(expected), strict=True):
            pd.testing.assert_frame_equal(
                one, other, check_dtype=False, check_column_type=False, rtol=0, atol=1e-5, obj=what
            )
    elif np.issubdtype(expected.dtype, np.floating):
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5, err_msg=what)
    else:
        np.testing.assert_array_equal(result, expected, what)


def _plain(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the frame without events and index, and the frame of events; None for missing."""
    nested = [name for name in frame.columns if is_nested(frame[name])]
    frames = [frame.drop(columns=nested)]
    for name in nested:
        behaviors = Behaviors.from_column(frame[name])
        events = {key: values.to_pandas() for key, values in behaviors.fields.items()}
        frames.append(pd.DataFrame({**events, "row": behaviors.rows}))
    return [part.astype(object).where(part.notna(), None).reset_index(drop=True) for part in frames]
