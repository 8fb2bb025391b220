"""The start of a network: the log-odds of overdue, or the weights of step one of a warm start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skhuihen.network.huihen import HUIHEN


def log_odds_of(y: NDArray[Any], weight: NDArray[np.floating]) -> float:
    """Return the log-odds of overdue from labels or probabilities."""
    rate = float(np.average(y, weights=weight))
    return float(np.log(rate) - np.log1p(-rate))


@dataclass(frozen=True)
class ColdStart:
    """A network of random weights that starts at the log-odds of overdue.

    Attributes
    ----------
    log_odds : float
        The log-odds of overdue in the training rows.
    """

    log_odds: float

    def start(self, module: HUIHEN) -> None:
        """Set a new network to give these log-odds to every application."""
        module.interaction.start_at(self.log_odds)

    def rates(self, lr: float) -> list[tuple[str, dict[str, float]]]:
        """Return no learning rates: all weights have that of the optimizer."""
        return []


@dataclass(frozen=True)
class PretrainedStart:
    """A network that starts from one pre-trained on profiles.

    Attributes
    ----------
    module : HUIHEN
        The pre-trained network.
    old_log_odds, log_odds : float
        The log-odds of overdue in the old rows, and in the new rows.
    lr : float
        Learning rate of the pre-trained weights, in multiples of that of new weights.
    """

    module: HUIHEN
    old_log_odds: float
    log_odds: float
    lr: float

    def start(self, module: HUIHEN) -> None:
        """Copy the pre-trained weights into a new network, and shift its log-odds to the new data.

        The field matrices of the profile and the UPI layers are copied. The columns of T, H and
        the other inputs without profile in the first UPI layer saw only zeros, so only weight
        decay has changed them: they start at zero. So the network starts at the scores of the
        pre-trained one. The last biases then shift by the difference in the log-odds of overdue
        between the old and the new data.
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
        """Return the learning rates by names of weights, as skorch expects them."""
        return [
            ("*.of_vectors", {"lr": lr}),
            ("profile_field_aware.*", {"lr": self.lr * lr}),
            ("interaction.*", {"lr": self.lr * lr}),
        ]
