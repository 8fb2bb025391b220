from __future__ import annotations

import numpy as np
import pytest
import torch

from skhuihen.network.field_aware import FieldAware
from tests.network.agreement import assert_agrees
from tests.network.oracle import field_aware, stack


def make(input_dims, *, shared=False):
    module = FieldAware(input_dims, 4, shared=shared).double()
    module.reset_parameters(torch.Generator().manual_seed(0))
    return module


@pytest.mark.parametrize(
    ("input_dims", "shared"), [((3, 5, 1), False), ((3, 3, 3), True), ((6,), False)]
)
def test_equation_1(input_dims, shared):
    module = make(input_dims, shared=shared)
    rng = np.random.default_rng(0)
    fields = [rng.normal(size=(n, dim)) for n, dim in zip((4, 2, 3), input_dims, strict=False)]

    def slow(p, *fields):
        matrices = [p[f"weights.{0 if shared else i}"].T for i in range(len(fields))]
        return stack(
            [field_aware(w, e) for w, field in zip(matrices, fields, strict=True) for e in field]
        )

    assert_agrees(module, fields, lambda *fields: torch.cat(module(fields)), slow)


def test_a_field_has_a_matrix_of_its_own_unless_shared():
    assert len(make((3, 3, 3)).weights) == 3
    assert len(make((3, 3, 3), shared=True).weights) == 1


def test_a_factor_means_the_same_on_either_side_of_the_matrix():
    module = make((3,))
    rng = np.random.default_rng(0)
    vectors = torch.from_numpy(rng.normal(size=(20, 3)))
    amount = torch.from_numpy(np.log1p(np.abs(rng.normal(size=(20, 1)) * 10 ** rng.uniform(-3, 8))))
    amount[0] = 0
    before, after = module([vectors * amount])[0], module([vectors])[0] * amount
    assert (before > 0).any()
    torch.testing.assert_close(before, after, rtol=1e-14, atol=0)


def test_another_number_of_fields_is_an_error():
    module = make((3, 3, 3))
    with pytest.raises(ValueError, match="zip"):
        module([torch.ones(1, 3, dtype=torch.float64)] * 2)


def test_matrices_are_drawn_as_he_draws_them():
    module = FieldAware((50, 10), 400)
    module.reset_parameters(torch.Generator().manual_seed(0))
    for weight, fan_in in zip(module.weights, (50, 10), strict=True):
        bound = (6 / fan_in) ** 0.5
        assert float(weight.abs().max().detach()) <= bound
        assert float(weight.std().detach()) == pytest.approx(bound / 3**0.5, rel=0.05)
