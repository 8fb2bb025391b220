"""The picture of the watch: months over time, and where alarms sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skhuihen.plotting._style import BLUE, FAINT, GRAY, GREEN, INK, VERMILLION, import_pyplot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skhuihen.monitoring._months import MonitorResult

#: Months of a picture, the last ones, and measures whose alarms are drawn.
MOST_MONTHS, MOST_MEASURES = 36, 15
_NOT_COUNTED = ("auc", "calibration")


def draw_watch(result: MonitorResult) -> Figure:
    """Draw the months of a result, one below the other: numbers, scores, AUC, errors and alarms."""
    import_pyplot("MonitorResult.plot")
    from matplotlib.figure import Figure

    months = result.months.iloc[1:].iloc[-MOST_MONTHS:]
    names = months.index.tolist()
    alarms = result.alarms[result.alarms["month"].isin(names)]
    measures = alarms.drop_duplicates(["kind", "name"])[["kind", "name"]]
    shown = measures.iloc[:MOST_MEASURES]
    heights = [1.0, 1.4, 1.6, 1.4, max(0.35, 0.19 * len(shown))]
    # Not through pyplot, which would keep each figure open.
    figure = Figure(figsize=(8, 2.2 + 1.15 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    of_score = result.changes[result.changes["kind"] == "score"].set_index("month")
    limits = result.limits.loc[names]
    _draw_volume(axes[0], months)
    _draw_score(axes[1], of_score.loc[names], limits)
    _draw_auc(axes[2], months, limits, result.months.iloc[0])
    _draw_calibration(axes[3], months, limits, result.months.iloc[0])
    _draw_alarms(axes[4], alarms, shown, names, len(measures))
    axes[-1].set(
        xticks=range(len(names)),
        xticklabels=[name.replace("/", "\nto ") for name in names],
        xlim=(-0.6, max(len(names), 1) - 0.4),
    )
    if len(names) > 8:
        axes[-1].tick_params(axis="x", rotation=90)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        handles, _ = ax.get_legend_handles_labels()
        if handles:
            # Above, so that neither a line nor a month is hidden, and the whole width is left.
            ax.legend(
                loc="lower left",
                bbox_to_anchor=(0, 1.0),
                ncols=3,
                frameon=False,
                fontsize=8,
                borderpad=0,
                columnspacing=1.2,
            )
    return figure


def _draw_volume(ax: Any, months: pd.DataFrame) -> None:
    x = np.arange(len(months))
    ax.bar(x, months["applications"], color=FAINT, width=0.7, label="applications")
    ax.bar(x, months["labels"], color=GRAY, width=0.35, label="of these, with a label")
    ax.set(ylabel="Number")


def _limit(ax: Any, values: pd.Series, label: str | None) -> None:
    """Draw a limit as a step for each month that has one."""
    x = np.arange(len(values))
    known = values.notna().to_numpy()
    ax.hlines(
        values[known],
        x[known] - 0.5,
        x[known] + 0.5,
        color=VERMILLION,
        linewidth=1.2,
        label=label if known.any() else None,
    )


def _draw_score(ax: Any, of_score: pd.DataFrame, limits: pd.DataFrame) -> None:
    ax.plot(np.arange(len(of_score)), of_score["psi"], color=BLUE, marker="o", label="score")
    _limit(ax, limits["score_psi"], "limit of alarms, about")
    ax.set(ylabel="Stability\nindex")
    ax.set_ylim(bottom=0)


def _with_interval(ax: Any, months: pd.DataFrame, name: str, shift: float, **look: Any) -> None:
    """Draw a figure with its interval, if any month has it."""
    value = months[name]
    known = value.notna().to_numpy()
    if not known.any():
        return
    ends = np.array([value - months[f"{name}_low"], months[f"{name}_high"] - value])[:, known]
    ax.errorbar(
        np.arange(len(months))[known] + shift,
        value[known],
        yerr=np.maximum(np.nan_to_num(ends), 0),
        elinewidth=1.2,
        linestyle="none",
        **look,
    )


def _draw_auc(ax: Any, months: pd.DataFrame, limits: pd.DataFrame, reference: pd.Series) -> None:
    ax.axhline(reference["auc"], color=GRAY, linestyle=":", linewidth=1, label="reference")
    _with_interval(
        ax,
        months,
        "expected_auc",
        -0.12,
        color=GREEN,
        marker="o",
        markerfacecolor="white",
        label="expected, before labels",
    )
    _with_interval(ax, months, "auc", 0.12, color=BLUE, marker="o", label="observed, with labels")
    _limit(ax, limits["auc"], "limit of alarms")
    ax.set(ylabel="AUC")


def _draw_calibration(
    ax: Any, months: pd.DataFrame, limits: pd.DataFrame, reference: pd.Series
) -> None:
    ax.axhline(reference["in_the_large"], color=GRAY, linestyle=":", linewidth=1, label="reference")
    _with_interval(ax, months, "in_the_large", 0, color=INK, marker="o", label="observed")
    _limit(ax, limits["in_the_large_low"], "limits of alarms")
    _limit(ax, limits["in_the_large_high"], None)
    ax.set(ylabel="Calibration\nin the large")
    if not months["in_the_large"].notna().any():
        _say(ax, "No labels are known yet.")


def _draw_alarms(
    ax: Any, alarms: pd.DataFrame, shown: pd.DataFrame, months: list[str], n_measures: int
) -> None:
    place = {month: number for number, month in enumerate(months)}
    for row, (kind, name) in enumerate(shown.itertuples(index=False)):
        mine = alarms[(alarms["kind"] == kind) & (alarms["name"] == name)]
        ax.plot(mine["month"].map(place), [row] * len(mine), "s", color=VERMILLION, markersize=6)
        ax.axhline(row, color=FAINT, linewidth=0.6, zorder=0)
    names = [
        name if name == kind or kind in _NOT_COUNTED else f"{name} ({kind})"
        for kind, name in shown.itertuples(index=False)
    ]
    ax.set(yticks=range(len(shown)), yticklabels=names, ylim=(max(1, len(shown)) - 0.5, -0.5))
    ax.tick_params(axis="y", labelsize=8)
    if not len(shown):
        _say(ax, "No alarms.")
    elif n_measures > len(shown):
        ax.set_title(f"Alarms of {len(shown)} of {n_measures} measures", fontsize=9, loc="left")
    else:
        ax.set_title("Alarms", fontsize=9, loc="left")


def _say(ax: Any, text: str) -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GRAY)
