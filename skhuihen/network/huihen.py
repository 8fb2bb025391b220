"""The whole HUIHEN network (section 3.1, Figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from skhuihen.network.batch import Batch
from skhuihen.network.embedding import BehaviorEmbedding, PeriodEmbedding
from skhuihen.network.field_aware import FieldAware
from skhuihen.network.habit import UserItemAwareGRU
from skhuihen.network.intention import TimeAwareGRU
from skhuihen.network.interaction import Dropout, UserPropertyInteraction
from skhuihen.network.recurrence import PlainGRU


class HUIHEN(nn.Module):
    """Hierarchical User Intention-Habit Extract Network.

    Parameters
    ----------
    behavior_sizes : sequence of 3 int
        Number of item clicks, transform operations and function widgets with a vector.
    profile_sizes : sequence of 3 int
        Number of encoded columns of the user, device and item profiles. The network omits fields
        without columns.
    behavior_dim : int, default=10
        Length of behavior, time period and field-wise profile vectors.
    intention_dim, habit_dim : int, default=30
        Length of the intention T and of the habit H.
    hidden_units : sequence of int, default=(50, 25)
        Widths of the interaction layer.
    dropout : float, default=0.4
        Dropout rate in the interaction layer.
    log_interval : bool, default=True
        Use logarithms of seconds instead of seconds in equation 5.
    time_aware, user_item_aware, field_aware, hierarchical : bool, default=True
        The ablations. Without `hierarchical`, one plain GRU reads all behaviors of an application.
        Its last state is H, and there is no T. Each application must then be one session.
    n_numbers : int, default=0
        Further numbers of each behavior, for the time-aware GRU.
    mean_intention : bool, default=True
        Pass the mean intention of all sessions to the interaction layer too, in addition to the
        last session's intention and the habit. False is the paper's form. No effect without
        `hierarchical`.
    n_topics : int, default=0
        Number of topics that summarize an application's behaviors, for the interaction layer.
    fused : bool, default=True
        Run the GRUs in their fast form; False runs the plain form of the same equations. On other
        devices than the CPU, a traditional GRU always uses torch's implementation.
    """

    def __init__(
        self,
        behavior_sizes: Sequence[int],
        profile_sizes: Sequence[int],
        *,
        behavior_dim: int = 10,
        intention_dim: int = 30,
        habit_dim: int = 30,
        hidden_units: Sequence[int] = (50, 25),
        dropout: float = 0.4,
        log_interval: bool = True,
        time_aware: bool = True,
        user_item_aware: bool = True,
        field_aware: bool = True,
        hierarchical: bool = True,
        n_numbers: int = 0,
        mean_intention: bool = True,
        n_topics: int = 0,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.fused = fused
        self.profile_sizes = tuple(profile_sizes)
        self.intention_dim = intention_dim if hierarchical else 0
        self.habit_dim = habit_dim
        self.mean_dim = self.intention_dim if mean_intention else 0

        present = [size for size in self.profile_sizes if size]
        self.profile_field_aware = FieldAware(present, behavior_dim)
        self.behavior_embedding = BehaviorEmbedding(behavior_sizes, behavior_dim)
        self.behavior_field_aware = FieldAware(
            [behavior_dim] * len(behavior_sizes), behavior_dim, shared=not field_aware
        )
        self.intention: nn.Module | None = None
        if time_aware and hierarchical:
            self.period_embedding = PeriodEmbedding(behavior_dim)
            self.period_field_aware = FieldAware([behavior_dim] * 2, behavior_dim, shared=True)
            self.intention = TimeAwareGRU(
                *(behavior_dim, behavior_dim, intention_dim),
                log_interval=log_interval,
                n_numbers=n_numbers,
            )
        elif hierarchical:
            self.intention = PlainGRU(behavior_dim, intention_dim)

        habit_input = intention_dim if hierarchical else behavior_dim
        self.habit: nn.Module
        if user_item_aware and hierarchical:
            n_context = sum(self.profile_sizes[field] > 0 for field in (0, 2))
            self.habit = UserItemAwareGRU(habit_input, n_context * behavior_dim, habit_dim)
        else:
            self.habit = PlainGRU(habit_input, habit_dim)
        n_vectors = self.intention_dim + habit_dim + self.mean_dim + n_topics
        self.interaction = UserPropertyInteraction(
            n_vectors, len(present) * behavior_dim, hidden_units, dropout
        )

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw all weights again, and let dropout use ``generator`` from now on."""
        for layer in self.children():
            cast(Any, layer).reset_parameters(generator)
        self.seed_dropout(generator)

    def seed_dropout(self, generator: torch.Generator) -> None:
        """Let dropout use ``generator``."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    def map_profile(self, profile: Tensor) -> list[Tensor | None]:
        """Return the field-wise user, device and item profiles; None for an empty field."""
        fields = profile.split(self.profile_sizes, dim=1)
        mapped = iter(self.profile_field_aware([field for field in fields if field.shape[1]]))
        return [next(mapped) if field.shape[1] else None for field in fields]

    def map_distinct_behaviors(self) -> Tensor:
        """Return the field-wise vector of each distinct behavior."""
        table = torch.cat(self.behavior_field_aware(self.behavior_embedding()))
        # The extra last row is for behaviors not seen in training: no vector, only time.
        return torch.cat([table, table.new_zeros(1, table.shape[1])])

    def map_behaviors(self, batch: Batch) -> Tensor:
        """Return the field-wise behaviors in packed order, scaled by their amounts."""
        table = self.map_distinct_behaviors()
        # Unlike table[...], index_select has a gradient reproducible to the bit on two threads.
        return table.index_select(0, batch.behavior) * batch.scale[:, None]

    def read_traditionally(self, gru: nn.Module, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the last state of a traditional GRU for each sequence, longest first."""
        assert isinstance(gru, PlainGRU)
        # A GPU has its own kernel for it, which needs no steps.
        return gru.forward_fused(x, sizes) if self.fused and x.is_cpu else gru(x, sizes)

    def read_sessions(self, batch: Batch) -> Tensor:
        """Return the intention of each session, longest first."""
        assert self.intention is not None
        if not isinstance(self.intention, TimeAwareGRU):
            return self.read_traditionally(
                self.intention, self.map_behaviors(batch), batch.behavior_steps
            )
        week, month = self.period_field_aware(self.period_embedding())
        if self.fused:
            return self.intention.forward_fused(self.map_distinct_behaviors(), week, month, batch)
        return self.intention(
            self.map_behaviors(batch),
            batch.interval,
            week.index_select(0, batch.weekday),
            month.index_select(0, batch.monthday),
            batch.numbers,
            batch.behavior_steps,
        )

    def read_behaviors(
        self, batch: Batch, user: Tensor | None, item: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return intention T (of the last session), habit H and mean intention of applications.

        All are zero for an application without behaviors.

        Parameters
        ----------
        batch : Batch
        user, item : Tensor of shape (n, behavior_dim) or None
            Field-wise user and item profiles.

        Returns
        -------
        Tensors of shape (n, intention_dim), (n, habit_dim) and (n, mean_dim)
        """
        t = batch.profile.new_zeros(len(batch), self.intention_dim)
        h = batch.profile.new_zeros(len(batch), self.habit_dim)
        mean = batch.profile.new_zeros(len(batch), self.mean_dim)
        if not batch.behavior_steps:
            return t, h, mean
        if self.intention is None:
            habit = self.read_traditionally(
                self.habit, self.map_behaviors(batch), batch.behavior_steps
            )
            h = h.index_copy(0, batch.applicants, habit.index_select(0, batch.last_session))
            return t, h, mean

        intention = self.read_sessions(batch)
        sessions = intention.index_select(0, batch.session)
        if isinstance(self.habit, UserItemAwareGRU):
            present = [field for field in (user, item) if field is not None]
            context = torch.cat([*present, h.new_zeros(len(batch), 0)], dim=1)
            context = context.index_select(0, batch.applicants)
            read = self.habit.forward_fused if self.fused else self.habit
            habit = read(sessions, context, batch.session_steps)
        else:
            habit = self.read_traditionally(self.habit, sessions, batch.session_steps)
        if self.mean_dim:
            # In packed order, the applicants still running at each step are the first ones.
            owner = torch.cat([batch.applicants[:size] for size in batch.session_steps])
            n_sessions = torch.bincount(owner, minlength=len(batch)).clamp(min=1)
            mean = mean.index_add(0, owner, sessions) / n_sessions[:, None]
        last = intention.index_select(0, batch.last_session)
        t = t.index_copy(0, batch.applicants, last)
        return t, h.index_copy(0, batch.applicants, habit), mean

    def forward(self, batch: Batch) -> Tensor:
        """Return the two logits of each application, shape (n, 2)."""
        user, device, item = self.map_profile(batch.profile)
        vectors = self.read_behaviors(batch, user, item)
        profiles = [field for field in (user, device, item) if field is not None]
        return self.interaction(torch.cat([*vectors, batch.topics, *profiles], dim=1))

    def represent(self, batch: Batch) -> Tensor:
        """Return T and H concatenated, shape (n, intention_dim + habit_dim)."""
        user, _, item = self.map_profile(batch.profile)
        return torch.cat(self.read_behaviors(batch, user, item)[:2], dim=1)
