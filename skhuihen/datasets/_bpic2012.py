"""The BPI Challenge 2012: loan applications at a Dutch bank, scored at the first offer."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
from sklearn.utils import Bunch

from skhuihen.datasets._files import (
    check_columns,
    check_present,
    check_unique,
    find_files,
    make_bunch,
    read_table,
    to_numbers,
    to_times,
)

_CASE = ["concept:name", "AMOUNT_REQ"]
_EVENT = ["case_id", "concept:name", "lifecycle:transition", "time:timestamp", "org:resource"]
_LAYOUTS = (
    ["BPI_Challenge_2012.xes.gz"],
    ["BPI_Challenge_2012.xes"],
    ["cases.parquet", "events.parquet"],
)
_OFFERED = "O_SENT"
_ACCEPTED = {"A_APPROVED": 1, "A_DECLINED": 0, "A_CANCELLED": 0}
_ZONE = "Europe/Amsterdam"
_SOURCE = (
    "The log is 'BPI Challenge 2012' at 4TU.ResearchData "
    "(https://doi.org/10.4121/uuid:3926db30-f712-4394-aebc-75976070e91f). Download the file "
    "BPI_Challenge_2012.xes.gz."
)

_DESCR = """\
BPI Challenge 2012: applications for a loan at a Dutch bank
-----------------------------------------------------------

{n_cases:,} applications with an offer of the bank. {n_accepted:,} of them were accepted in the end.
{n_events:,} events between October 2011 and March 2012, {n_before:,} of them before the first
offer. Source: 'BPI Challenge 2012' at 4TU.ResearchData.

Label. 1 if the case reached A_APPROVED, 0 if it ended with A_DECLINED or A_CANCELLED. It is not an
overdue label.

Time of the application. `applied_at` is the time of the first O_SENT, the first offer: the last
moment at which the decision is open in every case. Customers are not identified across cases, so
each case is a separate user.

Profile. Only the requested amount, AMOUNT_REQ.

Events. All events of each case, to the millisecond, in Dutch local time. The operation is the
activity and the step of its life cycle: A_ is the application, O_ the offer, W_ the work on them.
The resource is the employee. Events at or after the first offer are in the table and reveal the
outcome; attach_behaviors cuts them off.
"""


def load_bpic2012(folder: str | os.PathLike[str] | None = None) -> Bunch:
    """Load a Dutch bank's loan applications, to predict acceptance at the first offer.

    Each case of the log with an offer is an application. It is scored at the time of the offer from
    its earlier events. The profile is thin, and the events describe the bank's process rather than
    the use of an app.

    Parameters
    ----------
    folder : path, default=None
        The folder with the published log ``BPI_Challenge_2012.xes.gz`` (or ``.xes``), or its parent
        folder if the log is in the subfolder ``bpic2012``. Two tables made from the log also work
        and load faster: ``cases.parquet`` with the columns `concept:name` (the case) and
        `AMOUNT_REQ`, and ``events.parquet`` with `case_id`, `concept:name` (the activity),
        `lifecycle:transition`, `time:timestamp` and `org:resource`. None uses the folder in the
        environment variable ``SKHUIHEN_DATA``. Nothing is downloaded.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        applications : DataFrame of shape (4688, 3)
            `user_id` (the case), `applied_at` (time of the first ``O_SENT``) and `AMOUNT_REQ`
            (the requested amount).
        events : DataFrame
            `user_id`, `time`, `operation` (such as ``"W_Nabellen offertes/START"``: activity and
            step of its life cycle) and `resource` (the employee; sometimes missing). Sorted by user
            and time. Events at or after the first offer reveal the outcome;
            `~skhuihen.attach_behaviors` cuts them off.
        y : ndarray of shape (4688,)
            1 for accepted, 0 otherwise.
        feature_names : list of str
            ``["AMOUNT_REQ"]``.
        target_names : list of str
            ``["Not accepted", "Accepted"]``.
        dropped : dict of str to int
            Number of dropped cases, by reason, and of their events.
        DESCR : str
            Description of the data.

    Raises
    ------
    FileNotFoundError
        If no file is found. The message says where to get it.
    ValueError
        If a column is missing, the log cannot be read, an event has no time, an amount is not a
        number, or a case occurs twice.

    Examples
    --------
    >>> from skhuihen.datasets import load_bpic2012
    >>> data = load_bpic2012("downloads/bpic2012")  # doctest: +SKIP
    >>> data.y.mean()  # doctest: +SKIP
    0.4790...
    """
    cases, log = _read_log(find_files(folder, "bpic2012", *_LAYOUTS, source=_SOURCE))
    offered_at = log["time:timestamp"].where(log["concept:name"] == _OFFERED)
    cases["applied_at"] = cases["concept:name"].map(offered_at.groupby(log["case_id"]).min())
    accepted = log["concept:name"].map(_ACCEPTED)
    cases["accepted"] = cases["concept:name"].map(accepted.groupby(log["case_id"]).max())

    offered, decided = cases["applied_at"].notna(), cases["accepted"].notna()
    kept = cases[offered & decided].reset_index(drop=True)
    applications = pd.DataFrame(
        {
            "user_id": kept["concept:name"],
            "applied_at": kept["applied_at"],
            "AMOUNT_REQ": kept["AMOUNT_REQ"],
        }
    )
    told = log[log["case_id"].isin(kept["concept:name"])]
    events = pd.DataFrame(
        {
            "user_id": told["case_id"],
            "time": told["time:timestamp"],
            "operation": told["concept:name"] + "/" + told["lifecycle:transition"],
            "resource": told["org:resource"],
        }
    )
    y = kept["accepted"].to_numpy(dtype="int64")
    applied_at = events["user_id"].map(applications.set_index("user_id")["applied_at"])
    return make_bunch(
        applications,
        events,
        y=y,
        target_names=["Not accepted", "Accepted"],
        dropped={
            "cases without an offer": int((~offered).sum()),
            "cases with an offer that were still open at the end of the log": int(
                (offered & ~decided).sum()
            ),
            "events of these cases": len(log) - len(events),
        },
        descr=_DESCR.format(
            n_cases=len(kept),
            n_accepted=y.sum(),
            n_events=len(events),
            n_before=(events["time"] < applied_at).sum(),
        ),
    )


def _read_log(paths: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read and check cases and events."""
    if len(paths) == 1:
        cases, log = _read_xes(paths[0])
    else:
        cases, log = read_table(paths[0], _CASE), read_table(paths[1], _EVENT)
    file = paths[-1].name
    check_unique(cases["concept:name"], paths[0].name)
    check_present(log["time:timestamp"], file, "a time")
    cases["AMOUNT_REQ"] = to_numbers(cases["AMOUNT_REQ"], paths[0].name)
    log["time:timestamp"] = to_times(log["time:timestamp"], file, zone=_ZONE)
    return cases, log


def _read_xes(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read an event log in XES: an XML file of traces that contain events."""
    cases, events = [], []
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            for _, trace in ElementTree.iterparse(file):
                if trace.tag.rpartition("}")[2] != "trace":
                    continue
                case = _attributes(trace)
                cases.append(case)
                events += [
                    {"case_id": case.get("concept:name")} | _attributes(event)
                    for event in trace
                    if event.tag.rpartition("}")[2] == "event"
                ]
                trace.clear()  # the log is large
    except (ElementTree.ParseError, OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path.name} cannot be read: {error}. Use the file exactly as it was downloaded."
        ) from error
    tables = pd.DataFrame(cases), pd.DataFrame(events)
    for table, columns in zip(tables, (_CASE, _EVENT), strict=True):
        check_columns(table, columns, path.name)
    return tables


def _attributes(element: ElementTree.Element) -> dict[str, str | None]:
    """Read the attributes of a trace or an event: elements with key and value."""
    return {key: child.get("value") for child in element if (key := child.get("key"))}
