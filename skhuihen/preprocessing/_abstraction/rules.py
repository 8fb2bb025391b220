"""The rule table of `BehaviorAbstractor`: reading it and finding the rule for an event."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from functools import cached_property
from typing import Any

import pandas as pd

from skhuihen._tables.texts import as_text

ITEM_CLICK, TRANSFORM_OPERATION, FUNCTION_WIDGET = FIELDS = (
    "item_click",
    "transform_operation",
    "function_widget",
)
#: In place of a field: events that may not be used.
EXCLUDED = "excluded"
OTHER = "other"
ANY = "*"
COLUMNS = ["operation", "item", "field", "behavior"]
#: Further columns of the learned table: why an operation is in its group, and how sure that is.
REASONS = ["why", "sure"]
RULE, NAME, USE, RARE, ALONE = WHY = ("rule", "name", "use", "rare", "alone")
#: A wildcard character meant literally, as `glob.escape` writes it.
_ESCAPED = re.compile(r"\[([*?[])\]")


@dataclasses.dataclass(frozen=True)
class Rule:
    """One row of the table.

    A rule for item clicks without an item (``item="*"``) gives the *type* of the click in
    `behavior`. Every other rule gives the complete behavior. `why` and `sure` inform the reader
    and have no effect.
    """

    operation: str
    item: str
    field: str
    behavior: str
    why: str = dataclasses.field(default=RULE, compare=False)
    sure: float = dataclasses.field(default=1.0, compare=False)

    @cached_property
    def is_type(self) -> bool:
        """Whether the item must still be added to the behavior."""
        return self.field == ITEM_CLICK and self.item == ANY

    @cached_property
    def outcome(self) -> tuple[str, str]:
        """Field and behavior of an event under this rule; a type gives its ``other``."""
        return self.field, other_of(self.behavior) if self.is_type else self.behavior


class RuleTable:
    """Rules in order, with fast lookup: names by dictionary, globs one by one."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = rules
        #: Whether a rule excludes events.
        self.excludes = any(rule.field == EXCLUDED for rule in rules)
        self._by_name: dict[str, list[int]] = {}
        self._globs: list[tuple[int, re.Pattern[str]]] = []
        for position, rule in enumerate(rules):
            name = literal_of(rule.operation)
            if name is None:
                self._globs.append((position, re.compile(fnmatch.translate(rule.operation))))
            else:
                self._by_name.setdefault(name, []).append(position)
        self._known = {operation: ItemRules(self._find(operation)) for operation in self._by_name}

    def of_operation(self, operation: str) -> ItemRules:
        """Return the rules that may apply to an operation, up to the first for any item."""
        return self._known.get(operation) or ItemRules(self._find(operation))

    def _find(self, operation: str) -> list[Rule]:
        positions = list(self._by_name.get(operation, ()))
        # Globs after a deciding rule for the exact name cannot matter.
        decided = next((at for at in positions if self.rules[at].item == ANY), len(self.rules))
        for position, glob in self._globs:
            if position > decided:
                break
            if glob.match(operation):
                positions.append(position)
        found = []
        for position in sorted(positions):
            found.append(self.rules[position])
            if found[-1].item == ANY:
                break
        return found


class ItemRules:
    """The rules that may apply to one operation, in order, with fast lookup by item."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = rules
        self._by_name: dict[str, int] = {}
        self._globs: list[tuple[int, re.Pattern[str]]] = []
        #: Position of the first rule for any item; later rules never apply.
        self._any = next((at for at, rule in enumerate(rules) if rule.item == ANY), len(rules))
        for position, rule in enumerate(rules[: self._any]):
            item = literal_of(rule.item)
            if item is None:
                self._globs.append((position, re.compile(fnmatch.translate(rule.item))))
            else:
                self._by_name.setdefault(item, position)

    @property
    def for_any_item(self) -> Rule | None:
        """The rule that decides regardless of the item, if there is one."""
        first = self.rules[0] if self.rules else None
        return first if first is not None and first.item == ANY and not first.is_type else None

    def of_item(self, item: str) -> Rule | None:
        """Return the first rule that applies to an item."""
        named = self._by_name.get(item, self._any)
        for position, glob in self._globs:
            if position > named:
                break
            if glob.match(item):
                return self.rules[position]
        return self.rules[named] if named < len(self.rules) else None


def literal_of(pattern: str) -> str | None:
    """Return the only name that a pattern matches, or None if its wildcards match others."""
    bare = _ESCAPED.sub("", pattern)
    if any(character in bare for character in "*?["):
        return None
    return _ESCAPED.sub(r"\1", pattern)


def other_of(kind: str) -> str:
    """Return the behavior that collects whatever is rare or unseen in a field or type."""
    return f"{kind}:{OTHER}"


def read_rules(rules: Any) -> list[Rule]:
    """Read a table of rules.

    Parameters
    ----------
    rules : DataFrame, path of a CSV file, list of dict, or None

    Returns
    -------
    list of Rule

    Raises
    ------
    ValueError
        If a column is missing, a cell is empty or a field is unknown.
    """
    if rules is None:
        return []
    if isinstance(rules, (pd.DataFrame, list)):
        table = pd.DataFrame(rules)
    else:
        # As text, so that an operation named "NA" or "007" is kept unchanged.
        table = pd.read_csv(rules, dtype=str, keep_default_na=False).replace("", None)
    if not table.columns.is_unique:
        raise ValueError(
            f"rules has duplicate column names: {list(table.columns)}. Rename or drop one."
        )
    for name in table.columns:
        if name not in COLUMNS and str(name).strip().lower() in COLUMNS:
            raise ValueError(
                f"rules has a column {name!r}. Rename it to {str(name).strip().lower()!r}."
            )
    missing = [name for name in ("operation", "field", "behavior") if name not in table.columns]
    if missing == ["behavior"] and (table["field"] == EXCLUDED).all():
        missing = []
    if missing and len(table):
        raise ValueError(
            f"rules is missing the column {missing[0]!r}; it has {list(table.columns)}. The "
            "columns operation, field and behavior are required; item is optional."
        )
    table = table.reindex(columns=[*COLUMNS, *REASONS])
    table["item"] = table["item"].astype(object).where(table["item"].notna(), ANY)
    is_excluded = table["field"] == EXCLUDED
    table["behavior"] = table["behavior"].astype(object).mask(is_excluded, EXCLUDED)
    for name in ("operation", "field", "behavior"):
        if table[name].isna().any():
            row = table.index[table[name].isna()][0]
            raise ValueError(f"{name} is missing in row {row} of rules. Add it or drop the row.")
    unknown = ~table["field"].isin([*FIELDS, EXCLUDED])
    if unknown.any():
        row = table.index[unknown][0]
        raise ValueError(
            f"rules has the field {table['field'][unknown].iloc[0]!r} in row {row}; it must be "
            f"one of {', '.join(FIELDS)}, or {EXCLUDED} for events that may not be used."
        )
    why = table["why"].where(table["why"].isin(WHY), RULE)
    sure = pd.to_numeric(table["sure"], errors="coerce").fillna(1.0).astype(float)
    rows = table[COLUMNS].itertuples(index=False)
    return [
        Rule(as_text(operation), as_text(item), as_text(field), as_text(behavior), *of)
        for (operation, item, field, behavior), *of in zip(rows, why, sure, strict=True)
    ]
