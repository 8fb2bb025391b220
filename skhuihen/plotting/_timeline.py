"""Display of the sessions of one application."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_scalar

from skhuihen._events.frames import refuse_series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text
from skhuihen.plotting._style import (
    BLUE,
    FAINT,
    GRAY,
    GREEN,
    INK,
    PALE,
    VERMILLION,
    Style,
    import_pyplot,
)

_FIELD_STYLES = {
    "item_click": Style("item click", BLUE, "o"),
    "transform_operation": Style("transform operation (size: log amount)", VERMILLION, "D"),
    "function_widget": Style("function widget", GREEN, "s"),
    "": Style("field unknown", GRAY, "o"),
}


class SessionTimelineDisplay:
    """A picture of the sessions of one application.

    The upper part is a calendar with one bar per session. Its width is the duration, its height the
    number of behaviors. A line marks the application. The lower part has one row for each of the
    latest sessions, the latest on top. Dots show the behaviors in order, colored by field. The
    distance between two dots grows with the logarithm of the pause, so that bursts of clicks stay
    readable next to long waits.

    Create one with :meth:`from_events` or :meth:`from_frame`.

    Parameters
    ----------
    events : DataFrame
        The behaviors of one application, as in :meth:`from_events`.
    applied_at : Timestamp, default=None
        Time of the application.
    name : str, default=None
        Title of the picture.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the whole picture.
    calendar_ax_, session_ax_ : matplotlib Axes
        The two parts within it.
    figure_ : matplotlib Figure
        Figure with the axes.
    line_ : matplotlib Line2D or None
        The time of the application, if there is one.
    dots_ : list of matplotlib PathCollection
        The behaviors of the drawn sessions, one collection per field.
    labels_ : list of matplotlib Text
        Names of behaviors. A run of equal names has one label; names that do not fit are omitted.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhuihen.plotting import SessionTimelineDisplay
    >>> events = pd.DataFrame(
    ...     {
    ...         "time": pd.to_datetime(["2026-03-01 21:00:00", "2026-03-01 21:00:40"]),
    ...         "behavior": ["login", "loan_page"],
    ...         "session": [0, 0],
    ...     }
    ... )
    >>> display = SessionTimelineDisplay.from_events(events, applied_at="2026-03-01 22:00")
    >>> [label.get_text() for label in display.labels_]
    ['login', 'loan_page']
    """

    ax_: Axes
    calendar_ax_: Axes
    session_ax_: Axes
    figure_: Figure | SubFigure
    line_: Line2D | None
    dots_: list[PathCollection]
    labels_: list[Text]

    def __init__(
        self,
        *,
        events: pd.DataFrame,
        applied_at: pd.Timestamp | str | None = None,
        name: str | None = None,
    ) -> None:
        self.events = events
        self.applied_at = applied_at
        self.name = name

    @classmethod
    def from_frame(
        cls,
        X: pd.DataFrame,
        row: int = 0,
        behaviors: str = "behaviors",
        applied_at: str | None = "applied_at",
        *,
        n_sessions: int = 6,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> SessionTimelineDisplay:
        """Draw the sessions of one row of a frame that a `Sessionizer` has transformed.

        Parameters
        ----------
        X : DataFrame of shape (n_applications, n_columns)
            One application per row, with a nested column.
        row : int, default=0
            Position of the application.
        behaviors : str, default='behaviors'
            Name of the nested column.
        applied_at : str, default='applied_at'
            Column with the time of the application. ``None`` draws no time.
        n_sessions : int, default=6
            Number of the latest sessions to draw one by one.
        name : str, default=None
            Title. ``None`` uses the row's index label.
        ax : matplotlib Axes, default=None
            Where to draw. ``None`` makes a figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : SessionTimelineDisplay
            The picture. If the history is empty or missing, the picture says so.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        IndexError
            If the row does not exist.
        ValueError
            If a column is missing, or as in :meth:`from_events`.
        """
        refuse_series(X, "X")
        for wanted in (behaviors, applied_at):
            if wanted is not None and wanted not in X.columns:
                raise ValueError(
                    f"X has no column {wanted!r}; found {list(map(str, X.columns))}. Name the "
                    "columns in `behaviors` and `applied_at` (None draws no application time)."
                )
        if not -len(X) <= row < len(X):
            raise IndexError(f"row={row} is outside X, which has {len(X)} rows.")
        history = X[behaviors].iloc[row]
        if not isinstance(history, pd.DataFrame):
            # Arrow and object columns give lists of dicts; missing histories None or NaN.
            history = pd.DataFrame(list(history) if isinstance(history, Iterable) else [])
        return cls.from_events(
            history,
            applied_at=None if applied_at is None else X[applied_at].iloc[row],
            n_sessions=n_sessions,
            name=f"Application {X.index[row]}" if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_events(
        cls,
        events: pd.DataFrame,
        *,
        applied_at: pd.Timestamp | str | None = None,
        n_sessions: int = 6,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> SessionTimelineDisplay:
        """Draw the sessions of one application.

        Parameters
        ----------
        events : DataFrame of shape (n_behaviors, n_columns)
            One behavior per row, in any order, with ``time``, ``session`` (0 is the oldest), and
            ``behavior`` or else ``operation``. Optional columns are ``field`` (``item_click``,
            ``transform_operation`` or ``function_widget``), ``amount``, and ``seq``, the order of
            simultaneous events. Other columns are ignored. May be empty.
        applied_at : Timestamp or str, default=None
            Time of the application, with a time zone if `events` have one.
        n_sessions : int, default=6
            Number of the latest sessions to draw one by one.
        name : str, default=None
            Title of the picture.
        ax : matplotlib Axes, default=None
            Where to draw. ``None`` makes a figure that is high enough for the sessions.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : SessionTimelineDisplay
            The picture.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If a column is missing or of the wrong kind, or only one of `events` and `applied_at`
            has a time zone.
        """
        import_pyplot("SessionTimelineDisplay.from_events")
        display = cls(events=events, applied_at=applied_at, name=name)
        return display.plot(ax=ax, n_sessions=n_sessions, **kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        n_sessions: int = 6,
        **kwargs: Any,
    ) -> SessionTimelineDisplay:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; it becomes the frame of the picture. Names of behaviors need about 9 x 6
            inches. ``None`` makes a figure that is high enough for the sessions.
        name : str, default=None
            Title of the picture. ``None`` keeps the earlier one.
        n_sessions : int, default=6
            Number of the latest sessions to draw one by one.
        **kwargs : dict
            Passed to the dots, see :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        display : SessionTimelineDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            As in :meth:`from_events`.
        """
        plt = import_pyplot("SessionTimelineDisplay.plot")
        check_scalar(n_sessions, "n_sessions", Integral, min_val=1)
        behaviors, applied_at = _check_history(self.events, self.applied_at)
        sessions = [session for _, session in behaviors.groupby("session", sort=True)]
        latest = sessions[::-1][:n_sessions]
        name = self.name if name is None else name
        head = _HEAD + (_TITLE if name else 0)

        if ax is None:
            height = head + _FOOT + _ROW * max(len(latest), 1)
            ax = plt.figure(figsize=(_WIDTH, height)).add_axes((0.02, 0, 0.96, 1))
        ax.set_axis_off()
        self.ax_, self.figure_ = ax, ax.figure
        calendar, rows, room = _divide(ax, head)
        self.calendar_ax_ = ax.inset_axes(calendar)
        self.session_ax_ = ax.inset_axes(rows)
        if name:
            _write(
                ax,
                0,
                0.97,
                name,
                va="top",
                fontsize=12,
                fontweight="bold",
                transform=ax.transAxes,
            )
        self._draw_calendar(sessions, latest, applied_at, room)
        self._draw_sessions(latest, len(sessions), applied_at, room, kwargs)
        return self

    def _draw_calendar(
        self,
        sessions: list[pd.DataFrame],
        latest: list[pd.DataFrame],
        applied_at: pd.Timestamp | None,
        room: _Room,
    ) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
        from matplotlib.ticker import MaxNLocator

        ax = self.calendar_ax_
        self.line_ = None
        spans = [date2num(session["time"].iloc[[0, -1]].to_numpy()) for session in sessions]
        at = None if applied_at is None else float(date2num(applied_at.to_datetime64()))
        days = [*np.ravel(spans), *([] if at is None else [at])]
        if not days:
            ax.set_axis_off()
            return

        # At least an hour, so that one short session is a thin bar.
        length = max(max(days) - min(days), 1 / 24)
        first = (min(days) + max(days) - length) / 2
        ax.set_xlim(first - 0.02 * length, first + 1.02 * length)
        # With a lower maximum of ticks, the minimum must be lower too, or matplotlib may warn.
        locator = AutoDateLocator(minticks=2, maxticks=5) if room.narrow else AutoDateLocator()
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        ax.xaxis.get_offset_text().set(fontsize=8, color=INK)
        ax.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
        ax.set_ylabel("behaviors", fontsize=8, color=INK)
        ax.tick_params(labelsize=8, labelcolor=INK)
        ax.spines[["top", "right"]].set_visible(False)
        ax.yaxis.set_visible(bool(sessions))
        ax.spines["left"].set_visible(bool(sessions))

        if sessions:
            n_behaviors = sum(len(session) for session in sessions)
            covered = max(map(max, spans)) - min(map(min, spans))
            summary = f"{_count(len(sessions), 'session')}\n{_count(n_behaviors, 'behavior')}"
            summary += f"\nover {_duration(86_400 * covered)}"
            left = -(room.left - 0.1) / room.width
            _write(ax, left, 0.4, summary, fontsize=8, linespacing=1.5, transform=ax.transAxes)

        drawn_below = {session["session"].iloc[0] for session in latest}
        _draw_bars(ax, sessions, spans, drawn_below, 1.04 * length / room.width)
        if at is not None and applied_at is not None:
            self.line_ = ax.axvline(at, color=INK, linewidth=1.5, linestyle=(0, (4, 2)))
            ax.annotate(
                f"applied {_moment(applied_at)}",
                (at, 1),
                xycoords=ax.get_xaxis_transform(),
                xytext=(0, 4),
                textcoords="offset points",
                ha="right" if at - first > length / 2 else "left",
                fontsize=9,
                color=INK,
            )

    def _draw_sessions(
        self,
        latest: list[pd.DataFrame],
        n_all: int,
        applied_at: pd.Timestamp | None,
        room: _Room,
        kwargs: dict[str, Any],
    ) -> None:
        ax = self.session_ax_
        self.dots_, self.labels_ = [], []
        # One data unit is one inch, so that the space for a text can be computed.
        width, height = room.width, room.height
        ax.set(xlim=(0, width), ylim=(0, height))
        ax.set_axis_off()
        if not latest:
            before = "" if applied_at is None else " before the application"
            _write(ax, width / 2, height / 2, f"No behaviors{before}", ha="center", fontsize=12)
            return

        row_height = height / len(latest)
        longest = _longest_name(row_height, width)
        pauses = [session["pause"].to_numpy() for session in latest]
        places = _places(pauses, width - longest * math.cos(_SLANT))
        rows = []
        for k, (session, x) in enumerate(zip(latest, places, strict=True)):
            bottom = height - (k + 1) * row_height
            if k % 2 == 0:
                _shade(ax, bottom, bottom + row_height, -room.left / width)
            y = bottom + min(_BASE, row_height / 2)
            ax.plot(x, np.full(x.size, y), color=FAINT, linewidth=1.5, zorder=1)
            _describe(ax, session, -room.left + 0.1, bottom, row_height, applied_at)
            _write_pauses(ax, session["pause"].to_numpy(), x, y)
            if longest > 0:
                self.labels_ += _write_names(ax, session, x, y + 0.13, longest)
            rows.append(session.assign(x=x, y=y))

        dots = pd.concat(rows)
        by_field = dict(list(dots.groupby("field")))
        fields = [field for field in _FIELD_STYLES if field in by_field]
        self.dots_ = [_draw_dots(ax, by_field[field], field, kwargs) for field in fields]
        which = f"All {n_all} sessions" if n_all > 1 else "The only session"
        if len(latest) < n_all:
            which = f"Latest {len(latest)} of {n_all} sessions"
        _write(ax, -room.left, height + 0.15, which, fontsize=10, fontweight="bold")
        if fields != [""]:
            _add_legend(ax, fields, room.narrow)
        if not room.narrow:
            caption = "Order of behaviors, left to right; distances grow with the log of the pause"
            _write(ax, 0, -0.15, caption, fontsize=8, color=GRAY)


_Box = tuple[float, float, float, float]


class _Room(NamedTuple):
    """Size of the sessions' part and of the margin on its left, in inches."""

    width: float
    height: float
    left: float

    @property
    def narrow(self) -> bool:
        """Whether header and legend need separate lines."""
        return self.left + self.width < 9


# Inches of a new figure: its width, a row, the space above the rows without a title, the title,
# and the space below the rows.
_WIDTH, _ROW, _HEAD, _TITLE, _FOOT = 13.0, 1.35, 2.1, 0.3, 0.35
# Inches from the bottom of a row to its dots, and slant of their names.
_BASE, _SLANT = 0.25, math.radians(30)
_FONT_SIZE = 8
# Adjacent names at this slant require this distance between dots, in inches.
_NAME_ROOM = 1.3 * _FONT_SIZE / 72 / math.sin(_SLANT)
# Line spacing of other text.
_LINE = 0.17
# With less space than this, in inches, a name is not written.
_SHORTEST = 0.6


def _divide(ax: Axes, head: float) -> tuple[_Box, _Box, _Room]:
    """Return the calendar and the sessions as boxes in axes fractions, and the latter in inches."""
    extent = ax.get_window_extent()
    width, height = extent.width / ax.figure.dpi, extent.height / ax.figure.dpi
    # In small axes everything except the text shrinks.
    squeeze = min(1.0, 0.6 * height / (head + _FOOT))
    left = min(2.2, 0.3 * width)
    room = _Room(width - left, height - squeeze * (head + _FOOT), left)
    calendar_bottom, calendar_height = 1 - squeeze * (head - 0.8) / height, squeeze / height
    calendar = (left / width, calendar_bottom, room.width / width, calendar_height)
    sessions = (left / width, squeeze * _FOOT / height, room.width / width, room.height / height)
    return calendar, sessions, room


def _check_history(
    events: pd.DataFrame, applied_at: pd.Timestamp | str | None
) -> tuple[pd.DataFrame, pd.Timestamp | None]:
    """Give the columns to draw in order of time, and the application on the same clock."""
    at = None if applied_at is None else pd.Timestamp(applied_at)
    if at is pd.NaT:
        raise ValueError("applied_at is missing. Pass None to draw no time of application.")
    if events.empty:
        history = pd.DataFrame(columns=["time", "session", "behavior", "field", "amount", "pause"])
        return history, None if at is None else at.tz_localize(None)

    _check_columns(events)
    time, at = _on_one_clock(pd.DatetimeIndex(events["time"]), at)
    named = "behavior" if "behavior" in events.columns else "operation"
    field = (
        events["field"].astype(object) if "field" in events.columns else pd.Series("", events.index)
    )
    history = pd.DataFrame(
        {
            "time": time,
            "session": events["session"].to_numpy(),
            "behavior": events[named].astype(object).fillna("missing").astype(str).to_numpy(),
            "field": field.where(field.isin(list(_FIELD_STYLES)), "").to_numpy(),
            "amount": np.nan,
            "seq": events["seq"].to_numpy() if "seq" in events.columns else 0,
        }
    )
    if "amount" in events.columns:
        history["amount"] = events["amount"].to_numpy(dtype=np.float64, na_value=np.nan)
    history = history.sort_values(["session", "time", "seq"], kind="stable", ignore_index=True)
    pause = history.groupby("session")["time"].diff().dt.total_seconds()
    return history.assign(pause=pause.fillna(0)), at


def _check_columns(events: pd.DataFrame) -> None:
    """Reject events without the required columns."""
    for wanted, cure in (
        ("time", "the timestamps of the behaviors"),
        ("session", "the number of the session; Sessionizer adds it"),
    ):
        if wanted not in events.columns:
            raise ValueError(
                f"events need a column {wanted!r}, {cure}; found {list(map(str, events.columns))}."
            )
        n_missing = int(events[wanted].isna().sum())
        if n_missing:
            raise ValueError(f"events[{wanted!r}] is missing in {n_missing} of {len(events)} rows.")
    if not {"behavior", "operation"} & set(events.columns):
        raise ValueError(
            "events need a column 'behavior' or 'operation'; found "
            f"{list(map(str, events.columns))}."
        )
    if not pd.api.types.is_datetime64_any_dtype(events["time"].dtype):
        raise ValueError(
            f"events['time'] must be timestamps, found {events['time'].dtype}. Convert it with "
            "pandas.to_datetime."
        )


def _on_one_clock(
    time: pd.DatetimeIndex, at: pd.Timestamp | None
) -> tuple[pd.DatetimeIndex, pd.Timestamp | None]:
    """Return the times of events and of the application without zone, on the events' clock."""
    if at is None:
        return time.tz_localize(None), None
    if (time.tz is None) != (at.tz is None):
        of_events, of_application = (
            "no time zone" if zone is None else f"the time zone {zone}" for zone in (time.tz, at.tz)
        )
        raise ValueError(
            f"events['time'] has {of_events}, but applied_at has {of_application}. Both must have "
            "a time zone, or neither. Use tz_localize on the one without a time zone."
        )
    if time.tz is not None:
        at = at.tz_convert(time.tz)
    return time.tz_localize(None), at.tz_localize(None)


def _longest_name(row_height: float, width: float) -> float:
    """Return the inches for a slanted name, or 0 if they are too few to write any."""
    above, aside = row_height - _BASE - 0.22, 0.25 * width
    longest = min(above / math.sin(_SLANT), aside / math.cos(_SLANT))
    return longest if longest >= _SHORTEST else 0.0


def _places(pauses: list[NDArray[np.float64]], width: float) -> list[NDArray[np.float64]]:
    """Return the distance of each dot from the left in inches, on one scale for all sessions.

    A step has a fixed part, so that simultaneous behaviors do not overlap, and a part that grows
    with the logarithm of the pause.
    """
    width -= 0.3
    most = max(pause.size for pause in pauses) - 1
    if most == 0:
        return [np.full(1, 0.15) for _ in pauses]
    share = width / most
    fixed = min(0.85 * share, max(_NAME_ROOM, min(0.5 * share, 0.8)))
    logs = [np.log10(1 + pause) for pause in pauses]
    per_log = min(
        [0.5, *((width - fixed * (log.size - 1)) / log.sum() for log in logs if log.sum() > 0)]
    )
    steps = [np.where(np.arange(log.size) > 0, fixed + per_log * log, 0.15) for log in logs]
    return [np.cumsum(step) for step in steps]


def _write(ax: Axes, x: float, y: float, text: str, **kwargs: Any) -> Text:
    """Write text literally: names of behaviors and rows may contain dollar signs."""
    look = {"color": INK, "va": "center", "parse_math": False}
    return ax.text(x, y, text, **{**look, **kwargs})


def _describe(
    ax: Axes,
    session: pd.DataFrame,
    x: float,
    bottom: float,
    row_height: float,
    applied_at: pd.Timestamp | None,
) -> None:
    """Write number, start, length and time to the application, as many as fit into the row."""
    start, end = session["time"].iloc[0], session["time"].iloc[-1]
    n = _count(len(session), "behavior")
    lines = [
        f"Session {session['session'].iloc[0]}",
        _moment(start),
        f"{n} in {_duration((end - start).total_seconds())}" if len(session) > 1 else n,
    ]
    if applied_at is not None:
        ahead = (applied_at - end).total_seconds()
        lines.append(f"{_duration(abs(ahead))} {'before' if ahead > 0 else 'after'} application")
    lines = lines[: max(1, int(row_height / _LINE))]
    top = bottom + row_height / 2 + _LINE * (len(lines) - 1) / 2
    _write(ax, x, top, lines[0], fontsize=9, fontweight="bold")
    for k, line in enumerate(lines[1:], start=1):
        _write(ax, x, top - _LINE * k, line, fontsize=8)


def _draw_bars(
    ax: Axes,
    sessions: list[pd.DataFrame],
    spans: list[NDArray[np.float64]],
    drawn_below: set[Any],
    days_per_inch: float,
) -> None:
    """Draw one bar per session, stacked by field, with numbers over those drawn below."""
    highest = max((len(session) for session in sessions), default=1)
    ax.set_ylim(0, 1.3 * highest)
    left_of_numbers = np.inf
    for session, (start, end) in reversed(list(zip(sessions, spans, strict=True))):
        number = session["session"].iloc[0]
        width = max(end - start, 0.045 * days_per_inch)
        counts = session["field"].value_counts()
        bottom = 0
        for field, style in _FIELD_STYLES.items():
            ax.bar(
                start,
                counts.get(field, 0),
                width,
                bottom,
                align="edge",
                color=style.color,
                alpha=1.0 if number in drawn_below else 0.4,
                # Without edges, consecutive long sessions would look like one block.
                edgecolor="white",
                linewidth=0.8 if width > 0.2 * days_per_inch else 0,
            )
            bottom += counts.get(field, 0)
        middle = start + width / 2
        if number in drawn_below and left_of_numbers - middle > 0.22 * days_per_inch:
            # All numbers are on one line, because there is no space next to a higher bar.
            _write(
                ax,
                middle,
                1.15 * highest,
                str(number),
                ha="center",
                fontsize=8,
                bbox={"facecolor": "white", "linewidth": 0, "pad": 1},
            )
            left_of_numbers = middle


def _shade(ax: Axes, bottom: float, top: float, left: float) -> None:
    """Shade a row, from the margin on its left (as a fraction of the axes)."""
    ax.axhspan(bottom, top, xmin=left, color=PALE, linewidth=0, clip_on=False, zorder=0)


def _draw_dots(
    ax: Axes, behaviors: pd.DataFrame, field: str, kwargs: dict[str, Any]
) -> PathCollection:
    """Draw the behaviors of one field."""
    _, color, marker = _FIELD_STYLES[field]
    look = {"color": color, "marker": marker, "edgecolor": "white", "linewidth": 0.8, "zorder": 2}
    areas = _dot_areas(behaviors)
    return ax.scatter(behaviors["x"], behaviors["y"], s=areas, **{**look, **kwargs})


def _add_legend(ax: Axes, fields: list[str], is_narrow: bool) -> None:
    """Explain the fields in the header, or below the sessions if the header is narrow."""
    from matplotlib.lines import Line2D

    ax.legend(
        handles=[
            Line2D([], [], color=color, marker=marker, linestyle="", label=label)
            for label, color, marker in map(_FIELD_STYLES.__getitem__, fields)
        ],
        loc="upper right" if is_narrow else "lower right",
        bbox_to_anchor=(1, 0) if is_narrow else (1, 1),
        ncols=len(fields),
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        borderaxespad=0.1,
        handletextpad=0.2,
        columnspacing=1.4,
    )


def _write_pauses(ax: Axes, pause: NDArray[np.float64], x: NDArray[np.float64], y: float) -> None:
    """Write pauses of at least a minute under the line, where they fit."""
    right = -np.inf
    for k in range(1, x.size):
        text = _duration(pause[k])
        middle, half = (x[k] + x[k - 1]) / 2, 0.03 * len(text)
        if pause[k] >= 60 and middle - half > right:
            _write(ax, middle, y - 0.15, text, ha="center", fontsize=7, color=GRAY)
            right = middle + half + 0.06


def _write_names(
    ax: Axes, session: pd.DataFrame, x: NDArray[np.float64], y: float, longest: float
) -> list[Text]:
    """Write the names of behaviors, one for each run of equal names, where they fit."""
    moved = (session["field"] == "transform_operation") & np.isfinite(session["amount"])
    tails = [
        f" {_amount(amount)}" if known else ""
        for amount, known in zip(session["amount"], moved, strict=True)
    ]
    names = list(zip(session["behavior"], tails, strict=True))
    written: list[Text] = []
    last = -np.inf
    starts = [k for k in range(len(names)) if k == 0 or names[k] != names[k - 1]]
    for start, stop in zip(starts, [*starts[1:], len(names)], strict=True):
        if x[start] - last < 0.999 * _NAME_ROOM:
            continue
        name, tail = names[start]
        if stop - start > 1:
            tail += f" ×{stop - start}"
        text = _write(
            ax,
            x[start],
            y,
            name + tail,
            fontsize=_FONT_SIZE,
            rotation=math.degrees(_SLANT),
            rotation_mode="anchor",
            ha="left",
        )
        _shorten(text, name, tail, longest, ax.figure.dpi)
        written.append(text)
        last = x[start]
    return written


def _shorten(text: Text, name: str, tail: str, longest: float, dpi: float) -> None:
    """Shorten the name, but not the amount or count after it, to the available inches."""
    slant = text.get_rotation()
    text.set_rotation(0)
    while len(name) > 1 and text.get_window_extent().width > longest * dpi:
        name = name[:-1]
        text.set_text(f"{name}…{tail}")
    text.set_rotation(slant)


def _dot_areas(behaviors: pd.DataFrame) -> NDArray[np.float64]:
    """Areas in square points: by log amount for transform operations, equal for all others."""
    log_amount = np.log1p(behaviors["amount"].abs().to_numpy())
    sized = (behaviors["field"] == "transform_operation").to_numpy() & np.isfinite(log_amount)
    largest = log_amount[sized].max(initial=1.0)
    return np.where(sized, 15 + 115 * (log_amount / largest) ** 2, 45.0)


def _moment(time: pd.Timestamp) -> str:
    return f"{time:%a} {time.day} {time:%b %Y, %H:%M}"


def _count(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            count = seconds / size
            return f"{count:.1f} {unit}" if count < 9.95 else f"{count:.0f} {unit}"
    return f"{seconds:.0f} s"


def _amount(amount: float) -> str:
    size = abs(amount)
    one, unit = next(
        ((one, unit) for one, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if size >= one), (1, "")
    )
    size /= one
    # Three digits, without an exponent if rounding reaches the next thousand.
    text = f"{size:.0f}{unit}" if size >= 100 else f"{size:.3g}{unit}"
    return f"−{text}" if amount < 0 else text
