"""One comparison for all layers: values and gradients against the equations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from tests.network.oracle import Array


def assert_agrees(
    module: nn.Module,
    inputs: Sequence[np.ndarray],
    fast: Callable[..., Tensor],
    slow: Callable[..., Array],
    *,
    tolerance: float = 1e-10,
) -> None:
    """Compare values, and gradients by all parameters and all inputs, in double precision.

    ``fast(*inputs)`` runs the module; ``slow(p, *inputs)`` reads the equations.
    """
    expected = slow(
        {name: value.detach().numpy() for name, value in module.named_parameters()}, *inputs
    )
    fast_inputs = [torch.tensor(x, requires_grad=True) for x in inputs]
    slow_inputs = [torch.tensor(x, requires_grad=True) for x in inputs]
    leaves = {n: v.detach().clone().requires_grad_() for n, v in module.named_parameters()}
    output = fast(*fast_inputs)
    assert output.dtype == torch.float64
    np.testing.assert_allclose(output.detach().numpy(), expected, rtol=0, atol=tolerance)

    # Any weights will do that give each output its own share in each gradient.
    share = torch.from_numpy(np.random.default_rng(1).normal(size=output.shape))
    module.zero_grad()
    for result in (output, slow(leaves, *slow_inputs)):
        # Zeros that depend on no parameter have no gradient to ask for.
        if result.requires_grad:
            (result * share).sum().backward()
    pairs: list[tuple[str, Tensor, Tensor]] = [
        (name, value, leaves[name]) for name, value in module.named_parameters()
    ]
    pairs += [
        (f"input {i}", *pair) for i, pair in enumerate(zip(fast_inputs, slow_inputs, strict=True))
    ]
    for name, value, leaf in pairs:
        np.testing.assert_allclose(
            gradient(value), gradient(leaf), rtol=1e-9, atol=tolerance, err_msg=name
        )


def gradient(x: Tensor) -> np.ndarray:
    return np.zeros(x.shape) if x.grad is None else x.grad.numpy()
