"""The packed scan of both recurrent layers.

Sequences of different lengths are laid out time-major, longest first, as in
`torch.nn.utils.rnn.PackedSequence`: the first elements of all sequences, then the second
elements of those that have one, and so on. Nothing is padded, so no bias or gate is applied to a
position without a behavior, and the work is proportional to the number of behaviors. The paper
pads short sessions at the start with zero vectors (section 5.2), so the gates' biases change the
state before the first behavior. This is the only difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from skhuihen.network.fused import PlainScan


def packed_scan(
    step: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    sizes: Sequence[int],
    initial: Tensor,
) -> Tensor:
    """Run a recurrent cell over packed sequences and return every last state.

    Parameters
    ----------
    step : callable
        ``step(h, *inputs_of_this_step)`` returns the next state, of the shape of ``h``.
    inputs : sequence of Tensor, each of shape (sum(sizes), ...)
        The inputs at each position, in packed order.
    sizes : sequence of int
        Number of sequences still running at each step; never increasing.
    initial : Tensor of shape (sizes[0], hidden_dim)
        The first state of each sequence, longest sequence first.

    Returns
    -------
    Tensor of shape (sizes[0], hidden_dim)
        The last state of each sequence, in the order of ``initial``.
    """
    h = initial
    finished = []
    # split instead of x[t]: indexing would allocate a full-size gradient at every step.
    for size, *xs in zip(sizes, *(x.split(list(sizes)) for x in inputs), strict=True):
        if size < len(h):
            h, done = h.split([size, len(h) - size])
            finished.append(done)
        h = step(h, *xs)
    return torch.cat([h, *reversed(finished)])


class PlainGRU(nn.Module):
    """The traditional GRU of the ablations, on packed input.

    Parameters
    ----------
    input_dim, hidden_dim : int
        Sizes of an element and of the state.
    """

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        # Via "meta": otherwise the constructor draws from the global random state.
        self.gru = nn.GRU(input_dim, hidden_dim, device="meta").to_empty(device="cpu")

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw all weights again."""
        fill_uniform(self, self.hidden_dim, generator)

    def forward(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the last state of each sequence, longest first."""
        packed = nn.utils.rnn.PackedSequence(x, torch.as_tensor(sizes))
        return self.gru(packed)[1][0]

    def forward_fused(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the same as `forward`, faster (see `skhuihen.network.fused`)."""
        n = self.hidden_dim
        w_input, w_state, b_input, b_state = self.gru.parameters()
        b_reset_keep, b_proposal = b_state.split([2 * n, n])
        bias = b_input + torch.cat([b_reset_keep, torch.zeros_like(b_proposal)])
        gates = torch.addmm(bias, x, w_input.T)
        return PlainScan.apply(
            *gates.split(n, dim=1), *w_state.T.split(n, dim=1), b_proposal, sizes
        )


def fill_uniform(module: nn.Module, hidden_dim: int, generator: torch.Generator) -> None:
    """Draw every parameter from U(-1/sqrt(hidden_dim), 1/sqrt(hidden_dim)), like torch's GRU."""
    bound = hidden_dim**-0.5
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
