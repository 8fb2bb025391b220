"""Scores of applications with parts removed: for any model, and fast for HUIHEN."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skhuihen._compat import stack
from skhuihen._events.behaviors import Behaviors
from skhuihen._points import PointsScaler
from skhuihen.inspection._plan import Plan
from skhuihen.inspection._table import PlayersTable, Selection
from skhuihen.preprocessing._abstractor import BehaviorAbstractor
from skhuihen.preprocessing._sessionizer import Sessionizer

#: Smallest probability in log-odds, which would otherwise be infinite or almost so.
CLOSEST = 1e-12
#: Maximum number of rows and events that are scored together.
ROWS, EVENTS = 4096, 500_000


def log_odds(model: Any, table: Any) -> NDArray[np.float64]:
    """Return the log-odds of the second class from a model's probabilities."""
    probability = np.asarray(model.predict_proba(table), dtype=np.float64)
    return np.log(np.maximum(probability[:, 1], CLOSEST)) - np.log(
        np.maximum(probability[:, 0], CLOSEST)
    )


def ask(model: Any, frame: pd.DataFrame, as_array: bool) -> NDArray[np.float64]:
    """Return a model's log-odds for a modified frame, without its warnings."""
    with warnings.catch_warnings():
        # Unusual values in a modified table do not come from the applicant.
        warnings.simplefilter("ignore")
        return log_odds(model, frame.to_numpy() if as_array else frame)


def unwrap(model: Any) -> Any:
    """Return the model in a search, a `FrozenEstimator` or a `PointsScaler`."""
    while True:
        if isinstance(model, FrozenEstimator):
            model = model.estimator
        elif isinstance(model, PointsScaler):
            model = model.estimator_
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        else:
            return model


def split(model: Any) -> tuple[list[Any], Any]:
    """Return the first steps of a pipeline that change only events, and the model after them.

    These steps run once, before parts are removed. So the removed parts are the sessions and
    behaviors that the model sees.
    """
    model = unwrap(model)
    if not isinstance(model, Pipeline):
        return [], model
    steps: list[Any] = []
    for _, step in model.steps[:-1]:
        if not isinstance(step, BehaviorAbstractor | Sessionizer):
            break
        steps.append(step)
    rest = model[len(steps) :]
    return steps, unwrap(rest[-1]) if len(rest) == 1 else rest


class TableScores:
    """Scores of any model for tables with parts removed.

    Parameters
    ----------
    model : classifier
    table : PlayersTable
    as_array : bool
        Pass an array to the model, because it was fitted on one.
    """

    def __init__(self, model: Any, table: PlayersTable, as_array: bool) -> None:
        self.model = model
        self.table = table
        self.as_array = as_array

    def scores(
        self, applications: Sequence[int], plans: Sequence[Plan]
    ) -> list[NDArray[np.float64]]:
        """Return the log-odds of the coalitions in the plans of some applications."""
        application, background, present = lay_out(applications, plans)
        result = np.empty(len(application))
        n_events = self.table.behaviors.lengths[application]
        for part in parts(n_events):
            frame = self.table.perturbed(application[part], background[part], present[part])
            result[part] = ask(self.model, frame, self.as_array)
        return np.split(result, np.cumsum([len(plan.background) for plan in plans])[:-1])


class HUIHENScores(TableScores):
    """Scores of `HUIHENClassifier`, with each session read only once.

    The intention of a session depends on that session alone. So only the habit and the layers
    after it are computed for the coalitions, and the habit only once for all coalitions with the
    same sessions, user and item.

    Attributes
    ----------
    fits : bool
        Whether the classifier reads the same events as the table; if not, tables must be scored.
    """

    def __init__(self, model: Any, table: PlayersTable, background: pd.DataFrame) -> None:
        super().__init__(model, table, as_array=not hasattr(model, "feature_names_in_"))
        self.behaviors = self._read(table.frame)
        self.fits = np.array_equal(self.behaviors.offsets, table.behaviors.offsets)
        if self.fits:
            self._encode(background)

    @staticmethod
    def can_score(model: Any) -> bool:
        """Return whether a model is a fitted `HUIHENClassifier` that reads sessions."""
        from skhuihen.classifier import HUIHENClassifier

        return isinstance(model, HUIHENClassifier) and model.net_.module_.intention is not None

    def _read(self, frame: pd.DataFrame) -> Behaviors:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.model._encoder.read_known(frame)

    def _profile_of(self, frame: pd.DataFrame) -> NDArray[np.floating]:
        return self.model._encoder.dataset(frame, _nothing(len(frame))).profile

    def _encode(self, background: pd.DataFrame) -> None:
        """Encode own and background profiles, and find the encoded columns of each column."""
        table = self.table
        own = table.frame.drop(columns=table.column, errors="ignore")
        other = background.reindex(columns=own.columns)
        self.own, self.other = self._profile_of(own), self._profile_of(other)
        # Vary one column at a time, over all of its values.
        together = stack([own[table.columns], other[table.columns]])
        still = own.iloc[np.zeros(len(together), dtype=np.int64)].reset_index(drop=True)
        unmoved = self._profile_of(still.iloc[:1])
        self.column_of = np.full(self.own.shape[1], -1)
        for number, name in enumerate(table.columns):
            varied = still.copy(deep=False)
            varied[name] = together[name]
            moved = self._profile_of(varied)
            self.column_of[(moved != unmoved).any(axis=0)] = number
        encoder = self.model.profile_encoder_
        context = {*encoder.fields_["user"], *encoder.fields_["item"]}
        self.context = np.array(
            [leaf for name, leaf in zip(table.columns, table.leaf_of_column, strict=True)
             if name in context],
            dtype=np.int64,
        )  # fmt: skip
        self._distinct: dict[int, tuple[Plan, NDArray[np.int64], NDArray[np.int64]]] = {}

    def _distinct_habits(self, plan: Plan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return one coalition for each distinct habit, and the habit of each coalition."""
        known = self._distinct.get(id(plan))
        if known is None or known[0] is not plan:
            profile = plan.coalitions[:, self.context]
            background = np.where(profile.all(axis=1), 0, plan.background)
            history = plan.coalitions[:, self.table.n_profile_leaves :]
            bits = np.packbits(np.column_stack([profile, history]), axis=1)
            keys = np.column_stack([background, bits])
            _, first, kind = np.unique(keys, axis=0, return_index=True, return_inverse=True)
            known = self._distinct[id(plan)] = plan, first, kind.ravel()
        return known[1], known[2]

    def scores(
        self, applications: Sequence[int], plans: Sequence[Plan]
    ) -> list[NDArray[np.float64]]:
        """Return the log-odds of the coalitions of some applications' plans."""
        import torch

        distinct = [self._distinct_habits(plan) for plan in plans]
        habits = [plan._replace(
            coalitions=plan.coalitions[first], background=plan.background[first]
        ) for plan, (first, _) in zip(plans, distinct, strict=True)]  # fmt: skip
        application, _, present = lay_out(applications, habits)
        nets = [net.module_.eval() for net in self.model.estimators_]
        with torch.inference_mode():
            sessions = _Sessions(self, application, present)
            intentions = [sessions.read(net) for net in nets]
            results = []
            start = 0
            for row, plan, (first, kind) in zip(applications, plans, distinct, strict=True):
                rows = slice(start, start + len(first))
                start = rows.stop
                batch, few = sessions.batches(rows, self._mixed(row, plan), kind)
                place = torch.from_numpy(kind), torch.from_numpy(first)
                logits = [
                    _reusing(net, read, few, *(at.to(batch.profile.device) for at in place))(batch)
                    for net, read in zip(nets, intentions, strict=True)
                ]
                mean = logits[0] if len(logits) == 1 else torch.stack(logits).mean(dim=0)
                results.append(self._blend(row, plan, mean.cpu().numpy()))
        return results

    def _mixed(self, row: int, plan: Plan) -> NDArray[np.floating]:
        """Return the encoded profiles of the coalitions of an application."""
        table = self.table
        own = np.column_stack(
            [plan.coalitions[:, table.leaf_of_column], np.ones(len(plan.coalitions), dtype=bool)]
        )[:, self.column_of]
        return np.where(own, self.own[row], self.other[plan.background])

    def _blend(self, row: int, plan: Plan, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the blended log-odds of the networks and the base estimator, if there is one."""
        model = self.model
        frame = pd.DataFrame(index=range(len(logits)))
        if model.blend_ is not None and model.blend_.base:
            application = np.full(len(logits), row)
            scores = []
            for part in parts(self.table.behaviors.lengths[application]):
                frame = self.table.perturbed(
                    application[part], plan.background[part], plan.coalitions[part]
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    scores.append(model._blended(frame, logits[part]))
            return np.concatenate(scores).astype(np.float64)
        return np.asarray(model._blended(frame, logits), dtype=np.float64)


class _Sessions:
    """The sessions of many histories; each distinct session is read once."""

    def __init__(
        self, scores: HUIHENScores, application: NDArray[np.int64], present: NDArray[np.bool_]
    ) -> None:
        self.model, table = scores.model, scores.table
        selection = table.select(application, present)
        session = table.session_of_event[selection.event]
        first = np.ones(len(session), dtype=bool)
        first[1:] = np.diff(session) != 0
        starts_of_histories = selection.offsets[:-1][np.diff(selection.offsets) > 0]
        first[starts_of_histories] = True
        starts = np.flatnonzero(first)
        lengths = np.diff(np.append(starts, len(session)))
        # Sessions with the same remaining behaviors have the same sum of random numbers.
        random = np.random.default_rng(0).integers(
            2**64, size=scores.behaviors.n_events, dtype="u8"
        )
        sums = np.add.reduceat(random[selection.event], starts) if len(starts) else random[:0]
        _, one, self.variant = np.unique(sums, return_index=True, return_inverse=True)
        self.n_sessions = np.diff(np.searchsorted(starts, selection.offsets))
        self.starts = np.cumsum(self.n_sessions) - self.n_sessions
        # Each variant as a history of one session.
        event = selection.event[
            np.repeat(starts[one] - (np.cumsum(lengths[one]) - lengths[one]), lengths[one])
            + np.arange(lengths[one].sum())
        ]
        offsets = np.concatenate([[0], np.cumsum(lengths[one])])
        behaviors = table.take(scores.behaviors, Selection(event, offsets))
        # The profile is not read here.
        blank = table.frame.iloc[np.zeros(len(one), dtype=np.int64)]
        blank = blank.drop(columns=table.column)
        device = self.model._device_of_net()
        self.read_rows = self.model._encoder.dataset(blank, behaviors, device=device)
        self.topics = None
        if self.read_rows.behaviors.topics.shape[1]:
            self.topics = self.model._encoder.encode(table.take(scores.behaviors, selection)).topics

    def read(self, net: Any) -> Any:
        """Return the intention of each variant."""
        import torch

        n = len(self.read_rows)
        found = []
        for start in range(0, n, ROWS):
            batch, _ = self.read_rows.__getitems__(range(start, min(start + ROWS, n)))
            read = net.read_sessions(batch)
            # Each row has only one session.
            found.append(torch.empty_like(read).index_copy(
                0, batch.applicants, read.index_select(0, batch.last_session)
            ))  # fmt: skip
        return torch.cat(found) if found else torch.empty(0, net.intention_dim)

    def batches(
        self, rows: slice, profile: NDArray[np.floating], kind: NDArray[np.int64]
    ) -> tuple[Any, Any]:
        """Return the batches of an application's coalitions and of its distinct histories."""
        import torch

        from skhuihen.network.batch import ApplicationDataset, EncodedBehaviors, pack

        device = self.model._device_of_net()
        behaviors = EncodedBehaviors.none(len(profile), profile.dtype.type)
        dataset = ApplicationDataset(profile, behaviors, device=device)
        batch, _ = dataset.__getitems__(range(len(profile)))
        n_sessions = self.n_sessions[rows]
        applicants = np.flatnonzero(n_sessions)
        counts, starts = n_sessions[applicants], self.starts[rows][applicants]
        index, steps, order = pack(starts, counts)
        last = starts + counts - 1
        sent = {
            "session": self.variant[index],
            "applicants": applicants[order],
            "last_session": self.variant[last][order],
        }
        few = replace(
            batch,
            **{name: torch.from_numpy(array).to(device) for name, array in sent.items()},
            profile=batch.profile.new_zeros(len(n_sessions), 0),
            behavior_steps=steps[:1],
            session_steps=steps,
        )
        if self.topics is not None:
            topics = torch.from_numpy(self.topics[rows][kind]).to(device)
            batch = replace(batch, topics=topics)
        return batch, few


def _reusing(net: Any, intentions: Any, few: Any, kind: Any, first: Any) -> Any:
    """Return a network with given intentions that reads each distinct history once."""
    twin = copy.copy(net)
    twin.read_sessions = lambda batch: intentions

    def read_behaviors(batch: Any, user: Any, item: Any) -> tuple[Any, ...]:
        own = [None if field is None else field.index_select(0, first) for field in (user, item)]
        read = type(net).read_behaviors(twin, few, *own)
        return tuple(vector.index_select(0, kind) for vector in read)

    twin.read_behaviors = read_behaviors
    return twin


def lay_out(
    applications: Sequence[int], plans: Sequence[Plan]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return application, background row and present leaves of all coalitions of plans."""
    sizes = [len(plan.background) for plan in plans]
    width = max(plan.coalitions.shape[1] for plan in plans)
    present = np.zeros((sum(sizes), width), dtype=bool)
    start = 0
    for plan, size in zip(plans, sizes, strict=True):
        present[start : start + size, : plan.coalitions.shape[1]] = plan.coalitions
        start += size
    background = np.concatenate([plan.background for plan in plans])
    return np.repeat(np.asarray(applications, dtype=np.int64), sizes), background, present


def parts(n_events: NDArray[np.int64]) -> Iterator[slice]:
    """Split rows into parts of limited numbers of rows and events."""
    stops = np.cumsum(n_events)
    start = 0
    while start < len(n_events):
        before = stops[start - 1] if start else 0
        stop = int(np.searchsorted(stops, before + EVENTS, side="right"))
        stop = min(max(stop, start + 1), start + ROWS, len(n_events))
        yield slice(start, stop)
        start = stop


def _nothing(n: int) -> Behaviors:
    return Behaviors(np.zeros(n + 1, dtype=np.int64), {})
