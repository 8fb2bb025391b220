"""EN: the Embedding and Normalization Layer (section 3.2).

Profiles arrive here encoded and normalized (`skhuihen.preprocessing.ProfileEncoder`); what is
left of this layer is the embedding of behaviors and of time periods.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

N_WEEKDAYS = 7
N_MONTHDAYS = 31
#: Spread of new vectors. With torch's own 1, behaviors drown the profile and are learned by heart
#: (see docs/choices.md); the frameworks of the paper's day start near 0.1.
SPREAD = 0.1


class BehaviorEmbedding(nn.Module):
    """One vector per behavior, the behaviors of one field standing side by side.

    An amount scales the vector of a transform operation: the paper writes
    ``embedding * log(value)``. A logarithm of small or missing amounts is of no use, so the
    factor is ``log1p(|amount|)``, and 1 where there is no amount. It is applied behind the field
    matrix, where it means the same (see `skhuihen.network.field_aware`).

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
