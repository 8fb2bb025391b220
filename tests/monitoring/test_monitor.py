"""Monitor: what it promises about alarms, what it keeps, and what it counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import expit, logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    Monitor,
    PointsScaler,
    ProfileEncoder,
    attach_behaviors,
    save_model,
)
from skhuihen.datasets import make_loan_data
from skhuihen.monitoring import MonitorResult
from skhuihen.monitoring._months import Month, Reference, _label_alarms
from skhuihen.monitoring._scores import N_CELLS, auc_to_expect, cells_of
from tests.hostile import check_altered, with_monitor


def draw(
    n: int, n_months: int = 1, seed: int = 0, *, shift: float = 0.0, worse: float = 0.0
) -> pd.DataFrame:
    """Draw applications with probabilities that are true unless `worse` is not 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1, n)
    first = np.datetime64("2024-01", "M")
    month = (first + rng.integers(0, n_months, n)).astype("datetime64[us]")
    return pd.DataFrame(
        {
            "applied_at": month + rng.integers(0, 27, n).astype("timedelta64[D]"),
            "p": expit(x - 1),
            "x": np.where(rng.random(n) < 0.1, np.nan, x),
            "kind": rng.choice(["a", "b", "c"], n),
            "overdue": (rng.random(n) < expit(x - 1 + worse)).astype(int),
        }
    )


class Profile(ProfileEncoder):
    """Warns of nothing: what is odd here is meant."""

    def tell_unusual(self, frame: Any, stacklevel: int) -> None:
        pass


@pytest.fixture(scope="module")
def monitor() -> Monitor:
    return Monitor(n_months=6).fit("p", draw(3000, 3), "overdue")


def check(monitor: Monitor, table: pd.DataFrame) -> MonitorResult:
    return monitor.check("p", table, "overdue")


def test_nothing_changes_and_nothing_sounds(monitor: Monitor) -> None:
    result = check(monitor, draw(4000, 6, seed=1))
    assert len(result.alarms) == 0
    assert len(result.months) == 7
    assert len(result.changes) == 6 * len(monitor.measures_)


def test_alarms_are_as_frequent_as_stated() -> None:
    """Many banks with a high rate, so that few repetitions tell."""
    loud = Monitor(0.5, 2, min_psi=0)
    sounded = []
    for seed in range(9):
        loud.fit("p", draw(1000, 1, 2 * seed), "overdue")
        sounded.append(len(check(loud, draw(600, 2, 2 * seed + 1)).alarms) > 0)
    # Score and x change together, so half or somewhat less; the bounds are for nine of them.
    assert 1 <= np.sum(sounded) <= 8


def test_pvalues_of_labels_are_uniform_if_nothing_changes() -> None:
    """With independent tests of uniform p-values, Sidak's level gives the stated rate."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.5, 4000)

    def counts(n: int) -> list[Any]:
        is_overdue, cells = rng.random(n) < p[:n], cells_of(p[:n])
        return [np.bincount(cells[y], minlength=N_CELLS) for y in (is_overdue, ~is_overdue)]

    found = []
    for _ in range(80):
        reference = Reference.of(*counts(4000), pd.Series(dtype=float), ("", ""))
        overdue, others = counts(400)
        month = Month(overdue=overdue, others=others)
        found.append([a["p_value"] for a in _label_alarms(month, reference, level=1.1)])
    below = (np.array(found) < 0.2).mean(axis=0)
    assert_allclose(below, 0.2, atol=4 * np.sqrt(0.2 * 0.8 / 80))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"shift": 0.5}, "score"),
        ({"worse": 0.7}, "calibration in the large"),
    ],
)
def test_a_change_is_noticed_in_its_first_month(monitor: Monitor, change: Any, name: str) -> None:
    alarms = check(monitor, draw(1500, seed=2, **change)).alarms
    assert name in set(alarms["name"])
    assert (alarms["p_value"] < monitor.level_).all()


def test_a_fall_of_the_auc_is_noticed_and_a_rise_is_not(monitor: Monitor) -> None:
    table = draw(2000, seed=3)
    rng = np.random.default_rng(0)
    noise = table.assign(overdue=rng.permutation(table["overdue"]))
    assert "AUC" in set(check(monitor, noise).alarms["name"])
    better = table.assign(overdue=(table["p"] > table["p"].quantile(0.7)).astype(int))
    assert "AUC" not in set(check(monitor, better).alarms["name"])


def test_a_small_change_is_no_alarm_however_certain() -> None:
    reference, later = draw(30_000), draw(30_000, seed=4, shift=0.07)
    sure = Monitor(min_psi=0).fit("p", reference, "overdue")
    assert "x" in set(check(sure, later).alarms["name"])
    assert "x" not in set(check(sure.set_params(min_psi=0.02), later).alarms["name"])


def test_figures_of_a_month_are_those_of_its_rows(monitor: Monitor) -> None:
    table = draw(1200, 2, seed=5)
    months = check(monitor, table).months
    for month, rows in table.groupby(table["applied_at"].dt.to_period("M").astype(str)):
        found = months.loc[month]
        assert found["applications"] == found["labels"] == len(rows)
        assert found["auc"] == pytest.approx(roc_auc_score(rows["overdue"], rows["p"]), abs=1e-3)
        assert found["overdue_rate"] == pytest.approx(rows["overdue"].mean())
        assert found["mean_probability"] == pytest.approx(rows["p"].mean(), abs=1e-3)
        shifted = expit(logit(rows["p"]) + found["in_the_large"])
        assert shifted.mean() == pytest.approx(rows["overdue"].mean(), abs=1e-3)


def test_labels_that_are_not_known_are_left_out(monitor: Monitor) -> None:
    table = draw(800, 2, seed=6)
    late = table["applied_at"] >= "2024-02-01"
    table["overdue"] = table["overdue"].astype("Int64").mask(late)
    months = check(monitor, table).months
    assert months["labels"].tolist()[1:] == [int((~late).sum()), 0]
    assert np.isnan(months["auc"].iloc[2])
    assert months["expected_auc"].notna().all()
    none = monitor.check("p", table).months
    assert none["labels"].tolist()[1:] == [0, 0]


def test_the_expected_auc_follows_the_mix_of_applicants(monitor: Monitor) -> None:
    """Where scores mean what they meant, the interval holds the AUC that is then observed."""
    recalibration = monitor._reference.recalibration
    inside, values = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        table = draw(1000, seed=100 + seed, shift=rng.uniform(-1, 1))
        narrow = table[np.abs(table["p"] - 0.3) < rng.uniform(0.15, 0.7)]
        counts = np.bincount(cells_of(narrow["p"].to_numpy()), minlength=N_CELLS)
        value, low, high = auc_to_expect(counts, recalibration, 0.95)
        inside.append(low <= roc_auc_score(narrow["overdue"], narrow["p"]) <= high)
        values.append(value)
    assert np.mean(inside) > 0.85
    assert np.ptp(values) > 0.1


def test_the_drift_of_the_simulated_bank_is_noticed() -> None:
    """Other applicants and other weights: the input changes, and the expected AUC still holds."""

    def old(drift: float, seed: int) -> Any:
        bank = make_loan_data(2, 4000, overdue_rate=0.2, drift=drift, random_state=seed)
        return bank.old_applications, bank.old_y

    X, y = old(0, 0)
    model = make_pipeline(Profile(), LogisticRegression(C=0.01)).fit(X[:2000], y[:2000])
    yearly = Monitor(freq="Y").fit(model, X[2000:], y[2000:])
    alarms = []
    for drift in (0.0, 0.5):
        result = yearly.check(model, *old(drift, 1))
        later = result.months.iloc[1:]
        assert later["auc"].between(later["expected_auc_low"], later["expected_auc_high"]).all()
        alarms.append(set(result.alarms["name"]))
    assert alarms[0] == set()
    assert {"item__product", "user__monthly_income", "score"} <= alarms[1]


def test_a_monitor_keeps_no_row(monitor: Monitor, tmp_path: Path) -> None:
    path = tmp_path / "monitor.json"
    monitor.save(path)
    bigger = Monitor(n_months=6).fit("p", draw(15_000, 3), "overdue")
    assert len(bigger.to_json()) < 1.5 * len(monitor.to_json()) < 60_000
    loaded = Monitor.load(path)
    table = draw(500, seed=7, shift=0.3)
    for name in ("months", "changes", "alarms"):
        pd.testing.assert_frame_equal(
            getattr(check(loaded, table), name), getattr(check(monitor, table), name)
        )


def test_parts_are_counted_like_a_whole(monitor: Monitor, tmp_path: Path) -> None:
    table = draw(900, 3, seed=8)
    for number, part in enumerate((table[:100], table[100:700], table[700:])):
        part.to_parquet(tmp_path / f"part-{number}.parquet", index=False)
    whole, parts = check(monitor, table), check(monitor, tmp_path)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(parts.months, whole.months)
    pd.testing.assert_frame_equal(parts.changes, whole.changes)
    again = Monitor(n_months=6).fit("p", tmp_path, "overdue")
    assert again.to_json() == Monitor(n_months=6).fit("p", table, "overdue").to_json()


def test_months_do_not_depend_on_one_another(monitor: Monitor) -> None:
    table = draw(900, 3, seed=9, shift=0.2)
    late = table["applied_at"] >= "2024-03-01"
    apart = [check(monitor, table[rows]).changes for rows in (~late, late)]
    together = check(monitor, table).changes
    pd.testing.assert_frame_equal(pd.concat(apart, ignore_index=True), together)


def test_a_month_begins_at_midnight_of_its_own_zone(monitor: Monitor) -> None:
    table = draw(400, seed=11)
    midnight = pd.Timestamp("2024-02-01")
    table["applied_at"] = [midnight - pd.Timedelta("1us")] * 150 + [midnight] * 250
    for zone in (None, "UTC", "Asia/Shanghai", "America/New_York"):
        moved = table.assign(applied_at=table["applied_at"].dt.tz_localize(zone))
        months = check(monitor, moved).months["applications"]
        assert months.to_dict() == {"reference": 3000, "2024-01": 150, "2024-02": 250}


def test_months_without_applications_have_rows(monitor: Monitor) -> None:
    table = draw(600, 5, seed=12)
    month = table["applied_at"].dt.month
    result = check(monitor, table[(month == 1) | (month == 4)])
    assert result.months["applications"].iloc[2:4].tolist() == [0, 0]
    assert result.months.drop(columns=["applications", "labels"]).iloc[2:4].isna().all(axis=None)
    assert result.psi().columns.tolist() == ["2024-01", "2024-02", "2024-03", "2024-04"]
    assert not len(result.alarms)
    # A wrong date is not a century of months.
    table.loc[0, "applied_at"] = pd.Timestamp("1900-01-01")
    assert len(check(monitor, table).months) == 1 + 6


@pytest.mark.parametrize("nothing", [None, np.nan])
@pytest.mark.parametrize("later", ["a text", 5.0])
def test_a_column_that_was_always_missing_is_noticed_when_it_is_not(
    nothing: Any, later: Any, tmp_path: Path
) -> None:
    always = Monitor().fit("p", draw(1000).assign(kind=nothing), "overdue")
    always.save(tmp_path / "a.json")
    table = draw(1000, seed=1)
    for one in (always, Monitor.load(tmp_path / "a.json")):
        assert not len(check(one, table.assign(kind=nothing)).alarms)
        (alarm,) = check(one, table.assign(kind=later)).alarms.to_dict("records")
        assert alarm["name"] == "kind"
        assert alarm["says"].endswith(
            "in values that are not missing: 100.0% of values, 0.0% in the reference"
        )


def test_infinite_numbers_are_watched_and_stored(tmp_path: Path) -> None:
    table = draw(1000)
    table["x"] = np.select([table["p"] < 0.15, table["p"] > 0.5], [-np.inf, np.inf], table["x"])
    found = Monitor(n_months=np.int64(6)).fit("p", table, "overdue")  # type: ignore[arg-type]
    found.save(tmp_path / "a.json")
    loaded = Monitor.load(tmp_path / "a.json")
    assert loaded.to_json() == found.to_json()
    changes = check(loaded, table).changes
    assert (changes["psi"] == 0).all()
    assert (changes["outside"] == 0).all()


def test_scores_without_a_slope_have_none(monitor: Monitor) -> None:
    """If the scores separate the classes or are all equal, no slope fits best."""
    table = draw(500, seed=13)
    for p in (np.where(table["overdue"] == 1, 0.8, 0.2), 0.3):
        months = check(monitor, table.assign(p=p)).months
        assert months[["slope", "slope_low", "slope_high"]].iloc[1].isna().all()
        assert months["auc"].iloc[1] == (0.5 if np.ndim(p) == 0 else 1)
    flat = Monitor().fit("p", table.assign(p=0.3), "overdue")
    assert not len(check(flat, table.assign(p=0.3)).alarms)


class Reversed:
    """Has its labels in falling order."""

    classes_ = np.array([1, 0])

    def predict_proba(self, X: pd.DataFrame) -> Any:
        return np.column_stack([X["p"], 1 - X["p"]])


def test_the_probability_is_that_of_the_greater_label(monitor: Monitor) -> None:
    table = draw(500, seed=14)
    by_model = monitor.check(Reversed(), table, "overdue").months
    pd.testing.assert_frame_equal(by_model, check(monitor, table).months)


def test_changes_are_those_of_plain_tables(monitor: Monitor) -> None:
    """Stability index, missing share and p-value of a text, by pandas and scipy alone."""
    reference, table = draw(3000, 3), draw(1500, seed=15)
    table["kind"] = table["kind"].mask(table.index % 5 == 0).where(table.index % 7 > 0, "new")
    shares = [
        rows["kind"].map({"a": 1, "b": 2, "c": 3, "new": 4}).fillna(5).value_counts()
        for rows in (reference, table)
    ]
    counts = pd.concat(shares, axis=1, keys=[0, 1]).fillna(0).sort_index()
    before, after = (np.maximum(counts[c] / counts[c].sum(), 1e-4) for c in counts)
    row = check(monitor, table).changes.set_index("name").loc["kind"]
    assert row["psi"] == pytest.approx(((after - before) * np.log(after / before)).sum())
    assert row["missing"] == table["kind"].isna().mean()
    assert row["outside"] == (table["kind"] == "new").sum()
    assert row["p_value"] == pytest.approx(stats.chi2_contingency(counts).pvalue)


# The limits of alarms, and their picture.


@pytest.fixture(scope="module")
def year(monitor: Monitor) -> MonitorResult:
    """Return months that drift, one without applications, the last ones without labels."""
    table = pd.concat([draw(800, 8, seed=20), draw(800, 8, seed=21, shift=0.8, worse=1.5)])
    month = table["applied_at"].dt.month
    known = table["overdue"].where(month < 7)
    return check(monitor, table.assign(overdue=known)[month != 4])


def test_alarms_sound_beyond_the_limits(year: MonitorResult) -> None:
    months = year.months.join(year.limits.add_suffix("_limit")).iloc[1:]
    sounding = year.alarms.groupby("kind")["month"].agg(set)
    auc = months.index[months["auc"] < months["auc_limit"]]
    assert set(auc) == sounding.get("auc", set())
    shift = months["in_the_large"]
    low, high = months["in_the_large_low_limit"], months["in_the_large_high_limit"]
    assert set(months.index[(shift < low) | (shift > high)]) == sounding["calibration"] != set()
    # That of the score is approximate.
    psi = year.psi().loc[("score", "score")]
    ratio = psi / year.limits["score_psi"]
    assert set(ratio.index[ratio > 1.2]) <= sounding["score"] <= set(ratio.index[ratio > 0.8])
    lacking = year.limits.isna()
    assert lacking.loc["2024-04"].all()
    assert lacking.loc["2024-07"].tolist() == [False, True, True, True]


def test_the_picture_draws_what_the_tables_say(year: MonitorResult) -> None:
    figure = year.plot()
    volume, score, auc, calibration, alarms = figure.axes
    n = len(year.months) - 1
    heights = [bar.get_height() for bar in volume.patches]
    assert heights == [*year.months["applications"][1:], *year.months["labels"][1:]]
    np.testing.assert_array_equal(score.lines[0].get_ydata(), year.psi().loc[("score", "score")])
    drawn = [np.asarray(container[0].get_ydata()) for container in auc.containers]
    known = [year.months[name][1:].dropna() for name in ("expected_auc", "auc")]
    for one, other in zip(drawn, known, strict=True):
        np.testing.assert_array_equal(one, other)
    (shift,) = calibration.containers
    np.testing.assert_array_equal(shift[0].get_ydata(), year.months["in_the_large"][1:].dropna())
    squares = sum(len(line.get_xdata()) for line in alarms.lines if line.get_marker() == "s")
    assert squares == len(year.alarms)
    assert [text.get_text() for text in alarms.get_xticklabels()] == year.months.index[1:].tolist()
    assert n == 8
    # Drawn again for a notebook, it is the same to the byte.
    html = year._repr_html_()
    assert html == year._repr_html_()
    assert html.count("<img") == 1


def test_a_picture_without_labels_and_alarms(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = monitor.check("p", draw(300, 1, seed=22).drop(columns="overdue"))
    *_, calibration, alarms = result.plot().axes
    assert [text.get_text() for text in calibration.texts] == ["No labels are known yet."]
    assert [text.get_text() for text in alarms.texts] == ["No alarms."]
    nothing = monitor.check("p", draw(300).iloc[:0])
    assert nothing._repr_html_().count("<img") == 1
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert "<img" not in result._repr_html_()
    with pytest.raises(ImportError, match=r"MonitorResult\.plot requires matplotlib"):
        result.plot()


def test_altered_files_with_a_monitor_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    content, table = with_monitor(path)
    outcomes, _ = check_altered(content, 36, 0, path, table)
    assert sum(outcomes.values()) == 36
    assert sum(n for kind, n in outcomes.items() if "refused" in kind) > 18


@pytest.mark.parametrize(
    ("where", "what"),
    [
        (("reference", "cells", 0), -1),
        (("reference", "cells", 0), 10**9),
        (("reference", "overdue", 0), 2**70),
        (("reference", "others", 0), 10**15),
        (("bins", 0, 2, "edges", 0), "nan"),
        (("bins", 0, 2, "edges", 0), 10.0),
        (("bins", 0, 2, "counts", 0), -5),
        (("bins", 0, 1), "x"),
        (("bins", 1, 0), "secret"),
        (("params", "false_alarm_rate"), "a"),
        (("params", "n_months"), 0),
        (("params", "freq"), "2M"),
        (("columns", "numbers", "x"), False),
        (("columns", "applied_at"), {}),
        (("classes",), [0, 1, 2]),
        (("classes",), [0, {}]),
        (("behaviors",), 3),
    ],
)
def test_a_damaged_monitor_is_refused(
    where: Any, what: Any, monitor: Monitor, tmp_path: Path
) -> None:
    content = json.loads(monitor.to_json())
    here = content
    for key in where[:-1]:
        here = here[key]
    here[where[-1]] = what
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"is a damaged monitor \("):
        Monitor.load(tmp_path / "a.json")


# With events.


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=300, n_old=0, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    return attach_behaviors(bank.applications, bank.events, known_at="recorded_at")


@pytest.fixture(scope="module")
def model(X: pd.DataFrame, bank: Any) -> Any:
    steps = BehaviorAbstractor(n_behaviors=20), Profile(), LogisticRegression()
    return make_pipeline(*steps).fit(X, bank.y)


@pytest.fixture(scope="module")
def watched(model: Any, X: pd.DataFrame, bank: Any) -> Monitor:
    return Monitor(n_months=12, n_behaviors=5).fit(model, X, bank.y)


def test_what_is_watched_of_events(watched: Monitor, model: Any, X: pd.DataFrame) -> None:
    measures = watched.measures_
    kinds = measures["kind"].value_counts()
    assert kinds[["behavior", "history", "unseen", "lag", "events"]].tolist() == [5, 1, 1, 1, 1]
    behaviors = set(model[0].rules_["behavior"])
    assert set(measures.loc[measures["kind"] == "behavior", "name"]) <= behaviors
    names = set(measures["name"])
    assert not names & {"user_id", "application_id", "applied_at", "behaviors"}
    found = watched.check(model, X).months.loc["reference"]
    assert found["unseen_events"] == 0
    assert found["lag_hours"] > 0
    assert found["applications"] == len(X)


def test_a_release_of_the_app_is_noticed(
    watched: Monitor, model: Any, X: pd.DataFrame, bank: Any
) -> None:
    """New names of operations, a log that is lost for some, and records that come late."""
    events = bank.events.assign(operation=bank.events["operation"].astype(str) + "_v2")
    gone = events["user_id"] % 2 == 0
    events.loc[~gone, "recorded_at"] += pd.Timedelta("3h")
    later = attach_behaviors(bank.applications, events[~gone], known_at="recorded_at")
    with pytest.warns(UserWarning, match="did not see in fit"):
        alarms = watched.check(model, later).alarms
    assert {"history", "unseen", "lag", "behavior"} <= set(alarms["kind"])
    (says,) = alarms.loc[alarms["kind"] == "unseen", "says"].unique()[:1]
    assert says == "100.0% of applicants, 0.0% in the reference"


def test_figures_of_events_are_those_of_plain_loops(
    watched: Monitor, model: Any, X: pd.DataFrame, bank: Any
) -> None:
    """Unknown operations, some without a history, some events without a time of record."""
    known = set(bank.events["operation"])
    rows, plain = [], pa.array(X["behaviors"]).to_pylist()
    for number, history in enumerate(plain):
        events = [dict(e) for e in history] if history is not None and number % 6 else []
        for place, e in enumerate(events):
            e["operation"] = "never_seen" if (number + place) % 9 == 0 else e["operation"]
            e["recorded_at"] = None if place % 4 == 0 else e["recorded_at"]
        rows.append(events)
    later = X.assign(behaviors=pd.Series(rows, index=X.index))
    with pytest.warns(UserWarning, match="did not see in fit"):
        result = watched.check(model, later)
    month = later["applied_at"].dt.to_period("M").astype(str)
    for period, found in result.months.iloc[1:].iterrows():
        mine = [rows[i] for i in np.flatnonzero(month == period)]
        events = [e for row in mine for e in row]
        lags = [
            (e["recorded_at"] - e["time"]).total_seconds() / 3600
            for e in events
            if not pd.isna(e["recorded_at"])
        ]
        assert found["without_history"] == np.mean([not row for row in mine])
        assert found["events_per_application"] == len(events) / len(mine)
        unseen = [e["operation"] not in known for e in events]
        assert found["unseen_events"] == pytest.approx(np.mean(unseen))
        assert found["lag_hours"] == pytest.approx(np.mean(lags))
    changes = result.changes.set_index(["month", "kind", "name"])["rows"]
    behaviors = watched.measures_.query("kind == 'behavior'")["name"]
    named = pa.array(model[0].transform(X)["behaviors"]).to_pylist()
    for behavior in behaviors:
        of = watched._bins["behavior", behavior]
        having = [{e["behavior"] for e in row} for row in named if row]
        assert of.counts.tolist() == [
            sum(behavior not in names for names in having),
            sum(behavior in names for names in having),
            0,
        ]
    period = month.iloc[0]
    here = np.flatnonzero(month == period)
    assert changes[period, "behavior", behaviors.iloc[0]] == sum(bool(rows[i]) for i in here)


@pytest.mark.parametrize("wrap", [PointsScaler, CalibratedClassifierCV])
def test_the_abstractor_is_found_inside_other_models(
    wrap: Any, watched: Monitor, model: Any, X: pd.DataFrame, bank: Any
) -> None:
    around = wrap(FrozenEstimator(model)).fit(X, bank.y)
    inside = Monitor(n_months=12, n_behaviors=5).fit(around, X, bank.y)
    assert inside.measures_.equals(watched.measures_)
    with pytest.raises(ValueError, match="model has no BehaviorAbstractor, but in fit it had one"):
        watched.check("p", X.assign(p=0.5))
    # The other way round, behaviors are the operations in both.
    by_score = Monitor(n_behaviors=5).fit("p", X.assign(p=np.linspace(0.1, 0.9, len(X))), bank.y)
    changes = by_score.check(model, X).changes
    assert (changes.loc[changes["kind"] == "behavior", "psi"] < 1).all()


def test_a_monitor_travels_in_the_file_of_its_model(
    watched: Monitor, X: pd.DataFrame, bank: Any, tmp_path: Path
) -> None:
    card = make_pipeline(ProfileEncoder(), LogisticRegression()).fit(X, bank.y)
    save_model(card, tmp_path / "with.model", X, bank.y, monitor=watched)
    assert Monitor.load(tmp_path / "with.model").to_json() == watched.to_json()
    save_model(card, tmp_path / "without.model", X, bank.y)
    with pytest.raises(ValueError, match="without a monitor"):
        Monitor.load(tmp_path / "without.model")
    with pytest.raises(TypeError, match=r"Pass a fitted skhuihen\.Monitor"):
        save_model(card, tmp_path / "a.model", X, monitor=3)


# Errors.


def test_errors_say_what_to_do(monitor: Monitor, tmp_path: Path) -> None:
    table = draw(100)
    with pytest.raises(ValueError, match="no column 'x', which the rows that it is"):
        monitor.check("p", table.drop(columns="x"))
    with pytest.raises(ValueError, match="label 7; in fit the labels were"):
        check(monitor, table.assign(overdue=7))
    with pytest.raises(ValueError, match="y has 3 labels and X has 100 rows"):
        monitor.check("p", table, [0, 1, 0])
    with pytest.raises(ValueError, match="100 of 100 are missing or outside"):
        monitor.check("p", table.assign(p=3.0))
    with pytest.raises(ValueError, match="model is the name 'q'"):
        monitor.check("q", table)
    with pytest.raises(TypeError, match="without predict_proba"):
        monitor.check(ProfileEncoder(), table)
    with pytest.raises(ValueError, match="100 are missing"):
        Monitor().fit("p", table.assign(overdue=None), "overdue")
    with pytest.raises(ValueError, match="two are needed"):
        Monitor().fit("p", table.assign(overdue=1), "overdue")
    with pytest.raises(ValueError, match="Pass its name as applied_at"):
        Monitor().fit("p", table.drop(columns="applied_at"), "overdue")
    with pytest.raises(ValueError, match="freq='2M' is a multiple of a period"):
        Monitor(freq="2M").fit("p", table, "overdue")
    with pytest.raises(ValueError, match="freq='moon' is no length of a period"):
        Monitor(freq="moon").fit("p", table, "overdue")
    (tmp_path / "a.json").write_text('{"format": 1}')
    with pytest.raises(ValueError, match="damaged monitor"):
        Monitor.load(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="not a monitor of format 1"):
        Monitor.load(tmp_path / "b.json")


def test_estimates_in_a_month_of_few_rows(monitor: Monitor) -> None:
    result = check(monitor, draw(3, seed=1))
    assert np.isfinite(result.months["mean_probability"]).all()
    assert not len(result.alarms)
    assert_allclose(result.changes["psi"].dropna(), result.changes["psi"].dropna().abs())
    assert "3" in result._repr_html_()
