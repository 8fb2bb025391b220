"""Pictures of explanations draw the values that they are given."""

from __future__ import annotations

import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skhuihen import Sessionizer, attach_behaviors
from skhuihen.inspection import (
    EffectSummaryDisplay,
    EffectTimelineDisplay,
    Explanation,
    WaterfallDisplay,
)
from skhuihen.inspection._table import Player


@pytest.fixture(autouse=True)
def same_settings_and_no_figure_left():
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    plt.close("all")


def make_explanation(n=3, n_sessions=4):
    """Explain made-up histories: sessions 1 and 2 have an effect of their own."""
    rng = np.random.default_rng(0)
    applications = pd.DataFrame(
        {"user_id": range(n), "applied_at": pd.Timestamp("2024-05-20"), "age": 30 + np.arange(n)}
    )
    start = pd.Timestamp("2024-05-10")
    events = pd.DataFrame(
        [
            (user, start + pd.Timedelta(days=s, minutes=k), f"page_{k}")
            for user in range(1, n)
            for s in range(n_sessions)
            for k in range(3)
        ],
        columns=["user_id", "time", "operation"],
    )
    table = Sessionizer().fit_transform(attach_behaviors(applications, events))
    own, values = [], []
    for row in range(n):
        players = [
            Player("profile", "", "field", None),
            Player("profile/age", "profile", "column", 30 + row),
            Player("profile/name", "profile", "column", "x" if row else None),
            Player("profile/ratio", "profile", "column", np.nan if row else 0.5),
        ]
        leaves = rng.normal(size=3)
        value = [leaves.sum(), *leaves]
        if row:
            players += [
                Player("history", "", "history", "4 sessions"),
                Player("history/session_1", "history", "session", "3 behaviors"),
                Player("history/session_2", "history", "session", "3 behaviors"),
                Player("history/older_sessions", "history", "session", "2 sessions, 6 behaviors"),
            ]
            value += [0.5, 0.6, -0.2, 0.1]
        own.append(players)
        values.append(np.array(value))
    base = np.full(n, -1.0)
    top = [v[0] + (v[4] if len(v) > 4 else 0) for v in values]
    return Explanation(
        players=own,
        values=values,
        log_odds=base + top,
        base=base,
        index=table.index,
        catalog=own[-1],
        table=table,
        column="behaviors",
        applied_at="applied_at",
    )


def draw(display):
    with io.BytesIO() as file:
        display.figure_.savefig(file, dpi=50)
        assert file.tell() > 1000


def test_a_waterfall_goes_from_the_background_to_the_application():
    explanation = make_explanation()
    display = WaterfallDisplay.from_explanation(explanation, 1)
    ends = [bar.get_x() + max(bar.get_width(), 0) for bar in display.bars_]
    width = [bar.get_width() for bar in display.bars_]
    assert sum(width) == pytest.approx(explanation.log_odds[1] - explanation.base[1])
    assert np.all(np.diff(np.abs(width)) <= 1e-12)
    first, last = display.bars_[0], display.bars_[-1]
    assert first.get_x() + first.get_width() == pytest.approx(explanation.log_odds[1])
    assert last.get_x() == pytest.approx(explanation.base[1])
    assert len(ends) == 6
    assert "age = 31" in display.labels_
    assert "ratio = missing" in display.labels_
    assert "last session: 3 behaviors" in display.labels_
    assert "2nd latest session: 3 behaviors" in display.labels_
    draw(display)


def test_a_waterfall_adds_up_what_has_no_room():
    explanation = make_explanation()
    display = WaterfallDisplay.from_explanation(explanation, 1, max_display=3, name="Ann")
    assert display.labels_[-1] == "sum of 4 smaller effects"
    width = [bar.get_width() for bar in display.bars_]
    assert len(width) == 3
    assert sum(width) == pytest.approx(explanation.log_odds[1] - explanation.base[1])
    assert display.ax_.get_title(loc="left") == "Ann"
    _, ax = plt.subplots()
    assert display.plot(ax).ax_ is ax


def test_a_summary_has_a_point_for_each_application():
    explanation = make_explanation(n=9)
    display = EffectSummaryDisplay.from_explanation(explanation, max_display=4)
    assert len(display.players_) == len(display.points_) == 4
    values = explanation.matrix()
    for player, points in zip(display.players_, display.points_, strict=True):
        found = np.asarray(points.get_offsets())[:, 0]
        np.testing.assert_allclose(found, values[player])
    size = values.abs().mean().sort_values(ascending=False)
    assert display.players_ == size.index[:4].tolist()
    draw(display)


def test_a_summary_of_bars():
    explanation = make_explanation(n=9)
    display = EffectSummaryDisplay.from_explanation(explanation, kind="bar", level="top")
    assert set(display.players_) == {"profile", "history"}
    widths = [bar.get_width() for bar in display.bars_]
    assert widths == sorted(explanation.matrix("top").abs().mean(), reverse=True)
    draw(display)
    with pytest.raises(ValueError, match="found 'pie'"):
        EffectSummaryDisplay.from_explanation(explanation, kind="pie")


def test_a_timeline_says_the_effect_of_each_session():
    explanation = make_explanation()
    display = EffectTimelineDisplay.from_explanation(explanation, 1, n_sessions=3)
    texts = [text.get_text() for text in display.effects_]
    assert texts == ["+0.60", "-0.20", "older: +0.10 together"]
    draw(display)
    nothing = EffectTimelineDisplay.from_explanation(explanation, 0)
    assert nothing.effects_ == []
    draw(nothing)


def test_a_timeline_needs_sessions():
    explanation = make_explanation()
    explanation.players[1] = [p for p in explanation.players[1] if p.kind != "session"]
    explanation.values[1] = explanation.values[1][:5]
    with pytest.raises(ValueError, match="explain with depth=2"):
        EffectTimelineDisplay.from_explanation(explanation, 1)
