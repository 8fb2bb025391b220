"""risk_report and model_card: figures by other means, whole pages, and errors."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import make_pipeline

from skhuihen import (
    Monitor,
    ProfileEncoder,
    attach_behaviors,
    model_card,
    risk_report,
    save_model,
)
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import delong_test, population_stability_index
from skhuihen.reporting import RiskReport
from skhuihen.reporting._card import BLANKS
from skhuihen.reporting._tables import groups_of

#: The metric says so of the few rows here.
pytestmark = pytest.mark.filterwarnings("ignore:A stability index of .* is uncertain:UserWarning")


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=500, n_old=0, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    return attach_behaviors(bank.applications, bank.events, known_at="recorded_at")


@pytest.fixture(scope="module")
def model(X: pd.DataFrame, bank: Any) -> Any:
    return make_pipeline(ProfileEncoder(), LogisticRegression()).fit(X[:200], bank.y[:200])


@pytest.fixture(scope="module")
def models(model: Any, bank: Any) -> dict[str, Any]:
    noise = np.random.default_rng(0).normal(size=300)
    return {"champion <1>": model, "truth": bank.probability[200:], "noise": noise}


@pytest.fixture(scope="module")
def report(models: Any, X: pd.DataFrame, bank: Any) -> RiskReport:
    segments = ["user__age", "device__system"]
    return risk_report(models, X[200:], bank.y[200:], reference=X[:200], segments=segments)


@pytest.fixture(scope="module")
def html(report: RiskReport) -> str:
    return report.to_html()


def test_figures_are_those_of_the_rows(
    report: RiskReport, models: Any, X: pd.DataFrame, bank: Any
) -> None:
    y, p = bank.y[200:], models["champion <1>"].predict_proba(X[200:])[:, 1]
    scores = {**models, "champion <1>": p}
    for name, row in report.performance.iterrows():
        assert row["auc"] == pytest.approx(roc_auc_score(y, scores[name]))
        assert row["gini"] == pytest.approx(2 * row["auc"] - 1)
        for figure in ("auc", "gini", "ks"):
            assert row[f"{figure}_low"] < row[figure]
            assert row[f"{figure}_low"] < row[f"{figure}_high"]
    assert list(report.comparison.index) == ["truth", "noise"]
    test = delong_test(y, models["truth"], p)
    assert report.comparison.loc["truth", "pvalue"] == pytest.approx(test.pvalue)
    # Numbers outside [0, 1] are no probabilities.
    assert list(report.calibration.index) == ["champion <1>", "truth"]
    assert report.calibration.loc["truth", "brier"] == pytest.approx(
        brier_score_loss(y, models["truth"])
    )
    assert report.deciles.loc["noise"]["count"].sum() == len(y)


def test_groups_cover_all_rows(report: RiskReport, X: pd.DataFrame, bank: Any) -> None:
    rows, y = X[200:], bank.y[200:]
    month = rows["applied_at"].dt.to_period("M").astype(str)
    mine = report.by_month[report.by_month["model"] == "truth"].set_index("month")
    assert mine["rows"].to_dict() == month.value_counts().to_dict()
    large = mine[mine["rows"] >= 30]
    rates = pd.Series(y, index=rows.index).groupby(month).mean()
    np.testing.assert_allclose(large["rate"], rates[large.index])
    for _, table in report.by_segment.groupby(["segment", "model"]):
        assert table["rows"].sum() == len(rows)


def test_stability_is_that_of_the_metric(report: RiskReport, models: Any, X: pd.DataFrame) -> None:
    found = report.stability.set_index(["kind", "name"])["psi"]
    age = population_stability_index(X["user__age"][:200], X["user__age"][200:])
    assert found["column", "user__age"] == pytest.approx(age)
    before, after = (models["champion <1>"].predict_proba(p)[:, 1] for p in (X[:200], X[200:]))
    expected = population_stability_index(before, after)
    assert found["score", "champion <1>"] == pytest.approx(expected)
    kinds = set(report.stability["kind"])
    assert kinds == {"score", "column", "history", "events", "behaviors", "lag"}
    assert report.behaviors["before"].between(0, 1).all()
    # A score that is only given has no reference.
    assert ("score", "noise") not in found.index


def test_rows_are_divided_by_time(models: Any, X: pd.DataFrame, bank: Any) -> None:
    later, y = X[200:], bank.y[200:]
    halves = risk_report(models, later, y)
    sizes = [int(halves.sample[part].split()[0]) for part in ("before", "after")]
    assert sum(sizes) == len(later)
    assert abs(sizes[0] - sizes[1]) < 10
    assert ("score", "noise") in halves.stability.set_index(["kind", "name"]).index
    cut = risk_report(models, later, y, reference="2024-05-01")
    n = int((later["applied_at"] < "2024-05-01").sum())
    assert cut.sample["before"].startswith(f"{n} applications")


def test_small_groups_are_put_together_and_have_no_figures() -> None:
    texts = pd.Series([*["a"] * 50, *["b"] * 40, *["x"] * 3, *["y"] * 2, None])
    groups = groups_of(texts, is_number=False)
    assert pd.Series(groups).value_counts(sort=False)[["a", "b"]].tolist() == [50, 40]
    assert (groups == "groups of fewer than 30").sum() == 6
    numbers = groups_of(pd.Series(np.arange(200.0)), is_number=True)
    assert list(numbers.remove_unused_categories().categories)[::3] == [
        "up to 49",
        "above 149",
    ]


@pytest.mark.parametrize(
    "values",
    [
        np.repeat([1_000_001.0, 1_000_002.0], 40),  # %g would write both as 1e+06
        1e6 + np.arange(400.0),
        np.append(np.repeat([np.inf, -np.inf, np.nan, 0.1 + 0.2], 40), np.arange(200.0)),
        np.repeat([0.1, 0.1 + 1e-16, 0.3], 50),
        np.append(np.zeros(500), np.arange(100.0)),
    ],
)
def test_groups_of_numbers_are_those_of_their_names(values: np.ndarray) -> None:
    groups = pd.Series(groups_of(pd.Series(values), is_number=True))
    before = -np.inf
    for name in groups.cat.remove_unused_categories().cat.categories:
        here = values[groups == name]
        if name == "missing":
            assert np.isnan(here).all()
        elif found := re.match(r"(?:above (\S+?))?(?:, )?(?:up to (\S+))?$", name):
            low, high = found.groups()
            assert low is None or (here > before).all()
            assert high is None or float(high) == pytest.approx(here.max(), rel=1e-3)
            before = here.max()
        else:
            assert len(set(here)) == 1
            assert float(name) == here[0]
    assert groups.notna().all()


def test_groups_may_be_called_like_ours() -> None:
    texts = pd.Series([*["missing"] * 40, *[None] * 40, *["groups of fewer than 30"] * 40])
    counts = pd.Series(groups_of(texts, is_number=False)).value_counts()
    assert counts.to_dict() == {"missing": 80, "groups of fewer than 30": 40}


# Times, labels and tables of other kinds.


def rows_of(n: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.1, 0.6, n)
    return pd.DataFrame(
        {
            "applied_at": pd.to_datetime(["2024-01-31 23:59", "2024-02-01 00:00"]).repeat(n // 2),
            "p": p,
            "y": (rng.random(n) < p).astype(int),
        }
    )


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Shanghai", "America/New_York"])
def test_a_month_begins_at_midnight_of_its_own_zone(zone: str | None) -> None:
    X = rows_of()
    p, y = X.pop("p"), X.pop("y")
    X["applied_at"] = X["applied_at"].dt.tz_localize(zone)
    midnight = pd.Timestamp("2024-02-01", tz=zone)
    cuts: list[Any] = ["2024-02-01", midnight, midnight.to_pydatetime(), None]
    for reference in cuts:
        report = risk_report(p, X, y, reference=reference)
        assert report.by_month["month"].tolist() == ["2024-01", "2024-02"]
        assert report.by_month["rows"].tolist() == [200, 200]
        assert report.sample["before"] == "200 applications, 2024-01-31 to 2024-01-31"


def test_most_rows_may_have_the_earliest_time() -> None:
    X = rows_of()
    X.loc[:299, "applied_at"] = X["applied_at"].min()
    report = risk_report(X["p"], X[["applied_at"]], X["y"])
    assert report.sample["before"].startswith("300 applications")


def test_a_report_of_scores_alone() -> None:
    """Without a model, the reference has no scores, and here nothing else either."""
    X = rows_of()
    report = risk_report(X["p"], X[["applied_at"]], X["y"], reference=X[["applied_at"]])
    assert not len(report.stability)
    assert "none of 0 measures changed" in report.to_html()


class Reversed:
    """Has its labels in falling order."""

    classes_ = np.array(["good", "bad"])

    def predict_proba(self, X: pd.DataFrame) -> Any:
        return np.column_stack([X["p"], 1 - X["p"]])


def test_the_probability_is_that_of_the_greater_label() -> None:
    X = rows_of()
    y = np.where(X["y"] == 1, "good", "bad")  # the greater one counts as overdue
    X = X.drop(columns="y")
    for report in (risk_report(Reversed(), X, y), risk_report(X["p"], X, y)):
        assert report.performance["auc"].iloc[0] == pytest.approx(
            roc_auc_score(y == "good", X["p"])
        )
        assert report.sample["overdue"] == (y == "good").sum()


@pytest.mark.parametrize("score", [lambda y: np.full(len(y), 0.3), lambda y: 0.2 + 0.6 * y])
def test_scores_that_are_equal_or_separate(score: Any) -> None:
    X = rows_of()
    report = risk_report(score(X["y"]), X[["applied_at"]], X["y"])
    assert report.calibration[["slope", "slope_low", "slope_high"]].isna().all(axis=None)
    assert "nan" not in re.sub(r"<img[^>]*>", "", report.to_html()).lower()


def test_nobody_has_a_history_later(model: Any, X: pd.DataFrame, bank: Any) -> None:
    later = X[200:].assign(behaviors=pd.array([[]] * 300, dtype=X["behaviors"].dtype))
    report = risk_report(model, later, bank.y[200:], reference=X[:200])
    assert report.behaviors["before"].gt(0).all()
    assert report.behaviors[["after", "p_value"]].isna().all(axis=None)
    name = report.behaviors["behavior"].iloc[0]
    rows = [row for row in pa.array(X["behaviors"][:200]).to_pylist() if row]
    having = [any(e["operation"] == name for e in row) for row in rows]
    assert report.behaviors["before"].iloc[0] == np.mean(having)


class Whole(HTMLParser):
    """Checks that tags are closed, and collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        assert tag not in ("script", "link", "iframe")
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_network(html: str, report: RiskReport) -> None:
    page = Whole()
    page.feed(html)
    assert not page.open
    assert all(link.startswith(("data:image/svg+xml;base64,", "#")) for link in page.loaded)
    assert html.count("<img") == 5
    assert "url(" not in html
    assert "champion <1>" not in html
    assert "champion &lt;1&gt;" in html
    for heading in ("Ranking", "Calibration", "By segment", "Stability", "Behaviors"):
        assert f">{heading}</h2>" in html
    for name in ("user__age", "truth"):
        assert name in html
    # Drawn anew, it is the same to the byte.
    assert report._repr_html_() in html


def test_the_page_shows_no_row(html: str, X: pd.DataFrame) -> None:
    text = re.sub(r"<[^>]*>", " ", html)
    for column in ("application_id", "applied_at"):
        assert column not in text
    assert not re.search(r"\d\d:\d\d:\d\d", text)


def test_without_matplotlib_the_page_says_so(
    report: RiskReport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    html = report.to_html(tmp_path / "report.html", note="From a test.")
    assert "pip install skhuihen[plots]" in html
    assert "<img" not in html
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html
    assert "From a test." in html


def test_one_model_alone(model: Any, X: pd.DataFrame, bank: Any) -> None:
    alone = risk_report(model, X[200:].drop(columns="behaviors"), bank.y[200:])
    assert alone.champion == "LogisticRegression"
    assert not len(alone.comparison)
    assert not len(alone.behaviors)
    assert not len(alone.by_segment)


def test_errors_say_what_to_do(model: Any, X: pd.DataFrame, bank: Any) -> None:
    y = bank.y
    with pytest.raises(ValueError, match="models is empty"):
        risk_report({}, X, y)
    with pytest.raises(ValueError, match=r"Pass one finite number per row"):
        risk_report({"short": [0.1, 0.2]}, X, y)
    with pytest.raises(TypeError, match="without predict_proba"):
        risk_report({"step": ProfileEncoder()}, X, y)
    with pytest.raises(ValueError, match="y has 3 labels"):
        risk_report(model, X, y[:3])
    with pytest.raises(ValueError, match="two are needed"):
        risk_report(model, X, np.zeros(len(X), int))
    with pytest.raises(ValueError, match="was fitted on the labels"):
        risk_report(model, X, y + 1)
    with pytest.raises(ValueError, match="segments names 'branch'"):
        risk_report(model, X, y, segments=["branch"])
    with pytest.raises(TypeError, match="Pass a list"):
        risk_report(model, X, y, segments="user__age")
    with pytest.raises(TypeError, match="id_columns is the text 'user_id'"):
        risk_report(model, X, y, id_columns="user_id")
    with pytest.raises(ValueError, match="is a multiple of a period"):
        risk_report(model, X, y, freq="2M")
    with pytest.raises(ValueError, match=r"reference='train\.parquet' is no time"):
        risk_report(model, X, y, reference="train.parquet")
    with pytest.raises(ValueError, match="has a time zone, and the column 'applied_at' has none"):
        risk_report(model, X, y, reference="2024-05-01T00:00Z")
    with pytest.raises(ValueError, match="reference has no column 'user__age'"):
        risk_report(model.predict_proba(X)[:, 1], X, y, reference=X.drop(columns="user__age"))
    with pytest.raises(ValueError, match="does not divide the applications"):
        risk_report(model, X, y, reference="1999-01-01")
    with pytest.raises(ValueError, match="Pass its name as applied_at"):
        risk_report(model, X, y, applied_at="when")


# The document of a model.


def test_a_card_fills_in_what_is_known(
    model: Any, report: RiskReport, X: pd.DataFrame, bank: Any, tmp_path: Path
) -> None:
    path = tmp_path / "risk.model"
    monitor = Monitor().fit(model, X[200:], bank.y[200:])
    save_model(model, path, X[:200], bank.y[:200], units={"user__age": "years"}, monitor=monitor)
    about = {"owner": "Retail | risk", "label": "30 days past due"}
    card = model_card(path, report, monitor=monitor, about=about)
    text = card.to_markdown(tmp_path / "card.md")
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == text
    for known in (
        "200 applications",
        "300 applications",
        "LogisticRegression",
        "| user__age | profile | ",
        " years ",
        "scikit-learn",
        "Hash (SHA-256)",
        "Retail | risk",
        "30 days past due",
        f"at most {monitor.false_alarm_rate:.0%}",
        f"{report.performance['auc'].iloc[0]:.3f}",
    ):
        assert known in text, known
    assert text.count("**To fill in:**") == len(card.blanks) == len(BLANKS) - 2
    html = card.to_html()
    page = Whole()
    page.feed(html)
    assert not page.open
    assert html.count('class="blank"') == len(card.blanks)


def test_a_card_of_a_model_in_memory(model: Any, report: RiskReport) -> None:
    card = model_card(model, report)
    text = card.to_markdown()
    # The training data and the plan of monitoring are not known either.
    assert text.count("**To fill in:**") == len(BLANKS) + 2
    with pytest.raises(ValueError, match="about has the key 'ower'"):
        model_card(model, report, about={"ower": "me"})
    with pytest.raises(TypeError, match=r"Pass what skhuihen\.risk_report returned"):
        model_card(model, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="without predict_proba"):
        model_card(3, report)
