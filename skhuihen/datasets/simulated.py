"""A simulated bank whose overdue probabilities are known."""

from __future__ import annotations

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

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
from skhuihen.metrics import expected_auc
from skhuihen.preprocessing.rules import ITEM_CLICK
from skhuihen.utils._compat import TEXT

_NEW_FROM, _NEW_DAYS = pd.Timestamp("2024-01-15"), 168
_OLD_FROM, _OLD_DAYS = pd.Timestamp("2022-03-01"), 540

_REPEAT_SHARE = 0.03  # applications of users who applied before
_STRANGER_SHARE = 0.02  # app users who never apply


class _Bank(NamedTuple):
    """Table 1 of the paper, and how much each mechanism adds to the log-odds at an effect of 1."""

    n_new: int
    n_overdue: int
    n_old: int
    n_old_overdue: int
    sizes: dict[str, float]


# The sizes of the profile are such that, at the number of applications and the overdue rate of
# Table 1, logistic regression and LightGBM on the profile score about what the paper reports for
# them (AUC 0.62 and 0.67 at bank A, 0.62 and 0.65 at bank B); at one seed the mean is off by
# some 0.01 at A and 0.03 at B. `examples/03_simulated_bank.py --table-1` shows it.
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
applied. Events after an application tell its label: cut them away. Leave out, too, what was
recorded only after it: {n_late:,} events were recorded an hour late or more, or never.
Old applications: {n_old:,} without events, {n_old_overdue:,} overdue.
The app logs {n_operations} transform operations and function widgets, which are {n_behaviors} \
behaviors.

Every label was drawn from a known probability, which depends on the profile, on how short and
fast the last session before the application is, on a single long wait in it, on how late in the
month the app is used, and on the share of risky products among the investment products clicked,
as far as it bears on the credit applied for. The best possible AUC is {best_auc:.3f}, and
{profile_auc:.3f} from the profile alone.

The effects were planted. A model that finds them has parts that work; whether such effects are
there to be found in a real bank, and what they are worth, these data cannot tell.
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
    """Make a generator that leaves numpy's global state alone, ``None`` included."""
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
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> Bunch:
    """Simulate a bank's loan applications and app log, with the true probability of each label.

    The timing follows the log of a real bank's app: seconds between behaviors, hours and days
    between sessions, few long sessions among many short ones, peaks at the hours of work
    (``examples/03_simulated_bank.py`` puts the figures side by side). What [1]_ argues for is
    planted, each mechanism with a size of its own on the log-odds of being overdue:

    - *profile*: what lines and categories of the profile add;
    - *nonlinear*: steps, curves and products of profile columns;
    - *impulsive*: the last session before the application is short and its intervals are short;
    - *hesitant*: one interval of the last session is long, minutes, and the others are short. Who
      stops to think is deliberate: it lowers the risk;
    - *month_end*: the app is used late in the month, from the 24th on, before the salary;
    - *habit*: over the whole history, a large share of the investment products clicked are risky.
      How much it matters, and to which side, depends on the credit product applied for.

    Each is computed from the tables as they are returned, not from hidden states, so
    `best_auc` can be reached in principle. Only events that the bank knew of at the application
    count: those that happened (`time`) and were recorded (`recorded_at`) strictly before it, that
    is, those of ``attach_behaviors(..., known_at="recorded_at")``. Profile and behavior are
    independent of each other.

    The app logs hundreds of raw operations, which are some forty behaviors: the same button on
    many pages, by names with and without a page in them, and by names that say nothing.

    Success here shows that the parts of a model work. It does not show that they pay in a real
    bank: the effects are found because they were planted.

    Parameters
    ----------
    n_new : int or None, default=5000
        Number of applications with an app log; at least 2. None takes that of the bank in Table
        1 of [1]_: 26,602 at bank A, 12,765 at bank B. About 3% are the second application of a
        user, and about 4% of the users have no events before they apply.
    n_old : int or None, default=20000
        Number of earlier applications, of other users, of which only the profile is known. None
        takes that of Table 1: 142,521 at bank A, 14,272 at bank B.
    bank : {"A", "B"}, default="A"
        Which bank of [1]_ to resemble. Bank A logs 452 transform operations and function widgets,
        which are 42 behaviors, by names such as ``FundListPage.quickBuy`` and
        ``fund/list/quick_buy``; bank B logs 367, which are 37 behaviors, by codes of module,
        page and function such as ``181-507-813``. Names that say nothing are 15% at bank A and
        30% at bank B. Items are counted apart. The banks also differ in overdue rates and in
        the sizes of the effects.
    profile_effect, nonlinear_effect : float, default=1.0
        Size of the effect of the profile, its lines and all else; 0 switches it off.
    impulsive_effect, hesitant_effect : float, default=1.0
        Size of the effects of the last session; 0 switches it off.
    month_end_effect : float, default=1.0
        Size of the effect of the salary cycle; 0 switches it off.
    habit_effect : float, default=1.0
        Size of the effect of the long-term appetite for risk; 0 switches it off.
    name_noise : float, default=1.0
        Share of each behavior's further names that the app uses, the popular ones first. At 0
        every behavior, items included, goes by one clean name, its own. It bears on names only,
        not on the risk, so it has no column in `effects`.
    late_share : float, default=0.1
        Share of the visits and, on top, of the transactions that the bank learns of hours or days
        late; a twentieth as many events are never recorded. The visit that ends in an
        application is always known by then. At 0 all is recorded within seconds.
    drift : float, default=0.0
        How different the old applicants are, from 0 to 1: poorer, less schooled and after other
        credits, and with other weights of the terms of `profile` and `nonlinear`. The new ones
        stay as they are.
    overdue_rate : float or None, default=None
        Mean of the true probability, strictly between 0 and 1, over the new applications and over
        the old ones. None takes the rates of Table 1: 1,402 of 26,602 and 9,501 of 142,521 at
        bank A, 734 of 12,765 and 982 of 14,272 at bank B.
    max_sessions : int, default=200
        Upper bound on the number of app visits of a user before an application, and after it.
        It bounds memory: a few users visit several times a day.
    random_state : int, Generator, RandomState or None, default=None
        Seed or source of the randomness. The same int gives the same data; numpy's global state
        is neither used nor changed. Arguments that do not touch a part leave it as it is: with
        another effect size, the same users do the same things before they apply.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        applications : DataFrame of shape (n_new, 22)
            `application_id`, `user_id`, `applied_at` and the profile, whose columns begin with
            `user__`, `device__` or `item__`; ordered by `applied_at`.
        events : DataFrame
            `user_id`, `time`, `operation`, `item` (a product id such as `"A17"`, or missing),
            `amount` (money in or out, or missing) and `recorded_at` (when the bank learned of it,
            missing where it never did); ordered by user and time. It also has events at and after
            `applied_at`, which tell the label, and events of users who never applied.
        y : ndarray of shape (n_new,)
            1 for overdue, 0 otherwise.
        probability : ndarray of shape (n_new,)
            The probability that each label was drawn from.
        best_auc : float
            AUC of `probability` itself: the expected number of pairs in the right order over
            the expected number of pairs, computed from `probability`. No model can be expected
            to do better; on one draw of `y` it may, by luck.
        profile_auc : float
            The same for the sum of the effects of the profile.
        effects : DataFrame of shape (n_new, 6)
            What `profile`, `nonlinear`, `impulsive`, `hesitant`, `month_end` and `habit` add to
            the log-odds.
        intercept : float
            The rest: the log-odds are `intercept` plus the sum of `effects`.
        old_applications, old_y, old_probability
            The same for the old applications, which were made earlier. Behavior bears on their
            risk too, but nobody recorded it.
        operation_groups : DataFrame
            `operation`, `field` and `behavior`: the true grouping of the raw operations, in the
            form that ``BehaviorAbstractor(rules=...)`` takes.
        products : DataFrame
            `item`, `behavior` (the click that it belongs to) and `risky`.
        DESCR : str
            Description of this draw.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    .. [1] H. Guo, X. Ren, R. Wang, Z. Cai, K. Shuang and Y. Sun, "A Hierarchical User
       Intention-Habit Extract Network for Credit Loan Overdue Risk Detection",
       arXiv:2008.07796, 2020. Section 1 (impulsive, habit), section 3.4 (hesitant, month_end),
       section 3.5 (habit towards the item), Table 1 (sizes), section 5.3.2 (operations).

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
    # A stream for each part: the parts that an argument does not touch stay as they are.
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

    # Behavior was there before anybody recorded it: old users have that of random new ones.
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
    events = in_order(stack(history, after, strangers))
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
        ),
    )


def _probability(effects: pd.DataFrame, rate: float) -> tuple[float, FloatArray]:
    """Return the intercept that gives the overdue rate, and the probability of each row."""
    log_odds = effects.to_numpy().sum(axis=1)
    intercept = fit_intercept(log_odds, rate)
    return intercept, expit(intercept + log_odds)
