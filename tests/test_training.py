"""How the network is trained."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback

from skhuihen import HUIHENClassifier
from skhuihen.training import flushing_denormals
from tests.models import STOPPED_EARLY


def flushes() -> bool:
    return bool(torch.tensor([1e-39]) * 1 == 0)


@flushing_denormals()
def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("before", [False, True])
def test_the_mode_of_the_thread_is_put_back(before):
    torch.set_flush_denormal(before)
    try:
        with flushing_denormals():
            assert flushes()
        assert flushes() == before
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert flushes() == before
    finally:
        torch.set_flush_denormal(False)


class Spy(Callback):
    def on_batch_end(self, net, **kwargs):
        self.flushed = flushes()


def test_training_flushes_denormals_and_leaves_the_thread_as_it_was():
    X = np.random.default_rng(0).normal(size=(20, 2))
    spy = Spy()
    model = HUIHENClassifier(max_epochs=1, n_networks=1, callbacks=[spy])
    model.fit(X, np.arange(20) % 2)
    assert spy.flushed
    assert not flushes()


def test_where_no_epoch_improves_on_the_start_it_is_kept():
    """A warm-started network starts at what its student has learned; this rate destroys it."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(400, 3)), columns=["a", "b", "c"])
    y = (X["a"] + 0.3 * rng.normal(size=400) > 0).astype(int)
    model = HUIHENClassifier(
        **STOPPED_EARLY | {"lr": 0.01}, max_epochs=20, dropout=0.0, random_state=3
    )
    model.warm_start_from(X, y, teacher=None, pretrained_lr=1.0)
    student = model.warm_start_student_.predict_proba(X)
    model.set_params(lr=1.0, max_epochs=2).fit(X, y)
    assert model.history_["valid_auc"].max() < 0.9
    np.testing.assert_allclose(model.predict_proba(X), student, atol=1e-5)
