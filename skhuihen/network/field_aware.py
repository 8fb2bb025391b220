"""FAN: the Field Aware Network Layer (section 3.3, equation 1).

Equation 1 is ``relu(w_i e)``, without a bias. Hence ``relu(w_i (a e)) = a relu(w_i e)`` for every
``a >= 0``. Each batch therefore maps the whole embedding tables once, then selects rows and scales
them by amount. This is exact, and saves one product per behavior.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FieldAware(nn.Module):
    """One transformation matrix per field; all fields are mapped to one dimension.

    Parameters
    ----------
    input_dims : sequence of int
        Length of the vectors of each field.
    output_dim : int
        Length of every field-wise vector.
    shared : bool, default=False
        Use one matrix for all fields ("without category" in the paper's Table 5). All input
        dimensions must then be equal.
    """

    def __init__(self, input_dims: Sequence[int], output_dim: int, *, shared: bool = False) -> None:
        super().__init__()
        self.n_fields = len(input_dims)
        self.shared = shared
        dims = input_dims[:1] if shared else input_dims
        self.weights = nn.ParameterList([torch.empty(dim, output_dim) for dim in dims])

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the matrices as He et al. (2015) do for layers with ReLU."""
        for weight in self.weights:
            nn.init.kaiming_uniform_(weight.T, nonlinearity="relu", generator=generator)

    def forward(self, fields: Sequence[Tensor]) -> list[Tensor]:
        """Map the vectors of each field, (n_i, input_dim_i), to (n_i, output_dim)."""
        weights = [self.weights[0]] * self.n_fields if self.shared else self.weights
        return [torch.relu(x @ w) for x, w in zip(fields, weights, strict=True)]
