"""The tables of a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from skhuihen.metrics import (
    auc_interval,
    calibration_summary,
    delong_test,
    ks_curve,
    ks_interval,
    lift_table,
)
from skhuihen.monitoring._bins import (
    Bins,
    CategoryBins,
    as_short,
    as_values,
    change_pvalue,
    stability_index,
)
from skhuihen.monitoring._measures import Taken, counted, learn_bins
from skhuihen.monitoring._scores import (
    N_CELLS,
    Recalibration,
    calibration_in_the_large,
    cells_of,
)

#: Groups with fewer rows are put together: their figures say little, and might say who they are.
FEWEST_ROWS = 30
#: A number with more distinct values is cut into four groups of equal size.
MOST_GROUPS = 8
#: Behaviors that are shown, the most frequent ones.
N_BEHAVIORS = 20
#: Points of a curve that are kept.
N_POINTS = 200
Scores = Mapping[str, NDArray[np.float64]]


def is_probability(score: NDArray[np.float64]) -> bool:
    """Return whether scores may be probabilities."""
    return bool(((score >= 0) & (score <= 1)).all())


def performance_table(scores: Scores, overdue: NDArray[np.bool_], level: float) -> pd.DataFrame:
    """Return AUC, Gini and KS with intervals, and calibration, with one row per model."""
    rows = {}
    for name, score in scores.items():
        auc = auc_interval(overdue, score, confidence_level=level)
        ks = ks_interval(overdue, score, confidence_level=level)
        rows[name] = {
            **{"auc": auc.auc, "auc_low": auc.low, "auc_high": auc.high},
            **{"gini": 2 * auc.auc - 1, "gini_low": 2 * auc.low - 1, "gini_high": 2 * auc.high - 1},
            **{"ks": ks.ks, "ks_low": ks.low, "ks_high": ks.high},
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def calibration_table(scores: Scores, overdue: NDArray[np.bool_], level: float) -> pd.DataFrame:
    """Return calibration with one row per model that gives probabilities."""
    rows = {}
    low, high = _wilson(int(overdue.sum()), overdue.size, level)
    for name, score in scores.items():
        if is_probability(score):
            found = calibration_summary(overdue, score)._asdict()
            rate = found.pop("overdue_rate")
            cells = cells_of(score)
            by_cell = [np.bincount(cells[part], minlength=N_CELLS) for part in (overdue, ~overdue)]
            shift, _ = calibration_in_the_large(by_cell[0], by_cell[1], level)
            slope = Recalibration.fit(by_cell[0], by_cell[1]).interval_of_slope(level)
            rows[name] = {
                **{"overdue_rate": rate, "rate_low": low, "rate_high": high, **found},
                **{"in_the_large_low": shift.low, "in_the_large_high": shift.high},
                **{"slope_low": slope.low, "slope_high": slope.high},
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def comparison_table(scores: Scores, overdue: NDArray[np.bool_], level: float) -> pd.DataFrame:
    """Return DeLong's test of each challenger against the champion, which comes first."""
    (_, champion), *others = scores.items()
    rows = {
        name: delong_test(overdue, score, champion, confidence_level=level)._asdict()
        for name, score in others
    }
    columns = ["difference", "low", "high", "standard_error", "statistic", "pvalue"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.rename_axis("challenger")


def decile_table(
    scores: Scores, overdue: NDArray[np.bool_], n_bins: int, level: float
) -> pd.DataFrame:
    """Return the lift table of each model, with Wilson's intervals of the rates."""
    tables = {}
    for name, score in scores.items():
        table = lift_table(overdue, score, n_bins=n_bins)
        ends = [
            _wilson(int(k), int(n), level)
            for k, n in zip(table["overdue"], table["count"], strict=True)
        ]
        table.insert(6, "rate_low", [low for low, _ in ends])
        table.insert(7, "rate_high", [high for _, high in ends])
        tables[name] = table
    return pd.concat(tables, names=["model"])


def curve_table(scores: Scores, overdue: NDArray[np.bool_]) -> pd.DataFrame:
    """Return points of the curves of `ks_curve`, with the one of the largest gap among them."""
    tables = {}
    for name, score in scores.items():
        population, of_overdue, of_others, thresholds = ks_curve(overdue, score)
        at = np.searchsorted(population, np.linspace(0, 1, N_POINTS))
        widest = np.abs(of_overdue - of_others).argmax()
        at = np.unique([*np.minimum(at, population.size - 1), widest, population.size - 1])
        columns = {
            "population": population,
            "overdue": of_overdue,
            "not_overdue": of_others,
            "thresholds": thresholds,
        }
        tables[name] = pd.DataFrame({key: values[at] for key, values in columns.items()})
    return pd.concat(tables, names=["model"])


def group_table(
    groups: Any, scores: Scores, overdue: NDArray[np.bool_], level: float
) -> pd.DataFrame:
    """Return rows, overdue rate, mean probability and AUC of each model in each group.

    All figures are NaN in a group of few rows, and the AUC where a class has fewer than two.
    """
    rows = []
    for group in groups.remove_unused_categories().categories:
        here = np.asarray(groups == group)
        n, n_overdue = int(here.sum()), int(overdue[here].sum())
        low, high = _wilson(n_overdue, n, level)
        for name, score in scores.items():
            row = {
                **{"group": group, "model": name, "rows": n, "overdue": n_overdue},
                **{"rate": n_overdue / n, "rate_low": low, "rate_high": high},
                "mean_probability": score[here].mean() if is_probability(score) else np.nan,
                **dict.fromkeys(["auc", "auc_low", "auc_high"], np.nan),
            }
            if n < FEWEST_ROWS:
                row |= dict.fromkeys(["rate", "rate_low", "rate_high", "mean_probability"], np.nan)
                row["overdue"] = np.nan
                rows.append(row)
                continue
            if min(n_overdue, n - n_overdue) >= 2:
                found = auc_interval(overdue[here], score[here], confidence_level=level)
                row |= {"auc": found.auc, "auc_low": found.low, "auc_high": found.high}
            rows.append(row)
    return pd.DataFrame(rows)


def groups_of(column: pd.Series, is_number: bool) -> Any:
    """Return the segment of each row as text; small ones are put together."""
    values = pd.Series(as_values(column, is_number))
    if is_number and values.nunique() > MOST_GROUPS:
        # Not `pandas.qcut`, which cannot interpolate infinite numbers, and rounds the ends.
        known = np.sort(values.dropna().to_numpy())
        ends = np.unique(known[-(-np.arange(1, 4) * known.size // 4) - 1])
        ends = ends[ends < known[-1]]
        texts_of = as_short(ends)
        middle = [f"above {a}, up to {b}" for a, b in pairwise(texts_of)]
        names = [f"up to {texts_of[0]}", *middle, f"above {texts_of[-1]}"] if texts_of else ["all"]
        number = np.searchsorted(ends, values)
        texts = pd.Series(np.array(names, dtype=object)[number]).where(values.notna())
    elif is_number:
        known = np.unique(values.dropna())
        names = as_short(known)
        texts = values.map(dict(zip(known, names, strict=True)))
    else:
        names = sorted(values.dropna().unique())
        texts = values
    texts = texts.where(texts.notna(), "missing")
    counts = texts.value_counts()
    small = list(counts.index[counts < FEWEST_ROWS])
    if small:
        texts = texts.where(~texts.isin(small), SMALL)
    # A group may bear one of these names by itself.
    return pd.Categorical(texts, categories=list(dict.fromkeys([*names, "missing", SMALL])))


SMALL = f"groups of fewer than {FEWEST_ROWS}"


def segment_table(
    frame: pd.DataFrame,
    columns: Sequence[str],
    numbers: Mapping[str, bool],
    scores: Scores,
    overdue: NDArray[np.bool_],
    level: float,
) -> pd.DataFrame:
    """Return the groups of each column."""
    tables = []
    for name in columns:
        groups = groups_of(frame[name], numbers[name])
        table = group_table(groups, scores, overdue, level)
        table.insert(0, "segment", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def month_table(
    months: Iterable[str], scores: Scores, overdue: NDArray[np.bool_], level: float
) -> pd.DataFrame:
    """Return the periods of application in order."""
    table = group_table(pd.Categorical(list(months)), scores, overdue, level)
    return table.rename(columns={"group": "month"})


def size_of(psi: float) -> str:
    """Return what the rule of thumb says of a stability index."""
    if np.isnan(psi):
        return "not known"
    return "stable" if psi < 0.1 else "some change" if psi < 0.25 else "large change"


def stability_table(before: Taken, after: Taken, columns: Any, n_bins: int) -> pd.DataFrame:
    """Compare each measure of two sets of rows."""
    bins = learn_bins(
        {k: v for k, v in before.values.items() if k in after.values}, columns, n_bins
    )
    rows = []
    for (kind, name), found in bins.items():
        values = counted(kind, after.values[kind, name])
        rows.append(_stability_row(kind, name, found, found.count(values), found.outside(values)))
    if before.of_behavior and after.of_behavior:
        of = before.of_behavior
        names = sorted(of, key=lambda name: (-of[name], name))[:N_BEHAVIORS]
        watched = CategoryBins(np.empty(0, np.int64), tuple(names))
        counts = [_behavior_counts(watched, part.of_behavior) for part in (before, after)]
        bins_of_events = CategoryBins(counts[0], watched.names)
        row = _stability_row("behaviors", "all events", bins_of_events, counts[1], 0)
        # Events of one applicant are not independent, so no p-value holds.
        rows.append({**row, "outside": int(counts[1][-2]), "p_value": np.nan})
    names = ["kind", "name", "psi", "size", "p_value", "missing_before", "missing_after", "outside"]
    table = pd.DataFrame(rows, columns=[*names, "rows_after"])
    return table.sort_values(["psi"], ascending=False, ignore_index=True)


def _behavior_counts(bins: CategoryBins, counter: Mapping[str, int]) -> NDArray[np.int64]:
    known = [counter.get(name, 0) for name in bins.names]
    return np.array([*known, sum(counter.values()) - sum(known), 0], dtype=np.int64)


def _stability_row(
    kind: str, name: str, bins: Bins, counts: NDArray[np.int64], outside: int
) -> dict[str, Any]:
    psi = stability_index(bins.counts, counts)
    return {
        "kind": kind,
        "name": name,
        "psi": psi,
        "size": size_of(psi),
        "p_value": change_pvalue(bins.counts, counts),
        "missing_before": bins.counts[-1] / max(1, bins.counts.sum()),
        "missing_after": counts[-1] / max(1, counts.sum()),
        "outside": outside,
        "rows_after": int(counts.sum()),
    }


def behavior_table(before: Taken, after: Taken, n: int = N_BEHAVIORS) -> pd.DataFrame:
    """Return the share of applicants with history that have each behavior, before and after."""
    n_with = [int((part.events["events"] > 0).sum()) for part in (before, after)]
    names = sorted(before.presence, key=lambda name: (-before.presence[name], name))[:n]
    rows = []
    for name in names:
        found = [part.presence.get(name, 0) for part in (before, after)]
        counts = [np.array([total - k, k]) for k, total in zip(found, n_with, strict=True)]
        shares = [k / total if total else np.nan for k, total in zip(found, n_with, strict=True)]
        rows.append(
            {
                "behavior": name,
                "before": shares[0],
                "after": shares[1],
                "p_value": change_pvalue(counts[0], counts[1]),
            }
        )
    return pd.DataFrame(rows, columns=["behavior", "before", "after", "p_value"])


def _wilson(k: int, n: int, level: float) -> tuple[float, float]:
    if not n:
        return np.nan, np.nan
    found = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)
