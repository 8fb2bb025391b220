"""Loaders for public data, which people download themselves."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

_FOLDER_VARIABLE = "SKHUIHEN_DATA"
_PERFORMANCE, _EARLIER, _DEMOGRAPHICS = (
    "trainperf.csv",
    "trainprevloans.csv",
    "traindemographics.csv",
)
_COLUMNS = {
    _PERFORMANCE: [
        "customerid",
        "systemloanid",
        "loannumber",
        "approveddate",
        "loanamount",
        "totaldue",
        "termdays",
        "referredby",
        "good_bad_flag",
    ],
    _EARLIER: [
        "customerid",
        "systemloanid",
        "approveddate",
        "loanamount",
        "totaldue",
        "termdays",
        "closeddate",
        "firstduedate",
        "firstrepaiddate",
    ],
    _DEMOGRAPHICS: [
        "customerid",
        "birthdate",
        "bank_account_type",
        "bank_name_clients",
        "bank_branch_clients",
        "employment_status_clients",
        "level_of_education_clients",
    ],
}
_SOURCE = (
    "The three files belong to the 'Loan Default Prediction' challenge of Data Science Nigeria "
    "on Zindi (https://zindi.africa), lender SuperLender: download and unpack them."
)

_DESCR = """\
SuperLender: loans of a Nigerian digital lender
-----------------------------------------------

{n_loans:,} loans, one per customer, of which {n_bad:,} were overdue ("Bad"); {n_events:,} events
of {n_earlier:,} earlier loans. Source: the 'Loan Default Prediction' challenge of Data Science
Nigeria on Zindi, files trainperf.csv, trainprevloans.csv and traindemographics.csv.

Time of the application. `applied_at` is the date of approval, before which every earlier loan was
closed. The date of creation comes from a clock about an hour behind: by that one, some earlier
loans would still be open.

Events. A loan is approved (amount: what is lent), its first repayment falls due (amount: the
total due), it is repaid for the first time (amount: not recorded) and it is closed (amount: the
total due). Every event bears the loan's id, its term and the days to its first due date: all
known from the approval on. Of a loan repaid early, the due date may lie after the next
application ({n_due_later:,} do). The event `loan_due` is then in the future and must be cut away;
`due_days` still tells the date.

Profile. {n_unprofiled:,} customers have no demographics. Of the referring customer and of the bank
branch, known for few, only whether they are known is kept.

Left out: {dropped}.
"""


def load_superlender(folder: str | os.PathLike[str] | None = None) -> Bunch:
    """Load the SuperLender data: loans of a Nigerian lender, with the loans before each.

    Every loan is an application; the events are those of the customer's earlier loans. Events lie
    days apart, and no gap cuts them into loans: take each loan as a session, with
    ``Sessionizer(session="loan", min_behaviors=1)``.

    Parameters
    ----------
    folder : path, default=None
        The folder with ``trainperf.csv``, ``trainprevloans.csv`` and ``traindemographics.csv``,
        or the one above it, if they are in its ``superlender``. None takes the folder that the
        environment variable ``SKHUIHEN_DATA`` names. Nothing is downloaded.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        applications : DataFrame of shape (4368, 14)
            `user_id`, `application_id`, `applied_at` and the profile: columns that begin with
            `user__` or `item__`. Age is in years at the application, amounts are in naira.
        events : DataFrame
            `user_id`, `time`, `operation` (`"loan_approved"`, `"loan_due"`, `"first_repaid"` or
            `"loan_closed"`), `amount`, `loan` (the loan's id), `term_days` and `due_days` (days
            from approval to the first due date); ordered by user and time.
        y : ndarray of shape (4368,)
            1 for overdue ("Bad"), 0 otherwise.
        feature_names : list of str
            The profile columns.
        target_names : list of str
            ``["Good", "Bad"]``.
        dropped : dict of str to int
            Number of rows of the files that were left out, by reason. No loan ever is.
        DESCR : str
            Description of the data.

    Raises
    ------
    FileNotFoundError
        If a file is not found; the message says where to get it.
    ValueError
        If a file lacks a column, a date cannot be read, an approval has none, a customer applies
        or an earlier loan comes twice, or a flag is neither Good nor Bad.

    Examples
    --------
    >>> from skhuihen.datasets import load_superlender
    >>> data = load_superlender("downloads/superlender")  # doctest: +SKIP
    >>> data.y.mean()  # doctest: +SKIP
    0.2179...
    """
    tables = _read_tables(_find_folder(folder))
    loans, earlier = tables[_PERFORMANCE], tables[_EARLIER]
    people, dropped = _one_row_per_customer(tables[_DEMOGRAPHICS], loans)
    applications = _applications(loans, people)
    events = _events(earlier)
    y = _overdue(loans["good_bad_flag"])
    return Bunch(
        applications=applications,
        events=events,
        y=y,
        feature_names=[name for name in applications.columns.to_list() if "__" in name],
        target_names=["Good", "Bad"],
        dropped=dropped,
        DESCR=_DESCR.format(
            n_loans=len(loans),
            n_bad=y.sum(),
            n_events=len(events),
            n_earlier=len(earlier),
            n_due_later=_due_later(events, applications),
            n_unprofiled=(~loans["customerid"].isin(people.index)).sum(),
            dropped=", ".join(f"{number:,} {reason}" for reason, number in dropped.items()),
        ),
    )


def _find_folder(folder: str | os.PathLike[str] | None) -> Path:
    """Find the folder of the files in the one named, or in the one below it."""
    named = folder if folder is not None else os.environ.get(_FOLDER_VARIABLE)
    if not named:
        raise FileNotFoundError(
            f"No folder given: pass folder=, or set the environment variable {_FOLDER_VARIABLE} "
            f"to it. {_SOURCE}"
        )
    candidates = [Path(named), Path(named) / "superlender"]
    for candidate in candidates:
        if all((candidate / name).is_file() for name in _COLUMNS):
            return candidate
    found = {name for name in _COLUMNS for c in candidates if (c / name).is_file()}
    missing = ", ".join(name for name in _COLUMNS if name not in found) or "a complete set"
    raise FileNotFoundError(
        f"{missing} not found in {os.fspath(candidates[0])!r} or its 'superlender' folder. "
        f"{_SOURCE}"
    )


def _read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the three files and check what they must have."""
    tables = {}
    for name, columns in _COLUMNS.items():
        table = pd.read_csv(folder / name)
        absent = [column for column in columns if column not in table]
        if absent:
            raise ValueError(
                f"{name} lacks the columns {absent}; it has {list(table.columns)}. Use the file "
                "as it was downloaded."
            )
        for column in columns:
            if column.endswith("date"):
                table[column] = _to_times(table[column], name)
        tables[name] = table
    for name in (_PERFORMANCE, _EARLIER):
        undated = int(tables[name]["approveddate"].isna().sum())
        if undated:
            raise ValueError(
                f"{name}: column 'approveddate' must have a date in every row, but {undated} rows "
                "have none. Remove them."
            )
    for name, key in ((_PERFORMANCE, "customerid"), (_EARLIER, "systemloanid")):
        repeated = tables[name][key].duplicated()
        if repeated.any():
            raise ValueError(
                f"{name}: column {key!r} must have each value once, but {repeated.sum()} rows "
                f"repeat one, for example {tables[name].loc[repeated, key].iloc[0]!r}. Remove them."
            )
    return tables


def _to_times(column: pd.Series, file: str) -> pd.Series:
    try:
        return pd.to_datetime(column).astype("datetime64[us]")
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{file}: column {column.name!r} has a date that is none: {error}"
        ) from None


def _one_row_per_customer(
    people: pd.DataFrame, loans: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Index demographics by customer, and count what is left out on the way."""
    distinct = people.drop_duplicates()
    single = distinct.drop_duplicates("customerid").set_index("customerid")
    dropped = {
        "repeated rows of demographics": len(people) - len(distinct),
        "rows of demographics that contradict an earlier one": len(distinct) - len(single),
        "rows of demographics of customers without a loan": int(
            (~single.index.isin(loans["customerid"])).sum()
        ),
    }
    return single, dropped


def _applications(loans: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Lay out what is known when a loan is approved."""
    known = people.reindex(loans["customerid"]).reset_index(drop=True)
    age = (loans["approveddate"] - known["birthdate"]).dt.days / 365.25
    return pd.DataFrame(
        {
            "user_id": loans["customerid"],
            "application_id": loans["systemloanid"],
            "applied_at": loans["approveddate"],
            "user__loan_number": loans["loannumber"],
            "user__referred": loans["referredby"].notna(),
            "user__age": age.round(2),
            "user__account_type": known["bank_account_type"],
            "user__bank": known["bank_name_clients"],
            "user__branch_known": known["bank_branch_clients"].notna(),
            "user__employment": known["employment_status_clients"],
            "user__education": known["level_of_education_clients"],
            "item__amount": loans["loanamount"],
            "item__total_due": loans["totaldue"],
            "item__term_days": loans["termdays"],
        }
    )


def _events(earlier: pd.DataFrame) -> pd.DataFrame:
    """Turn each earlier loan into the events of its life; one without a time did not happen."""
    approved, due = earlier["approveddate"], earlier["firstduedate"]
    unrecorded = pd.Series(np.nan, index=earlier.index)
    life = {
        "loan_approved": (approved, earlier["loanamount"]),
        "loan_due": (due, earlier["totaldue"]),
        "first_repaid": (earlier["firstrepaiddate"], unrecorded),
        "loan_closed": (earlier["closeddate"], earlier["totaldue"]),
    }
    events = pd.concat(
        [
            pd.DataFrame(
                {
                    "user_id": earlier["customerid"],
                    "time": time,
                    "operation": operation,
                    "amount": amount,
                    "loan": earlier["systemloanid"],
                    "term_days": earlier["termdays"],
                    "due_days": (due - approved.dt.normalize()).dt.days,
                }
            )
            for operation, (time, amount) in life.items()
        ],
        ignore_index=True,
    )
    happened = events[events["time"].notna()]
    return happened.sort_values(["user_id", "time"], kind="stable", ignore_index=True)


def _due_later(events: pd.DataFrame, applications: pd.DataFrame) -> int:
    """Count earlier loans whose first due date lies at or after the application."""
    due = events[events["operation"] == "loan_due"]
    applied_at = due["user_id"].map(applications.set_index("user_id")["applied_at"])
    return int((due["time"] >= applied_at).sum())


def _overdue(flag: pd.Series) -> np.ndarray:
    strange = ~flag.isin(["Good", "Bad"])
    if strange.any():
        raise ValueError(
            f"{_PERFORMANCE}: column 'good_bad_flag' must be 'Good' or 'Bad', but {strange.sum()} "
            f"rows have something else, for example {flag[strange].iloc[0]!r}. Correct or remove "
            "them."
        )
    return (flag == "Bad").to_numpy(dtype=np.int64)
