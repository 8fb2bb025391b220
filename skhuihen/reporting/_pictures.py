"""The pictures of a report, from its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skhuihen.plotting import KSDisplay, LiftDisplay
from skhuihen.plotting._style import BLUE, FAINT, GRAY, GREEN, INK, VERMILLION, import_pyplot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colors and markers of models, the champion first.
MODELS = [(BLUE, "o"), (VERMILLION, "s"), (GREEN, "^"), (GRAY, "D"), (INK, "v")]
#: What the kinds of measures are called on a page.
KIND_NAMES = {
    "column": "profile",
    "events": "history",
    "unseen": "behaviors",
    "lag": "history",
}
#: Measures of stability that are drawn.
MOST_BARS = 15


def _figure(width: float, height: float) -> Figure:
    import_pyplot("The pictures of a report")
    from matplotlib.figure import Figure

    # Not through pyplot, which would keep each figure open.
    return Figure(figsize=(width, height), layout="constrained")


def _look(number: int) -> tuple[str, str]:
    return MODELS[number % len(MODELS)]


def _tidy(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)


def draw_auc(performance: pd.DataFrame) -> Figure:
    """Draw the AUC of each model with its interval, the champion at the top."""
    n = len(performance)
    figure = _figure(8, 0.9 + 0.42 * n)
    ax = figure.subplots()
    for number, row in enumerate(performance.to_dict("records")):
        color, marker = _look(number)
        ax.plot([row["auc_low"], row["auc_high"]], [number] * 2, color=color, linewidth=2)
        ax.plot(row["auc"], number, marker=marker, color=color, markersize=8)
        ax.text(row["auc"], number - 0.2, f"{row['auc']:.3f}", ha="center", va="bottom", color=INK)
    ax.set(yticks=range(n), yticklabels=performance.index, ylim=(n - 0.5, -0.7), xlabel="AUC")
    _tidy(ax)
    return figure


def draw_separation(curves: pd.DataFrame, deciles: pd.DataFrame, name: str) -> Figure:
    """Draw the KS chart and the lift chart of a model."""
    figure = _figure(10, 4.4)
    left, right = figure.subplots(1, 2)
    points: Any = {str(key): values.to_numpy() for key, values in curves.xs(name).items()}
    KSDisplay(**points, name=name).plot(left)
    LiftDisplay(table=pd.DataFrame(deciles.xs(name)), name=name).plot(right)
    for ax in (left, right):
        _tidy(ax)
    return figure


def draw_calibration(deciles: pd.DataFrame, models: list[str]) -> Figure:
    """Draw overdue rates of deciles against their mean probabilities, one chart per model."""
    from matplotlib.ticker import PercentFormatter

    n_across = min(len(models), 4)
    n_down = -(-len(models) // n_across)
    figure = _figure(1.2 + 2.9 * n_across, 0.5 + 2.9 * n_down)
    charts = figure.subplots(n_down, n_across, sharex=True, sharey=True, squeeze=False).ravel()
    tables = [pd.DataFrame(deciles.xs(name)).dropna(subset=["rate"]) for name in models]
    top = 1.05 * max(float(table[["score_mean", "rate_high"]].max().max()) for table in tables)
    for number, (ax, name, table) in enumerate(zip(charts, models, tables, strict=False)):
        color, marker = _look(number)
        ends = (table["rate"] - table["rate_low"], table["rate_high"] - table["rate"])
        ax.plot([0, top], [0, top], color=GRAY, linestyle=":")
        ax.errorbar(
            table["score_mean"],
            table["rate"],
            yerr=np.maximum(ends, 0),
            color=color,
            marker=marker,
            markersize=5,
            linestyle="none",
            elinewidth=1.2,
        )
        ax.set(xlim=(0, top), ylim=(0, top))
        ax.set_title(name, fontsize=10)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        _tidy(ax)
    for ax in charts[len(models) :]:
        ax.remove()
    figure.supxlabel("Mean probability of the decile", fontsize=10)
    figure.supylabel("Overdue rate of the decile", fontsize=10)
    return figure


def draw_months(by_month: pd.DataFrame) -> Figure:
    """Draw number and overdue rate of applications, and the AUC of each model, by period."""
    from matplotlib.ticker import PercentFormatter

    months = by_month["month"].unique().tolist()
    place = {month: number for number, month in enumerate(months)}
    figure = _figure(10, 6.4)
    volume, rate, auc = figure.subplots(3, 1, sharex=True, height_ratios=[1, 1.5, 1.5])
    models = by_month["model"].unique()
    first = by_month[by_month["model"] == models[0]]
    x = first["month"].map(place)
    volume.bar(x, first["rows"], color=FAINT, width=0.7)
    volume.set(ylabel="Applications")
    ends = (first["rate"] - first["rate_low"], first["rate_high"] - first["rate"])
    rate.errorbar(
        x, first["rate"], yerr=np.maximum(ends, 0), color=INK, marker="o", label="overdue rate"
    )
    width = 0.12
    for number, name in enumerate(models):
        color, marker = _look(number)
        mine = by_month[by_month["model"] == name]
        at = mine["month"].map(place) + (number - (len(models) - 1) / 2) * width
        rate.plot(
            at,
            mine["mean_probability"],
            color=color,
            marker=marker,
            linestyle=":",
            markersize=4,
            label=f"mean probability, {name}",
        )
        ends = (mine["auc"] - mine["auc_low"], mine["auc_high"] - mine["auc"])
        auc.errorbar(
            at,
            mine["auc"],
            yerr=np.maximum(np.nan_to_num(ends), 0),
            color=color,
            marker=marker,
            markersize=5,
            linewidth=1,
            elinewidth=1.2,
            label=name,
        )
    auc.axhline(0.5, color=GRAY, linestyle=":", linewidth=1)
    rate.set(ylabel="Overdue rate")
    rate.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    auc.set(
        ylabel="AUC",
        xticks=range(len(months)),
        xticklabels=[month.replace("/", "\nto ") for month in months],
    )
    if len(months) > 12:
        auc.tick_params(axis="x", rotation=90)
    for ax in (rate, auc):
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    for ax in (volume, rate, auc):
        _tidy(ax)
    return figure


def draw_stability(stability: pd.DataFrame) -> Figure:
    """Draw the largest stability indices with the limits of the rule of thumb."""
    shown = stability.dropna(subset="psi").head(MOST_BARS)
    figure = _figure(9, 1.0 + 0.3 * len(shown))
    ax = figure.subplots()
    colors = {"stable": FAINT, "some change": "#E69F00", "large change": VERMILLION}
    y = np.arange(len(shown))
    ax.barh(y, shown["psi"], color=[colors[size] for size in shown["size"]], height=0.7)
    for limit, text in ((0.1, "0.1"), (0.25, "0.25")):
        ax.axvline(limit, color=GRAY, linestyle="--", linewidth=1)
        ax.text(limit, -0.75, text, ha="center", va="bottom", fontsize=9, color=GRAY)
    kinds = shown["kind"].map(lambda kind: KIND_NAMES.get(kind, kind))
    names = [f"{name} ({kind})" for kind, name in zip(kinds, shown["name"], strict=True)]
    ax.set(
        yticks=y,
        yticklabels=names,
        ylim=(len(shown) - 0.4, -0.6),
        xlim=(0, max(0.3, 1.08 * float(shown["psi"].max()))),
        xlabel="Stability index",
    )
    _tidy(ax)
    return figure
