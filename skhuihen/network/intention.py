"""SUIE: the Session based User Intention Extract Layer (section 3.4, equations 2 to 7)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skhuihen.network.batch import Batch
from skhuihen.network.fused import TimeAwareScan
from skhuihen.network.recurrence import fill_uniform, packed_scan


class TimeAwareGRU(nn.Module):
    """A GRU that uses the waiting time, the weekday and the day of the month.

    For behavior ``x_t`` of a session, the interval ``d_t`` before it, and time period vectors
    ``w`` (week) and ``m`` (month)::

        u_t = sigmoid(W_u [x_t; h_{t-1}; w; m] + b_u)                       (2)
        r_t = sigmoid(W_r [x_t; h_{t-1}; w; m] + b_r)                       (3)
        p_t = tanh(W_p [x_t; h_{t-1}; w; m; r_t * h_{t-1}] + b_p)           (4)
        T_t = sigmoid(W_m [x_t + sigmoid(Q d_t)] + b_m)                     (5)
        h_t = (1 - u_t) * h_{t-1} + p_t * T_t * u_t                         (6)

    The intention of a session is its last ``h`` (7). Equation 4 is implemented as printed: the
    state enters it both before and after reset. The paper does not state which interval belongs to
    which behavior. Here it is the previous one, and 0 for the first behavior of a session.

    In the paper an amount scales a behavior's vector, and an interval affects one gate. Here
    further numbers ``n_t`` of a behavior can be added, through their own matrix, inside the
    brackets of equations 2 to 5. Without them the equations are those above.

    Parameters
    ----------
    input_dim : int
        Length of a field-wise behavior vector.
    period_dim : int
        Length of a field-wise time period vector.
    hidden_dim : int
        Length of the intention vector.
    log_interval : bool, default=True
        Use ``log1p(d_t)`` instead of seconds in equation 5. Half of the intervals in a banking app
        are longer than 7 s, where the sigmoid of seconds is flat. False gives the paper's literal
        form.
    n_numbers : int, default=0
        Further numbers of each behavior.
    """

    def __init__(
        self,
        input_dim: int,
        period_dim: int,
        hidden_dim: int,
        *,
        log_interval: bool = True,
        n_numbers: int = 0,
    ) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.log_interval = log_interval
        # W_u, W_r, W_p next to each other, split into the columns for [x; w; m], h and r * h.
        self.w_input = nn.Parameter(torch.empty(input_dim + 2 * period_dim, 3 * hidden_dim))
        self.w_state = nn.Parameter(torch.empty(hidden_dim, 3 * hidden_dim))
        self.w_reset = nn.Parameter(torch.empty(hidden_dim, hidden_dim))
        self.bias = nn.Parameter(torch.empty(3 * hidden_dim))
        self.q = nn.Parameter(torch.empty(input_dim))
        self.w_time = nn.Parameter(torch.empty(input_dim, hidden_dim))
        self.b_time = nn.Parameter(torch.empty(hidden_dim))
        # For the inputs of W_u, W_r, W_p and W_m, next to each other.
        self.w_numbers = nn.Parameter(torch.empty(n_numbers, 4 * hidden_dim))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw all weights again."""
        fill_uniform(self, self.hidden_dim, generator)

    def forward(
        self,
        x: Tensor,
        interval: Tensor,
        week: Tensor,
        month: Tensor,
        numbers: Tensor,
        sizes: Sequence[int],
    ) -> Tensor:
        """Return the intention of each session, longest session first.

        Parameters
        ----------
        x : Tensor of shape (n_behaviors, input_dim)
            Field-wise behaviors in packed order.
        interval : Tensor of shape (n_behaviors,)
            Seconds since the previous behavior, 0 for the first of a session.
        week, month : Tensor of shape (n_behaviors, period_dim)
            Field-wise time periods.
        numbers : Tensor of shape (n_behaviors, n_numbers)
        sizes : sequence of int
            Number of sessions still running at each step.

        Returns
        -------
        Tensor of shape (sizes[0], hidden_dim)
        """
        # Everything that does not depend on h is computed for all behaviors at once.
        n = self.hidden_dim
        of_numbers, of_numbers_in_time = (numbers @ self.w_numbers).split([3 * n, n], dim=1)
        gates = torch.addmm(self.bias, torch.cat([x, week, month], dim=1), self.w_input)
        gates = gates + of_numbers
        wait = torch.log1p(interval) if self.log_interval else interval
        passing = torch.sigmoid(wait[:, None] * self.q)
        time_gate = torch.addmm(self.b_time, x + passing, self.w_time) + of_numbers_in_time
        time_gate = torch.sigmoid(time_gate)

        def step(h: Tensor, gate: Tensor, time: Tensor) -> Tensor:
            from_input, from_state = (
                gate.split([2 * n, n], 1),
                (h @ self.w_state).split([2 * n, n], 1),
            )
            u, r = torch.sigmoid(from_input[0] + from_state[0]).chunk(2, 1)
            p = torch.tanh(torch.addmm(from_input[1] + from_state[1], r * h, self.w_reset))
            return h + u * (p * time - h)

        return packed_scan(step, [gates, time_gate], sizes, x.new_zeros(sizes[0], n))

    def forward_fused(self, behaviors: Tensor, week: Tensor, month: Tensor, batch: Batch) -> Tensor:
        """Return the same as `forward`, faster (see `skhuihen.network.fused`).

        Parameters
        ----------
        behaviors : Tensor of shape (n_distinct, input_dim)
            Field-wise vector of each distinct behavior.
        week : Tensor of shape (7, period_dim)
        month : Tensor of shape (31, period_dim)
            Field-wise vector of each weekday and of each day of the month.
        batch : Batch

        Returns
        -------
        Tensor of shape (n_sessions, hidden_dim)
        """
        n = self.hidden_dim
        w_behavior, w_week, w_month = self.w_input.split(
            [behaviors.shape[1], week.shape[1], month.shape[1]]
        )
        by_behavior = torch.cat([behaviors @ w_behavior, behaviors @ self.w_time], dim=1)
        by_day = (week @ w_week)[:, None] + (month @ w_month + self.bias)
        by_day = torch.cat([by_day, self.b_time.expand(len(week), len(month), n)], dim=2)
        return TimeAwareScan.apply(
            by_behavior.view(-1, 4, n).transpose(0, 1),
            by_day.view(-1, 4, n).transpose(0, 1),
            self.q,
            self.w_time,
            *self.w_state.split(n, dim=1),
            self.w_reset,
            self.w_numbers.view(-1, 4, n).transpose(0, 1),
            batch.behavior,
            batch.scale,
            batch.weekday * len(month) + batch.monthday,
            torch.log1p(batch.interval) if self.log_interval else batch.interval,
            batch.numbers,
            batch.behavior_steps,
        )
