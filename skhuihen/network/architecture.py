"""The network's architecture: its defaults, and how to change or disable parts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from skhuihen.network.huihen import HUIHEN

_PARAMETERS = inspect.signature(HUIHEN).parameters
#: Parameters of `HUIHEN` that define its architecture, and their defaults. ``net_params`` of
#: `HUIHENClassifier` can set each of them in skorch's way, such as ``module__habit_dim``.
ARCHITECTURE: dict[str, Any] = {
    name: _PARAMETERS[name].default
    for name in (
        *("behavior_dim", "intention_dim", "habit_dim", "hidden_units"),
        *("hierarchical", "time_aware", "user_item_aware", "field_aware"),
        *("log_interval", "mean_intention"),
    )
}
_PREFIX = "module__"


def architecture_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the architecture of a classifier's network.

    Parameters
    ----------
    params : mapping of str to object
        The parameters of a `HUIHENClassifier`.

    Returns
    -------
    dict of str to object
    """
    named = {
        name.removeprefix(_PREFIX): value
        for name, value in (params["net_params"] or {}).items()
        if name.startswith(_PREFIX)
    }
    return {name: named.get(name, default) for name, default in ARCHITECTURE.items()}


def check_architecture(net_params: Mapping[str, Any]) -> None:
    """Reject an invalid architecture.

    Parameters
    ----------
    net_params : mapping of str to object

    Raises
    ------
    ValueError
        If a ``module__`` parameter is unknown or its value is invalid.
    """
    for key, value in net_params.items():
        if not key.startswith(_PREFIX):
            continue
        name = key.removeprefix(_PREFIX)
        if name not in {*ARCHITECTURE, "fused"}:
            raise ValueError(
                f"net_params has {key!r}, which is not a parameter of the network or is set by the "
                f"classifier. It must be one of {[_PREFIX + n for n in ARCHITECTURE]}."
            )
        if name == "hidden_units":
            widths = list(value) if isinstance(value, Sequence) else [value]
            is_right = isinstance(value, Sequence) and all(map(_is_size, widths))
            required = "a list of integers of at least 1"
        elif name.endswith("_dim"):
            is_right, required = _is_size(value), "an integer of at least 1"
        else:
            is_right, required = isinstance(value, bool), "True or False"
        if not is_right:
            raise ValueError(f"net_params[{key!r}]={value!r} must be {required}.")


def _is_size(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
