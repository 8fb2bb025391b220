"""Figures 4 and 5 of the paper: HUIHEN by the part of the history that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from tables import NAMES, PAPER, REFERENCE, Table


class Sweep(Table):
    """A table of HUIHEN for several numbers of kept sessions or behaviors, drawn as curves.

    Parameters
    ----------
    name, description : str
        As in `Table`.
    kept : dict of int to str
        The contender for each number.
    what : str
        Name of the kept parts: sessions or behaviors.
    """

    def __init__(self, name: str, description: str, kept: dict[int, str], what: str) -> None:
        # HUIHEN comes first, because it is the reference.
        contenders = sorted(kept.values(), key=lambda contender: contender != REFERENCE)
        super().__init__(name, description, {"bank_a_quarter": contenders})
        self.kept = kept
        self.what = what
        (self.paper,) = [number for number, one in kept.items() if one == REFERENCE]

    def draw(self, folder: Path) -> Figure:
        """Draw AUC and KS, with the standard deviation over folds, over the number kept."""
        summary = self.summarize(folder)
        names = summary.index.unique("data")
        figure = Figure(figsize=(5.5 * len(names), 7), layout="constrained")
        for column, name in zip(
            figure.subplots(2, len(names), squeeze=False).T, names, strict=True
        ):
            rows = summary.loc[name].reindex(self.kept.values())
            for ax, key, paper in zip(column, ("AUC", "KS"), PAPER[REFERENCE], strict=False):
                numbers = list(self.kept)
                line = {"color": "#0072B2", "capsize": 3, "label": "measured"}
                ax.errorbar(numbers, rows[key], yerr=rows[f"{key} sd"], fmt="o-", **line)
                if key == "AUC":
                    label = "by true probabilities"
                    ax.plot(numbers, rows["expected AUC"], "s--", color="#009E73", label=label)
                label = "paper, at its bank A"
                ax.plot(self.paper, paper, "D", mfc="none", color="#D55E00", label=label)
                ax.set(xscale="log", xlabel=self.what, ylabel=key)
                ax.set_xticks(numbers, map(str, numbers))
                ax.minorticks_off()
                ax.grid(alpha=0.3)
            column[0].set_title(NAMES[name])
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
        )
        return figure

    def conclude(self, rows: pd.DataFrame, about: dict[str, Any]) -> list[str]:
        """Say whether the curve rises up to the number of the paper and is flat beyond."""
        texts = []
        for number in (min(self.kept), max(self.kept)):
            contender = self.kept[number]
            if contender not in rows.index or pd.isna(rows.loc[contender, "gain"]):
                continue
            gain, low, high, p = rows.loc[contender, ["gain", "low", "high", "p"]]
            if number < self.paper:  # compare the rise up to the number of the paper
                start, end, gain, low, high = number, self.paper, -gain, -high, -low
            else:
                start, end = self.paper, number
            verdict = "it rises" if gain > 0 else "it falls"
            if not p < 0.05:
                verdict = "no significant difference"
            texts.append(
                f"From {start} to {end} {self.what}: AUC {gain:+.4f} ({low:+.4f} to {high:+.4f}), "
                f"{verdict}."
            )
        return [" ".join(texts)] if texts else []
