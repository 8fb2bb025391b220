"""Two data sets of the paper's Table 6: default of credit card clients, and credit card fraud."""

from __future__ import annotations

import os

import pandas as pd
import sklearn.datasets
from sklearn.utils import Bunch

from skhuihen._compat import TEXT
from skhuihen.datasets._files import (
    check_columns,
    check_unique,
    find_files,
    make_bunch,
    read_table,
    to_labels,
    to_numbers,
)

# Newest month first, as in the file, which has no PAY_1.
_MONTH_ENDS = pd.to_datetime(
    ["2005-09-30", "2005-08-31", "2005-07-31", "2005-06-30", "2005-05-31", "2005-04-30"]
).as_unit("us")
_STATUS = ["PAY_0", *(f"PAY_{month}" for month in range(2, 7))]
_BILL = [f"BILL_AMT{month}" for month in range(1, 7)]
_PAID = [f"PAY_AMT{month}" for month in range(1, 7)]
_CODES = ["SEX", "EDUCATION", "MARRIAGE"]
_CLIENT = ["LIMIT_BAL", *_CODES, "AGE"]
_DEFAULT = "default payment next month"
_UCI_OPENML = 42477
# OpenML numbers the columns, and each publisher names the target differently.
_UCI_NAMES = {
    **{f"x{i}": name for i, name in enumerate([*_CLIENT, *_STATUS, *_BILL, *_PAID], start=1)},
    **dict.fromkeys(["class", "default.payment.next.month", "y"], _DEFAULT),
}
_UCI_SOURCE = (
    "The data are 'Default of Credit Card Clients' of the UCI Machine Learning Repository "
    "(https://archive.ics.uci.edu/dataset/350). Download the file UCI_Credit_Card.csv from "
    "https://www.kaggle.com/datasets/uciml/default-of-credit-card-clients-dataset, or pass "
    "fetch=True to fetch the data from OpenML."
)
_CARD_OPENML = 1597
_CARD_COLUMNS = [*(f"V{i}" for i in range(1, 29)), "Amount", "Class"]
_CARD_SOURCE = (
    "The data are 'Credit Card Fraud Detection' of the Machine Learning Group of ULB. Download the "
    "file creditcard.csv from https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud, or pass "
    "fetch=True to fetch the data from OpenML."
)

_UCI_DESCR = """\
Default of credit card clients in Taiwan
----------------------------------------

{n_clients:,} clients. {n_bad:,} of them defaulted on the payment of the next month, October 2005.
{n_repeated:,} rows repeat another row in everything but the client; they are kept.
Source: {source}.

Reference: I.-C. Yeh and C.-H. Lien, The comparisons of data mining techniques for the predictive
accuracy of probability of default of credit card clients, Expert Systems with Applications 36
(2009) 2473-2480.

Time of the application. There was no application: `applied_at` is 1 October 2005 for all clients,
just after the last of the six months, April to September 2005.

Profile. LIMIT_BAL (credit in NT dollars), SEX (1 male, 2 female), EDUCATION (1 graduate school,
2 university, 3 high school, 4 others; 0, 5 and 6 occur but are undocumented), MARRIAGE
(1 married, 2 single, 3 others; 0 is undocumented) and AGE.

Months. The number 0 or 1 is September, 6 is April. PAY_0 and PAY_2 to PAY_6 are the repayment
status (-1 paid duly, n paid n months late; -2 and 0 are undocumented). BILL_AMT1 to BILL_AMT6 are
the bills, negative for a credit balance. PAY_AMT1 to PAY_AMT6 are the payments.
"""

_CARD_DESCR = """\
Credit card fraud
-----------------

{n_rows:,} transactions of European cards in two days of September 2013. {n_bad:,} of them are
fraud. {n_repeated:,} rows repeat another row; they are kept.
Source: {source}.

Profile. V1 to V28 are principal components of unpublished features, Amount is the amount, and Time
the seconds since the first transaction{no_time}. Cards are not identified, so there are no users
and no behaviors.
"""


def load_uci_default(
    folder: str | os.PathLike[str] | None = None,
    *,
    fetch: bool = False,
    as_behaviors: bool = False,
) -> Bunch:
    """Load the default of credit card clients, as a profile or with six months of events.

    Parameters
    ----------
    folder : path, default=None
        The folder with ``UCI_Credit_Card.csv``, or its parent folder if the file is in the
        subfolder ``uci_default``. None uses the folder in the environment variable
        ``SKHUIHEN_DATA``.
    fetch : bool, default=False
        Whether to fetch the data from OpenML instead (data set 42477) with
        :func:`sklearn.datasets.fetch_openml`, which downloads them once and caches them. OpenML
        has no client numbers; clients are numbered from 1 in its row order.
    as_behaviors : bool, default=False
        Whether the 18 columns of the six months become events. Otherwise they belong to the
        profile, as in the paper's Table 6.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        applications : DataFrame of shape (30000, 25) or (30000, 7)
            `user_id`, `applied_at` and the profile under the names of the file. SEX, EDUCATION
            and MARRIAGE are categories. `applied_at` is 2005-10-01, just after the last month,
            for all clients.
        events : DataFrame of shape (540000, 4) or None
            With `as_behaviors`, three events per client and month, sorted by user and time. The
            columns are `user_id`, `time`, `operation` and `amount`. The operation is ``"bill"``,
            ``"payment"`` or the repayment status, such as ``"repayment_status_2"`` for two months
            late. The amount is in NT dollars, and missing for the status. Only the month is known,
            so all three events have its last day as their time. With the default gap of
            :class:`~skhuihen.Sessionizer`, each month is a session. A month without a payment has
            a payment of 0.
        y : ndarray of shape (30000,)
            1 for default on the next payment, 0 otherwise.
        feature_names : list of str
            The profile columns.
        target_names : list of str
            ``["No default", "Default"]``.
        dropped : dict of str to int
            Empty: no row is dropped.
        DESCR : str
            Description of the data.

    Raises
    ------
    FileNotFoundError
        If the file is not found. The message says where to get it.
    ConnectionError
        If OpenML cannot be reached.
    ValueError
        If a column is missing or contains values other than numbers, a label is neither 0 nor 1, a
        client occurs twice, or both `folder` and `fetch` are given.

    References
    ----------
    The HUIHEN paper, section 5.3.5 and Table 6.

    Examples
    --------
    >>> from skhuihen.datasets import load_uci_default
    >>> data = load_uci_default("downloads/uci_default", as_behaviors=True)  # doctest: +SKIP
    >>> data.y.mean()  # doctest: +SKIP
    0.2212
    """
    monthly = [*_STATUS, *_BILL, *_PAID]
    table, source = _read_or_fetch(
        folder, fetch, "uci_default", ["UCI_Credit_Card.csv"], _UCI_OPENML, _UCI_SOURCE
    )
    table = table.rename(columns=_UCI_NAMES)
    user_id = table["ID"] if "ID" in table else pd.Series(range(1, len(table) + 1))
    check_unique(user_id, source)
    table = _numeric(table, [*_CLIENT, *monthly, _DEFAULT], source)
    y = to_labels(table[_DEFAULT], (0, 1), source)
    applications = table[_CLIENT if as_behaviors else [*_CLIENT, *monthly]].astype(
        dict.fromkeys(_CODES, "category")
    )
    applications.insert(0, "user_id", user_id)
    applications.insert(1, "applied_at", pd.Timestamp("2005-10-01").as_unit("us"))
    return make_bunch(
        applications,
        _monthly_events(table, user_id) if as_behaviors else None,
        y=y,
        target_names=["No default", "Default"],
        dropped={},
        descr=_UCI_DESCR.format(
            n_clients=len(table),
            n_bad=y.sum(),
            n_repeated=table.duplicated().sum(),
            source=source,
        ),
    )


def load_creditcard(folder: str | os.PathLike[str] | None = None, *, fetch: bool = False) -> Bunch:
    """Load credit card fraud: only a profile, without users, times or behaviors.

    Parameters
    ----------
    folder : path, default=None
        The folder with ``creditcard.csv``, or with the same table as ``creditcard.parquet``. It
        can also be the parent folder if the file is in the subfolder ``creditcard``. None uses the
        folder in the environment variable ``SKHUIHEN_DATA``.
    fetch : bool, default=False
        Whether to fetch the data from OpenML instead (data set 1597) with
        :func:`sklearn.datasets.fetch_openml`, which downloads them once and caches them.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        applications : DataFrame of shape (284807, 30)
            The profile: `Time`, `V1` to `V28` and `Amount`. `Time` is missing if the source does
            not have it.
        events : None
            There are no events.
        y : ndarray of shape (284807,)
            1 for fraud, 0 otherwise.
        feature_names : list of str
            All columns, which are the profile.
        target_names : list of str
            ``["Genuine", "Fraud"]``.
        dropped : dict of str to int
            Empty: no row is dropped.
        DESCR : str
            Description of the data.

    Raises
    ------
    FileNotFoundError
        If the file is not found. The message says where to get it.
    ConnectionError
        If OpenML cannot be reached.
    ValueError
        If a column is missing or contains values other than numbers, a label is neither 0 nor 1, or
        both `folder` and `fetch` are given.

    References
    ----------
    The HUIHEN paper, section 5.3.5 and Table 6.

    Examples
    --------
    >>> from skhuihen.datasets import load_creditcard
    >>> data = load_creditcard("downloads/creditcard")  # doctest: +SKIP
    >>> data.y.sum()  # doctest: +SKIP
    492
    """
    table, source = _read_or_fetch(
        folder,
        fetch,
        "creditcard",
        ["creditcard.csv", "creditcard.parquet"],
        _CARD_OPENML,
        _CARD_SOURCE,
    )
    time = ["Time"] if "Time" in table else []
    table = _numeric(table, [*time, *_CARD_COLUMNS], source)
    y = to_labels(table["Class"], (0, 1), source)
    return make_bunch(
        table.drop(columns="Class"),
        None,
        y=y,
        target_names=["Genuine", "Fraud"],
        dropped={},
        descr=_CARD_DESCR.format(
            n_rows=len(table),
            n_bad=y.sum(),
            n_repeated=table.duplicated().sum(),
            source=source,
            no_time="" if time else ", which this source does not have",
        ),
    )


def _read_or_fetch(
    folder: str | os.PathLike[str] | None,
    fetch: bool,
    name: str,
    files: list[str],
    data_id: int,
    source: str,
) -> tuple[pd.DataFrame, str]:
    """Read the table from the first existing file, or fetch it; also return its name."""
    if not fetch:
        (path,) = find_files(folder, name, *([file] for file in files), source=source)
        return read_table(path, []), path.name
    if folder is not None:
        raise ValueError(
            f"folder={os.fspath(folder)!r} and fetch=True were both given. Pass folder to read "
            "local files, or fetch=True to download the data from OpenML."
        )
    try:
        table = sklearn.datasets.fetch_openml(data_id=data_id, as_frame=True).frame
    except OSError as error:
        raise ConnectionError(
            f"Data set {data_id} of OpenML cannot be fetched: {error}. Check the internet "
            f"connection and try again, or pass folder=. {source}"
        ) from error
    return table, f"OpenML data set {data_id}"


def _numeric(table: pd.DataFrame, columns: list[str], source: str) -> pd.DataFrame:
    """Return the given columns as numbers."""
    check_columns(table, columns, source)
    return pd.DataFrame({name: to_numbers(table[name], source) for name in columns})


def _monthly_events(table: pd.DataFrame, user_id: pd.Series) -> pd.DataFrame:
    """Convert the columns of six months to three events per month."""
    events = []
    for end, status, bill, paid in zip(_MONTH_ENDS, _STATUS, _BILL, _PAID, strict=True):
        level = table[status].astype("Int64").astype("string").astype(TEXT)
        events += [
            pd.DataFrame(
                {"user_id": user_id, "time": end, "operation": operation, "amount": amount}
            )
            for operation, amount in (
                ("bill", table[bill].astype("float64")),
                ("payment", table[paid].astype("float64")),
                ("repayment_status_" + level, float("nan")),
            )
        ]
    return pd.concat(events, ignore_index=True)
