"""From a table of applications to the tensors that the network reads."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sklearn.base import clone

from skhuihen._encoding.event_numbers import EventNumbers, EventRanges
from skhuihen._encoding.streaming import PreparedParquet, StreamedApplications
from skhuihen._encoding.vocabulary import BehaviorVocabulary
from skhuihen._events.as_of import read_as_of
from skhuihen._events.behaviors import Behaviors, OptionalSubfields
from skhuihen.network.architecture import architecture_of
from skhuihen.network.batch import ApplicationDataset, EncodedBehaviors
from skhuihen.preprocessing._bounded import Outside
from skhuihen.preprocessing._correspondence import Correspondence, Table
from skhuihen.preprocessing._profile import ProfileEncoder

#: Parameters of `HUIHENClassifier` that the encoder reads.
PARAMETERS = (
    *("behaviors", "applied_at", "profile_encoder", "id_columns", "event_numbers", "n_topics"),
    *("dtype", "net_params"),
)
#: The number of topics for ``n_topics="auto"``, and the number of behaviors in use that it needs.
USUAL_TOPICS, MANY_BEHAVIORS = 10, 100


class ApplicationEncoder:
    """Encodes profile and behaviors as tensors.

    Parameters
    ----------
    params : mapping of str to object
        The parameters of a `HUIHENClassifier`; only those in `PARAMETERS` are read.

    Attributes
    ----------
    profile_encoder_ : ProfileEncoder
    event_numbers_ : EventNumbers
    vocabulary_ : BehaviorVocabulary
    topics_ : Correspondence
    ranges_ : EventRanges
    optional_ : OptionalSubfields
        Optional subfields that the events had in `fit`.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = {name: params[name] for name in PARAMETERS}
        self.column: str = params["behaviors"]
        self.applied_at: str | None = params["applied_at"]
        shape = architecture_of(params)
        self.hierarchical: bool = shape["hierarchical"]
        self.reads_time: bool = shape["hierarchical"] and shape["time_aware"]
        self.dtype: str = params["dtype"]

    # Learning.

    def fit(
        self,
        frame: pd.DataFrame,
        pieces: Callable[[], Iterable[Behaviors]],
        weight: NDArray[np.float64],
        profile_encoder: ProfileEncoder | None = None,
    ) -> None:
        """Learn profile and behaviors.

        Parameters
        ----------
        frame : DataFrame of shape (n_applications, n_columns)
        pieces : callable
            Returns the events of the applications; may be called repeatedly.
        weight : ndarray of shape (n_applications,)
            A weight of two counts as two rows. This matters for topics of rare behaviors.
        profile_encoder : ProfileEncoder, default=None
            The fitted encoder of a pre-trained network.
        """
        if profile_encoder is None:
            profile_encoder = self.make_profile_encoder()
            profile_encoder.fit(self.profile_of(frame), sample_weight=weight)
        self.profile_encoder_ = profile_encoder
        names = self.params["event_numbers"] if self.reads_time else None
        self.event_numbers_ = EventNumbers(() if names is None else names)
        self.vocabulary_ = BehaviorVocabulary()
        self.optional_ = OptionalSubfields("amount")
        named = () if names is None or isinstance(names, str) else names
        self.ranges_ = EventRanges(self.column, ["amount", "interval", *named])
        read = self.event_numbers_.fit_on_the_way(pieces(), weight)
        self.vocabulary_.fit_pieces(self.ranges_.learn(self.optional_.learn(read)))
        self.ranges_.tell_codes(stacklevel=5)
        n_behaviors, n_topics = sum(self.vocabulary_.sizes_), self.params["n_topics"]
        if isinstance(n_topics, str):
            self.topics_ = Correspondence(n_behaviors, USUAL_TOPICS, at_least=MANY_BEHAVIORS)
            # Multiplying all weights by a constant must not turn topics on or off.
            weight = weight / weight.mean()
        else:
            self.topics_ = Correspondence(n_behaviors, n_topics)
        self.topics_.fit(lambda: self._weighed_tables(pieces(), weight))
        self.topics_.tell_nothing_found(self.column, stacklevel=5)

    def make_profile_encoder(self) -> ProfileEncoder:
        """Return an unfitted encoder of the profile."""
        template = self.params["profile_encoder"]
        encoder = ProfileEncoder() if template is None else clone(template)
        encoder.set_params(id_columns=self.params["id_columns"], dtype=self.dtype)
        # A global set_config(transform_output=...) must not apply here.
        return encoder.set_output(transform="default")

    def profile_of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the columns that may be profile: all except events and application time."""
        no_profile = [self.column] if self.applied_at is None else [self.column, self.applied_at]
        return frame.drop(columns=no_profile, errors="ignore")

    @property
    def sizes(self) -> dict[str, Any]:
        """The arguments of the network that `fit` has learned."""
        return {
            "behavior_sizes": self.vocabulary_.sizes_,
            "profile_sizes": self.profile_encoder_.field_sizes_,
            "n_numbers": len(self.event_numbers_.names_),
            "n_topics": self.topics_.n_axes,
        }

    # Reading events.

    def read(self, frame: pd.DataFrame) -> Behaviors:
        """Return the events of each application before its time, by session and time."""
        if self.column not in frame.columns:
            return no_events(len(frame))
        as_of = read_as_of(frame, self.column, self.applied_at, by_session=self.hierarchical)
        behaviors = as_of.behaviors
        if not behaviors.n_events:
            return no_events(len(frame))
        needed = ["session"] if self.hierarchical else []
        needed += ["interval", "weekday", "monthday"] if self.reads_time else []
        lacking = [name for name in needed if name not in behaviors.fields]
        if lacking:
            raise ValueError(
                f"The events in column {self.column!r} have no subfield {lacking[0]!r}. Put a "
                "Sessionizer in front, or pass net_params={'module__hierarchical': False} to use "
                "no sessions."
            )
        if as_of.applied_at is None:
            return behaviors
        age = as_of.applied_at[behaviors.rows] - behaviors.times()
        return behaviors.with_fields(age=pa.array(age / 1e6))

    def read_known(
        self,
        frame: pd.DataFrame,
        outside: dict[str, Outside] | None = None,
        stacklevel: int = 4,
    ) -> Behaviors:
        """Return the events, or none if `fit` saw none.

        Parameters
        ----------
        frame : DataFrame
        outside : dict of str to Outside, default=None
            Counts values outside the ranges of `fit` by subfield; None counts none.
        stacklevel : int, default=4
            Of warnings.

        Returns
        -------
        Behaviors
        """
        behaviors = self.read(frame)
        self.optional_.check(behaviors, stacklevel=stacklevel)
        if behaviors.n_events and not any(self.vocabulary_.sizes_):
            warnings.warn(
                f"Column {self.column!r} had no event in fit, so the model does not use behaviors "
                "and drops them. Fit on data with events to use them.",
                stacklevel=stacklevel,
            )
            behaviors = no_events(len(frame))
        if outside is not None:
            self.ranges_.look(behaviors, outside)
        return behaviors

    # Making data sets.

    def dataset(
        self,
        frame: pd.DataFrame,
        behaviors: Behaviors,
        label: NDArray[np.int64] | None = None,
        weight: NDArray[np.floating] | None = None,
        device: str | torch.device = "cpu",
    ) -> ApplicationDataset:
        """Return the applications of a table and their events, as tensors.

        Parameters
        ----------
        frame : DataFrame of shape (n_applications, n_columns)
        behaviors : Behaviors
            Of the same applications.
        label, weight, device
            As in `ApplicationDataset`.

        Returns
        -------
        ApplicationDataset
        """
        profile = self.profile_encoder_.encode(frame)
        if weight is not None:
            weight = weight.astype(self.dtype)
        return ApplicationDataset(profile, self.encode(behaviors), label, weight, device)

    def stream(
        self,
        source: PreparedParquet,
        frame: pd.DataFrame,
        label: NDArray[np.int64],
        weight: NDArray[np.floating],
        device: str | torch.device,
    ) -> StreamedApplications:
        """Return the same as `dataset`, but read events in buffers."""
        return StreamedApplications(
            source,
            frame.index.to_numpy(),
            self.profile_encoder_.encode(frame),
            label,
            weight.astype(self.dtype),
            lambda part: self.encode(self.read_known(part)),
            device,
        )

    def encode(self, behaviors: Behaviors) -> EncodedBehaviors:
        """Return behaviors as arrays for the network."""
        n_events = behaviors.n_events
        if not n_events:
            n_numbers = len(self.event_numbers_.names_)
            dtype = np.dtype(self.dtype).type
            return EncodedBehaviors.none(len(behaviors), dtype, n_numbers, self.topics_.n_axes)
        number, scale = self.vocabulary_.transform(behaviors)
        table = Table(behaviors.rows, number, len(behaviors))
        if self.hierarchical:
            session = behaviors.integers("session")
            first = np.append(True, (np.diff(session) != 0) | (np.diff(behaviors.rows) != 0))
            lengths = np.diff(np.append(np.flatnonzero(first), n_events))
            n_sessions = np.bincount(behaviors.rows[first], minlength=len(behaviors))
        else:
            lengths = behaviors.lengths[behaviors.lengths > 0]
            n_sessions = (behaviors.lengths > 0).astype(np.int64)
        interval, weekday, monthday = np.zeros(n_events), number * 0, number * 0
        if self.reads_time:
            interval = self.ranges_.clip("interval", behaviors.numbers("interval"))
            weekday = behaviors.integers("weekday")
            monthday = behaviors.integers("monthday") - 1
        return EncodedBehaviors(
            behavior=number,
            scale=scale.astype(self.dtype),
            interval=interval.astype(self.dtype),
            weekday=weekday,
            monthday=monthday,
            numbers=self.event_numbers_.transform(behaviors).astype(self.dtype),
            session_lengths=lengths,
            n_sessions=n_sessions,
            topics=self.topics_.transform(table).astype(self.dtype),
        )

    def _table_of(self, behaviors: Behaviors) -> Table:
        """Return the behaviors of each application."""
        number = np.empty(0, dtype=np.int64)
        if behaviors.n_events:
            number, _ = self.vocabulary_.transform(behaviors)
        return Table(behaviors.rows, number, len(behaviors))

    def _weighed_tables(
        self, pieces: Iterable[Behaviors], weight: NDArray[np.float64]
    ) -> Iterator[Table]:
        """Return the behaviors of the applications of each piece, and their weights."""
        start = 0
        for piece in pieces:
            stop = start + len(piece)
            yield self._table_of(piece)._replace(weight=weight[start:stop])
            start = stop


def no_events(n_applications: int) -> Behaviors:
    """Return the histories of applications without events."""
    return Behaviors(np.zeros(n_applications + 1, dtype=np.int64), {})
