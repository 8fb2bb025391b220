"""Events that may not be used: what the rules with the field ``excluded`` drop."""

from __future__ import annotations

import numpy as np

from skhuihen._events.behaviors import Behaviors
from skhuihen.preprocessing._abstraction.evidence import Evidence
from skhuihen.preprocessing._abstraction.rules import EXCLUDED, RuleTable

#: What `Sessionizer` adds; both together mean that it has been there.
_OF_SESSIONS = {"session", "interval"}


def drop_excluded(behaviors: Behaviors, table: RuleTable) -> Behaviors:
    """Drop the events that a rule excludes.

    Parameters
    ----------
    behaviors : Behaviors
    table : RuleTable

    Returns
    -------
    Behaviors
        With all applications.

    Raises
    ------
    ValueError
        If the events were cut into sessions before, which the excluded ones have shaped.
    """
    if not table.excludes:
        return behaviors
    if set(behaviors.fields) >= _OF_SESSIONS:
        raise ValueError(
            "rules excludes operations, but the events were already cut into sessions, and the "
            "excluded events had a part in that. Put BehaviorAbstractor in front of Sessionizer."
        )
    evidence = Evidence(behaviors)
    rules_of = [table.of_operation(operation) for operation in evidence.operations]
    for_any_item = [rules.for_any_item for rules in rules_of]
    is_excluded = np.array(
        [rule is not None and rule.field == EXCLUDED for rule in for_any_item], dtype=bool
    )
    dropped = is_excluded[evidence.operation]
    by_item = [
        code
        for code, rules in enumerate(rules_of)
        if for_any_item[code] is None and any(rule.field == EXCLUDED for rule in rules.rules)
    ]
    pair_of_event, pairs = evidence.item_pairs(by_item)
    rules = [rules_of[code].of_item(item) for code, item in pairs]
    # The last place is that of events of other operations, whose pair is -1.
    of_pair = np.array(
        [rule is not None and rule.field == EXCLUDED for rule in rules] + [False], dtype=bool
    )
    return behaviors.filter(~(dropped | of_pair[pair_of_event]))
