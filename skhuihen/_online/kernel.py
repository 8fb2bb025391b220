"""The two GRUs of `OnlineScorer`, compiled with numba: one pass over the events of one application.

In numpy, each step of a session is a dozen calls, and a call takes longer than what it computes.
Here a state stays in the cache from its first step to its last. The exponential and the hyperbolic
tangent are polynomials (those of the Cephes library, S. L. Moshier), which the compiler turns into
vector instructions, as it cannot do with calls of the C library.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np

#: Allows other orders of sums and fused products, but keeps NaN and infinity.
_FAST = {"contract", "nsz", "arcp", "reassoc"}
#: The number of float32 values that a vector instruction takes; sizes are rounded up to it.
LANES = 8

_F = np.float32  # a Python number would make numba compute in double precision
_ONE, _TWO, _HALF = _F(1), _F(2), _F(0.5)
_LOWEST, _HIGHEST = _F(-87), _F(88)  # where exp is still a normal float32
_LOG2_E, _LN2_HIGH, _LN2_LOW = _F(1.44269504088896341), _F(0.693359375), _F(-2.12194440e-4)
_E0, _E1, _E2 = _F(1.9875691500e-4), _F(1.3981999507e-3), _F(8.3334519073e-3)
_E3, _E4, _E5 = _F(4.1665795894e-2), _F(1.6666665459e-1), _F(5.0000001201e-1)
_T0, _T1, _T2 = _F(-5.70498872745e-3), _F(2.06390887954e-2), _F(-5.37397155531e-2)
_T3, _T4, _SMALL = _F(1.33314422036e-1), _F(-3.33332819422e-1), _F(0.625)


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    return numba.njit(function, fastmath=_FAST, error_model="numpy", **options)


def _inline(function: Callable[..., Any]) -> Any:
    """Compile a function into its callers, which know the sizes."""
    return _compile(function, inline="always")


@_inline
def _exp(x: Any, bits: Any, power: Any, n: int) -> None:
    """Replace the first ``n`` values by their exponentials; ``power`` is a view of ``bits``."""
    for i in range(n):
        value = min(max(x[i], _LOWEST), _HIGHEST)
        exponent = np.floor(value * _LOG2_E + _HALF)
        bits[i] = (np.int32(exponent) + np.int32(127)) << np.int32(23)
        r = value - exponent * _LN2_HIGH - exponent * _LN2_LOW
        p = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
        x[i] = p * r * r + r + _ONE
    for i in range(n):
        x[i] *= power[i]


@_inline
def _tanh(x: Any, twice: Any, bits: Any, power: Any, n: int) -> None:
    """Replace the first ``n`` values by their hyperbolic tangents."""
    for i in range(n):
        twice[i] = _TWO * x[i]
    _exp(twice, bits, power, n)
    for i in range(n):
        value = x[i]
        z = value * value
        near_zero = ((((_T0 * z + _T1) * z + _T2) * z + _T3) * z + _T4) * z * value + value
        elsewhere = _ONE - _TWO / (twice[i] + _ONE)
        x[i] = near_zero if abs(value) < _SMALL else elsewhere


@_inline
def _add_product(h: Any, weights: Any, into: Any, n_rows: int, n_columns: int) -> None:
    """Add ``h @ weights`` to ``into``; ``n_rows`` is a multiple of 8."""
    for row in range(0, n_rows, 8):
        h0, h1, h2, h3 = h[row], h[row + 1], h[row + 2], h[row + 3]
        h4, h5, h6, h7 = h[row + 4], h[row + 5], h[row + 6], h[row + 7]
        for j in range(n_columns):
            into[j] += (
                (h0 * weights[row, j] + h1 * weights[row + 1, j])
                + (h2 * weights[row + 2, j] + h3 * weights[row + 3, j])
            ) + (
                (h4 * weights[row + 4, j] + h5 * weights[row + 5, j])
                + (h6 * weights[row + 6, j] + h7 * weights[row + 7, j])
            )


def padded(array: Any, *axes: int) -> Any:
    """Add zeros at the end of some axes, up to whole vectors."""
    widths = [(0, -size % LANES if axis in axes else 0) for axis, size in enumerate(array.shape)]
    return np.ascontiguousarray(np.pad(array, widths).astype(np.float32))


@lru_cache
def sessions_of(size: int) -> Any:
    """Compile the time-aware GRU for a length of the intention vector (equations 2 to 6).

    Returns
    -------
    callable
        Takes, for each event, the ``number`` of its behavior, the ``scale`` of the behavior's
        vector, the ``day``, ``numbers`` of shape (numbers, events), and what the interval adds to
        the time gate, ``passing`` of shape (networks, events, size); ``lengths``, the number of
        events of each session; and padded weights. Their gates come in the order time, update,
        reset, new, and those of the first three are negative. Writes to ``intentions`` of shape
        (networks, sessions, size).
    """
    full = size + -size % LANES
    two, three, four = 2 * full, 3 * full, 4 * full

    @_compile
    def read(
        number: Any,
        scale: Any,
        day: Any,
        numbers: Any,
        passing: Any,
        lengths: Any,
        by_behavior: Any,
        by_day: Any,
        w_numbers: Any,
        w_state: Any,
        w_reset: Any,
        intentions: Any,
    ) -> None:
        x, h = np.empty(four, np.float32), np.empty(full, np.float32)
        of_state, new, reset = x[full:], x[three:], np.empty(full, np.float32)
        twice, bits = np.empty(full, np.float32), np.empty(three, np.int32)
        power = bits.view(np.float32)
        # One network after the other, so that its weights stay in the fastest cache.
        for k in range(len(w_state)):
            of_h, of_reset = w_state[k], w_reset[k]
            i = 0
            for session in range(len(lengths)):
                h[:] = 0
                for step in range(lengths[session]):
                    behavior, factor, of_day = number[i], scale[i], day[i]
                    for j in range(four):
                        x[j] = by_behavior[behavior, k, j] * factor + by_day[of_day, k, j]
                    for row in range(len(numbers)):
                        value = numbers[row, i]
                        for j in range(four):
                            x[j] += value * w_numbers[k, row, j]
                    for j in range(size):
                        x[j] += passing[k, i, j]
                    if step:  # the first state is zero and adds nothing
                        _add_product(h, of_h, of_state, full, three)
                    _exp(x, bits, power, three)
                    if step:
                        for j in range(full):
                            reset[j] = h[j] / (_ONE + x[two + j])
                        _add_product(reset, of_reset, new, full, full)
                    _tanh(new, twice, bits, power, full)
                    for j in range(full):
                        h[j] += (new[j] / (_ONE + x[j]) - h[j]) / (_ONE + x[full + j])
                    i += 1
                for j in range(size):
                    intentions[k, session, j] = h[j]

    return read


@lru_cache
def habit_of(size: int) -> Any:
    """Compile the user-item-aware GRU for a length of the habit vector (equations 8 to 11).

    Returns
    -------
    callable
        Takes ``gates`` of shape (sessions, 3, networks, size), with the negative update and reset
        gates, and the padded weights of the state. Writes to ``habit`` of shape (networks, size).
    """
    full = size + -size % LANES
    two = 2 * full

    @_compile
    def read(gates: Any, w_state: Any, w_reset: Any, habit: Any) -> None:
        x, new = np.zeros(two, np.float32), np.zeros(full, np.float32)
        h, reset = np.zeros(full, np.float32), np.zeros(full, np.float32)
        bits = np.empty(two, np.int32)
        power = bits.view(np.float32)
        for k in range(gates.shape[2]):
            h[:] = 0
            for session in range(len(gates)):
                x[:] = 0
                new[:] = 0
                for j in range(size):
                    x[j] = gates[session, 0, k, j]
                    x[full + j] = gates[session, 1, k, j]
                    new[j] = gates[session, 2, k, j]
                _add_product(h, w_state[k], x, full, two)
                _exp(x, bits, power, two)
                for j in range(full):
                    reset[j] = h[j] / (_ONE + x[full + j])
                _add_product(reset, w_reset[k], new, full, full)
                _tanh(new, reset, bits, power, full)
                for j in range(full):
                    h[j] += (new[j] - h[j]) / (_ONE + x[j])
            for j in range(size):
                habit[k, j] = h[j]

    return read
