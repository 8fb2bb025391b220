"""What is watched of a table of applications: one array per measure, one value per application."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skhuihen._events.as_of import read_as_of
from skhuihen._events.behaviors import Behaviors
from skhuihen._events.frames import joined_by
from skhuihen._tables.times import application_times
from skhuihen.monitoring._bins import Bins, CategoryBins, NumberBins, as_values, count_texts
from skhuihen.preprocessing import BehaviorAbstractor
from skhuihen.preprocessing._profile import _is_number, kinds_of

HOUR = 3_600_000_000  # microseconds
#: Kinds of measures, in the order of tables.
KINDS = ("score", "column", "history", "events", "behavior", "unseen", "lag")
Key = tuple[str, str]
UNSEEN: Key = ("unseen", "unseen operations")


@dataclass(frozen=True)
class Columns:
    """The columns of a table that a monitor reads.

    Attributes
    ----------
    numbers : mapping of str to bool
        The profile columns, and whether each holds numbers.
    behaviors : str or None
        The nested column.
    applied_at : str
    group_by : str or None
        The subfield whose texts are the behaviors.
    recorded_at : str or None
        The subfield with the time at which the bank learned of an event.
    """

    numbers: dict[str, bool]
    behaviors: str | None
    applied_at: str
    group_by: str | None = None
    recorded_at: str | None = None

    @classmethod
    def find(
        cls, frame: pd.DataFrame, behaviors: str, applied_at: str, not_profile: Iterable[str]
    ) -> Columns:
        """Find them in a table."""
        if applied_at not in frame.columns:
            raise ValueError(
                f"X has no column {applied_at!r} with the time of the application; it has "
                f"{list(frame.columns)}. Pass its name as applied_at=..."
            )
        left_out = {*not_profile, *joined_by(frame), applied_at, behaviors}
        values = [
            name
            for name, kind in kinds_of(frame).items()
            if kind == "value" and name not in left_out
        ]
        # A column of which nothing is known may get texts later.
        numbers = {
            name: _is_number(frame[name])
            and not (frame[name].dtype == object and frame[name].isna().all())
            for name in values
        }
        if behaviors not in frame.columns:
            return cls(numbers, None, applied_at)
        events = Behaviors.from_column(frame[behaviors].iloc[:1000])
        if not events.fields:  # nobody among the first has events
            events = Behaviors.from_column(frame[behaviors])
        group_by = next((n for n in ("behavior", "operation") if n in events.fields), None)
        recorded = "recorded_at" if "recorded_at" in events.fields else None
        return cls(numbers, behaviors, applied_at, group_by, recorded)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Columns:
        """Make it of its attributes, read from JSON."""
        columns = cls(**found)
        names = columns.behaviors, columns.group_by, columns.recorded_at
        if not (
            isinstance(columns.numbers, dict)
            and isinstance(columns.applied_at, str)
            and all(isinstance(name, str | None) for name in names)
        ):
            raise ValueError("columns are not names")
        return columns


@dataclass
class Taken:
    """The measures of some applications.

    Attributes
    ----------
    months : ndarray of int64
        The period of each application, as pandas numbers periods.
    probability : ndarray of float64
    values : mapping of (kind, name) to array
        One value per application. NaN in a measure of history, behaviors or lag means that the
        application has none to count.
    events : DataFrame
        Per application: events, unseen events, events with a lag, and sum of lags in hours.
    presence : dict of str to int
        Number of applications that have each behavior.
    of_behavior : Counter
        Number of events of each behavior.
    """

    months: NDArray[np.int64]
    probability: NDArray[np.float64]
    values: dict[Key, NDArray[Any]]
    events: pd.DataFrame
    presence: dict[str, int] = field(default_factory=dict)
    of_behavior: Counter[str] = field(default_factory=Counter)


def take(
    frame: pd.DataFrame,
    probability: NDArray[np.float64],
    columns: Columns,
    freq: str,
    abstractor: Any,
    names: Sequence[str] | None,
    parameter: str = "X",
) -> Taken:
    """Take all measures of a table.

    Parameters
    ----------
    frame : DataFrame
    probability : ndarray of shape (n_applications,)
    columns : Columns
    freq : str
        Length of a period, as pandas writes it.
    abstractor : BehaviorAbstractor or None
        Fitted; tells which operations it did not see.
    names : sequence of str or None
        The behaviors to watch, each with a value per application; None counts all in ``presence``.
    parameter : str, default="X"
        The name of the table in messages.
    """
    lacking = [n for n in (*columns.numbers, columns.applied_at) if n not in frame.columns]
    if columns.behaviors is not None and columns.behaviors not in frame.columns:
        lacking.append(columns.behaviors)
    if lacking:
        raise ValueError(
            f"{parameter} has no column {lacking[0]!r}, which the rows that it is compared with "
            f"have; it has {list(frame.columns)}. Add the column, or leave it out of both."
        )
    taken = Taken(
        times_of(frame, columns.applied_at).to_period(freq).asi8,
        probability,
        {("score", "score"): probability},
        pd.DataFrame(
            0.0, index=range(len(frame)), columns=["events", "unseen", "timed", "lag_hours"]
        ),
    )
    for name, is_number in columns.numbers.items():
        taken.values["column", name] = as_values(frame[name], is_number)
    if columns.behaviors is not None:
        _take_events(taken, frame, columns, abstractor, names)
    return taken


def _take_events(
    taken: Taken,
    frame: pd.DataFrame,
    columns: Columns,
    abstractor: Any,
    names: Sequence[str] | None,
) -> None:
    assert columns.behaviors is not None
    behaviors = read_as_of(frame, columns.behaviors, columns.applied_at).behaviors
    n_events, rows = behaviors.lengths, behaviors.rows
    has_history = n_events > 0
    taken.events["events"] = n_events.astype(np.float64)
    taken.values["history", "without history"] = (~has_history).astype(np.float64)
    taken.values["events", "events per application"] = n_events.astype(np.float64)

    def of_applications(events: NDArray[np.bool_]) -> NDArray[np.bool_]:
        found = np.zeros(len(frame), dtype=bool)
        found[rows[events]] = True
        return found

    group_by, abstracted = columns.group_by, behaviors
    if abstractor is not None and "behavior" not in behaviors.fields:
        group_by, abstracted = "behavior", abstractor._apply(behaviors)[0]
    if group_by is not None:
        code, texts = abstracted.texts(group_by)
        n_by_code = np.bincount(code, minlength=len(texts)).tolist()
        taken.of_behavior = Counter(dict(zip(texts, n_by_code, strict=True)))
        code_of = {text: number for number, text in enumerate(texts)}
        for name in names or ():
            found = of_applications(code == code_of.get(name, -1))
            taken.values["behavior", name] = np.where(has_history, found, np.nan)
        if names is None:
            # Of all behaviors, a value for each application would not fit into memory.
            pairs = np.unique(rows.astype(np.int64) * len(texts) + code)
            n_applications = np.bincount(pairs % max(1, len(texts)), minlength=len(texts))
            taken.presence = dict(zip(texts, n_applications.tolist(), strict=True))
    if abstractor is not None and "operation" in behaviors.fields:
        code, texts = behaviors.texts("operation")
        known = np.array([is_known(abstractor, text) for text in texts], dtype=bool)
        unseen = ~known[code] if len(texts) else np.zeros(0, dtype=bool)
        taken.events["unseen"] = np.bincount(rows[unseen], minlength=len(frame))
        found = of_applications(unseen)
        taken.values[UNSEEN] = np.where(has_history, found, np.nan)
    if columns.recorded_at is not None and columns.recorded_at in behaviors.fields:
        recorded = behaviors.fields[columns.recorded_at]
        there = pc.is_valid(recorded).to_numpy(zero_copy_only=False)
        micro = pa.timestamp("us", recorded.type.tz)
        arrived = recorded.filter(pa.array(there)).cast(micro, safe=False).cast(pa.int64())
        lag = (arrived.to_numpy() - behaviors.times()[there]) / HOUR
        n_timed = np.bincount(rows[there], minlength=len(frame))
        total = np.bincount(rows[there], weights=lag, minlength=len(frame))
        taken.events["timed"], taken.events["lag_hours"] = n_timed, total
        mean = np.divide(total, n_timed, out=np.full(len(frame), np.nan), where=n_timed > 0)
        taken.values["lag", "hours from event to record"] = mean


def times_of(frame: pd.DataFrame, applied_at: str) -> pd.DatetimeIndex:
    """Return the time of each application on the clock of its own time zone.

    A month begins at midnight of the bank, not of UTC.
    """
    times, zone = application_times(frame, applied_at)
    stamps = pd.DatetimeIndex(times.astype("datetime64[us]"))
    if zone is None:
        return stamps
    return stamps.tz_localize("UTC").tz_convert(zone).tz_localize(None)


def check_period(freq: str) -> None:
    """Reject a length of periods that pandas would not divide time into."""
    try:
        offset = pd.Period("2000-01-01", freq=freq).freq
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"freq={freq!r} is no length of a period ({error}). Use one that pandas knows: 'M' for "
            "months, 'W' for weeks, 'Q' for quarters, 'D' for days."
        ) from error
    if offset.n != 1:
        raise ValueError(
            f"freq={freq!r} is a multiple of a period, by which pandas does not divide time: its "
            "periods would overlap. Use a single one, such as 'M', 'Q' or 'W'."
        )


def is_known(abstractor: Any, operation: str) -> bool:
    """Return whether a rule of an abstractor matches an operation."""
    return bool(abstractor._table.of_operation(operation).rules)


def abstractor_of(model: Any) -> Any:
    """Return the fitted `BehaviorAbstractor` of a pipeline, or None.

    The pipeline may be inside another model, as in `PointsScaler`, `FrozenEstimator` or
    `CalibratedClassifierCV`.
    """
    while model is not None:
        for _, step in getattr(model, "steps", ()):
            if isinstance(step, BehaviorAbstractor) and hasattr(step, "rules_"):
                return step
        calibrated = getattr(model, "calibrated_classifiers_", None)
        inside = calibrated[0] if calibrated else model
        names = ("best_estimator_", "estimator_", "estimator")
        model = next((getattr(inside, n) for n in names if hasattr(inside, n)), None)
    return None


def learn_bins(values: dict[Key, NDArray[Any]], columns: Columns, n_bins: int) -> dict[Key, Bins]:
    """Make the frozen bins of each measure."""
    bins: dict[Key, Bins] = {}
    for (kind, name), found in values.items():
        if kind == "column" and not columns.numbers[name]:
            bins[kind, name] = CategoryBins.learn(*count_texts(found))
        elif kind in ("history", "unseen"):
            n_with = int(np.nansum(found))
            bins[kind, name] = NumberBins.presence(counted(kind, found).size - n_with, n_with)
        else:
            bins[kind, name] = NumberBins.learn(counted(kind, found), n_bins)
    return bins


def counted(kind: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return the values that count: a behavior of an application without history does not."""
    return values[~np.isnan(values)] if kind in ("behavior", "unseen", "lag") else values


def most_present(presence: Mapping[str, int], n: int) -> list[str]:
    """Return the behaviors that most applications have, of those that five or more have."""
    order = sorted(presence, key=lambda name: (-presence[name], name))
    return [name for name in order[:n] if presence[name] >= 5]
