"""What a network starts from: its first odds, or the weights of step one of a warm start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skhuihen.network.huihen import HUIHEN


def log_odds_of(y: NDArray[Any], weight: NDArray[np.floating]) -> float:
    """Return the log-odds of overdue, from labels or probabilities."""
    rate = float(np.average(y, weights=weight))
    return float(np.log(rate) - np.log1p(-rate))


@dataclass(frozen=True)
class ColdStart:
    """A network of random weights that starts at the odds of overdue.

    Attributes
    ----------
    log_odds : float
        Of overdue in the training rows.
    """

    log_odds: float

    def start(self, module: HUIHEN) -> None:
        """Let a new network give these odds to everybody."""
        module.interaction.start_at(self.log_odds)

    def rates(self, lr: float) -> list[tuple[str, dict[str, float]]]:
        """Return the learning rates by names of weights: that of the optimizer for all."""
        return []


@dataclass(frozen=True)
class PretrainedStart:
    """A network that goes on from one that was pre-trained on profiles.

    Attributes
    ----------
    module : HUIHEN
        The pre-trained network.
    old_log_odds, log_odds : float
        Of overdue in the rows that it has learned from, and in the new ones.
    lr : float
        Learning rate of its weights, in multiples of that of new weights.
    """

    module: HUIHEN
    old_log_odds: float
    log_odds: float
    lr: float

    def start(self, module: HUIHEN) -> None:
        """Put the pre-trained weights into a new network, and move its odds to the new data's.

        Taken over are the field matrices of the profile and the UPI layers. In the first of
        these the columns of T, H and what is beside saw zeros, and weight decay alone has moved
        them: they start at zero. So the network starts at the scores of the pre-trained one, but
        for the last biases, which move by what the log-odds of overdue differ between the old and
        the new data.
        """
        with torch.no_grad():
            for part in ("profile_field_aware", "interaction"):
                weights = getattr(module, part).named_parameters()
                trained = dict(getattr(self.module, part).named_parameters())
                for name, weight in weights:
                    if name.endswith("of_vectors"):
                        weight.zero_()
                    else:
                        weight.copy_(trained[name])
            shift = (self.log_odds - self.old_log_odds) / 2
            bias: Any = module.interaction.logits.bias
            bias += torch.tensor([-shift, shift]).to(bias)

    def rates(self, lr: float) -> list[tuple[str, dict[str, float]]]:
        """Return the learning rates by names of weights, as skorch takes them."""
        return [
            ("*.of_vectors", {"lr": lr}),
            ("profile_field_aware.*", {"lr": self.lr * lr}),
            ("interaction.*", {"lr": self.lr * lr}),
        ]
