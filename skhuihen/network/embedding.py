"""EN: the Embedding and Normalization Layer (section 3.2).

Profiles are encoded and normalized before (`skhuihen.preprocessing.ProfileEncoder`). This layer
only embeds behaviors and time periods.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

N_WEEKDAYS = 7
N_MONTHDAYS = 31
#: Standard deviation of new vectors. With torch's default of 1, behaviors dominate the profile and
#: are memorized (see docs/choices.md); the frameworks of the paper's time start near 0.1.
SPREAD = 0.1


class BehaviorEmbedding(nn.Module):
    """One vector per behavior, with the behaviors of one field next to each other.

    An amount scales the vector of a transform operation. The paper writes
    ``embedding * log(value)``. This logarithm fails for small or missing amounts, so the factor
    is ``log1p(|amount|)``, and 1 if there is no amount. It is applied after the field matrix,
    which is equivalent (see `skhuihen.network.field_aware`).

    Parameters
    ----------
    field_sizes : sequence of int
        Number of behaviors in each behavior field.
    dim : int
        Length of an embedding vector.
    """

    def __init__(self, field_sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.field_sizes = tuple(field_sizes)
        self.weight = nn.Parameter(torch.empty(sum(self.field_sizes), dim))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the vectors from N(0, 0.1^2)."""
        nn.init.normal_(self.weight, std=SPREAD, generator=generator)

    def forward(self) -> tuple[Tensor, ...]:
        """Return the vectors of each field, each of shape (field size, dim)."""
        return self.weight.split(self.field_sizes)


class PeriodEmbedding(nn.Module):
    """One vector for each weekday (0 is Monday) and for each day of the month (1 to 31).

    Parameters
    ----------
    dim : int
        Length of an embedding vector.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weekday = nn.Parameter(torch.empty(N_WEEKDAYS, dim))
        self.monthday = nn.Parameter(torch.empty(N_MONTHDAYS, dim))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the vectors from N(0, 0.1^2)."""
        nn.init.normal_(self.weekday, std=SPREAD, generator=generator)
        nn.init.normal_(self.monthday, std=SPREAD, generator=generator)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the table of weekdays and the table of month days."""
        return self.weekday, self.monthday
