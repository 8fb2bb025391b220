"""The data contract read slowly: plain Python, one event at a time, nothing of what it checks.

An event is a dict whose ``time`` is an integer number of microseconds since 1970, and a history is
None or a list of events in any order. The two loops of the join are in
``_assembly/test_attach.py``, next to the tables that they read.
"""

from __future__ import annotations

import fnmatch
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise

DAY = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# ---- what was known


def known(history, applied_at=None, lookback=None):
    """Return the events that were known in time, in their order: the as-of cut, said slowly."""
    kept = []
    for e in history or ():
        if applied_at is not None and not e["time"] < applied_at:
            continue
        if lookback is not None and not e["time"] >= applied_at - lookback:
            continue
        kept.append(e)
    return sorted(kept, key=lambda e: (e["time"], e.get("seq") or 0))


def fates(history, applied_at, lookback=None):
    """Count the events of a history that are cut off, each for one reason, and all."""
    counts = Counter(events=0, events_too_late=0, events_before_lookback=0)
    for e in history or ():
        counts["events"] += 1
        if e["time"] >= applied_at:
            counts["events_too_late"] += 1
        elif lookback is not None and e["time"] < applied_at - lookback:
            counts["events_before_lookback"] += 1
    return counts


def amount_of(e):
    """Return the amount of an event, None where it is missing or no number."""
    amount = e.get("amount")
    return None if amount is None or math.isnan(amount) else amount


def text_of(e, subfield):
    """Return a text subfield of an event; null is a text of its own."""
    return "missing" if e.get(subfield) is None else e[subfield]


# ---- Sessionizer


def cut_at_gaps(events, gap):
    """Cut sessions where more than the gap lies between neighbors."""
    sessions = []
    for e in events:
        if sessions and e["time"] - sessions[-1][-1]["time"] <= gap:
            sessions[-1].append(e)
        else:
            sessions.append([e])
    return sessions


def cut_where_known(events, subfield):
    """Gather the events of each known session, ordered by the last event of each."""
    groups, last = {}, {}
    for position, e in enumerate(events):
        groups.setdefault(e[subfield], []).append(e)
        last[e[subfield]] = position
    return [groups[value] for value in sorted(groups, key=last.__getitem__)]


def sessionize(events, *, gap, session, min_behaviors, max_sessions, max_behaviors, zone):
    """Return the events that one application keeps, and count what became of all."""
    counts = Counter()
    cut = cut_at_gaps(events, gap) if session is None else cut_where_known(events, session)
    counts["sessions"] = len(cut)
    long_enough = []
    for one in cut:
        if len(one) >= min_behaviors:
            long_enough.append(one)
        else:
            counts["sessions_short"] += 1
            counts["events_in_short_sessions"] += len(one)
    while max_sessions is not None and len(long_enough) > max_sessions:
        counts["sessions_older"] += 1
        counts["events_in_older_sessions"] += len(long_enough.pop(0))
    result = []
    for number, one in enumerate(long_enough):
        kept = one if max_behaviors is None else one[-max_behaviors:]
        counts["sessions_kept"] += 1
        counts["sessions_truncated"] += len(kept) < len(one)
        counts["events_truncated"] += len(one) - len(kept)
        counts["events_kept"] += len(kept)
        before = kept[0]["time"]
        for e in kept:
            day = (EPOCH + timedelta(microseconds=e["time"])).astimezone(zone)
            result.append(
                {
                    **e,
                    "session": number,
                    "interval": (e["time"] - before) / 1e6,
                    "weekday": day.weekday(),
                    "monthday": day.day,
                }
            )
            before = e["time"]
    counts["applications"] = 1
    counts["applications_without_sessions"] = not long_enough
    return result, counts


# ---- BehaviorAbstractor, behind the table that it has learned


def first_match(rules, e):
    """Return the first rule that holds for an event, as a dict, or None."""
    for rule in rules:
        item = "*" if rule.get("item") is None else rule["item"]
        if fnmatch.fnmatchcase(text_of(e, "operation"), rule["operation"]) and fnmatch.fnmatchcase(
            text_of(e, "item"), item
        ):
            return {**rule, "item": item}
    return None


def is_type(rule):
    """Tell whether a rule gives the type of a click and leaves the item open."""
    return rule["field"] == "item_click" and rule["item"] == "*"


def field_by_evidence(e):
    """Return the field that one event speaks for."""
    if amount_of(e) is not None:
        return "transform_operation"
    return "function_widget" if e.get("item") is None else "item_click"


def abstract(events, rules):
    """Give events their field and behavior by the complete table, and count what it lacks."""
    result, counts = [], Counter(events_used=0, unseen_operations=0, items_not_kept=0)
    for e in events:
        counts["events_used"] += 1
        rule = first_match(rules, e)
        if rule is None:
            counts["unseen_operations"] += 1
            field = field_by_evidence(e)
            behavior = f"{field}:other"
        else:
            counts["items_not_kept"] += is_type(rule)
            field = rule["field"]
            behavior = f"{rule['behavior']}:other" if is_type(rule) else rule["behavior"]
        result.append({**e, "field": field, "behavior": behavior})
    return result, counts


# ---- WindowStatistics


def mean(values):
    return sum(values) / len(values) if values else math.nan


def amounts_of(events):
    return [amount_of(e) for e in events if amount_of(e) is not None]


def waits_of(events):
    """Return log1p of the seconds between neighbors."""
    return [
        math.log1p((later["time"] - earlier["time"]) / 1e6) for earlier, later in pairwise(events)
    ]


def operations_told_apart(rows, n_operations, by="operation"):
    """Return the operations told apart, and which of them and ``other`` have amounts."""
    events = [e for row in rows for e in row]
    counts = Counter(text_of(e, by) for e in events)
    operations = sorted(counts, key=lambda name: (-counts[name], name))[:n_operations]
    with_amount = {
        text_of(e, by) if text_of(e, by) in operations else "other"
        for e in events
        if amounts_of([e])
    }
    return operations, with_amount


def window_statistics(events, at, windows, operations, with_amount, gap, by="operation"):
    """Compute every documented column of one application, by the name that the notes give it."""
    parts = {
        **{o: [e for e in events if text_of(e, by) == o] for o in operations},
        "other": [e for e in events if text_of(e, by) not in operations],
    }
    row = {}
    for window, length in {**windows, "all": math.inf}.items():
        within = [e for e in events if at - e["time"] <= length]
        row[f"count_{window}"] = len(within)
        row[f"days_{window}"] = len({e["time"] // DAY for e in within})
        row[f"amount_sum_{window}"] = sum(amounts_of(within))
        row[f"amount_mean_{window}"] = mean(amounts_of(within))
        for o, part in parts.items():
            mine = [e for e in part if at - e["time"] <= length]
            row[f"count_{window}_{o}"] = len(mine)
            if o in with_amount:
                row[f"amount_sum_{window}_{o}"] = sum(amounts_of(mine))
                row[f"amount_mean_{window}_{o}"] = mean(amounts_of(mine))
    row["recency"] = min(((at - e["time"]) / DAY for e in events), default=math.nan)
    row["age"] = max(((at - e["time"]) / DAY for e in events), default=math.nan)
    for o, part in parts.items():
        row[f"recency_{o}"] = min(((at - e["time"]) / DAY for e in part), default=math.nan)
    waits = waits_of(events)
    row["interval_mean"] = mean(waits)
    row["interval_std"] = (
        math.sqrt(mean([(w - mean(waits)) ** 2 for w in waits])) if waits else math.nan
    )
    row["interval_least"] = min(waits, default=math.nan)
    row["interval_most"] = max(waits, default=math.nan)
    row["interval_latest"] = waits[-1] if waits else math.nan
    hours = [e["time"] % DAY / DAY * 24 for e in events]
    for begin in (0, 6, 12, 18):
        row[f"hours_{begin}"] = mean([begin <= hour < begin + 6 for hour in hours])
    row["hour_latest"] = hours[-1] if hours else math.nan
    days = [(EPOCH + timedelta(microseconds=e["time"])).day for e in events]
    for first, last in ((1, 10), (11, 20), (21, 31)):
        row[f"monthdays_{first}"] = mean([first <= day <= last for day in days])
    if gap is not None:
        sessions = cut_at_gaps(events, gap)
        row["sessions"] = len(sessions)
        row["session_length"] = mean([len(s) for s in sessions])
        row["session_length_most"] = max((len(s) for s in sessions), default=math.nan)
        seconds = [(s[-1]["time"] - s[0]["time"]) / 1e6 for s in sessions]
        row["session_seconds"] = mean(seconds)
        row["session_seconds_most"] = max(seconds, default=math.nan)
        last = sessions[-1] if sessions else None
        row["last_length"] = len(last) if last else math.nan
        row["last_seconds"] = (last[-1]["time"] - last[0]["time"]) / 1e6 if last else math.nan
        row["last_interval"] = mean(waits_of(last)) if last else math.nan
    return {safe(name): value for name, value in row.items()}


def interval_statistics(events, operations, gap, session, by):
    """Compute the documented columns of one application, pair by pair, in their order."""
    cut = cut_at_gaps(events, gap) if session is None else cut_where_known(events, session)
    result = {}
    for a, b in combinations(operations, 2):
        days = []
        for one in cut:
            first = {}
            for e in one:
                first.setdefault(text_of(e, by), e["time"])
            if a in first and b in first:
                days.append((first[b] - first[a]) / DAY)
        result[a, b, "mean"] = mean(days)
        result[a, b, "last"] = days[-1] if days else math.nan
        result[a, b, "most"] = max(days) if days else math.nan
    return result


def safe(name):
    """Replace the characters that LightGBM refuses in names."""
    return "".join("_" if c in '",:[]{}' or c.isspace() else c for c in name)
