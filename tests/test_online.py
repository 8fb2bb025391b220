"""One applicant at a time: what the model gives for a table of one row, and no less strict."""

from __future__ import annotations

import json
import math
import sys
import threading
import tracemalloc
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    OnlineScorer,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
    save_model,
)
from skhuihen._online import ApplicationError, kernel, networks, plan
from skhuihen.datasets import make_loan_data
from skhuihen.inspection import explain, reason_codes
from tests.models import trees

SMALL: dict[str, Any] = {
    "max_epochs": 1,
    "n_estimators": 2,
    "random_state": 0,
    "net_params": {
        "module__behavior_dim": 3,
        "module__intention_dim": 4,
        "module__habit_dim": 5,
        "module__hidden_units": (6,),
    },
}
READ = ["seq", "time", "operation", "item", "amount"]


def make_bank() -> tuple[pd.DataFrame, np.ndarray]:
    data = make_loan_data(n_new=250, n_old=0, overdue_rate=0.4, random_state=0)
    return attach_behaviors(data.applications, data.events, lookback="60D"), np.asarray(data.y)


def steps(dtype: str = "float64", **params: Any) -> Any:
    return make_pipeline(
        BehaviorAbstractor(n_behaviors=15, n_items=8),
        Sessionizer(min_behaviors=2, max_sessions=6, max_behaviors=8),
        HUIHENClassifier(dtype=dtype, **SMALL | params),
    )


def applications(X: pd.DataFrame) -> list[dict[str, Any]]:
    """Return plain Python, as a service has it."""
    plain = []
    for row in X.to_dict("records"):
        events = row["behaviors"][READ]
        events = events.astype(object).where(events.notna(), None).to_dict("records")
        for event in events:
            event["time"] = event["time"].to_pydatetime()
        row["behaviors"] = events
        row["applied_at"] = row["applied_at"].to_pydatetime()
        plain.append(
            {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        )
    return plain


@pytest.fixture(scope="module")
def bank() -> tuple[pd.DataFrame, np.ndarray]:
    return make_bank()


@pytest.fixture(scope="module")
def model(bank: tuple[pd.DataFrame, np.ndarray]) -> Any:
    return steps().fit(*bank)


@pytest.fixture(scope="module")
def plain(bank: tuple[pd.DataFrame, np.ndarray]) -> list[dict[str, Any]]:
    return applications(bank[0][:80])


def all_fast(scorer: OnlineScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model not be asked."""

    def refuse(*_: Any) -> float:
        raise AssertionError("the model was asked")

    monkeypatch.setattr(scorer, "_ask_model", refuse)


@pytest.mark.parametrize(
    "make",
    [
        steps,
        lambda: steps(
            n_topics=2,
            event_numbers=None,
            n_estimators=1,
            net_params={"module__mean_intention": False},
        ),
        lambda: steps(
            event_numbers=["amount", "age"],
            net_params={"module__log_interval": False, "module__hidden_units": ()},
        ),
        lambda: make_pipeline(
            Sessionizer(session_gap="2h", max_sessions=None, max_behaviors=None, lookback="20D"),
            HUIHENClassifier(dtype="float64", **SMALL),
        ),
    ],
)
def test_scores_of_a_bank(
    make: Any, bank: tuple[pd.DataFrame, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = bank
    fitted = make().fit(X, y)
    scorer = OnlineScorer(fitted)
    assert scorer.is_fast_
    all_fast(scorer, monkeypatch)
    expected = fitted.predict_proba(X[:80])[:, 1]
    found = [scorer.probability(application) for application in applications(X[:80])]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert np.ptp(expected) > 0


def test_single_precision_and_a_model_file(
    bank: tuple[pd.DataFrame, np.ndarray], plain: list[dict[str, Any]], tmp_path: Path
) -> None:
    X, y = bank
    fitted = steps("float32").fit(X, y)
    save_model(fitted, tmp_path / "a.model", X)
    scorer = OnlineScorer(tmp_path / "a.model")
    assert scorer.is_fast_
    assert len(scorer.sha256_) == 64
    found = [scorer.probability(application) for application in plain]
    np.testing.assert_allclose(found, fitted.predict_proba(X[:80])[:, 1], rtol=0, atol=1e-6)


def test_without_numba(
    bank: tuple[pd.DataFrame, np.ndarray], plain: list[dict[str, Any]], monkeypatch: Any
) -> None:
    X, y = bank
    fitted = steps("float32", net_params={"module__intention_dim": 8}).fit(X, y)
    compiled = OnlineScorer(fitted)
    assert compiled._plan.network.kernel is not None
    monkeypatch.delattr("skhuihen._online.kernel")
    for name in ("numba", "skhuihen._online.kernel"):
        monkeypatch.setitem(sys.modules, name, None)
    scorer = OnlineScorer(fitted)
    assert scorer.is_fast_
    assert scorer._plan.network.kernel is None
    expected = fitted.predict_proba(X[:80])[:, 1]
    for one in (compiled, scorer):
        all_fast(one, monkeypatch)
        found = [one.probability(application) for application in plain]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    size=st.sampled_from([4, 8]),
    scale=st.sampled_from([0.01, 1.0, 30.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_compiled_steps(lengths: list[int], size: int, scale: float, seed: int) -> None:
    """They are equations 2 to 6 and 8 to 11, whose gates may be shut or wide open."""
    rng = np.random.default_rng(seed)
    n_events, full, k = sum(lengths), 8, 2

    def draw(*shape: int, axes: tuple[int, ...] = ()) -> Any:
        drawn = rng.normal(size=shape).astype(np.float32)
        return kernel.padded(drawn, *axes)

    def gates_of(weights: Any) -> list[Any]:
        """Return each gate of a row, without the zeros at its end."""
        return [weights[..., at : at + size] for at in range(0, weights.shape[-1], full)]

    def sigmoid(x: Any) -> Any:
        return expit(-np.asarray(x, float))  # the weights are negative

    by_behavior, by_day = (scale * draw(7, k, 4, size, axes=(3,)).reshape(7, k, -1) for _ in "12")
    w_numbers = draw(k, 2, 4, size, axes=(3,)).reshape(k, 2, -1)
    w_state = draw(k, size, 3, size, axes=(1, 3)).reshape(k, full, -1)
    w_reset = draw(k, size, size, axes=(1, 2))
    number, day = rng.integers(0, 7, (2, n_events))
    factor, numbers, passing = draw(n_events), draw(2, n_events), draw(k, n_events, size)
    of_events = (number, factor, day, numbers, passing, np.array(lengths))
    weights = (by_behavior, by_day, w_numbers, w_state, w_reset)
    found = np.empty((k, len(lengths), size), np.float32)
    kernel.sessions_of(size)(*of_events, *weights, found)
    habit = np.empty((k, size), np.float32)
    of_sessions = scale * draw(len(lengths), 3, k, size)
    kernel.habit_of(size)(of_sessions, w_state[:, :, : 2 * full].copy(), w_reset, habit)

    for network in range(k):
        of_h, of_reset = w_state[network, :size], w_reset[network, :size, :size]
        i = 0
        for session, length in enumerate(lengths):
            h = np.zeros(size)
            for _ in range(length):
                x = by_behavior[number[i], network] * factor[i] + by_day[day[i], network]
                time, u, r, new = gates_of(x + numbers[:, i] @ w_numbers[network])
                of_u, of_r, of_new = gates_of(h @ of_h)
                reset = h * sigmoid(r + of_r)
                p = np.tanh(new + of_new + reset @ of_reset)
                h = h + sigmoid(u + of_u) * (p * sigmoid(time + passing[network, i]) - h)
                i += 1
            np.testing.assert_allclose(found[network, session], h, atol=2e-4)
        h = np.zeros(size)
        for u, r, new in of_sessions[:, :, network]:
            of_u, of_r, _ = gates_of(h @ of_h)
            p = np.tanh(new + (h * sigmoid(r + of_r)) @ of_reset)
            h = h + sigmoid(u + of_u) * (p - h)
        np.testing.assert_allclose(habit[network], h, atol=2e-4)


# --------------------------------------------------------------------------------------------------
# Whatever comes.

NOW = datetime(2024, 5, 20, 12)
OPERATIONS = ["login", "transfer_out", "loan_apply", "never seen", "FundPage.buy", "", None, 17]
MADE: dict[str, Any] = {}


def made() -> tuple[Any, OnlineScorer, dict[str, Any], list[str]]:
    """Return the model, its scorer, an ordinary application, and operations; made once."""
    if not MADE:
        X, y = make_bank()
        fitted = steps().fit(X, y)
        known = sorted({e["operation"] for a in applications(X[:20]) for e in a["behaviors"]})
        MADE["all"] = fitted, OnlineScorer(fitted), applications(X[:1])[0], known
    return MADE["all"]


def amounts() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.none(),
        st.floats(-1e4, 1e4),
        st.integers(-1000, 1000),
        st.sampled_from([math.nan, math.inf, 1e200, 10**19, True, "12", 1e7, -1e7, 0.0]),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Any]:
    _, _, _, known = made()
    usual = draw(st.booleans())
    names = st.sampled_from(known if usual else [*known[:5], *OPERATIONS])
    has_seq, has_item, has_amount = (draw(st.integers(0, 5)) > 0 for _ in range(3))
    n = draw(st.integers(0, 25))
    start = draw(st.integers(0, 40)) * 86_400
    events, ago = [], start + 10_000
    for number in range(n):
        ago -= draw(st.sampled_from([0, 1, 7, 61, 3600, 3601, 20_000] if number % 4 else [9_000]))
        event: dict[str, Any] = {
            "time": NOW - timedelta(seconds=ago),
            "operation": draw(names),
        }
        if has_seq:
            event["seq"] = number if usual else draw(st.integers(0, 5))
        if has_item:
            event["item"] = draw(st.sampled_from([None, "C01", "F12", ""]))
        if has_amount:
            event["amount"] = draw(st.floats(1, 1000) | st.none() if usual else amounts())
        if not usual and draw(st.integers(0, 30)) == 0:
            event.pop(draw(st.sampled_from(sorted(event))))
        events.append(event)
    if not usual and draw(st.booleans()):
        events = draw(st.permutations(events))
    return events


def compare(application: dict[str, Any], frame: pd.DataFrame) -> None:
    """Both give the same score, the same warnings, or an error."""
    model, scorer, _, _ = made()
    outcomes = []
    for score in (
        lambda: scorer.probability(application),
        lambda: float(model.predict_proba(frame)[0, 1]),
    ):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                found: Any = score()
            except (ValueError, TypeError) as error:
                found = str(error)
        outcomes.append((found, sorted(str(warning.message) for warning in told)))
    (found, told_here), (expected, told_there) = outcomes
    if isinstance(expected, str):
        assert isinstance(found, str)
        return
    assert not isinstance(found, str), found
    assert told_here == told_there
    assert abs(found - expected) < 1e-7


def frame_of(application: dict[str, Any]) -> pd.DataFrame:
    columns: dict[str, Any] = {k: [v] for k, v in application.items() if k != "behaviors"}
    columns["applied_at"] = pd.Series([pd.Timestamp(application["applied_at"])])
    frame = pd.DataFrame(columns)
    frame["behaviors"] = pd.Series([application["behaviors"]], dtype=object)
    return frame[[*application]]


@settings(max_examples=30)
@given(histories())
@example([])
def test_any_history(events: list[Any]) -> None:
    application = made()[2] | {"applied_at": NOW, "behaviors": events}
    compare(application, frame_of(application))


@settings(max_examples=20)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "user__age": st.sampled_from([None, 20, 200, 1e9, math.nan, math.inf, "30", 31.5]),
            "user__monthly_income": st.sampled_from([None, 0, -5, 1e8, 1e200, True, 5000]),
            "user__education": st.sampled_from([None, "college", "new", "", 3, math.nan]),
            "device__rooted": st.sampled_from([None, True, False, 1, 0.0, "yes"]),
        },
    )
)
def test_any_profile(values: dict[str, Any]) -> None:
    application = made()[2] | values
    compare(application, frame_of(application))


def test_json_and_offsets(plain: list[dict[str, Any]], model: Any, monkeypatch: Any) -> None:
    scorer = OnlineScorer(model)
    all_fast(scorer, monkeypatch)
    application = max(plain, key=lambda a: len(a["behaviors"]))
    expected = scorer.probability(application)
    text = json.dumps(application, default=lambda time: time.isoformat())
    assert scorer.probability(text) == expected
    assert scorer.probability(text.encode()) == expected

    def in_utc(time: datetime) -> str:
        return time.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")

    def in_shanghai(time: datetime) -> str:
        return f"{(time + timedelta(hours=8)).isoformat()}+08:00"

    for write in (in_utc, in_shanghai):
        text = json.dumps(application, default=write)
        assert scorer.probability(text) == expected
    aware = application | {
        "applied_at": application["applied_at"].replace(tzinfo=UTC),
        "behaviors": [
            e | {"time": e["time"].replace(tzinfo=UTC)} for e in application["behaviors"]
        ],
    }
    assert scorer.probability(aware) == expected
    monkeypatch.undo()
    with pytest.raises(ValueError, match="time zone"):
        scorer.probability(aware | {"applied_at": application["applied_at"]})


def test_days_are_read_in_the_zone_that_is_named(bank: Any, monkeypatch: Any) -> None:
    X, y = bank
    X = X[:80].assign(applied_at=X["applied_at"][:80].dt.tz_localize("UTC"))
    events = [
        [e | {"time": pd.Timestamp(e["time"], tz="UTC")} for e in a["behaviors"]]
        for a in applications(bank[0][:80])
    ]
    X["behaviors"] = pd.Series(events, dtype=object)
    fitted = make_pipeline(
        Sessionizer(time_zone="Asia/Shanghai"), HUIHENClassifier(dtype="float64", **SMALL)
    ).fit(X, y[:80])
    scorer = OnlineScorer(fitted)
    text = json.dumps(applications(bank[0][5:6])[0], default=lambda t: f"{t.isoformat()}Z")
    expected = fitted.predict_proba(X[5:6])[0, 1]
    assert abs(scorer.probability(text) - expected) < 1e-12


def test_the_future_does_not_count(plain: list[dict[str, Any]], model: Any) -> None:
    scorer = OnlineScorer(model)
    application = max(plain, key=lambda a: len(a["behaviors"]))
    expected = scorer.probability(application)
    late = [
        {
            "time": application["applied_at"] + timedelta(seconds=s),
            "operation": "login",
            "item": None,
            "amount": None,
            "seq": 10**6 + s,
        }
        for s in range(3)
    ]
    more = application | {"behaviors": [*late, *application["behaviors"]]}
    assert scorer.probability(more) == expected


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"user__age": "remove"}, "user__age"),
        ({"nonsense": 1}, "nonsense"),
        ({"applied_at": "remove"}, "applied_at"),
        ({"applied_at": "yesterday"}, "applied_at"),
        ({"applied_at": 17}, "applied_at"),
        ({"applied_at": pd.NaT}, "applied_at"),
        ({"behaviors": "login"}, "behaviors"),
        ({"user__age": -(10**400)}, "user__age"),
        ({"behaviors": ["login"]}, "behaviors"),
    ],
)
def test_errors_name_the_field(
    change: dict[str, Any], field: str, plain: list[dict[str, Any]], model: Any
) -> None:
    application = {k: v for k, v in (plain[0] | change).items() if v != "remove"}
    with pytest.raises(ApplicationError, match=field) as caught:
        OnlineScorer(model).probability(application)
    assert caught.value.field == field


def test_input_that_is_no_application(model: Any) -> None:
    scorer = OnlineScorer(model)
    for wrong in ("{", "[1]", b"\xff", 17, None, "[" * 100_000):
        with pytest.raises(ApplicationError):
            scorer.probability(wrong)


def test_identifiers_and_histories_may_be_missing(
    plain: list[dict[str, Any]], bank: tuple[pd.DataFrame, np.ndarray], model: Any
) -> None:
    scorer = OnlineScorer(model)
    nobody = {k: v for k, v in plain[0].items() if k not in ("user_id", "application_id")}
    assert scorer.probability(nobody) == scorer.probability(plain[0])
    empty = scorer.probability(plain[0] | {"behaviors": []})
    assert empty == scorer.probability(plain[0] | {"behaviors": None})
    without = {k: v for k, v in plain[0].items() if k != "behaviors"}
    assert scorer.probability(without) == empty


def test_models_that_there_is_no_fast_way_for(
    bank: tuple[pd.DataFrame, np.ndarray], plain: list[dict[str, Any]]
) -> None:
    X, y = bank
    for other in (
        steps(base_estimator=trees()),
        steps(net_params={"module__time_aware": False}),
        make_pipeline(BehaviorAbstractor(), trees()),
        make_pipeline(ProfileEncoder(), LogisticRegression()),
    ):
        fitted = other.fit(X, y)
        scorer = OnlineScorer(fitted)
        assert not scorer.is_fast_
        found = [scorer.probability(application) for application in plain[:3]]
        np.testing.assert_allclose(found, fitted.predict_proba(X[:3])[:, 1], rtol=0, atol=1e-6)


def test_a_subfield_by_which_statistics_count_is_read() -> None:
    bank = make_loan_data(n_new=100, n_old=0, overdue_rate=0.3, random_state=0)
    channel = np.where(np.arange(len(bank.events)) % 3 == 0, "web", "app")
    keys = ["user_id", "application_id", "applied_at"]
    X = attach_behaviors(bank.applications[keys], bank.events.assign(channel=channel))
    statistics, tree = WindowStatistics(group_by="channel"), DecisionTreeClassifier(max_depth=4)
    fitted = make_pipeline(statistics, tree).fit(X, bank.y)
    (application,) = applications(X[:1])
    for event, of_event in zip(application["behaviors"], X["behaviors"][0]["channel"], strict=True):
        event["channel"] = of_event
    found = OnlineScorer(fitted).probability(application)
    assert found == fitted.predict_proba(X[:1])[0, 1]


def test_a_network_that_computes_otherwise_is_noticed(
    bank: tuple[pd.DataFrame, np.ndarray], plain: list[dict[str, Any]], monkeypatch: Any
) -> None:
    fitted = steps(n_estimators=1).fit(*bank)
    monkeypatch.setattr(plan, "BESIDE", 1.0)
    assert OnlineScorer(fitted).is_fast_  # of no effect without topics
    read = networks.Networks._read_habit
    monkeypatch.setattr(networks.Networks, "_read_habit", lambda *a: read(*a) + 0.5)
    scorer = OnlineScorer(fitted)
    assert not scorer.is_fast_
    found = scorer.probability(plain[1])
    assert abs(found - fitted.predict_proba(bank[0][1:2])[0, 1]) < 1e-12


@pytest.mark.parametrize("by", [30.0, 1e4])
def test_gates_that_are_shut(
    by: float, bank: tuple[pd.DataFrame, np.ndarray], plain: list[dict[str, Any]], monkeypatch: Any
) -> None:
    fitted = steps(n_estimators=1).fit(*bank)
    module = fitted[-1].estimators_[0].module_
    with torch.no_grad():
        for gru in (module.intention, module.habit):
            gru.bias -= by
            gru.bias[-4:] += by
            gru.w_input *= by
    scorer = OnlineScorer(fitted)
    all_fast(scorer, monkeypatch)
    found = [scorer.probability(application) for application in plain[:20]]
    expected = fitted.predict_proba(bank[0][:20])[:, 1]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_models_that_cannot_be_asked(bank: tuple[pd.DataFrame, np.ndarray]) -> None:
    with pytest.raises(TypeError, match="without predict_proba"):
        OnlineScorer(Sessionizer())
    with pytest.raises(ValueError, match="not fitted"):
        OnlineScorer(steps())
    X = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(ValueError, match="no names"):
        OnlineScorer(LogisticRegression().fit(X, X[:, 0] > 0))
    three = LogisticRegression().fit(pd.DataFrame(X, columns=["a", "b"]), np.arange(20) % 3)
    with pytest.raises(ValueError, match="It must have two"):
        OnlineScorer(three)


REASONS = pd.DataFrame(
    [
        ("user__age", "16", "Age", "no"),
        ("user", "10", "Information on the person", "yes"),
        ("device__*", "21", "Device", "yes"),
        ("item", "31", "What is applied for", "yes"),
        ("session_1", "41", "Use of the app right before", "yes"),
        ("history", "42", "Use of the app before", "yes"),
    ],
    columns=["player", "code", "text", "tell"],
)


@pytest.mark.parametrize("other", [None, trees])
def test_reasons_are_those_of_the_pipeline(
    other: Any, bank: tuple[pd.DataFrame, np.ndarray], plain: list[dict[str, Any]], model: Any
) -> None:
    X, y = bank
    rows = [0, 3, 7]
    if other is not None:
        model = make_pipeline(BehaviorAbstractor(), other()).fit(X, y)
        rows = rows[:1]
    background = X[y == 0][:4]
    scorer = OnlineScorer(model, background=background, reason_table=REASONS)
    reference = explain(model, X[20:23], background)
    for options in ({}, {"reference": reference, "n_reasons": 2}):
        codes = reason_codes(explain(model, X.iloc[rows], background), REASONS, **options)
        for number, row in enumerate(rows):
            wanted = codes[codes["application"] == number].drop(columns=["application", "index"])
            found = pd.DataFrame(scorer.reasons(plain[row], **options))
            assert found["code"].tolist() == wanted["code"].tolist()
            assert found["player"].tolist() == wanted["player"].tolist()
            assert found["rank"].fillna(0).tolist() == wanted["rank"].fillna(0).tolist()
            assert found["told"].tolist() == wanted["told"].tolist()
            np.testing.assert_allclose(found["effect"], wanted["effect"], rtol=0, atol=1e-6)
    as_text = json.dumps(plain[row], default=lambda time: time.isoformat())
    told = scorer.reasons(as_text)
    assert told == json.loads(json.dumps(scorer.reasons(plain[row])))
    assert told


def test_reasons_of_unusual_applications(
    bank: tuple[pd.DataFrame, np.ndarray], plain: list[dict[str, Any]], model: Any
) -> None:
    scorer = OnlineScorer(model, background=bank[0][:3], reason_table=REASONS)
    nobody = {k: v for k, v in plain[0].items() if k not in ("user_id", "application_id")}
    assert scorer.reasons(nobody) == scorer.reasons(plain[0])
    without = scorer.reasons(plain[0] | {"behaviors": None, "user__monthly_income": None})
    assert "41" not in [reason["code"] for reason in without]
    with pytest.raises(ApplicationError, match="nonsense"):
        scorer.reasons(plain[0] | {"nonsense": 1})
    with pytest.raises(ValueError, match="Create it with"):
        OnlineScorer(model).reasons(plain[0])
    with pytest.raises(ValueError, match="background is missing"):
        OnlineScorer(model, reason_table=REASONS)
    with pytest.raises(ValueError, match="has no row for"):
        OnlineScorer(model, background=bank[0][:3], reason_table=REASONS[:3]).reasons(plain[0])


def test_eight_threads(plain: list[dict[str, Any]], model: Any) -> None:
    scorer = OnlineScorer(model)
    # Every fourth asks the model itself.
    mixed = [a | ({"user__age": None} if i % 4 else {}) for i, a in enumerate(plain[:40])]
    mixed = [a | ({"behaviors": None} if i % 9 == 0 else {}) for i, a in enumerate(mixed)]
    expected = [scorer.probability(application) for application in mixed]
    found: dict[int, list[float]] = {}

    def score(number: int) -> None:
        order = np.random.default_rng(number).permutation(len(mixed))
        scores = {int(i): scorer.probability(mixed[i]) for i in order}
        found[number] = [scores[i] for i in range(len(mixed))]

    threads = [threading.Thread(target=score, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(scores == expected for scores in found.values())


def test_memory_stays_flat(plain: list[dict[str, Any]], model: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(plan, "_MOST_REMEMBERED", 300)
    scorer = OnlineScorer(model)
    few = [a for a in plain if len(a["behaviors"]) < 150][:5]

    def calls(first: int, n: int) -> None:
        for number in range(first, first + n):
            application = few[number % len(few)]
            events = [*application["behaviors"]]
            if len(events) > 30:  # one new operation of many is no reason for a warning
                events[0] = events[0] | {"operation": f"made up {number}"}
            scorer.probability(application | {"behaviors": events})

    calls(0, 320)
    tracemalloc.start()
    calls(320, 20)
    before = tracemalloc.get_traced_memory()[0]
    calls(340, 200)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 20_000
    assert len(scorer._plan.codes) == 300
