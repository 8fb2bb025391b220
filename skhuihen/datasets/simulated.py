"""A simulated bank whose overdue probabilities are known."""

from __future__ import annotations

from numbers import Integral, Real
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from skhuihen.metrics import expected_auc

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_DAY = 86_400
_MONTH = 30 * _DAY
_GAP = 3_600  # seconds: the session gap of the paper, at which the last session is measured
_HISTORY_DAYS = 105
_AFTER_DAYS = 45
_NEW_FROM, _NEW_DAYS = pd.Timestamp("2024-01-15"), 168
_OLD_FROM, _OLD_DAYS = pd.Timestamp("2022-03-01"), 540

_NO_EVENTS_SHARE = 0.04  # users who have not used the app before they apply
_REPEAT_SHARE = 0.03  # applications of users who applied before
_STRANGER_SHARE = 0.02  # app users who never apply

# Sizes of the three effects on the log-odds, at an effect of 1: chosen so that, at the number of
# applications and the overdue rate of the paper's bank A, logistic regression and LightGBM on the
# profile score about what the paper reports for them (AUC 0.62 and 0.67).
_PROFILE_SIZE = 0.98
_IMPULSIVE_SIZE = 2.2
_HABIT_SIZE = 3.3

_MEAN_APPETITE = 0.4
_IMPULSE_WITHOUT_EVENTS = 0.27  # about the mean

# Weight of each hour of the day. Bursts spread visits over the hours that follow, so the weights
# are steeper than the shares that they make, which are those of a real bank's app log.
_HOURS = np.array(
    [
        [1.0, 0.4, 0.2, 0.1, 0.1, 0.5, 1.3, 3.2, 6.3, 9.0, 8.2, 6.6],
        [7.1, 5.4, 6.1, 7.8, 7.0, 5.2, 5.8, 4.3, 5.2, 4.4, 3.3, 2.0],
    ]
).ravel()

# --------------------------------------------------------------------------------------------------
# What the app can log. Behavior -> the raw operations that it is known by.

_ITEM_CLICKS = {
    "fund_click": ("fund_detail", "fund_list_item", "fund_rank_item", "fund_banner"),
    "wealth_click": ("wealth_detail", "wealth_list_item", "wealth_recommended", "wealth_banner"),
    "deposit_click": ("deposit_detail", "deposit_list_item", "deposit_banner"),
    "loan_click": ("loan_detail", "loan_list_item", "loan_banner", "loan_popup"),
    "insurance_click": ("insurance_detail", "insurance_list_item", "insurance_banner"),
}
# Raw operation -> (chance that its amount is negative, median amount).
_TRANSFORMS: dict[str, dict[str, tuple[float, float]]] = {
    "fund_trade": {
        "fund_buy": (1.0, 2_000),
        "fund_quick_buy": (1.0, 500),
        "fund_auto_invest": (1.0, 300),
        "fund_redeem": (0.0, 2_500),
    },
    "wealth_trade": {
        "wealth_buy": (1.0, 10_000),
        "wealth_renew": (1.0, 10_000),
        "wealth_redeem": (0.0, 12_000),
    },
    "deposit_trade": {
        "deposit_open": (1.0, 5_000),
        "deposit_notice_open": (1.0, 8_000),
        "deposit_withdraw": (0.0, 5_000),
    },
    "transfer": {
        "transfer_bank": (0.7, 800),
        "transfer_phone": (0.7, 200),
        "transfer_scheduled": (0.95, 1_000),
        "transfer_between_own": (0.5, 1_500),
    },
    "payment": {
        "pay_qr": (0.97, 25),
        "pay_online": (0.93, 60),
        "pay_utility": (1.0, 110),
        "pay_phone_top_up": (1.0, 50),
        "pay_transit": (1.0, 4),
    },
    "card_repayment": {
        "card_repay_full": (1.0, 1_800),
        "card_repay_minimum": (1.0, 300),
        "card_repay_other_bank": (1.0, 1_200),
    },
    "loan_repayment": {"loan_repay": (1.0, 900), "loan_repay_early": (1.0, 3_000)},
    "salary": {"salary_in": (0.0, 6_000), "bonus_in": (0.0, 3_000)},
}
_PAGES = {
    "login": ("login_fingerprint", "login_password", "login_face"),
    "home_page": ("home_view", "home_more"),
    "account_page": ("account_overview", "account_details", "account_statement"),
    "message": ("message_list", "message_open", "message_push_open"),
    "loan_application": (
        "loan_apply_start",
        "loan_limit_check",
        "loan_contract_view",
        "loan_apply_submit",
    ),
    "overdue_notice": ("loan_overdue_notice",),
}
_WIDGETS = ("confirm", "back", "search", "help", "share", "refresh", "filter")
_MODULES = ("account", "transfer", "fund", "wealth", "deposit", "loan", "card", "life")

# What each kind of visit is about: the weight of a behavior, and the module of its widgets.
_TOPICS: dict[str, tuple[dict[str, float], str]] = {
    "account": ({"account_page": 12, "home_page": 5, "message": 3, "salary": 0.4}, "account"),
    "transfer": ({"transfer": 5, "account_page": 4, "home_page": 2}, "transfer"),
    "fund": ({"fund_click": 9, "fund_trade": 1.5, "account_page": 2, "home_page": 1}, "fund"),
    "wealth": ({"wealth_click": 9, "wealth_trade": 1, "account_page": 2}, "wealth"),
    "deposit": ({"deposit_click": 6, "deposit_trade": 1, "account_page": 3}, "deposit"),
    "card": ({"card_repayment": 3, "account_page": 4, "message": 2}, "card"),
    "life": ({"payment": 6, "home_page": 3, "message": 2, "insurance_click": 1}, "life"),
    "loan": ({"loan_click": 4, "loan_application": 4, "account_page": 1.5}, "loan"),
}
_TOPIC_SHARE = np.array([0.33, 0.12, 0.16, 0.10, 0.04, 0.08, 0.14, 0.03])
_LOAN_TOPIC = list(_TOPICS).index("loan")
_WIDGET_WEIGHT = 4.0
_AFTER_A_LOAN = ("loan_repayment", "overdue_notice")  # seen only once a loan runs

# Behavior -> letter and number of its products. Half of the first two kinds are risky.
_PRODUCTS = {
    "fund_click": ("A", 30),
    "wealth_click": ("B", 20),
    "deposit_click": ("C", 8),
    "loan_click": ("D", 6),
    "insurance_click": ("E", 10),
}
_RISKY_KINDS = ("fund_click", "wealth_click")
_TRADES = {"fund_trade": "fund_click", "wealth_trade": "wealth_click"}


def _make_operation_groups() -> pd.DataFrame:
    """List every raw operation with the field and behavior that it belongs to."""
    rows = [(op, "item_click", b) for b, ops in _ITEM_CLICKS.items() for op in ops]
    rows += [(op, "transform_operation", b) for b, ops in _TRANSFORMS.items() for op in ops]
    rows += [(op, "function_widget", b) for b, ops in _PAGES.items() for op in ops]
    rows += [(f"{m}_{w}", "function_widget", w) for w in _WIDGETS for m in _MODULES]
    return pd.DataFrame(rows, columns=["operation", "field", "behavior"], dtype="str")


def _make_product_table() -> pd.DataFrame:
    """List every product; risky and safe ones alternate, so that no range of ids tells."""
    rows = [
        (f"{letter}{number:02d}", behavior, behavior in _RISKY_KINDS and number % 2 == 0)
        for behavior, (letter, count) in _PRODUCTS.items()
        for number in range(1, count + 1)
    ]
    return pd.DataFrame(rows, columns=["item", "behavior", "risky"])


_GROUPS = _make_operation_groups()
_PRODUCT_TABLE = _make_product_table()
_N_OPERATIONS = len(_GROUPS)
_OPERATION_CODE = {name: code for code, name in enumerate(_GROUPS["operation"])}


# --------------------------------------------------------------------------------------------------
# Drawing


def _draw(weights: FloatArray, rows: IntArray, rng: np.random.Generator) -> IntArray:
    """Draw one column for each entry of ``rows``, by the weights in that row of the table."""
    n_columns = weights.shape[1]
    cumulative = np.cumsum(weights, axis=1)
    cumulative /= cumulative[:, -1:]
    # Laid end to end the rows form one increasing line, so one search serves them all.
    line = (cumulative + np.arange(len(weights))[:, None]).ravel()
    drawn = np.searchsorted(line, rows + rng.random(len(rows)), side="right") - rows * n_columns
    return np.minimum(drawn, n_columns - 1)


def _popularity(n: int, power: float = 1.0) -> FloatArray:
    """Shares of ``n`` things of falling popularity."""
    share = 1.0 / np.arange(1, n + 1) ** power
    return share / share.sum()


def _choose(
    options: tuple[str, ...], shares: list[float], n: int, rng: np.random.Generator
) -> NDArray:
    """Draw ``n`` category names."""
    return np.asarray(options, dtype=object)[rng.choice(len(options), size=n, p=shares)]


def _times_of_day(n: int, rng: np.random.Generator) -> IntArray:
    """Draw seconds since midnight, at the hours at which a bank app is used."""
    hours = rng.choice(24, size=n, p=_HOURS / _HOURS.sum())
    return hours * 3_600 + rng.integers(3_600, size=n)


def _hide(values: pd.Series, share: float, rng: np.random.Generator) -> pd.Series:
    """Make a share of the values missing."""
    return values.mask(rng.random(len(values)) < share)


# --------------------------------------------------------------------------------------------------
# Profile


def _make_user_profile(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw what the bank knows of its users and their phones."""
    age = np.clip(rng.gamma(4.5, 4.2, n) + 19, 20, 65).astype(np.int64)
    education = _choose(
        ("primary", "secondary", "college", "graduate"), [0.12, 0.38, 0.40, 0.10], n, rng
    )
    employment = _choose(
        ("salaried", "self_employed", "public_sector", "student", "none"),
        [0.55, 0.22, 0.12, 0.06, 0.05],
        n,
        rng,
    )
    schooled = np.isin(education, ["college", "graduate"])
    income = np.exp(rng.normal(8.5 + 0.35 * schooled, 0.55, n)).round(-1)
    debt_ratio = rng.beta(1.4, 3.0, n).round(3)
    system = _choose(("android", "ios"), [0.68, 0.32], n, rng)
    brands = _choose(
        ("north", "lumen", "orbit", "pico", "other"), [0.3, 0.28, 0.2, 0.12, 0.1], n, rng
    )
    return pd.DataFrame(
        {
            "user__age": age,
            "user__monthly_income": _hide(pd.Series(income), 0.12, rng),
            "user__debt_ratio": _hide(pd.Series(debt_ratio), 0.08, rng),
            "user__education": _hide(pd.Series(education, dtype="str"), 0.15, rng),
            "user__employment": pd.Series(employment, dtype="str"),
            "user__city_tier": rng.choice(5, size=n, p=[0.15, 0.25, 0.3, 0.2, 0.1]) + 1,
            "user__years_with_bank": rng.exponential(4.0, n).round(1),
            "user__credit_inquiries": rng.negative_binomial(1.2, 0.4, n),
            "user__owns_home": rng.random(n) < 0.1 + 0.01 * (age - 20),
            "user__has_credit_card": rng.random(n) < 0.45,
            "device__system": pd.Series(system, dtype="str"),
            "device__brand": pd.Series(np.where(system == "ios", "apple", brands), dtype="str"),
            "device__age_months": rng.gamma(2.0, 10.0, n).round().astype(np.int64),
            "device__accounts_seen": 1 + rng.poisson(0.35, n),
            "device__rooted": rng.random(n) < 0.03,
        }
    )


def _make_credit_profile(users: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the credit that each application asks for."""
    n = len(users)
    income = users["user__monthly_income"].fillna(5_000.0).to_numpy()
    term = rng.choice([3, 6, 12, 24, 36], size=n, p=[0.15, 0.2, 0.35, 0.2, 0.1])
    amount = np.clip(income * np.exp(rng.normal(0.9, 0.8, n)), 1_000, 300_000)
    product = _choose(("cash", "installment", "salary_advance"), [0.5, 0.3, 0.2], n, rng)
    return pd.DataFrame(
        {
            "item__product": pd.Series(product, dtype="str"),
            "item__amount": amount.round(-2),
            "item__term_months": term,
            "item__annual_rate": (rng.normal(0.12, 0.025, n) + 0.0005 * term).round(4),
        }
    )


def _profile_log_odds(profile: pd.DataFrame) -> FloatArray:
    """Risk that the profile carries: lines, steps, curves and products of columns.

    Read from the table as it stands, missing values included, so that it can be learned from it.
    """
    age = profile["user__age"]
    income = np.log(profile["user__monthly_income"] / 5_000)
    debt = profile["user__debt_ratio"].fillna(0.32)
    inquiries = profile["user__credit_inquiries"]
    installment = profile["item__amount"] / profile["item__term_months"]
    burden = np.log(installment / profile["user__monthly_income"].fillna(5_000) / 0.25)
    employment = profile["user__employment"]
    salaried = employment.isin(["salaried", "public_sector"])
    large_city = profile["user__city_tier"] <= 2
    android = profile["device__system"] == "android"
    cash = profile["item__product"] == "cash"
    education = profile["user__education"].map(
        {"primary": 0.3, "secondary": 0.1, "college": -0.15, "graduate": -0.3}
    )
    terms = [
        -0.25 * income.fillna(-0.3),
        0.6 * np.minimum(((age - 37) / 12) ** 2, 3.0),
        education.fillna(0.15),
        0.4 * np.tanh(inquiries / 3),
        1.2 * expit((debt - 0.55) / 0.06),
        0.7 * expit((burden - 0.5) / 0.4) * ~salaried,
        0.7 * (employment == "self_employed") * np.where(large_city, 1.0, -1.0),
        0.8 * (android & (profile["device__age_months"] > 30)),
        0.6 * (profile["device__accounts_seen"] >= 3) + 0.7 * profile["device__rooted"],
        0.6 * profile["user__owns_home"] * np.where(age > 35, -1.0, 0.5),
        0.6 * cash * np.where(profile["user__years_with_bank"] < 1.5, 1.0, -0.4),
    ]
    return np.sum([np.asarray(term, dtype=np.float64) for term in terms], axis=0)


# --------------------------------------------------------------------------------------------------
# Applications


def _make_applications(
    n: int, n_users: int, first_id: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Draw who applies and for what; users beyond ``n_users`` rows come back a second time."""
    people = _make_user_profile(n_users, rng)
    user = np.concatenate([np.arange(n_users), rng.permutation(n_users)[: n - n_users]])
    profile = people.iloc[user].reset_index(drop=True)
    credit = _make_credit_profile(profile, rng)
    ids = pd.DataFrame({"application_id": np.arange(n), "user_id": first_id + user})
    return pd.concat([ids, profile, credit], axis=1)


def _place_in_time(
    applications: pd.DataFrame,
    start: pd.Timestamp,
    days: int,
    first_id: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Give every application its time, and order and number the table by it."""
    n = len(applications)
    seconds = rng.integers(days, size=n) * _DAY + _times_of_day(n, rng)
    applied_at = start + pd.to_timedelta(seconds, unit="s")
    applications.insert(2, "applied_at", applied_at.astype("datetime64[us]"))
    applications = applications.sort_values("applied_at", kind="stable", ignore_index=True)
    applications["application_id"] = first_id + np.arange(n)
    return applications


# --------------------------------------------------------------------------------------------------
# Visits to the app, and the events in them. Times are whole seconds since the epoch.


class _Visits(NamedTuple):
    user: IntArray
    anchor: IntArray
    at_end: NDArray[np.bool_]  # whether the anchor is the last event of the visit, or the first
    length: IntArray
    pace: FloatArray  # multiplies the intervals; 1 is ordinary
    topic: IntArray
    appetite: FloatArray  # chance that an investment product looked at is a risky one


class _Events(NamedTuple):
    user: IntArray
    time: IntArray
    operation: IntArray
    item: IntArray  # -1: none
    amount: FloatArray


_Columns = TypeVar("_Columns", _Visits, _Events)


def _stack(*parts: _Columns) -> _Columns:
    return type(parts[0])(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _lengths(n: int, rng: np.random.Generator) -> IntArray:
    """Behaviors per visit: many short glances, and a long tail."""
    glance = rng.random(n) < 0.28
    long = np.exp(rng.normal(np.log(6.8), 0.76, n)).round()
    return np.where(glance, rng.integers(1, 3, n), np.clip(long, 1, 200)).astype(np.int64)


def _everyday_visits(
    user: IntArray,
    first: IntArray,
    last: IntArray,
    count: IntArray,
    appetite: FloatArray,
    rng: np.random.Generator,
) -> _Visits:
    """Draw ``count`` visits of each user between two times."""
    row = np.repeat(np.arange(len(user)), np.where(last > first, count, 0))
    n = len(row)
    anywhere = first[row] + (rng.random(n) * (last - first)[row]).astype(np.int64)
    start = anywhere // _DAY * _DAY + _times_of_day(n, rng)
    # Visits come in bursts: some follow another one within hours.
    follows = np.flatnonzero((np.diff(row, prepend=-1) == 0) & (rng.random(n) < 0.35))
    hours = 1.0 + np.exp(rng.normal(np.log(2.0), 0.9, len(follows)))
    start[follows] = start[follows - 1] + (hours * 3_600).astype(np.int64)
    start = np.where((start >= first[row]) & (start < last[row]), start, anywhere)
    return _Visits(
        user=user[row],
        anchor=start,
        at_end=np.zeros(n, dtype=bool),
        length=_lengths(n, rng),
        pace=np.exp(rng.normal(0.0, 0.35, n)),
        topic=rng.choice(len(_TOPICS), size=n, p=_TOPIC_SHARE),
        appetite=appetite[row],
    )


def _last_visits(
    user: IntArray, applied: IntArray, appetite: FloatArray, rng: np.random.Generator
) -> _Visits:
    """Draw the visit that ends in the application: the more impulsive, the shorter and faster."""
    n = len(user)
    impulsive = rng.beta(0.8, 1.3, n)
    length = 3 + rng.poisson(np.exp(np.log(12) * (1 - impulsive)) * rng.gamma(4, 0.25, n))
    to_application = np.clip(np.exp(rng.normal(np.log(25), 0.8, n)), 1, 600).astype(np.int64)
    return _Visits(
        user=user,
        anchor=applied - to_application,
        at_end=np.ones(n, dtype=bool),
        length=np.minimum(length, 25),
        pace=np.exp(1.2 * (0.4 - impulsive) + rng.normal(0.0, 0.2, n)),
        topic=np.full(n, _LOAN_TOPIC),
        appetite=appetite,
    )


def _topic_weights() -> FloatArray:
    """Tabulate the weight of every raw operation in every kind of visit."""
    weights = np.zeros((len(_TOPICS), _N_OPERATIONS))
    behavior = _GROUPS["behavior"].to_numpy()
    for row, (favored, module) in enumerate(_TOPICS.values()):
        for name, weight in favored.items():
            members = np.flatnonzero(behavior == name)
            weights[row, members] = weight * _popularity(len(members))
        widgets = [_OPERATION_CODE[f"{module}_{w}"] for w in _WIDGETS]
        weights[row, widgets] = _WIDGET_WEIGHT * _popularity(len(widgets))
        # A trickle of everything else, so that raw operations have a long tail.
        weights[row, ~np.isin(behavior, _AFTER_A_LOAN)] += 0.01
    return weights


def _product_tables() -> tuple[FloatArray, IntArray]:
    """Tabulate the popularity of products, and the row of it that each operation draws from.

    Each kind of product has two rows, safe and risky, alike where it comes in one kind only;
    -1 stands for operations without a product.
    """
    weights = np.zeros((2 * len(_PRODUCTS), len(_PRODUCT_TABLE)))
    row_of_behavior = dict.fromkeys(_GROUPS["behavior"], -1)
    for kind, behavior in enumerate(_PRODUCTS):
        row_of_behavior[behavior] = 2 * kind
        for risky in (False, True):
            of_row = (_PRODUCT_TABLE["risky"] == risky) | (behavior not in _RISKY_KINDS)
            members = np.flatnonzero((_PRODUCT_TABLE["behavior"] == behavior) & of_row)
            weights[2 * kind + risky, members] = _popularity(len(members), 0.8)
    for trade, behavior in _TRADES.items():
        row_of_behavior[trade] = row_of_behavior[behavior]
    return weights, _GROUPS["behavior"].map(row_of_behavior).to_numpy(dtype=np.int64)


def _intervals(first: NDArray[np.bool_], pace: FloatArray, rng: np.random.Generator) -> IntArray:
    """Draw whole seconds since the event before in the visit; 0 for the first."""
    n = len(first)
    pause = rng.random(n) < np.clip(0.155 * pace, 0.0, 0.3)
    log_seconds = rng.standard_normal(n)
    log_seconds *= np.where(pause, 1.9, 0.95)
    log_seconds += np.where(pause, 4.2, 1.6)
    seconds = np.minimum(np.exp(log_seconds) * pace, _GAP - 60)
    seconds[first] = 0
    return seconds.astype(np.int64)


def _events(visits: _Visits, rng: np.random.Generator) -> _Events:
    """Fill visits with events."""
    visit = np.repeat(np.arange(len(visits.length)), visits.length)
    opens = np.cumsum(visits.length) - visits.length
    first = np.zeros(len(visit), dtype=bool)
    first[opens] = True
    elapsed = np.cumsum(_intervals(first, visits.pace[visit], rng))
    elapsed -= elapsed[opens][visit]
    closes = opens + visits.length - 1
    start = visits.anchor - np.where(visits.at_end, elapsed[closes], 0)
    operation = _operations(visits, visit, first, closes, rng)
    return _Events(
        user=visits.user[visit],
        time=start[visit] + elapsed,
        operation=operation,
        item=_products(operation, visits.appetite[visit], rng),
        amount=_amounts(operation, rng),
    )


def _operations(
    visits: _Visits,
    visit: IntArray,
    first: NDArray[np.bool_],
    closes: IntArray,
    rng: np.random.Generator,
) -> IntArray:
    """Draw the raw operation of every event from what its visit is about."""
    operation = _draw(_topic_weights(), visits.topic[visit], rng)
    logs_in = np.flatnonzero(first & (rng.random(len(visit)) < 0.7))
    ways = np.array([_OPERATION_CODE[name] for name in _PAGES["login"]])
    operation[logs_in] = ways[rng.choice(len(ways), size=len(logs_in), p=[0.6, 0.25, 0.15])]
    operation[closes[visits.at_end]] = _OPERATION_CODE["loan_apply_submit"]
    return operation


def _products(operation: IntArray, appetite: FloatArray, rng: np.random.Generator) -> IntArray:
    """Draw the product that an event is about; -1 where it is about none."""
    weights, row_of_operation = _product_tables()
    item = np.full(len(operation), -1, dtype=np.int64)
    about = np.flatnonzero(row_of_operation[operation] >= 0)
    row = row_of_operation[operation[about]]
    risky = rng.random(len(about)) < appetite[about]
    item[about] = _draw(weights, row + risky, rng)
    return item


def _amounts(operation: IntArray, rng: np.random.Generator) -> FloatArray:
    """Draw the money that transactions move, in or out; a few are zero, a few unrecorded."""
    negative = np.full(_N_OPERATIONS, np.nan)
    log_median = np.full(_N_OPERATIONS, np.nan)
    for operations in _TRANSFORMS.values():
        for name, (chance, median) in operations.items():
            negative[_OPERATION_CODE[name]] = chance
            log_median[_OPERATION_CODE[name]] = np.log(median)
    amount = np.full(len(operation), np.nan)
    moves = np.flatnonzero(~np.isnan(negative[operation]))
    kind, n = operation[moves], len(moves)
    size = np.exp(log_median[kind] + 1.2 * rng.standard_normal(n)).round(2)
    size *= np.where(rng.random(n) < negative[kind], -1.0, 1.0)
    odd = rng.random(n)
    amount[moves] = np.where(odd < 0.01, 0.0, np.where(odd > 0.99, np.nan, size))
    return amount


# --------------------------------------------------------------------------------------------------
# The history of each applicant, and what follows the application


class _People(NamedTuple):
    """What is particular to each user; row ``i`` is the user ``first_id + i``."""

    first_id: int
    per_month: FloatArray
    appetite: FloatArray
    has_events: NDArray[np.bool_]


def _make_people(first_id: int, n: int, rng: np.random.Generator) -> _People:
    return _People(
        first_id=first_id,
        per_month=rng.gamma(0.75, 13.0, n),
        appetite=rng.beta(2.0, 2.0 / _MEAN_APPETITE - 2.0, n),
        has_events=rng.random(n) >= _NO_EVENTS_SHARE,
    )


def _epoch_seconds(times: pd.Series) -> IntArray:
    return times.to_numpy().astype("datetime64[s]").astype(np.int64)


def _history(
    applications: pd.DataFrame, people: _People, max_sessions: int, rng: np.random.Generator
) -> _Events:
    """Draw the events before each application, from the one before it on for who came back."""
    user = applications["user_id"].to_numpy()
    applied = _epoch_seconds(applications["applied_at"])
    previous = pd.Series(applied).groupby(user).shift(fill_value=0).to_numpy()
    kept = people.has_events[user - people.first_id]
    user, applied, previous = user[kept], applied[kept], previous[kept]
    person = user - people.first_id
    appetite = people.appetite[person]
    first = np.maximum(applied - _HISTORY_DAYS * _DAY, previous)
    last = applied - 2 * _GAP
    # The days before an application are busy, so the last session does not stand alone in them.
    days_before = np.maximum(first, applied - 2 * _DAY)
    n_before = np.minimum(rng.poisson(1.0, len(user)), max_sessions - 1)
    n_everyday = rng.poisson(people.per_month[person] * np.maximum(last - first, 0) / _MONTH)
    n_everyday = np.minimum(n_everyday, max_sessions - 1 - n_before)
    visits = _stack(
        _everyday_visits(user, first, last, n_everyday, appetite, rng),
        _everyday_visits(user, days_before, last, n_before, appetite, rng),
        _last_visits(user, applied, appetite, rng),
    )
    return _events(visits, rng)


def _aftermath(
    applications: pd.DataFrame,
    y: IntArray,
    people: _People,
    max_sessions: int,
    rng: np.random.Generator,
) -> _Events:
    """Draw what some users do after their last application: visits, then payment or notice.

    It tells the label, as the log of a real bank would to whoever forgets to cut it.
    """
    last_one = ~applications.duplicated("user_id", keep="last").to_numpy()
    stays = np.flatnonzero(last_one & (rng.random(len(y)) < 0.5))
    user = applications["user_id"].to_numpy()[stays]
    applied = _epoch_seconds(applications["applied_at"])[stays]
    person = user - people.first_id
    until = applied + rng.integers(1, _AFTER_DAYS * _DAY, size=len(user))
    count = rng.poisson(people.per_month[person] * (until - applied) / _MONTH)
    count = np.minimum(count, max_sessions)
    visits = _everyday_visits(user, applied, until, count, people.appetite[person], rng)
    outcome = np.where(
        y[stays] == 1, _OPERATION_CODE["loan_overdue_notice"], _OPERATION_CODE["loan_repay"]
    )
    reached = until > applied + _MONTH
    n_reached = int(reached.sum())
    outcomes = _Events(
        user=user[reached],
        time=applied[reached] + _MONTH + rng.integers(_DAY, size=n_reached),
        operation=outcome[reached],
        item=np.full(n_reached, -1, dtype=np.int64),
        amount=_amounts(outcome[reached], rng),
    )
    return _stack(_events(visits, rng), outcomes)


def _strangers(first_id: int, n: int, max_sessions: int, rng: np.random.Generator) -> _Events:
    """Draw a month of app users who never applied."""
    people = _make_people(first_id, n, rng)
    user = first_id + np.arange(n)
    last = int(_NEW_FROM.timestamp()) + rng.integers(_NEW_DAYS * _DAY, size=n)
    count = np.minimum(rng.poisson(people.per_month), max_sessions)
    return _events(_everyday_visits(user, last - _MONTH, last, count, people.appetite, rng), rng)


def _in_order(events: _Events) -> _Events:
    """Sort by user and time."""
    order = np.argsort(_key(events.user, events.time), kind="stable")
    return _Events._make(column[order] for column in events)


def _key(user: IntArray, time: IntArray) -> IntArray:
    """One number that sorts by user, then by time."""
    return (user << 32) + time


# --------------------------------------------------------------------------------------------------
# The risk, read from the tables as any model could read it


def _behavior_effects(applications: pd.DataFrame, events: _Events) -> pd.DataFrame:
    """Measure, before each application, how impulsive and how venturesome its user looks.

    ``events`` must be in order. Who has no events gets the values of the average user.
    """
    user = applications["user_id"].to_numpy()
    applied = _epoch_seconds(applications["applied_at"])
    key = _key(events.user, events.time)
    start = np.searchsorted(key, _key(user, np.zeros_like(applied)))
    stop = np.searchsorted(key, _key(user, applied))  # strictly before the application
    return pd.DataFrame(
        {
            "impulsive": _impulsiveness(events, start, stop),
            "habit": _appetite(events, start, stop),
        }
    )


def _impulsiveness(events: _Events, start: IntArray, stop: IntArray) -> FloatArray:
    """Near 1 where the last session is both short and fast."""
    interval = np.diff(events.time, prepend=0)
    opens = np.diff(events.user, prepend=-1) != 0
    opens |= interval > _GAP
    opened_at = np.maximum.accumulate(np.where(opens, np.arange(len(opens)), 0))
    seen = np.flatnonzero(stop > start)
    final = stop[seen] - 1
    length = final - opened_at[final] + 1
    log_interval = np.cumsum(np.where(opens, 0.0, np.log1p(np.where(opens, 0, interval))))
    total = log_interval[final] - log_interval[opened_at[final]]
    typical = np.divide(total, length - 1, out=np.zeros(len(seen)), where=length > 1)
    impulsiveness = np.full(len(start), _IMPULSE_WITHOUT_EVENTS)
    impulsiveness[seen] = expit((8.5 - length) / 1.5) * expit((np.log(7.0) - typical) / 0.25)
    return impulsiveness


def _appetite(events: _Events, start: IntArray, stop: IntArray) -> FloatArray:
    """Share of risky products among the investment products clicked, shrunk where they are few."""
    is_click = _GROUPS["behavior"].isin(_RISKY_KINDS).to_numpy()
    clicked = is_click[events.operation]
    risky = clicked & _PRODUCT_TABLE["risky"].to_numpy()[events.item]
    n_clicked = _count_between(clicked, start, stop)
    n_risky = _count_between(risky, start, stop)
    return (n_risky + 3 * _MEAN_APPETITE) / (n_clicked + 3) - _MEAN_APPETITE


def _count_between(mask: NDArray[np.bool_], start: IntArray, stop: IntArray) -> IntArray:
    total = np.concatenate([[0], np.cumsum(mask)])
    return total[stop] - total[start]


def _intercept(log_odds: FloatArray, rate: float) -> float:
    """Find the constant that makes the mean probability equal to ``rate``."""
    bound = np.abs(log_odds).max() + 50.0
    return float(brentq(lambda a: expit(a + log_odds).mean() - rate, -bound, bound, xtol=1e-12))


# --------------------------------------------------------------------------------------------------
# The public face

_DESCR = """\
Simulated loan applications of a bank with a mobile app
-------------------------------------------------------

New applications: {n_new:,} of {n_users:,} users, {n_overdue:,} overdue.
Events: {n_events:,}, in the 105 days before each application, after it, and of users who never
applied. Events after an application tell its label: cut them away.
Old applications: {n_old:,} without events, {n_old_overdue:,} overdue.

Every label was drawn from a known probability, which depends on the profile, on how short and
fast the last session before the application is, and on the share of risky products among the
investment products clicked. The best possible AUC is {best_auc:.3f}, and {profile_auc:.3f} from the
profile alone.

The effects were planted. A model that finds them has parts that work; whether such effects are
there to be found in a real bank, and what they are worth, these data cannot tell.
"""


def _events_table(events: _Events) -> pd.DataFrame:
    operations = pd.array(_GROUPS["operation"].to_numpy(), dtype="str")
    items = pd.array(_PRODUCT_TABLE["item"].to_numpy(), dtype="str")
    return pd.DataFrame(
        {
            "user_id": events.user,
            "time": (events.time * 1_000_000).view("datetime64[us]"),
            "operation": operations.take(events.operation),
            "item": items.take(events.item, allow_fill=True),
            "amount": events.amount,
        }
    )


def _generator(
    random_state: int | np.random.RandomState | np.random.Generator | None,
) -> np.random.Generator:
    """Make a generator that leaves numpy's global state alone, ``None`` included."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31, size=4))
    return np.random.default_rng(random_state)


@validate_params(
    {
        "n_new": [Interval(Integral, 2, None, closed="left")],
        "n_old": [Interval(Integral, 0, None, closed="left")],
        "impulsive_effect": [Interval(Real, 0, None, closed="left")],
        "habit_effect": [Interval(Real, 0, None, closed="left")],
        "profile_effect": [Interval(Real, 0, None, closed="left")],
        "overdue_rate": [Interval(Real, 0, 1, closed="neither")],
        "max_sessions": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    },
    prefer_skip_nested_validation=True,
)
def make_loan_data(
    n_new: int = 5000,
    n_old: int = 20000,
    *,
    impulsive_effect: float = 1.0,
    habit_effect: float = 1.0,
    profile_effect: float = 1.0,
    overdue_rate: float = 0.0527,
    max_sessions: int = 200,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> Bunch:
    """Simulate a bank's loan applications and app log, with the true probability of each label.

    The timing follows the log of a real bank's app: seconds between behaviors, hours and days
    between sessions, few long sessions among many short ones, peaks at the hours of work. Three
    effects are planted on the log-odds of being overdue:

    - *profile*: lines, steps, curves and products of profile columns;
    - *impulsive*: the last session before the application is short and its intervals are short;
    - *habit*: over the whole history, a large share of the investment products clicked are risky.

    Each is computed from the tables as they are returned, not from hidden states, so
    `best_auc` can be reached in principle. Profile and behavior are independent of each other.

    Success here shows that the parts of a model work. It does not show that they pay in a real
    bank: the effects are found because they were planted.

    Parameters
    ----------
    n_new : int, default=5000
        Number of applications with an app log; at least 2. About 3% are the second application
        of a user, and about 4% of the users have no events before they apply.
    n_old : int, default=20000
        Number of earlier applications, of other users, of which only the profile is known.
    impulsive_effect : float, default=1.0
        Size of the effect of the last session; 0 switches it off.
    habit_effect : float, default=1.0
        Size of the effect of the long-term appetite for risk; 0 switches it off.
    profile_effect : float, default=1.0
        Size of the effect of the profile; 0 switches it off.
    overdue_rate : float, default=0.0527
        Mean of the true probability over the new applications, strictly between 0 and 1. The
        default is that of bank A in [1]_ (1,402 of 26,602).
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
            `user_id`, `time`, `operation`, `item` (a product id such as `"A17"`, or missing) and
            `amount` (money in or out, or missing); ordered by user and time. It also has events
            at and after `applied_at`, which tell the label, and events of users who never applied.
        y : ndarray of shape (n_new,)
            1 for overdue, 0 otherwise.
        probability : ndarray of shape (n_new,)
            The probability that each label was drawn from.
        best_auc : float
            AUC of `probability` itself: the expected number of pairs in the right order over
            the expected number of pairs, computed from `probability`. No model can be expected
            to do better; on one draw of `y` it may, by luck.
        profile_auc : float
            The same for the best score that the profile alone can give.
        effects : DataFrame of shape (n_new, 3)
            What `profile`, `impulsive` and `habit` add to the log-odds.
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
       arXiv:2008.07796, 2020.

    Examples
    --------
    >>> from skhuihen.datasets import make_loan_data
    >>> data = make_loan_data(n_new=500, n_old=1000, random_state=0)
    >>> data.applications.shape, data.old_applications.shape
    ((500, 22), (1000, 22))
    >>> data.events.columns.to_list()
    ['user_id', 'time', 'operation', 'item', 'amount']
    >>> print(f"{data.probability.mean():.4f}")
    0.0527
    >>> data.profile_auc < data.best_auc
    True
    """
    rng = _generator(random_state)
    # A stream for each part: the parts that an argument does not touch stay as they are.
    seeds = rng.integers(2**63, size=7)
    old_rng, new_rng, people_rng, history_rng, label_rng, after_rng, stranger_rng = map(
        np.random.default_rng, seeds
    )
    old = _make_applications(n_old, n_old, 1, old_rng)
    old = _place_in_time(old, _OLD_FROM, _OLD_DAYS, 1, old_rng)
    n_users = n_new - int(_REPEAT_SHARE * n_new)
    first_user = 1 + n_old
    new = _make_applications(n_new, n_users, first_user, new_rng)
    new = _place_in_time(new, _NEW_FROM, _NEW_DAYS, 1 + n_old, new_rng)
    people = _make_people(first_user, n_users, people_rng)
    history = _in_order(_history(new, people, max_sessions, history_rng))

    sizes = pd.Series(
        {
            "profile": profile_effect * _PROFILE_SIZE,
            "impulsive": impulsive_effect * _IMPULSIVE_SIZE,
            "habit": habit_effect * _HABIT_SIZE,
        }
    )
    behavior = _behavior_effects(new, history)
    effects = behavior.assign(profile=_profile_log_odds(new))[sizes.index] * sizes
    # Behavior was there before anybody recorded it: old users have that of random new ones.
    unrecorded = behavior.iloc[old_rng.integers(n_new, size=n_old)].reset_index(drop=True)
    old_effects = unrecorded.assign(profile=_profile_log_odds(old))[sizes.index] * sizes

    intercept = _intercept(effects.to_numpy().sum(axis=1), overdue_rate)
    probability = expit(intercept + effects.to_numpy().sum(axis=1))
    old_probability = expit(intercept + old_effects.to_numpy().sum(axis=1))
    y = (label_rng.random(n_new) < probability).astype(np.int64)
    old_y = (label_rng.random(n_old) < old_probability).astype(np.int64)

    after = _aftermath(new, y, people, max_sessions, after_rng)
    n_strangers = 1 + int(_STRANGER_SHARE * n_users)
    strangers = _strangers(first_user + n_users, n_strangers, max_sessions, stranger_rng)
    events = _in_order(_stack(history, after, strangers))
    best_auc = expected_auc(probability)
    profile_auc = expected_auc(probability, effects["profile"].to_numpy())
    return Bunch(
        applications=new,
        events=_events_table(events),
        y=y,
        probability=probability,
        best_auc=best_auc,
        profile_auc=profile_auc,
        effects=effects,
        intercept=intercept,
        old_applications=old,
        old_y=old_y,
        old_probability=old_probability,
        operation_groups=_GROUPS.copy(),
        products=_PRODUCT_TABLE.copy(),
        DESCR=_DESCR.format(
            n_new=n_new,
            n_users=n_users,
            n_events=len(events.time),
            n_overdue=int(y.sum()),
            n_old=n_old,
            n_old_overdue=int(old_y.sum()),
            best_auc=best_auc,
            profile_auc=profile_auc,
        ),
    )
