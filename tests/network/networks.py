"""Small networks: T, H and behavior vectors have different lengths, so none passes for another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skhuihen.network.batch import ApplicationDataset, Batch
from skhuihen.network.huihen import HUIHEN
from tests.network.applications import MIXED, Application, as_dataset, draw_applications

BEHAVIORS = (4, 3, 5)
PROFILE = (4, 2, 3)
SMALL: dict[str, Any] = {
    "behavior_dim": 3,
    "intention_dim": 5,
    "habit_dim": 4,
    "hidden_units": (6, 4),
    "mean_intention": False,  # as in the paper
}
SWITCHES = ("time_aware", "user_item_aware", "field_aware", "hierarchical", "log_interval")
ABLATIONS = [{}, *({switch: False} for switch in SWITCHES), {"mean_intention": True}]


def make(profile_sizes: Sequence[int] = PROFILE, *, seed: int = 0, **parameters: Any) -> HUIHEN:
    net = HUIHEN(BEHAVIORS, profile_sizes, **(SMALL | parameters))
    net.reset_parameters(torch.Generator().manual_seed(seed))
    return net


def draw(
    history: Sequence[Sequence[int]] = MIXED,
    profile_sizes: Sequence[int] = PROFILE,
    *,
    hierarchical: bool = True,
    seed: int = 0,
    n_numbers: int = 0,
    n_topics: int = 0,
) -> list[Application]:
    if not hierarchical:
        # Without sessions, all behaviors of an application come as one sequence.
        history = [[sum(lengths)] if lengths else [] for lengths in history]
    sizes = sum(profile_sizes), sum(BEHAVIORS)
    return draw_applications(history, *sizes, seed, n_numbers, n_topics)


def everything(
    applications: Sequence[Application], dtype: type = np.float64
) -> tuple[Batch, Tensor]:
    return as_dataset(applications, dtype).__getitems__(range(len(applications)))


def scores(net: HUIHEN, dataset: ApplicationDataset, rows: Sequence[int]) -> Tensor:
    batch, _ = dataset.__getitems__(rows)
    with torch.no_grad():
        return net.eval()(batch).softmax(1)[:, 1]
