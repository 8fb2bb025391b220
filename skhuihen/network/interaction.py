"""UPI: the User Property Interaction Layer (section 3.6, equations 13 and 14)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any, cast

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
        # torch's own bernoulli_ draws by another generator before 2.13, and this as it does since.
        chance = torch.rand(x.shape, generator=self.generator, dtype=torch.float64, device=x.device)
        keep = (chance < 1 - self.rate).to(x.dtype)
        return x * keep / (1 - self.rate)


class JoiningLinear(nn.Module):
    """A linear layer that keeps the weights of the first inputs and of the others apart.

    After a warm start the weights of intention and habit are new and those of the profile are
    not; as two parameters, they can be trained at two rates.

    Parameters
    ----------
    n_vectors, n_profile : int
        Length of intention and habit together, and of the field-wise profiles.
    width : int
        Number of outputs.
    """

    def __init__(self, n_vectors: int, n_profile: int, width: int) -> None:
        super().__init__()
        self.of_vectors = nn.Parameter(torch.empty(width, n_vectors))
        self.of_profile = nn.Parameter(torch.empty(width, n_profile))
        self.bias = nn.Parameter(torch.empty(width))

    @property
    def weight(self) -> Tensor:
        """The whole matrix."""
        return torch.cat([self.of_vectors, self.of_profile], dim=1)

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the whole matrix as that of any layer."""
        weight = torch.empty_like(self.weight)
        nn.init.kaiming_uniform_(weight, a=0.5, generator=generator)
        nn.init.zeros_(self.bias)
        with torch.no_grad():
            self.of_vectors.copy_(weight[:, : self.of_vectors.shape[1]])
            self.of_profile.copy_(weight[:, self.of_vectors.shape[1] :])

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs of shape (n, n_vectors + n_profile)."""
        return nn.functional.linear(x, self.weight, self.bias)


class UserPropertyInteraction(nn.Module):
    """The fully connected layers that join intention, habit and profile.

    Each hidden layer is linear, then PReLU with one slope of its own, learned from 0.5
    (equation 14), then dropout. The last layer has two units, and the overdue probability is
    their softmax: equation 13 prints a PReLU and a sigmoid behind the last layer, which for two
    units (section 5.2) would be neither a probability nor free to be negative.

    Parameters
    ----------
    n_vectors : int
        Length of intention, habit and what joins them together.
    n_profile : int
        Length of the field-wise profiles together.
    hidden_units : sequence of int
        Widths of the hidden layers.
    dropout : float
        Rate of the dropout behind each hidden layer.
    """

    def __init__(
        self, n_vectors: int, n_profile: int, hidden_units: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        widths = [*hidden_units, 2]
        linear: list[Any] = [JoiningLinear(n_vectors, n_profile, widths[0])]
        linear += [nn.utils.skip_init(nn.Linear, *sizes) for sizes in pairwise(widths)]
        layers = [[layer, nn.PReLU(init=0.5), Dropout(dropout)] for layer in linear[:-1]]
        self.hidden = nn.Sequential(*chain(*layers))
        self.logits: nn.Linear | JoiningLinear = linear[-1]

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw weights as He et al. (2015) do for PReLU; biases start at 0."""
        for layer in [*self.hidden, self.logits]:
            if isinstance(layer, JoiningLinear):
                layer.reset_parameters(generator)
            elif isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, a=0.5, generator=generator)
                nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.PReLU):
                nn.init.constant_(layer.weight, 0.5)

    @property
    def joint(self) -> JoiningLinear:
        """The layer that intention, habit and profile enter."""
        return cast(JoiningLinear, self.hidden[0] if len(self.hidden) else self.logits)

    def start_at(self, log_odds: float) -> None:
        """Let the log-odds of overdue of an untrained network scatter about a value.

        Overdue is rare: from even odds, hundreds of steps would go into learning just that.
        """
        with torch.no_grad():
            self.logits.bias.copy_(torch.tensor([-log_odds / 2, log_odds / 2]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the two logits of each application, shape (n, 2)."""
        return self.logits(self.hidden(x))
