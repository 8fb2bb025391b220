"""BehaviorAbstractor: hundreds of raw operations become some forty behaviors (section 3.2)."""

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
from skhuihen.preprocessing._abstraction.grouping import Groups, Merge
from skhuihen.preprocessing._abstraction.rules import (
    ANY,
    COLUMNS,
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

    An *item click* names its type and its item (``fund_click:A17``), a *transform operation*
    moves money and drops the item, a *function widget* is all the rest and drops the page. What
    `rules` name is done as they say. For any other operation, `fit` looks at the evidence: if
    most of its events have an amount, it is a transform operation; else, if most have an item,
    an item click; else a function widget. Within its field, it is merged with those that it
    belongs with by its name and by its use, that is by what comes before and after it in sessions:
    names propose, and use refutes them where it is known well enough. What is too rare to place
    becomes the ``other`` of its field. Labels are never looked at.

    Each event gets two subfields, ``field`` and ``behavior``; nothing else changes, except that
    events at or after the application are cut off and time order is restored.

    Parameters
    ----------
    rules : DataFrame, path of a CSV file, or list of dict, default=None
        A table with the columns ``operation`` (a name, or a glob such as ``fund_*``), ``field``
        (``item_click``, ``transform_operation`` or ``function_widget``) and ``behavior``. The
        first rule that matches wins. A fourth column ``item`` is optional: a rule for item
        clicks that names an item (or a glob) gives the behavior as it stands; one that does not
        gives the type, and `fit` adds the frequent items to it.
    n_behaviors : int or "auto", default=45
        Most transform operations and function widgets, the two ``other`` included. What `rules`
        name is always kept, and counts. The paper has 42 and 37. ``"auto"`` takes the number at
        which merging costs least; `skhuihen.plotting.MergingDisplay` shows it.
    n_items : int, default=200
        Most items to tell apart, over all types of item clicks. The rest, and an item that is an
        empty text, become ``<type>:other``. What `rules` name is always kept, and counts.
    merge : {"auto", "frequency"}, default="auto"
        How to merge what `rules` do not name. ``"auto"`` weighs names and use, as the notes say.
        ``"frequency"`` keeps the most frequent operations; all
        others become the ``other`` of their field, and each item click is a type of its own.
    behaviors : str, default="behaviors"
        The nested column.
    applied_at : str or None, default="applied_at"
        The column with the time of the application; events at or after it are cut off. None,
        said on purpose, cuts nothing.
    lookback : str or timedelta, default=None
        Events longer before the application than this are cut off, for example ``"180D"``.

    Attributes
    ----------
    rules_ : DataFrame
        The complete learned table, in the form of `rules`, with the columns ``operation``,
        ``item``, ``field`` and ``behavior``. Passed back as `rules` it gives the same behaviors.
        A wildcard character that belongs to a name stands in brackets, as in `glob.escape`. Two
        more columns are for the reader and change nothing. ``why`` says why an operation is where
        it is: by a ``"rule"``, by its ``"name"``, by its ``"use"``, because it is ``"rare"``, or
        ``"alone"`` because it was not merged. ``sure`` says how sure that is, from 0 to 1: the
        share of its links that stay inside its group; for what is alone, that do not go to one
        other group; for what is rare, that too little is known of.
    merges_ : DataFrame
        The merges step by step, also those that would come after the last one made, with the
        columns ``n_behaviors`` (how many groups are left behind it, without ``other`` and what
        rules name), ``cost``, ``by`` (``"name"``, ``"use"``, or ``"rare"``, which has no cost),
        ``strength``, ``one`` and ``other`` (the most frequent operation of each) and ``made``.
    n_behaviors_ : int
        Number of transform operations and function widgets among the behaviors.
    n_items_ : int
        Number of item click behaviors.
    feature_names_in_ : ndarray of str
        Columns seen in `fit`.
    n_features_in_ : int
        Their number.

    See Also
    --------
    Sessionizer : Cuts the behaviors into sessions.

    Notes
    -----
    With ``merge="auto"``, operations that fit into `n_behaviors` stay as they are. Otherwise
    operations of a field are linked in two ways. Only those that move money opposite ways never
    are, nor are they ever in one group: nearly all amounts of the one are above 0 (at least 90%,
    after one of each sign is added to those seen), and of the other below.

    1. By *use*. For each operation it is counted how many applications have each of the 256 most
       frequent operations directly before it, and directly after, within an hour. A correspondence
       analysis of these counts, with 20 axes, puts operations near each other that are used alike,
       and each is linked to the 5 nearest, fewer in a field of fewer than 60. Those seen beside
       few others have weak links.
    2. By *names*, read as paths from the product or page to the button or action. Widgets with
       an end that three or more share are a button that stands on many pages; transform operations
       are of one product and action, or one product; other widgets are of one page. Codes
       (``CQA``, ``0132``) go by their first half, if such halves recur. These links weigh twice as
       much as those by use, but only as far as use does not refute them: where those that share a
       word with an operation are among the nearest no more often than by chance, its name does
       not speak, and where a whole family is spread over the app by use, it is none.

    Then, again and again, those two groups are merged between which the links have the largest
    weight, divided by the geometric mean of the weights of all links of each. It ends at
    `n_behaviors`, or, with ``"auto"``, where the cost is least: the share of the links that lie
    between groups, plus 3 times the sum of the squared shares of the groups in all links (the
    modularity of the grouping, at a resolution of 3, with its sign changed, up to a constant).

    An operation whose name shares nothing with others, or only what most of its field share, and
    that has fewer than 5 neighbors and less than 1% of the events, is too rare to place: the
    rarest become ``other`` before anything is merged, as far as needed. If no links are left and
    there are still too many groups, the rarest become ``other`` too. Of more than 1,000
    operations, the less frequent ones go by their names alone.

    Ties are settled by name, so the order of rows does not matter, and nobody who uses the app
    a lot rules the rest, as a pair of neighbors counts once for each application. Events of one
    instant stand in the order of ``seq``, or, without it, of their names.

    Each item click is a type of its own, as long as all items fit into `n_items`. Otherwise those
    whose names begin with the same product are one type, as the paper divides them, if they have
    items in common: the closest first, and no more than needed. A verb in front, as in
    ``view_fund``, is no product, nor is a word in most names. Since catalogs may use the same
    numbers for different items, `report` counts the events whose item was pooled over several
    operations. Types do not count for `n_behaviors`.

    A merged group is called by the words that most of it shares, if it has most of the operations
    that share them, with ``_click`` or ``_transform`` behind them; otherwise by its most frequent
    operation. ``_etc`` behind it says that it holds others too. A name that would come twice gets
    a number. Operations that stay alone keep their names.

    `transform` never learns. An operation that `fit` did not see goes, by the evidence of the
    event alone, to the ``other`` of its field; a `UserWarning` tells if this happens to more
    than 5% of the events, and `report` counts it. A missing operation is the operation
    ``"missing"``, and an item click without an item has the item ``"missing"``.

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
        """Learn the table.

        Parameters
        ----------
        X : DataFrame, other table or Parquet of shape (n_applications, n_columns)
            Applications with the nested column. Of Parquet (a path, a glob, a folder or a list of
            files) some applications are in memory at a time; counts are added up, so that the
            table is that of all events. It is read twice where items are to be counted.
        y : None
            Ignored: the table never depends on labels.

        Returns
        -------
        self
        """
        columns_of_X, read = self._read_again(X)
        rules = read_rules(self.rules)
        self._optional = OptionalSubfields("item")
        totals = Totals(self._optional.learn(read()))
        n_clicks = self._count_items(read, totals, RuleTable(rules))
        learned, merges = self._learn_operations(totals, n_clicks, rules)
        # The given rules come last: their globs are for operations not seen yet.
        columns = [*COLUMNS, *REASONS]
        rows = map(attrgetter(*columns), self._learn_items(n_clicks, learned, rules))
        table = pd.DataFrame(rows, columns=columns)
        self.rules_ = table.drop_duplicates(COLUMNS, ignore_index=True)
        self.merges_ = pd.DataFrame(merges, columns=Merge._fields)
        self._table = RuleTable([Rule(*row) for row in self.rules_.itertuples(index=False)])
        distinct = {rule.outcome for rule in self._table.rules}
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
            X with the events of the nested column cut, ordered and abstracted.
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
                "see in fit; they become the 'other' of their field. Add rules for them, or fit "
                "it anew.",
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
            ``events`` are ``events_used`` and what was cut off: ``events_too_late`` (at or after
            the application) and ``events_before_lookback``. Among those used,
            ``unseen_operations`` went to the ``other`` of a field because no rule knows their
            operation, and ``items_not_kept`` to the ``other`` of a type. ``placed_by_rule``,
            ``placed_by_name``, ``placed_by_use`` and ``placed_as_rare`` count events by why their
            operation is where it is; the rest was not merged. ``items_pooled`` share
            their item and behavior with events of another operation: check that these operations
            are of one catalog.
        """
        check_is_fitted(self)
        counts = []
        clicks: dict[tuple[str, str], Counter[str]] = {}
        for as_of in self._read_piecewise(X)[1]:
            _, of_events, of_items = self._apply(as_of.behaviors)
            counts.append(pd.concat([as_of.counts(), pd.Series(of_events).iloc[1:]]))
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
        table = RuleTable(rules)
        learned: dict[str, list[Rule]] = {}
        unnamed: list[int] = []
        for code in evidence.in_order:
            operation = evidence.operations[code]
            found = table.of_operation(operation).rules
            learned[operation] = [replace(rule, operation=glob.escape(operation)) for rule in found]
            if not found or found[-1].item != ANY:
                unnamed.append(code)

        names = [evidence.operations[code] for code in unnamed]
        fields = [evidence.field_of(code) for code in unnamed]
        directions = [evidence.direction_of(code) for code in unnamed]
        groups = Groups(names, fields, evidence.n_events[unnamed], directions)
        named = {(rule.field, rule.behavior) for rule in rules if rule.field != ITEM_CLICK}
        room = None if self.n_behaviors == "auto" else int(self.n_behaviors) - len(named)
        if self.merge == "auto":
            self._merge_types(groups, n_clicks, rules)
            groups.merge_alike(room, lambda: evidence.count_neighbors(unnamed))
        if room is not None and groups.n_behaviors + groups.n_others > room:
            groups.drop_rare(room - 2)  # the two "other"
        reasons = groups.why.tolist(), groups.sure.round(2).tolist()
        for name, *rest in zip(names, fields, groups.behaviors(), *reasons, strict=True):
            learned[name].append(Rule(glob.escape(name), ANY, *rest))
        return [rule for found in learned.values() for rule in found], groups.merges

    def _merge_types(
        self, groups: Groups, n_clicks: dict[tuple[str, str], int], rules: list[Rule]
    ) -> None:
        """Merge item clicks into types as far as their items do not fit beside those of rules."""
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
        """Put rules for the frequent items of each type in front of the rules for the type."""
        table = RuleTable(learned)
        counts: Counter[tuple[str, str]] = Counter()
        for (operation, item), count in n_clicks.items():
            rule = table.of_operation(operation).of_item(item)
            # A file could not tell an item without a name from a rule for any item.
            if rule is not None and rule.is_type and item:
                counts[rule.behavior, item] += count
        named = {rule.behavior for rule in rules if rule.field == ITEM_CLICK and not rule.is_type}
        room = max(0, self.n_items - len(named))
        items_of: dict[str, list[str]] = {}
        for kind, item in sorted(sorted(counts, key=lambda key: (-counts[key], key))[:room]):
            items_of.setdefault(kind, []).append(item)
        result = []
        for rule in [*learned, *rules]:
            if rule.is_type:
                # Whichever of the type's operations an item was seen with, it is that item.
                result += [
                    replace(rule, item=glob.escape(item), behavior=f"{rule.behavior}:{item}")
                    for item in items_of.get(rule.behavior, [])
                ]
            result.append(rule)
        return result

    def _apply(
        self, behaviors: Behaviors
    ) -> tuple[Behaviors, dict[str, int], dict[tuple[str, str, str], int]]:
        """Return the events with field and behavior, and counts.

        These are of what was not known, and of the clicks on items that are kept, by behavior,
        item and operation.
        """
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
