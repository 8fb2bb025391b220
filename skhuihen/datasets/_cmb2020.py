"""Data of China Merchants Bank's FinTech contest 2020: app behavior without a label."""

from __future__ import annotations

import os

import pandas as pd
from sklearn.utils import Bunch

from skhuihen.datasets._files import (
    check_present,
    check_unique,
    find_files,
    make_bunch,
    read_table,
    to_numbers,
    to_times,
)

_CUSTOMERS, _TRANSACTIONS, _PAGES = _FILES = ["tag_b.csv", "trd_b.csv", "beh_b.csv"]
_LETTERS = ["gdr_cd", "mrg_situ_cd", "edu_deg_cd", "acdm_deg_cd", "deg_cd"]
_TRANSACTION = ["id", "Dat_Flg3_Cd", "Trx_Cod1_Cd", "Trx_Cod2_Cd", "trx_tm", "cny_trx_amt"]
_APPLIED_AT = pd.Timestamp("2019-07-01")
_SOURCE = (
    "The three files are the scoring data, set B, of the data track of China Merchants Bank's "
    "FinTech contest 2020 (招商银行 FinTech). The contest is over, and we know of no page of the "
    "bank that still has them. Participants have them as 评分数据集_tag_b.csv and so on; remove "
    "that prefix."
)

_DESCR = """\
China Merchants Bank FinTech 2020: two months of an app without a label
-----------------------------------------------------------------------

{n_customers:,} customers, with {n_transactions:,} transactions of {n_spenders:,} of them in May and
June 2019, and {n_pages:,} page views of {n_viewers:,} of them in June 2019. {n_silent:,} have
neither. Source: the scoring data, set B, of the data track of China Merchants Bank's FinTech
contest 2020, files tag_b.csv, trd_b.csv and beh_b.csv.

No label. Which of these customers became overdue is not public. `his_lng_ovd_day` (the most days
that a loan was ever overdue) and `ovd_30d_loan_tot_cnt` (loans overdue for more than 30 days)
describe the past: they are profile, not a target.

Time of the application. There was no application. `applied_at` is 1 July 2019, 00:00, for all
customers: the first moment after the log, so every event counts. The reference date of the profile
is unknown.

Profile. {n_features} columns under their names in the file. `\\N`, `~` and empty cells are missing.
-1 is a separate value and left unchanged: for example, a customer without a debit card has -1 as
the days since the first was opened. Five columns are codes with letters. The rest are numbers:
flags, counts, days and levels.

Events. A page view has only the operation `page/<code>`. The header of its file is shifted, and the
time is in the third column, which has no name. A transaction has the operation
`transaction/<first code>/<second code>`, the amount in yuan, negative for outgoing money, and the
payment method. {n_midnight:,} transactions are at exactly midnight: only their day is known.
{n_repeated:,} events repeat another event in everything, to the second. A page can be opened twice
in a second, and such a pair cannot be distinguished from a duplicate record, so all are kept.
"""


def load_cmb2020(folder: str | os.PathLike[str] | None = None) -> Bunch:
    """Load app behavior of China Merchants Bank: page views and transactions, without a label.

    The data are of the same kind as the paper's. Use them to look at real behavior, merge
    operations, measure speed and compare with a simulated bank. They have no overdue label, and no
    column can replace it: `his_lng_ovd_day`, the most days that a loan was ever overdue, describes
    the past.

    Parameters
    ----------
    folder : path, default=None
        The folder with ``tag_b.csv``, ``trd_b.csv`` and ``beh_b.csv``, or its parent folder if they
        are in the subfolder ``cmb2020``. None uses the folder in the environment variable
        ``SKHUIHEN_DATA``. Nothing is downloaded.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        applications : DataFrame of shape (4000, 43)
            `user_id`, `applied_at` and the 41 profile columns of the file. `applied_at` is
            2019-07-01, just after the last event, for all customers: there was no application.
        events : DataFrame
            `user_id`, `time`, `operation` (``"page/CQA"`` for one of 29 pages,
            ``"transaction/01/0136"`` for one of 56 codes in 3 groups), `amount` (yuan, negative for
            outgoing money; missing for pages) and `payment` (payment method ``"A"``, ``"B"`` or
            ``"C"``; missing for pages). Sorted by user and time.
        y : None
            There is no label.
        feature_names : list of str
            The profile columns.
        target_names : list of str
            Empty.
        dropped : dict of str to int
            Empty: no row is dropped.
        DESCR : str
            Description of the data.

    Raises
    ------
    FileNotFoundError
        If a file is not found. The message says where it comes from.
    ValueError
        If a column is missing, a time or amount is missing or cannot be read, a numeric profile
        column contains other values, or a customer occurs twice.

    Examples
    --------
    >>> from skhuihen.datasets import load_cmb2020
    >>> data = load_cmb2020("downloads/cmb2020")  # doctest: +SKIP
    >>> data.events["operation"].nunique()  # doctest: +SKIP
    85
    """
    paths = find_files(folder, "cmb2020", _FILES, source=_SOURCE)
    customers = read_table(
        paths[0], ["id", *_LETTERS], na_values=["\\N", "~"], dtype=dict.fromkeys(_LETTERS, "str")
    )
    trades = _transactions(read_table(paths[1], _TRANSACTION, dtype="str"))
    views = _page_views(read_table(paths[2], ["id", "page_no", "page_tm"], dtype="str"))
    applications = _applications(customers)
    events = pd.concat([views, trades], ignore_index=True)
    return make_bunch(
        applications,
        events,
        y=None,
        target_names=[],
        dropped={},
        descr=_DESCR.format(
            n_customers=len(customers),
            n_features=customers.shape[1] - 1,
            n_transactions=len(trades),
            n_spenders=trades["user_id"].nunique(),
            n_pages=len(views),
            n_viewers=views["user_id"].nunique(),
            n_silent=(~customers["id"].isin(events["user_id"])).sum(),
            n_midnight=(trades["time"] == trades["time"].dt.normalize()).sum(),
            n_repeated=events.duplicated().sum(),
        ),
    )


def _applications(customers: pd.DataFrame) -> pd.DataFrame:
    """Put user and time in front of the profile."""
    check_unique(customers["id"], _CUSTOMERS)
    profile = customers.drop(columns="id")
    for name in profile.columns.difference(_LETTERS):
        profile[name] = to_numbers(profile[name], _CUSTOMERS)
    profile.insert(0, "user_id", customers["id"])
    profile.insert(1, "applied_at", _APPLIED_AT.as_unit("us"))
    return profile


def _page_views(pages: pd.DataFrame) -> pd.DataFrame:
    # The header is shifted: the time is in the third column; page_tm may name an empty fourth one.
    time = pages.iloc[:, 2].rename("page_tm")
    check_present(time, _PAGES, "a time")
    return pd.DataFrame(
        {
            "user_id": pages["id"],
            "time": to_times(time, _PAGES),
            "operation": "page/" + pages["page_no"],
        }
    )


def _transactions(transactions: pd.DataFrame) -> pd.DataFrame:
    for name, what in (("trx_tm", "a time"), ("cny_trx_amt", "an amount")):
        check_present(transactions[name], _TRANSACTIONS, what)
    return pd.DataFrame(
        {
            "user_id": transactions["id"],
            "time": to_times(transactions["trx_tm"], _TRANSACTIONS),
            "operation": "transaction/"
            + transactions["Trx_Cod1_Cd"]
            + "/"
            + transactions["Trx_Cod2_Cd"],
            "amount": to_numbers(transactions["cny_trx_amt"], _TRANSACTIONS),
            "payment": transactions["Dat_Flg3_Cd"],
        }
    )
