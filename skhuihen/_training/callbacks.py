"""Callbacks of training: AUC on held-out rows, early stopping, the progress bar."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from torch import Tensor
from tqdm.auto import tqdm

from skhuihen.network.batch import Batch


class ValidationAUC(Callback):
    """Record the AUC on the held-out rows at the end of each epoch.

    ``valid_auc`` is the AUC. ``valid_score`` decides when training stops: the AUC minus a tiny
    share of the loss, which breaks ties. Without labels it is minus the loss.
    """

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Forget the previous epoch."""
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
    return tuple(values.cpu() for values in (logits[:, 1] - logits[:, 0], y, x.weight))


def _judge(seen: list[tuple[Tensor, ...]], loss: float) -> tuple[float | None, float]:
    """Return the AUC (None without labels) and the score that early stopping monitors."""
    score, y, weight = (torch.cat(part).numpy() for part in zip(*seen, strict=True))
    if np.isnan(y).any():
        return None, -loss
    score = np.nan_to_num(score)  # a diverged network has an AUC of 1/2
    auc = roc_auc_score(y, score, sample_weight=weight)
    return auc, auc - 1e-6 * loss


class BestEpochOrStart(EarlyStopping):
    """Early stopping that treats the initial network as an epoch.

    For a warm-started network, which starts with good scores: if no epoch improves on them, the
    initial weights are kept. Random weights must not be kept, though few held-out rows may favor
    them by chance.
    """

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Score the initial network."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        _, valid = net.get_split_datasets(X)
        if valid is None:
            return
        seen, loss = [], 0.0
        generator = net.get_params_for("iterator_valid")["generator"]
        state = generator.get_state()  # scoring must not change the shuffling
        net.module_.eval()
        with torch.no_grad():
            for x, target in net.get_iterator(valid, training=False):
                logits = net.infer(x)
                loss += float(net.get_loss(logits, target, x)) * len(x) / len(valid)
                seen.append(_outcome(x, target, logits))
        generator.set_state(state)
        if not seen:
            return  # the first epoch raises with the reason
        _, self.dynamic_threshold_ = _judge(seen, loss)
        self.best_epoch_, self.best_model_weights_ = 0, deepcopy(net.module_.state_dict())


class ProgressBar(Callback):
    """Show epochs, losses, AUC and the maximum time left in a progress bar.

    Parameters
    ----------
    description : str
        Shown in front of the bar.
    n_later : int, default=0
        Number of networks that are trained after this one, each for as many epochs.
    """

    def __init__(self, description: str, n_later: int = 0) -> None:
        self.description = description
        self.n_later = n_later

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Open the bar."""
        self._bar = tqdm(
            total=net.max_epochs,
            desc=self.description,
            unit="epoch",
            # tqdm's own estimate does not allow for early stopping.
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
        )

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Advance the bar."""
        bar, row = self._bar, net.history[-1]
        shown = {key: row[key] for key in ("train_loss", "valid_loss", "valid_auc") if key in row}
        texts = [f"{key}={value:.4f}" for key, value in shown.items()]
        n_done = bar.n + 1
        n_left = net.max_epochs * (1 + self.n_later) - n_done
        if n_left:
            seconds = bar.format_dict["elapsed"] / n_done * n_left
            texts.insert(0, f"time left: at most {bar.format_interval(seconds)}")
        bar.set_postfix_str(", ".join(texts), refresh=False)
        bar.update()

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close the bar; drop epochs that were not run."""
        bar = self._bar
        if bar.n < bar.total:
            bar.set_postfix_str(
                f"stopped early, after {bar.n} of {bar.total} epochs", refresh=False
            )
            bar.total = bar.n
            bar.refresh()
        self.close()

    def close(self) -> None:
        """Close the bar as it is, if it is open."""
        if hasattr(self, "_bar"):
            self._bar.close()
            del self._bar  # it cannot be pickled
