"""Users whose behavior is recorded but whose label is not known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skhuihen.datasets._simulation.app import (
    App,
    Events,
    draw_usual_visits,
    make_history,
    make_people,
    stack,
)
from skhuihen.datasets._simulation.profile import make_applications, place_in_time

_WAITING_SHARE = 0.2  # of these users, those who have applied; their loans still run
_WAITING_DAYS = 45  # after the last application with a label, in which they have applied


def make_unlabelled(
    app: App,
    n: int,
    first_user: int,
    first_application: int,
    start: pd.Timestamp,
    days: int,
    max_sessions: int,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, Events]:
    """Draw users without a label, and their events before and after their time.

    Parameters
    ----------
    app : App
    n : int
        Number of users.
    first_user, first_application : int
        The first identifiers.
    start : Timestamp
        When the applications with a label begin.
    days : int
        For how many days they last.
    max_sessions : int
        Maximum number of visits before the time of a user, and after it.
    rng : Generator

    Returns
    -------
    DataFrame of shape (n, n_columns), Events
    """
    people = make_people(first_user, n, rng)
    table = make_applications(n, n, first_user, 0.0, rng)
    n_waiting = round(_WAITING_SHARE * n)
    waiting, others = table[:n_waiting].copy(), table[n_waiting:].copy()
    later = start + pd.Timedelta(days=days)
    # The log of the others is read at any time, with no application as its reason.
    waiting = place_in_time(
        waiting, people.dryness[:n_waiting], later, _WAITING_DAYS, first_application, rng
    )
    never = np.zeros(n - n_waiting)
    others = place_in_time(others, never, start, days + _WAITING_DAYS, 0, rng)
    credit = [name for name in table if str(name).startswith("item__")]
    whole = [*(name for name in credit if table[name].dtype.kind == "i"), "application_id"]
    waiting, others = (part.astype(dict.fromkeys(whole, "Int64")) for part in (waiting, others))
    for name in ("application_id", *credit):
        others[name] = others[name].mask(np.full(len(others), True))
    before = make_history(app, waiting, people, max_sessions, rng)
    meanwhile = draw_usual_visits(others, people, max_sessions, rng, after=False)
    users = pd.concat([waiting, others], ignore_index=True)
    after = draw_usual_visits(users, people, max_sessions, rng, after=True)
    events = stack(before, app.events(meanwhile, rng), app.events(after, rng))
    return users.sort_values("applied_at", kind="stable", ignore_index=True), events
