"""Plots of explanations, as scikit-learn displays."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils import check_scalar

from skhuihen.inspection._explanation import Explanation
from skhuihen.inspection._table import HISTORY, OLDER
from skhuihen.plotting import SessionTimelineDisplay
from skhuihen.plotting._style import (
    BLUE,
    FAINT,
    GRAY,
    INK,
    VERMILLION,
    import_pyplot,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.text import Text

#: Height of a bar with its spacing, and of the rest of the figure, in inches.
_BAR, _AROUND = 0.34, 1.5


class WaterfallDisplay:
    """The steps from the background's log-odds to those of one application, player by player.

    Make one with :meth:`from_explanation`.

    Parameters
    ----------
    players : DataFrame
        Players that are not groups, with ``player``, ``kind``, ``shown`` and ``value``.
    base, log_odds : float
        Start and end of the bars.
    name : str, default=None
        Title of the plot.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : matplotlib BarContainer
        From the top, the largest effect first.
    labels_ : list of str
        Labels of the bars.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhuihen.inspection import WaterfallDisplay, explain
    >>> X = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "income": [1.0, 3.0, 2.0, 4.0]})
    >>> model = LogisticRegression().fit(X, [1, 0, 1, 0])
    >>> display = WaterfallDisplay.from_explanation(explain(model, X[:1], X[1:]))
    >>> sorted(display.labels_)
    ['age = 20', 'income = 1']
    """

    ax_: Axes
    figure_: Figure | SubFigure
    bars_: BarContainer
    labels_: list[str]

    def __init__(
        self, *, players: pd.DataFrame, base: float, log_odds: float, name: str | None = None
    ) -> None:
        self.players = players
        self.base = base
        self.log_odds = log_odds
        self.name = name

    @classmethod
    def from_explanation(
        cls,
        explanation: Explanation,
        row: int = 0,
        *,
        max_display: int = 12,
        name: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw one application.

        Parameters
        ----------
        explanation : Explanation
        row : int, default=0
            Position of the application.
        max_display : int, default=12
            Maximum number of bars; the smallest effects share one bar.
        name : str, default=None
            Title. None uses the index label of the row.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure if None.

        Returns
        -------
        WaterfallDisplay
        """
        players = explanation.leaves(row)
        display = cls(
            players=players,
            base=float(explanation.base[row]),
            log_odds=float(explanation.log_odds[row]),
            name=f"Application {explanation.index[row]}" if name is None else name,
        )
        return display.plot(ax=ax, max_display=max_display)

    def plot(self, ax: Axes | None = None, *, max_display: int = 12) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure if None.
        max_display : int, default=12
            Maximum number of bars.

        Returns
        -------
        self
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        check_scalar(max_display, "max_display", Integral, min_val=2)
        value, labels = self._largest(max_display)
        if ax is None:
            size = (9, _AROUND + _BAR * len(value))
            _, ax = plt.subplots(figsize=size, layout="constrained")
        self.ax_, self.figure_, self.labels_ = ax, ax.figure, labels
        # The largest effect is on top and ends at the log-odds of the application.
        stop = self.log_odds - np.append(0.0, np.cumsum(value)[:-1])
        start = stop - value
        y = -np.arange(len(value))
        color = [VERMILLION if v > 0 else BLUE for v in value]
        self.bars_ = ax.barh(y, value, left=start, height=0.62, color=color, zorder=2)
        for at, x in zip(y[:-1], start[:-1], strict=True):
            ax.plot([x, x], [at - 1.31, at + 0.31], color=FAINT, linewidth=1, zorder=1)
        low, high = np.min([start, stop]), np.max([start, stop])
        room = 0.012 * max(high - low, 1e-9)
        for at, v, left, right in zip(
            y.tolist(), value, np.minimum(start, stop), np.maximum(start, stop), strict=True
        ):
            side = ("left", right + room) if v >= 0 else ("right", left - room)
            ax.text(side[1], float(at), f"{v:+.2f}", ha=side[0], va="center", fontsize=8, color=INK)
        ax.set_yticks(y, labels, fontsize=8)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(y[-1] - 0.9, 0.9)
        ax.set_xlim(low - 10 * room, high + 10 * room)
        for x in (self.base, self.log_odds):
            ax.axvline(x, color=GRAY, linewidth=1, linestyle=(0, (4, 2)), zorder=0)
        ax.set_xlabel(
            f"log-odds, from {self.base:.2f} ({expit(self.base):.1%}) of the background to "
            f"{self.log_odds:.2f} ({expit(self.log_odds):.1%})",
            fontsize=9,
        )
        ax.spines[["top", "right", "left"]].set_visible(False)
        if self.name:
            ax.set_title(self.name, loc="left", fontsize=11, fontweight="bold")
        return self

    def _largest(self, n: int) -> tuple[NDArray[np.float64], list[str]]:
        """Return values and labels of the largest effects, and the sum of the others."""
        value = self.players["value"].to_numpy()
        order = np.argsort(-np.abs(value), kind="stable")
        labels = [
            _label(*of) for of in self.players[["player", "kind", "shown"]].itertuples(index=False)
        ]
        if not len(order):
            return np.zeros(1), ["no players"]
        if len(order) <= n:
            return value[order], [labels[i] for i in order]
        rest = order[n - 1 :]
        kept = order[: n - 1]
        return (
            np.append(value[kept], value[rest].sum()),
            [*(labels[i] for i in kept), f"sum of {len(rest)} smaller effects"],
        )


class EffectSummaryDisplay:
    """The players with the largest effects over many applications.

    Make one with :meth:`from_explanation`.

    Parameters
    ----------
    values : DataFrame of shape (n_applications, n_players)
        The result of `Explanation.matrix`.
    shown : DataFrame of the same shape, default=None
        The values of the columns, for the colors of the points.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    players_ : list of str
        The players from the top; the largest mean absolute effect comes first.
    bars_ : matplotlib BarContainer or None
        For ``kind="bar"``.
    points_ : list of matplotlib PathCollection
        For ``kind="beeswarm"``, one for each player.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhuihen.inspection import EffectSummaryDisplay, explain
    >>> X = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "income": [1.0, 3.0, 2.0, 4.0]})
    >>> model = LogisticRegression().fit(X, [1, 0, 1, 0])
    >>> display = EffectSummaryDisplay.from_explanation(explain(model, X), kind="bar")
    >>> sorted(display.players_)
    ['profile/age', 'profile/income']
    """

    def __init__(self, *, values: pd.DataFrame, shown: pd.DataFrame | None = None) -> None:
        self.values = values
        self.shown = shown

    @classmethod
    def from_explanation(
        cls,
        explanation: Explanation,
        *,
        kind: str = "beeswarm",
        level: str = "middle",
        max_display: int = 15,
        ax: Axes | None = None,
    ) -> Self:
        """Draw all applications of an explanation.

        Parameters
        ----------
        explanation : Explanation
        kind : {"beeswarm", "bar"}, default="beeswarm"
            A point for each application, or bars of the mean absolute effect.
        level : {"top", "middle"}, default="middle"
            As in `Explanation.matrix`.
        max_display : int, default=15
            Number of players to draw.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure if None.

        Returns
        -------
        EffectSummaryDisplay
        """
        display = cls(values=explanation.matrix(level), shown=explanation.shown(level))
        return display.plot(kind=kind, max_display=max_display, ax=ax)

    def plot(
        self, ax: Axes | None = None, *, kind: str = "beeswarm", max_display: int = 15
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure if None.
        kind : {"beeswarm", "bar"}, default="beeswarm"
        max_display : int, default=15

        Returns
        -------
        self
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        check_scalar(max_display, "max_display", Integral, min_val=1)
        if kind not in ("beeswarm", "bar"):
            raise ValueError(f'kind must be "beeswarm" or "bar", found {kind!r}.')
        size = self.values.abs().mean()
        order = np.argsort(-size.to_numpy(), kind="stable")[:max_display]
        self.players_ = [str(self.values.columns[i]) for i in order]
        if ax is None:
            figsize = (8, _AROUND + _BAR * len(order))
            _, ax = plt.subplots(figsize=figsize, layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.bars_: BarContainer | None = None
        self.points_: list[Any] = []
        y = -np.arange(len(order))
        if kind == "bar":
            self.bars_ = ax.barh(y, size.to_numpy()[order], height=0.62, color=BLUE)
            ax.set_xlabel("mean absolute effect on the log-odds", fontsize=9)
        else:
            self._draw_points(ax, order)
            ax.axvline(0, color=GRAY, linewidth=1, zorder=0)
            ax.set_xlabel("effect on the log-odds (above 0: higher risk)", fontsize=9)
        ax.set_yticks(y, [_name(player) for player in self.players_], fontsize=8)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(y[-1] - 0.6, 0.6)
        ax.spines[["top", "right", "left"]].set_visible(False)
        return self

    def _draw_points(self, ax: Axes, order: NDArray[np.int64]) -> None:
        drawn = None
        width = float(np.ptp(self.values.to_numpy())) or 1.0
        for row, column in enumerate(order):
            value = self.values.iloc[:, column].to_numpy()
            y = -row + _swarm(value, width / 120)
            share = None if self.shown is None else _shares(self.shown.iloc[:, column])
            look: dict[str, Any] = {"s": 9, "linewidth": 0, "zorder": 2}
            if share is None:
                points = ax.scatter(value, y, color=GRAY, **look)
            else:
                points = drawn = ax.scatter(
                    value, y, c=share, cmap="cividis", vmin=0, vmax=1, plotnonfinite=False, **look
                )
            self.points_.append(points)
        if drawn is not None:
            bar = ax.figure.colorbar(drawn, ax=ax, pad=0.02, aspect=40, shrink=0.8)
            bar.set_ticks([0, 1], labels=["low", "high"], fontsize=8)
            bar.set_label("value of the column", fontsize=8)
            bar.outline.set_visible(False)


class EffectTimelineDisplay(SessionTimelineDisplay):
    """The sessions of one application, colored by their effect on its log-odds.

    Make one with :meth:`from_explanation`. Otherwise the same as `SessionTimelineDisplay`.

    Parameters
    ----------
    events : DataFrame
        The behaviors of one application.
    effects : sequence of float, default=()
        Effects of the sessions that are separate players, the last session first.
    older : float, default=None
        Effect of all older sessions together.
    applied_at : Timestamp, default=None
        Time of the application.
    name : str, default=None
        Title of the plot.

    Attributes
    ----------
    effects_ : list of matplotlib Text
        The effects, from the top.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import Sessionizer, WindowStatistics, attach_behaviors, make_scorecard
    >>> from skhuihen.datasets import make_loan_data
    >>> from skhuihen.inspection import EffectTimelineDisplay, explain
    >>> bank = make_loan_data(n_new=60, n_old=0, overdue_rate=0.3, random_state=0)
    >>> X = attach_behaviors(bank.applications, bank.events)
    >>> model = make_pipeline(Sessionizer(), make_scorecard(WindowStatistics(["30D"])))
    >>> explanation = explain(model.fit(X, bank.y), X[:1], X[1:21], depth=2)
    >>> display = EffectTimelineDisplay.from_explanation(explanation, n_sessions=3)
    >>> len(display.effects_)  # the last session, and all older ones
    2
    """

    effects_: list[Text]

    def __init__(
        self,
        *,
        events: pd.DataFrame,
        effects: Any = (),
        older: float | None = None,
        applied_at: pd.Timestamp | str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(events=events, applied_at=applied_at, name=name)
        self.effects = effects
        self.older = older

    @classmethod
    def from_explanation(
        cls,
        explanation: Explanation,
        row: int = 0,
        *,
        n_sessions: int = 6,
        name: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw one application.

        Parameters
        ----------
        explanation : Explanation
            With depth 2 or 3, from a pipeline with a `Sessionizer`.
        row : int, default=0
            Position of the application.
        n_sessions : int, default=6
            Number of latest sessions to draw separately.
        name : str, default=None
            Title. None uses the index label of the row.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure if None.

        Returns
        -------
        EffectTimelineDisplay
        """
        players = explanation.of(row).set_index("player")["value"]
        sessions = players[[str(p).startswith(f"{HISTORY}/session_") for p in players.index]]
        sessions = sessions[[str(p).count("/") == 1 for p in sessions.index]]
        if HISTORY in players.index and not len(sessions):
            raise ValueError(
                "explanation has no effects of sessions. Call explain with depth=2 or 3."
            )
        if explanation.column not in explanation.table.columns:
            raise ValueError(
                f"The explained table has no column {explanation.column!r}. Explain applications "
                "with events."
            )
        history = explanation.table[explanation.column].iloc[row]
        if not isinstance(history, pd.DataFrame):
            history = pd.DataFrame(list(history) if history is not None else [])
        at = explanation.applied_at
        display = cls(
            events=history,
            effects=sessions.to_list(),
            older=players.get(f"{HISTORY}/{OLDER}"),
            applied_at=None if at is None else explanation.table[at].iloc[row],
            name=f"Application {explanation.index[row]}" if name is None else name,
        )
        return display.plot(ax=ax, n_sessions=n_sessions)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        n_sessions: int = 6,
        **kwargs: Any,
    ) -> Self:
        """Draw the plot. See `SessionTimelineDisplay.plot`.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. ``None`` makes a figure as high as the sessions need.
        name : str, default=None
            Title of the plot.
        n_sessions : int, default=6
            Number of latest sessions to draw separately.
        **kwargs : dict
            Passed to the dots.

        Returns
        -------
        self
        """
        super().plot(ax, name=name, n_sessions=n_sessions, **kwargs)
        self.effects_ = []
        n_drawn = min(self.events["session"].nunique() if len(self.events) else 0, n_sessions)
        if not n_drawn:
            return self
        rows = self.session_ax_
        width, height = rows.get_xlim()[1], rows.get_ylim()[1]
        left = (rows.get_window_extent().x0 - self.ax_.get_window_extent().x0) / (self.figure_.dpi)
        largest = max((abs(effect) for effect in self.effects), default=0.0) or 1.0
        for number in range(n_drawn):
            top = height * (1 - number / n_drawn)
            if number < len(self.effects):
                effect = float(self.effects[number])
                text = f"{effect:+.2f}"
            else:
                effect = 0.0
                text = "" if self.older is None else f"older: {self.older:+.2f} together"
            color = VERMILLION if effect > 0 else BLUE
            rows.axhspan(
                top - height / n_drawn,
                top,
                xmin=-left / width,
                color=color,
                alpha=0.32 * abs(effect) / largest,
                linewidth=0,
                clip_on=False,
                zorder=0.5,
            )
            self.effects_.append(
                rows.text(
                    -0.12,
                    top - 0.5 * height / n_drawn,
                    text,
                    ha="right",
                    va="center",
                    fontsize=10 if number < len(self.effects) else 8,
                    fontweight="bold",
                    color=color if effect else GRAY,
                )
            )
        return self


def _name(path: str) -> str:
    """Return the displayed name of a player."""
    name = path.rpartition("/")[2]
    if not path.startswith(f"{HISTORY}/"):
        return name
    if name == OLDER:
        return "older sessions"
    if name == "session_1":
        return "last session"
    if name.startswith("session_"):
        return f"{_ordinal(int(name.removeprefix('session_')))} latest session"
    session = _name(path.rpartition("/")[0])
    return f"{name.partition(':')[2]} ({session})"


def _ordinal(n: int) -> str:
    of_teens = 10 <= n % 100 <= 20
    return f"{n}{'th' if of_teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def _label(path: str, kind: str, shown: Any) -> str:
    name = _name(path)
    if kind == "column":
        if isinstance(shown, float | np.floating):
            return f"{name} = {'missing' if np.isnan(shown) else f'{shown:.6g}'}"
        return f"{name} = {'missing' if shown is None or shown is pd.NA else shown}"
    return name if shown is None else f"{name}: {shown}"


def _swarm(value: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return heights at which close points do not overlap."""
    place = np.round(value / width).astype(np.int64)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(place[order]) != 0))
    counts = np.diff(np.append(starts, len(order)))
    number = np.arange(len(order)) - np.repeat(starts, counts)
    # 0, 1, -1, 2, -2, ...: the densest place fills the height of a row.
    step = np.where(number % 2, number + 1, -number) / 2
    height = np.empty(len(value))
    height[order] = step * min(0.05, 0.7 / max(counts.max(initial=1), 1))
    return height


def _shares(shown: pd.Series) -> NDArray[np.float64] | None:
    """Return the share of applications with a lower value; None for values without numbers."""
    numbers = pd.to_numeric(shown, errors="coerce")
    if not pd.api.types.is_numeric_dtype(numbers.dtype):
        return None
    if numbers.notna().sum() < 2 or numbers.nunique() < 2:
        return None
    share = numbers.astype(float).rank(method="average").to_numpy()
    return (share - np.nanmin(share)) / (np.nanmax(share) - np.nanmin(share))
