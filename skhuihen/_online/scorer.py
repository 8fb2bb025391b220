"""`OnlineScorer`: checks an application, and scores it by the plan or by the model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skhuihen._online.plan import Plan
from skhuihen.classifier import HUIHENClassifier
from skhuihen.inspection import explain, reason_codes
from skhuihen.inspection._explanation import _plain
from skhuihen.persistence import load_model, read_manifest
from skhuihen.persistence._schema import _last_of
from skhuihen.preprocessing._base import BehaviorTransformer

#: Largest difference between the scores of the fast path and those of the model.
_AGREEING = 1e-5
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
    """Score one application at a time, in about one millisecond.

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

    If numba is installed (``pip install skhuihen[online]``), the first scorer of a process compiles
    the steps of the networks, which takes a few seconds; each score is then faster.

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
        plan = Plan.of(model)
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

    def _agrees(self, plan: Plan) -> bool:
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
