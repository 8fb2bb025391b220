"""Who applies for what, and the risk of their profile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from skhuihen._compat import TEXT
from skhuihen.datasets._simulation.calendar import put_late
from skhuihen.datasets._simulation.draws import DAY, FloatArray, choose, hide, times_of_day

# How much the weight of each term of the risk differed for old applications, at a drift of 1.
_LINEAR_DRIFT = (-0.7, 0.8, -1.0, -0.5, 0.5)
_NONLINEAR_DRIFT = (-0.6, 0.6, -0.8, -1.6, 0.5, -0.6, 0.6, -1.5)


def _between(
    now: Sequence[float] | float, then: Sequence[float] | float, drift: float
) -> FloatArray:
    return (1 - drift) * np.asarray(now) + drift * np.asarray(then)


def _make_user_profile(n: int, drift: float, rng: np.random.Generator) -> pd.DataFrame:
    """Draw what the bank knows about its users and their phones."""
    age = np.clip(rng.gamma(4.5, 4.2, n) + 19, 20, 65).astype(np.int64)
    education = choose(
        ("primary", "secondary", "college", "graduate"),
        _between([0.12, 0.38, 0.40, 0.10], [0.24, 0.46, 0.25, 0.05], drift),
        n,
        rng,
    )
    employment = choose(
        ("salaried", "self_employed", "public_sector", "student", "none"),
        [0.55, 0.22, 0.12, 0.06, 0.05],
        n,
        rng,
    )
    schooled = np.isin(education, ["college", "graduate"])
    income = np.exp(rng.normal(8.5 - 0.3 * drift + 0.35 * schooled, 0.55, n)).round(-1)
    debt_ratio = rng.beta(1.4, 3.0, n).round(3)
    system = choose(("android", "ios"), _between([0.68, 0.32], [0.82, 0.18], drift), n, rng)
    brands = choose(
        ("north", "lumen", "orbit", "pico", "other"), [0.3, 0.28, 0.2, 0.12, 0.1], n, rng
    )
    return pd.DataFrame(
        {
            "user__age": age,
            "user__monthly_income": hide(pd.Series(income), 0.12, rng),
            "user__debt_ratio": hide(pd.Series(debt_ratio), 0.08, rng),
            "user__education": hide(pd.Series(education, dtype=TEXT), 0.15, rng),
            "user__employment": pd.Series(employment, dtype=TEXT),
            "user__city_tier": rng.choice(5, size=n, p=[0.15, 0.25, 0.3, 0.2, 0.1]) + 1,
            "user__years_with_bank": rng.exponential(4.0, n).round(1),
            "user__credit_inquiries": rng.negative_binomial(1.2, _between(0.4, 0.3, drift), n),
            "user__owns_home": rng.random(n) < 0.1 + 0.01 * (age - 20),
            "user__has_credit_card": rng.random(n) < 0.45,
            "device__system": pd.Series(system, dtype=TEXT),
            "device__brand": pd.Series(np.where(system == "ios", "apple", brands), dtype=TEXT),
            "device__age_months": rng.gamma(2.0, 10.0, n).round().astype(np.int64),
            "device__accounts_seen": 1 + rng.poisson(0.35, n),
            "device__rooted": rng.random(n) < _between(0.03, 0.08, drift),
        }
    )


def _make_credit_profile(
    users: pd.DataFrame, drift: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Draw the credit requested in each application."""
    n = len(users)
    income = users["user__monthly_income"].fillna(5_000.0).to_numpy()
    term = rng.choice([3, 6, 12, 24, 36], size=n, p=[0.15, 0.2, 0.35, 0.2, 0.1])
    amount = np.clip(income * np.exp(rng.normal(0.9, 0.8, n)), 1_000, 300_000)
    product = choose(
        ("cash", "installment", "salary_advance"),
        _between([0.5, 0.3, 0.2], [0.25, 0.65, 0.1], drift),
        n,
        rng,
    )
    return pd.DataFrame(
        {
            "item__product": pd.Series(product, dtype=TEXT),
            "item__amount": amount.round(-2),
            "item__term_months": term,
            "item__annual_rate": (rng.normal(0.12, 0.025, n) + 0.0005 * term).round(4),
        }
    )


def make_applications(
    n: int, n_users: int, first_id: int, drift: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Draw who applies for what; users beyond ``n_users`` rows apply a second time."""
    people = _make_user_profile(n_users, drift, rng)
    user = np.concatenate([np.arange(n_users), rng.permutation(n_users)[: n - n_users]])
    profile = people.iloc[user].reset_index(drop=True)
    credit = _make_credit_profile(profile, drift, rng)
    ids = pd.DataFrame({"application_id": np.arange(n), "user_id": first_id + user})
    return pd.concat([ids, profile, credit], axis=1)


def place_in_time(
    applications: pd.DataFrame,
    dryness: FloatArray,
    start: pd.Timestamp,
    days: int,
    first_id: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Draw the time of each application, then sort and number the table by time.

    ``dryness`` is how often applicants have used up their salary before the next payday; they then
    apply late in the month.
    """
    n = len(applications)
    seconds = int(start.timestamp()) + rng.integers(days, size=n) * DAY + times_of_day(n, rng)
    seconds = put_late(seconds, rng.random(n) < 0.6 * dryness, rng)
    applications.insert(2, "applied_at", (seconds * 1_000_000).view("datetime64[us]"))
    applications = applications.sort_values("applied_at", kind="stable", ignore_index=True)
    applications["application_id"] = first_id + np.arange(n)
    return applications


def profile_effects(profile: pd.DataFrame, drift: float = 0.0) -> pd.DataFrame:
    """Compute the risk of the profile, before scaling.

    It uses the final table including missing values, so it can be learned from that table.

    Returns
    -------
    DataFrame of shape (n, 2)
        `profile`: linear and categorical effects. `nonlinear`: steps, curves and products of
        columns.
    """
    age = profile["user__age"]
    income = np.log(profile["user__monthly_income"] / 5_000)
    debt = profile["user__debt_ratio"].fillna(0.32)
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
    linear = [
        -0.25 * income.fillna(-0.3),
        education.fillna(0.15),
        0.1 * profile["user__credit_inquiries"],
        0.7 * profile["device__rooted"],
        0.3 * employment.isin(["student", "none"]),
    ]
    nonlinear = [
        0.6 * np.minimum(((age - 37) / 12) ** 2, 3.0),
        1.2 * expit((debt - 0.55) / 0.06),
        0.7 * expit((burden - 0.5) / 0.4) * ~salaried,
        0.7 * (employment == "self_employed") * np.where(large_city, 1.0, -1.0),
        0.8 * (android & (profile["device__age_months"] > 30)),
        0.6 * (profile["device__accounts_seen"] >= 3),
        0.6 * profile["user__owns_home"] * np.where(age > 35, -1.0, 0.5),
        0.6 * cash * np.where(profile["user__years_with_bank"] < 1.5, 1.0, -0.4),
    ]
    return pd.DataFrame(
        {
            name: sum(
                (1.0 + drift * change) * np.asarray(term, dtype=np.float64)
                for term, change in zip(terms, changes, strict=True)
            )
            for name, terms, changes in (
                ("profile", linear, _LINEAR_DRIFT),
                ("nonlinear", nonlinear, _NONLINEAR_DRIFT),
            )
        }
    )
