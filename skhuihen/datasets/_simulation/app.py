"""What users do in the app: visits and their events. Times are in seconds since the epoch."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skhuihen.datasets._simulation.calendar import PAYDAYS, monthday, put_late
from skhuihen.datasets._simulation.catalog import (
    AMOUNTS,
    BEHAVIORS,
    CODE,
    FIELD,
    LOAN_TOPIC,
    TOPIC_SHARE,
    TOPICS,
    Catalog,
    product_weights,
)
from skhuihen.datasets._simulation.draws import (
    DAY,
    BoolArray,
    FloatArray,
    IntArray,
    draw_columns,
    times_of_day,
)
from skhuihen.preprocessing._abstraction.rules import ITEM_CLICK, TRANSFORM_OPERATION

GAP = 3_600  # seconds: the session gap of the paper, which defines the last session
NEVER = np.iinfo(np.int64).max  # recording time of events that the bank never learned of

MEAN_APPETITE = 0.4
_MONTH = 30 * DAY
_HISTORY_DAYS = 105
_AFTER_DAYS = 45
_NO_EVENTS_SHARE = 0.04  # users who have not used the app before they apply

_IS_CLICK = FIELD == ITEM_CLICK
_MOVES_MONEY = FIELD == TRANSFORM_OPERATION


class Visits(NamedTuple):
    """One row per visit to the app."""

    user: IntArray
    anchor: IntArray
    at_end: BoolArray  # whether the anchor is the last event of the visit or the first
    length: IntArray
    pace: FloatArray  # multiplies the intervals; 1 is normal
    wait: IntArray  # minimum of the longest interval, in seconds
    topic: IntArray
    appetite: FloatArray  # probability that a viewed investment product is risky


class Events(NamedTuple):
    """One row per event."""

    user: IntArray
    time: IntArray
    recorded: IntArray  # when the bank learned of it
    operation: NDArray[np.int16]
    item: NDArray[np.int16]  # -1: none
    amount: FloatArray


_Columns = TypeVar("_Columns", Visits, Events)


def stack(*parts: _Columns) -> _Columns:
    """Concatenate tables."""
    return type(parts[0])(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def in_order(events: Events) -> Events:
    """Sort by user and time."""
    order = np.argsort(sort_key(events.user, events.time), kind="stable")
    return Events._make(column[order] for column in events)


def sort_key(user: IntArray, time: IntArray) -> IntArray:
    """Return one number that sorts by user, then by time."""
    return (user << 32) + time


def epoch_seconds(times: pd.Series) -> IntArray:
    """Return times as whole seconds since the epoch."""
    return times.to_numpy().astype("datetime64[s]").astype(np.int64)


# --------------------------------------------------------------------------------------------------
# People


class People(NamedTuple):
    """The habits of each user; row ``i`` is the user ``first_id + i``."""

    first_id: int
    per_month: FloatArray
    appetite: FloatArray
    dryness: FloatArray  # how often the salary is used up before the next payday
    has_events: BoolArray


def make_people(first_id: int, n: int, rng: np.random.Generator) -> People:
    """Draw the habits of users."""
    return People(
        first_id=first_id,
        per_month=rng.gamma(0.6, 15.2, n),
        appetite=rng.beta(2.0, 2.0 / MEAN_APPETITE - 2.0, n),
        dryness=draw_dryness(n, rng),
        has_events=rng.random(n) >= _NO_EVENTS_SHARE,
    )


def draw_dryness(n: int, rng: np.random.Generator) -> FloatArray:
    """Draw how often users have used up their salary before the next payday."""
    return rng.beta(0.6, 1.2, n)


# --------------------------------------------------------------------------------------------------
# Visits


def _lengths(n: int, rng: np.random.Generator) -> IntArray:
    """Return behaviors per visit: many short visits, and a long tail."""
    glance = rng.random(n) < 0.26
    long = np.exp(rng.normal(np.log(6.0), 0.82, n)).round()
    return np.where(glance, 1 + (rng.random(n) < 0.42), np.clip(long, 1, 200)).astype(np.int64)


def _everyday_visits(
    user: IntArray,
    first: IntArray,
    last: IntArray,
    count: IntArray,
    appetite: FloatArray,
    dryness: FloatArray,
    rng: np.random.Generator,
) -> Visits:
    """Draw ``count`` visits of each user between two times."""
    row = np.repeat(np.arange(len(user)), np.where(last > first, count, 0))
    n = len(row)
    anywhere = first[row] + (rng.random(n) * (last - first)[row]).astype(np.int64)
    ordinary = anywhere // DAY * DAY + times_of_day(n, rng)
    start = put_late(ordinary, rng.random(n) < 0.6 * dryness[row], rng)
    start = np.where((start >= first[row]) & (start < last[row]), start, ordinary)
    # Visits come in bursts: some follow another visit within hours.
    follows = np.flatnonzero((np.diff(row, prepend=-1) == 0) & (rng.random(n) < 0.35))
    hours = 1.0 + np.exp(rng.normal(np.log(2.0), 0.9, len(follows)))
    start[follows] = start[follows - 1] + (hours * 3_600).astype(np.int64)
    start = np.where((start >= first[row]) & (start < last[row]), start, anywhere)
    return Visits(
        user=user[row],
        anchor=start,
        at_end=np.zeros(n, dtype=bool),
        length=_lengths(n, rng),
        pace=np.exp(rng.normal(0.0, 0.35, n)),
        wait=np.zeros(n, dtype=np.int64),
        topic=rng.choice(len(TOPICS), size=n, p=TOPIC_SHARE),
        appetite=appetite[row],
    )


def _last_visits(
    user: IntArray, applied: IntArray, appetite: FloatArray, rng: np.random.Generator
) -> Visits:
    """Draw the visit that ends in the application.

    The more impulsive it is, the shorter and faster. Some applicants hesitate once, for minutes.
    """
    n = len(user)
    impulsive = rng.beta(0.8, 1.3, n)
    length = 3 + rng.poisson(np.exp(np.log(12) * (1 - impulsive)) * rng.gamma(4, 0.25, n))
    # Early enough for the bank to learn of the visit before the application.
    to_application = np.clip(np.exp(rng.normal(np.log(25), 0.8, n)), 5, 600).astype(np.int64)
    wait = np.clip(np.exp(rng.normal(np.log(480), 0.7, n)), 60, GAP - 60).astype(np.int64)
    return Visits(
        user=user,
        anchor=applied - to_application,
        at_end=np.ones(n, dtype=bool),
        length=np.minimum(length, 25),
        pace=np.exp(1.2 * (0.4 - impulsive) + rng.normal(0.0, 0.2, n)),
        wait=np.where(rng.random(n) < 0.3, wait, 0),
        topic=np.full(n, LOAN_TOPIC),
        appetite=appetite,
    )


# --------------------------------------------------------------------------------------------------
# Events


class App:
    """Fills visits with events as the app of one bank would log them.

    Parameters
    ----------
    catalog : Catalog
    late_share : float
        Share of visits, and of transactions, that the bank learns of hours or days late.
    """

    def __init__(self, catalog: Catalog, late_share: float) -> None:
        self.catalog = catalog
        self.late_share = late_share
        self._topic_weights = catalog.topic_weights()
        self._product_weights, self._product_row = product_weights(catalog.products)

    def events(self, visits: Visits, rng: np.random.Generator) -> Events:
        """Fill visits with events."""
        # Separate random streams: names and recording times do not change what happened.
        name_rng, clock_rng = rng.spawn(2)
        visit = np.repeat(np.arange(len(visits.length)), visits.length)
        opens = np.cumsum(visits.length) - visits.length
        closes = opens + visits.length - 1
        first = np.zeros(len(visit), dtype=bool)
        first[opens] = True
        interval = _intervals(first, visits.pace[visit], rng)
        waits = np.flatnonzero((visits.wait > 0) & (visits.length > 1))
        held = opens[waits] + 1 + rng.integers(visits.length[waits] - 1)
        interval[held] = np.maximum(interval[held], visits.wait[waits])
        elapsed = np.cumsum(interval)
        elapsed -= elapsed[opens][visit]
        start = visits.anchor - np.where(visits.at_end, elapsed[closes], 0)
        time = start[visit] + elapsed
        behavior = self._behaviors(visits, visit, first, closes, time, rng)
        return Events(
            user=visits.user[visit],
            time=time,
            recorded=self._recorded(visits, visit, behavior, time, clock_rng),
            operation=self.catalog.log(behavior, visits.topic[visit], name_rng),
            item=self._products(behavior, visits.appetite[visit], rng),
            amount=_amounts(behavior, rng),
        )

    def single_events(
        self, user: IntArray, time: IntArray, behavior: IntArray, rng: np.random.Generator
    ) -> Events:
        """Create events about loans that are not part of a visit and are known at once."""
        topic = np.full(len(user), LOAN_TOPIC)
        return Events(
            user=user,
            time=time,
            recorded=time,
            operation=self.catalog.log(behavior, topic, rng),
            item=np.full(len(user), -1, dtype=np.int16),
            amount=_amounts(behavior, rng),
        )

    def _behaviors(
        self,
        visits: Visits,
        visit: IntArray,
        first: BoolArray,
        closes: IntArray,
        time: IntArray,
        rng: np.random.Generator,
    ) -> IntArray:
        """Draw the behavior of every event from the topic of its visit."""
        n = len(visit)
        behavior = draw_columns(self._topic_weights, visits.topic[visit], rng)
        # Salaries arrive early in the month; on other days users look at the account.
        unpaid = (behavior == CODE["salary"]) & (monthday(time) > PAYDAYS)
        behavior[unpaid] = CODE["accounts"]
        # Widgets have fixed places: users confirm before money moves, and go back from an item.
        moves, clicks = _MOVES_MONEY[behavior], _IS_CLICK[behavior]
        free = ~(moves | first)
        for name, near, offset, share in (
            ("confirm", moves, -1, 0.6),
            ("verify", moves, -2, 0.3),
            ("back", clicks, 1, 0.2),
            ("filter", clicks, -1, 0.08),
        ):
            place = np.flatnonzero(near & (rng.random(n) < share)) + offset
            place = place[(place >= 0) & (place < n)]
            place = place[free[place] & (visit[place] == visit[place - offset])]
            behavior[place] = CODE[name]
        behavior[np.flatnonzero(first & (rng.random(n) < 0.7))] = CODE["login"]
        behavior[closes[visits.at_end]] = CODE["loan_application"]
        return behavior

    def _products(
        self, behavior: IntArray, appetite: FloatArray, rng: np.random.Generator
    ) -> NDArray[np.int16]:
        """Draw the product of each event; -1 for events without a product."""
        item = np.full(len(behavior), -1, dtype=np.int16)
        about = np.flatnonzero(self._product_row[behavior] >= 0)
        risky = rng.random(len(about)) < appetite[about]
        item[about] = draw_columns(
            self._product_weights, self._product_row[behavior[about]] + risky, rng
        )
        return item

    def _recorded(
        self,
        visits: Visits,
        visit: IntArray,
        behavior: IntArray,
        time: IntArray,
        rng: np.random.Generator,
    ) -> IntArray:
        """Draw when the bank learned of each event: within seconds, or hours to days late.

        A phone without a network sends its full visit later, and a transaction may be posted days
        later. Applicants are online, so their last visit is known at once.
        """
        n = len(visit)
        delay = np.minimum(rng.geometric(0.6, n) - 1, 4)
        hours = np.minimum(np.exp(rng.normal(np.log(15.0), 1.0, len(visits.length))), 240.0)
        whole = rng.random(len(visits.length)) < self.late_share
        late = whole[visit]
        delay = np.where(late, (hours * 3_600).astype(np.int64)[visit], delay)
        posted = np.flatnonzero(_MOVES_MONEY[behavior])
        days = np.minimum(np.exp(rng.normal(np.log(1.5), 0.6, len(posted))), 10.0)
        posted_late = rng.random(len(posted)) < self.late_share
        delay[posted[posted_late]] += (days[posted_late] * DAY).astype(np.int64)
        recorded = time + delay
        recorded[rng.random(n) < 0.05 * self.late_share] = NEVER
        at_once = visits.at_end[visit]
        recorded[at_once] = time[at_once] + np.minimum(rng.geometric(0.6, int(at_once.sum())), 4)
        return recorded


def _intervals(first: BoolArray, pace: FloatArray, rng: np.random.Generator) -> IntArray:
    """Draw the whole seconds since the previous event of the visit; 0 for the first event."""
    n = len(first)
    pause = rng.random(n) < np.clip(0.145 * pace, 0.0, 0.3)
    log_seconds = rng.standard_normal(n)
    log_seconds *= np.where(pause, 1.9, 1.0)
    log_seconds += np.where(pause, 4.2, 1.6)
    seconds = np.minimum(np.exp(log_seconds) * pace, GAP - 60)
    seconds[first] = 0
    return seconds.astype(np.int64)


def _amounts(behavior: IntArray, rng: np.random.Generator) -> FloatArray:
    """Draw the money that transactions move, in or out; a few amounts are zero or missing."""
    negative = np.full(len(BEHAVIORS), np.nan)
    log_median = np.full(len(BEHAVIORS), np.nan)
    for name, (chance, median) in AMOUNTS.items():
        negative[CODE[name]] = chance
        log_median[CODE[name]] = np.log(median)
    amount = np.full(len(behavior), np.nan)
    moves = np.flatnonzero(_MOVES_MONEY[behavior])
    kind, n = behavior[moves], len(moves)
    size = np.exp(log_median[kind] + 1.2 * rng.standard_normal(n)).round(2)
    size *= np.where(rng.random(n) < negative[kind], -1.0, 1.0)
    odd = rng.random(n)
    amount[moves] = np.where(odd < 0.01, 0.0, np.where(odd > 0.99, np.nan, size))
    return amount


# --------------------------------------------------------------------------------------------------
# The history of each applicant, events after the application, and users who never apply


def make_history(
    app: App,
    applications: pd.DataFrame,
    people: People,
    max_sessions: int,
    rng: np.random.Generator,
) -> Events:
    """Draw the events before each application; repeat applicants start at the previous one."""
    user = applications["user_id"].to_numpy()
    applied = epoch_seconds(applications["applied_at"])
    previous = pd.Series(applied).groupby(user).shift(fill_value=0).to_numpy()
    kept = people.has_events[user - people.first_id]
    user, applied, previous = user[kept], applied[kept], previous[kept]
    person = user - people.first_id
    appetite, dryness = people.appetite[person], people.dryness[person]
    first = np.maximum(applied - _HISTORY_DAYS * DAY, previous)
    last = applied - 2 * GAP
    # The days before an application are busy, so the last session is not isolated.
    days_before = np.maximum(first, applied - 2 * DAY)
    n_before = np.minimum(rng.poisson(1.0, len(user)), max_sessions - 1)
    n_everyday = rng.poisson(people.per_month[person] * np.maximum(last - first, 0) / _MONTH)
    n_everyday = np.minimum(n_everyday, max_sessions - 1 - n_before)
    visits = stack(
        _everyday_visits(user, first, last, n_everyday, appetite, dryness, rng),
        _everyday_visits(user, days_before, last, n_before, appetite, 0.0 * dryness, rng),
        _last_visits(user, applied, appetite, rng),
    )
    return in_order(app.events(visits, rng))


def make_aftermath(
    app: App,
    applications: pd.DataFrame,
    y: IntArray,
    people: People,
    max_sessions: int,
    rng: np.random.Generator,
) -> Events:
    """Draw what some users do after their last application: visits, then payment or notice.

    These events reveal the label, as in the log of a real bank if nobody cuts them off.
    """
    last_one = ~applications.duplicated("user_id", keep="last").to_numpy()
    stays = np.flatnonzero(last_one & (rng.random(len(y)) < 0.5))
    user = applications["user_id"].to_numpy()[stays]
    applied = epoch_seconds(applications["applied_at"])[stays]
    person = user - people.first_id
    until = applied + rng.integers(1, _AFTER_DAYS * DAY, size=len(user))
    count = rng.poisson(people.per_month[person] * (until - applied) / _MONTH)
    count = np.minimum(count, max_sessions)
    visits = _everyday_visits(
        user, applied, until, count, people.appetite[person], people.dryness[person], rng
    )
    outcome = np.where(y[stays] == 1, CODE["overdue_notice"], CODE["loan_repayment"])
    reached = until > applied + _MONTH
    due = applied[reached] + _MONTH + rng.integers(DAY, size=int(reached.sum()))
    return stack(
        app.events(visits, rng), app.single_events(user[reached], due, outcome[reached], rng)
    )


def make_strangers(
    app: App,
    first_id: int,
    n: int,
    earliest: int,
    days: int,
    max_sessions: int,
    rng: np.random.Generator,
) -> Events:
    """Draw one month of app users who never applied."""
    people = make_people(first_id, n, rng)
    user = first_id + np.arange(n)
    last = earliest + rng.integers(days * DAY, size=n)
    count = np.minimum(rng.poisson(people.per_month), max_sessions)
    visits = _everyday_visits(
        user, last - _MONTH, last, count, people.appetite, people.dryness, rng
    )
    return app.events(visits, rng)


def draw_usual_visits(
    users: pd.DataFrame,
    people: People,
    max_sessions: int,
    rng: np.random.Generator,
    *,
    after: bool,
) -> Visits:
    """Draw everyday visits of users before or after their time, `applied_at`."""
    user = users["user_id"].to_numpy()
    at = epoch_seconds(users["applied_at"])
    kept = people.has_events[user - people.first_id]
    user, at = user[kept], at[kept]
    person = user - people.first_id
    first, last = at - _HISTORY_DAYS * DAY, at
    if after:
        first, last = at, at + rng.integers(1, _AFTER_DAYS * DAY, size=len(at))
    count = np.minimum(
        rng.poisson(people.per_month[person] * (last - first) / _MONTH), max_sessions
    )
    return _everyday_visits(
        user, first, last, count, people.appetite[person], people.dryness[person], rng
    )
