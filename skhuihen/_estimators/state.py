"""Tables among the attributes of an estimator, as a pickle or skops keeps them.

skops cannot store pandas tables, and a pickle of a table depends on the version of pandas. So the
names, types and values of attributes such as `rules_` are stored instead.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

_TABLE, _ARRAYS = "table as values", "arrays"


def pack_frames(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of an estimator with values in place of tables."""
    return {name: _pack(value) for name, value in state.items()}


def unpack_frames(state: dict[str, Any]) -> dict[str, Any]:
    """Return what `pack_frames` was given."""
    return {name: _unpack(value) for name, value in state.items()}


def _pack(value: Any) -> Any:
    # Imported here, because `persistence` imports the estimators.
    from skhuihen.persistence._values import ValueWriter

    if type(value) is not pd.DataFrame:
        return value
    writer = ValueWriter()
    try:
        return {_TABLE: writer.write(value, "a table"), _ARRAYS: writer.arrays}
    except TypeError:  # it contains objects of the user
        return value


def _unpack(value: Any) -> Any:
    from skhuihen.persistence._values import ValueReader

    if type(value) is dict and set(value) == {_TABLE, _ARRAYS}:
        return ValueReader(value[_ARRAYS]).read(value[_TABLE])
    return value
