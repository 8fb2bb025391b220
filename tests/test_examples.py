"""The gallery and the demo run."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.linear_model import LinearRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from skhuihen import HUIHENClassifier, attach_behaviors, make_scorecard
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import calibration_summary

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def run(*command: str | int | Path) -> str:
    """Run a script in a process of its own."""
    result = subprocess.run([sys.executable, *map(str, command)], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


@pytest.fixture
def contenders(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "evidence")
    return importlib.import_module("contenders")


def test_scripts_that_are_imported_have_names_of_their_own():
    """A process keeps one module of a name, so the second script would find the first."""
    names = [
        path.stem for folder in ("benchmarks", "evidence") for path in (ROOT / folder).glob("*.py")
    ]
    twice = {name for name in names if names.count(name) > 1}
    assert twice == {"run"}  # nobody imports it


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Run a script in this process, which has loaded everything."""

    def run_here(path: Path, *arguments: str | int | Path) -> str:
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run_here


@pytest.fixture
def run_table(contenders: ModuleType, run_here: Callable[..., str]) -> Callable[..., str]:
    """Run the script of a table."""
    return lambda name, *arguments: run_here(ROOT / "evidence" / f"{name}.py", *arguments)


LITTLE = ("--epochs", 1, "--networks", 1)
#: Sizes at which an example takes seconds; what it prints means nothing then.
SMALL = {
    "01_your_own_tables": ("--applications", 120),
    "02_training_curves": ("--applications", 100, "--epochs", 1),
    "03_simulated_bank": ("--applications", 200),
    "04_abstracting_behaviors": ("--applications", 200),
    "05_warm_start": ("--applications", 80, "--old", 200, *LITTLE),
    "06_scikit_learn_tools": ("--applications", 80, *LITTLE),
    "07_many_machines": ("--applications", 60, *LITTLE, "--workers", 1),
    "08_the_model_you_have": ("--applications", 90, "--epochs", 1, "--networks", 1),
    "09_what_behaviors_are_about": ("--applications", 150),
    "10_reasons": ("--applications", 80, "--epochs", 1, "--explained", 5),
    "11_champion_and_challenger": ("--applications", 120, *LITTLE),
    "12_who_is_treated_how": ("--applications", 60, *LITTLE),
    "13_declined_applications": ("--applications", 120, *LITTLE),
    "14_validation": ("--applications", 400),
}


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("[0-9]*.py")), ids=lambda path: path.name)
def test_gallery(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_here) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SKHUIHEN_DATA", raising=False)
    small = SMALL.get(path.stem, ())
    # Dask's workers import the script that started them; on a busy machine that may take long.
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "600s")
    assert run(path, *small) if path.stem == "07_many_machines" else run_here(path, *small)


@pytest.mark.slow
def test_demo_on_a_tiny_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_here) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    with joblib.parallel_config("sequential"):
        small = ("--applications", 100, *LITTLE)
        output = run_here(EXAMPLES / "demo.py", *small, "--output", tmp_path)
    for name in ("HUIHEN", "LightGBM, profile + windows", "best possible"):
        assert name in output
    for picture in ("roc.png", "ks.png", "timeline.png"):
        assert (tmp_path / picture).stat().st_size > 10_000


# At sizes as small as these they may warn, as they may in processes of their own.
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_here) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")

    def in_this_process(command: list[str], **options: Any) -> subprocess.CompletedProcess:
        """Run one of the scripts here, which has loaded everything."""
        with monkeypatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as output:
            patch.setattr(sys, "argv", command[1:])
            runpy.run_path(command[1], run_name="__main__")
        return subprocess.CompletedProcess(command, 0, output.getvalue())

    monkeypatch.setattr(subprocess, "run", in_this_process)
    script = ROOT / "benchmarks" / "run.py"
    run_here(script, "--quick", "--output", tmp_path, "--tables", tmp_path / "tables")
    page = (tmp_path / "speed.md").read_text()
    for name in (
        "HUIHEN, padded",
        "LightGBM",
        "The whole fit",
        "groupby-apply",
        "whole Pipeline",
        "Sessionizer",
    ):
        assert name in page
    assert "| n_jobs=2 |" in page
    assert (tmp_path / "images" / "scaling.png").stat().st_size > 10_000


def test_sizing_says_what_the_figures_say(monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    sizing = importlib.import_module("sizing")
    docs = ROOT / "docs"
    page = (docs / "speed.md").read_text()
    table = sizing.table(page, events=1e9, applications=3e5, history=211, epochs=50)
    assert f"{sizing.MARK}{table}\n{sizing.MARK}" in (docs / "scale.md").read_text()
    monkeypatch.setattr(sys, "argv", ["sizing.py", "--events", "2e9"])
    sizing.main()
    assert capsys.readouterr().out.count("2,000,000,000") == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_benchmark_of_what_is_larger_than_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    script = importlib.import_module("out_of_memory")
    run = script.run

    def run_or_start(name: str, folder: Path) -> dict[str, float]:
        """Start a process for one stage, and run the others here, where everything is loaded."""
        if name == "attach_behaviors":
            return run(name, folder)
        (script.STAGES | script.ONCE | script._OTHERS)[name](folder)
        return {"seconds": 1.0, "processor seconds": 1.0, "MB": 1.0}

    monkeypatch.setattr(script, "run", run_or_start)
    monkeypatch.setattr(script, "N_JOBS", 1)
    options = ("--millions", "0.02", "--output", tmp_path, "--tables", tmp_path / "tables")
    monkeypatch.setattr(sys, "argv", ["out_of_memory.py", *map(str, options)])
    script.main()
    page = (tmp_path / "scale_measured.md").read_text()
    for name in (
        "DuckDB, sort and write",
        "pandas, by hand",
        "fit and prepare_parquet",
        "a second",
    ):
        assert name in page
    assert (tmp_path / "images" / "scale.png").stat().st_size > 10_000


#: Enough of Table 2 to have a tree, a network, an ablation and a form that stands on trees.
SOME = (
    "XGBoost, profile",
    "HUIHEN",
    "HUIHEN, no sessions",
    "HUIHEN, five, on LightGBM, old and new",
)


@pytest.mark.slow
def test_every_contender_can_be_made(contenders: ModuleType) -> None:
    """They are fitted one by one where their tables are measured; here, none names what is not."""
    measure = importlib.import_module("measure")
    case = measure.prepare("bank_b", 80, 0.3, contenders.Budget()._replace(n_epochs=1, n_trees=2))
    made = {name: make(case, contenders.Budget()) for name, make in contenders.EVERYTHING.items()}
    assert len(made) > 60
    assert sum(model is None for model in made.values()) < 15  # an expert's, at real lenders alone
    assert all(hasattr(model, "predict_proba") for model in made.values() if model is not None)


@pytest.mark.slow
def test_tables_of_the_paper(tmp_path: Path, run_table: Callable[..., str]) -> None:
    small = ("--small", "--output", tmp_path)
    for number, some in {
        2: ("--contenders", *SOME),
        3: ("--contenders", "HUIHEN", "LightGBM, profile", "--n-settings", 2),
        4: ("--data", "bank_b", "--n-settings", 2),
        5: ("--data", "bank_a"),
    }.items():
        assert "paper AUC" in run_table(f"table{number}", *small, *some)
        page = (tmp_path / f"table{number}.md").read_text()
        assert ("0.6887" if number in (2, 5) else "0.6632") in page  # HUIHEN in the paper
        assert (tmp_path / f"table{number}.png").stat().st_size > 10_000

    # Tables 4 and 5 took HUIHEN from 3 and 2.
    results = pd.read_csv(tmp_path / "bank_a.csv")
    other = pd.read_csv(tmp_path / "bank_b.csv")
    for one, n_contenders in ((results, 5), (other, 5)):
        assert not one.duplicated(["contender", "fold"]).any()
        assert one.groupby("contender").size().eq(2).all()
        assert one["contender"].nunique() == n_contenders
    kept = np.load(tmp_path / "scores" / "bank_a" / "xgboost-profile-0-1.npz")
    (line,) = results.query("contender == 'XGBoost, profile' and fold == 1").auc
    assert roc_auc_score(kept["y"], kept["score"]) == pytest.approx(line)
    summary = pd.read_csv(tmp_path / "table2.csv", index_col="contender")
    by_fold = results.pivot_table("auc", "fold", "contender")
    gain = by_fold["XGBoost, profile"] - by_fold["HUIHEN"]
    assert summary.loc["XGBoost, profile", "gain"] == pytest.approx(gain.mean())

    # By fold, the score's log-odds move with what was planted as the summary says.
    run_table("planted", "--output", tmp_path)
    held = pd.read_csv(tmp_path / "planted.csv", index_col=["data", "contender"])
    assert set(held.loc["bank_a"].index[1:]) == set(results["contender"])
    sizes = json.loads((tmp_path / "bank_a.json").read_text())["settings"]
    size = sizes["rows"], sizes["overdue rate"]
    effects = importlib.import_module("measure").simulate_data("A", *size).effects
    folds = [
        np.load(tmp_path / "scores" / "bank_a" / f"xgboost-profile-0-{fold}.npz")
        for fold in range(2)
    ]
    by_hand = [
        LinearRegression().fit(effects.iloc[fold["row"]], logit(fold["score"])).coef_
        for fold in folds
    ]
    row = held.loc[("bank_a", "XGBoost, profile")]
    np.testing.assert_allclose(row[list(effects)], np.mean(by_hand, axis=0), rtol=1e-4)
    deviations = row[[f"{effect} sd" for effect in effects]]
    np.testing.assert_allclose(deviations, np.std(by_hand, axis=0, ddof=1), rtol=1e-4)
    # Without scores the last summary stands, but for what has other results by now.
    shutil.rmtree(tmp_path / "scores" / "bank_a")
    altered = results.copy()
    altered.loc[altered["contender"] == "XGBoost, profile", "auc"] += 0.1
    altered.to_csv(tmp_path / "bank_a.csv", index=False)
    run_table("planted", "--output", tmp_path)
    now = pd.read_csv(tmp_path / "planted.csv", index_col=["data", "contender"])
    pd.testing.assert_frame_equal(now, held.drop(index=("bank_a", "XGBoost, profile")))
    results.to_csv(tmp_path / "bank_a.csv", index=False)

    # What is done is not done again: a lost line is, and comes out the same.
    results.iloc[:-1].to_csv(tmp_path / "bank_a.csv", index=False)
    run_table("table5", *small, "--data", "bank_a")
    again = pd.read_csv(tmp_path / "bank_a.csv")
    columns = ["contender", "fold", "auc"]
    pd.testing.assert_frame_equal(again[columns], results[columns])
    with pytest.raises(SystemExit, match="results of other settings"):
        run_table("table5", "--output", tmp_path, "--rows", "160")


@pytest.mark.slow
def test_table_of_real_data(tmp_path, data_folder, monkeypatch, run_table) -> None:
    monkeypatch.setenv("SKHUIHEN_DATA", str(data_folder("superlender").parent))
    output = run_table(
        *("real_data", "--small", "--output", tmp_path),
        *("--data", "superlender", "uci_flat"),
        *("--contenders", "LightGBM, profile + windows", "LightGBM, profile"),
        *("LightGBM, profile + windows + expert", "LightGBM, profile + expert, 150 trees"),
        "HUIHEN, five guided by and on 150 trees of an expert",
    )
    # There are no behaviors in one of the two.
    for name, n_lines in (("superlender", 10), ("uci_flat", 2)):
        assert len(pd.read_csv(tmp_path / f"{name}.csv")) == n_lines
    assert "paper" not in output


@pytest.mark.slow
def test_the_evidence_by_one_command(tmp_path: Path, monkeypatch, run_table) -> None:
    monkeypatch.delenv("SKHUIHEN_DATA", raising=False)
    command = ("run", "--small", "--results", tmp_path)
    output = run_table(*command)
    assert "Not measured: " in output
    page = (tmp_path / "evidence_tables.md").read_text()
    plain = (tmp_path / "evidence.md").read_text()
    assert "a last session that is short and fast" in plain
    for part in (
        "Table 2",
        "How much",
        "Table 6",
        "Figure 4",
        "Figure 6",
        "Each mechanism",
        "Limits",
    ):
        assert f"## {part}" in page
    absent = page.partition("## Not measured")[2]
    assert "HUIHEN, plain GRUs" in absent
    assert "SuperLender" in absent
    pictures = set(re.findall(r"\((images/.*?png)\)", page))
    assert len(pictures) == 10
    for picture in pictures:
        assert (tmp_path / picture).stat().st_size > 10_000
    results = pd.read_csv(tmp_path / "bank_b.csv")
    auc = results.loc[results["contender"] == "HUIHEN", "auc"].mean()
    assert f"* **simulated bank B**: HUIHEN has AUC {auc:.4f}." in page

    # Nothing is measured twice, and the page can be made again where the scores are not kept.
    files = {path: path.read_bytes() for path in tmp_path.glob("*.csv")}
    shutil.rmtree(tmp_path / "scores")
    monkeypatch.setattr(importlib.import_module("page"), "draw", lambda results: {})
    run_table(*command)
    assert (tmp_path / "evidence_tables.md").read_text() == page
    assert (tmp_path / "evidence.md").read_text() == plain
    assert files == {path: path.read_bytes() for path in tmp_path.glob("*.csv")}


@pytest.mark.slow
def test_the_page_is_that_of_the_results_beside_it(contenders, tmp_path: Path) -> None:
    docs = ROOT / "docs"
    results = tmp_path / "evidence"
    shutil.copytree(docs / "evidence", results, ignore=shutil.ignore_patterns("scores"))
    page = importlib.import_module("page")
    assert page.compose_tables(results) == (docs / "evidence_tables.md").read_text()
    text = page.compose(results)
    assert text == (docs / "evidence.md").read_text()
    assert len(text.split()) < 3000
    # What the sentences between the tables say.
    plain = importlib.import_module("plain")
    shares = plain.shares_of_planted(results).map(lambda share: float(share.strip("%") or "nan"))
    last, spread, taste = shares[:2], shares.iloc[2], shares.iloc[3]
    assert ((last["HUIHEN"] - last["LightGBM, windows"]).abs() < 5).all()
    assert spread["HUIHEN"] > spread["LightGBM, windows"] + 20
    assert taste["HUIHEN"] < 20 < taste["LightGBM, windows"]
    assert taste["HUIHEN with topics"] < taste["LightGBM, windows and topics"]
    table6 = importlib.import_module("table6")
    auc = table6.summarize(table6.read(results))["AUC"]
    assert (auc.xs("teacher", level="arm") > auc.xs("guided", level="arm")).all()


def test_the_page_of_learning_is_that_of_the_results_beside_it(contenders, tmp_path: Path) -> None:
    docs = ROOT / "docs"
    results = tmp_path / "learning"
    shutil.copytree(
        docs / "evidence" / "learning", results, ignore=shutil.ignore_patterns("scores")
    )
    importlib.import_module("learning").write_page(results, tmp_path / "learning.md")
    assert (tmp_path / "learning.md").read_text() == (docs / "learning.md").read_text()


def test_the_figures_of_readme_are_those_of_the_results(contenders) -> None:
    results = ROOT / "docs" / "evidence"
    table = importlib.import_module("learning").front(results / "learning")
    text = (ROOT / "README.md").read_text()
    assert importlib.import_module("tables").markdown(table) in text
    # What the sentences below the table say about it.
    clear = {}
    for column in ("difference", "difference if blended"):
        bounds = table[column].str.extract(r"\((.+) to (.+)\)").astype(float)
        clear[column] = ((bounds[0] > 0) | (bounds[1] < 0)).tolist()
    assert clear == {
        "difference": [False] * 5,
        "difference if blended": [True, True, False, True, False],
    }
    few = pd.read_csv(results / "few_overdue.csv").query("overdue < 100 and model == 'HUIHEN'")
    assert few["expected_auc"].mean() < 0.56 < 0.74 < few["best_auc"].min()


@pytest.mark.parametrize(
    ("name", "page"), [("calibration", "user_guide"), ("few_overdue", "guide/few_overdue")]
)
def test_the_tables_of_pages_are_those_of_the_results(contenders, name: str, page: str) -> None:
    docs = ROOT / "docs"
    results = pd.read_csv(docs / "evidence" / f"{name}.csv")
    assert importlib.import_module(name).tell(results) in (docs / f"{page}.md").read_text()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("calibration", ("--data", "superlender", "--rows", "60", "--folds", "2")),
        ("few_overdue", ("--sizes", "0.3:20", "--repetitions", "1", "--test", "30")),
    ],
)
def test_what_is_called_the_default_is_not_tuned(
    contenders, name, arguments, monkeypatch, tmp_path
) -> None:
    script = importlib.import_module(name)
    asked = []

    def make(case: Any, budget: Any) -> Any:
        model = contenders.TODAY["HUIHEN, default"](case, budget)
        asked.append(model[-1])
        return make_scorecard()

    made = dict.fromkeys(script.EVERYTHING, make)
    monkeypatch.setattr(script, "EVERYTHING", made)
    monkeypatch.setattr(sys, "argv", [name, "--output", str(tmp_path), *arguments])
    if name == "calibration":
        X = make_loan_data(n_new=60, n_old=0, overdue_rate=0.4, random_state=0)
        case = contenders.Case(attach_behaviors(X.applications, X.events), X.y)
        monkeypatch.setitem(script.DATA, "superlender", lambda *size: case)
    script.main()
    assert asked
    assert all(isinstance(model, HUIHENClassifier) for model in asked)


def test_a_commit_is_no_number(contenders, tmp_path) -> None:
    commits = ["218e55868", "123456789"]  # one with another letter would make all of them text
    pd.DataFrame({"commit": commits, "auc": 0.1 + 0.2}).to_csv(tmp_path / "a.csv", index=False)
    found = importlib.import_module("measure").read_results(tmp_path / "a.csv")
    assert found["commit"].tolist() == commits
    assert set(found["auc"]) == {0.1 + 0.2}


def test_slopes_and_their_error(contenders) -> None:
    rng = np.random.default_rng(0)
    log_odds = rng.normal(-1, 1, 500)
    truth = expit(0.5 * log_odds + 0.3)
    score = expit(log_odds)
    assert importlib.import_module("few_overdue").slope_on_truth(truth, score) == pytest.approx(0.5)
    # The error is how far the slope goes from one draw of the labels to the next.
    slopes = [calibration_summary(rng.random(500) < truth, score).slope for _ in range(60)]
    error = importlib.import_module("calibration").slope_error(score, 0.3, 0.5)
    assert error == pytest.approx(np.std(slopes), rel=0.3)


def test_separation_leaves_each_point_out(contenders) -> None:
    rng = np.random.default_rng(0)
    field = rng.integers(0, 3, 80)
    points = rng.normal(size=(80, 4)) + field[:, None]
    one_out = cross_val_predict(KNeighborsClassifier(5), points, field, cv=LeaveOneOut())
    found = importlib.import_module("figure6").separation(points, field)["neighbors"]
    assert found == pytest.approx(balanced_accuracy_score(field, one_out))


def invent(folder: Path, name: str, auc: dict[str, Any]) -> None:
    """Write results of three folds as if they had been measured."""
    lines = [
        {"contender": one, "repetition": 0, "fold": fold, "auc": value}
        for one, values in auc.items()
        for fold, value in enumerate(values)
    ]
    results = pd.DataFrame(lines).assign(ks=0.2, seconds=1.0)
    results["expected_auc"] = results["auc"]
    results.to_csv(folder / f"{name}.csv", index=False)
    about = {"settings": {"folds": 3}, "sizes": {"best possible AUC": 0.7}, "versions": {}}
    (folder / f"{name}.json").write_text(json.dumps(about))


def test_a_score_that_is_the_truth_holds_all_that_is_planted(contenders) -> None:
    planted = importlib.import_module("planted")
    effects = importlib.import_module("measure").simulate_data("B", 160, 0.3).effects
    truth = expit(effects.sum(axis=1) - 2.0)
    np.testing.assert_allclose(planted.coefficients(effects, truth), 1.0, atol=1e-6)
    without = expit(effects.drop(columns="habit").sum(axis=1))
    assert planted.coefficients(effects, without)["habit"] == pytest.approx(0.0, abs=1e-6)


def test_lateness_is_of_the_dates_alone(contenders) -> None:
    lateness = importlib.import_module("lateness").Lateness
    life = pd.DataFrame(
        [  # user, loan, due_days; approved, due, repaid
            ("late", 1, 30, "2020-01-01 18:00", "2020-01-31", "2020-02-03 06:00"),
            ("late", 2, 30, "2020-03-01 09:00", "2020-03-31", "2020-03-30"),
            ("late", 3, 30, "2020-04-01 09:00", "2020-05-01", None),
            ("ahead", 4, 60, "2020-05-01 23:00", None, "2020-05-11"),
            ("new", 5, 30, "2020-05-02", None, None),
        ],
        columns=["user_id", "loan", "due_days", "loan_approved", "loan_due", "first_repaid"],
    )
    events = life.melt(["user_id", "loan", "due_days"], var_name="operation", value_name="time")
    events = events.assign(time=pd.to_datetime(events["time"], format="ISO8601")).dropna(
        subset="time"
    )
    applications = pd.DataFrame({"user_id": ["ahead", "late", "new", "none"]})
    applications["applied_at"] = pd.Timestamp("2020-05-20")
    X = attach_behaviors(applications, events)
    expected = [[-50.0, -50.0, -50.0], [1.125, 3.25, -1.0], [np.nan] * 3, [np.nan] * 3]
    np.testing.assert_allclose(lateness().fit(X).transform(X), expected)


def test_the_hash_of_settings_leaves_no_parameter_out(contenders) -> None:
    """The usual text of an estimator leaves out what lies in its middle."""
    measure = importlib.import_module("measure")
    case = contenders.Case(pd.DataFrame(), np.zeros(1))
    model = contenders.network(case, contenders.Budget())
    params = model.get_params(deep=False)
    known = {measure.settings_of(model)}
    for name, value in params.items():
        changed = clone(model).set_params(**{name: "other" if value != "other" else None})
        known.add(measure.settings_of(changed))
    assert len(known) == 1 + len(params)


def test_each_form_that_stands_on_trees_names_them(contenders) -> None:
    on_trees = {name for name in contenders.FORMS if re.search(r"\bon\b", name)}
    assert on_trees == set(contenders.STANDS_ON)
    assert set(contenders.STANDS_ON.values()) <= set(contenders.LEFT_OUT)


@pytest.mark.slow
def test_forms_share_their_networks_and_score_as_with_their_own(contenders) -> None:
    case = importlib.import_module("measure").DATA["bank_b"](160, 0.3)
    budget = contenders.Budget(1, n_epochs=2, n_trees=20)
    known = contenders.RememberingTrainer.known

    def fit(form: str, y: np.ndarray = case.y) -> Any:
        return contenders.CONTENDERS[form](case, budget).fit(case.X, y)[-1]

    forms = ["HUIHEN on LightGBM", "HUIHEN on LightGBM with intervals"]
    known.clear()
    shared = [fit(form) for form in forms]
    assert shared[0].estimators_ is shared[1].estimators_
    assert shared[0].blend_ != shared[1].blend_
    known.clear()
    own = fit(forms[1])
    assert own.blend_ == shared[1].blend_
    weights = [model.net_.module_.state_dict() for model in (own, shared[1])]
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][name])
    # Other labels, parameters or starts have networks of their own.
    fit(forms[0], case.y[::-1].copy())
    fit("HUIHEN, no mean intention")
    fit("HUIHEN, no warm start")
    assert len(known) == 4
    # Guided ones share theirs with each other alone.
    guided = [fit(f"HUIHEN, guided{on}") for on in ("", ", on LightGBM with intervals")]
    assert guided[0].estimators_ is guided[1].estimators_
    assert len(known) == 5


def test_a_loss_is_told_and_a_chance_is_not_called_one(contenders, tmp_path: Path) -> None:
    page = importlib.import_module("page")
    names = {
        "HUIHEN": [0.60, 0.61, 0.62],
        "LightGBM, profile + windows": [0.650, 0.661, 0.670],
        "LightGBM, profile": [0.70, 0.50, 0.64],
        "XGBoost, profile": [0.560, 0.571, 0.580],
        "HUIHEN, no sessions": [0.730, 0.741, 0.750],
        "HUIHEN, no teacher": [0.60, 0.61, 0.62],
        "LightGBM, profile + windows, old and new": [0.640, 0.651, 0.660],
        "HUIHEN, five, on LightGBM, old and new": [0.680, 0.691, 0.700],
        "HUIHEN, five networks": [0.9, 0.9],
        "LightGBM, profile + planted terms": [0.91, 0.92, 0.93],
    }
    invent(tmp_path, "bank_b", names)
    (told,) = [line for line in page.verdicts(tmp_path) if "bank B" in line]
    lines = [line.strip().removeprefix("* ") for line in told.splitlines()[1:]]
    groups = dict(line.split(": ", 1) for line in lines)
    first = {label.strip("*"): re.split(r" [+-]\d", text)[0] for label, text in groups.items()}
    assert first == {
        "Significantly ahead of HUIHEN": "LightGBM, profile + windows",
        "Models that know the planted effects, which no bank does": (
            "LightGBM, profile + planted terms"
        ),
        "Ahead, but not significantly": "LightGBM, profile",
        "Significantly behind HUIHEN": "XGBoost, profile",
        "HUIHEN is significantly better without these parts": "HUIHEN, no sessions",
        "Without these parts, the AUC is not lower": "HUIHEN, no teacher",
        "Other forms of HUIHEN": "HUIHEN, five networks",
        "Gain over LightGBM, profile + windows (t test only)": "HUIHEN",
        "Gain over LightGBM, profile + windows, old and new (t test only)": "HUIHEN",
        "Blended with trees, gain over the trees alone (t test only)": (
            "HUIHEN, five, on LightGBM, old and new"
        ),
    }
    assert "+0.0503" in groups["**Significantly ahead of HUIHEN**"]
    assert "+0.0400" in groups["Blended with trees, gain over the trees alone (t test only)"]
    assert "* **simulated bank A**: HUIHEN was not measured." in page.verdicts(tmp_path)

    # Neither what lacks a fold, nor what was told the truth, nor an ablation is compared.
    row = page.glance(tmp_path).loc["simulated bank B"]
    assert row["best contender"] == "LightGBM, profile + windows: 0.6603"
    assert row["its gain over that"].startswith("-0.0503 (")
    best = "HUIHEN, five, on LightGBM, old and new: 0.6903 (some forms were not measured)"
    assert row["best form"] == best
    assert row["its gain over the best contender"].startswith("+0.0300 (")
    assert any("no time-aware GRU" in line for line in page.absent(tmp_path))


@pytest.mark.parametrize(
    ("huihen", "ablation", "told"),
    [
        (
            0.68,
            0.52,
            [
                "**HUIHEN finds it (90%).**",
                "reaches 10%: without this part, the mechanism is missed",
            ],
        ),
        (
            0.68,
            0.64,
            [
                "**HUIHEN finds it (90%).**",
                "reaches 70%: without this part, the mechanism is found only in part",
            ],
        ),
        (0.68, 0.68, ["**HUIHEN finds it (90%).**", "reaches 90%: no clear loss"]),
        (
            0.55,
            0.50,
            ["**HUIHEN finds it in part (25%).**", "without this part, the mechanism is missed"],
        ),
        (
            0.51,
            0.66,
            ["**HUIHEN does not find it (5%).**", "so this says nothing about the missing part"],
        ),
    ],
)
def test_what_is_said_of_a_mechanism(contenders, tmp_path, huihen, ablation, told) -> None:
    table = importlib.import_module("mechanisms").TABLE
    around = np.array([-0.001, 0.0, 0.001])
    names = {
        "HUIHEN": huihen + around,
        "HUIHEN, no time-aware GRU": ablation - around,
        "LightGBM, profile + windows": 0.60 + around,
    }
    invent(tmp_path, "impulsive", names)
    text = table.tell(tmp_path, "##")[-1]
    for part in (*told, "LightGBM on window statistics finds it (50%)"):
        assert part in text


def test_what_is_said_of_topics(contenders, tmp_path: Path) -> None:
    table = importlib.import_module("mechanisms").TABLE
    around = np.array([-0.001, 0.0, 0.001])
    names = {
        "HUIHEN": 0.51 + around,
        "HUIHEN, topics": 0.69 - around,
        "LightGBM, profile + windows": 0.55 + around,
        "LightGBM, profile + windows + topics, 150 trees": 0.62 + around,
    }
    invent(tmp_path, "habit", names)
    text = table.tell(tmp_path, "##")[-1]
    for part in (
        *("**HUIHEN does not find it (5%).**", "HUIHEN with topics finds it (95%)."),
        "LightGBM on window statistics finds it in part (25%).",
        "LightGBM on window statistics and topics finds it (60%).",
    ):
        assert part in text


def test_rows_whose_commit_is_not_known_are_marked(contenders, tmp_path: Path) -> None:
    table = importlib.import_module("table4").TABLE
    both = {name: [0.6, 0.61, 0.62] for name in ("HUIHEN", "HUIHEN, original operations")}
    invent(tmp_path, "bank_a", both)
    path = tmp_path / "bank_a.csv"
    results = pd.read_csv(path)

    def tell(commits: Any) -> str:
        results.assign(commit=commits).to_csv(path, index=False)
        return "\n".join(table.tell(tmp_path, "##"))

    whole = "\n".join(table.tell(tmp_path, "##"))
    assert "Commit of the code that measured these rows: not recorded." in whole
    assert tell(None) == whole
    assert "Commit of the code that measured these rows: abc." in tell("abc")
    mixed = tell(["abc", "abc", "def", None, None, None])
    assert re.search(r"\| HUIHEN \|.*\| abc, def \|", mixed)
    assert re.search(r"\| HUIHEN, original operations \|.*\| not recorded \|", mixed)
    # One row of several is enough.
    assert re.search(r"\| HUIHEN \|.*\| abc, not recorded \|", tell([*["abc"] * 2, *[None] * 4]))


def test_what_is_said_of_a_curve(contenders, tmp_path: Path) -> None:
    table = importlib.import_module("figure5").TABLE
    around = np.array([-0.001, 0.0, 0.001])
    names = {
        "HUIHEN": 0.65 + around,
        "HUIHEN, 5 sessions": 0.60 - around,
        "HUIHEN, 100 sessions": 0.65 + 20 * around,
    }
    invent(tmp_path, "bank_a_quarter", names)
    text = table.tell(tmp_path, "##")[-1]
    assert "From 5 to 50 sessions: AUC +0.0500" in text
    assert "it rises" in text.partition("From 50 to 100")[0]
    assert "From 50 to 100 sessions: AUC +0.0000" in text
    assert "no significant difference" in text.partition("From 50 to 100")[2]


#: What the names of an app say, and who uses it.
APPS = [
    *("good", "half random", "half misleading", "random", "misleading", "good, few events"),
    *("half random, few events", "half random, one busy user", "two languages", "ids in names"),
]


@pytest.mark.parametrize("kind", APPS)
def test_merging_finds_true_groups_whatever_names_say(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    apps = importlib.import_module("abstraction")
    assert list(apps.KINDS) == APPS
    app = apps.make_app(kind, seed=1)
    together, names, use = (
        apps.agreement(app.truth, found)
        for found in (
            apps.merged(app, n_behaviors=30),
            apps.merged(apps.without_neighbors(app), n_behaviors=30),
            apps.by_use_alone(app, 30),
        )
    )
    assert together >= max(0.8, names - 0.02, use - 0.02)


def test_contenders_have_the_same_tuning_budget(contenders) -> None:
    assert {len(settings) for settings in contenders.SETTINGS.values()} == {
        contenders.Budget().n_settings
    }
    for settings in contenders.SETTINGS.values():
        assert settings[0] == {}
        assert len({str(setting) for setting in settings}) == len(settings)


class Seen(TransformerMixin, BaseEstimator):
    """Tells of each row whether it was fitted on."""

    def fit(self, X, y):
        self.rows_ = set(X["row"])
        return self

    def transform(self, X):
        return X[["row"]].isin(self.rows_).to_numpy(float)


class Trees(ClassifierMixin, BaseEstimator):
    """Refuses vectors of rows that the network was fitted on."""

    def fit(self, X, y):
        row, seen = X.T
        assert not seen.any()
        self.rows_, self.classes_ = set(row), np.unique(y)
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - X[:, 1], X[:, 1]])


class Rows(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[["row"]].to_numpy(float)


def test_stacked_trees_see_no_vector_of_a_networks_own_rows(contenders) -> None:
    X, y = pd.DataFrame({"row": range(40)}), np.arange(40) % 2
    model = contenders.WithVectors(Seen(), Rows(), Trees()).fit(X, y)
    first, second = (pipeline[-1].rows_ for pipeline in model.models_)
    assert first | second == set(range(40))
    assert not first & second
    # Each row was seen by one network of the two.
    np.testing.assert_array_equal(model.predict_proba(X), np.full((40, 2), 0.5))


@pytest.mark.slow
def test_growing_goes_on_where_it_stopped(tmp_path: Path, run_table) -> None:
    command = (
        *("growing", "--output", tmp_path, "--bank", "B"),
        *("--repetitions", "1", "--epochs", "1", "--test", "150", "--old", "300", "--new", "150"),
    )
    run_table(*command, "--sizes", "150", "--arms", "HUIHEN, no warm start")
    first = (tmp_path / "growing.csv").read_text()
    output = run_table(*command, "--sizes", "150")
    results = (tmp_path / "growing.csv").read_text()
    assert results.startswith(first)
    assert results.count("no warm start") == 1
    for name in ("HUIHEN, warm start", "LightGBM, profile, old and new rows", "gain"):
        assert name in output
    assert (tmp_path / "growing.png").stat().st_size > 10_000
