"""BehaviorAbstractor: merges hundreds of raw operations into about forty behaviors (3.2)."""

from __future__ import annotations

import glob
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from numbers import Integral
from operator import attrgetter
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skhuihen._estimators.fitting import all_or_nothing
from skhuihen._events.behaviors import Behaviors, OptionalSubfields, decode
from skhuihen.preprocessing._abstraction.evidence import Evidence, Totals
from skhuihen.preprocessing._abstraction.exclusion import drop_excluded
from skhuihen.preprocessing._abstraction.grouping import Groups, Merge
from skhuihen.preprocessing._abstraction.rules import (
    ANY,
    COLUMNS,
    EXCLUDED,
    FIELDS,
    ITEM_CLICK,
    NAME,
    RARE,
    REASONS,
    RULE,
    USE,
    Rule,
    RuleTable,
    other_of,
    read_rules,
)
from skhuihen.preprocessing._base import COLUMN_CONSTRAINTS, BehaviorTransformer


class BehaviorAbstractor(BehaviorTransformer):
    """Merge raw operations into behaviors, each in one of the paper's three fields.

    An *item click* names its type and its item (``fund_click:A17``). A *transform operation* moves
    money and drops the item. A *function widget* is anything else and drops the page. `rules`
    decide first. For any other operation, `fit` looks at the evidence: if most of its events have
    an amount, it is a transform operation; else, if most have an item, an item click; else a
    function widget. Within its field it is merged with operations of similar name and similar
    use. Use means what comes before and after it in sessions. Names propose groups; use rejects
    them where it is known well enough. Operations too rare to place become the ``other`` of their
    field. Labels are never used.

    Each event gets two subfields, ``field`` and ``behavior``. Events at or after the application,
    and those that a rule excludes, are dropped and time order is restored; nothing else changes.

    Parameters
    ----------
    rules : DataFrame, path of a CSV file, or list of dict, default=None
        A table with the columns ``operation`` (a name, or a glob such as ``fund_*``), ``field``
        (``item_click``, ``transform_operation`` or ``function_widget``) and ``behavior``. The
        first rule that matches wins. A fourth column ``item`` is optional. A rule for item clicks
        with an item (or a glob) gives the complete behavior; without one it gives the type, and
        `fit` adds the frequent items to it. The field ``excluded``, which needs no behavior, drops
        events that may not be used: no later step sees them, and nothing is learned from them.
    n_behaviors : int or "auto", default=45
        Maximum number of transform operations and function widgets, including the two ``other``.
        Behaviors named in `rules` are always kept, and they count too. The paper has 42 and 37.
        ``"auto"`` merges to the lowest cost; see `skhuihen.plotting.MergingDisplay`.
    n_items : int, default=200
        Maximum number of distinct items over all types of item clicks. Further items and empty
        texts become ``<type>:other``. Items named in `rules` are always kept, and they count too.
    merge : {"auto", "frequency"}, default="auto"
        How to merge operations without a rule. ``"auto"`` uses names and use (see the notes).
        ``"frequency"`` keeps the most frequent operations, moves all others to the ``other`` of
        their field, and makes each item click a type of its own.
    behaviors : str, default="behaviors"
        Name of the nested column.
    applied_at : str or None, default="applied_at"
        The column with the time of the application. Events at or after it are dropped. Pass None
        to disable the cut.
    lookback : str or timedelta, default=None
        Events older than this at the application are dropped, for example ``"180D"``.

    Attributes
    ----------
    rules_ : DataFrame
        The complete learned table in the form of `rules`, with the columns ``operation``, ``item``,
        ``field`` and ``behavior``. Passing it back as `rules` gives the same behaviors. Wildcard
        characters that belong to a name are in brackets, as in `glob.escape`. Two more columns are
        for the reader only and have no effect. ``why`` gives the reason for an operation's place: a
        ``"rule"``, its ``"name"``, its ``"use"``, too ``"rare"``, or ``"alone"`` if it was not
        merged. ``sure`` gives the confidence, from 0 to 1. For a merged operation it is the share
        of its links within its group; for an operation alone, the share outside its closest other
        group; for a rare one, the share that is missing for lack of evidence.
    merges_ : DataFrame
        The merges in order, including those after the last one made. The columns are
        ``n_behaviors`` (groups left after the merge, without ``other`` and those named in
        `rules`), ``cost``, ``by`` (``"name"``, ``"use"``, or ``"rare"``, which has no cost),
        ``strength``, ``one`` and ``other`` (the most frequent operation of each) and ``made``.
    n_behaviors_ : int
        Number of transform operations and function widgets among the behaviors.
    n_items_ : int
        Number of item click behaviors.
    feature_names_in_ : ndarray of str
        Columns seen in `fit`.
    n_features_in_ : int
        Number of these columns.

    See Also
    --------
    Sessionizer : Cuts the behaviors into sessions.

    Notes
    -----
    With ``merge="auto"``, operations that fit into `n_behaviors` stay as they are. Otherwise
    operations of a field are linked in two ways. Operations that move money in opposite ways are
    never linked and never in one group. This means nearly all amounts of one are above 0 and of
    the other below: at least 90%, after adding one of each sign to those seen.

    1. By *use*. For each operation, `fit` counts how many applications have each of the 256 most
       frequent operations directly before it, and directly after, within an hour. A correspondence
       analysis of these counts, with 20 axes, places operations of similar use near each other.
       Each is linked to the 5 nearest, or to fewer in a field of fewer than 60 operations.
       Operations with few neighbors have weak links.
    2. By *names*, read as paths from the product or page to the button or action. Three or more
       widgets with the same end are one button that appears on many pages. Transform operations are
       grouped by product and action, or by product; other widgets by page. Codes (``CQA``,
       ``0132``) are grouped by their first half, if such halves recur. These links weigh twice as
       much as links by use, unless use contradicts them. If operations that share a word with an
       operation are among its nearest no more often than by chance, its name counts as
       uninformative. If the use of a whole family is spread over the app, it is not a family.

    Each step then merges the two groups with the strongest link: the weight of the links between
    them, divided by the geometric mean of the total link weights of the two. Merging stops at
    `n_behaviors` or, with ``"auto"``, at the lowest cost. The cost is the share of the links
    between groups, plus 3 times the sum of the squared shares of the groups in all links. This is
    the negative modularity of the grouping at a resolution of 3, up to a constant.

    An operation is too rare to place if its name shares nothing with others, or only what most of
    its field share, and if it has fewer than 5 neighbors and less than 1% of the events. The
    rarest of these become ``other`` before merging, only as many as needed. If no links are left
    and there are still too many groups, the rarest groups become ``other`` too. If there are more
    than 1,000 operations, the less frequent ones are grouped by name alone.

    Names break ties, so the order of rows does not matter. A pair of neighbors counts once per
    application, so heavy users do not dominate. Simultaneous events are ordered by ``seq`` or,
    without it, by name.

    Each item click is its own type as long as all items fit into `n_items`. Otherwise item clicks
    whose names begin with the same product become one type, as in the paper, if they have items in
    common: the closest first, and no more than needed. A leading verb, as in ``view_fund``, does
    not count as a product, and neither does a word that most names contain. Catalogs may use the
    same numbers for different items; `report` therefore counts the events whose item was pooled
    over several operations. Types do not count toward `n_behaviors`.

    A merged group is named after the words that most of it shares, if it has most of the
    operations that share them, with ``_click`` or ``_transform`` appended. Otherwise it is named
    after its most frequent operation. ``_etc`` is appended if it also contains others. Duplicate
    names get a numeric suffix. Unmerged operations keep their names.

    `transform` learns nothing. An operation that `fit` did not see goes to the ``other`` of its
    field, judged by the event alone. There is a `UserWarning` if this affects more than 5% of the
    events, and `report` counts them. A missing operation is the operation ``"missing"``, and an
    item click without an item has the item ``"missing"``.

    References
    ----------
    The HUIHEN paper, section 3.2 (categories of behavior) and section 5.3.2 (452 operations
    become 42).

    M. J. Greenacre, "Theory and applications of correspondence analysis" (1984).

    J. Shi and J. Malik, "Normalized cuts and image segmentation", IEEE Transactions on Pattern
    Analysis and Machine Intelligence 22 (2000).

    J. Reichardt and S. Bornholdt, "Statistical mechanics of community detection", Physical Review
    E 74 (2006).

    Examples
    --------
    >>> import pandas as pd
    >>> from skhuihen import BehaviorAbstractor, attach_behaviors
    >>> applications = pd.DataFrame(
    ...     {"user_id": [1], "applied_at": pd.to_datetime(["2024-05-02"])})
    >>> events = pd.DataFrame({
    ...     "user_id": 1,
    ...     "time": pd.to_datetime(["2024-05-01 10:00", "2024-05-01 10:01", "2024-05-01 10:02"]),
    ...     "operation": ["fund_list.back", "fund_detail", "fund_buy"],
    ...     "item": [None, "A17", "A17"],
    ...     "amount": [None, None, 500.0],
    ... })
    >>> X = attach_behaviors(applications, events)
    >>> rules = [{"operation": "*.back", "field": "function_widget", "behavior": "back"}]
    >>> BehaviorAbstractor(rules).fit(X).rules_
            operation item                field         behavior    why  sure
    0        fund_buy    *  transform_operation         fund_buy  alone   1.0
    1     fund_detail  A17           item_click  fund_detail:A17  alone   1.0
    2     fund_detail    *           item_click      fund_detail  alone   1.0
    3  fund_list.back    *      function_widget             back   rule   1.0
    4          *.back    *      function_widget             back   rule   1.0
    """

    _parameter_constraints: dict = {
        "rules": [None, pd.DataFrame, str, os.PathLike, list],
        "n_behaviors": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "n_items": [Interval(Integral, 0, None, closed="left")],
        "merge": [StrOptions({"auto", "frequency"})],
        **COLUMN_CONSTRAINTS,
    }

    def __init__(
        self,
        rules: Any = None,
        n_behaviors: int | str = 45,
        n_items: int = 200,
        *,
        merge: str = "auto",
        behaviors: str = "behaviors",
        applied_at: str | None = "applied_at",
        lookback: Any = None,
    ) -> None:
        self.rules = rules
        self.n_behaviors = n_behaviors
        self.n_items = n_items
        self.merge = merge
        self.behaviors = behaviors
        self.applied_at = applied_at
        self.lookback = lookback

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the table of rules.

        Parameters
        ----------
        X : DataFrame, other table or Parquet of shape (n_applications, n_columns)
            Applications with the nested column. Parquet (a path, a glob, a folder or a list of
            files) is read in pieces, and the counts are summed, so all events contribute. It is
            read twice if items must be counted.
        y : None
            Ignored: the table never depends on labels.

        Returns
        -------
        self
        """
        columns_of_X, read_all = self._read_again(X)
        rules = read_rules(self.rules)
        given = RuleTable(rules)

        def read() -> Iterable[Behaviors]:
            return (drop_excluded(piece, given) for piece in read_all())

        self._optional = OptionalSubfields("item")
        totals = Totals(self._optional.learn(read()))
        n_clicks = self._count_items(read, totals, given)
        learned, merges = self._learn_operations(totals, n_clicks, rules)
        # Given rules come last: their globs apply to operations not seen yet.
        columns = [*COLUMNS, *REASONS]
        rows = map(attrgetter(*columns), self._learn_items(n_clicks, learned, rules))
        table = pd.DataFrame(rows, columns=columns)
        self.rules_ = table.drop_duplicates(COLUMNS, ignore_index=True)
        self.merges_ = pd.DataFrame(merges, columns=Merge._fields)
        self._table = RuleTable([Rule(*row) for row in self.rules_.itertuples(index=False)])
        distinct = {rule.outcome for rule in self._table.rules if rule.field != EXCLUDED}
        self.n_items_ = sum(field == ITEM_CLICK for field, _ in distinct)
        self.n_behaviors_ = len(distinct) - self.n_items_
        return self._remember_columns(columns_of_X)

    def transform(self, X: Any) -> pd.DataFrame:
        """Give each event its ``field`` and ``behavior``.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)

        Returns
        -------
        DataFrame
            X with the events of the nested column cut, sorted and abstracted.
        """
        check_is_fitted(self)
        frame, pieces = self._read_piecewise(X)
        applied = (self._apply(as_of.behaviors) for as_of in pieces)
        abstracted, reports, _ = zip(*applied, strict=True)
        self._optional.check(abstracted[0], stacklevel=3)
        n_unseen = sum(report["unseen_operations"] for report in reports)
        n_used = sum(report["events_used"] for report in reports)
        if n_unseen > 0.05 * n_used:
            warnings.warn(
                f"{n_unseen} of {n_used} events have operations that BehaviorAbstractor did not "
                "see in fit; they become the 'other' of their field. Add rules for them, or refit.",
                stacklevel=2,
            )
        return self._with_events(frame, abstracted)

    def report(self, X: Any) -> pd.Series:
        """Count what `transform` would do to the events.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)

        Returns
        -------
        Series of int
            ``events`` is the sum of ``events_used`` and the dropped ones: ``events_too_late`` (at
            or after the application), ``events_before_lookback`` and ``events_excluded`` (by
            rules). Of the used events,
            ``unseen_operations`` went to the ``other`` of a field because no rule matches their
            operation, and ``items_not_kept`` to the ``other`` of a type. ``placed_by_rule``,
            ``placed_by_name``, ``placed_by_use`` and ``placed_as_rare`` count events by the reason
            for their operation's place; the rest was not merged. ``items_pooled`` counts events
            that share item and behavior with another operation: check that these operations use
            one catalog.
        """
        check_is_fitted(self)
        counts = []
        clicks: dict[tuple[str, str], Counter[str]] = {}
        for as_of in self._read_piecewise(X)[1]:
            _, of_events, of_items = self._apply(as_of.behaviors)
            counts.append(pd.Series({**as_of.counts(), **of_events}))
            for (behavior, item, operation), n_events in of_items.items():
                clicks.setdefault((behavior, item), Counter())[operation] += n_events
        result = sum(counts[1:], counts[0])
        result["items_pooled"] = sum(sum(of.values()) for of in clicks.values() if len(of) > 1)
        return result

    def _count_items(
        self, read: Callable[[], Iterable[Behaviors]], totals: Totals, given: RuleTable
    ) -> dict[tuple[str, str], int]:
        """Return how often each item was clicked, by operation and item."""
        of_items = set()
        for code, operation in enumerate(totals.operations):
            rules = given.of_operation(operation)
            if rules.rules:
                is_told = rules.for_any_item is None
            else:
                is_told = totals.field_of(code) == ITEM_CLICK
            if is_told:
                of_items.add(operation)
        counts: Counter[tuple[str, str]] = Counter()
        for evidence in map(Evidence, read() if of_items else ()):
            names = evidence.operations
            chosen = [code for code, name in enumerate(names) if name in of_items]
            pair, pairs = evidence.item_pairs(chosen)
            n_events = np.bincount(pair[pair >= 0], minlength=len(pairs)).tolist()
            for (code, item), count in zip(pairs, n_events, strict=True):
                counts[names[code], item] += count
        return counts

    def _learn_operations(
        self, evidence: Totals, n_clicks: dict[tuple[str, str], int], rules: list[Rule]
    ) -> tuple[list[Rule], list[Merge]]:
        """Return rules for every operation seen, in the order of their names, and the merges."""
        given = RuleTable(rules)
        learned: dict[str, list[Rule]] = {}
        undecided: list[int] = []
        for code in evidence.in_order:
            operation = evidence.operations[code]
            found = given.of_operation(operation).rules
            learned[operation] = [replace(rule, operation=glob.escape(operation)) for rule in found]
            if not found or found[-1].item != ANY:
                undecided.append(code)

        groups = self._group(evidence, undecided, n_clicks, rules)
        fields, reasons, sure = groups.fields.tolist(), groups.why.tolist(), groups.sure.round(2)
        columns = (fields, groups.behaviors(), reasons, sure.tolist())
        for operation, *outcome in zip(groups.names, *columns, strict=True):
            learned[operation].append(Rule(glob.escape(operation), ANY, *outcome))
        return [rule for found in learned.values() for rule in found], groups.merges

    def _group(
        self,
        evidence: Totals,
        codes: list[int],
        n_clicks: dict[tuple[str, str], int],
        rules: list[Rule],
    ) -> Groups:
        """Group the operations that the given rules do not decide."""
        groups = Groups(
            [evidence.operations[code] for code in codes],
            [evidence.field_of(code) for code in codes],
            evidence.n_events[codes],
            [evidence.direction_of(code) for code in codes],
        )
        others = (ITEM_CLICK, EXCLUDED)
        named = {(rule.field, rule.behavior) for rule in rules if rule.field not in others}
        room = None if self.n_behaviors == "auto" else int(self.n_behaviors) - len(named)
        if self.merge == "auto":
            self._merge_types(groups, n_clicks, rules)
            groups.merge_alike(room, lambda: evidence.count_neighbors(codes))
        if room is not None and groups.n_behaviors + groups.n_others > room:
            groups.drop_rare(room - 2)  # the two "other"
        return groups

    def _merge_types(
        self, groups: Groups, n_clicks: dict[tuple[str, str], int], rules: list[Rule]
    ) -> None:
        """Merge item clicks into types if their items do not fit next to those of rules."""
        table = RuleTable(rules)
        items: dict[str, set[str]] = {name: set() for name in groups.names}
        given = {rule.outcome for rule in rules if rule.field == ITEM_CLICK and not rule.is_type}
        for operation, item in n_clicks:
            rule = table.of_operation(operation).of_item(item)
            if rule is None:
                items[operation].add(item)
            elif rule.is_type:
                given.add((rule.behavior, item))
        groups.merge_types(self.n_items - len(given), [items[name] for name in groups.names])

    def _learn_items(
        self, n_clicks: dict[tuple[str, str], int], learned: list[Rule], rules: list[Rule]
    ) -> list[Rule]:
        """Insert rules for each type's frequent items before the rules for the type."""
        items_of = self._frequent_items(n_clicks, learned, rules)
        result = []
        for rule in [*learned, *rules]:
            if rule.is_type:
                # An item is the same item with any of the type's operations.
                result += [
                    replace(rule, item=glob.escape(item), behavior=f"{rule.behavior}:{item}")
                    for item in items_of.get(rule.behavior, [])
                ]
            result.append(rule)
        return result

    def _frequent_items(
        self, n_clicks: dict[tuple[str, str], int], learned: list[Rule], rules: list[Rule]
    ) -> dict[str, list[str]]:
        """Return the items to keep of each type, ordered by name."""
        table = RuleTable(learned)
        counts: Counter[tuple[str, str]] = Counter()
        for (operation, item), count in n_clicks.items():
            rule = table.of_operation(operation).of_item(item)
            # In a file, an item without a name would look like a rule for any item.
            if rule is not None and rule.is_type and item:
                counts[rule.behavior, item] += count
        named = {rule.behavior for rule in rules if rule.field == ITEM_CLICK and not rule.is_type}
        room = max(0, self.n_items - len(named))
        most_frequent = sorted(counts, key=lambda key: (-counts[key], key))[:room]
        items_of: dict[str, list[str]] = {}
        for kind, item in sorted(most_frequent):
            items_of.setdefault(kind, []).append(item)
        return items_of

    def _apply(
        self, behaviors: Behaviors
    ) -> tuple[Behaviors, dict[str, int], dict[tuple[str, str, str], int]]:
        """Return the events with field and behavior, and two counts.

        The first reports unseen operations and the reasons for the rest. The second counts clicks
        on kept items by behavior, item and operation.
        """
        n_all = behaviors.n_events
        behaviors = drop_excluded(behaviors, self._table)
        evidence = Evidence(behaviors)
        # The first three tokens are for unseen operations, in the order of FIELDS.
        tokens: dict[tuple[str, str], int] = {}
        for field in FIELDS:
            tokens[field, other_of(field)] = len(tokens)
        rules_of = [self._table.of_operation(operation) for operation in evidence.operations]
        of_operation = np.full(len(rules_of), -1)
        reasons: Counter[str] = Counter()
        n_events = np.bincount(evidence.operation, minlength=len(rules_of)).tolist()
        for code, rules in enumerate(rules_of):
            if rules.for_any_item is not None:
                of_operation[code] = tokens.setdefault(rules.for_any_item.outcome, len(tokens))
                reasons[rules.for_any_item.why] += n_events[code]
        token = of_operation[evidence.operation]

        pair_of_event, pairs = evidence.item_pairs(
            [c for c, rules in enumerate(rules_of) if rules.rules and rules.for_any_item is None]
        )
        of_pair = np.full(len(pairs), -1)
        rest = np.zeros(len(pairs), dtype=bool)
        has_pair = np.flatnonzero(pair_of_event >= 0)
        pair_of_event = pair_of_event[has_pair]
        n_events = np.bincount(pair_of_event, minlength=len(pairs)).tolist()
        clicks = {}
        for position, (code, item) in enumerate(pairs):
            rule = rules_of[code].of_item(item)
            if rule is not None:
                of_pair[position] = tokens.setdefault(rule.outcome, len(tokens))
                rest[position] = rule.is_type
                reasons[rule.why] += n_events[position]
                if rule.field == ITEM_CLICK and not rule.is_type:
                    clicks[rule.behavior, item, evidence.operations[code]] = n_events[position]
        token[has_pair] = of_pair[pair_of_event]

        unseen = token < 0
        if unseen.any():
            token[unseen] = evidence.field[unseen]
        fields, names = zip(*tokens, strict=True)
        report = {
            "events_used": behaviors.n_events,
            "events_excluded": n_all - behaviors.n_events,
            "unseen_operations": int(unseen.sum()),
            "items_not_kept": int(rest[pair_of_event].sum()),
            "placed_by_rule": reasons[RULE],
            "placed_by_name": reasons[NAME],
            "placed_by_use": reasons[USE],
            "placed_as_rare": reasons[RARE],
        }
        return (
            behaviors.with_fields(
                field=decode(token, list(fields)), behavior=decode(token, list(names))
            ),
            report,
            clicks,
        )
