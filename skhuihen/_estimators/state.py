"""Tables among the attributes of an estimator, as a pickle or skops keeps them.

skops has no place for pandas, and a pickle of a table holds the inside of one version of pandas.
Of attributes such as `rules_` names, types and values are kept instead.
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
    # At the first call: the package of model files knows the estimators.
    from skhuihen.persistence._values import ValueWriter

    if type(value) is not pd.DataFrame:
        return value
    writer = ValueWriter()
    try:
        return {_TABLE: writer.write(value, "a table"), _ARRAYS: writer.arrays}
    except TypeError:  # there is something of the user's own in it
        return value


def _unpack(value: Any) -> Any:
    from skhuihen.persistence._values import ValueReader

    if type(value) is dict and set(value) == {_TABLE, _ARRAYS}:
        return ValueReader(value[_ARRAYS]).read(value[_TABLE])
    return value
