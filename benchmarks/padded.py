"""HUIHEN written the usual way: sessions padded to one length, histories to one number.

What everybody would write first, and what the library is measured against. It takes the weights
of the library's own network, so that the two can be checked to be equal.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skhuihen.network.batch import ApplicationDataset
from skhuihen.network.huihen import HUIHEN


class PaddedHUIHEN(nn.Module):
    """The same equations on arrays of shape (applications, sessions, behaviors).

    Sequences are padded at their heads and the state stays zero there, so that nothing but time
    and memory differs from the packed network.
    """

    def __init__(self, net: HUIHEN) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the two logits of each application."""
        net = self.net
        user, device, item = net.map_profile(batch["profile"])
        table = net.map_distinct_behaviors()
        x = table[batch["behavior"]] * batch["scale"][..., None]
        week, month = net.period_field_aware(net.period_embedding())
        present = batch["behavior"] >= 0
        n, n_sessions, _ = present.shape
        intention = self._read_sessions(
            x.flatten(0, 1),
            batch["interval"].flatten(0, 1),
            week[batch["weekday"]].flatten(0, 1),
            month[batch["monthday"]].flatten(0, 1),
            present.flatten(0, 1),
        ).view(n, n_sessions, -1)
        context = torch.cat([field for field in (user, item) if field is not None], dim=1)
        habit = self._read_habit(intention, context, present.any(dim=2))
        profiles = [field for field in (user, device, item) if field is not None]
        return net.interaction(torch.cat([intention[:, -1], habit, *profiles], dim=1))

    def _read_sessions(
        self, x: Tensor, interval: Tensor, week: Tensor, month: Tensor, present: Tensor
    ) -> Tensor:
        gru = self.net.intention
        n = gru.hidden_dim
        h = x.new_zeros(len(x), n)
        for t in range(x.shape[1]):
            gates = torch.cat([x[:, t], week[:, t], month[:, t]], dim=1) @ gru.w_input + gru.bias
            wait = torch.log1p(interval[:, t]) if gru.log_interval else interval[:, t]
            passing = torch.sigmoid(wait[:, None] * gru.q)
            time = torch.sigmoid((x[:, t] + passing) @ gru.w_time + gru.b_time)
            of_state = h @ gru.w_state
            u = torch.sigmoid(gates[:, :n] + of_state[:, :n])
            r = torch.sigmoid(gates[:, n : 2 * n] + of_state[:, n : 2 * n])
            p = torch.tanh(gates[:, 2 * n :] + of_state[:, 2 * n :] + (r * h) @ gru.w_reset)
            new = (1 - u) * h + p * time * u
            h = torch.where(present[:, t, None], new, h)
        return h

    def _read_habit(self, intention: Tensor, context: Tensor, present: Tensor) -> Tensor:
        gru = self.net.habit
        n = gru.hidden_dim
        h = intention.new_zeros(len(intention), n)
        for t in range(intention.shape[1]):
            gates = intention[:, t] @ gru.w_input + context @ gru.w_context + gru.bias
            of_state = h @ gru.w_state
            u = torch.sigmoid(gates[:, :n] + of_state[:, :n])
            r = torch.sigmoid(gates[:, n : 2 * n] + of_state[:, n:])
            p = torch.tanh(gates[:, 2 * n :] + (r * h) @ gru.w_reset)
            new = (1 - u) * h + p * u
            h = torch.where(present[:, t, None], new, h)
        return h


def pad(
    dataset: ApplicationDataset, rows: Sequence[int], max_sessions: int, max_behaviors: int
) -> dict[str, Tensor]:
    """Lay out applications in padded arrays, filled at the heads; -1 stands for no behavior."""
    behaviors = dataset.behaviors
    first_session = behaviors.n_sessions.cumsum() - behaviors.n_sessions
    start = behaviors.session_lengths.cumsum() - behaviors.session_lengths
    shape = len(rows), max_sessions, max_behaviors
    numbers, indices = ("scale", "interval"), ("behavior", "weekday", "monthday")
    batch = {name: torch.zeros(shape) for name in numbers}
    batch |= {name: torch.zeros(shape, dtype=torch.int64) for name in indices}
    batch["behavior"].fill_(-1)
    for i, row in enumerate(rows):
        count = behaviors.n_sessions[row]
        for k in range(count):
            session = first_session[row] + k
            length = behaviors.session_lengths[session]
            here = slice(start[session], start[session] + length)
            for name, values in batch.items():
                flat = torch.tensor(getattr(behaviors, name)[here])
                values[i, max_sessions - count + k, max_behaviors - length :] = flat
    batch["profile"] = torch.from_numpy(dataset.profile[list(rows)])
    return batch
