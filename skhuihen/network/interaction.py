"""UPI: the User Property Interaction Layer (section 3.6, equations 13 and 14)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout with its own random generator.

    The standard layer uses the global random state, which belongs to the caller and is shared by
    threads.

    Parameters
    ----------
    rate : float
        Probability that a unit is dropped in training.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop units and scale the rest, so that the mean stays the same."""
        if not self.training or self.rate == 0:
            return x
        # torch's own bernoulli_ draws by another generator before 2.13, and this as it does since.
        chance = torch.rand(x.shape, generator=self.generator, dtype=torch.float64, device=x.device)
        keep = (chance < 1 - self.rate).to(x.dtype)
        return x * keep / (1 - self.rate)


class JoiningLinear(nn.Module):
    """A linear layer that stores the weights of the first inputs and of the others separately.

    After a warm start, the weights of intention and habit are new and those of the profile are
    not. As two parameters, they can be trained at two learning rates.

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
        """Initialize the whole matrix like that of any layer."""
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
    """The fully connected layers that combine intention, habit and profile.

    Each hidden layer is linear, then PReLU with its own slope, learned from 0.5 (equation 14), then
    dropout. The last layer has two units; their softmax is the overdue probability. Equation 13
    prints a PReLU and a sigmoid after the last layer. For two units (section 5.2), the result would
    not be a probability, and could not be negative.

    Parameters
    ----------
    n_vectors : int
        Total length of intention, habit and the vectors concatenated with them.
    n_profile : int
        Total length of the field-wise profiles.
    hidden_units : sequence of int
        Widths of the hidden layers.
    dropout : float
        Dropout rate after each hidden layer.
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
        """Draw weights as in He et al. (2015) for PReLU; biases start at 0."""
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
        """The layer whose inputs are intention, habit and profile."""
        return cast(JoiningLinear, self.hidden[0] if len(self.hidden) else self.logits)

    def start_at(self, log_odds: float) -> None:
        """Center the log-odds of overdue of an untrained network at a value.

        Overdue is rare: starting from even odds, hundreds of steps would only learn that.
        """
        with torch.no_grad():
            self.logits.bias.copy_(torch.tensor([-log_odds / 2, log_odds / 2]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the two logits of each application, shape (n, 2)."""
        return self.logits(self.hidden(x))
