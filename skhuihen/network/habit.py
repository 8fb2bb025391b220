"""LHUHE: the Long History based User Habit Extract Layer (section 3.5, equations 8 to 12)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skhuihen.network.fused import UserItemAwareScan
from skhuihen.network.recurrence import fill_uniform, packed_scan


class UserItemAwareGRU(nn.Module):
    """A GRU over intentions that uses the user and the product applied for.

    For intention ``x_t`` and the context ``c = [x_user; x_item]``::

        u_t = sigmoid(W_u [x_t; h_{t-1}; c] + b_u)                  (8)
        r_t = sigmoid(W_r [x_t; h_{t-1}; c] + b_r)                  (9)
        p_t = tanh(W_p [x_t; c; r_t * h_{t-1}] + b_p)               (10)
        h_t = (1 - u_t) * h_{t-1} + p_t * u_t                       (11)

    The habit is the last ``h`` (12). Unlike equation 4, equation 10 uses the state only after
    reset; both are implemented as printed.

    Parameters
    ----------
    input_dim : int
        Length of an intention vector.
    context_dim : int
        Length of the field-wise user and item profiles together; 0 if neither exists.
    hidden_dim : int
        Length of the habit vector.
    """

    def __init__(self, input_dim: int, context_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        # W_u, W_r, W_p next to each other, split into the columns for x, c and h (or r * h).
        self.w_input = nn.Parameter(torch.empty(input_dim, 3 * hidden_dim))
        self.w_context = nn.Parameter(torch.empty(context_dim, 3 * hidden_dim))
        self.w_state = nn.Parameter(torch.empty(hidden_dim, 2 * hidden_dim))
        self.w_reset = nn.Parameter(torch.empty(hidden_dim, hidden_dim))
        self.bias = nn.Parameter(torch.empty(3 * hidden_dim))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw all weights again."""
        fill_uniform(self, self.hidden_dim, generator)

    def forward(self, x: Tensor, context: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the habit of each applicant, those with most sessions first.

        Parameters
        ----------
        x : Tensor of shape (n_sessions, input_dim)
            Intentions in packed order.
        context : Tensor of shape (sizes[0], context_dim)
            Field-wise user and item profiles of each applicant, most sessions first.
        sizes : sequence of int
            Number of applicants whose sessions are still running at each step.

        Returns
        -------
        Tensor of shape (sizes[0], hidden_dim)
        """
        n = self.hidden_dim
        gates = x @ self.w_input
        # The context is the same in all of an applicant's sessions, so one product is enough.
        constant = torch.addmm(self.bias, context, self.w_context)

        def step(h: Tensor, gate: Tensor) -> Tensor:
            update_reset, proposal = (gate + constant.narrow(0, 0, len(h))).split([2 * n, n], 1)
            u, r = torch.sigmoid(torch.addmm(update_reset, h, self.w_state)).chunk(2, 1)
            p = torch.tanh(torch.addmm(proposal, r * h, self.w_reset))
            return h + u * (p - h)

        return packed_scan(step, [gates], sizes, x.new_zeros(sizes[0], n))

    def forward_fused(self, x: Tensor, context: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the same as `forward`, faster (see `skhuihen.network.fused`)."""
        n = self.hidden_dim
        constant = torch.addmm(self.bias, context, self.w_context)
        # The applicants still running at each step are the first ones.
        applicant = torch.cat([torch.arange(size, device=x.device) for size in sizes])
        gates = torch.addmm(constant.index_select(0, applicant), x, self.w_input)
        return UserItemAwareScan.apply(
            *gates.split(n, dim=1), *self.w_state.split(n, dim=1), self.w_reset, sizes
        )
