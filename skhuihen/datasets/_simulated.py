"""A simulated bank with known overdue probabilities."""

from __future__ import annotations

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from skhuihen._compat import TEXT
from skhuihen.datasets._simulation.app import (
    NEVER,
    App,
    Events,
    draw_dryness,
    in_order,
    make_aftermath,
    make_history,
    make_people,
    make_strangers,
    stack,
)
from skhuihen.datasets._simulation.catalog import Catalog
from skhuihen.datasets._simulation.draws import FloatArray
from skhuihen.datasets._simulation.profile import make_applications, place_in_time
from skhuihen.datasets._simulation.risk import behavior_measures, fit_intercept, make_effects
from skhuihen.datasets._simulation.unlabelled import make_unlabelled
from skhuihen.metrics import expected_auc
from skhuihen.preprocessing._abstraction.rules import ITEM_CLICK

_NEW_FROM, _NEW_DAYS = pd.Timestamp("2024-01-15"), 168
_OLD_FROM, _OLD_DAYS = pd.Timestamp("2022-03-01"), 540

_REPEAT_SHARE = 0.03  # applications of users with an earlier application
_STRANGER_SHARE = 0.02  # app users who never apply


class _Bank(NamedTuple):
    """Table 1 of the paper, and the log-odds that each mechanism adds at an effect of 1."""

    n_new: int
    n_overdue: int
    n_old: int
    n_old_overdue: int
    sizes: dict[str, float]


# The profile effects are sized so that, with the number of applications and the overdue rate of
# Table 1, logistic regression and LightGBM on the profile reach about the AUC of the paper (0.62
# and 0.67 at bank A, 0.62 and 0.65 at bank B). At one seed the mean differs by about 0.01 at A and
# 0.03 at B. `examples/03_simulated_bank.py --table-1` shows it.
_BANKS = {
    "A": _Bank(
        n_new=26_602,
        n_overdue=1_402,
        n_old=142_521,
        n_old_overdue=9_501,
        sizes={
            "profile": 0.58,
            "nonlinear": 0.93,
            "impulsive": 1.0,
            "hesitant": -0.7,
            "month_end": 1.6,
            "habit": 1.8,
        },
    ),
    "B": _Bank(
        n_new=12_765,
        n_overdue=734,
        n_old=14_272,
        n_old_overdue=982,
        sizes={
            "profile": 0.62,
            "nonlinear": 0.88,
            "impulsive": 0.9,
            "hesitant": -0.6,
            "month_end": 1.4,
            "habit": 1.6,
        },
    ),
}

_DESCR = """\
Simulated loan applications of a bank with a mobile app
-------------------------------------------------------

New applications: {n_new:,} of {n_users:,} users, {n_overdue:,} overdue.
Events: {n_events:,}, in the 105 days before each application, after it, and of users who never
applied. Events after an application reveal its label, so they must be cut off, and so must events
recorded only after it: {n_late:,} events were recorded at least an hour late, or never.
Old applications: {n_old:,} without events, {n_old_overdue:,} overdue.
The app logs {n_operations} transform operations and function widgets, which are {n_behaviors} \
behaviors.

Every label was drawn from a known probability. It depends on the profile and on four signs of
behavior: a short and fast last session before the application; a single long wait in it; use of the
app late in the month; and a large share of risky products among the investment products clicked,
depending on the credit product applied for. The best possible AUC is {best_auc:.3f}, and
{profile_auc:.3f} from the profile alone.

{without_label}\
The effects were planted. If a model finds them, its parts work. These data cannot show whether a
real bank has such effects, or what they are worth.
"""

_WITHOUT_LABEL = """\
Without a label: {n:,} other users of the app, {n_waiting:,} of whom have applied and have not yet
been judged.

"""


def _events_table(events: Events, catalog: Catalog) -> pd.DataFrame:
    operations = pd.array(catalog.groups["operation"].to_numpy(), dtype=TEXT)
    items = pd.array(catalog.products["item"].to_numpy(), dtype=TEXT)
    recorded = pd.Series((events.recorded * 1_000_000).view("datetime64[us]"))
    return pd.DataFrame(
        {
            "user_id": events.user,
            "time": (events.time * 1_000_000).view("datetime64[us]"),
            "operation": operations.take(events.operation),
            "item": items.take(events.item, allow_fill=True),
            "amount": events.amount,
            "recorded_at": recorded.mask(events.recorded == NEVER),
        }
    )


def _generator(
    random_state: int | np.random.RandomState | np.random.Generator | None,
) -> np.random.Generator:
    """Create a generator that does not touch numpy's global state, even for ``None``."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31, size=4))
    return np.random.default_rng(random_state)


_EFFECT_SIZE = [Interval(Real, 0, None, closed="left")]
_SHARE = [Interval(Real, 0, 1, closed="both")]


@validate_params(
    {
        "n_new": [Interval(Integral, 2, None, closed="left"), None],
        "n_old": [Interval(Integral, 0, None, closed="left"), None],
        "bank": [StrOptions({"A", "B"})],
        "profile_effect": _EFFECT_SIZE,
        "nonlinear_effect": _EFFECT_SIZE,
        "impulsive_effect": _EFFECT_SIZE,
        "hesitant_effect": _EFFECT_SIZE,
        "month_end_effect": _EFFECT_SIZE,
        "habit_effect": _EFFECT_SIZE,
        "name_noise": _SHARE,
        "late_share": _SHARE,
        "drift": _SHARE,
        "overdue_rate": [Interval(Real, 0, 1, closed="neither"), None],
        "max_sessions": [Interval(Integral, 1, None, closed="left")],
        "n_unlabelled": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    },
    prefer_skip_nested_validation=True,
)
def make_loan_data(
    n_new: int | None = 5000,
    n_old: int | None = 20000,
    *,
    bank: str = "A",
    profile_effect: float = 1.0,
    nonlinear_effect: float = 1.0,
    impulsive_effect: float = 1.0,
    hesitant_effect: float = 1.0,
    month_end_effect: float = 1.0,
    habit_effect: float = 1.0,
    name_noise: float = 1.0,
    late_share: float = 0.1,
    drift: float = 0.0,
    overdue_rate: float | None = None,
    max_sessions: int = 200,
    n_unlabelled: int = 0,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> Bunch:
    """Simulate a bank's loan applications and app log, with the true probability of each label.

    The timing follows the app log of a real bank: seconds between behaviors, hours and days between
    sessions, a few long sessions among many short ones, and peaks during working hours
    (``examples/03_simulated_bank.py`` compares the figures). The mechanisms that [1]_ argues for
    are planted. Each adds to the log-odds of being overdue with its own size:

    - *profile*: linear and categorical effects of the profile;
    - *nonlinear*: steps, curves and products of profile columns;
    - *impulsive*: the last session before the application is short and its intervals are short;
    - *hesitant*: one interval of the last session lasts minutes and the others are short. Such an
      applicant stops to think, which lowers the risk;
    - *month_end*: the app is used late in the month, from the 24th on, before the salary;
    - *habit*: over the full history, a large share of the investment products clicked are risky.
      The size and sign of the effect depend on the credit product applied for.

    Each is computed from the returned tables rather than from hidden states, so `best_auc` can be
    reached in principle. Only events known to the bank at the application count: they happened
    (`time`) and were recorded (`recorded_at`) strictly before it. These are the events of
    ``attach_behaviors(..., known_at="recorded_at")``. Profile and behavior are independent.

    The app logs hundreds of raw operations for about forty behaviors: the same button on many
    pages, under names with or without the page and under meaningless names.

    Success here shows that the parts of a model work. It does not show that they pay off in a real
    bank: the effects are found because they were planted.

    Parameters
    ----------
    n_new : int or None, default=5000
        Number of applications with an app log; at least 2. None uses the number of the bank in
        Table 1 of [1]_: 26,602 at bank A, 12,765 at bank B. About 3% are the second application of
        a user, and about 4% of the users have no events before they apply.
    n_old : int or None, default=20000
        Number of old applications, made earlier by other users, with only a profile. None uses the
        number of Table 1: 142,521 at bank A, 14,272 at bank B.
    bank : {"A", "B"}, default="A"
        The bank of [1]_ to resemble. Bank A logs 452 transform operations and function widgets for
        42 behaviors, under names such as ``FundListPage.quickBuy`` and ``fund/list/quick_buy``.
        Bank B logs 367 for 37 behaviors, under codes of module, page and function such as
        ``181-507-813``. Meaningless names are 15% at bank A and 30% at bank B. Items are counted
        separately. The banks also differ in overdue rates and effect sizes.
    profile_effect, nonlinear_effect : float, default=1.0
        Sizes of the linear and nonlinear effects of the profile; 0 disables an effect.
    impulsive_effect, hesitant_effect : float, default=1.0
        Sizes of the effects of the last session; 0 disables an effect.
    month_end_effect : float, default=1.0
        Size of the effect of the salary cycle; 0 disables it.
    habit_effect : float, default=1.0
        Size of the effect of the long-term appetite for risk; 0 disables it.
    name_noise : float, default=1.0
        Share of the additional names of each behavior that the app uses, most popular first. At 0
        every behavior, including items, has a single clean name. It affects names only and not the
        risk, so it has no column in `effects`.
    late_share : float, default=0.1
        Share of visits, and additionally of transactions, that the bank learns of hours or days
        late. A twentieth of this share of events is never recorded. The visit that ends in an
        application is always known in time. At 0 all events are recorded within seconds.
    drift : float, default=0.0
        How much old applicants differ, from 0 to 1. They are poorer and less educated, apply for
        other credits, and the terms of `profile` and `nonlinear` have other weights. New applicants
        do not change.
    overdue_rate : float or None, default=None
        Mean of the true probability over the new applications, and also over the old ones, strictly
        between 0 and 1. None uses the rates of Table 1: 1,402 of 26,602 and 9,501 of 142,521 at
        bank A, 734 of 12,765 and 982 of 14,272 at bank B.
    max_sessions : int, default=200
        Maximum number of app visits of a user before an application, and after it. This limits
        memory, since a few users visit several times a day.
    n_unlabelled : int, default=0
        Number of further users of the app who have no label. A fifth of them have applied in the
        45 days after the new applications, and their loans still run. The others have not applied.
    random_state : int, Generator, RandomState or None, default=None
        Seed or source of randomness. The same int gives the same data. numpy's global state is
        neither used nor changed. An argument changes only the parts it concerns: with another
        effect size, the same users do the same things before they apply.
        another effect size, the same users do the same things before they apply.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        applications : DataFrame of shape (n_new, 22)
            `application_id`, `user_id`, `applied_at` and the profile, whose columns start with
            `user__`, `device__` or `item__`. Sorted by `applied_at`.
        events : DataFrame
            `user_id`, `time`, `operation`, `item` (a product id such as `"A17"`, or missing),
            `amount` (money in or out, or missing) and `recorded_at` (when the bank learned of it,
            missing if never). Sorted by user and time. It also has events at and after
            `applied_at`, which reveal the label, and events of users who never applied.
        y : ndarray of shape (n_new,)
            1 for overdue, 0 otherwise.
        probability : ndarray of shape (n_new,)
            The probability from which each label was drawn.
        best_auc : float
            AUC of `probability` itself, computed from `probability` as the expected number of
            correctly ordered pairs over the expected number of pairs. No model can be expected to
            do better, but it may by luck on one draw of `y`.
        profile_auc : float
            The same for the sum of the profile effects.
        effects : DataFrame of shape (n_new, 6)
            What `profile`, `nonlinear`, `impulsive`, `hesitant`, `month_end` and `habit` add to
            the log-odds.
        intercept : float
            The log-odds are `intercept` plus the sum of `effects`.
        old_applications, old_y, old_probability
            The same for the old applications. Behavior affects their risk too, but it was not
            recorded.
        unlabelled : DataFrame of shape (n_unlabelled, 22)
            The users without a label, with the columns of `applications`. Their events are in
            `events`, so ``attach_behaviors(data.unlabelled, data.events)`` gives their histories.
            `applied_at` is the time of the application or, without one, the time up to which the
            history counts. Then `application_id` and the columns of the credit (`item__`) are
            missing. Sorted by `applied_at`.
        operation_groups : DataFrame
            `operation`, `field` and `behavior`: the true grouping of the raw operations, in the
            form accepted by ``BehaviorAbstractor(rules=...)``.
        products : DataFrame
            `item`, `behavior` (the click that it belongs to) and `risky`.
        DESCR : str
            Description of this draw.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    .. [1] H. Guo, X. Ren, R. Wang, Z. Cai, K. Shuang and Y. Sun, "A Hierarchical User
       Intention-Habit Extract Network for Credit Loan Overdue Risk Detection",
       arXiv:2008.07796, 2020. Section 1 (impulsive, habit), section 3.4 (hesitant, month_end),
       section 3.5 (habit toward the item), Table 1 (sizes), section 5.3.2 (operations).

    Examples
    --------
    >>> from skhuihen.datasets import make_loan_data
    >>> data = make_loan_data(n_new=500, n_old=1000, random_state=0)
    >>> data.applications.shape, data.old_applications.shape
    ((500, 22), (1000, 22))
    >>> data.events.columns.to_list()
    ['user_id', 'time', 'operation', 'item', 'amount', 'recorded_at']
    >>> print(f"{data.probability.mean():.4f}")
    0.0527
    >>> data.profile_auc < data.best_auc
    True
    """
    table_1 = _BANKS[bank]
    n_new = table_1.n_new if n_new is None else n_new
    n_old = table_1.n_old if n_old is None else n_old
    rate, old_rate = table_1.n_overdue / table_1.n_new, table_1.n_old_overdue / table_1.n_old
    if overdue_rate is not None:
        rate = old_rate = overdue_rate
    effect = {
        "profile": profile_effect,
        "nonlinear": nonlinear_effect,
        "impulsive": impulsive_effect,
        "hesitant": hesitant_effect,
        "month_end": month_end_effect,
        "habit": habit_effect,
    }
    sizes = {name: effect[name] * size for name, size in table_1.sizes.items()}
    app = App(Catalog(bank, name_noise), late_share)

    rng = _generator(random_state)
    # One random stream per part, so an argument does not change other parts.
    seeds = rng.integers(2**63, size=8)
    old_rng, old_label_rng, new_rng, people_rng, history_rng, label_rng, after_rng, stranger_rng = (
        map(np.random.default_rng, seeds)
    )
    n_users = n_new - int(_REPEAT_SHARE * n_new)
    first_user = 1 + n_old
    people = make_people(first_user, n_users, people_rng)
    new = make_applications(n_new, n_users, first_user, 0.0, new_rng)
    dryness = people.dryness[new["user_id"] - first_user]
    new = place_in_time(new, dryness, _NEW_FROM, _NEW_DAYS, 1 + n_old, new_rng)
    history = make_history(app, new, people, max_sessions, history_rng)
    behavior = behavior_measures(new, history, app.catalog)
    effects = make_effects(new, behavior, sizes)
    intercept, probability = _probability(effects, rate)
    y = (label_rng.random(n_new) < probability).astype(np.int64)

    # Old users have unrecorded behavior: that of random new users.
    unrecorded = old_label_rng.integers(n_new, size=n_old)
    old_behavior = behavior.iloc[unrecorded].reset_index(drop=True)
    old = make_applications(n_old, n_old, 1, drift, old_rng)
    old = place_in_time(old, draw_dryness(n_old, old_rng), _OLD_FROM, _OLD_DAYS, 1, old_rng)
    _, old_probability = _probability(make_effects(old, old_behavior, sizes, drift), old_rate)
    old_y = (old_label_rng.random(n_old) < old_probability).astype(np.int64)

    after = make_aftermath(app, new, y, people, max_sessions, after_rng)
    strangers = make_strangers(
        app,
        first_user + n_users,
        1 + int(_STRANGER_SHARE * n_users),
        int(_NEW_FROM.timestamp()),
        _NEW_DAYS,
        max_sessions,
        stranger_rng,
    )
    first_free = first_user + n_users + 1 + int(_STRANGER_SHARE * n_users)
    # Without such users, a generator of the caller must not move on by another draw.
    unlabelled_rng = np.random.default_rng(rng.integers(2**63) if n_unlabelled else 0)
    unlabelled, without_label = make_unlabelled(
        *(app, n_unlabelled, first_free, 1 + n_old + n_new),
        *(_NEW_FROM, _NEW_DAYS, max_sessions, unlabelled_rng),
    )
    events = in_order(stack(history, after, strangers, without_label))
    best_auc = expected_auc(probability)
    profile_auc = expected_auc(probability, effects[["profile", "nonlinear"]].sum(axis=1))
    counted_apart = app.catalog.groups["field"] == ITEM_CLICK
    return Bunch(
        applications=new,
        events=_events_table(events, app.catalog),
        y=y,
        probability=probability,
        best_auc=best_auc,
        profile_auc=profile_auc,
        effects=effects,
        intercept=intercept,
        old_applications=old,
        old_y=old_y,
        old_probability=old_probability,
        operation_groups=app.catalog.groups,
        products=app.catalog.products,
        unlabelled=unlabelled,
        DESCR=_DESCR.format(
            n_new=n_new,
            n_users=n_users,
            n_events=len(events.time),
            n_late=int((events.recorded - events.time >= 3_600).sum()),
            n_overdue=int(y.sum()),
            n_old=n_old,
            n_old_overdue=int(old_y.sum()),
            n_operations=int((~counted_apart).sum()),
            n_behaviors=app.catalog.groups["behavior"][~counted_apart].nunique(),
            best_auc=best_auc,
            profile_auc=profile_auc,
            without_label=_WITHOUT_LABEL.format(
                n=n_unlabelled, n_waiting=unlabelled["application_id"].notna().sum()
            )
            if n_unlabelled
            else "",
        ),
    )


def _probability(effects: pd.DataFrame, rate: float) -> tuple[float, FloatArray]:
    """Return the intercept that gives the overdue rate, and the probability of each row."""
    log_odds = effects.to_numpy().sum(axis=1)
    intercept = fit_intercept(log_odds, rate)
    return intercept, expit(intercept + log_odds)
