"""The risk, computed from the tables in a way that any model could."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from skhuihen.datasets._simulation.app import GAP, MEAN_APPETITE, Events, epoch_seconds, sort_key
from skhuihen.datasets._simulation.calendar import LATE_FROM, monthday
from skhuihen.datasets._simulation.catalog import CODE, RISKY_KINDS, Catalog
from skhuihen.datasets._simulation.draws import FloatArray, IntArray
from skhuihen.datasets._simulation.profile import profile_effects

# The values of an average applicant, also used for applicants without information.
_MEAN_IMPULSE = 0.215
_MEAN_HESITATION = 0.277
_MEAN_LATE = 0.37
# Shares of few events shrink to the mean, as if this many average events were added.
_CLICKS_BESIDE = 3
_EVENTS_BESIDE = 20

# How appetite for risk affects each credit product: cash can be gambled, while an advance is repaid
# from the next salary.
_APPETITE_MATTERS = {"cash": 1.5, "installment": 0.7, "salary_advance": -0.7}


class _Known(NamedTuple):
    """The events known at each application, in order."""

    application: IntArray  # row of the applications
    event: IntArray  # row of the events


def _known_events(applications: pd.DataFrame, events: Events) -> _Known:
    """Find the events that happened and were recorded strictly before each application."""
    user = applications["user_id"].to_numpy()
    applied = epoch_seconds(applications["applied_at"])
    key = sort_key(events.user, events.time)
    start = np.searchsorted(key, sort_key(user, np.zeros_like(applied)))
    count = np.searchsorted(key, sort_key(user, applied)) - start
    application = np.repeat(np.arange(len(user)), count)
    event = np.arange(len(application)) + np.repeat(start - np.cumsum(count) + count, count)
    known = events.recorded[event] < applied[application]
    return _Known(application[known], event[known])


def behavior_measures(applications: pd.DataFrame, events: Events, catalog: Catalog) -> pd.DataFrame:
    """Measure the known behavior of each applicant at the application.

    Parameters
    ----------
    applications : DataFrame of shape (n, n_columns)
    events : Events
        Sorted.
    catalog : Catalog

    Returns
    -------
    DataFrame of shape (n, 4)
        `impulsive`, `hesitant`, `month_end` and `appetite`. Applicants without usable events get
        the average.
    """
    n = len(applications)
    known = _known_events(applications, events)
    behavior = catalog.behavior[events.operation[known.event]]
    item = events.item[known.event]
    clicked = np.isin(behavior, [CODE[name] for name in RISKY_KINDS])
    risky = clicked & catalog.products["risky"].to_numpy()[item]
    late = monthday(events.time[known.event]) >= LATE_FROM
    n_events, n_clicked, n_risky, n_late = (
        np.bincount(known.application[mask], minlength=n)
        for mask in (np.ones_like(late), clicked, risky, late)
    )
    impulsive, hesitant = _last_session(known, events, n)
    return pd.DataFrame(
        {
            "impulsive": impulsive,
            "hesitant": hesitant,
            "month_end": (n_late + _EVENTS_BESIDE * _MEAN_LATE) / (n_events + _EVENTS_BESIDE)
            - _MEAN_LATE,
            "appetite": (n_risky + _CLICKS_BESIDE * MEAN_APPETITE) / (n_clicked + _CLICKS_BESIDE)
            - MEAN_APPETITE,
        }
    )


def _last_session(known: _Known, events: Events, n: int) -> tuple[FloatArray, FloatArray]:
    """Measure the last session before each of ``n`` applications.

    Returns
    -------
    impulsive, hesitant : ndarray of shape (n,)
        Near 1 if the session is both short and fast; near 1 if one interval is long and the others
        are short.
    """
    time = events.time[known.event]
    opens = np.diff(known.application, prepend=-1) != 0
    opens |= np.diff(time, prepend=0) > GAP
    session = np.cumsum(opens)
    last = np.zeros(n, dtype=np.int64)
    last[known.application] = session  # keeps the last of several sessions
    kept = np.flatnonzero(session == last[known.application])
    begins = np.flatnonzero(opens[kept])
    length = np.diff(begins, append=len(kept))
    interval = np.log1p(np.diff(time[kept], prepend=0).clip(0))
    interval[begins] = 0.0
    total = np.add.reduceat(interval, begins)
    longest = np.maximum.reduceat(interval, begins)
    typical = total / np.maximum(length - 1, 1)
    others = (total - longest) / np.maximum(length - 2, 1)
    impulsive = np.full(n, _MEAN_IMPULSE)
    hesitant = np.full(n, _MEAN_HESITATION)
    row = known.application[kept[begins]]
    impulsive[row] = expit((8.5 - length) / 1.5) * expit((np.log(7.0) - typical) / 0.25)
    hesitant[row] = expit((longest - np.log(240.0)) / 0.3) * expit((np.log(12.0) - others) / 0.3)
    return impulsive, hesitant


def make_effects(
    profile: pd.DataFrame, behavior: pd.DataFrame, sizes: dict[str, float], drift: float = 0.0
) -> pd.DataFrame:
    """Return what each mechanism adds to the log-odds."""
    appetite_matters = profile["item__product"].map(_APPETITE_MATTERS).astype(np.float64)
    effects = profile_effects(profile, drift).join(behavior)
    effects["habit"] = behavior["appetite"] * appetite_matters
    return effects[list(sizes)] * pd.Series(sizes)


def fit_intercept(log_odds: FloatArray, rate: float) -> float:
    """Find the constant for which the mean probability equals ``rate``."""
    if not len(log_odds):
        return 0.0
    bound = np.abs(log_odds).max() + 50.0
    return float(brentq(lambda a: expit(a + log_odds).mean() - rate, -bound, bound, xtol=1e-12))
