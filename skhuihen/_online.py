"""Scores one application for a decision engine: takes a dict and returns a probability."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skhuihen._encoding.vocabulary import TRANSFORM
from skhuihen._events.behaviors import MISSING
from skhuihen._points import PointsScaler
from skhuihen._tables.texts import is_unicode
from skhuihen._tables.times import microseconds_of
from skhuihen.classifier import HUIHENClassifier
from skhuihen.inspection import explain, reason_codes
from skhuihen.inspection._explanation import _plain
from skhuihen.inspection._scores import unwrap
from skhuihen.network.habit import UserItemAwareGRU
from skhuihen.network.huihen import HUIHEN
from skhuihen.network.intention import TimeAwareGRU
from skhuihen.persistence import load_model, read_manifest
from skhuihen.persistence._schema import _last_of
from skhuihen.preprocessing._abstraction.rules import EXCLUDED, FIELDS, other_of
from skhuihen.preprocessing._abstractor import BehaviorAbstractor
from skhuihen.preprocessing._base import BehaviorTransformer
from skhuihen.preprocessing._correspondence import BESIDE, FARTHEST
from skhuihen.preprocessing._sessionizer import Sessionizer

_EPOCH, _MICROSECOND = datetime(1970, 1, 1), timedelta(microseconds=1)
_DAY = 86_400_000_000
#: Largest number of pairs of operation and item whose behavior is cached, so that hostile input
#: cannot fill the memory.
_MOST_REMEMBERED = 50_000
#: Largest difference between the scores of the fast path and those of the model.
_AGREEING = 1e-5
#: Arrow reads larger amounts as another type.
_LARGE = 9e18
#: Larger than every float.
_TOO_LARGE = 2**1023


class ApplicationError(ValueError):
    """An application that cannot be scored because a field is missing, unknown or invalid.

    Attributes
    ----------
    field : str
        The field to correct.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class OnlineScorer:
    """Score one application at a time, in one to two milliseconds.

    This gives the result of `predict_proba` for a table of one row, without building the table.
    There is a fast path for a Pipeline of `BehaviorAbstractor` (optional), `Sessionizer` and
    `HUIHENClassifier`: it computes the score of ordinary input with plain arrays. The model itself
    scores all other input, such as values that require a warning or an error and types that must be
    converted, and all input if the Pipeline has other steps. So the cut at the application time,
    the sessions, the warnings and the errors are always those of the model.

    Parameters
    ----------
    model : fitted classifier or Pipeline, or path
        A path must be that of a file written by `save_model`.
    background : DataFrame or other table, default=None
        Only for reasons: the ``background`` of `skhuihen.inspection.explain`, such as five approved
        applications. From more rows, each call selects five, which takes longer.
    reason_table : DataFrame, other table or path of a CSV file, default=None
        Only for reasons: the ``table`` of `skhuihen.inspection.reason_codes`.

    Attributes
    ----------
    model_ : fitted classifier or Pipeline
    sha256_ : str or None
        The hash of the model file; None if the model was not passed as a path.
    is_fast_ : bool
        Whether the fast path is used for ordinary input.

    See Also
    --------
    score_table : Scores many applications.

    Notes
    -----
    Probabilities equal those of the model to 1e-7 in double precision and to 1e-6 in single
    precision, where the score of a row differs by as much between batches of different sizes. Any
    number of threads can share a scorer.

    Create a new scorer after you change the Pipeline.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import HUIHENClassifier, OnlineScorer, Sessionizer, attach_behaviors
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=100, n_old=0, random_state=0)
    >>> columns = ["applied_at", "user_id", "user__age"]
    >>> X = attach_behaviors(bank.applications[columns], bank.events)
    >>> model = make_pipeline(Sessionizer(), HUIHENClassifier(max_epochs=1, random_state=0))
    >>> scorer = OnlineScorer(model.fit(X, bank.y))
    >>> events = [
    ...     {"time": f"2024-05-01T10:00:{second}", "operation": "login", "amount": None}
    ...     for second in (10, 20, 30)]
    >>> application = {
    ...     "applied_at": "2024-05-02T09:00:00", "user__age": 31, "behaviors": events}
    >>> 0 < scorer.probability(application) < 1
    True

    With reasons, which take much longer:

    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     [("user__age", "10", "Age"), ("history", "42", "Use of the app")],
    ...     columns=["player", "code", "text"])
    >>> scorer = OnlineScorer(model, background=X[bank.y == 0][:5], reason_table=table)
    >>> sorted(reason["code"] for reason in scorer.reasons(application)) <= ["10", "42"]
    True
    """

    def __init__(self, model: Any, *, background: Any = None, reason_table: Any = None) -> None:
        self.sha256_: str | None = None
        if isinstance(model, str | os.PathLike):
            self.sha256_ = read_manifest(model)["sha256"]
            model = load_model(model, sha256=self.sha256_)
        if not callable(getattr(model, "predict_proba", None)):
            raise TypeError(
                f"model is a {type(model).__name__} without predict_proba. Pass a fitted "
                "classifier, a Pipeline that ends in one, or the path of a model file."
            )
        check_is_fitted(model)
        if len(model.classes_) != 2:
            raise ValueError(
                f"model has the classes {list(model.classes_)}. It must have two, because the "
                "result is the probability of the second."
            )
        if (background is None) != (reason_table is None):
            lacking = "background" if background is None else "reason_table"
            raise ValueError(
                f"{lacking} is missing. Reasons require both: background=... with applications to "
                "compare with, and reason_table=... with the texts of the reasons."
            )
        self.model_ = model
        self._background, self._reason_table = background, reason_table
        self._fields = _Fields(model)
        plan = _Plan.of(model)
        self._plan = plan if plan is not None and self._agrees(plan) else None
        self.is_fast_ = self._plan is not None

    def probability(self, application: Mapping[str, Any] | str | bytes) -> float:
        """Return the probability of ``model_.classes_[1]``.

        Parameters
        ----------
        application : dict, or JSON of one
            The profile by column; the application time (``applied_at``) as a datetime or an ISO
            8601 string; and the events (``behaviors``) as a list of dicts with ``time``,
            ``operation`` and the other subfields that the model reads. Identifiers are optional.
            Other subfields of events are ignored.

        Returns
        -------
        float

        Raises
        ------
        ApplicationError
            A ValueError. Its ``field`` is the name of the field that is missing, unknown or of a
            wrong type.
        ValueError, TypeError
            If the model itself rejects the application.
        """
        application, applied_at = self._read(application)
        if self._plan is not None and applied_at is not None:
            found = self._plan.probability(application, applied_at)
            if found is not None:
                return found
        return self._ask_model(application, applied_at)

    def reasons(
        self,
        application: Mapping[str, Any] | str | bytes,
        *,
        n_reasons: int = 4,
        reference: Any = None,
        against: str = "mean",
    ) -> list[dict[str, Any]]:
        """Return the principal reasons of an application, the largest first.

        Parameters
        ----------
        application : dict, or JSON of one
            As for `probability`.
        n_reasons, reference, against
            As for `skhuihen.inspection.reason_codes`.

        Returns
        -------
        list of dict
            Rows of `skhuihen.inspection.reason_codes` as values that JSON can represent: ``rank``
            (None for a reason that must not be told), ``code``, ``text``, ``effect``, ``player``,
            ``shown``, ``told``.

        Raises
        ------
        ValueError
            If the scorer was created without a background and a table of reasons, if a player is
            missing from that table, or for the same reasons as in `probability`.
        """
        if self._background is None:
            raise ValueError(
                "The scorer has no background and no table of reasons. Create it with "
                "background=... and reason_table=..."
            )
        application, applied_at = self._read(application)
        fields = self._fields
        explanation = explain(
            self.model_,
            fields.as_frame(application, applied_at),
            self._background,
            behaviors=fields.behaviors,
            applied_at=fields.applied_at,
            id_columns=sorted(fields.ids, key=str),
        )
        codes = reason_codes(
            explanation,
            self._reason_table,
            n_reasons=n_reasons,
            reference=reference,
            against=against,
        )
        rows = codes.drop(columns=["application", "index"]).to_dict("records")
        return [{str(name): _plain(value) for name, value in row.items()} for row in rows]

    def _read(
        self, application: Mapping[str, Any] | str | bytes
    ) -> tuple[Mapping[str, Any], datetime | None]:
        """Return the application, after a check of its fields, and its time."""
        if isinstance(application, str | bytes | bytearray):
            application = _from_json(application)
        if not isinstance(application, Mapping):
            raise ApplicationError(
                "", f"The application is a {type(application).__name__}. It must be a dict."
            )
        self._fields.check(application)
        return application, self._fields.read_applied_at(application)

    def _ask_model(self, application: Mapping[str, Any], applied_at: datetime | None) -> float:
        frame = self._fields.as_frame(application, applied_at)
        return float(self.model_.predict_proba(frame)[0, 1])

    def _agrees(self, plan: _Plan) -> bool:
        """Return whether the fast path gives the scores of the model for made-up examples."""
        for application in plan.examples():
            applied_at = self._fields.read_applied_at(application)
            assert applied_at is not None
            found = plan.probability(application, applied_at)
            if found is None or abs(found - self._ask_model(application, applied_at)) > _AGREEING:
                return False
        return True


def _from_json(text: str | bytes | bytearray) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ApplicationError("", f"The application is not valid JSON ({error}).") from error


class _Fields:
    """The fields of an application, and how to make a table of them."""

    def __init__(self, model: Any) -> None:
        last = _last_of(model)
        of_first = list(getattr(model, "feature_names_in_", getattr(last, "feature_names_in_", ())))
        if not of_first:
            raise ValueError(
                "The model was fitted on an array, whose columns have no names. Pass a model that "
                "was fitted on a table with column names."
            )
        self.behaviors: str = getattr(last, "behaviors", "behaviors")
        self.applied_at: str | None = getattr(last, "applied_at", "applied_at")
        ids = {*getattr(last, "id_columns", ("user_id", "application_id"))}
        if schema := getattr(last, "_schema", None):
            ids |= schema.identifiers | schema.times
        self.ids = ids
        self.order = of_first
        needed = of_first
        # These steps change only the events, so the classifier knows the columns of the profile.
        front = model.steps[:-1] if isinstance(model, Pipeline) else []
        if isinstance(last, HUIHENClassifier) and all(
            isinstance(step, BehaviorTransformer) for _, step in front
        ):
            needed = list(last.feature_names_in_)
        special = {self.behaviors, self.applied_at}
        self.needed = [name for name in needed if name not in special | ids]
        self.is_timed = self.applied_at in of_first or self.applied_at in ids
        self.known = {*of_first, *ids} | {name for name in special if name is not None}
        self.subfields = _subfields_of(model)

    def check(self, application: Mapping[str, Any]) -> None:
        """Reject an application with a missing or an unknown field."""
        for name in self.needed:
            if name not in application:
                raise ApplicationError(
                    name,
                    f"The application has no field {name!r}, which the model requires. Add it; "
                    "use None if the value is missing.",
                )
        for name in application:
            value = application[name]
            if type(value) is int and abs(value) >= _TOO_LARGE:
                raise ApplicationError(
                    str(name),
                    f"The field {str(name)[:100]!r} is an integer of {value.bit_length()} bits; "
                    "it must have at most 1,023 bits.",
                )
            if name not in self.known:
                raise ApplicationError(
                    str(name),
                    f"The application has a field {str(name)[:100]!r}, which the model does not "
                    f"know. Remove it; the model knows {sorted(map(str, self.known))}.",
                )

    def read_applied_at(self, application: Mapping[str, Any]) -> datetime | None:
        """Return the time of the application, in UTC if it is a text with an offset."""
        if self.applied_at is None:
            return None
        if self.applied_at not in application:
            if not self.is_timed:
                return None
            raise ApplicationError(
                self.applied_at,
                f"The application has no field {self.applied_at!r}, so events after the "
                "application could not be excluded from its score. Add its time.",
            )
        value = application[self.applied_at]
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError as error:
                raise ApplicationError(
                    self.applied_at,
                    f"The field {self.applied_at!r} is {value[:40]!r}. It must be a time in ISO "
                    "8601, such as '2024-05-01T10:00:00'.",
                ) from error
            return value if value.tzinfo is None else value.astimezone(UTC)
        if not isinstance(value, datetime) or value is pd.NaT:
            raise ApplicationError(
                self.applied_at,
                f"The field {self.applied_at!r} is a {type(value).__name__}. It must be a datetime "
                "or an ISO 8601 string.",
            )
        return value

    def as_frame(self, application: Mapping[str, Any], applied_at: datetime | None) -> pd.DataFrame:
        """Return the application as a table of one row."""
        columns: dict[Any, Any] = {}
        for name in [*self.order, *(n for n in application if n not in self.order)]:
            if name == self.behaviors:
                columns[name] = self._events(application.get(name))
            elif name == self.applied_at and applied_at is not None:
                columns[name] = pd.Series([pd.Timestamp(applied_at)])
            elif name in application:
                columns[name] = pd.Series([application[name]])
        return pd.DataFrame(columns, index=[0])

    def _events(self, events: Any) -> pd.Series:
        if events is None:
            return pd.Series([None], dtype=object)
        if not isinstance(events, list):
            raise ApplicationError(
                self.behaviors,
                f"The field {self.behaviors!r} is a {type(events).__name__}. It must be a list "
                "with one dict for each event.",
            )
        for event in events:
            if not isinstance(event, dict):
                raise ApplicationError(
                    self.behaviors,
                    f"The field {self.behaviors!r} holds a {type(event).__name__}. Each event must "
                    "be a dict.",
                )
        read = [{k: v for k, v in event.items() if k in self.subfields} for event in events]
        return pd.Series([read], dtype=object)


def _subfields_of(model: Any) -> set[str]:
    """Return the subfields of events that any step may read."""
    found = {"time", "seq", "operation", "item", "amount", "field", "behavior"}
    found |= {"session", "interval", "weekday", "monthday"}
    waiting = [model]
    while waiting:
        step = waiting.pop()
        for name in ("session", "group_by"):
            if isinstance(getattr(step, name, None), str):
                found.add(getattr(step, name))
        numbers = getattr(step, "event_numbers_", None)
        found |= set(getattr(numbers, "names_", ()))
        for name in ("steps", "transformer_list", "transformers_"):
            waiting += [part[1] for part in getattr(step, name, ())]
        for name in ("estimator_", "estimator", "base_estimator_"):
            if getattr(step, name, None) is not None:
                waiting.append(getattr(step, name))
        waiting += list(getattr(step, "estimators_", ()))
        waiting += list(getattr(step, "calibrated_classifiers_", ()))
    return found


# --------------------------------------------------------------------------------------------------
# The fast path.


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


class _Plan:
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
        self.network = _Networks([net.module_ for net in classifier.estimators_], self.dtype)
        self.profile_sizes = self.encoder.field_sizes_

    @classmethod
    def of(cls, model: Any) -> _Plan | None:
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
            or not all(_Networks.knows(net.module_) for net in classifier.estimators_)
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


def _pack(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int], NDArray[np.int64]]:
    """Pack a few adjacent sequences in the order of `skhuihen.network.batch.pack`.

    Returns
    -------
    index, sizes
        As in that function.
    place : int64 ndarray of shape (sum of lengths,)
        The position of each step in the packed order.
    """
    order = np.argsort(-lengths, kind="stable")
    longest_first = lengths[order]
    step = np.arange(longest_first[0])[:, None]
    runs = step < longest_first
    index = ((np.cumsum(lengths) - lengths)[order] + step)[runs]
    place = np.empty(len(index), np.int64)
    place[index] = np.arange(len(index))
    return index, runs.sum(axis=1).tolist(), place


class _Networks:
    """Several networks of the same shape, computed together in numpy.

    For a single application, calling an operation of torch takes longer than computing it, and each
    network would call every operation again. Arrays have the shape (gates, steps, networks, units),
    so that the values of one step of a gate are adjacent in memory.

    A sigmoid is a division by ``1 + exp(-x)``; the weights already include the minus sign.
    """

    _PARTS = {
        *("profile_field_aware", "behavior_embedding", "behavior_field_aware"),
        *("period_embedding", "period_field_aware", "intention", "habit", "interaction"),
    }

    @classmethod
    def knows(cls, module: Any) -> bool:
        """Return whether this class can compute a network."""
        return (
            type(module) is HUIHEN
            and {name for name, _ in module.named_children()} == cls._PARTS
            and type(module.intention) is TimeAwareGRU
            and type(module.habit) is UserItemAwareGRU
        )

    def __init__(self, modules: list[Any], dtype: np.dtype[Any]) -> None:
        first = modules[0]
        self.n, self.m, self.k = first.intention.hidden_dim, first.habit.hidden_dim, len(modules)
        self.log_interval = first.intention.log_interval
        self.has_mean = bool(first.mean_dim)
        self.dtype = dtype
        n, m = self.n, self.m

        def stack(find: Any) -> NDArray[Any]:
            with torch.inference_mode():
                found = [np.asarray(find(module).cpu()) for module in modules]
            return np.stack(found).astype(dtype)

        def by_behavior(module: Any) -> Any:
            table, gru = module.map_distinct_behaviors(), module.intention
            return torch.cat([table @ gru.w_input[: table.shape[1]], table @ gru.w_time], dim=1)

        def by_day(module: Any) -> Any:
            week, month = module.period_field_aware(module.period_embedding())
            gru, width = module.intention, module.map_distinct_behaviors().shape[1]
            _, w_week, w_month = gru.w_input.split([width, week.shape[1], month.shape[1]])
            days = (week @ w_week)[:, None] + (month @ w_month + gru.bias)
            return days.reshape(-1, 3 * n)

        def by_gate(weights: NDArray[Any], size: int) -> NDArray[Any]:
            """Bring (networks, rows, gates * units) to (gates, rows, networks, units)."""
            shape = (*weights.shape[:2], weights.shape[2] // size, size)
            weights = np.ascontiguousarray(weights.reshape(shape).transpose(2, 1, 0, 3))
            # The update, reset and time gates are sigmoids; the third gate is a tanh.
            weights[[gate for gate in range(len(weights)) if gate != 2]] *= -1
            return weights

        def flat(weights: NDArray[Any]) -> NDArray[Any]:
            return weights.reshape(*weights.shape[:2], weights.shape[2] * weights.shape[3])

        def before_state(weights: NDArray[Any], size: int) -> NDArray[Any]:
            """Bring (networks, units, gates * units) to (gates, networks, units, units)."""
            return np.ascontiguousarray(by_gate(weights, size).transpose(0, 2, 1, 3))

        self.one = np.array(1, dtype)  # faster to add than a Python number
        # (tanh + 1) / 2 @ w is tanh @ (w / 2) plus a constant, which is added to the bias.
        w_time = stack(lambda module: module.intention.w_time) * 0.5
        w_numbers = stack(lambda module: module.intention.w_numbers)
        bias = np.zeros((len(modules), 1, 4 * n), dtype)
        bias[:, 0, 3 * n :] = stack(lambda module: module.intention.b_time) + w_time.sum(axis=1)
        self.by_behavior = flat(by_gate(stack(by_behavior), n))
        self.by_day = flat(by_gate(stack(by_day), n))
        self.w_numbers = flat(by_gate(np.concatenate([w_numbers, bias], axis=1), n))
        self.q = stack(lambda module: module.intention.q).ravel() * 0.5
        self.w_time = -w_time
        self.w_state = before_state(stack(lambda module: module.intention.w_state), n)
        self.w_reset = stack(lambda module: module.intention.w_reset)

        self.h_input = before_state(stack(lambda module: module.habit.w_input), m)
        self.h_context = before_state(stack(lambda module: module.habit.w_context), m)
        self.h_bias = by_gate(stack(lambda module: module.habit.bias)[:, None], m)
        self.h_state = before_state(stack(lambda module: module.habit.w_state), m)
        self.h_reset = stack(lambda module: module.habit.w_reset)

        self.w_profile = [
            stack(lambda module, i=i: module.profile_field_aware.weights[i])
            for i in range(len(first.profile_field_aware.weights))
        ]
        self.layers: list[tuple[NDArray[Any] | None, NDArray[Any]]] = []
        for path, layer in first.interaction.named_modules():
            if path and hasattr(layer, "bias"):
                weight = stack(lambda module, p=path: module.interaction.get_submodule(p).weight)
                bias = stack(lambda module, p=path: module.interaction.get_submodule(p).bias)
                self.layers.append((np.ascontiguousarray(weight.swapaxes(1, 2)), bias[:, None]))
            elif isinstance(layer, torch.nn.PReLU):
                slope = stack(lambda module, p=path: module.interaction.get_submodule(p).weight)
                self.layers.append((None, slope[:, None]))

    def logits(self, profile: NDArray[Any], sizes: tuple[int, ...], *events: Any) -> NDArray[Any]:
        """Return the mean of the networks' two logits.

        Parameters
        ----------
        profile : ndarray of shape (n_columns,)
        sizes : tuple of 3 int
            Number of columns of the user, device and item.
        events
            The arguments of `_read_sessions` and the topics; nothing if there are no behaviors.
        """
        fields: list[Any] = []
        weights = iter(self.w_profile)
        start = 0
        for size in sizes:
            if size:
                field = np.matmul(profile[None, None, start : start + size], next(weights))
                fields.append(np.maximum(field, 0, out=field))
                start += size
            else:
                fields.append(None)
        user, _, item = fields
        present = [field for field in fields if field is not None]
        if events:
            *of_sessions, topics = events
            intention = self._read_sessions(*of_sessions)
            vectors = [intention[:, -1:], self._read_habit(intention, user, item)]
            if self.has_mean:
                vectors.append(intention.mean(axis=1, keepdims=True))
            if len(topics):
                vectors.append(np.broadcast_to(topics, (self.k, 1, len(topics))))
        else:
            joint = self.layers[0][0]
            assert joint is not None
            width = joint.shape[1] - sum(field.shape[2] for field in present)
            vectors = [np.zeros((self.k, 1, width), dtype=self.dtype)]
        x = np.concatenate([*vectors, *present], axis=2)
        for weight, other in self.layers:
            if weight is None:
                np.multiply(x, other, out=x, where=x < 0)
            else:
                x = np.matmul(x, weight)
                x += other
        return np.add.reduce(x, axis=0)[0] / self.k

    def _read_sessions(
        self,
        number: NDArray[np.int64],
        scaled: NDArray[np.int64],
        scale: NDArray[Any],
        interval: NDArray[Any],
        day: NDArray[np.int64],
        numbers: NDArray[Any],
        lengths: NDArray[np.int64],
    ) -> NDArray[Any]:
        """Return the intention of each session, in their order: (networks, sessions, units)."""
        n, k, one = self.n, self.k, self.one
        index, sizes, place = _pack(lengths)
        # Compute everything that does not depend on h for all events together.
        gates = self.by_behavior.take(number[index], axis=1)
        if len(scaled):
            of_scaled = self.by_behavior.take(number[scaled], axis=1)
            of_scaled *= scale[:, None]
            gates[:, place[scaled]] = of_scaled
        gates[:3] += self.by_day.take(day[index], axis=1)
        # The last number is always 1, so that its weights are the bias of the time gate.
        gates += np.matmul(numbers[:, index].T, self.w_numbers)
        gates = gates.reshape(4, len(index), k, n)
        interval = interval[index]
        wait = np.log1p(interval) if self.log_interval else interval
        passing = wait[:, None] * self.q
        np.tanh(passing, out=passing)
        passing = passing.reshape(len(index), k, -1).swapaxes(0, 1)
        time = gates[3]
        time += np.matmul(passing, self.w_time).swapaxes(0, 1)
        np.exp(time, out=time)
        time += one
        gates = gates[:3]
        both_gates = gates[:2]
        updates, resets, news = gates
        buffer = np.empty((3, sizes[0], k, n), dtype=self.dtype)
        again = buffer[0]
        # Views with the networks as the first axis, for matrix products; each step takes a slice.
        of_reset, into, into_again = (
            resets.swapaxes(0, 1),
            buffer.swapaxes(1, 2),
            again.swapaxes(0, 1),
        )
        w_state, w_reset = self.w_state, self.w_reset
        matmul, tanh, exp = np.matmul, np.tanh, np.exp
        add, subtract, divide = np.add, np.subtract, np.divide
        start = 0
        h: Any = None
        for size, running in zip(sizes, [*sizes[1:], 0], strict=True):
            stop = start + size
            update, new = updates[start:stop], news[start:stop]
            if start:
                gate, both, reset = (
                    gates[:, start:stop],
                    both_gates[:, start:stop],
                    resets[start:stop],
                )
                matmul(h.swapaxes(0, 1), w_state, into[:, :, :size])
                add(gate, buffer[:, :size], gate)
                exp(both, both)
                add(both, one, both)
                divide(h, reset, reset)
                matmul(of_reset[:, start:stop], w_reset, into_again[:, :size])
                add(new, again[:size], new)
                tanh(new, new)
                divide(new, time[start:stop], new)
                subtract(new, h, new)
                divide(new, update, new)
                add(new, h, new)
            else:  # the first state is zero and adds nothing
                exp(update, update)
                add(update, one, update)
                tanh(new, new)
                divide(new, time[:stop], new)
                divide(new, update, new)
            h = new[:running]
            start = stop
        return news.take(place[np.cumsum(lengths) - 1], axis=0).swapaxes(0, 1)

    def _read_habit(self, x: NDArray[Any], user: Any, item: Any) -> NDArray[Any]:
        """Return the habit after all sessions: (networks, 1, units)."""
        n_sessions = x.shape[1]
        constant = self.h_bias.transpose(0, 2, 1, 3)
        present = [field for field in (user, item) if field is not None]
        if present:
            constant = constant + np.matmul(np.concatenate(present, axis=2), self.h_context)
        # (sessions, gates, networks, 1, units)
        gates = np.empty((n_sessions, 3, self.k, 1, self.m), dtype=self.dtype)
        gates[:, :, :, 0] = (np.matmul(x, self.h_input) + constant).transpose(2, 0, 1, 3)
        one, h_state, h_reset = self.one, self.h_state, self.h_reset
        update, _, h = gates[0]
        np.exp(update, out=update)
        update += one
        np.tanh(h, out=h)
        h /= update
        added, again = np.empty_like(gates[0, :2]), np.empty_like(h)
        matmul, tanh, exp = np.matmul, np.tanh, np.exp
        add, subtract, divide = np.add, np.subtract, np.divide
        for both, new in zip(gates[1:, :2], gates[1:, 2], strict=True):
            update, reset = both
            matmul(h, h_state, added)
            add(both, added, both)
            exp(both, both)
            add(both, one, both)
            divide(h, reset, reset)
            matmul(reset, h_reset, again)
            add(new, again, new)
            tanh(new, new)
            subtract(new, h, new)
            divide(new, update, new)
            add(new, h, new)
            h = new
        return h
