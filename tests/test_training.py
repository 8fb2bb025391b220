"""How the network is trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skhuihen import HUIHENClassifier
from skhuihen.training import flushing_denormals


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
    model = HUIHENClassifier(max_epochs=1, early_stopping=False, callbacks=[spy])
    model.fit(X, np.arange(20) % 2)
    assert spy.flushed
    assert not flushes()
