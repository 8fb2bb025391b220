"""The comparison of training settings in `evidence`, and its page."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from skhuihen import HUIHENClassifier
from skhuihen.network.embedding import PeriodEmbedding

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "evidence" / "training"
PLAIN = "dropout 0.6, guidance 1"


@pytest.fixture(scope="module")
def training() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "evidence")
        yield importlib.import_module("training_settings")


@pytest.fixture(scope="module")
def rows() -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.normal(size=(150, 3)), columns=["a", "b", "c"])
    return X, (X["a"] > 0.3).to_numpy().astype(int)


def fitted(rows, **params):
    return HUIHENClassifier(**{"n_estimators": 1, "random_state": 0, **params}).fit(*rows)


def weights(model):
    named = model.net_.module_.named_parameters()
    return {name: weight.detach().clone() for name, weight in named}


def results_of(gains, data=("superlender", "bpic2012", "uci", "bank_a_small")):
    """Return results where a setting has these gains: data sets (rows) by folds (columns)."""
    found = [
        {
            **{"data": name, "rows": 0, "fold": fold, "setting": setting, "commit": "a"},
            "auc": 0.6 + gain * (setting != PLAIN),
        }
        for name, of_data in zip(data, gains, strict=True)
        for fold, gain in enumerate(of_data)
        for setting in (PLAIN, "other")
    ]
    return pd.DataFrame(found)


@pytest.mark.parametrize(
    ("gains", "is_candidate"),
    [
        ([[0.003, 0.004]] * 4, True),
        ([[0.001, 0.002]] * 4, False),  # too little
        ([[0.012, 0.012], *[[0.002, 0.002]] * 3], False),  # too uncertain, as each set counts once
        ([[0.02, 0.021], [0.02, 0.021], [-0.001, -0.002], [-0.001, -0.001]], False),  # on two sets
    ],
)
def test_a_candidate_gains_enough_surely_and_on_most_data(training, gains, is_candidate):
    assert training.candidates(results_of(gains)) == ["other"] * is_candidate


def test_gains_are_those_on_the_same_folds(training):
    table = training.tell_gains(results_of([[0.01, -0.002]] * 3 + [[0.01, 0.002]]))
    assert table.loc["other", "SuperLender"] == "+0.0040 ± 0.0085 (1 of 2)"
    assert table.loc["other", "all"] == "+0.0045 ± 0.0005 (5 of 8)"  # means of four data sets
    assert table.loc[f"AUC of {PLAIN}", "SuperLender"] == "0.6000"


def test_numbers_of_rows_are_apart_and_no_result_counts_twice(training):
    results = results_of([[0.01]], data=("uci",))
    more = results.assign(rows=4000, auc=results["auc"] + 0.01 * (results["setting"] != PLAIN))
    table = training.tell_gains(pd.concat([results, more]))
    name = "UCI default, months as behaviors"
    assert list(table.columns) == [name, f"{name}, 4,000 rows", "all", "commit"]
    assert list(table.loc["other"])[:2] == ["+0.0100 (1 of 1)", "+0.0200 (1 of 1)"]
    with pytest.raises(ValueError, match="two results on the same fold"):
        training.gains(pd.concat([results, results]))


def test_more_rows_of_a_mechanism_are_compared_with_what_is_possible_there(training):
    row = {"data": "habit", "rows": 3000, "fold": 0, "auc": 0.6, "best": 0.7, "commit": "a"}
    more = row | {"setting": "6,000 rows", "rows": 6000, "best": 0.8}
    results = pd.DataFrame([row | {"setting": PLAIN}, more])
    table = training.tell_cures(results)
    assert list(table.columns[:2]) == ["habit alone, 3,000 rows", "habit alone, 6,000 rows"]
    assert list(table.loc["best possible"])[:2] == ["0.700", "0.800"]
    assert list(table.loc["6,000 rows"])[:2] == ["", "0.600 (33%)"]
    assert "one fold with one seed" in training.tell_folds(results)
    # There is no reference with as many rows, whose commit could differ.
    assert "different" not in training.tell_commits(results.assign(commit=["a", "b"]))
    folds = pd.concat([results, results[:1].assign(fold=1)])
    assert training.tell_folds(folds).startswith("Each cell is the mean of 1 to 2 folds")


def test_the_page_says_if_no_setting_passes(training):
    lost = results_of([[0.01, 0.002], [0.012, 0.012], [0.0, 0.0], [0.0, 0.0]])
    assert training.verdict(lost) == "No setting passes this rule."
    assert training.verdict(results_of([[0.003, 0.004]] * 4)) == "Candidates: other."
    told = training.tell_split(lost)
    assert told == "Each setting was measured on 2 of the 3 folds of the split."
    assert "on 1 to 2 of the 3 folds" in training.tell_split(lost[1:])


def test_differences_between_rows_of_other_code_are_told(training):
    results = results_of([[0.01, 0.02]], data=("superlender",))
    assert "different commits" not in training.tell_commits(results)
    results.loc[results["setting"].eq("other") & results["fold"].eq(1), "commit"] = "b"
    assert " 1 of 2 differences are between rows of different" in training.tell_commits(results)
    assert list(training.tell_gains(results)["commit"]) == ["a", "a, b"]


@pytest.mark.parametrize(
    "options",
    [
        ["--data", "impulsive"],
        ["--settings", "with the teacher"],
        ["--large", "--data", "superlender"],
        ["--mechanisms", "--settings", "decay 0.3"],
    ],
    ids="".join,
)
def test_what_needs_another_option_is_refused(training, tmp_path, monkeypatch, capsys, options):
    monkeypatch.setattr(sys, "argv", ["training.py", "--output", str(tmp_path), *options])
    with pytest.raises(SystemExit, match="2"):
        training.main()
    assert f"with neither): {options[-1]}" in capsys.readouterr().err


def test_the_page_needs_no_mechanisms(training, tmp_path):
    (tmp_path / "training.csv").write_text((RESULTS / "training.csv").read_text())
    training.write_page(tmp_path, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "## Gains over the former default" in page
    assert "Slow mechanisms" not in page


def test_what_was_not_measured_is_named(training):
    results = results_of([[0.01]] * 2, data=("superlender", "uci"))
    settings = [PLAIN, "other", "third"]
    told = training.tell_unmeasured(results, settings, ["superlender", "bpic2012"])
    assert told.endswith("\n* SuperLender: third.\n* BPI Challenge 2012: everything.")
    assert training.tell_unmeasured(results, settings[:2], ["superlender", "uci"]) == ""


def test_epochs_are_compared_on_whole_data(training):
    row = {"data": "bank_b", "rows": 0, "fold": 0, "best": 0.7, "commit": "a"}
    row |= {"n_train": 8510, "n_rare": 470}
    measured = ((PLAIN, 0, 0.66), (f"{training.NEW}, 8 epochs", 0, 0.68), (PLAIN, 1, 0.7))
    results = pd.DataFrame(
        [row | {"setting": name, "fold": fold, "auc": auc} for name, fold, auc in measured]
    )
    table = training.tell_passes(results)
    # The gain is that on the folds that both were measured on.
    assert list(table["simulated bank B"]) == ["0.6800 (+0.0000)", "0.6800 (+0.0200)"]
    assert training.sizes_of(results) == (
        "8,510 of simulated bank B, of which 470 are of the rarer class, for 7 epochs"
    )


def test_averages_are_those_of_the_weights_after_each_step(training, rows):
    seen = []

    class Note(training.Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            seen.append(net.module_.interaction.logits.bias.detach().clone())

    averages = training.Averages()
    fitted(rows, max_epochs=6, batch_size=50, callbacks=[averages, Note()])
    assert len(seen) == 18
    name = "interaction.logits.bias"
    torch.testing.assert_close(averages.found[training.SWA][name], torch.stack(seen[12:]).mean(0))
    expected = seen[0]
    for bias in seen[1:]:
        expected = expected + (bias - expected) * 10 / 18
    torch.testing.assert_close(averages.found[training.EMA][name], expected)


def test_the_schedule_free_optimizer_is_told_when_training_begins_and_ends(training, rows):
    seen = []

    class Slow(torch.optim.SGD):
        def train(self):
            seen.append("train")

        def eval(self):
            seen.append("eval")

    params = {"lr": 0.01, "schedule": "constant", "weight_decay": 0.1, "max_epochs": 10}
    net_params = {"optimizer": Slow}
    free = fitted(rows, **params, net_params=net_params, callbacks=[training.ScheduleFree()])
    assert seen == ["train", "eval"]
    (group,) = free.net_.optimizer_.param_groups
    # A tenth of ten epochs of two batches; the decay stays the optimizer's own.
    assert group["warmup_steps"] == 2
    assert group["weight_decay"] == 0.1


def test_short_histories_come_first_in_epochs_of_the_same_length(training):
    length = np.random.default_rng(0).permutation(90)
    sampler = training.ShortFirst(length, n_epochs=9)
    longest = []
    for _ in range(9):
        drawn = list(sampler)
        assert len(drawn) == 90
        longest.append(length[drawn].max())
    assert longest[0] == 29
    assert (np.diff(longest) >= 0).all()
    assert longest[3:] == [89] * 6
    assert sorted(drawn) == list(range(90))


def test_vectors_of_days_start_as_told(training, rows):
    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.period_embedding = PeriodEmbedding(10)
            self.period_embedding.reset_parameters(torch.Generator().manual_seed(0))

    plain, smooth = Module(), Module()
    training.Spread(3, ["period_embedding"]).on_train_begin(SimpleNamespace(module_=plain))
    training.Spread(3, ["period_embedding"], smooth=True).on_train_begin(
        SimpleNamespace(module_=smooth)
    )
    before = Module().period_embedding
    for name in ("weekday", "monthday"):
        scaled = getattr(plain.period_embedding, name)
        torch.testing.assert_close(scaled, 3 * getattr(before, name))
    torch.testing.assert_close(smooth.period_embedding.weekday, plain.period_embedding.weekday)
    days = smooth.period_embedding.monthday
    torch.testing.assert_close(days.std(), plain.period_embedding.monthday.std())
    # Neighbors are alike, and days far apart are not.
    assert (days[1:] - days[:-1]).std() < days.std() / 3
    assert (days[15:] - days[:-15]).std() > days.std()


def test_several_networks_have_no_averages_of_one(training, rows):
    fold = training.Fold.__new__(training.Fold)
    fold.X = fold.of_test = rows[0]
    fold.y = fold.label = rows[1]
    fold.truth, fold._known = None, {}
    for n, expected in ((1, [PLAIN, *training.AVERAGES]), (2, [PLAIN])):
        fold.params = {"n_estimators": n, "random_state": 0, "max_epochs": 2}
        found = fold.measure(PLAIN, training.SETTINGS[PLAIN])
        assert [row["setting"] for row in found] == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["training", "large", "mechanisms"])
def test_the_command_goes_on_where_it_was(training, tmp_path, monkeypatch, kind):
    data, settings = {
        "training": ("bank_a_small", training.SETTINGS),
        "large": ("bank_a_quarter", training.PASSES),
        "mechanisms": ("month_end", training.CURES),
    }[kind]
    command = ["--small", "--output", tmp_path, "--data", data]
    command += [f"--{kind}"] * (kind != "training")
    monkeypatch.setattr(sys, "argv", ["training.py", *map(str, command)])
    training.main()
    path = tmp_path / f"{kind}.csv"
    results = pd.read_csv(path)
    averages = training.AVERAGES if kind == "training" else []
    assert sorted(results["setting"]) == sorted([*settings, *averages])
    assert results["auc"].between(0.3, 0.8).all()
    assert (results["auc"] < results["best"]).all()
    # A lost line comes out the same.
    results.iloc[:-1].to_csv(path, index=False)
    training.main()
    pd.testing.assert_frame_equal(
        pd.read_csv(path).drop(columns="commit"), results.drop(columns="commit")
    )


def test_the_page_is_that_of_the_results_beside_it(training, tmp_path):
    training.write_page(RESULTS, tmp_path / "page.md")
    page = (ROOT / "docs" / "training_measured.md").read_text()
    assert (tmp_path / "page.md").read_text() == page
