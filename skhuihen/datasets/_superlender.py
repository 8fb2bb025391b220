"""Data of the lender SuperLender: an overdue label, a thin profile, and earlier loans as events."""

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
    "on Zindi (https://zindi.africa), lender SuperLender. Download and unpack them."
)

_DESCR = """\
SuperLender: loans of a Nigerian digital lender
-----------------------------------------------

{n_loans:,} loans, one per customer. {n_bad:,} of them were overdue ("Bad"). {n_events:,} events of
{n_earlier:,} earlier loans. Source: the 'Loan Default Prediction' challenge of Data Science Nigeria
on Zindi, files trainperf.csv, trainprevloans.csv and traindemographics.csv.

Time of the application. `applied_at` is the date of approval. Every earlier loan was closed before
it. The date of creation comes from a clock that is about an hour slow; by that date, some earlier
loans would still be open.

Events. A loan is approved (amount: the amount lent), its first repayment falls due (amount: the
total due), it is repaid for the first time (amount: not recorded) and it is closed (amount: the
total due). Every event has the id of the loan, its term and the days to its first due date, all
known from the approval on. If a loan was repaid early, its due date may be after the next
application ({n_due_later:,} are). The event `loan_due` is then in the future and must be cut off;
`due_days` still gives the date.

Profile. {n_unprofiled:,} customers have no demographics. The referring customer and the bank branch
are known for few, so the profile only records whether they are known.
"""


def load_superlender(folder: str | os.PathLike[str] | None = None) -> Bunch:
    """Load the SuperLender data: loans of a Nigerian lender with the earlier loans as events.

    Every loan is an application; the events come from the customer's earlier loans. Events are days
    apart, and no session gap separates the loans. Make each loan a session with
    ``Sessionizer(session="loan", min_behaviors=1)``.

    Parameters
    ----------
    folder : path, default=None
        The folder with ``trainperf.csv``, ``trainprevloans.csv`` and ``traindemographics.csv``, or
        its parent folder if they are in the subfolder ``superlender``. None uses the folder in the
        environment variable ``SKHUIHEN_DATA``. Nothing is downloaded.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        applications : DataFrame of shape (4368, 14)
            `user_id`, `application_id`, `applied_at` and the profile, whose columns start with
            `user__` or `item__`. Age is in years at the application; amounts are in naira.
        events : DataFrame
            `user_id`, `time`, `operation` (`"loan_approved"`, `"loan_due"`, `"first_repaid"` or
            `"loan_closed"`), `amount`, `loan` (the loan's id), `term_days` and `due_days` (days
            from approval to the first due date). Sorted by user and time.
        y : ndarray of shape (4368,)
            1 for overdue ("Bad"), 0 otherwise.
        feature_names : list of str
            The profile columns.
        target_names : list of str
            ``["Good", "Bad"]``.
        dropped : dict of str to int
            Number of dropped rows of the files, by reason. Loans are never dropped.
        DESCR : str
            Description of the data.

    Raises
    ------
    FileNotFoundError
        If a file is not found. The message says where to get it.
    ValueError
        If a column is missing, a date cannot be read, an approval has no date, a customer or an
        earlier loan occurs twice, or a label is neither Good nor Bad.

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
    """Read dates, and check keys and required values."""
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
    """Index demographics by customer, and count the dropped rows."""
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
    """Build the profile from what is known when a loan is approved."""
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
    """Convert each earlier loan to events; an event without a time did not happen."""
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
    """Count earlier loans with a first due date at or after the application."""
    due = events[events["operation"] == "loan_due"]
    applied_at = due["user_id"].map(applications.set_index("user_id")["applied_at"])
    return int((due["time"] >= applied_at).sum())
