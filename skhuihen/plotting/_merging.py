"""Display of a learned merging of operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D
from skhuihen.plotting._style import BLUE, GRAY, INK, VERMILLION, import_pyplot


class MergingDisplay:
    """The cost of merging operations, by the number of behaviors left.

    Create one with :meth:`from_estimator`.

    Parameters
    ----------
    merges : DataFrame
        The ``merges_`` of a `BehaviorAbstractor`.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        The cost.
    points_ : dict of str to matplotlib PathCollection
        The merges by ``"name"`` and by ``"use"``, if there are any.
    chosen_ : matplotlib Line2D or None
        Where merging ended; None if nothing was merged.

    See Also
    --------
    skhuihen.BehaviorAbstractor : Merges operations.

    Examples
    --------
    >>> from skhuihen import BehaviorAbstractor, attach_behaviors
    >>> from skhuihen.datasets import make_loan_data
    >>> from skhuihen.plotting import MergingDisplay
    >>> bank = make_loan_data(n_new=100, n_old=0, random_state=0)
    >>> X = attach_behaviors(bank.applications, bank.events)
    >>> abstractor = BehaviorAbstractor(n_behaviors="auto").fit(X)
    >>> display = MergingDisplay.from_estimator(abstractor)
    """

    def __init__(self, merges: pd.DataFrame) -> None:
        self.merges = merges

    @classmethod
    def from_estimator(cls, abstractor: Any, *, ax: Axes | None = None) -> Self:
        """Draw the merges of a fitted `BehaviorAbstractor`.

        Parameters
        ----------
        abstractor : BehaviorAbstractor
            Fitted with ``merge="auto"``.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        MergingDisplay
        """
        return cls(abstractor.merges_).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        self
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        if ax is None:
            _, ax = plt.subplots()
        self.ax_, self.figure_ = ax, ax.figure
        rare = self.merges["by"] == "rare"
        steps = self.merges[~rare]
        self.line_: Line2D = ax.plot(steps["n_behaviors"], steps["cost"], color=GRAY, zorder=1)[0]
        self.points_: dict[str, PathCollection] = {}
        for by, color, marker in (("name", BLUE, "o"), ("use", VERMILLION, "D")):
            mine = steps[steps["by"] == by]
            if len(mine):
                self.points_[by] = ax.scatter(
                    mine["n_behaviors"], mine["cost"], s=12, color=color, marker=marker, zorder=2
                )
                self.points_[by].set_label(f"merged by {by}")
        made = self.merges[self.merges["made"]]
        self.chosen_ = None
        if len(made):
            n = int(made["n_behaviors"].iloc[-1])
            label = f"{n} behaviors" + (
                f", {rare.sum()} rare operations dropped" if any(rare) else ""
            )
            self.chosen_ = ax.axvline(n, color=INK, linestyle="--", label=label)
        ax.set(xlabel="number of behaviors left", ylabel="cost")
        ax.invert_xaxis()
        if self.points_:
            ax.legend()
        return self
