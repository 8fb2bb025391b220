"""risk_report: champion and challengers on the same rows, in one object and one page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from skhuihen._compat import of_overdue, one_column
from skhuihen._events.frames import as_frame
from skhuihen._tables.labels import as_labels
from skhuihen._tables.times import application_times
from skhuihen.metrics._ranking import check_share
from skhuihen.monitoring._measures import (
    Columns,
    Taken,
    abstractor_of,
    check_period,
    take,
    times_of,
)
from skhuihen.reporting import _tables
from skhuihen.reporting._page import Page


@dataclass(frozen=True)
class RiskReport:
    """What `risk_report` found, as tables and as a page.

    The first model is the champion, the others are challengers. Intervals have the confidence
    level of the call.

    Attributes
    ----------
    summary : list of str
        The main findings in sentences.
    sample : dict of str to object
        Rows, overdue rows, first and last day, and what was compared with what.
    performance : DataFrame
        AUC, Gini and KS with intervals; one row per model.
    comparison : DataFrame
        DeLong's test of each challenger: AUC of the challenger minus that of the champion.
    calibration : DataFrame
        `skhuihen.metrics.calibration_summary` of each model that gives probabilities.
    deciles : DataFrame
        `skhuihen.metrics.lift_table` of each model, with intervals of the overdue rates.
    curves : DataFrame
        Points of the KS chart of each model.
    by_month, by_segment : DataFrame
        Rows, overdue rate, mean probability and AUC of each model. Segments of fewer than 30 rows
        are put together.
    stability : DataFrame
        Stability index of scores, profile columns and behaviors between the two periods, the
        largest first, with its ``size`` by the rule of thumb. ``p_value`` says whether chance
        explains it. ``missing_before`` and ``missing_after`` are shares of rows; ``outside`` counts
        later values outside the earlier range, or in no frequent category.
    behaviors : DataFrame
        Share of applicants with a history that have each of the 20 most frequent behaviors.

    Examples
    --------
    See `risk_report`.
    """

    title: str
    confidence_level: float
    sample: dict[str, Any]
    performance: pd.DataFrame
    comparison: pd.DataFrame
    calibration: pd.DataFrame
    deciles: pd.DataFrame
    curves: pd.DataFrame
    by_month: pd.DataFrame
    by_segment: pd.DataFrame
    stability: pd.DataFrame
    behaviors: pd.DataFrame
    summary: list[str] = field(default_factory=list)

    @property
    def champion(self) -> str:
        """Name of the champion."""
        return str(self.performance.index[0])

    def to_html(self, path: str | Path | None = None, *, note: str = "") -> str:
        """Return the report as one HTML page that needs no other file and no network.

        Parameters
        ----------
        path : path, default=None
            Where to write the page, too.
        note : str, default=""
            A sentence below the title, such as where the data come from.

        Returns
        -------
        str
            The page. Without matplotlib it has no pictures, and says so.
        """
        html = self._page(note).to_html()
        if path is not None:
            Path(path).write_text(html, encoding="utf-8")
        return html

    def _page(self, note: str = "") -> Page:
        from skhuihen.reporting._layout import lay_out

        return lay_out(self, note)

    def _repr_html_(self) -> str:
        return self._page().to_fragment()

    def __repr__(self) -> str:
        row = self.performance.iloc[0]
        n = len(self.comparison)
        return (
            f"RiskReport({self.sample['rows']:,} applications, champion {self.champion}: AUC "
            f"{row['auc']:.3f}, {n} challenger{'' if n == 1 else 's'})"
        )


def risk_report(
    models: Any,
    X: Any,
    y: ArrayLike,
    *,
    reference: Any = None,
    segments: Sequence[str] = (),
    freq: str = "M",
    n_bins: int = 10,
    confidence_level: float = 0.95,
    behaviors: str = "behaviors",
    applied_at: str = "applied_at",
    id_columns: Sequence[str] = ("user_id", "application_id"),
    title: str = "Risk report",
) -> RiskReport:
    """Report how well models rank and predict, on the same rows, and how stable their input is.

    Parameters
    ----------
    models : mapping of str to fitted classifier or array of scores, or one of them
        The champion first, then its challengers. An array has one number per row of ``X`` that
        rises with risk; numbers outside [0, 1] are no probabilities, and have no calibration.
    X : DataFrame or other table of shape (n_applications, n_columns)
        Applications that no model was trained on, best those of a later time.
    y : array-like of shape (n_applications,)
        Their labels. The larger one is overdue.
    reference : table, str, date or Timestamp, default=None
        What the stability of scores and input is measured against: a table of earlier
        applications such as the training rows, or a time that divides the rows of ``X``, in their
        time zone if it has none. None divides them at their median time.
    segments : sequence of str, default=()
        Columns of ``X`` by which the figures are shown too. Numbers are cut into four groups.
    freq : str, default="M"
        Length of a period, as pandas writes it: ``"M"`` for months, ``"W"`` for weeks.
    n_bins : int, default=10
        Number of bins of the lift table and of the stability index.
    confidence_level : float, default=0.95
        Confidence level of all intervals.
    behaviors : str, default="behaviors"
        Name of the nested column, if the table has it.
    applied_at : str, default="applied_at"
        The column with the time of the application.
    id_columns : sequence of str, default=("user_id", "application_id")
        Columns whose stability is not measured.
    title : str, default="Risk report"
        Title of the page.

    Returns
    -------
    report : RiskReport
        Tables as attributes; `RiskReport.to_html` writes the page, and notebooks show it.

    Raises
    ------
    ValueError
        If a column is missing, ``y`` does not have two classes, or scores do not fit the rows.

    See Also
    --------
    Monitor : Watches a model after its release.
    model_card : Writes the document of a model.

    Notes
    -----
    Intervals of AUC and Gini are DeLong's, those of KS bootstrapped, those of rates Wilson's. They
    cover variation from other applications, for the models as they are. The report compares many
    segments and months: of a hundred intervals of 95%, five miss by chance.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import ProfileEncoder, risk_report
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=2, n_old=1500, overdue_rate=0.3, random_state=0)
    >>> X, y = bank.old_applications, bank.old_y
    >>> loose = make_pipeline(ProfileEncoder(), LogisticRegression()).fit(X[:750], y[:750])
    >>> strict = make_pipeline(ProfileEncoder(), LogisticRegression(C=0.001)).fit(X[:750], y[:750])
    >>> report = risk_report({"loose": loose, "strict": strict}, X[750:], y[750:])
    >>> report
    RiskReport(750 applications, champion loose: AUC 0..., 1 challenger)
    >>> print(report.summary[1])
    strict: AUC higher by 0.01... than that of loose, which is not significant (p = 0...).
    """
    check_share(confidence_level, "confidence_level")
    check_scalar(n_bins, "n_bins", Integral, min_val=2)
    check_period(freq)
    for names, parameter in ((segments, "segments"), (id_columns, "id_columns")):
        if isinstance(names, str):
            raise TypeError(f"{parameter} is the text {names!r}. Pass a list: [{names!r}].")
    named = _named(models)
    frame = as_frame(X, behaviors)
    label = one_column(as_labels(y), "y")
    if len(label) != len(frame):
        raise ValueError(f"y has {len(label)} labels and X has {len(frame)} rows. Pass one each.")
    classes = np.unique(label)
    if len(classes) != 2:
        raise ValueError(
            f"y has the labels {classes[:5].tolist()}; two are needed, overdue and not overdue."
        )
    overdue = np.asarray(label == classes[1])
    scores = {name: _scores(model, name, frame, classes) for name, model in named.items()}
    columns = Columns.find(frame, behaviors, applied_at, id_columns)
    _check_segments(segments, frame)
    stamps = times_of(frame, applied_at)
    numbers = {**columns.numbers, **_numbers(frame, segments)}
    before, after, compared = _two_periods(
        reference, frame, stamps, scores, named, columns, freq, applied_at, behaviors
    )
    sample = {
        "rows": len(frame),
        "overdue": int(overdue.sum()),
        "first": str(stamps.min().date()),
        "last": str(stamps.max().date()),
        **compared,
    }
    level = confidence_level
    report = RiskReport(
        title,
        level,
        sample,
        _tables.performance_table(scores, overdue, level),
        _tables.comparison_table(scores, overdue, level),
        _tables.calibration_table(scores, overdue, level),
        _tables.decile_table(scores, overdue, n_bins, level),
        _tables.curve_table(scores, overdue),
        _tables.month_table(stamps.to_period(freq).astype(str), scores, overdue, level),
        _tables.segment_table(frame, segments, numbers, scores, overdue, level),
        _tables.stability_table(before, after, columns, n_bins),
        _tables.behavior_table(before, after),
    )
    from skhuihen.reporting._layout import findings

    report.summary.extend(findings(report))
    return report


def _named(models: Any) -> dict[str, Any]:
    if isinstance(models, Mapping):
        if not models:
            raise ValueError("models is empty. Pass at least one model: {'champion': model}.")
        return {str(name): model for name, model in models.items()}
    last = models[-1] if hasattr(models, "steps") else models
    return {type(last).__name__ if hasattr(last, "predict_proba") else "score": models}


def _scores(
    model: Any, name: str, frame: pd.DataFrame, classes: NDArray[Any]
) -> NDArray[np.float64]:
    if callable(getattr(model, "predict_proba", None)):
        if set(np.asarray(model.classes_).tolist()) != set(classes.tolist()):
            raise ValueError(
                f"Model {name!r} was fitted on the labels {list(model.classes_)}, and y has "
                f"{classes.tolist()}. Use the same labels."
            )
        return of_overdue(model, frame)
    if hasattr(model, "fit"):
        raise TypeError(
            f"Model {name!r} is a {type(model).__name__} without predict_proba. Pass a fitted "
            "classifier, or an array of scores."
        )
    score = np.asarray(one_column(model, f"models[{name!r}]"), dtype=np.float64)
    if len(score) != len(frame) or not np.isfinite(score).all():
        raise ValueError(
            f"Scores {name!r} have {len(score)} values, {int((~np.isfinite(score)).sum())} of them "
            f"missing or infinite; X has {len(frame)} rows. Pass one finite number per row."
        )
    return score


def _check_segments(segments: Sequence[str], frame: pd.DataFrame) -> None:
    for name in segments:
        if name not in frame.columns:
            raise ValueError(
                f"segments names {name!r}, and X has no such column; it has {list(frame.columns)}."
            )


def _numbers(frame: pd.DataFrame, names: Iterable[str]) -> dict[str, bool]:
    from skhuihen.preprocessing._profile import _is_number

    return {name: _is_number(frame[name]) for name in names}


def _two_periods(
    reference: Any,
    frame: pd.DataFrame,
    stamps: pd.DatetimeIndex,
    scores: Mapping[str, NDArray[np.float64]],
    named: Mapping[str, Any],
    columns: Columns,
    freq: str,
    applied_at: str,
    behaviors: str,
) -> tuple[Taken, Taken, dict[str, str]]:
    """Take the measures of the earlier and the later rows, and describe both."""
    abstractor = next(filter(None, map(abstractor_of, named.values())), None)

    def measure(
        rows: pd.DataFrame, of_rows: Mapping[str, NDArray[np.float64]], parameter: str = "X"
    ) -> Taken:
        taken = take(rows, np.zeros(len(rows)), columns, freq, abstractor, None, parameter)
        kept = {k: v for k, v in taken.values.items() if k[0] not in ("score", "behavior")}
        taken.values = {("score", name): score for name, score in of_rows.items()} | kept
        return taken

    if reference is not None and not isinstance(reference, str | date | np.datetime64):
        earlier = as_frame(reference, behaviors, parameter="reference")
        models = {n: m for n, m in named.items() if hasattr(m, "predict_proba")}
        of_earlier = {name: of_overdue(model, earlier) for name, model in models.items()}
        before = measure(earlier, of_earlier, "reference")
        after = measure(frame, scores)
        times = times_of(earlier, applied_at)
        compared = {
            "before": f"{len(earlier):,} reference applications, {_span(times)}",
            "after": f"all {len(frame):,} applications of this report",
        }
        return before, after, compared
    cut = _middle(stamps) if reference is None else _moment(reference, frame, applied_at)
    is_early = np.asarray(stamps < cut)
    if not is_early.any() or is_early.all():
        raise ValueError(
            f"reference={reference!r} does not divide the applications, which are from "
            f"{_span(stamps)}. Pass a time between, or a table of earlier applications."
        )
    halves = []
    told = {}
    for name, rows in (("before", is_early), ("after", ~is_early)):
        halves.append(measure(frame[rows], {n: score[rows] for n, score in scores.items()}))
        told[name] = f"{int(rows.sum()):,} applications, {_span(stamps[rows])}"
    return halves[0], halves[1], told


def _middle(stamps: pd.DatetimeIndex) -> pd.Timestamp:
    """Return the median time, or the first after the earliest if that is the median."""
    in_order = stamps.sort_values()
    later = in_order[in_order > in_order[0]]
    middle = in_order[len(stamps) // 2]
    return later[0] if len(later) and middle == in_order[0] else middle


def _moment(reference: Any, frame: pd.DataFrame, applied_at: str) -> pd.Timestamp:
    """Return a time on the clock of the applications."""
    try:
        stamp = pd.Timestamp(reference)
    except ValueError as error:
        raise ValueError(
            f"reference={reference!r} is no time ({error}). Pass a time that divides the rows of "
            "X, such as '2024-05-01', or a table of earlier applications."
        ) from error
    if stamp.tz is None:
        return stamp
    _, zone = application_times(frame, applied_at)
    if zone is None:
        raise ValueError(
            f"reference={reference!r} has a time zone, and the column {applied_at!r} has none. "
            "Pass a time without one."
        )
    return stamp.tz_convert(zone).tz_localize(None)


def _span(stamps: pd.DatetimeIndex) -> str:
    return f"{stamps.min().date()} to {stamps.max().date()}"
