"""Learning before labels: the experiment in `evidence`, which is not part of the package."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch

from skhuihen import BehaviorAbstractor, HUIHENClassifier, Sessionizer, attach_behaviors
from skhuihen._training.start import ColdStart
from skhuihen.datasets import make_loan_data

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


def test_nothing_after_the_application_is_seen(pretrained, bank, front):
    """Later events change neither what is learned nor the vectors, even if no step cut them off."""
    sessionizer, abstractor = front
    users = bank.unlabelled[["user_id", "applied_at"]]
    later = users.assign(applied_at=users["applied_at"] + pd.Timedelta("60D"))
    whole = attach_behaviors(later, bank.events)
    uncut = sessionizer.set_params(max_sessions=None, max_behaviors=None).fit_transform(
        abstractor.transform(whole)
    )
    uncut["applied_at"] = users["applied_at"]
    past = sessionizer.transform(abstractor.transform(attach_behaviors(users, bank.events)))
    results = []
    for table in (uncut, past):
        found = pretrained.pretrain(table, losses=("contrast", "next"), max_epochs=1)
        results.append([*weights(found), pretrained.Vectors(found).transform(table)])
    assert len(uncut["behaviors"].nest["time"]) > len(past["behaviors"].nest["time"])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


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


def test_the_page_is_that_of_the_results_beside_it(pretrained, tmp_path):
    docs = ROOT / "docs"
    module = importlib.import_module("pretraining")
    module.write_page(docs / "evidence" / "pretraining", tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == (docs / "pretraining_measured.md").read_text()
