"""Counts of each month, and their comparison with the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

from skhuihen.monitoring._bins import Bins, change_pvalue, stability_index
from skhuihen.monitoring._measures import Key
from skhuihen.monitoring._scores import (
    MIDDLES,
    N_CELLS,
    Recalibration,
    auc_to_expect,
    calibration_in_the_large,
    observed_auc,
    observed_rate,
)

#: With fewer labels of a class, the normal distribution does not hold far out in its tail.
FEWEST_LABELS = 20
_EVENTS = ("events", "unseen", "timed", "lag_hours")


@dataclass
class Month:
    """Counts of one month, to which parts are added."""

    n_rows: int = 0
    counts: dict[Key, NDArray[np.int64]] = field(default_factory=dict)
    outside: dict[Key, int] = field(default_factory=dict)
    scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros(N_CELLS, np.int64))
    overdue: NDArray[np.int64] = field(default_factory=lambda: np.zeros(N_CELLS, np.int64))
    others: NDArray[np.int64] = field(default_factory=lambda: np.zeros(N_CELLS, np.int64))
    events: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_EVENTS, 0.0))

    def add(
        self,
        values: Mapping[Key, NDArray[Any]],
        bins: Mapping[Key, Bins],
        cells: NDArray[np.int64],
        outcome: NDArray[np.float64],
        events: pd.DataFrame,
    ) -> None:
        """Add applications."""
        self.n_rows += len(cells)
        for key, found in values.items():
            self.counts[key] = self.counts.get(key, 0) + bins[key].count(found)
            self.outside[key] = self.outside.get(key, 0) + bins[key].outside(found)
        self.scores += np.bincount(cells, minlength=N_CELLS)
        self.overdue += np.bincount(cells[outcome == 1], minlength=N_CELLS)
        self.others += np.bincount(cells[outcome == 0], minlength=N_CELLS)
        for name in _EVENTS:
            self.events[name] += float(events[name].sum())


@dataclass(frozen=True)
class Reference:
    """What is known of the reference rows besides the bins."""

    overdue: NDArray[np.int64]
    others: NDArray[np.int64]
    events: dict[str, float]
    span: tuple[str, str]
    recalibration: Recalibration

    @classmethod
    def of(
        cls,
        overdue: NDArray[np.int64],
        others: NDArray[np.int64],
        events: pd.Series,
        span: tuple[str, str],
    ) -> Self:
        """Make it of counts by cell."""
        kept = {str(name): float(value) for name, value in events.items()}
        return cls(overdue, others, kept, span, Recalibration.fit(overdue, others))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: only the cells that have rows."""
        used = np.flatnonzero(self.overdue + self.others)
        return {
            "cells": used.tolist(),
            "overdue": self.overdue[used].tolist(),
            "others": self.others[used].tolist(),
            "events": self.events,
            "span": list(self.span),
        }

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Self:
        """Make it of what `to_dict` returned."""
        counts = np.zeros((2, N_CELLS), dtype=np.int64)
        counts[0, found["cells"]] = found["overdue"]
        counts[1, found["cells"]] = found["others"]
        first, last = found["span"]
        return cls.of(counts[0], counts[1], pd.Series(found["events"]), (first, last))


@dataclass(frozen=True)
class MonitorResult:
    """Months compared with the reference, see `Monitor.check`.

    Attributes
    ----------
    months : DataFrame
        One row per month, after one for the ``reference``: applications, share without history,
        mean number of events, share of events with unseen operations, mean lag in hours, mean
        probability, expected AUC with its interval, number of labels, overdue rate, AUC,
        calibration in the large and slope, each with its interval. Calibration in the large is the
        amount to add to all log-odds; above 0, probabilities are too low. What is not known is NaN.
    changes : DataFrame
        One row per month and measure: ``kind``, ``name``, ``rows``, ``psi``, ``missing`` (share),
        ``outside`` (number of values outside the range of the reference, or in no frequent
        category), ``p_value`` and ``alarm``.
    alarms : DataFrame
        The alarms, with ``month``, ``kind``, ``name``, ``p_value`` and ``says``, a sentence.
    level : float
        A test sounds an alarm if its p-value is below this.
    """

    months: pd.DataFrame
    changes: pd.DataFrame
    alarms: pd.DataFrame
    level: float

    def psi(self) -> pd.DataFrame:
        """Return stability indices with one row per measure and one column per month."""
        table = self.changes.pivot_table(
            index=["kind", "name"], columns="month", values="psi", sort=False
        )
        return table

    def __repr__(self) -> str:
        months = self.months.index[1:]
        span = f"{months[0]} to {months[-1]}" if len(months) else "no month"
        return f"MonitorResult({span}, {len(self.alarms)} alarms)"

    def _repr_html_(self) -> str:
        parts = [
            f"<p>{self!r}</p>",
            self.months.T.to_html(float_format="{:.3f}".format, na_rep=""),
            self.alarms.to_html(index=False, float_format="{:.2g}".format)
            if len(self.alarms)
            else "<p>No alarms.</p>",
        ]
        return "\n".join(parts)


def compare(
    months: Mapping[str, Month],
    bins: Mapping[Key, Bins],
    reference: Reference,
    level: float,
    min_psi: float,
    confidence_level: float,
) -> MonitorResult:
    """Compare each month with the reference."""
    ours = Month(
        n_rows=int(reference.overdue.sum() + reference.others.sum()),
        counts={key: found.counts for key, found in bins.items()},
        scores=reference.overdue + reference.others,
        overdue=reference.overdue,
        others=reference.others,
        events=reference.events,
    )
    summaries = {"reference": _summary(ours, reference, confidence_level)}
    changes, alarms = [], []
    for name, month in months.items():
        summaries[name] = _summary(month, reference, confidence_level)
        for key, found in bins.items():
            changes.append({"month": name, **_change(key, found, month, level, min_psi)})
        alarms += [
            {"month": name, **alarm} for alarm in alarms_of(month, bins, reference, level, min_psi)
        ]
    columns = ["month", "kind", "name", "rows", "psi", "missing", "outside", "p_value", "alarm"]
    told = ["month", "kind", "name", "p_value", "says"]
    summary = pd.DataFrame.from_dict(summaries, orient="index")
    summary.index.name = "month"
    return MonitorResult(
        summary, pd.DataFrame(changes, columns=columns), pd.DataFrame(alarms, columns=told), level
    )


def alarms_of(
    month: Month, bins: Mapping[Key, Bins], reference: Reference, level: float, min_psi: float
) -> list[dict[str, Any]]:
    """Return the alarms of a month: ``kind``, ``name``, ``p_value`` and ``says``."""
    rows = [(key, _change(key, found, month, level, min_psi)) for key, found in bins.items()]
    told = [_told(key, bins[key], month, row) for key, row in rows if row["alarm"]]
    return told + _label_alarms(month, reference, level)


def _change(key: Key, bins: Bins, month: Month, level: float, min_psi: float) -> dict[str, Any]:
    counts = month.counts[key]
    n = int(counts.sum())
    psi, p_value = stability_index(bins.counts, counts), change_pvalue(bins.counts, counts)
    return {
        "kind": key[0],
        "name": key[1],
        "rows": n,
        "psi": psi,
        "missing": counts[-1] / n if n else np.nan,
        "outside": month.outside[key],
        "p_value": p_value,
        "alarm": bool(p_value < level and psi >= min_psi),
    }


def _told(key: Key, bins: Bins, month: Month, row: dict[str, Any]) -> dict[str, Any]:
    kind, name = key
    before, now = (_shares(counts) for counts in (bins.counts, month.counts[key]))
    if kind in ("history", "behavior", "unseen"):
        says = f"{now[1]:.1%} of applicants, {before[1]:.1%} in the reference"
    else:
        most = int(np.abs(now - before).argmax())
        says = (
            f"stability index {row['psi']:.2f}; the largest change is in {_bin_name(bins, most)}: "
            f"{now[most]:.1%} of values, {before[most]:.1%} in the reference"
        )
    return {"kind": kind, "name": name, "p_value": row["p_value"], "says": says}


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return counts / max(1, int(counts.sum()))


def _bin_name(bins: Bins, number: int) -> str:
    if number == len(bins.counts) - 1:
        return "missing values"
    if hasattr(bins, "names"):
        return repr(bins.names[number]) if number < len(bins.names) else "all other categories"
    edges = bins.edges
    if not edges.size:
        return "values that are not missing"
    if number == 0:
        return f"values up to {edges[0]:.4g}"
    if number == edges.size:
        return f"values above {edges[-1]:.4g}"
    return f"values above {edges[number - 1]:.4g} and up to {edges[number]:.4g}"


def _summary(month: Month, reference: Reference, confidence_level: float) -> dict[str, Any]:
    n_overdue, n_labels = int(month.overdue.sum()), int((month.overdue + month.others).sum())
    events = month.events
    history = month.counts.get(("history", "without history"))
    n_events = events["events"] if ("unseen", "unseen operations") in month.counts else 0
    mean = float(expit(MIDDLES) @ month.scores / max(1, month.n_rows))
    recalibrated = reference.recalibration
    expected = auc_to_expect(month.scores, recalibrated, confidence_level)
    auc, _ = observed_auc(month.overdue, month.others, confidence_level)
    shift, _ = calibration_in_the_large(month.overdue, month.others, confidence_level)
    rate = observed_rate(n_overdue, n_labels, confidence_level)
    slope = None
    if min(n_overdue, n_labels - n_overdue) >= 2:
        slope = Recalibration.fit(month.overdue, month.others).interval_of_slope(confidence_level)
    row: dict[str, Any] = {
        "applications": month.n_rows,
        "without_history": np.nan if history is None else history[1] / max(1, history.sum()),
        "events_per_application": events["events"] / max(1, month.n_rows),
        "unseen_events": events["unseen"] / n_events if n_events else np.nan,
        "lag_hours": events["lag_hours"] / events["timed"] if events["timed"] else np.nan,
        "mean_probability": mean,
    }
    named = {"expected_auc": expected, "overdue_rate": rate, "auc": auc, "in_the_large": shift}
    for name, estimate in named.items():
        if name == "overdue_rate":
            row["labels"] = n_labels
        row[name], row[f"{name}_low"], row[f"{name}_high"] = estimate
    row["slope"], row["slope_low"], row["slope_high"] = slope or (np.nan, np.nan, np.nan)
    return row


def _label_alarms(month: Month, reference: Reference, level: float) -> list[dict[str, Any]]:
    """Test AUC and calibration against those of the reference."""
    sides = [(month.overdue, month.others), (reference.overdue, reference.others)]
    if min(int(part.sum()) for side in sides for part in side) < FEWEST_LABELS:
        return []
    found = []
    (auc, error), (auc_before, error_before) = (observed_auc(*side) for side in sides)
    if 0 < auc.value < 1 and 0 < auc_before.value < 1:
        errors = [
            e / (a.value * (1 - a.value)) for e, a in ((error, auc), (error_before, auc_before))
        ]
        fall = (logit(auc_before.value) - logit(auc.value)) / np.hypot(errors[0], errors[1])
        says = f"AUC {auc.value:.3f}, {auc_before.value:.3f} in the reference"
        found.append(("auc", "AUC", stats.norm.sf(fall), says))
    (shift, error), (shift_before, error_before) = (
        calibration_in_the_large(*side) for side in sides
    )
    distance = abs(shift.value - shift_before.value) / np.hypot(error, error_before)
    rate = month.overdue.sum() / (month.overdue + month.others).sum()
    labelled = month.overdue + month.others
    expected = float(expit(MIDDLES) @ labelled / labelled.sum())
    says = f"{rate:.1%} overdue where probabilities say {expected:.1%}"
    found.append(("calibration", "calibration in the large", 2 * stats.norm.sf(distance), says))
    return [
        {"kind": kind, "name": name, "p_value": float(p), "says": says}
        for kind, name, p, says in found
        if p < level
    ]
