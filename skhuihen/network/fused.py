"""The fast form of the recurrent layers, with a hand-written gradient.

Autograd would record every product and every gate of every step. Here one function runs a whole
layer and keeps only gates and states. Its gradient goes back through the steps once; for the two
layers of HUIHEN it needs no further array of batch size. The plain form of the same equations is
in `skhuihen.network.intention` and `skhuihen.network.habit`, and in torch for the traditional GRU.
Tests compare the two forms.

Every gate has its own array: elementwise operations on slices of a shared array are several times
slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag, hardshrink

#: Gradients by a state are set to 0 if they are closer to 0 than this. They fade on their way back
#: through a history, and below 1e-38 each product takes a processor up to ten times as long.
#: Nothing can be learned from them, because Adam adds at least 1e-8 to the denominator.
FADED = 1e-20


class Gates(NamedTuple):
    """The inputs of the gates, or their values, or the gradients by either.

    Each is a Tensor of shape (n_positions, hidden_dim), in packed order.
    """

    update: Tensor
    reset: Tensor
    proposal: Tensor
    #: For equation 5; None in a GRU without a time gate.
    time: Tensor | None = None


class StateWeights(NamedTuple):
    """The matrices multiplied by the state, each of shape (hidden_dim, hidden_dim)."""

    update: Tensor
    reset: Tensor
    #: For the state that enters the proposal after reset.
    after_reset: Tensor
    #: For the state that enters the proposal without reset (equation 4), or None.
    plain: Tensor | None = None

    def zeros(self) -> StateWeights:
        """Return matrices of the same shapes, for gradients."""
        return StateWeights(*(None if w is None else torch.zeros_like(w) for w in self))  # type: ignore[arg-type]


def scan(gates: Gates, weights: StateWeights, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Run all steps of a layer from zero states.

    Parameters
    ----------
    gates : Gates
        Update, reset and proposal hold their inputs other than the state, and are overwritten with
        their values; the time gate holds its values.
    weights : StateWeights
    sizes : sequence of int
        Number of sequences still running at each step; never increasing.

    Returns
    -------
    last : Tensor of shape (sizes[0], hidden_dim)
        The last state of each sequence, longest first.
    states : Tensor of shape (n_positions, hidden_dim)
        The state before each position.
    """
    states = torch.empty_like(gates.update)
    last = states.new_empty(sizes[0], states.shape[1])
    h = states[: sizes[0]].zero_()
    start = 0
    for size, running in zip(sizes, [*sizes[1:], 0], strict=True):
        stop = start + size
        u, r, p = (gate[start:stop] for gate in gates[:3])
        if start:  # the first state is zero and adds nothing
            u.addmm_(h, weights.update)
            r.addmm_(h, weights.reset)
            if weights.plain is not None:
                p.addmm_(h, weights.plain)
        torch.sigmoid_(u)
        torch.sigmoid_(r)
        if start:
            p.addmm_(r * h, weights.after_reset)
        torch.tanh_(p)
        new = torch.lerp(h, p if gates.time is None else p * gates.time[start:stop], u)
        last[running:size] = new[running:]
        h = states[stop : stop + running].copy_(new[:running])
        start = stop
    return last, states


def reverse(
    by_last: Tensor,
    gates: Gates,
    states: Tensor,
    weights: StateWeights,
    by_weights: StateWeights,
    sizes: Sequence[int],
) -> Iterator[tuple[slice, Gates]]:
    """Go back through the steps of `scan`.

    Parameters
    ----------
    by_last : Tensor of shape (sizes[0], hidden_dim)
        Gradient by the last states.
    gates : Gates
        Values of the gates.
    states : Tensor of shape (n_positions, hidden_dim)
    weights : StateWeights
    by_weights : StateWeights
        The gradients by the weights are added to these.
    sizes : sequence of int

    Yields
    ------
    here : slice
        The positions of a step, the last step first.
    by_gates : Gates
        Gradients there, by the inputs of the gates (for the time gate, of its sigmoid).
    """
    stop = len(states)
    grad = by_last[:0]
    for size in reversed(sizes):
        here = slice(stop - size, stop)
        stop = here.start
        # Sequences that end here join those still running.
        grad = torch.cat([grad, by_last[len(grad) : size]])
        u, r, p = (gate[here] for gate in gates[:3])
        h = states[here]
        by_new = grad * u
        kept = grad - by_new
        if gates.time is None:
            by_time = None
            by_u = (p - h).mul_(u).mul_(kept)
            by_p = torch.addcmul(by_new, by_new * p, p, value=-1)
        else:
            time = gates.time[here]
            by_u = (p * time).sub_(h).mul_(u).mul_(kept)
            by_p = by_new * time
            by_timed = by_p * p
            by_time = torch.addcmul(by_timed, by_timed, time, value=-1)
            by_p.addcmul_(by_timed, p, value=-1)
        if not stop:
            yield here, Gates(by_u, torch.zeros_like(by_u), by_p, by_time)
            return
        by_reset_state = by_p @ weights.after_reset.T
        reset_state = r * h
        by_r = torch.addcmul(reset_state, reset_state, r, value=-1).mul_(by_reset_state)
        grad = kept.addcmul_(by_reset_state, r)
        grad.addmm_(by_u, weights.update.T).addmm_(by_r, weights.reset.T)
        by_weights.update.addmm_(h.T, by_u)
        by_weights.reset.addmm_(h.T, by_r)
        by_weights.after_reset.addmm_(reset_state.T, by_p)
        if weights.plain is not None and by_weights.plain is not None:
            grad.addmm_(by_p, weights.plain.T)
            by_weights.plain.addmm_(h.T, by_p)
        grad = hardshrink(grad, FADED)
        yield here, Gates(by_u, by_r, by_p, by_time)


class TimeAwareScan(torch.autograd.Function):
    """`TimeAwareGRU` with behaviors and periods from tables.

    The contribution of a behavior or period to the gates is a row of a table. Each event then only
    needs products with its state and its interval.
    """

    @staticmethod
    def forward(
        ctx: Any,
        by_behavior: Tensor,
        by_period: Tensor,
        q: Tensor,
        w_time: Tensor,
        w_update: Tensor,
        w_reset: Tensor,
        w_plain: Tensor,
        w_after_reset: Tensor,
        w_numbers: Tensor,
        behavior: Tensor,
        scale: Tensor,
        period: Tensor,
        wait: Tensor,
        numbers: Tensor,
        sizes: Sequence[int],
    ) -> Tensor:
        """Return the last state of each session, longest first.

        Parameters
        ----------
        by_behavior, by_period : Tensor of shape (4, n_rows, hidden_dim)
            Contribution of each row to update, reset, proposal and time gate; the latter table
            includes the biases.
        q, w_time : Tensor of shape (input_dim,) and (input_dim, hidden_dim)
            The parameters of equation 5.
        w_update, w_reset, w_plain, w_after_reset : Tensor of shape (hidden_dim, hidden_dim)
            See `StateWeights`.
        w_numbers : Tensor of shape (4, n_numbers, hidden_dim)
            Contribution of each number to update, reset, proposal and time gate.
        behavior, period : int64 Tensor of shape (n_behaviors,)
            Rows of the tables.
        scale, wait : Tensor of shape (n_behaviors,)
            Factor for the behavior's row; interval as used in equation 5.
        numbers : Tensor of shape (n_behaviors, n_numbers)
        sizes : sequence of int
            Number of sessions still running at each step.
        """
        rows = torch.stack([behavior, period + by_behavior.shape[1]], dim=1)
        factors = torch.stack([scale, torch.ones_like(scale)], dim=1)
        gates = Gates(
            *(
                embedding_bag(rows, table, mode="sum", per_sample_weights=factors)
                for table in torch.cat([by_behavior, by_period], dim=1)
            )
        )
        assert gates.time is not None
        if numbers.shape[1]:
            for gate, w in zip(cast("tuple[Tensor, ...]", gates), w_numbers, strict=True):
                gate.addmm_(numbers, w)
        passing = torch.sigmoid_(wait[:, None] * q)
        torch.sigmoid_(gates.time.addmm_(passing, w_time))
        weights = StateWeights(w_update, w_reset, w_after_reset, w_plain)
        last, states = scan(gates, weights, sizes)
        ctx.save_for_backward(
            *(*gates, states, *weights, w_time, passing),
            *(behavior, scale, period, wait, numbers),
        )
        ctx.sizes = sizes
        ctx.shapes = by_behavior.shape, by_period.shape, w_numbers.shape
        return last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_last: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients by tables and weights."""
        saved = ctx.saved_tensors
        gates, states, weights = Gates(*saved[:4]), saved[4], StateWeights(*saved[5:9])
        w_time, passing, behavior, scale, period, wait, numbers = saved[9:]
        by_behavior, by_period, by_w_numbers = (states.new_zeros(shape) for shape in ctx.shapes)
        by_weights = weights.zeros()
        by_w_time, by_q = torch.zeros_like(w_time), w_time.new_zeros(len(w_time))
        for here, by_gates in reverse(by_last, gates, states, weights, by_weights, ctx.sizes):
            assert by_gates.time is not None
            passed, factor = passing[here], scale[here, None]
            by_w_time.addmm_(passed.T, by_gates.time)
            by_passed = (by_gates.time @ w_time.T).mul_(passed).mul_(1 - passed)
            by_q.addmv_(by_passed.T, wait[here])
            # Unlike +=, index_add_ is reproducible to the bit on two threads.
            for k, by_gate in enumerate(cast("tuple[Tensor, ...]", by_gates)):
                by_period[k].index_add_(0, period[here], by_gate)
                if numbers.shape[1]:
                    by_w_numbers[k].addmm_(numbers[here].T, by_gate)
                by_behavior[k].index_add_(0, behavior[here], by_gate.mul_(factor))
        return (
            *(by_behavior, by_period, by_q, by_w_time),
            *(by_weights.update, by_weights.reset, by_weights.plain, by_weights.after_reset),
            *(by_w_numbers, *(None,) * 6),
        )


class UserItemAwareScan(torch.autograd.Function):
    """`UserItemAwareGRU` without the products that do not depend on its state."""

    @staticmethod
    def forward(
        ctx: Any,
        update: Tensor,
        reset: Tensor,
        proposal: Tensor,
        w_update: Tensor,
        w_reset: Tensor,
        w_after_reset: Tensor,
        sizes: Sequence[int],
    ) -> Tensor:
        """Return the last state of each applicant, those with most sessions first.

        Parameters
        ----------
        update, reset, proposal : Tensor of shape (n_sessions, hidden_dim)
            Inputs of the gates other than the state.
        w_update, w_reset, w_after_reset : Tensor of shape (hidden_dim, hidden_dim)
            See `StateWeights`.
        sizes : sequence of int
            Number of applicants whose sessions are still running at each step.
        """
        gates = Gates(update.clone(), reset.clone(), proposal.clone())
        weights = StateWeights(w_update, w_reset, w_after_reset)
        last, states = scan(gates, weights, sizes)
        ctx.save_for_backward(*gates[:3], states, *weights[:3])
        ctx.sizes = sizes
        return last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_last: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients by the inputs of the gates and by the weights."""
        saved = ctx.saved_tensors
        gates, states, weights = Gates(*saved[:3]), saved[3], StateWeights(*saved[4:])
        by_weights = weights.zeros()
        steps = reverse(by_last, gates, states, weights, by_weights, ctx.sizes)
        by_gates = [by_step[:3] for _, by_step in steps]
        in_order = (torch.cat(gate[::-1]) for gate in zip(*by_gates, strict=True))
        return *in_order, *by_weights[:3], None


class PlainScan(torch.autograd.Function):
    """`torch.nn.GRU` without the products that do not depend on its state.

    Torch's own gradient makes an array of batch size at each step, so its time grows with the
    square of the sequence length.
    """

    @staticmethod
    def forward(
        ctx: Any,
        reset: Tensor,
        keep: Tensor,
        proposal: Tensor,
        w_reset: Tensor,
        w_keep: Tensor,
        w_proposal: Tensor,
        b_proposal: Tensor,
        sizes: Sequence[int],
    ) -> Tensor:
        """Return the last state of each sequence, longest first.

        Parameters
        ----------
        reset, keep, proposal : Tensor of shape (n_positions, hidden_dim)
            Inputs of the gates other than the state.
        w_reset, w_keep, w_proposal : Tensor of shape (hidden_dim, hidden_dim)
            Multiplied by the state.
        b_proposal : Tensor of shape (hidden_dim,)
            Added to the state's part of the proposal before reset.
        sizes : sequence of int
            Number of sequences still running at each step.
        """
        reset, keep, proposal = reset.clone(), keep.clone(), proposal.clone()
        states = torch.empty_like(keep)
        last = states.new_empty(sizes[0], states.shape[1])
        h = states[: sizes[0]].zero_()
        start = 0
        for size, running in zip(sizes, [*sizes[1:], 0], strict=True):
            stop = start + size
            r, z, p = (gate[start:stop] for gate in (reset, keep, proposal))
            inner = b_proposal
            if start:  # the first state is zero and adds nothing
                r.addmm_(h, w_reset)
                z.addmm_(h, w_keep)
                inner = torch.addmm(b_proposal, h, w_proposal)
            torch.sigmoid_(r)
            torch.sigmoid_(z)
            torch.tanh_(p.addcmul_(r, inner))
            new = torch.lerp(p, h, z)
            last[running:size] = new[running:]
            h = states[stop : stop + running].copy_(new[:running])
            start = stop
        ctx.save_for_backward(
            reset, keep, proposal, states, w_reset, w_keep, w_proposal, b_proposal
        )
        ctx.sizes = sizes
        return last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_last: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients by the inputs of the gates, the weights and the bias."""
        r, z, p, states, w_reset, w_keep, w_proposal, b_proposal = ctx.saved_tensors
        # Each gate's gradient as a share of that by the new state, at all positions at once.
        to_p = (1 - z).mul_(1 - p * p)
        to_inner = to_p * r
        to_r = torch.addmm(b_proposal, states, w_proposal).mul_(to_inner).mul_(1 - r)
        to_z = (states - p).mul_(z).mul_(1 - z)
        by_new = torch.empty_like(states)
        stop = len(states)
        grad = by_last[:0]
        for size in reversed(ctx.sizes):
            here = slice(stop - size, stop)
            stop = here.start
            # Sequences that end here join those still running.
            now = torch.cat([grad, by_last[len(grad) : size]], out=by_new[here])
            if not stop:
                break
            grad = (now * z[here]).addmm_(now * to_r[here], w_reset.T)
            grad.addmm_(now * to_z[here], w_keep.T).addmm_(now * to_inner[here], w_proposal.T)
            grad = hardshrink(grad, FADED)
        by_r, by_z, by_inner = to_r.mul_(by_new), to_z.mul_(by_new), to_inner.mul_(by_new)
        return (
            *(by_r, by_z, to_p.mul_(by_new)),
            *(states.T @ by_gate for by_gate in (by_r, by_z, by_inner)),
            *(by_inner.sum(0), None),
        )
