"""The networks of a model in numpy, or compiled, for a single application."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skhuihen.network.habit import UserItemAwareGRU
from skhuihen.network.huihen import HUIHEN
from skhuihen.network.intention import TimeAwareGRU


def _pack(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int], NDArray[np.int64]]:
    """Pack a few adjacent sequences in the order of `skhuihen.network.batch.pack`.

    Returns
    -------
    index, sizes
        As in that function.
    place : int64 ndarray of shape (sum of lengths,)
        The position of each step in the packed order.
    """
    order = np.argsort(-lengths, kind="stable")
    longest_first = lengths[order]
    step = np.arange(longest_first[0])[:, None]
    runs = step < longest_first
    index = ((np.cumsum(lengths) - lengths)[order] + step)[runs]
    place = np.empty(len(index), np.int64)
    place[index] = np.arange(len(index))
    return index, runs.sum(axis=1).tolist(), place


class Networks:
    """Several networks of the same shape, computed together in numpy.

    For a single application, calling an operation of torch takes longer than computing it, and each
    network would call every operation again. Arrays have the shape (gates, steps, networks, units),
    so that the values of one step of a gate are adjacent in memory.

    A sigmoid is a division by ``1 + exp(-x)``; the weights already include the minus sign.

    The steps of the two GRUs are compiled where numba is installed and the model computes in single
    precision.
    """

    _PARTS = {
        *("profile_field_aware", "behavior_embedding", "behavior_field_aware"),
        *("period_embedding", "period_field_aware", "intention", "habit", "interaction"),
    }

    @classmethod
    def knows(cls, module: Any) -> bool:
        """Return whether this class can compute a network."""
        return (
            type(module) is HUIHEN
            and {name for name, _ in module.named_children()} == cls._PARTS
            and type(module.intention) is TimeAwareGRU
            and type(module.habit) is UserItemAwareGRU
        )

    def __init__(self, modules: list[Any], dtype: np.dtype[Any]) -> None:
        first = modules[0]
        self.n, self.m, self.k = first.intention.hidden_dim, first.habit.hidden_dim, len(modules)
        self.log_interval = first.intention.log_interval
        self.has_mean = bool(first.mean_dim)
        self.dtype = dtype
        n, m = self.n, self.m

        def stack(find: Any) -> NDArray[Any]:
            with torch.inference_mode():
                found = [np.asarray(find(module).cpu()) for module in modules]
            return np.stack(found).astype(dtype)

        def by_behavior(module: Any) -> Any:
            table, gru = module.map_distinct_behaviors(), module.intention
            return torch.cat([table @ gru.w_input[: table.shape[1]], table @ gru.w_time], dim=1)

        def by_day(module: Any) -> Any:
            week, month = module.period_field_aware(module.period_embedding())
            gru, width = module.intention, module.map_distinct_behaviors().shape[1]
            _, w_week, w_month = gru.w_input.split([width, week.shape[1], month.shape[1]])
            days = (week @ w_week)[:, None] + (month @ w_month + gru.bias)
            return days.reshape(-1, 3 * n)

        def by_gate(weights: NDArray[Any], size: int) -> NDArray[Any]:
            """Bring (networks, rows, gates * units) to (gates, rows, networks, units)."""
            shape = (*weights.shape[:2], weights.shape[2] // size, size)
            weights = np.ascontiguousarray(weights.reshape(shape).transpose(2, 1, 0, 3))
            # The update, reset and time gates are sigmoids; the third gate is a tanh.
            weights[[gate for gate in range(len(weights)) if gate != 2]] *= -1
            return weights

        def flat(weights: NDArray[Any]) -> NDArray[Any]:
            return weights.reshape(*weights.shape[:2], weights.shape[2] * weights.shape[3])

        def before_state(weights: NDArray[Any], size: int) -> NDArray[Any]:
            """Bring (networks, units, gates * units) to (gates, networks, units, units)."""
            return np.ascontiguousarray(by_gate(weights, size).transpose(0, 2, 1, 3))

        self.one = np.array(1, dtype)  # faster to add than a Python number
        # (tanh + 1) / 2 @ w is tanh @ (w / 2) plus a constant, which is added to the bias.
        w_time = stack(lambda module: module.intention.w_time) * 0.5
        w_numbers = stack(lambda module: module.intention.w_numbers)
        bias = np.zeros((len(modules), 1, 4 * n), dtype)
        bias[:, 0, 3 * n :] = stack(lambda module: module.intention.b_time) + w_time.sum(axis=1)
        self.by_behavior = flat(by_gate(stack(by_behavior), n))
        self.by_day = flat(by_gate(stack(by_day), n))
        self.w_numbers = flat(by_gate(np.concatenate([w_numbers, bias], axis=1), n))
        self.q = stack(lambda module: module.intention.q).ravel() * 0.5
        self.w_time = -w_time
        self.w_state = before_state(stack(lambda module: module.intention.w_state), n)
        self.w_reset = stack(lambda module: module.intention.w_reset)

        self.h_input = before_state(stack(lambda module: module.habit.w_input), m)
        self.h_context = before_state(stack(lambda module: module.habit.w_context), m)
        self.h_bias = by_gate(stack(lambda module: module.habit.bias)[:, None], m)
        self.h_state = before_state(stack(lambda module: module.habit.w_state), m)
        self.h_reset = stack(lambda module: module.habit.w_reset)
        self.kernel = _Kernel.of(self)

        self.w_profile = [
            stack(lambda module, i=i: module.profile_field_aware.weights[i])
            for i in range(len(first.profile_field_aware.weights))
        ]
        self.layers: list[tuple[NDArray[Any] | None, NDArray[Any]]] = []
        for path, layer in first.interaction.named_modules():
            if path and hasattr(layer, "bias"):
                weight = stack(lambda module, p=path: module.interaction.get_submodule(p).weight)
                bias = stack(lambda module, p=path: module.interaction.get_submodule(p).bias)
                self.layers.append((np.ascontiguousarray(weight.swapaxes(1, 2)), bias[:, None]))
            elif isinstance(layer, torch.nn.PReLU):
                slope = stack(lambda module, p=path: module.interaction.get_submodule(p).weight)
                self.layers.append((None, slope[:, None]))

    def logits(self, profile: NDArray[Any], sizes: tuple[int, ...], *events: Any) -> NDArray[Any]:
        """Return the mean of the networks' two logits.

        Parameters
        ----------
        profile : ndarray of shape (n_columns,)
        sizes : tuple of 3 int
            Number of columns of the user, device and item.
        events
            The arguments of `_read_sessions` and the topics; nothing if there are no behaviors.
        """
        fields: list[Any] = []
        weights = iter(self.w_profile)
        start = 0
        for size in sizes:
            if size:
                field = np.matmul(profile[None, None, start : start + size], next(weights))
                fields.append(np.maximum(field, 0, out=field))
                start += size
            else:
                fields.append(None)
        user, _, item = fields
        present = [field for field in fields if field is not None]
        if events:
            *of_sessions, topics = events
            intention = self._read_sessions(*of_sessions)
            vectors = [intention[:, -1:], self._read_habit(intention, user, item)]
            if self.has_mean:
                vectors.append(intention.mean(axis=1, keepdims=True))
            if len(topics):
                vectors.append(np.broadcast_to(topics, (self.k, 1, len(topics))))
        else:
            joint = self.layers[0][0]
            assert joint is not None
            width = joint.shape[1] - sum(field.shape[2] for field in present)
            vectors = [np.zeros((self.k, 1, width), dtype=self.dtype)]
        x = np.concatenate([*vectors, *present], axis=2)
        for weight, other in self.layers:
            if weight is None:
                np.multiply(x, other, out=x, where=x < 0)
            else:
                x = np.matmul(x, weight)
                x += other
        return np.add.reduce(x, axis=0)[0] / self.k

    def _read_sessions(
        self,
        number: NDArray[np.int64],
        scaled: NDArray[np.int64],
        scale: NDArray[Any],
        interval: NDArray[Any],
        day: NDArray[np.int64],
        numbers: NDArray[Any],
        lengths: NDArray[np.int64],
    ) -> NDArray[Any]:
        """Return the intention of each session, in their order: (networks, sessions, units)."""
        n, k, one = self.n, self.k, self.one
        wait = np.log1p(interval) if self.log_interval else interval
        passing = wait[:, None] * self.q
        np.tanh(passing, out=passing)
        passing = np.matmul(passing.reshape(len(number), k, -1).swapaxes(0, 1), self.w_time)
        if self.kernel is not None:
            factor = np.ones(len(number), self.dtype)
            factor[scaled] = scale
            return self.kernel.intentions(number, factor, day, numbers, passing, lengths)
        index, sizes, place = _pack(lengths)
        # Compute everything that does not depend on h for all events together.
        gates = self.by_behavior.take(number[index], axis=1)
        if len(scaled):
            of_scaled = self.by_behavior.take(number[scaled], axis=1)
            of_scaled *= scale[:, None]
            gates[:, place[scaled]] = of_scaled
        gates[:3] += self.by_day.take(day[index], axis=1)
        # The last number is always 1, so that its weights are the bias of the time gate.
        gates += np.matmul(numbers[:, index].T, self.w_numbers)
        gates = gates.reshape(4, len(index), k, n)
        time = gates[3]
        time += passing[:, index].swapaxes(0, 1)
        np.exp(time, out=time)
        time += one
        gates = gates[:3]
        both_gates = gates[:2]
        updates, resets, news = gates
        buffer = np.empty((3, sizes[0], k, n), dtype=self.dtype)
        again = buffer[0]
        # Views with the networks as the first axis, for matrix products; each step takes a slice.
        of_reset, into, into_again = (
            resets.swapaxes(0, 1),
            buffer.swapaxes(1, 2),
            again.swapaxes(0, 1),
        )
        w_state, w_reset = self.w_state, self.w_reset
        matmul, tanh, exp = np.matmul, np.tanh, np.exp
        add, subtract, divide = np.add, np.subtract, np.divide
        start = 0
        h: Any = None
        for size, running in zip(sizes, [*sizes[1:], 0], strict=True):
            stop = start + size
            update, new = updates[start:stop], news[start:stop]
            if start:
                gate, both, reset = (
                    gates[:, start:stop],
                    both_gates[:, start:stop],
                    resets[start:stop],
                )
                matmul(h.swapaxes(0, 1), w_state, into[:, :, :size])
                add(gate, buffer[:, :size], gate)
                exp(both, both)
                add(both, one, both)
                divide(h, reset, reset)
                matmul(of_reset[:, start:stop], w_reset, into_again[:, :size])
                add(new, again[:size], new)
                tanh(new, new)
                divide(new, time[start:stop], new)
                subtract(new, h, new)
                divide(new, update, new)
                add(new, h, new)
            else:  # the first state is zero and adds nothing
                exp(update, update)
                add(update, one, update)
                tanh(new, new)
                divide(new, time[:stop], new)
                divide(new, update, new)
            h = new[:running]
            start = stop
        return news.take(place[np.cumsum(lengths) - 1], axis=0).swapaxes(0, 1)

    def _read_habit(self, x: NDArray[Any], user: Any, item: Any) -> NDArray[Any]:
        """Return the habit after all sessions: (networks, 1, units)."""
        n_sessions = x.shape[1]
        constant = self.h_bias.transpose(0, 2, 1, 3)
        present = [field for field in (user, item) if field is not None]
        if present:
            constant = constant + np.matmul(np.concatenate(present, axis=2), self.h_context)
        # (sessions, gates, networks, 1, units)
        gates = np.empty((n_sessions, 3, self.k, 1, self.m), dtype=self.dtype)
        gates[:, :, :, 0] = (np.matmul(x, self.h_input) + constant).transpose(2, 0, 1, 3)
        if self.kernel is not None:
            return self.kernel.habit(gates)
        one, h_state, h_reset = self.one, self.h_state, self.h_reset
        update, _, h = gates[0]
        np.exp(update, out=update)
        update += one
        np.tanh(h, out=h)
        h /= update
        added, again = np.empty_like(gates[0, :2]), np.empty_like(h)
        matmul, tanh, exp = np.matmul, np.tanh, np.exp
        add, subtract, divide = np.add, np.subtract, np.divide
        for both, new in zip(gates[1:, :2], gates[1:, 2], strict=True):
            update, reset = both
            matmul(h, h_state, added)
            add(both, added, both)
            exp(both, both)
            add(both, one, both)
            divide(h, reset, reset)
            matmul(reset, h_reset, again)
            add(new, again, new)
            tanh(new, new)
            subtract(new, h, new)
            divide(new, update, new)
            add(new, h, new)
            h = new
        return h


class _Kernel:
    """The two GRUs of some networks, compiled with numba."""

    def __init__(self, networks: Networks, kernel: Any) -> None:
        n, m, k, padded = networks.n, networks.m, networks.k, kernel.padded
        self._n, self._k = n, k

        def by_network(weights: NDArray[Any]) -> NDArray[Any]:
            """Bring (gates, ..., columns) to (..., gates * columns), the time gate first."""
            weights = np.moveaxis(np.roll(weights, 1, axis=0), 0, -2)
            weights = padded(weights, weights.ndim - 1)
            return weights.reshape(*weights.shape[:-2], -1)

        by_day = networks.by_day.reshape(3, -1, k, n)
        no_time = np.zeros_like(by_day[:1])
        self._read_sessions = kernel.sessions_of(n)
        self._of_sessions = (
            by_network(networks.by_behavior.reshape(4, -1, k, n)),
            by_network(np.concatenate([by_day, no_time])),
            by_network(networks.w_numbers.reshape(4, -1, k, n).swapaxes(1, 2)),
            self._of_state(networks.w_state, padded),
            padded(networks.w_reset, 1, 2),
        )
        self._m = m
        self._read_habit = kernel.habit_of(m)
        self._of_habit = (
            self._of_state(networks.h_state, padded),
            padded(networks.h_reset, 1, 2),
        )

    @classmethod
    def of(cls, networks: Networks) -> _Kernel | None:
        """Return the kernel; None where numba is missing or the networks need double precision."""
        if networks.dtype != np.float32:
            return None
        try:
            from skhuihen._online import kernel
        except ImportError:
            return None
        return cls(networks, kernel)

    @staticmethod
    def _of_state(weights: NDArray[Any], padded: Any) -> NDArray[Any]:
        """Bring (gates, networks, rows, columns) to (networks, rows, gates * columns), padded."""
        weights = np.ascontiguousarray(padded(weights, 2, 3).transpose(1, 2, 0, 3))
        return weights.reshape(*weights.shape[:2], -1)

    def intentions(
        self,
        number: NDArray[np.int64],
        scale: NDArray[Any],
        day: NDArray[np.int64],
        numbers: NDArray[Any],
        passing: NDArray[Any],
        lengths: NDArray[np.int64],
    ) -> NDArray[Any]:
        """Return the intention of each session: (networks, sessions, units)."""
        found = np.empty((self._k, len(lengths), self._n), np.float32)
        of_events = (number, scale, day, numbers, passing, lengths)
        self._read_sessions(*of_events, *self._of_sessions, found)
        return found

    def habit(self, gates: NDArray[Any]) -> NDArray[Any]:
        """Return the habit after all sessions: (networks, 1, units)."""
        found = np.empty((self._k, self._m), np.float32)
        self._read_habit(gates[:, :, :, 0], *self._of_habit, found)
        return found[:, None]
