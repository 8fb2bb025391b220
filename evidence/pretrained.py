"""Learning from behaviors before there are labels: an experiment, not part of the package.

`pretrain` trains the behavior part of the network of `skhuihen.network` (embeddings, time-aware
GRU, habit GRU) on histories without labels. It has two losses:

- ``"next"``: each session is cut at a random behavior. From the intention up to there and the habit
  of the sessions before, the network predicts the next behavior, the interval before it and its
  amount. From the habit it also predicts the behaviors of the next session.
- ``"contrast"``: each history is cut at a random session. The vectors of the two parts of a user
  should be more alike than those of different users (as in CoLES, Babaev et al. 2022).

The profile is not read, because most users have not applied. The vocabulary, the topics and the
scales of numbers are learned here too, by the package's own encoder, which cuts every history at
`applied_at`. Histories may be larger than memory, and a run that was killed goes on where its last
epoch ended. `Vectors` gives the vectors of a history as columns for other models, and `FineTuned`
is a `HUIHENClassifier` whose networks start from the pre-trained weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from torch import Tensor, nn
from tqdm.auto import tqdm

from skhuihen import HUIHENClassifier
from skhuihen._encoding.applications import ApplicationEncoder
from skhuihen._encoding.streaming import PreparedParquet, StreamedApplications
from skhuihen._tables.parquet import is_parquet
from skhuihen._training.schedule import share_of_peak
from skhuihen._training.start import ColdStart
from skhuihen.network.batch import ApplicationDataset, Batch, EncodedBehaviors
from skhuihen.network.habit import UserItemAwareGRU
from skhuihen.network.huihen import HUIHEN

#: What the encoder learns from behaviors.
OF_BEHAVIORS = ("event_numbers_", "vocabulary_", "topics_", "ranges_", "optional_")
#: The parts of the network that read behaviors.
PARTS = (
    *("behavior_embedding", "behavior_field_aware", "period_embedding", "period_field_aware"),
    *("intention", "habit"),
)
#: The weights of the profile in the habit; pre-training does not read the profile.
OF_PROFILE = "w_context"
SCORING_BATCH = 256


@dataclass(frozen=True)
class Pretrained:
    """What was learned without labels.

    Attributes
    ----------
    encoder : ApplicationEncoder
        Knows the behaviors; no profile.
    module : HUIHEN
        Its behavior part is trained.
    losses : list of float
        Mean loss of each epoch.
    seconds : float
    """

    encoder: ApplicationEncoder
    module: HUIHEN
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


def encode(frame: pd.DataFrame, encoder: ApplicationEncoder) -> EncodedBehaviors:
    """Return the histories up to `applied_at`, without topics."""
    encoded = encoder.encode(encoder.read(frame))
    return replace(encoded, topics=np.empty((len(frame), 0), dtype=encoded.scale.dtype))


def without_profile(encoded: EncodedBehaviors) -> ApplicationDataset:
    """Return a data set of histories alone."""
    return ApplicationDataset(np.empty((len(encoded.n_sessions), 0), np.float32), encoded)


def starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the start of each of several adjacent pieces."""
    return np.cumsum(lengths) - lengths


# --------------------------------------------------------------------------------------------------
# Views of the histories, drawn again in each epoch.


def keep_events(encoded: EncodedBehaviors, kept: NDArray[np.bool_]) -> EncodedBehaviors:
    """Return the histories with some of their events; every session keeps at least one."""
    session = np.repeat(np.arange(len(encoded.session_lengths)), encoded.session_lengths)
    events = {
        name: getattr(encoded, name)[kept]
        for name in ("behavior", "scale", "interval", "weekday", "monthday", "numbers")
    }
    lengths = np.bincount(session[kept], minlength=len(encoded.session_lengths))
    return replace(encoded, session_lengths=lengths, **events)


def cut_sessions(
    encoded: EncodedBehaviors, random: np.random.Generator
) -> tuple[EncodedBehaviors, NDArray[np.int64]]:
    """Cut each session at a random behavior, which is to be predicted.

    Returns
    -------
    EncodedBehaviors, int64 ndarray of shape (n_sessions,)
        The histories with the sessions up to there, and for each session the position of the next
        behavior in `encoded`; -1 for a session of one behavior, which is kept.
    """
    lengths = encoded.session_lengths
    kept = np.maximum(1, 1 + (random.random(len(lengths)) * (lengths - 1)).astype(np.int64))
    first = starts(lengths)
    position = np.arange(lengths.sum()) - np.repeat(first, lengths)
    following = np.where(lengths > 1, first + kept, -1)
    return keep_events(encoded, position < np.repeat(kept, lengths)), following


def halve_histories(
    encoded: EncodedBehaviors, random: np.random.Generator
) -> tuple[EncodedBehaviors, EncodedBehaviors]:
    """Cut each history of at least two sessions at a random session; drop the others.

    Returns
    -------
    EncodedBehaviors, EncodedBehaviors
        The earlier and the later part of the same users.
    """
    n_sessions = encoded.n_sessions
    n_early = 1 + (random.random(len(n_sessions)) * (n_sessions - 1)).astype(np.int64)
    position = np.arange(n_sessions.sum()) - np.repeat(starts(n_sessions), n_sessions)
    long_enough = np.repeat(n_sessions > 1, n_sessions)
    is_early = position < np.repeat(n_early, n_sessions)
    parts = []
    for sessions in (long_enough & is_early, long_enough & ~is_early):
        events = np.repeat(sessions, encoded.session_lengths)
        owner = np.repeat(np.arange(len(n_sessions)), n_sessions)[sessions]
        part = keep_events(encoded, events)
        counts = np.bincount(owner, minlength=len(n_sessions))[n_sessions > 1]
        parts.append(
            replace(
                part,
                session_lengths=part.session_lengths[sessions],
                n_sessions=counts,
                topics=part.topics[n_sessions > 1],
            )
        )
    return parts[0], parts[1]


# --------------------------------------------------------------------------------------------------
# The losses.


def habits_before(habit: UserItemAwareGRU, x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the habit before each session: equations 8 to 11 without a profile.

    Parameters
    ----------
    habit : UserItemAwareGRU
    x : Tensor of shape (n_sessions, intention_dim)
        Intentions in packed order.
    sizes : sequence of int
        Number of applicants whose sessions are still running at each step.

    Returns
    -------
    Tensor of shape (n_sessions, habit_dim)
    """
    n = habit.hidden_dim
    gates = torch.addmm(habit.bias, x, habit.w_input).split(list(sizes))
    h = x.new_zeros(sizes[0], n)
    before = []
    for size, gate in zip(sizes, gates, strict=True):
        h = h[:size]
        before.append(h)
        update_reset, proposal = gate.split([2 * n, n], 1)
        u, r = torch.sigmoid(torch.addmm(update_reset, h, habit.w_state)).chunk(2, 1)
        h = h + u * (torch.tanh(torch.addmm(proposal, r * h, habit.w_reset)) - h)
    return torch.cat(before)


class NextBehavior(nn.Module):
    """Predicts the next behavior, its interval and amount, and the next session's behaviors.

    Parameters
    ----------
    n_behaviors, intention_dim, habit_dim : int
    numbers : sequence of int
        The columns of the numbers of a behavior that are to be predicted.
    """

    def __init__(
        self, n_behaviors: int, intention_dim: int, habit_dim: int, numbers: Sequence[int]
    ) -> None:
        super().__init__()
        self.numbers = list(numbers)
        self.behavior = nn.utils.skip_init(nn.Linear, intention_dim + habit_dim, n_behaviors + 1)
        self.number = nn.utils.skip_init(nn.Linear, intention_dim + habit_dim, len(self.numbers))
        self.session = nn.utils.skip_init(nn.Linear, habit_dim, n_behaviors + 1)

    def view(
        self, module: HUIHEN, encoded: EncodedBehaviors, random: np.random.Generator
    ) -> tuple[NDArray[np.int64], Callable[[NDArray[np.int64]], Tensor]]:
        """Cut each session; return the histories to learn from, and the loss of some of them."""
        cut, following = cut_sessions(encoded, random)
        dataset = without_profile(cut)
        first_session, first_event = starts(cut.n_sessions), starts(encoded.session_lengths)

        def loss_of(rows: NDArray[np.int64]) -> Tensor:
            batch, _ = dataset.__getitems__(rows)
            step = np.repeat(np.arange(len(batch.session_steps)), batch.session_steps)
            owner = torch.cat([batch.applicants[:size] for size in batch.session_steps]).numpy()
            session = first_session[rows[owner]] + step
            intention = module.read_sessions(batch).index_select(0, batch.session)
            habit = habits_before(module.habit, intention, batch.session_steps)
            known = np.flatnonzero(following[session] >= 0)
            known_at, at = torch.from_numpy(known), following[session][known]
            both = torch.cat([intention, habit], dim=1).index_select(0, known_at)
            target = torch.from_numpy(encoded.behavior[at])
            loss = nn.functional.cross_entropy(self.behavior(both), target)
            numbers = torch.from_numpy(encoded.numbers[at][:, self.numbers])
            # A number of 0 is missing, such as the amount of a click.
            error = nn.functional.smooth_l1_loss(self.number(both), numbers, reduction="none")
            is_there = (numbers != 0).float()
            loss = loss + (error * is_there).sum() / is_there.sum().clamp(min=1)
            later = np.flatnonzero(step > 0)
            if len(later):
                lengths = encoded.session_lengths[session[later]]
                events = np.arange(lengths.sum()) - np.repeat(starts(lengths), lengths)
                events += np.repeat(first_event[session[later]], lengths)
                logits = self.session(habit.index_select(0, torch.from_numpy(later)))
                logs = torch.log_softmax(logits, dim=1)
                of_event = torch.from_numpy(np.repeat(np.arange(len(later)), lengths))
                loss = loss - logs[of_event, torch.from_numpy(encoded.behavior[events])].mean()
            return loss

        return np.flatnonzero(cut.n_sessions), loss_of


class Contrast(nn.Module):
    """Tells the two parts of a user's history from those of other users.

    Parameters
    ----------
    temperature : float
        Divides the cosine similarities.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def view(
        self, module: HUIHEN, encoded: EncodedBehaviors, random: np.random.Generator
    ) -> tuple[NDArray[np.int64], Callable[[NDArray[np.int64]], Tensor]]:
        """Cut each history; return those to learn from, and the loss of some of them."""
        halves = [without_profile(half) for half in halve_histories(encoded, random)]

        def loss_of(rows: NDArray[np.int64]) -> Tensor:
            early, late = (
                nn.functional.normalize(vectors(module, half.__getitems__(rows)[0])[:, -own:])
                for half in halves
                for own in [module.habit_dim + module.mean_dim]
            )
            alike = early @ late.T / self.temperature
            target = torch.arange(len(rows))
            return (
                nn.functional.cross_entropy(alike, target)
                + nn.functional.cross_entropy(alike.T, target)
            ) / 2

        return np.arange(len(halves[0])), loss_of


def vectors(module: HUIHEN, batch: Batch) -> Tensor:
    """Return intention, habit and mean intention side by side, without a profile."""
    return torch.cat(module.read_behaviors(batch, None, None), dim=1)


# --------------------------------------------------------------------------------------------------
# Pre-training and its uses.


class Histories:
    """Histories without labels, in memory or in Parquet.

    Of Parquet, the part in memory is `skhuihen._encoding.streaming.BUFFER` behaviors and some 30
    bytes a history. A row group is read at once, so it must fit into memory.

    Parameters
    ----------
    table : DataFrame, path or list of paths
        `applied_at` and the nested column of sessions.
    column, applied_at : str
        The names of the two columns.
    """

    def __init__(self, table: Any, column: str, applied_at: str) -> None:
        self.table = table
        self.columns = [applied_at, column]
        self.source = PreparedParquet(table, column, applied_at) if is_parquet(table) else None
        self.n = len(table) if self.source is None else sum(self.source.n_rows)

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield the histories in pieces, in their order."""
        if self.source is None:
            return iter([self.table[self.columns]])
        return map(self.source.read_group, self.source.groups)

    def passes(
        self, encoder: ApplicationEncoder
    ) -> Callable[[np.random.Generator], Iterator[EncodedBehaviors]]:
        """Return a function that yields all histories, encoded, in buffers of a random order."""
        if self.source is None:
            encoded = encode(self.table, encoder)
            return lambda random: iter([encoded])
        nothing = np.zeros(self.n, np.int64)
        streamed = StreamedApplications(
            *(self.source, np.arange(self.n), np.empty((self.n, 0), np.float32), nothing),
            *(np.ones(self.n, np.float32), lambda part: encode(part, encoder), "cpu"),
        )
        return lambda random: (
            buffer.behaviors for buffer in streamed.buffers(streamed.rows, random)
        )


def learn_behaviors(table: Any, params: dict[str, Any]) -> ApplicationEncoder:
    """Learn vocabulary, topics and scales from histories without labels, as in `Histories`."""
    encoder = ApplicationEncoder(params)
    histories = Histories(table, params["behaviors"], params["applied_at"])
    no_profile = pd.DataFrame(index=range(histories.n))
    encoder.fit(no_profile, lambda: map(encoder.read, histories.frames()), np.ones(histories.n))
    return encoder


class Checkpoint:
    """What is needed to go on after an epoch, in a file.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    settings : dict
        What must be the same in the run that goes on.
    parts : sequence of Module or Optimizer
    generators : sequence of numpy.random.Generator
    """

    def __init__(
        self,
        path: Path | None,
        settings: dict[str, Any],
        parts: Sequence[Any],
        generators: Sequence[np.random.Generator],
    ) -> None:
        self.path, self.settings = path, json.dumps(settings)
        self.parts, self.generators = parts, generators

    def save(self, losses: list[float], seconds: float) -> None:
        """Keep the state at the end of an epoch."""
        if self.path is None:
            return
        states = [generator.bit_generator.state for generator in self.generators]
        kept = {
            "settings": self.settings,
            "parts": [part.state_dict() for part in self.parts],
            "generators": json.dumps(states),
            "losses": losses,
            "seconds": seconds,
        }
        beside = self.path.with_name(self.path.name + ".part")
        torch.save(kept, beside)
        beside.replace(self.path)  # at once, so that a run killed meanwhile has the last one

    def load(self) -> tuple[list[float], float]:
        """Restore the state; return the losses of the epochs so far, and their seconds."""
        if self.path is None or not self.path.exists():
            return [], 0.0
        kept = torch.load(self.path, weights_only=True)
        if kept["settings"] != self.settings:
            raise ValueError(
                f"{self.path} is of another run: it has the settings {kept['settings']} instead of "
                f"{self.settings}. Pass another path, or remove the file."
            )
        for part, state in zip(self.parts, kept["parts"], strict=True):
            part.load_state_dict(state)
        states = json.loads(kept["generators"])
        for generator, state in zip(self.generators, states, strict=True):
            generator.bit_generator.state = state
        return kept["losses"], kept["seconds"]


def pretrain(
    table: Any,
    *,
    losses: Sequence[str] = ("next",),
    width: int = 30,
    max_epochs: int = 5,
    batch_size: int = 128,
    lr: float = 5e-3,
    random_state: int = 0,
    verbose: int = 0,
    encoder: ApplicationEncoder | None = None,
    checkpoint: Path | None = None,
) -> Pretrained:
    """Train the behavior part of a network without labels.

    Parameters
    ----------
    table : DataFrame, path or list of paths
        `applied_at` and the nested column of sessions; only events before that time are read. If
        all behaviors of Parquet fit into one buffer, the weights are those of a table in memory.
        If not, each buffer is shuffled on its own, and the same files give the same weights.
    losses : sequence of {"next", "contrast"}, default=("next",)
    width : int, default=30
        Length of intention and habit.
    max_epochs, batch_size, lr, random_state, verbose
        As in `HUIHENClassifier`, with one cycle of the rate.
    encoder : ApplicationEncoder, default=None
        Of `learn_behaviors`, if it was called before.
    checkpoint : Path, default=None
        Keeps the state after each epoch. If it exists, the run goes on from there, to the same
        weights. It must be of the same histories and settings.

    Returns
    -------
    Pretrained
    """
    started = time.process_time()
    net_params = {"module__intention_dim": width, "module__habit_dim": width}
    params = HUIHENClassifier(net_params=net_params).get_params(deep=False)
    encoder = learn_behaviors(table, params) if encoder is None else encoder
    histories = Histories(table, encoder.column, params["applied_at"])
    read = histories.passes(encoder)
    sizes = encoder.sizes | {"n_topics": 0, "profile_sizes": (0, 0, 0)}
    module = HUIHEN(**sizes, intention_dim=width, habit_dim=width)
    generator = torch.Generator().manual_seed(random_state)
    module.reset_parameters(generator)
    names = encoder.event_numbers_.names_
    numbers = [names.index(name) for name in ("interval", "amount") if name in names]
    heads: dict[str, Any] = {
        "next": NextBehavior(sum(sizes["behavior_sizes"]), width, width, numbers),
        "contrast": Contrast(),
    }
    used = [heads[name] for name in losses]
    for head in used:
        for parameter in head.parameters():
            nn.init.normal_(parameter, std=0.05, generator=generator)
    weights = [weight for part in (module, *used) for weight in part.parameters()]
    optimizer = torch.optim.Adam(weights, lr=lr, fused=True)
    # The order of buffers has a generator of its own, so that a single buffer changes nothing.
    random, of_buffers = (np.random.default_rng(seed) for seed in (random_state, [random_state, 1]))
    settings = {
        **{"losses": list(losses), "width": width, "max_epochs": max_epochs, "lr": lr},
        **{"batch_size": batch_size, "random_state": random_state, "n_histories": histories.n},
        "behaviors": sizes["behavior_sizes"],
    }
    kept = Checkpoint(checkpoint, settings, [module, *used, optimizer], [random, of_buffers])
    of_epochs, earlier = kept.load()
    bar = tqdm(
        *(None, "pre-training", max_epochs * histories.n),
        **{"initial": len(of_epochs) * histories.n, "unit": "history", "disable": not verbose},
    )
    with bar:
        for epoch in range(len(of_epochs), max_epochs):
            total: list[float] = []
            n_before = epoch * histories.n
            for encoded in read(of_buffers):
                n_here = len(encoded.n_sessions)
                steps = list(
                    zip(
                        *(draw(head, module, encoded, batch_size, random) for head in used),
                        strict=False,
                    )
                )
                for number, step in enumerate(steps):
                    n_done = n_before + n_here * number / len(steps)
                    rate = share_of_peak(n_done / (max_epochs * histories.n))
                    optimizer.param_groups[0]["lr"] = lr * rate
                    optimizer.zero_grad(set_to_none=True)
                    loss = sum(loss_of() for loss_of in step)
                    loss.backward()
                    optimizer.step()
                    total.append(float(loss.detach()))
                    bar.update(int(n_done) - bar.n)
                n_before += n_here
                bar.update(n_before - bar.n)
            of_epochs.append(float(np.mean(total)))
            kept.save(of_epochs, earlier + time.process_time() - started)
    module.eval()
    return Pretrained(encoder, module, of_epochs, earlier + time.process_time() - started)


def draw(
    head: Any,
    module: HUIHEN,
    encoded: EncodedBehaviors,
    batch_size: int,
    random: np.random.Generator,
) -> list[Callable[[], Tensor]]:
    """Return the loss of each batch of a new view of the histories, in random order."""
    rows, loss_of = head.view(module, encoded, random)
    order = random.permutation(rows)
    batches = np.split(order, range(batch_size, len(order), batch_size))
    return [partial(loss_of, batch) for batch in batches if len(batch)]


class Vectors(TransformerMixin, BaseEstimator):
    """The vectors of each history from a pre-trained network, as columns for other models."""

    def __init__(self, pretrained: Pretrained) -> None:
        self.pretrained = pretrained

    def fit(self, X: pd.DataFrame, y: Any = None) -> Vectors:
        """Learn nothing."""
        return self

    def transform(self, X: pd.DataFrame) -> NDArray[np.floating]:
        """Return intention, habit and mean intention."""
        module = self.pretrained.module
        dataset = without_profile(encode(X, self.pretrained.encoder))
        with torch.inference_mode():
            parts = [
                vectors(module, dataset.__getitems__(rows)[0])
                for rows in np.array_split(np.arange(len(X)), -(-len(X) // SCORING_BATCH))
            ]
        return torch.cat(parts).numpy()


@dataclass(frozen=True)
class PretrainedBehaviorsStart:
    """A network whose behavior part starts from a pre-trained one.

    Attributes
    ----------
    cold : ColdStart
    module : HUIHEN or None
        None starts from random weights.
    lr : float
        Learning rate of the pre-trained weights, in multiples of that of new weights.
    """

    cold: ColdStart
    module: HUIHEN | None
    lr: float

    def start(self, module: HUIHEN) -> None:
        """Copy the pre-trained weights into a new network."""
        self.cold.start(module)
        if self.module is None:
            return
        with torch.no_grad():
            for part in PARTS:
                trained = dict(getattr(self.module, part).named_parameters())
                for name, weight in getattr(module, part).named_parameters():
                    if name != OF_PROFILE:
                        weight.copy_(trained[name])

    def rates(self, lr: float) -> list[tuple[str, dict[str, float]]]:
        """Return the learning rates by names of weights, as skorch expects them."""
        if self.module is None or self.lr == 1:
            return []
        slow = {"lr": self.lr * lr}
        return [(f"habit.{OF_PROFILE}", {"lr": lr}), *((f"{part}.*", slow) for part in PARTS)]


class FineTuned(HUIHENClassifier):
    """A `HUIHENClassifier` with what was learned without labels.

    What was learned is set by `use`, because it is not a parameter of the package; so a clone does
    not have it.
    """

    def use(
        self,
        encoder: ApplicationEncoder,
        module: HUIHEN | None = None,
        lr: float = 1.0,
        *,
        teach: bool = False,
    ) -> FineTuned:
        """Set what was learned.

        Parameters
        ----------
        encoder : ApplicationEncoder
            Of the behaviors.
        module : HUIHEN, default=None
            The pre-trained network; None starts from random weights.
        lr : float, default=1.0
            Learning rate of the pre-trained weights, in multiples of that of new weights.
        teach : bool, default=False
            The trees that teach the networks see the vectors too.
        """
        self.encoder, self.module, self.pretrained_lr, self.teach = encoder, module, lr, teach
        return self

    def _set_up(self, frame: pd.DataFrame, *args: Any) -> tuple[Any, Any, Any]:
        """Encode behaviors as in pre-training, and start from its weights."""
        dataset, start, _ = super()._set_up(frame, *args)
        for name in OF_BEHAVIORS:
            setattr(self._encoder, name, getattr(self.encoder, name))
        behaviors = self._encoder.read(frame)
        dataset = self._encoder.dataset(frame, behaviors, dataset.y, dataset.weight)
        return dataset, PretrainedBehaviorsStart(start, self.module, self.pretrained_lr), None

    def _find_teacher(self, dataset: Any, frame: pd.DataFrame, *args: Any) -> Any:
        """Let the trees see the vectors."""
        teacher = super()._find_teacher(dataset, frame, *args)
        if self.teach and self.module is not None and teacher is not None:
            known = Vectors(Pretrained(self.encoder, self.module)).transform(frame)
            teacher.columns = np.hstack([teacher.columns, known])
        return teacher
