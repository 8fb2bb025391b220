"""Labels as stored in tables: objects, nullable and Arrow-backed types."""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def as_labels(y: Any, name: str = "y") -> Any:
    """Return labels as an array of the plain type that they represent.

    Whole numbers and booleans of nullable, Arrow-backed and object types become integers and
    booleans. Other labels do not change.

    Parameters
    ----------
    y : array-like of shape (n,)
    name : str, default="y"
        The name of the parameter, for errors.

    Returns
    -------
    ndarray of shape (n,)
        ``y`` itself if it is not array-like.

    Raises
    ------
    ValueError
        If labels are missing, or only some are texts.
    """
    values = y.to_numpy() if isinstance(y, pd.Series | pd.Index | pd.DataFrame) else np.asarray(y)
    if values.ndim == 0:
        return y
    missing = pd.isna(values)
    if missing.any():
        raise ValueError(
            f"Input {name} contains NaN: {int(missing.sum())} of {missing.size} labels are "
            "missing. Drop these applications, for example with the mask pandas.notna(y)."
        )
    return _plain(values, name) if values.dtype == object else values


def _plain(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Convert an array of objects if all are numbers or booleans."""
    kinds = sorted({type(value) for value in values.ravel()}, key=lambda kind: kind.__name__)
    if all(issubclass(kind, Real | Decimal | np.bool_) for kind in kinds):
        return values.astype(np.float64) if Decimal in kinds else np.array(values.tolist())
    if any(issubclass(kind, str) for kind in kinds) and not all(
        issubclass(kind, str) for kind in kinds
    ):
        names = " and ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"{name} contains labels of the types {names}. All must be of one type. Convert "
            "them, for example with .astype(int) or .astype(str)."
        )
    return values
