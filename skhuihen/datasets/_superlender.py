"""The data of the lender SuperLender: an overdue flag, a thin profile, earlier loans as events."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skhuihen.datasets._files import (
    check_present,
    check_unique,
    find_files,
    make_bunch,
    read_table,
    to_labels,
    to_times,
)

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
    paths = find_files(folder, "superlender", list(_COLUMNS), source=_SOURCE)
    tables = {path.name: read_table(path, _COLUMNS[path.name]) for path in paths}
    _check_tables(tables)
    loans, earlier = tables[_PERFORMANCE], tables[_EARLIER]
    people, dropped = _one_row_per_customer(tables[_DEMOGRAPHICS], loans)
    applications = _applications(loans, people)
    events = _events(earlier)
    y = to_labels(loans["good_bad_flag"], ("Good", "Bad"), _PERFORMANCE)
    return make_bunch(
        applications,
        events,
        y=y,
        target_names=["Good", "Bad"],
        dropped=dropped,
        descr=_DESCR.format(
            n_loans=len(loans),
            n_bad=y.sum(),
            n_events=len(events),
            n_earlier=len(earlier),
            n_due_later=_due_later(events, applications),
            n_unprofiled=(~loans["customerid"].isin(people.index)).sum(),
        ),
    )


def _check_tables(tables: dict[str, pd.DataFrame]) -> None:
    """Read dates, and check keys and what must be there."""
    for file, table in tables.items():
        for name in _COLUMNS[file]:
            if name.endswith("date"):
                table[name] = to_times(table[name], file)
    for file, key in ((_PERFORMANCE, "customerid"), (_EARLIER, "systemloanid")):
        check_present(tables[file]["approveddate"], file, "a date")
        check_unique(tables[file][key], file)


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
    return events[events["time"].notna()]


def _due_later(events: pd.DataFrame, applications: pd.DataFrame) -> int:
    """Count earlier loans whose first due date lies at or after the application."""
    due = events[events["operation"] == "loan_due"]
    applied_at = due["user_id"].map(applications.set_index("user_id")["applied_at"])
    return int((due["time"] >= applied_at).sum())
