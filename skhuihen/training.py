"""How the network is trained: the skorch net and its callbacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from torch import Tensor
from tqdm.auto import tqdm

from skhuihen.network.batch import Batch
from skhuihen.streaming import Batches, find_streamed

#: Applications scored at once: what belongs to them should fit into the cache of a processor.
SCORING_BATCH = 256


class StoppedByCallback(Exception):  # noqa: N818  not an error
    """A callback has asked for the end of training."""


@contextmanager
def flushing_denormals() -> Iterator[None]:
    """Take numbers closer to 0 than 1e-38 for 0 in this thread, and put its mode back.

    Gradients fade on their way back through a history. What is left of them below 1e-38, which
    nothing can be learned from, takes a processor ten times as long as an ordinary number.
    """
    before = bool(torch.tensor([1e-39]) * 1 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


class HUIHENNet(NeuralNet):
    """A skorch net whose data sets give whole batches, with a weight for each application."""

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call the callbacks.

        skorch's callbacks stop training by a KeyboardInterrupt, and skorch takes every other
        one for theirs: Ctrl-C would leave a half-trained network that looks like a whole one.
        """
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt:
            raise StoppedByCallback from None

    def train(self, dataset: Any) -> None:
        """Train until `max_epochs` or until a callback stops it; Ctrl-C is passed on."""
        self.notify("on_train_begin", X=dataset, y=None)
        with flushing_denormals(), suppress(StoppedByCallback):
            self.fit_loop(dataset)
        self.notify("on_train_end", X=dataset, y=None)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return the batches of a data set, which may be streamed."""
        load = partial(super().get_iterator, training=training)
        streamed = find_streamed(dataset)
        if streamed is None:
            return load(dataset)
        if training and not hasattr(self, "_order_of_groups"):
            # One for all calls: `partial_fit` goes on with the order where it was.
            seed = self.get_params_for("iterator_train")["generator"].initial_seed()
            self._order_of_groups = np.random.default_rng(seed)
        return Batches(*streamed, load, self._order_of_groups if training else None)

    def log_odds(self, dataset: Any) -> NDArray[np.float64]:
        """Return the log-odds of overdue of a data set, in its order."""
        self.module_.eval()
        generator = self.get_params_for("iterator_valid")["generator"]
        state = generator.get_state()  # looking must not change how rows are shuffled
        with torch.no_grad():
            logits = [self.infer(x).cpu() for x, _ in self.get_iterator(dataset, training=False)]
        generator.set_state(state)
        by_class = torch.cat(logits).double()
        return (by_class[:, 1] - by_class[:, 0]).numpy()

    def infer(self, x: Batch, **fit_params: Any) -> Tensor:
        """Return the logits of a batch."""
        return self.module_(x.to(self.device), **fit_params)

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Return the weighted mean of the cross entropy (equation 15).

        Weights have mean 1 over all rows of `fit`, not over each batch, so that a batch of
        light applications moves the network less.
        """
        loss = self.criterion_(y_pred, y_true.to(y_pred.device))
        return (loss * X.weight.to(loss.device)).mean()


class ValidationAUC(Callback):
    """Record the AUC on the held-out part at the end of each epoch.

    ``valid_auc`` is the AUC; ``valid_score``, by which training stops, is the same but for a
    sliver of the loss, which decides between epochs of equal AUC. Without labels it is the loss
    alone.
    """

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Forget the epoch before."""
        self._seen: list[tuple[Tensor, ...]] = []

    def on_batch_end(self, net: NeuralNet, batch: Any, training: bool, **kwargs: Any) -> None:
        """Keep scores, labels and weights of held-out batches."""
        if not training:
            x, y = batch
            self._seen.append(_outcome(x, y, kwargs["y_pred"].detach()))

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Write the two scores into the history."""
        if self._seen:
            auc, score = _judge(self._seen, net.history[-1, "valid_loss"])
            if auc is not None:
                net.history.record("valid_auc", auc)
            net.history.record("valid_score", score)
        self._seen = []


def _outcome(x: Batch, y: Tensor, logits: Tensor) -> tuple[Tensor, ...]:
    """Return scores, labels and weights of a batch."""
    label = y if y.ndim == 1 else y[:, 0]  # the guidance stands beside it
    return tuple(values.cpu() for values in (logits[:, 1] - logits[:, 0], label, x.weight))


def _judge(seen: list[tuple[Tensor, ...]], loss: float) -> tuple[float | None, float]:
    """Return the AUC, None where there are no labels, and what training stops by."""
    score, y, weight = (torch.cat(part).numpy() for part in zip(*seen, strict=True))
    if np.isnan(y).any():
        return None, -loss
    score = np.nan_to_num(score)  # a diverged network has no order, so an AUC of 1/2
    auc = roc_auc_score(y, score, sample_weight=weight)
    return auc, auc - 1e-6 * loss


class BestEpoch(EarlyStopping):
    """Early stopping that counts the network as it starts as one of its epochs.

    A warm-started network starts at good scores: where no epoch improves on them, they are kept.
    """

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Judge the network as it starts."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        _, valid = net.get_split_datasets(X)
        if valid is None:
            return
        seen, loss = [], 0.0
        generator = net.get_params_for("iterator_valid")["generator"]
        state = generator.get_state()  # looking must not change how rows are shuffled
        net.module_.eval()
        with torch.no_grad():
            for x, target in net.get_iterator(valid, training=False):
                logits = net.infer(x)
                loss += float(net.get_loss(logits, target, x)) * len(x) / len(valid)
                seen.append(_outcome(x, target, logits))
        generator.set_state(state)
        _, self.dynamic_threshold_ = _judge(seen, loss)
        self.best_epoch_, self.best_model_weights_ = 0, deepcopy(net.module_.state_dict())


class ProgressBar(Callback):
    """Show epochs, losses and AUC in a progress bar.

    Parameters
    ----------
    description : str
        Stands in front of the bar.
    """

    def __init__(self, description: str) -> None:
        self.description = description

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Open the bar."""
        self._bar = tqdm(total=net.max_epochs, desc=self.description, unit="epoch")

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Move the bar on."""
        row = net.history[-1]
        shown = {key: row[key] for key in ("train_loss", "valid_loss", "valid_auc") if key in row}
        self._bar.set_postfix({key: f"{value:.4f}" for key, value in shown.items()})
        self._bar.update()

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close the bar."""
        self._bar.close()
        del self._bar  # it cannot be pickled
