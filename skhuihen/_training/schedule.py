"""The learning rate schedule: one cycle, updated at each batch."""

from __future__ import annotations

import math
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

#: Share of the training in which the rate rises.
RISING = 0.25
#: The rate starts at this share of its peak and ends at 0.
FIRST = 0.04


def share_of_peak(progress: float) -> float:
    """Return the learning rate as a share of its peak.

    It rises along half a cosine, then falls along another.

    Parameters
    ----------
    progress : float
        From 0 (first batch) to 1 (end).

    Returns
    -------
    float

    References
    ----------
    L. N. Smith and N. Topin, Super-convergence: very fast training of neural networks using large
    learning rates, 2018.

    Examples
    --------
    >>> [round(share_of_peak(progress), 2) for progress in (0, 0.125, 0.25, 0.625, 1)]
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    if progress < RISING:
        return FIRST + (1 - FIRST) * (1 - math.cos(math.pi * progress / RISING)) / 2
    falling = min((progress - RISING) / (1 - RISING), 1.0)
    return (1 + math.cos(math.pi * falling)) / 2


class OneCycle(Callback):
    """Raise the learning rate of each group of weights to its peak, then lower it to 0.

    The peak is the rate of a group when training begins. Progress is counted in rows, because the
    number of batches is not known beforehand if rows are streamed. torch's scheduler of that name
    needs that number, and one peak for all groups or a list of them.
    """

    def on_train_begin(self, net: NeuralNet, X: Any = None, **kwargs: Any) -> None:
        """Store the peaks and the total number of rows."""
        train, _ = net.get_split_datasets(X)
        self._peaks = [group["lr"] for group in net.optimizer_.param_groups]
        self._rows, self._seen = net.max_epochs * len(train), 0

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Set the rate for a batch."""
        if training:
            share = share_of_peak(self._seen / self._rows)
            for group, peak in zip(net.optimizer_.param_groups, self._peaks, strict=True):
                group["lr"] = peak * share
            self._seen += len(batch[0])

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Restore the peaks, for further training."""
        for group, peak in zip(net.optimizer_.param_groups, self._peaks, strict=True):
            group["lr"] = peak
