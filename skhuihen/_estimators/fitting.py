"""Make fit succeed completely or change nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sklearn import config_context, get_config

Self = TypeVar("Self")
Params = ParamSpec("Params")
Result = TypeVar("Result")


def all_or_nothing(
    method: Callable[Concatenate[Self, Params], Result],
) -> Callable[Concatenate[Self, Params], Result]:
    """Decorate a method that fits, so that errors and Ctrl-C leave the estimator unchanged.

    An estimator that was fitted before remains usable; one that was not stays unfitted. A
    successful `fit` keeps nothing from an earlier one. Parameters are validated first, as in
    scikit-learn's own decorator; those of inner estimators are not. One decorator for both adds
    only one frame between a warning and the line that causes it.

    Parameters
    ----------
    method : function
        `fit`, `fit_transform` or `partial_fit`. `partial_fit` must restore its own changes in
        place.

    Returns
    -------
    function
    """

    @wraps(method)
    def wrapper(estimator: Self, /, *args: Params.args, **kwargs: Params.kwargs) -> Result:
        if not get_config()["skip_parameter_validation"]:
            estimator._validate_params()  # type: ignore[attr-defined]
        state: dict[str, Any] = vars(estimator)
        before = dict(state)
        try:
            if method.__name__ != "partial_fit":
                for name in before:
                    if name.endswith("_") and not name.startswith("__"):
                        del state[name]
            with config_context(skip_parameter_validation=True):
                return method(estimator, *args, **kwargs)
        except BaseException:
            state.clear()
            state.update(before)
            raise

    return wrapper
