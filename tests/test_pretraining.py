"""Learning before labels: the experiment in `evidence`, which is not part of the package."""

from __future__ import annotations

import importlib
import runpy
import shutil
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skhuihen import BehaviorAbstractor, HUIHENClassifier, Sessionizer, attach_behaviors
from skhuihen._training.start import ColdStart
from skhuihen.datasets import load_cmb2020, make_loan_data

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pretrained() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "evidence")
        yield importlib.import_module("pretrained")


@pytest.fixture(scope="module")
def bank():
    return make_loan_data(
        60, 0, n_unlabelled=60, overdue_rate=0.4, max_sessions=6, late_share=0.0, random_state=0
    )


@pytest.fixture(scope="module")
def front(bank):
    names = ["user_id", "applied_at"]
    rows = pd.concat([bank.unlabelled[names], bank.applications[names]], ignore_index=True)
    return Sessionizer(), BehaviorAbstractor().fit(attach_behaviors(rows, bank.events))


@pytest.fixture(scope="module")
def histories(bank, front):
    sessionizer, abstractor = front
    raw = attach_behaviors(bank.unlabelled[["user_id", "applied_at"]], bank.events)
    return sessionizer.fit_transform(abstractor.transform(raw))


@pytest.fixture(scope="module")
def in_parquet(histories, tmp_path_factory):
    """The histories in two files of several row groups."""
    folder = tmp_path_factory.mktemp("histories")
    for number, part in enumerate((histories[:35], histories[35:])):
        part.to_parquet(folder / f"{number}.parquet", row_group_size=10)
    return folder


@pytest.fixture(scope="module")
def encoded(pretrained, histories):
    params = HUIHENClassifier().get_params(deep=False)
    return pretrained.encode(histories, pretrained.learn_behaviors(histories, params))


def weights(found):
    return [weight.detach().numpy() for weight in found.module.parameters()]


@pytest.mark.parametrize("losses", [("next",), ("contrast",)], ids="+".join)
def test_the_same_seed_gives_the_same_network(pretrained, histories, losses):
    """And another seed another one; torch's own generator is left alone."""
    before = torch.get_rng_state()
    one, same, other = (
        pretrained.pretrain(histories, losses=losses, max_epochs=1, random_state=seed)
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(weights(one), weights(same), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(weights(one), weights(other), strict=True))
    assert one.losses == same.losses


@pytest.mark.parametrize("losses", [("next",), ("contrast",)], ids="+".join)
def test_the_loss_falls(pretrained, histories, losses):
    found = pretrained.pretrain(histories, losses=losses, max_epochs=8, batch_size=16)
    assert found.losses[-1] < found.losses[0]


@pytest.mark.parametrize("is_streamed", [False, True], ids=["memory", "Parquet"])
def test_nothing_after_the_application_is_seen(pretrained, bank, front, tmp_path, is_streamed):
    """Later events change neither what is learned nor the vectors, even if no step cut them off."""
    _, abstractor = front
    users = bank.unlabelled[["user_id", "applied_at"]]
    later = users.assign(applied_at=users["applied_at"] + pd.Timedelta("60D"))
    whole = attach_behaviors(later, bank.events)
    uncut = Sessionizer(max_sessions=None, max_behaviors=None).fit_transform(
        abstractor.transform(whole)
    )
    uncut["applied_at"] = users["applied_at"]
    past = Sessionizer(max_sessions=None, max_behaviors=None).fit_transform(
        abstractor.transform(attach_behaviors(users, bank.events))
    )
    results = []
    for number, table in enumerate((uncut, past)):
        given = table
        if is_streamed:
            given = tmp_path / f"{number}.parquet"
            table.to_parquet(given, row_group_size=20)
        found = pretrained.pretrain(given, losses=("contrast", "next"), max_epochs=1)
        results.append([*weights(found), pretrained.Vectors(found).transform(table)])
    assert len(uncut["behaviors"].nest["time"]) > len(past["behaviors"].nest["time"])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("losses", [("next",), ("contrast",), ("contrast", "next")], ids="+".join)
def test_parquet_in_one_buffer_gives_the_weights_of_memory(
    pretrained, histories, in_parquet, losses
):
    streamed, in_memory = (
        pretrained.pretrain(table, losses=losses, max_epochs=2, batch_size=16)
        for table in (in_parquet, histories)
    )
    for a, b in zip(weights(streamed), weights(in_memory), strict=True):
        np.testing.assert_array_equal(a, b)
    assert streamed.losses == in_memory.losses


def test_each_pass_reads_every_history_once_in_small_buffers(
    pretrained, encoded, in_parquet, monkeypatch
):
    """Memory does not grow with the number of histories: a buffer ends at a row group."""
    monkeypatch.setattr("skhuihen._encoding.streaming.BUFFER", 1)
    encoder = pretrained.learn_behaviors(in_parquet, HUIHENClassifier().get_params(deep=False))
    read = pretrained.Histories(in_parquet, "behaviors", "applied_at").passes(encoder)
    random = np.random.default_rng(0)
    passes = [list(read(random)) for _ in range(2)]
    for parts in passes:
        assert [len(part.n_sessions) for part in parts].count(10) == 5  # of 7 row groups
        behavior = np.concatenate([part.behavior for part in parts])
        np.testing.assert_array_equal(np.sort(behavior), np.sort(encoded.behavior))
    first, second = ([part.behavior[:5].tolist() for part in parts] for parts in passes)
    assert first != second  # another order


@pytest.mark.parametrize("buffer", [8_000_000, 1], ids=["one buffer", "many buffers"])
def test_a_run_that_was_killed_goes_on_to_the_same_weights(
    pretrained, in_parquet, tmp_path, monkeypatch, capsys, buffer
):
    monkeypatch.setattr("skhuihen._encoding.streaming.BUFFER", buffer)
    settings = {"losses": ("next", "contrast"), "max_epochs": 3, "batch_size": 16}
    settings |= {"checkpoint": tmp_path / "state"}
    whole = pretrained.pretrain(in_parquet, **settings | {"checkpoint": None})
    share_of_peak, progress = pretrained.share_of_peak, []

    def run_until(last: float):
        def share(now: float) -> float:
            if now > last:
                raise MemoryError
            progress.append(now)
            return share_of_peak(now)

        monkeypatch.setattr(pretrained, "share_of_peak", share)
        return pretrained.pretrain(in_parquet, **settings, verbose=1)

    with pytest.raises(MemoryError):
        run_until(0.5)  # in the second of three epochs
    n_seen = len(progress)
    capsys.readouterr()
    resumed = run_until(1.0)
    assert min(progress[n_seen:]) == pytest.approx(1 / 3)  # the first epoch is not repeated
    assert max(progress) < 1
    for a, b in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumed.losses == whole.losses
    bars = capsys.readouterr().err
    assert " 60/180" in bars  # where it went on
    assert " 180/180" in bars.splitlines()[-1]
    with pytest.raises(ValueError, match="another run"):
        pretrained.pretrain(in_parquet, **settings | {"max_epochs": 4})


def test_real_behaviors_without_a_label_can_be_learned_from(pretrained, data_folder):
    """Those of the test part of a contest, of which no label was ever published."""
    data = load_cmb2020(data_folder("cmb2020"))
    users = data.applications[["user_id", "applied_at"]][:300]
    raw = attach_behaviors(users, data.events[data.events["user_id"].isin(users["user_id"])])
    table = Sessionizer().fit_transform(BehaviorAbstractor().fit_transform(raw))
    for losses in (("next",), ("contrast",)):
        found = pretrained.pretrain(table, losses=losses, max_epochs=4, batch_size=32)
        assert found.losses[-1] < found.losses[0]
        assert np.isfinite(pretrained.Vectors(found).transform(table)).all()


def test_calendar_columns_are_shares_of_the_events_before(pretrained):
    calendar = importlib.import_module("pretraining").Calendar()
    users = pd.DataFrame({"user_id": [1, 2], "applied_at": pd.to_datetime(["2024-03-25"] * 2)})
    days = ["2024-03-01", "2024-03-10", "2024-03-11", "2024-03-23", "2024-03-30"]  # Friday, ...
    events = pd.DataFrame({"user_id": 1, "time": pd.to_datetime(days), "operation": "a"})
    table = attach_behaviors(users.assign(applied_at=pd.Timestamp("2024-04-01")), events)
    table["applied_at"] = users["applied_at"]
    np.testing.assert_allclose(calendar.transform(table), [[0.5, 0.25, 0.25, 0.5], [np.nan] * 4])


def test_networks_shared_between_base_estimators_give_the_same_scores(pretrained, bank, front):
    sessionizer, abstractor = front
    module = importlib.import_module("pretraining")
    X = sessionizer.fit_transform(
        abstractor.transform(attach_behaviors(bank.applications, bank.events))
    )
    encoder = pretrained.learn_behaviors(X, HUIHENClassifier().get_params(deep=False))
    table = np.random.default_rng(0).normal(size=(len(X), 3))
    settings = {"n_estimators": 2, "max_epochs": 1, "teacher": None, "random_state": 0}
    trained: list = []
    scores = []
    for base, model in (
        (False, module.Sharing(**settings).share(trained)),
        (True, module.Sharing(**settings).share(trained)),
        (True, pretrained.FineTuned(**settings)),
    ):
        if base:
            model.set_params(
                base_estimator=make_pipeline(module.Columns(table), LogisticRegression())
            )
        scores.append(model.use(encoder).fit(X, bank.y).predict_proba(X))
    np.testing.assert_array_equal(scores[1], scores[2])
    assert not np.array_equal(scores[0], scores[1])


def test_each_session_is_cut_before_what_is_to_be_predicted(pretrained, encoded):
    cut, following = pretrained.cut_sessions(encoded, np.random.default_rng(0))
    ends, cuts = encoded.session_lengths.cumsum(), cut.session_lengths.cumsum()
    assert (cut.session_lengths < encoded.session_lengths).all()  # all have three or more
    for s, (length, end, at) in enumerate(zip(cut.session_lengths, ends, cuts, strict=True)):
        first = end - encoded.session_lengths[s]
        assert following[s] == first + length
        np.testing.assert_array_equal(
            cut.behavior[at - length : at], encoded.behavior[first : first + length]
        )
    np.testing.assert_array_equal(cut.n_sessions, encoded.n_sessions)


def test_the_two_parts_are_of_one_user_and_share_nothing(pretrained, encoded):
    early, late = pretrained.halve_histories(encoded, np.random.default_rng(0))
    long_enough = encoded.n_sessions > 1
    np.testing.assert_array_equal(
        early.n_sessions + late.n_sessions, encoded.n_sessions[long_enough]
    )
    assert min(early.n_sessions.min(), late.n_sessions.min()) == 1
    # One after the other, the parts are the history.
    starts = [np.cumsum(n) - n for n in (encoded.n_sessions, early.n_sessions, late.n_sessions)]
    for part, user in enumerate(np.flatnonzero(long_enough)):
        sessions = [
            encoded.session_lengths[starts[0][user] :][: encoded.n_sessions[user]],
            early.session_lengths[starts[1][part] :][: early.n_sessions[part]],
            late.session_lengths[starts[2][part] :][: late.n_sessions[part]],
        ]
        np.testing.assert_array_equal(np.concatenate(sessions[1:]), sessions[0])
    kept = np.repeat(np.repeat(long_enough, encoded.n_sessions), encoded.session_lengths)
    for name in ("behavior", "interval", "monthday"):
        both = np.concatenate([getattr(early, name), getattr(late, name)])
        np.testing.assert_array_equal(np.sort(both), np.sort(getattr(encoded, name)[kept]))


def test_the_habit_before_a_session_is_that_of_the_sessions_before(pretrained):
    generator = torch.Generator().manual_seed(0)
    habit = pretrained.UserItemAwareGRU(3, 0, 4)
    habit.reset_parameters(generator)
    sizes = [3, 2, 2]
    x = torch.randn(sum(sizes), 3, generator=generator)
    before = pretrained.habits_before(habit, x, sizes)
    assert (before[:3] == 0).all()
    none = torch.empty(3, 0)
    torch.testing.assert_close(before[3:5], habit(x[:3], none, sizes[:1])[:2])
    torch.testing.assert_close(before[5:], habit(x[:5], none, sizes[:2])[:2])


def test_a_network_starts_from_what_was_pretrained(pretrained, bank, front, histories):
    sessionizer, abstractor = front
    found = pretrained.pretrain(histories, max_epochs=1)
    X = attach_behaviors(bank.applications, bank.events)
    X = sessionizer.fit_transform(abstractor.transform(X))
    settings = {"n_estimators": 1, "max_epochs": 1, "teacher": None, "random_state": 0}
    model = pretrained.FineTuned(**settings).use(found.encoder, found.module, lr=0.0)
    with pytest.warns(UserWarning, match="Only"):  # few rows
        model.fit(X, bank.y)
    assert model.vocabulary_ is found.encoder.vocabulary_
    trained = dict(found.module.named_parameters())
    for name, weight in model.net_.module_.named_parameters():
        part = name.partition(".")[0]
        if part not in pretrained.PARTS or name == "habit.w_context":
            continue
        torch.testing.assert_close(weight.detach(), trained[name].detach(), rtol=0, atol=0)
    start = pretrained.PretrainedBehaviorsStart(ColdStart(0.0), None, 0.1)
    assert start.rates(0.02) == []


def test_one_network_on_trees_is_blended_from_the_scores_of_the_two(pretrained):
    """As `HUIHENClassifier` does, which would fit both once more."""
    module = importlib.import_module("pretraining")
    bank = module.Bank(module.Setting("A", 0.3, 4, 60, 1, 8, 1, False), 60, 30, 0)
    arm = f"{module.ON_TREES}{module.BOTH}, contrast"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few rows call for many
        blended = bank.score(arm, 60)
        base = make_pipeline(module.Columns(bank._columns(arm, 60)), module.make_trees())
        model = bank._network().use(bank.encoder).set_params(base_estimator=base)
        model.fit(bank.sessions[:60], bank.y[:60])
    whole = model.predict_proba(bank.sessions[60:])[:, 1]
    np.testing.assert_allclose(blended, whole, rtol=1e-5)
    known = {name: bank._columns(name, 60) for name in (module.TREES_KNOWN, arm)}
    n_vectors = bank.vectors("contrast").shape[1]
    assert known[arm].shape[1] == known[module.TREES_KNOWN].shape[1] + 4 + n_vectors


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Run a script in this process, which has loaded everything."""
    for folder in ("benchmarks", "evidence"):
        monkeypatch.syspath_prepend(ROOT / folder)

    def run(path: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        runpy.run_path(str(ROOT / path), run_name="__main__")
        return capsys.readouterr().out

    return run


# At sizes as small as these they may warn, as they may in processes of their own.
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_second_run_measures_nothing_and_writes_the_page(run_script, tmp_path):
    script = ("evidence/pretraining.py", "--small", "--output", tmp_path)
    run_script(*script, "--constant")
    results = (tmp_path / "pretraining.csv").read_text()
    assert results.count("HUIHEN on LightGBM") == 4
    few = ("--histories", 150, "--epochs", 1)
    folders = ("--output", tmp_path, "--images", tmp_path)
    run_script("evidence/pretraining_neighbors.py", *few, *folders)
    run_script(
        "benchmarks/speed_of_pretraining.py",
        "--histories",
        100,
        "--rounds",
        1,
        "--output",
        tmp_path,
    )
    run_script(*script, "--constant", "--page", tmp_path / "page.md")
    assert (tmp_path / "pretraining.csv").read_text() == results
    page = (tmp_path / "page.md").read_text()
    for text in ("with a constant field", "events a second", "who behaves alike"):
        assert text in page
    assert (tmp_path / "pretraining.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_public_lenders_learn_from_their_own_rows(run_script, data_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SKHUIHEN_DATA", str(data_folder("superlender").parent))
    options = ("--rows", 150, "--epochs", 1, "--data", "superlender", "--output", tmp_path)
    run_script("evidence/pretraining_real.py", *options)
    folds = pd.read_csv(tmp_path / "own_rows.csv")
    assert folds.groupby("arm")["fold"].nunique().eq(5).all()
    assert folds["auc"].between(0, 1).all()


def test_the_page_is_that_of_the_results_beside_it(pretrained, tmp_path):
    docs = ROOT / "docs"
    module = importlib.import_module("pretraining")
    module.write_page(docs / "evidence" / "pretraining", tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == (docs / "pretraining_measured.md").read_text()


@pytest.fixture
def script(pretrained):
    return importlib.import_module("pretraining")


def results_of(module, gains, best="HUIHEN, behaviors known", bank="A", size=2000):
    """Return results where the form named beforehand has these gains, by repetition."""
    setting = module.Setting(bank, 0.3, 20, 100, 4, 30, 1, False)._asdict()
    about = setting | {"size": size, "best_auc": 0.7, "seconds": 1.0, "pretraining_seconds": 2.0}
    rows = [
        about | {"repetition": repetition, "arm": arm, "expected_auc": auc, "commit": "a"}
        for repetition, gain in enumerate(gains)
        for arm, auc in (
            *((module.ON_TREES, 0.58), (best, 0.6)),
            (module.NAMED, 0.6 + gain),
        )
    ]
    return pd.DataFrame(rows)


def test_the_verdict_names_banks_and_tells_missed_from_not_measured(script):
    reached = results_of(script, [0.005, 0.006, 0.007])
    missed = results_of(script, [0.001, 0.002, 0.003], bank="B")
    few = results_of(script, [0.02, 0.02], bank="B")
    told = script.conclude(reached)
    assert 'contrast", the form named beforehand, reaches 0.005' in told
    assert "Bank A, 30.0% overdue, 100 histories: +0.0060 (+0.0035 to +0.0085), 3 repet" in told
    assert told.endswith("So it deserves a public name.")
    told = script.conclude(pd.concat([reached, missed]))
    assert "reaches" in told
    assert "misses 0.005" in told
    assert told.endswith("has no public name.")
    told = script.conclude(few)
    assert "is not measured. It lacks repetitions at Bank B, 30.0% overdue, 100" in told
    assert "(2 of 3)" in told
    assert "misses" not in told
    without = reached[reached["arm"] != script.NAMED]
    assert "is not measured" in script.conclude(without)


def test_the_table_names_the_best_other_model_and_has_intervals(script):
    results = results_of(script, [0.005, 0.006, 0.007], best=script.PLAIN)
    results.loc[results["arm"] == script.ON_TREES, "seconds"] = np.nan
    # The best on a single repetition is not the best of all.
    once = results[:1].assign(arm=script.TREES, expected_auc=0.9)
    results = pd.concat([results, once])
    table = script.tell(results).set_index("arm")
    assert "HUIHEN, default" not in table.index
    row = table.loc[script.NAMED]
    assert row["compared with"] == "HUIHEN, one network"
    assert row["over the best without"] == "+0.0060 (+0.0035 to +0.0085)"
    assert table.loc[script.ON_TREES, "seconds"] == "not measured"
    assert "commit" not in table
    assert "commit" in script.tell(pd.concat([results, once.assign(size=500, commit="b")]))
    single = script.tell(results[results["repetition"] == 0]).set_index("arm").loc[script.NAMED]
    assert single["gain by the weights"] == "+0.0250"
    with pytest.raises(ValueError, match="Two results"):
        script.tell(pd.concat([results, once]))


def test_probes_of_different_banks_are_apart(script):
    about = script.Setting("A", 0.3, 20, 100, 4, 30, 1, False)._asdict()
    r2 = dict.fromkeys(script.PLANTED, 0.5)
    rows = [
        about | r2 | {"columns": "topics", "repetition": 0},
        about | r2 | {"columns": "topics", "repetition": 1, "habit": 0.7},
        about | r2 | {"columns": "calendar columns", "bank": "B", "repetition": 0},
    ]
    table = script.tell_probes(pd.DataFrame(rows))
    assert list(table.index) == ["Bank A, 30.0% overdue", "Bank B, 30.0% overdue"]
    assert list(table["repetitions"]) == ["2", "1"]
    assert list(table["habit"]) == ["0.60", "0.50"]


def test_folds_of_other_numbers_of_rows_are_apart(script):
    about = {"data": "uci", "epochs": 4, "networks": 1, "repetition": 0, "fold": 0}
    about |= {"arm": script.TREES_KNOWN, "seconds": 1.0, "pretraining_seconds": 0.0}
    found = pd.DataFrame([about | {"rows": n, "auc": n / 1000} for n in (600, 700)])
    table = script.tell_folds(found)
    assert list(table["applications"]) == ["600", "700"]
    assert list(table["AUC"]) == ["0.6000", "0.7000"]
    with pytest.raises(ValueError, match="Two results"):
        script.tell_folds(pd.concat([found, found]))


def test_a_second_run_writes_the_probes_that_lack_and_refuses_other_test_rows(
    script, tmp_path, monkeypatch
):
    best, measured = [0.7], []

    class Bank:
        def __init__(self, setting, n_train, n_test, seed):
            self.setting, self.seed, self.best = setting, seed, best[0]

        def measure(self, arm, size):
            measured.append(arm)
            known = {"best_auc": self.best, "seconds": 1.0, "pretraining_seconds": 0.0}
            return {"expected_auc": 0.6} | known

    def probes(bank, losses):
        names = ["calendar columns", *(f"vectors, {loss}" for loss in losses)]
        return pd.DataFrame(dict.fromkeys(script.PLANTED, 0.5), index=names)

    monkeypatch.setattr(script, "Bank", Bank)
    monkeypatch.setattr(script, "probes", probes)
    arms = [script.TREES_KNOWN, "LightGBM, with vectors, contrast"]
    arguments = Namespace(
        **{"output": tmp_path, "bank": ["A"], "rate": 0.3, "max_sessions": 4, "unlabelled": [10]},
        **{"width": [8], "networks": 1, "sizes": [50], "arms": arms, "repetitions": 1},
        **{"test": 20, "epochs": 1, "constant": False},
    )
    script.measure(arguments)
    path = tmp_path / "probes.csv"
    written = path.read_text()
    assert list(pd.read_csv(path)["columns"]) == ["calendar columns", "vectors, contrast"]
    for before in (None, "\n".join(written.splitlines()[:-1])):  # all lack, or a single one
        path.unlink() if before is None else path.write_text(before)
        script.measure(arguments)
        assert path.read_text() == written
    assert measured == arms
    best[0] = 0.8
    script.measure(arguments)  # nothing is to be done
    arguments.sizes = [50, 80]
    with pytest.raises(SystemExit, match="other test rows"):
        script.measure(arguments)
    assert measured == arms


def test_the_page_needs_no_probes_and_accepts_two_numbers_of_visits(script, tmp_path):
    folder = ROOT / "docs" / "evidence" / "pretraining"
    shutil.copy(folder / "pretraining.csv", tmp_path)
    results = pd.read_csv(tmp_path / "pretraining.csv")
    results.loc[results["bank"] == "B", "max_sessions"] = 200
    results.to_csv(tmp_path / "pretraining.csv", index=False)
    script.write_page(tmp_path, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "at\nmost 20 or 200 visits" in page
    assert "What the vectors know" not in page


def test_the_page_says_which_optimizer_the_networks_had(script):
    results = results_of(script, [0.0])
    assert script.tell_networks(results).startswith("Networks from before cfc3f3330 have")
    told = script.tell_networks(results.assign(commit="cbeb9fc2f")).replace("\n", " ")
    assert told.startswith("All networks have the former optimizer")
    assert "0.65 for the trees and 0.35 for the network." in told
