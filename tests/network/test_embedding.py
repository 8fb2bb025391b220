from __future__ import annotations

import pytest
import torch

from skhuihen.network.embedding import BehaviorEmbedding, PeriodEmbedding


def test_behaviors_of_a_field_stand_side_by_side():
    embedding = BehaviorEmbedding((3, 0, 2), 4)
    embedding.reset_parameters(torch.Generator().manual_seed(0))
    items, transforms, widgets = embedding()
    assert torch.equal(items, embedding.weight[:3])
    assert transforms.shape == (0, 4)
    assert torch.equal(widgets, embedding.weight[3:])


def test_there_is_one_vector_for_each_date():
    embedding = PeriodEmbedding(4)
    embedding.reset_parameters(torch.Generator().manual_seed(0))
    week, month = embedding()
    assert week.shape == (7, 4)
    assert month.shape == (31, 4)
    assert week is embedding.weekday
    assert month is embedding.monthday


@pytest.mark.parametrize("embedding", [BehaviorEmbedding((300, 0, 300), 50), PeriodEmbedding(1000)])
def test_vectors_are_drawn_from_a_narrow_normal(embedding):
    embedding.reset_parameters(torch.Generator().manual_seed(0))
    for name, value in embedding.named_parameters():
        # Five standard errors of 7,000 draws.
        assert abs(float(value.mean().detach())) < 0.006, name
        assert abs(float(value.std().detach()) - 0.1) < 0.005, name
