"""Whether a compiled kernel would be worth it: the scan of sessions in numba, beside ours.

Measured are the steps of all
sessions forward, by `skhuihen.network.fused.scan` and by the same loop compiled, checked to be
equal, and the matrix products of these steps, which torch takes from a tuned library.
"""

from __future__ import annotations

import argparse

import numba
import numpy as np
import pandas as pd
import torch
from measuring import interleaved, report, seconds
from training import BATCH_SIZE, fit
from workload import N_APPLICATIONS, make_prepared

from skhuihen.network.fused import Gates, StateWeights, scan

SIZE = 30
ONE = np.float32(1)  # another one would make numba compute in double precision


@numba.njit(fastmath=True)
def compiled(u, r, p, time, w_u, w_r, w_plain, w_reset, sizes, last):
    """Run all steps, one session after the other, so that its state stays in the cache."""
    n = u.shape[1]
    h, rh, a, b, c = np.empty((5, n), dtype=np.float32)
    for row in range(sizes[0]):
        h[:] = 0
        start = 0
        for size in sizes:
            if row >= size:
                break
            here = start + row
            start += size
            a[:], b[:], c[:] = u[here], r[here], p[here]
            for k in range(n):
                for j in range(n):
                    a[j] += h[k] * w_u[k, j]
                    b[j] += h[k] * w_r[k, j]
                    c[j] += h[k] * w_plain[k, j]
            for j in range(n):
                a[j] = ONE / (ONE + np.exp(-a[j]))
                rh[j] = h[j] / (ONE + np.exp(-b[j]))
            for k in range(n):
                for j in range(n):
                    c[j] += rh[k] * w_reset[k, j]
            for j in range(n):
                h[j] += a[j] * (np.tanh(c[j]) * time[here, j] - h[j])
        last[row] = h


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applications", type=int, default=N_APPLICATIONS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", help="folder for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    X, y = make_prepared(arguments.applications)
    model = fit(X, y)
    dataset = model._encoder.dataset(X, model._encoder.read(X), y)
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(SIZE, SIZE, generator=generator) / 6 for _ in range(4)]
    of_ours = StateWeights(weights[0], weights[1], weights[3], weights[2])
    steps = []
    for start in range(0, len(X), BATCH_SIZE):
        sizes = dataset.__getitems__(range(start, min(start + BATCH_SIZE, len(X))))[
            0
        ].behavior_steps
        steps.append(list(sizes))
    drawn = torch.randn(4, max(map(sum, steps)), SIZE, generator=generator)
    drawn[3].sigmoid_()

    def ours(sizes: list[int]) -> torch.Tensor:
        return scan(Gates(*(gate[: sum(sizes)].clone() for gate in drawn)), of_ours, sizes)[0]

    def in_numba(sizes: list[int]) -> torch.Tensor:
        gates = [gate[: sum(sizes)].clone().numpy() for gate in drawn]
        last = torch.empty(sizes[0], SIZE)
        compiled(*gates, *(w.numpy() for w in weights), np.array(sizes), last.numpy())
        return last

    def products(sizes: list[int]) -> None:
        h = drawn[0]
        for size in sizes:
            for w in weights:
                h[:size] @ w

    for sizes in steps:
        torch.testing.assert_close(in_numba(sizes), ours(sizes), rtol=0, atol=1e-5)
    ways = {"ours": ours, "numba": in_numba, "the matrix products alone": products}
    medians = interleaved(
        {
            name: (lambda way=way: seconds(lambda: [way(sizes) for sizes in steps]))
            for name, way in ways.items()
        },
        arguments.rounds,
    )
    table = pd.DataFrame({"times ours": medians / medians["ours"], "seconds": medians}).round(2)
    lines = [
        f"The steps of all sessions forward, {sum(map(sum, steps)):,} behaviors, one thread, "
        f"medians of {arguments.rounds} rounds; numba {numba.__version__}."
    ]
    report("compiled", "A compiled kernel", lines, table, arguments.output)


if __name__ == "__main__":
    main()
