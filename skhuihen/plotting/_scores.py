"""Displays of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._response import _get_response_values_binary

from skhuihen.metrics import ks_curve, lift_table
from skhuihen.metrics._checks import Label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text
from skhuihen.plotting._style import BLUE, GRAY, INK, VERMILLION, import_pyplot


class _ScoreDisplayMixin:
    """Code shared by the displays of a score."""

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        response_method: str = "auto",
        pos_label: Label | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Score rows with a fitted classifier, and draw the chart.

        Parameters
        ----------
        estimator : estimator instance
            Fitted binary classifier, or a pipeline that ends in one.
        X : array-like or DataFrame of shape (n_samples, n_features)
            Input of the estimator.
        y : array-like of shape (n_samples,)
            Outcomes of two classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        response_method : {'auto', 'predict_proba', 'decision_function'}, default='auto'
            ``'auto'`` tries `predict_proba` first.
        pos_label : int, float, bool or str, default=None
            The overdue class. ``None`` uses ``estimator.classes_[1]``.
        name : str, default=None
            Name of the model. ``None`` uses the class name of the estimator.
        ax : matplotlib Axes, default=None
            Where to draw. ``None`` makes a figure.
        **kwargs : dict
            Passed to :meth:`from_predictions`.

        Returns
        -------
        display : display of this class
            The chart.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `y` does not have exactly two classes, or a value is missing or infinite.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        y_score, pos_label = _get_response_values_binary(
            estimator, X, response_method=response_method, pos_label=pos_label
        )
        return cls.from_predictions(  # type: ignore[attr-defined]
            y,
            y_score,
            sample_weight=sample_weight,
            pos_label=pos_label,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )


class KSDisplay(_ScoreDisplayMixin):
    """Kolmogorov-Smirnov chart: how well a score separates overdue and other applications.

    Create one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    population, overdue, not_overdue, thresholds : ndarray of shape (n_thresholds,)
        As :func:`skhuihen.metrics.ks_curve` returns them.
    name : str, default=None
        Name of the model, for the legend.

    Attributes
    ----------
    ks : float
        Largest gap between the two curves.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure with the axes.
    line_ : list of matplotlib Line2D
        The curve of the overdue applications and the curve of the others.
    gap_ : matplotlib Line2D
        Mark at the largest gap.
    text_ : matplotlib Text
        Its value.

    See Also
    --------
    skhuihen.metrics.ks_score : Only the number.

    Examples
    --------
    >>> from skhuihen.plotting import KSDisplay
    >>> display = KSDisplay.from_predictions([0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.6, 0.9])
    >>> display.text_.get_text()
    'KS = 0.67'
    """

    ax_: Axes
    figure_: Figure | SubFigure
    line_: list[Line2D]
    gap_: Line2D
    text_: Text

    def __init__(
        self,
        *,
        population: NDArray[np.float64],
        overdue: NDArray[np.float64],
        not_overdue: NDArray[np.float64],
        thresholds: NDArray[np.float64],
        name: str | None = None,
    ) -> None:
        self.population = population
        self.overdue = overdue
        self.not_overdue = not_overdue
        self.thresholds = thresholds
        self.name = name

    @property
    def ks(self) -> float:
        """Largest gap between the two curves."""
        return float(np.abs(self.overdue - self.not_overdue).max())

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        x_axis: Literal["population", "score"] = "population",
        **kwargs: Any,
    ) -> KSDisplay:
        """Draw the chart.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. ``None`` makes a figure.
        name : str, default=None
            Name of the model. ``None`` keeps the earlier one.
        x_axis : {'population', 'score'}, default='population'
            Share of applications, riskiest first, or the score itself in falling order.
        **kwargs : dict
            Passed to both curves, see :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : KSDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `x_axis` has another value.
        """
        plt = import_pyplot("KSDisplay.plot")
        from matplotlib.ticker import PercentFormatter

        if x_axis not in ("population", "score"):
            raise ValueError(f"x_axis must be 'population' or 'score', found {x_axis!r}.")
        if ax is None:
            _, ax = plt.subplots()
        self.ax_, self.figure_ = ax, ax.figure
        name = self.name if name is None else name

        if x_axis == "population":
            x = self.population
            drawstyle = "default"
            ax.plot([0, 1], [0, 1], color=GRAY, linestyle=":", linewidth=1, label="random order")
            ax.set(xlabel="Share of applications, riskiest first", xlim=(0, 1))
            ax.xaxis.set_major_formatter(PercentFormatter(1))
        else:
            # No row reaches the infinite threshold, and it cannot be plotted.
            x = np.append(self.thresholds[1], self.thresholds[1:])
            drawstyle = "steps-post"
            ax.set(xlabel="Score threshold, riskiest first")
            ax.margins(x=0.02)
            if not ax.xaxis_inverted():
                ax.invert_xaxis()

        self.line_ = []
        for shares, style in (
            (self.overdue, {"label": "overdue", "color": VERMILLION}),
            (self.not_overdue, {"label": "not overdue", "color": BLUE}),
        ):
            self.line_ += ax.plot(x, shares, **{**style, "drawstyle": drawstyle, **kwargs})

        # The first of equal gaps, regardless of rounding errors.
        widest = int(np.abs(self.overdue - self.not_overdue).round(9).argmax())
        low, high = sorted((self.overdue[widest], self.not_overdue[widest]))
        (self.gap_,) = ax.plot(
            [x[widest]] * 2, [low, high], color=INK, linewidth=1.5, marker="_", markersize=9
        )
        # Curves rise to the right, so there is space to the upper left of the mark. Near the left
        # edge there is space inside the gap.
        left, right = ax.get_xlim()
        at_top = (x[widest] - left) / (right - left) > 0.3
        self.text_ = ax.annotate(
            f"KS = {self.ks:.2f}",
            (x[widest], min(high, 0.95) if at_top else (low + high) / 2),
            xytext=(-8 if at_top else 8, 0),
            textcoords="offset points",
            ha="right" if at_top else "left",
            va="center",
            color=INK,
            fontweight="bold",
            bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "alpha": 0.8, "linewidth": 0},
        )
        ax.set(ylabel="Share of the class at or above the score", ylim=(0, 1.02))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.legend(loc="lower right" if x_axis == "population" else "upper left", title=name)
        return self

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        pos_label: Label | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> KSDisplay:
        """Draw the chart from given scores.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Outcomes of two classes.
        y_score : array-like of shape (n_samples,)
            A probability or any score that rises with risk.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        pos_label : int, float, bool or str, default=None
            The overdue class. ``None`` uses the greater of the two labels.
        name : str, default=None
            Name of the model, for the legend.
        ax : matplotlib Axes, default=None
            Where to draw. ``None`` makes a figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : KSDisplay
            The chart.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `y_true` does not have exactly two classes, or a value is missing or infinite.
        """
        import_pyplot("KSDisplay.from_predictions")
        population, overdue, not_overdue, thresholds = ks_curve(
            y_true, y_score, pos_label=pos_label, sample_weight=sample_weight
        )
        display = cls(
            population=population,
            overdue=overdue,
            not_overdue=not_overdue,
            thresholds=thresholds,
            name=name,
        )
        return display.plot(ax=ax, **kwargs)


class LiftDisplay(_ScoreDisplayMixin):
    """Lift chart: the overdue rate of the riskiest applications relative to the overall rate.

    Create one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    table : DataFrame
        As :func:`skhuihen.metrics.lift_table` returns it.
    name : str, default=None
        Name of the model, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the chart.
    figure_ : matplotlib Figure
        Figure with the axes.
    bars_ : matplotlib BarContainer
        The lift of each bin, as wide as its share of the applications. A bin left empty by ties
        has no width.
    line_ : matplotlib Line2D
        The lift of each bin together with all riskier ones.

    See Also
    --------
    skhuihen.metrics.lift_table : The numbers.

    Examples
    --------
    >>> from skhuihen.plotting import LiftDisplay
    >>> y_score = [0.9, 0.8, 0.7, 0.4, 0.3, 0.2]
    >>> display = LiftDisplay.from_predictions([1, 1, 0, 1, 0, 0], y_score, n_bins=3)
    >>> [float(bar.get_height()) for bar in display.bars_]
    [2.0, 1.0, 0.0]
    """

    ax_: Axes
    figure_: Figure | SubFigure
    bars_: BarContainer
    line_: Line2D

    def __init__(self, *, table: pd.DataFrame, name: str | None = None) -> None:
        self.table = table
        self.name = name

    def plot(self, ax: Axes | None = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the chart.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. ``None`` makes a figure.
        name : str, default=None
            Name of the model. ``None`` keeps the earlier one.
        **kwargs : dict
            Passed to the bars, see :meth:`matplotlib.axes.Axes.bar`.

        Returns
        -------
        display : LiftDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        plt = import_pyplot("LiftDisplay.plot")
        from matplotlib.ticker import PercentFormatter

        if ax is None:
            _, ax = plt.subplots()
        self.ax_, self.figure_ = ax, ax.figure

        right = self.table["cumulative_population"].to_numpy()
        width = np.diff(right, prepend=0)
        lift = self.table["lift"].fillna(0).to_numpy()
        look = {
            "color": VERMILLION,
            "alpha": 0.75,
            "edgecolor": "white",
            "label": "lift of the bin",
        }
        self.bars_ = ax.bar(right - width, lift, width, align="edge", **{**look, **kwargs})
        numbers = [f"{value:.1f}" if wide else "" for value, wide in zip(lift, width, strict=True)]
        ax.bar_label(self.bars_, numbers, padding=2, fontsize=8, color=INK)
        (self.line_,) = ax.plot(
            right,
            self.table["cumulative_lift"],
            color=BLUE,
            marker="o",
            markersize=4,
            label="of the bin and all riskier ones",
        )
        random = ax.axhline(1, color=GRAY, linestyle=":", linewidth=1, label="random order")
        ax.set(
            xlabel="Share of applications, riskiest first",
            xlim=(0, 1),
            ylabel="Lift (overdue rate / overall rate)",
        )
        ax.margins(y=0.1)
        ax.set_ylim(bottom=0)
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        title = self.name if name is None else name
        ax.legend(handles=[self.bars_, self.line_, random], loc="best", title=title)
        return self

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        n_bins: int = 10,
        sample_weight: ArrayLike | None = None,
        pos_label: Label | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the chart from given scores.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Outcomes of two classes.
        y_score : array-like of shape (n_samples,)
            A probability or any score that rises with risk.
        n_bins : int, default=10
            Number of bins, at least 2, each with the same share of the applications if scores are
            distinct.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        pos_label : int, float, bool or str, default=None
            The overdue class. ``None`` uses the greater of the two labels.
        name : str, default=None
            Name of the model, for the legend.
        ax : matplotlib Axes, default=None
            Where to draw. ``None`` makes a figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : LiftDisplay
            The chart.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `y_true` does not have exactly two classes, a value is missing or infinite, or
            `n_bins` is below 2.
        """
        import_pyplot("LiftDisplay.from_predictions")
        table = lift_table(
            y_true, y_score, n_bins=n_bins, pos_label=pos_label, sample_weight=sample_weight
        )
        return cls(table=table, name=name).plot(ax, **kwargs)
