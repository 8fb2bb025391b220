"""Displays: they draw what they say, without warnings and without a trace in global state."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from itertools import pairwise

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import nested_pandas as npd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.cbook import STEP_LOOKUP_MAP
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from skhuihen.metrics import ks_score, lift_table
from skhuihen.plotting import (
    KSDisplay,
    LiftDisplay,
    MergingDisplay,
    SessionTimelineDisplay,
)
from skhuihen.plotting._timeline import _amount, _duration, _places

FIELDS = {
    "item_click": ["fund_click:A17", "insurance_click:other"],
    "transform_operation": ["transfer_out", "repay_credit_card"],
    "function_widget": ["login", "credit_limit_page_view", "face_recognition_checking"],
}


@pytest.fixture(autouse=True)
def same_settings_and_no_figure_left():
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    plt.close("all")


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.2).astype(int)
    return y, np.round(rng.normal(size=400) + y, 1)


def make_events(n_sessions, *, seed=0, n_behaviors=(3, 25), pause=7.0):
    rng = np.random.default_rng(seed)
    time = pd.Timestamp("2026-01-03 09:12")
    rows = []
    for session in range(n_sessions):
        time += pd.Timedelta(hours=1 + float(rng.exponential(30)))
        for _ in range(rng.integers(n_behaviors[0], n_behaviors[1] + 1)):
            field = str(rng.choice(list(FIELDS)))
            time += pd.Timedelta(seconds=round(pause * float(np.exp(rng.normal()))))
            amount = float(rng.choice([-1, 1]) * np.exp(rng.normal(6, 2)))
            rows.append(
                {
                    "time": time,
                    "field": field,
                    "behavior": str(rng.choice(FIELDS[field])),
                    "session": session,
                    "amount": amount if field == "transform_operation" else np.nan,
                }
            )
    return pd.DataFrame(rows)


def render(display):
    display.figure_.savefig(io.BytesIO(), dpi=40)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def all_offsets(display):
    return np.concatenate([np.asarray(dots.get_offsets()) for dots in display.dots_])


# KS


@pytest.mark.parametrize("x_axis", ["population", "score"])
def test_ks_display_shows_the_score(scores, x_axis):
    y, score = scores
    display = KSDisplay.from_predictions(y, score, name="card", x_axis=x_axis)
    render(display)
    ks = ks_score(y, score)
    assert display.ks == ks
    assert display.text_.get_text() == f"KS = {ks:.2f}"
    assert abs(np.diff(display.gap_.get_ydata())[0]) == pytest.approx(ks)
    # The mark stands where the curves are that far apart.
    x, (low, high) = display.gap_.get_xdata()[0], sorted(display.gap_.get_ydata())
    shares = (
        (score >= x) if x_axis == "score" else (score >= np.sort(score)[::-1][round(x * 400) - 1])
    )
    assert sorted([shares[y == 0].mean(), shares[y == 1].mean()]) == pytest.approx([low, high])
    assert [line.get_label() for line in display.line_] == ["overdue", "not overdue"]
    assert display.ax_.get_legend().get_title().get_text() == "card"
    assert display.figure_ is display.ax_.figure


def test_ks_display_runs_from_the_riskiest_on(scores):
    by_population = KSDisplay.from_predictions(*scores)
    left, right = by_population.ax_.get_xlim()
    assert (left, right) == (0, 1)
    by_score = by_population.plot(x_axis="score")
    left, right = by_score.ax_.get_xlim()
    assert left > scores[1].max() > scores[1].min() > right
    for line in by_score.line_:
        assert np.isfinite(line.get_xdata()).all()
        assert (np.diff(line.get_ydata()) >= 0).all()


def test_ks_display_by_score_is_a_step_function(scores):
    y, score = scores
    display = KSDisplay.from_predictions(y, score, x_axis="score")
    distinct = np.unique(score)
    between = (distinct[1:] + distinct[:-1]) / 2
    for line, label in zip(display.line_, (1, 0), strict=True):
        step = STEP_LOOKUP_MAP[line.get_drawstyle()]
        drawn_x, drawn_y = step(line.get_xdata(), line.get_ydata())
        drawn = np.interp(between, drawn_x[::-1], drawn_y[::-1])
        expected = [(score[y == label] >= threshold).mean() for threshold in between]
        np.testing.assert_allclose(drawn, expected)


@pytest.mark.parametrize(
    ("y", "score"), [([0, 1], [1, 2]), ([0, 1], [2, 1]), ([0, 1, 1], [3, 3, 3])]
)
@pytest.mark.parametrize("x_axis", ["population", "score"])
def test_ks_display_of_extremes(y, score, x_axis):
    render(KSDisplay.from_predictions(y, score, x_axis=x_axis))


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearSVC()])
def test_ks_display_from_estimator(scores, estimator):
    y, score = scores
    named = np.where(y == 1, "overdue", "good")
    model = estimator.fit(score[:, None], named)
    display = KSDisplay.from_estimator(model, score[:, None], named)
    assert display.ks == pytest.approx(ks_score(y, score))
    assert display.name == type(estimator).__name__
    # The other class turned around: its members score low, and come first all the same.
    turned = KSDisplay.from_estimator(model, score[:, None], named, pos_label="good", name="turned")
    assert turned.name == "turned"
    assert turned.ks == pytest.approx(display.ks)
    assert (turned.overdue - turned.not_overdue).max() == pytest.approx(display.ks)


@pytest.mark.parametrize("constant", [1e-9, 0.1, 1e9])
def test_displays_do_not_depend_on_the_scale_of_weights(scores, constant):
    y, score = scores
    weight = 1 + np.arange(len(y)) % 7 / 3
    for weights in (weight, np.ones(len(y))):
        ks, scaled_ks = (
            KSDisplay.from_predictions(y, score, sample_weight=factor * weights)
            for factor in (1, constant)
        )
        assert scaled_ks.text_.get_text() == ks.text_.get_text()
        for line, scaled in zip(
            [*ks.line_, ks.gap_], [*scaled_ks.line_, scaled_ks.gap_], strict=True
        ):
            np.testing.assert_allclose(scaled.get_xydata(), line.get_xydata(), atol=1e-9)
        lift, scaled_lift = (
            LiftDisplay.from_predictions(y, score, sample_weight=factor * weights)
            for factor in (1, constant)
        )
        for bar, scaled in zip(lift.bars_, scaled_lift.bars_, strict=True):
            np.testing.assert_allclose(scaled.get_bbox(), bar.get_bbox(), atol=1e-9)


def test_the_gap_is_marked_at_the_first_of_equal_ones_whatever_the_rounding(scores):
    # Gaps of 1/3 at two thresholds.
    y, score = [1, 0, 1, 0, 1, 0], [6, 5, 4, 3, 2, 1]
    for constant in (1, 0.1, 1 / 3, 0.7):
        display = KSDisplay.from_predictions(y, score, sample_weight=[constant] * 6)
        assert display.gap_.get_xdata()[0] == pytest.approx(1 / 6)


def test_ks_display_takes_axes_style_and_weights(scores):
    y, score = scores
    figure, ax = plt.subplots()
    weight = 1 + y
    display = KSDisplay.from_predictions(y, score, sample_weight=weight, ax=ax, linewidth=3)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert {line.get_linewidth() for line in display.line_} == {3}
    np.testing.assert_allclose(
        display.population[1], np.average(score == score.max(), weights=weight)
    )


def test_ks_display_refuses(scores):
    y, score = scores
    with pytest.raises(ValueError, match="Only one class"):
        KSDisplay.from_predictions(np.ones(3), [1, 2, 3])
    with pytest.raises(ValueError, match="x_axis must be 'population' or 'score', found 'time'"):
        KSDisplay.from_predictions(y, score, x_axis="time")


# Lift


def test_lift_display_shows_the_table(scores):
    y, score = scores
    score = score + np.random.default_rng(1).random(400) / 100  # no ties
    display = LiftDisplay.from_predictions(y, score, n_bins=5, name="card")
    render(display)
    riskiest_first = y[np.argsort(-score)].reshape(5, 80)
    lift = riskiest_first.mean(axis=1) / y.mean()
    assert [bar.get_height() for bar in display.bars_] == pytest.approx(lift)
    assert [bar.get_x() for bar in display.bars_] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert [bar.get_width() for bar in display.bars_] == pytest.approx([0.2] * 5)
    assert texts(display.ax_) == [f"{value:.1f}" for value in lift]
    cumulative = np.cumsum(lift) / np.arange(1, 6)
    np.testing.assert_allclose(display.line_.get_ydata(), cumulative)
    np.testing.assert_allclose(display.line_.get_xdata(), [0.2, 0.4, 0.6, 0.8, 1])
    assert display.ax_.get_xlim() == (0, 1)
    assert display.ax_.get_ylim()[0] == 0
    assert display.ax_.get_legend().get_title().get_text() == "card"


@pytest.mark.parametrize(
    ("y", "score"), [([0, 1], [1, 2]), ([0, 1], [2, 1]), ([0, 1, 1], [3, 3, 3])]
)
def test_lift_display_of_extremes(y, score):
    display = LiftDisplay.from_predictions(y, score)
    render(display)
    assert sum(bar.get_width() for bar in display.bars_) == pytest.approx(1)
    assert len([text for text in texts(display.ax_) if text]) == len(set(score))


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearSVC()])
def test_lift_display_from_estimator(scores, estimator):
    y, score = scores
    named = np.where(y == 1, "overdue", "good")
    model = estimator.fit(score[:, None], named)
    weight = 1 + y
    figure, ax = plt.subplots()
    display = LiftDisplay.from_estimator(
        model, score[:, None], named, n_bins=4, sample_weight=weight, ax=ax, color="black"
    )
    expected = lift_table(y, score, n_bins=4, sample_weight=weight)
    np.testing.assert_allclose(display.table["lift"], expected["lift"])
    assert display.name == type(estimator).__name__
    assert (display.ax_, display.figure_) == (ax, figure)
    assert {bar.get_facecolor()[:3] for bar in display.bars_} == {(0, 0, 0)}
    turned = LiftDisplay.from_estimator(model, score[:, None], named, pos_label="good", name="good")
    assert turned.name == "good"
    np.testing.assert_allclose(turned.table["lift"], lift_table(1 - y, -score)["lift"])


def test_lift_display_refuses():
    with pytest.raises(ValueError, match="Only one class"):
        LiftDisplay.from_predictions(np.ones(3), [1, 2, 3])


# Timeline


@pytest.mark.parametrize(
    ("n_sessions", "options"),
    [
        (1, {}),
        (24, {}),
        (3, {"n_behaviors": (1, 1)}),
        (4, {"pause": 0.0}),
        (2, {"n_behaviors": (60, 80)}),
        (5, {"pause": 900_000.0}),
    ],
)
@pytest.mark.parametrize("in_axes", [False, True])
def test_timeline_draws_the_latest_sessions(n_sessions, options, in_axes):
    events = make_events(n_sessions, **options)
    applied_at = events["time"].max() + pd.Timedelta("2h")
    ax = plt.subplots(1, 2, figsize=(9, 4))[1][1] if in_axes else None
    display = SessionTimelineDisplay.from_events(events, applied_at=applied_at, name="A 1", ax=ax)
    render(display)

    latest = range(n_sessions)[::-1][:6]
    drawn = events[events["session"].isin(latest)]
    offsets = all_offsets(display)
    assert len(offsets) == len(drawn)
    # One row per session, latest on top, as many dots in it as behaviors.
    rows, counts = np.unique(offsets[:, 1], return_counts=True)
    assert counts[::-1].tolist() == [int((drawn["session"] == session).sum()) for session in latest]
    # Inside the axes.
    (left, right), (bottom, top) = display.session_ax_.get_xlim(), display.session_ax_.get_ylim()
    assert left < offsets[:, 0].min()
    assert offsets[:, 0].max() < right
    assert bottom < rows.min()
    assert rows.max() < top
    # The bars are as high, together, as there are behaviors.
    bars = display.calendar_ax_.patches
    assert sum(bar.get_height() for bar in bars) == len(events)
    assert display.figure_ is display.ax_.figure
    assert not in_axes or display.ax_ is ax


def assert_names_are_apart(display):
    """Parallel slanted names need their unslanted height between them."""
    renderer = display.figure_.canvas.get_renderer()
    rows = {}
    for label in display.labels_:
        slant = label.get_rotation()
        label.set_rotation(0)
        height = label.get_window_extent(renderer).height / display.figure_.dpi
        label.set_rotation(slant)
        x, y = label.get_position()
        rows.setdefault(y, []).append((x * math.sin(math.radians(slant)), height))
    for row in rows.values():
        for (place, height), (next_place, next_height) in pairwise(row):
            assert next_place - place >= 0.95 * max(height, next_height)
    return len(rows)


@pytest.mark.parametrize("seed", range(3))
def test_names_do_not_collide(seed):
    events = make_events(8, seed=seed)
    display = SessionTimelineDisplay.from_events(events, applied_at=events["time"].max())
    assert assert_names_are_apart(display) == 6
    renderer = display.figure_.canvas.get_renderer()
    row_height = display.session_ax_.get_ylim()[1] / 6
    for label in display.labels_:
        box = label.get_window_extent(renderer)
        (_, bottom), (_, top) = display.session_ax_.transData.inverted().transform(box)
        assert box.x1 < display.figure_.bbox.x1
        assert bottom // row_height == pytest.approx((top - 0.02) // row_height)

    # Sessions of up to 25 behaviors have room for every name; a run of equal ones has one.
    latest = events[events["session"] >= 2]
    told = latest[["session", "behavior", "amount"]].fillna({"amount": 0})
    assert len(display.labels_) == (told != told.shift()).any(axis=1).sum()


@pytest.mark.parametrize("pause", [0.0, 7.0])
def test_crowded_names_are_thinned(pause):
    events = make_events(2, n_behaviors=(70, 70), pause=pause)
    events["behavior"] += [f"_{k}" for k in range(len(events))]
    display = SessionTimelineDisplay.from_events(events)
    assert assert_names_are_apart(display) == 2
    assert 40 < len(display.labels_) < len(events)


def test_long_names_keep_their_amount():
    events = make_events(1, n_behaviors=(3, 3)).assign(
        behavior="a_name_of_a_behavior_far_longer_than_its_row_is_high",
        field="transform_operation",
        amount=[-1234.5, -1234.5, np.nan],
    )
    display = SessionTimelineDisplay.from_events(events)
    first, last = [label.get_text() for label in display.labels_]
    assert first.startswith("a_name")
    assert first.endswith("… −1.23k ×2")
    assert last.endswith("…")


def test_dots_have_color_by_field_and_size_by_amount():
    events = pd.DataFrame(
        {
            "time": pd.Timestamp("2026-01-01") + pd.to_timedelta(range(7), "s"),
            "session": 0,
            "behavior": list("abcdefg"),
            "field": ["transform_operation"] * 4 + ["item_click", None, "else"],
            "amount": [0.0, -10.0, 1e6, np.nan, 1e6, 1e6, 1e6],
        }
    )
    display = SessionTimelineDisplay.from_events(events)
    clicks, transforms, unknown = display.dots_
    zero, small, large, missing = transforms.get_sizes()
    assert zero < small < large
    assert zero < missing < large
    assert clicks.get_sizes().tolist() == unknown.get_sizes()[:1].tolist() == [missing]
    colors = {tuple(dots.get_facecolor()[0]) for dots in display.dots_}
    assert len(colors) == 3
    legend = [text.get_text() for text in display.session_ax_.get_legend().get_texts()]
    assert legend == ["item click", "transform operation (size: log amount)", "field unknown"]


def test_order_is_restored_and_pauses_show():
    start = pd.Timestamp("2026-01-01 10:00")
    events = pd.DataFrame(
        {
            "time": start + pd.to_timedelta([300, 0, 0, 1], "s"),
            "session": 0,
            "operation": ["last", "second", "first", "third"],
            "seq": [3, 1, 0, 2],
        },
        index=[7, 7, 7, 7],
    )
    display = SessionTimelineDisplay.from_events(events, applied_at=start + pd.Timedelta("2D"))
    names = sorted(display.labels_, key=lambda label: label.get_position()[0])
    assert [name.get_text() for name in names] == ["first", "second", "third", "last"]
    steps = np.diff(np.sort(all_offsets(display)[:, 0]))
    assert 0 < steps[0] < steps[1] < steps[2]
    described = texts(display.session_ax_)
    assert "5.0 min" in described
    assert "4 behaviors in 5.0 min" in described
    assert "2.0 d before application" in described


def test_places_share_one_scale():
    pauses = [np.array([0.0, 0, 9]), np.array([0.0, 9, 99, 0])]
    short, long = _places(pauses, 10)
    fixed, per_log = np.diff(short)[0], np.diff(short)[1] - np.diff(short)[0]
    np.testing.assert_allclose(np.diff(long), fixed + per_log * np.array([1, 2, 0]))
    assert per_log > 0
    assert long[-1] < 10


def test_events_after_the_application_are_seen_as_such():
    events = make_events(1)
    applied_at = events["time"].min() - pd.Timedelta("3h")
    display = SessionTimelineDisplay.from_events(events, applied_at=applied_at)
    assert any(text.endswith("after application") for text in texts(display.session_ax_))
    bar = max(display.calendar_ax_.patches, key=lambda patch: patch.get_height())
    assert bar.get_x() > display.line_.get_xdata()[0]


def test_time_zones():
    events = make_events(2)
    applied_at = events["time"].max() + pd.Timedelta("3h")
    local = events.assign(time=events["time"].dt.tz_localize("Asia/Shanghai"))
    naive = SessionTimelineDisplay.from_events(events, applied_at=applied_at)
    aware = SessionTimelineDisplay.from_events(
        local, applied_at=applied_at.tz_localize("Asia/Shanghai").tz_convert("UTC")
    )
    assert texts(aware.session_ax_) == texts(naive.session_ax_)
    assert texts(aware.calendar_ax_) == texts(naive.calendar_ax_)
    for mixed in ((local, applied_at), (events, applied_at.tz_localize("UTC"))):
        with pytest.raises(ValueError, match=r"has no time zone.* Both must have a time zone"):
            SessionTimelineDisplay.from_events(mixed[0], applied_at=mixed[1])


@pytest.mark.parametrize("seconds", [1, 90, 7_000, 40_000, 3e5, 3e6, 3e7, 3e8])
@pytest.mark.parametrize("wide", [True, False])
def test_calendar_of_any_length(seconds, wide):
    start = pd.Timestamp("2016-02-28 23:59:30")
    for factor in (1, 1.7, 2.9, 4.1, 6.3):
        events = pd.DataFrame({"time": [start], "session": [0], "behavior": ["login"]})
        ax = None if wide else plt.figure(figsize=(5, 3)).add_subplot()
        display = SessionTimelineDisplay.from_events(
            events, applied_at=start + pd.Timedelta(seconds=seconds * factor), ax=ax
        )
        assert len(display.calendar_ax_.get_xticks()) >= 2
        plt.close("all")


def test_names_are_not_read_as_formulas():
    events = make_events(1, n_behaviors=(2, 2)).assign(behavior=["$a_$", "$b^$"], amount=np.nan)
    display = SessionTimelineDisplay.from_events(events, name="$x_$")
    render(display)
    assert {label.get_text() for label in display.labels_} == {"$a_$", "$b^$"}


def test_options_reach_the_picture():
    events = make_events(5)
    display = SessionTimelineDisplay.from_events(events, n_sessions=2, name="one", alpha=0.5)
    assert display.line_ is None
    assert {dots.get_alpha() for dots in display.dots_} == {0.5}
    assert "Latest 2 of 5 sessions" in texts(display.session_ax_)
    assert texts(display.ax_) == ["one"]
    again = display.plot(name="two", n_sessions=9)
    assert again is display
    assert "All 5 sessions" in texts(display.session_ax_)
    assert texts(display.ax_) == ["two"]


def test_timeline_refuses():
    events = make_events(2)
    draw = SessionTimelineDisplay.from_events
    with pytest.raises(ValueError, match=r"'session'.*Sessionizer adds it"):
        draw(events.drop(columns="session"))
    with pytest.raises(ValueError, match="need a column 'time'"):
        draw(events.drop(columns="time"))
    with pytest.raises(ValueError, match="need a column 'behavior' or 'operation'"):
        draw(events.drop(columns="behavior"))
    with pytest.raises(ValueError, match=r"'time'.*must be timestamps.*to_datetime"):
        draw(events.assign(time=events["time"].astype(str)))
    with pytest.raises(ValueError, match=rf"'time'.* is missing in 1 of {len(events)} rows"):
        draw(events.assign(time=events["time"].where(events.index > 0)))
    with pytest.raises(ValueError, match="applied_at is missing"):
        draw(events, applied_at=pd.NaT)
    with pytest.raises(ValueError, match="n_sessions"):
        draw(events, n_sessions=0)


# Timeline of a frame


@pytest.fixture
def frame():
    events = pd.concat([make_events(3, seed=1), make_events(7, seed=2)], keys=[10, 11]).droplevel(1)
    base = npd.NestedFrame(
        {"applied_at": pd.to_datetime(["2026-03-01", "2026-03-02", "2026-03-03"])},
        index=[10, 11, 12],
    )
    return base.join_nested(events, "behaviors")


def test_from_frame_takes_one_application(frame):
    display = SessionTimelineDisplay.from_frame(frame, row=1)
    render(display)
    assert texts(display.ax_) == ["Application 11"]
    assert "Latest 6 of 7 sessions" in texts(display.session_ax_)
    assert texts(display.calendar_ax_)[-1] == "applied Mon 2 Mar 2026, 00:00"
    bare = SessionTimelineDisplay.from_frame(
        frame.rename(columns={"behaviors": "log"}), 0, "log", None, n_sessions=2, name="mine"
    )
    assert bare.line_ is None
    assert texts(bare.ax_) == ["mine"]
    assert "Latest 2 of 3 sessions" in texts(bare.session_ax_)


def test_from_frame_reads_lists_of_structs(frame):
    expected = SessionTimelineDisplay.from_frame(frame, row=1)
    records = [
        None if history is None else history.to_dict("records") for history in frame["behaviors"]
    ]
    arrow = pd.Series(records, frame.index, dtype=pd.ArrowDtype(pa.array(records).type))
    for column in (arrow, pd.Series(records, frame.index, dtype=object)):
        display = SessionTimelineDisplay.from_frame(
            pd.DataFrame({"applied_at": frame["applied_at"], "behaviors": column}), row=1
        )
        assert texts(display.session_ax_) == texts(expected.session_ax_)
        np.testing.assert_allclose(all_offsets(display), all_offsets(expected))


def test_an_empty_history_says_so(frame):
    display = SessionTimelineDisplay.from_frame(frame, row=2)
    render(display)
    assert texts(display.session_ax_) == ["No behaviors before the application"]
    assert display.line_ is not None
    assert display.labels_ == display.dots_ == []
    nothing = SessionTimelineDisplay.from_frame(frame, row=2, applied_at=None)
    render(nothing)
    assert texts(nothing.session_ax_) == ["No behaviors"]
    assert nothing.line_ is None
    no_rows = SessionTimelineDisplay.from_events(make_events(1).iloc[:0], applied_at="2026-03-01")
    assert texts(no_rows.session_ax_) == ["No behaviors before the application"]


def test_from_frame_refuses(frame):
    with pytest.raises(ValueError, match="no column 'applied_at'; found \\['behaviors'\\]"):
        SessionTimelineDisplay.from_frame(frame[["behaviors"]])
    with pytest.raises(ValueError, match="no column 'log'"):
        SessionTimelineDisplay.from_frame(frame, behaviors="log")
    with pytest.raises(IndexError, match="row=3 is outside X, which has 3 rows"):
        SessionTimelineDisplay.from_frame(frame, row=3)


# Words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (90, "1.5 min"), (3_600, "1.0 h"), (86_400 * 31, "31 d")],
)
def test_duration(seconds, text):
    assert _duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0"), (-12.34, "−12.3"), (999.7, "1000"), (1_234, "1.23k"), (-5e6, "−5M"), (2e10, "20B")],
)
def test_amount(amount, text):
    assert _amount(amount) == text


# Imports


def test_matplotlib_loads_late_and_its_absence_is_explained():
    code = """
import sys
import skhuihen.plotting as plotting
assert "matplotlib" not in sys.modules
sys.modules["matplotlib.pyplot"] = sys.modules["matplotlib"] = None
for draw in (
    lambda: plotting.KSDisplay.from_predictions([0, 1], [0, 1]),
    lambda: plotting.KSDisplay.from_estimator(None, None, None),
    lambda: plotting.LiftDisplay.from_predictions([0, 1], [0, 1]),
    lambda: plotting.LiftDisplay.from_estimator(None, None, None),
    lambda: plotting.SessionTimelineDisplay.from_events(None),
):
    try:
        draw()
    except ImportError as error:
        assert "pip install skhuihen[plots]" in str(error), error
    else:
        raise AssertionError("no ImportError")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- merging


MERGES = pd.DataFrame(
    {
        "n_behaviors": [9, 8, 7, 6],
        "cost": [math.nan, 0.9, 0.7, 0.8],
        "by": ["rare", "name", "use", "use"],
        "strength": [0.0, 0.8, 0.5, 0.1],
        "one": [*"abcd"],
        "other": ["", *"efg"],
        "made": [True, True, True, False],
    }
)


def test_the_cost_of_merging_is_drawn():
    display = MergingDisplay(MERGES).plot()
    assert display.line_.get_xydata().tolist() == [[8, 0.9], [7, 0.7], [6, 0.8]]
    assert display.points_["name"].get_offsets().tolist() == [[8, 0.9]]
    assert display.points_["use"].get_offsets().tolist() == [[7, 0.7], [6, 0.8]]
    assert display.chosen_.get_xdata() == [7, 7]
    assert display.chosen_.get_label() == "7 behaviors, 1 rare operations dropped"
    assert display.ax_.xaxis_inverted()


def test_no_merge_is_drawn_empty():
    _, ax = plt.subplots()
    display = MergingDisplay(MERGES.iloc[:0]).plot(ax=ax)
    assert display.ax_ is ax
    assert display.chosen_ is None
    assert display.points_ == {}
