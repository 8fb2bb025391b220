"""A fit that succeeds as a whole, or changes nothing."""

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
    """Decorate a method that fits, so that a failure or Ctrl-C leaves the estimator as it was.

    An estimator that was fitted before can still be used then, and one that was not is not
    fitted. A `fit` that succeeds keeps nothing that an earlier one learned. Parameters are
    validated first, as scikit-learn's own decorator does, and those of inner estimators are not;
    both in one decorator add only one frame between a warning and the line that it is about.

    Parameters
    ----------
    method : function
        `fit`, `fit_transform` or `partial_fit`. What the last of these changes in place, it must
        put back itself.

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
