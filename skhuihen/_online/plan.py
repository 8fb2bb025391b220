"""A fitted Pipeline as plain arrays: from an application to the input of the networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.pipeline import Pipeline

from skhuihen._encoding.vocabulary import TRANSFORM
from skhuihen._events.behaviors import MISSING
from skhuihen._online.networks import Networks
from skhuihen._points import PointsScaler
from skhuihen._tables.texts import is_unicode
from skhuihen._tables.times import microseconds_of
from skhuihen.classifier import HUIHENClassifier
from skhuihen.inspection._scores import unwrap
from skhuihen.preprocessing._abstraction.rules import EXCLUDED, FIELDS, other_of
from skhuihen.preprocessing._abstractor import BehaviorAbstractor
from skhuihen.preprocessing._correspondence import BESIDE, FARTHEST
from skhuihen.preprocessing._sessionizer import Sessionizer

_EPOCH, _MICROSECOND = datetime(1970, 1, 1), timedelta(microseconds=1)
_DAY = 86_400_000_000
#: Largest number of pairs of operation and item whose behavior is cached, so that hostile input
#: cannot fill the memory.
_MOST_REMEMBERED = 50_000
#: Arrow reads larger amounts as another type.
_LARGE = 9e18
#: No row and field give this code.
DROPPED = -2 << 2


class _Codes(dict[tuple[str, Any], int]):
    """The code of each pair of operation and item, ``row << 2 | field``, cached.

    The row is that of the behavior in the vocabulary, or -1 if it is unknown. Field 3 means that no
    rule knows the operation. `DROPPED` is for events that a rule excludes.
    """

    def __init__(self, abstractor: BehaviorAbstractor | None, rows: dict[str, int]) -> None:
        self.abstractor, self.rows = abstractor, rows

    def __missing__(self, key: tuple[str, Any]) -> int:
        operation, item = key
        if not is_unicode(operation) or not (item is None or is_unicode(item)):
            raise TypeError("the text is not valid Unicode")
        if self.abstractor is None:
            code = self.rows.get(operation, -1) << 2 | 3
        else:
            rules = self.abstractor._table.of_operation(operation)
            rule = rules.for_any_item
            if rule is None and rules.rules:
                rule = rules.of_item(MISSING if item is None else item)
            code = -1 << 2 | 3
            if rule is not None:
                field, behavior = rule.outcome
                code = DROPPED
                if field != EXCLUDED:
                    code = self.rows.get(behavior, -1) << 2 | FIELDS.index(field)
        if len(self) < _MOST_REMEMBERED:
            self[key] = code
        return code


class Plan:
    """A Pipeline as plain arrays."""

    def __init__(
        self,
        abstractor: BehaviorAbstractor | None,
        sessionizer: Sessionizer,
        classifier: HUIHENClassifier,
    ) -> None:
        self.classifier, self.sessionizer = classifier, sessionizer
        self.behaviors, self.applied_at = classifier.behaviors, classifier.applied_at
        self.encoder, self.vocabulary = classifier.profile_encoder_, classifier.vocabulary_
        self.has_abstractor = abstractor is not None
        self.codes = _Codes(abstractor, self.vocabulary._row_of)
        self.others = [
            self.vocabulary._row_of.get(other_of(field), -1) << 2 | code
            for code, field in enumerate(FIELDS)
        ]
        lookback = sessionizer._lookback()
        self.lookback = np.iinfo(np.int64).max if lookback is None else lookback
        self.gap = microseconds_of(sessionizer.session_gap, "session_gap")
        self.optional = set(classifier._encoder.optional_.known)
        if abstractor is not None:
            self.optional |= abstractor._optional.known
        self.ranges = classifier._encoder.ranges_.ranges_
        numbers = classifier.event_numbers_
        self.of_numbers = (
            [
                np.reshape(values, (-1, 1))
                for values in (numbers.low_, numbers.high_, numbers.mean_, numbers.scale_)
            ]
            if numbers.names_
            else []
        )
        self.dtype = np.dtype(classifier.dtype)
        self.network = Networks([net.module_ for net in classifier.estimators_], self.dtype)
        self.profile_sizes = self.encoder.field_sizes_

    @classmethod
    def of(cls, model: Any) -> Plan | None:
        """Return the plan of a model; None if the fast path does not support the model."""
        if isinstance(model, PointsScaler):
            model = unwrap(model)
        steps = [step for _, step in model.steps] if type(model) is Pipeline else [model]
        kinds = [type(step) for step in steps]
        usual = [BehaviorAbstractor, Sessionizer, HUIHENClassifier]
        if kinds not in (usual, usual[1:]):
            return None
        abstractor = steps[0] if len(steps) == 3 else None
        sessionizer, classifier = steps[-2:]
        in_front = steps[:-1]
        vocabulary = classifier.vocabulary_
        if (
            any(step.behaviors != classifier.behaviors for step in in_front)
            or any(step.applied_at != classifier.applied_at for step in in_front)
            or classifier.applied_at is None
            or len({step._lookback() for step in in_front}) > 1
            or sessionizer.session is not None
            or not any(vocabulary.sizes_)
            or (classifier.blend_ is not None and classifier.blend_.base)
            or not set(classifier.event_numbers_.names_) <= {"interval", "age", "amount"}
            or not set(classifier._encoder.ranges_.ranges_) <= {"interval", "age", "amount"}
            or not all(Networks.knows(net.module_) for net in classifier.estimators_)
        ):
            return None
        return cls(abstractor, sessionizer, classifier)

    def examples(self) -> list[dict[str, Any]]:
        """Return a few made-up applications with values that the model knows."""
        encoder, names = self.encoder, list(self.vocabulary._row_of)
        if self.has_abstractor:
            abstractor: Any = self.codes.abstractor
            names = list(abstractor._table._by_name)
        examples = []
        for number, n_events in enumerate((0, 40, 3)):
            profile: dict[Any, Any] = {
                name: float(low + number / 4 * (high - low)) if math.isfinite(high - low) else None
                for name, low, high in zip(
                    getattr(encoder, "_numbers", ()),
                    getattr(encoder, "_low", ()),
                    getattr(encoder, "_high", ()),
                    strict=True,
                )
            }
            for name, (row_of, _) in getattr(encoder, "_one_hot", {}).items():
                profile[name] = list(row_of)[number % len(row_of)]
            for name in self.classifier.feature_names_in_:
                profile.setdefault(name, None)
            amount = self.ranges["amount"].high if "amount" in self.ranges else 1.0
            events = [
                {
                    "time": datetime(2024, 5, 1, 8 + 3 * (i // 10), i % 10, 2 * i % 60),
                    "operation": names[(7 * i + number) % len(names)],
                    "item": None if i % 3 else "made up",
                    "amount": None if i % 4 else amount / (1 + i),
                }
                for i in range(n_events)
            ]
            profile |= {self.behaviors: events, self.applied_at: datetime(2024, 5, 2, 9)}
            examples.append(profile)
        return examples

    def probability(self, application: Mapping[str, Any], applied_at: datetime) -> float | None:
        """Return the probability; None if the model itself must score the application."""
        zone = applied_at.tzinfo
        if (zone is not None and zone is not UTC) or type(applied_at) is not datetime:
            return None
        limit = (applied_at.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
        try:
            profile = self._encode(application)
            read = self._read(application.get(self.behaviors), limit, zone is not None)
        except (KeyError, TypeError, AttributeError, OverflowError, ValueError, pa.ArrowException):
            return None  # the model will raise an error that explains it
        if profile is None or read is None:
            return None
        with np.errstate(
            over="ignore"
        ):  # exp may be infinite; the quotient is then 0, as it should
            logits = self.network.logits(profile, self.profile_sizes, *read)
        log_odds = logits[1] - logits[0]
        blend = self.classifier.blend_
        if blend is not None:
            log_odds = self.dtype.type(blend.log_odds(0.0, log_odds))
        return float(expit(np.float64(log_odds)))

    def _encode(self, application: Mapping[str, Any]) -> NDArray[Any] | None:
        """Return the encoded profile, as `ProfileEncoder.encode` does."""
        encoder = self.encoder
        if not encoder.n_features_in_:
            return np.empty(0, dtype=self.dtype)
        numbers = np.empty(len(encoder._numbers))
        for i, name in enumerate(encoder._numbers):
            value = application[name]
            if value is None or name in encoder._without_value:
                value = math.nan
            elif not isinstance(value, int | float):
                return None
            numbers[i] = value
        if ((numbers < encoder._low) | (numbers > encoder._high)).any():
            for name, value in zip(encoder._numbers, numbers.tolist(), strict=True):
                known = encoder._ranges.get(name)
                if abs(value) > _LARGE or (
                    known is not None
                    and not known.low_far <= value <= known.high_far
                    and value == value
                ):
                    return None  # the model must warn or raise an error
        missing = np.isnan(numbers)
        filled = np.where(missing, encoder._medians, numbers)
        piecewise = encoder._piecewise
        columns = np.clip(filled[piecewise.source], piecewise.start, piecewise.stop)
        columns -= piecewise.start
        columns /= piecewise._width
        encoded = [columns, missing[encoder._with_indicator]]
        for name, (row_of, table) in encoder._one_hot.items():
            text = application[name]
            if text is None:
                text = MISSING
            elif type(text) is not str or not is_unicode(text):
                return None
            encoded.append(table[row_of.get(text, -1)])
        scaled = (np.concatenate(encoded)[encoder._order] - encoder._mean) / encoder._scale
        return scaled.astype(self.dtype)

    def _read(self, events: Any, limit: int, is_utc: bool) -> tuple[Any, ...] | None:
        """Return the events as input of the networks; None if the model itself must score them."""
        if not events:
            return () if events is None or type(events) is list else None
        times = list(map(_TIME, events))
        operations = list(map(_OPERATION, events))
        items, amounts = _values(events, "item", _ITEM), _values(events, "amount", _AMOUNT)
        if set(map(type, operations)) != {str} or not set(map(type, items)) <= _TEXTS:
            return None
        if not set(map(type, amounts)) <= _NUMBERS or "field" in events[0]:
            return None
        for name in self.optional:
            if not any(name in event for event in events):
                return None  # the model must warn
        time = _microseconds(times, is_utc)
        if time is None:
            return None
        amount = pa.array(amounts, pa.float64()).to_numpy(zero_copy_only=False)
        pairs = zip(operations, items, strict=True)
        code = np.fromiter(map(self.codes.__getitem__, pairs), np.int64, len(events))
        order = _order(time, [event["seq"] for event in events] if "seq" in events[0] else None)
        keep: Any = (time < limit) & (time >= limit - self.lookback) & (code != DROPPED)
        if order is not None:
            keep = order[keep[order]]
        elif keep.all():
            keep = slice(None)
        time, amount, code = time[keep], amount[keep], code[keep]
        if not len(time):
            return ()
        if (np.abs(amount) > _LARGE).any():
            return None
        unknown = code & 3 == 3
        if unknown.any():
            has_item = np.array([items[i] is not None for i in np.arange(len(events))[keep]])
            field = np.where(~np.isnan(amount), TRANSFORM, np.where(has_item, 0, 2))
            if self.has_abstractor:
                if unknown.sum() > 0.05 * len(code):
                    return None
                code = np.where(unknown, np.array(self.others)[field], code)
            else:
                code = (code & ~3) | field
        return self._sessions(time, amount, code, limit, is_utc)

    def _sessions(
        self,
        time: NDArray[np.int64],
        amount: NDArray[np.float64],
        code: NDArray[np.int64],
        limit: int,
        is_utc: bool,
    ) -> tuple[Any, ...] | None:
        """Cut sessions as `Sessionizer` does, and describe events as `HUIHENClassifier` does."""
        sessionizer, classifier = self.sessionizer, self.classifier
        n = len(time)
        start = np.concatenate([[0], np.flatnonzero(time[1:] - time[:-1] > self.gap) + 1])
        stop = np.append(start[1:], n)
        long_enough = stop - start >= sessionizer.min_behaviors
        start, stop = start[long_enough], stop[long_enough]
        if sessionizer.max_sessions is not None:
            start, stop = start[-sessionizer.max_sessions :], stop[-sessionizer.max_sessions :]
        if not len(start):
            return ()
        if sessionizer.max_behaviors is not None:
            start = np.maximum(start, stop - sessionizer.max_behaviors)
        lengths = stop - start
        first = np.cumsum(lengths) - lengths
        kept = np.arange(lengths.sum()) + np.repeat(start - first, lengths)
        time, amount, code = time[kept], amount[kept], code[kept]
        interval = np.empty(len(time))
        np.divide(time[1:] - time[:-1], 1e6, out=interval[1:])
        interval[first] = 0.0
        of_events = {"amount": amount, "interval": interval, "age": (limit - time) / 1e6}
        for name, known in self.ranges.items():
            values = of_events[name]
            outside = (values < known.low) | (values > known.high)
            if outside.any() and known.is_unusual(known.look(values)):
                return None  # the model must warn

        field = code & 3
        is_transform = field == TRANSFORM
        negative = is_transform & (amount < 0)
        number = self.vocabulary._numbers[code >> 2, field, negative.astype(np.int64)]
        scaled = np.flatnonzero(is_transform & ~np.isnan(amount))
        scale = np.log1p(np.abs(amount[scaled])).clip(*self.vocabulary.scales_)
        event_numbers = classifier.event_numbers_
        # One row for each number, and a last row of ones for the bias of the time gate.
        numbers = np.ones((len(event_numbers.names_) + 1, len(time)))
        if len(numbers) > 1:
            values = np.array([of_events[name] for name in event_numbers.names_])
            values = np.copysign(np.log1p(np.abs(values)), values)
            low, high, mean, scale_of = self.of_numbers
            np.minimum(np.maximum(values, low, out=values), high, out=values)
            values -= mean
            values /= scale_of
            values[np.isnan(values)] = 0.0
            numbers[:-1] = values
        if "interval" in self.ranges:
            known = self.ranges["interval"]
            interval = interval.clip(known.low, known.high)
        dtype = self.dtype
        return (
            number,
            scaled,
            scale.astype(dtype),
            interval.astype(dtype),
            self._days(time, is_utc),
            numbers.astype(dtype),
            lengths,
            self._topics(number).astype(dtype),
        )

    def _days(self, time: NDArray[np.int64], is_utc: bool) -> NDArray[np.int64]:
        """Return weekday and day of the month as one number."""
        if self.sessionizer.time_zone is not None:
            if not is_utc:
                raise ValueError("times without a time zone cannot be converted to another one")
            stamps = pa.array(time, pa.timestamp("us", "UTC")).cast(
                pa.timestamp("us", self.sessionizer.time_zone)
            )
            weekday, monthday = pc.day_of_week(stamps).to_numpy(), pc.day(stamps).to_numpy()
            return weekday * 31 + monthday - 1
        day = time // _DAY
        if day.min() >= 0 and day.max() < len(_DAYS):
            return _DAYS[day]
        return _days_of(day)

    def _topics(self, number: NDArray[np.int64]) -> NDArray[np.float64]:
        topics = self.classifier.topics_
        if not topics.n_axes:
            return np.empty(0)
        counts = np.bincount(number, minlength=topics.n_behaviors + 1)[topics._used]
        roots = np.sqrt(counts)
        total = roots @ topics.loadings_[topics._used]
        return (total / (roots.sum() + BESIDE)).clip(-FARTHEST, FARTHEST)


def _days_of(day: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return weekday and day of the month of days since 1970 as one number."""
    date = day.view("M8[D]")
    monthday = (date - date.astype("M8[M]")).astype(np.int64)
    return (day + 3) % 7 * 31 + monthday


#: Weekday and day of the month for the days of a century, computed once.
_DAYS = _days_of(np.arange(36_525))
_TIME, _OPERATION, _ITEM, _AMOUNT = map(itemgetter, ("time", "operation", "item", "amount"))


def _values(events: list[Any], name: str, get: Any) -> list[Any]:
    """Return the values of a subfield; None for events without it."""
    try:
        return list(map(get, events))
    except KeyError:
        return [event.get(name) for event in events]


_ZONE = attrgetter("tzinfo")
_INSTANT, _CLOCK = pa.timestamp("us", "UTC"), pa.timestamp("us")
_TEXTS, _NUMBERS = {str, type(None)}, {float, int, type(None)}


def _microseconds(times: list[Any], is_utc: bool) -> NDArray[np.int64] | None:
    """Return times in microseconds; None unless all are texts or datetimes of the right zone."""
    kinds, zone = set(map(type, times)), UTC if is_utc else None
    kind = _INSTANT if is_utc else _CLOCK
    if kinds == {str}:
        return pa.array(times).cast(kind).view(pa.int64()).to_numpy()
    if kinds == {datetime} and set(map(_ZONE, times)) == {zone}:
        return pa.array(times, kind).view(pa.int64()).to_numpy()
    return None


def _order(time: NDArray[np.int64], seq: list[Any] | None) -> NDArray[np.int64] | None:
    """Return the order by time and then ``seq``; None if the events are already in this order."""
    step = time[1:] - time[:-1]
    if seq is None:
        return None if (step >= 0).all() else np.argsort(time, kind="stable")
    if set(map(type, seq)) != {int}:
        raise TypeError("seq must contain integers")
    number = np.array(seq, dtype=np.int64)
    if ((step > 0) | ((step == 0) & (number[1:] >= number[:-1]))).all():
        return None
    return np.lexsort([number, time])
