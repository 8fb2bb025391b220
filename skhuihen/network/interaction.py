"""UPI: the User Property Interaction Layer (section 3.6, equations 13 and 14)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout that draws from a generator of its own.

    The stock layer draws from the global random state, which threads share and callers own.

    Parameters
    ----------
    rate : float
        Probability of a unit to be dropped while training.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop units and scale what is left, so that the mean stays the same."""
        if not self.training or self.rate == 0:
            return x
        keep = torch.empty_like(x).bernoulli_(1 - self.rate, generator=self.generator)
        return x * keep / (1 - self.rate)


class UserPropertyInteraction(nn.Module):
    """The fully connected layers that join intention, habit and profile.

    Each hidden layer is linear, then PReLU with one slope of its own, learned from 0.5
    (equation 14), then dropout. The last layer has two units, and the overdue probability is
    their softmax: equation 13 prints a PReLU and a sigmoid behind the last layer, which for two
    units (section 5.2) would be neither a probability nor free to be negative.

    Parameters
    ----------
    input_dim : int
        Length of intention, habit and field-wise profiles together.
    hidden_units : sequence of int
        Widths of the hidden layers.
    dropout : float
        Rate of the dropout behind each hidden layer.
    """

    def __init__(self, input_dim: int, hidden_units: Sequence[int], dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in hidden_units:
            layers += [
                nn.utils.skip_init(nn.Linear, input_dim, width),
                nn.PReLU(init=0.5),
                Dropout(dropout),
            ]
            input_dim = width
        self.hidden = nn.Sequential(*layers)
        self.logits = nn.utils.skip_init(nn.Linear, input_dim, 2)

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw weights as He et al. (2015) do for PReLU; biases start at 0."""
        for layer in [*self.hidden, self.logits]:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, a=0.5, generator=generator)
                nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.PReLU):
                nn.init.constant_(layer.weight, 0.5)

    def start_at(self, log_odds: float) -> None:
        """Let the log-odds of overdue of an untrained network scatter about a value.

        Overdue is rare: from even odds, hundreds of steps would go into learning just that.
        """
        with torch.no_grad():
            self.logits.bias.copy_(torch.tensor([-log_odds / 2, log_odds / 2]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the two logits of each application, shape (n, 2)."""
        return self.logits(self.hidden(x))
