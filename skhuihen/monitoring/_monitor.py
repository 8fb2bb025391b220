"""Monitor: references frozen at training time, and the comparison of later months with them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from skhuihen._compat import of_overdue, one_column
from skhuihen._events.frames import as_frame
from skhuihen._tables.parquet import ParquetTable, is_parquet
from skhuihen.monitoring._bins import Bins, CategoryBins, NumberBins, count_texts
from skhuihen.monitoring._measures import (
    KINDS,
    UNSEEN,
    Columns,
    Key,
    Taken,
    abstractor_of,
    check_period,
    counted,
    learn_bins,
    most_present,
    take,
)
from skhuihen.monitoring._months import EVENTS, MonitorResult, Month, Reference, compare
from skhuihen.monitoring._scores import N_CELLS, cells_of
from skhuihen.persistence._archive import from_json, read_file, read_parts, unpack_parts

FORMAT = 1
PART = "monitor.json"
#: A longer gap between months is rather a wrong date than months without applications.
LONGEST_GAP = 36


class Monitor(BaseEstimator):
    """Watch a model month by month: its input, its scores and, once labels are known, its errors.

    `fit` freezes what the months are compared with: bins and counts of the score, of each profile
    column and of the behaviors, and the calibration. It keeps counts only, no row. `check` compares
    later applications with them.

    An alarm sounds where a month differs from the reference by more than chance explains. With
    nothing changed, the probability of any alarm, over all measures and `n_months` months together,
    is at most `false_alarm_rate`.

    Parameters
    ----------
    false_alarm_rate : float, default=0.05
        Probability of one or more false alarms in `n_months` months, strictly between 0 and 1.
    n_months : int, default=12
        Number of months for which that holds.
    min_psi : float, default=0.02
        A smaller stability index never sounds an alarm, however certain the change is. By rule of
        thumb, below 0.1 is stable and above 0.25 has shifted.
    n_bins : int, default=10
        Number of quantile bins of scores and numbers.
    n_behaviors : int, default=20
        Number of behaviors to watch: those that most applicants have.
    freq : str, default="M"
        Length of a period, as pandas writes it: ``"M"`` for months, ``"W"`` for weeks.
    confidence_level : float, default=0.95
        Confidence level of the intervals.
    behaviors : str, default="behaviors"
        Name of the nested column, if the table has it.
    applied_at : str, default="applied_at"
        The column with the time of the application.
    id_columns : sequence of str, default=("user_id", "application_id")
        Columns that are not watched.

    Attributes
    ----------
    measures_ : DataFrame
        What is watched: ``kind`` and ``name``.
    n_checks_ : int
        Number of tests in a month: one for each measure, one for the AUC and one for calibration.
    level_ : float
        A test sounds an alarm if its p-value is below this.
    n_rows_ : int
        Number of reference rows.

    See Also
    --------
    skhuihen.risk_report : Compares models on one set of rows.

    Notes
    -----
    **Changes.** The stability index says how large a change is. Whether it is more than chance is
    Pearson's test of homogeneity on the same bins (Fisher's exact test for two), which knows how
    many rows both sides have. Neighboring bins are merged until each expects 20 rows. A behavior
    counts once per applicant, because events of one applicant are not independent. ``level_`` is
    Sidak's correction of `false_alarm_rate` for ``n_checks_ * n_months`` tests. Measures that rise
    and fall together make false alarms rarer than stated.

    **Labels.** The AUC is tested for a fall (one-sided, DeLong), calibration for a shift in either
    direction. Months with fewer than 20 overdue or 20 other labels are not tested.

    **Before labels.** The expected AUC is that of probabilities as well calibrated as the reference
    (`skhuihen.metrics.expected_auc`, after a logistic recalibration). Its interval is for the AUC
    that will be observed. It follows the mix of applicants. It cannot see that the same score has
    come to mean another risk; no method can before labels are known.

    **Not tested.** The number of applications is shown but sounds no alarm: business changes it,
    and no rate of false alarms can be promised.

    Fit the monitor on rows that the model was not trained on, such as the last months before the
    release. On training rows, scores are too good and would differ from those of new rows at once.

    References
    ----------
    B. Yurdakul and J. Naranjo, "Statistical properties of the population stability index", Journal
    of Risk Model Validation 14, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import Monitor, ProfileEncoder
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=2, n_old=3000, overdue_rate=0.3, random_state=0)
    >>> X, y = bank.old_applications, bank.old_y
    >>> model = make_pipeline(ProfileEncoder(), LogisticRegression()).fit(X[:1000], y[:1000])
    >>> monitor = Monitor().fit(model, X[1000:2000], y[1000:2000])
    >>> later = X[2000:].assign(user__age=X["user__age"].clip(upper=35))
    >>> monitor.check(model, later).alarms["name"].unique().tolist()
    ['user__age']
    """

    _parameter_constraints: dict = {
        "false_alarm_rate": [Interval(Real, 0, 1, closed="neither")],
        "n_months": [Interval(Integral, 1, None, closed="left")],
        "min_psi": [Interval(Real, 0, None, closed="left")],
        "n_bins": [Interval(Integral, 2, None, closed="left")],
        "n_behaviors": [Interval(Integral, 0, None, closed="left")],
        "freq": [str],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "behaviors": [str],
        "applied_at": [str],
        "id_columns": ["array-like"],
    }

    def __init__(
        self,
        false_alarm_rate: float = 0.05,
        n_months: int = 12,
        *,
        min_psi: float = 0.02,
        n_bins: int = 10,
        n_behaviors: int = 20,
        freq: str = "M",
        confidence_level: float = 0.95,
        behaviors: str = "behaviors",
        applied_at: str = "applied_at",
        id_columns: Sequence[str] = ("user_id", "application_id"),
    ) -> None:
        self.false_alarm_rate = false_alarm_rate
        self.n_months = n_months
        self.min_psi = min_psi
        self.n_bins = n_bins
        self.n_behaviors = n_behaviors
        self.freq = freq
        self.confidence_level = confidence_level
        self.behaviors = behaviors
        self.applied_at = applied_at
        self.id_columns = id_columns

    def fit(self, model: Any, X: Any, y: Any) -> Self:
        """Freeze the reference.

        Parameters
        ----------
        model : fitted classifier or Pipeline, or str
            The model to watch, or the column of ``X`` that holds its probabilities.
        X : DataFrame, other table or Parquet of shape (n_applications, n_columns)
            Reference rows that the model was not trained on. Parquet (a path, a glob, a folder or
            a list of files) is read part by part. Of each row only its numbers, its label and its
            probability are kept in memory until `fit` ends, to find quantiles.
        y : array-like of shape (n_applications,), or str
            Their labels, or the column of ``X`` that holds them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a column is missing, labels are missing or of one class, or a parameter is invalid.
        """
        self._validate_params()
        check_period(self.freq)
        found = _Collected()
        abstractor = abstractor_of(model)
        for frame, probability, label in self._parts(model, X, y):
            if not found.labels:
                left_out = [*self.id_columns, *(n for n in (model, y) if isinstance(n, str))]
                self._columns = Columns.find(frame, self.behaviors, self.applied_at, left_out)
            found.add(take(frame, probability, self._columns, self.freq, abstractor, None), label)
        outcome = np.concatenate(found.labels) if found.labels else np.empty(0)
        n_missing = int(pd.isna(outcome).sum())
        if n_missing or not len(outcome):
            raise ValueError(
                f"y has {len(outcome)} labels, of which {n_missing} are missing. Every reference "
                "row must have a label. Leave out applications whose outcome is not known yet."
            )
        classes = sorted(set(outcome.tolist()))
        if len(classes) != 2:
            raise ValueError(
                f"y has the labels {classes[:5]}; two are needed, overdue and not overdue."
            )
        self._classes = [c.item() if isinstance(c, np.generic) else c for c in classes]
        self._behaviors = most_present(found.presence, self.n_behaviors)
        cells = np.concatenate(found.cells)
        is_overdue = outcome == self._classes[1]
        overdue = np.bincount(cells[is_overdue], minlength=N_CELLS)
        others = np.bincount(cells[~is_overdue], minlength=N_CELLS)
        self._bins = found.bins(self._columns, self._behaviors, self.n_bins)
        span = self._name_of(found.first), self._name_of(found.last)
        self._reference = Reference.of(overdue, others, found.events, span)
        self._finish()
        return self

    def _name_of(self, month: int) -> str:
        return str(pd.Period(ordinal=int(month), freq=self.freq))

    def _finish(self) -> None:
        self.measures_ = pd.DataFrame(list(self._bins), columns=["kind", "name"])
        self.n_rows_ = int(self._reference.overdue.sum() + self._reference.others.sum())
        self.n_checks_ = len(self._bins) + 2
        self.level_ = float(
            -np.expm1(np.log1p(-self.false_alarm_rate) / (self.n_checks_ * self.n_months))
        )

    def check(self, model: Any, X: Any, y: Any = None) -> MonitorResult:
        """Compare later applications with the reference, month by month.

        Parameters
        ----------
        model : fitted classifier or Pipeline, or str
            As in `fit`.
        X : DataFrame, other table or Parquet of shape (n_applications, n_columns)
            Applications of one or more months. Parquet is read and counted part by part, so it may
            be larger than memory.
        y : array-like of shape (n_applications,), or str, default=None
            Their labels, or the column of ``X`` that holds them. Missing ones are not known yet.

        Returns
        -------
        result : MonitorResult
            Tables of months, changes and alarms. Months do not depend on one another, so a result
            of one month can be stored and put below that of the next. Months without applications
            between others are in the tables, too.

        Raises
        ------
        ValueError
            If a column is missing or a label is none of those of `fit`.
        """
        check_is_fitted(self, "level_")
        abstractor = self._abstractor_of(model)
        found: dict[int, Month] = {}
        for frame, probability, label in self._parts(model, X, y):
            taken = take(frame, probability, self._columns, self.freq, abstractor, self._behaviors)
            outcome = self._outcomes(label)
            for month in np.unique(taken.months):
                rows = taken.months == month
                found.setdefault(int(month), Month()).add(
                    {key: counted(key[0], _value_of(taken, key)[rows]) for key in self._bins},
                    self._bins,
                    cells_of(taken.probability[rows]),
                    outcome[rows],
                    taken.events[rows],
                )
        for before, after in pairwise(sorted(found)):
            if after - before <= LONGEST_GAP:
                for month in range(before + 1, after):
                    found[month] = Month.without_rows(self._bins)
        months = {self._name_of(month): found[month] for month in sorted(found)}
        return compare(
            months, self._bins, self._reference, self.level_, self.min_psi, self.confidence_level
        )

    def _abstractor_of(self, model: Any) -> Any:
        """Return what names behaviors in the same way as in `fit`."""
        if UNSEEN not in self._bins:
            return None  # by the subfield itself
        abstractor = abstractor_of(model)
        if abstractor is None:
            raise ValueError(
                "model has no BehaviorAbstractor, but in fit it had one, by which behaviors are "
                "named. Pass the fitted model, not only its probabilities."
            )
        return abstractor

    def _outcomes(self, label: NDArray[Any]) -> NDArray[np.float64]:
        """Return 1 for overdue, 0 for not overdue and NaN for not known."""
        known = ~pd.isna(label)
        result = np.full(len(label), np.nan)
        given = label[known]
        result[known] = given == self._classes[1]
        other = (given != self._classes[0]) & (given != self._classes[1])
        if other.any():
            raise ValueError(
                f"y has the label {given[other][0]!r}; in fit the labels were {self._classes}. Use "
                "the same labels, and leave those that are not known yet missing."
            )
        return result

    def _parts(
        self, model: Any, X: Any, y: Any
    ) -> Iterator[tuple[pd.DataFrame, NDArray[np.float64], NDArray[Any]]]:
        """Yield rows, probabilities and labels, part by part."""
        if not isinstance(model, str) and not callable(getattr(model, "predict_proba", None)):
            raise TypeError(
                f"model is a {type(model).__name__} without predict_proba. Pass a fitted "
                "classifier, a Pipeline that ends in one, or the name of the column of X that "
                "holds its probabilities."
            )
        frames = (
            ParquetTable(X, "X").frames() if is_parquet(X) else iter([as_frame(X, self.behaviors)])
        )
        given = None if y is None or isinstance(y, str) else np.asarray(one_column(y, "y"))
        start = 0
        for frame in frames:
            stop = start + len(frame)
            if isinstance(y, str):
                label = _column(frame, y, "y").astype(object).to_numpy()
            elif given is None:
                label = np.full(len(frame), None, dtype=object)
            else:
                label = given[start:stop].astype(object)
            start = stop
            if isinstance(model, str):
                probability = _column(frame, model, "model").to_numpy(np.float64, na_value=np.nan)
            else:
                inputs = frame.drop(columns=y) if isinstance(y, str) else frame
                probability = of_overdue(model, inputs)
            outside = int((~((probability >= 0) & (probability <= 1))).sum())
            if outside:
                raise ValueError(
                    f"Probabilities must be between 0 and 1; {outside} of {len(frame)} are missing "
                    "or outside. Pass a column with probabilities of overdue, not a score."
                )
            if len(label) == len(frame):
                yield frame, probability, label
        if given is not None and len(given) != start:
            raise ValueError(
                f"y has {len(given)} labels and X has {start} rows. Pass one label for each row, "
                "missing where it is not known."
            )

    # Saving.

    def to_json(self) -> str:
        """Return the fitted monitor as JSON text; it holds counts and no row."""
        check_is_fitted(self, "level_")
        params = {**self.get_params(), "id_columns": list(self.id_columns)}
        columns = {**vars(self._columns)}
        content = {
            "format": FORMAT,
            "params": params,
            "columns": columns,
            "classes": self._classes,
            "behaviors": self._behaviors,
            "bins": [[kind, name, bins.to_dict()] for (kind, name), bins in self._bins.items()],
            "reference": self._reference.to_dict(),
        }
        # Parameters may be numbers of NumPy.
        return json.dumps(
            content, allow_nan=False, separators=(",", ":"), default=lambda number: number.item()
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted monitor as a JSON file.

        `skhuihen.save_model` with ``monitor=`` puts it into the file of the model instead.

        Parameters
        ----------
        path : path
        """
        Path(path).write_text(self.to_json(), encoding="ascii")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a monitor from its JSON file, or from the file of a model that contains one.

        Parameters
        ----------
        path : path

        Returns
        -------
        Monitor

        Raises
        ------
        ValueError
            If the file is damaged or has no monitor.
        """
        content, what = read_file(path), repr(str(path))
        if content[:2] == b"PK":
            parts = unpack_parts(*read_parts(content, what))
            if PART not in parts:
                raise ValueError(
                    f"{what} is the file of a model without a monitor. Save the model with "
                    "save_model(..., monitor=monitor), or load the monitor's own file."
                )
            content = parts[PART]
        found = from_json(content, what)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(
                f"{what} is not a monitor of format {FORMAT}. Pass a file that Monitor.save wrote, "
                "or install the version of skhuihen that wrote it."
            )
        try:
            monitor = cls(**found["params"])
            monitor._validate_params()
            check_period(monitor.freq)
            monitor._columns = Columns.from_dict(found["columns"])
            monitor._classes = _two_labels(found["classes"])
            monitor._behaviors = list(map(str, found["behaviors"]))
            monitor._bins = {
                (_kind(kind), str(name)): _bins(bins) for kind, name, bins in found["bins"]
            }
            _check_measures(monitor._bins, monitor._columns)
            monitor._reference = Reference.from_dict(found["reference"])
            monitor._finish()
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise ValueError(
                f"{what} is a damaged monitor ({type(error).__name__}: {str(error)[:200]}). Fetch "
                "it again, or fit the monitor anew."
            ) from error
        return monitor


def _bins(found: dict[str, Any]) -> Bins:
    return CategoryBins.from_dict(found) if "names" in found else NumberBins.from_dict(found)


def _kind(found: Any) -> str:
    if found not in KINDS:
        raise ValueError(f"there is no kind of measure {found!r:.50}")
    return str(found)


def _check_measures(bins: dict[Key, Bins], columns: Columns) -> None:
    """Reject bins that are not those of the columns."""
    are_numbers = {
        name: isinstance(found, NumberBins)
        for (kind, name), found in bins.items()
        if kind == "column"
    }
    others = [found for (kind, _), found in bins.items() if kind != "column"]
    if ("score", "score") not in bins or are_numbers != columns.numbers:
        raise ValueError("measures are not the score and the columns")
    if not all(isinstance(found, NumberBins) for found in others):
        raise ValueError("a measure that is a number has categories")


def _two_labels(found: Any) -> list[Any]:
    if len(found) != 2 or not all(isinstance(label, str | int | float) for label in found):
        raise ValueError("classes are not two labels")
    return list(found)


@dataclass
class _Collected:
    """What is kept of the reference rows, part by part, until there are bins."""

    labels: list[NDArray[Any]] = field(default_factory=list)
    cells: list[NDArray[np.int64]] = field(default_factory=list)
    numbers: dict[Key, list[NDArray[np.float64]]] = field(default_factory=dict)
    texts: dict[Key, tuple[Counter[str], int]] = field(default_factory=dict)
    presence: Counter[str] = field(default_factory=Counter)
    n_with_history: int = 0
    events: pd.Series = field(default_factory=lambda: pd.Series(0.0, index=EVENTS))
    first: int = 0
    last: int = 0

    def add(self, taken: Taken, label: NDArray[Any]) -> None:
        """Add a part."""
        months = [int(taken.months.min()), int(taken.months.max())] if len(label) else []
        if self.labels:
            months += [self.first, self.last]
        if months:
            self.first, self.last = min(months), max(months)
        self.labels.append(label)
        self.cells.append(cells_of(taken.probability))
        for key, values in taken.values.items():
            if values.dtype == object:
                known, n_missing = count_texts(values)
                before, n_before = self.texts.get(key, (Counter(), 0))
                self.texts[key] = before + known, n_before + n_missing
            else:
                self.numbers.setdefault(key, []).append(counted(key[0], values))
        self.presence.update(taken.presence)
        self.n_with_history += int((taken.events["events"] > 0).sum())
        self.events = self.events + taken.events.sum()

    def bins(self, columns: Columns, behaviors: list[str], n_bins: int) -> dict[Key, Bins]:
        """Return the frozen bins, by kind."""
        bins: dict[Key, Bins] = {}
        for key, (known, n_missing) in self.texts.items():
            bins[key] = CategoryBins.learn(known, n_missing)
        for key, parts in self.numbers.items():
            values = np.concatenate(parts)
            parts.clear()
            if key[0] == "column" and np.isnan(values).all():
                # Of which nothing is known: later values may be texts as well as numbers.
                columns.numbers[key[1]] = False
                bins[key] = CategoryBins.learn({}, values.size)
            else:
                bins |= learn_bins({key: values}, columns, n_bins)
        for name in behaviors:
            n_with = self.presence[name]
            bins["behavior", name] = NumberBins.presence(self.n_with_history - n_with, n_with)
        columns_in_order = {("column", name): 0 for name in columns.numbers}
        order = [*columns_in_order, *bins]
        return {
            key: bins[key]
            for key in sorted(dict.fromkeys(order), key=lambda key: KINDS.index(key[0]))
        }


def _value_of(part: Taken, key: Key) -> NDArray[Any]:
    """Return a measure; a behavior that nobody has in a part is absent everywhere in it."""
    if key in part.values:
        return part.values[key]
    if key[0] == "behavior":
        has_history = part.events["events"].to_numpy() > 0
        return np.where(has_history, 0.0, np.nan)
    return np.full(len(part.months), np.nan)


def _column(frame: pd.DataFrame, name: str, parameter: str) -> pd.Series:
    if name not in frame.columns:
        raise ValueError(
            f"{parameter} is the name {name!r}, and X has no such column; it has "
            f"{list(frame.columns)}."
        )
    return frame[name]
