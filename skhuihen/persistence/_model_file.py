"""Saving a model as a file, and loading it."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

import skhuihen
from skhuihen._tables.labels import as_labels
from skhuihen.persistence._archive import (
    FORMAT,
    ModelFileError,
    from_json,
    read_file,
    read_parts,
    refusing,
    sha256_of,
    to_json,
    unpack_parts,
    write_archive,
)
from skhuihen.persistence._registry import ModelReader, ModelWriter
from skhuihen.persistence._schema import build_rows, describe

#: By how much a probability of the self-check may differ: versions and processors round otherwise.
TOLERANCE = 1e-6
_VERSIONS = (
    *("skhuihen", "numpy", "pandas", "pyarrow", "scikit-learn", "skorch", "torch"),
    *("safetensors", "lightgbm", "xgboost"),
)


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    X: Any,
    y: Any = None,
    *,
    units: Mapping[str, str] | None = None,
    note: str = "",
    monitor: Any = None,
) -> None:
    """Save a fitted model as one file that cannot run code, and that says what it is.

    Parameters
    ----------
    model : fitted classifier or Pipeline
        Of the steps of this package and scikit-learn's usual ones, LightGBM and XGBoost included,
        calibrated or with a threshold or not. Other estimators are kept by skops, if that is
        installed; to load them takes trust (see `load_model`).
    path : path
        Such as ``"risk.model"``. A file that is there is replaced, as a whole or not at all.
    X : table or array
        The table that the model was fitted on, or rows like it. No row of it goes into the file,
        but the names and types of its columns, how many rows and events there are, the dates of
        the first and the last application, and texts that five rows or more have.
    y : array-like of shape (n_applications,), default=None
        Their labels, to note how many there are of each.
    units : mapping of str to str, default=None
        Units of columns, and of subfields of events, such as ``{"income": "NGN a month",
        "behaviors.amount": "NGN"}``, to be noted with their types.
    note : str, default=""
        Whatever else is to be known, such as who approved it.
    monitor : Monitor, default=None
        The fitted `skhuihen.Monitor` of the model, to be read by `Monitor.load` from the same file.

    Raises
    ------
    TypeError
        If a part of the model has no place in such a file; the message names the part.
    ValueError
        If the model cannot score rows that are made up after ``X``, so that it does not fit.

    See Also
    --------
    load_model, read_manifest

    Notes
    -----
    Scores of the loaded model are equal to the bit where versions and processor are the same. What
    serves training alone is left out: the optimizer's state, callbacks, `oof_log_odds_`, which is
    of training rows, and the old data of a warm start. `partial_fit` goes on with a new optimizer.
    A `teacher` or `base_estimator` that has no place is left out as a parameter; what was fitted of
    it stays. The manifest names under ``left_out`` what was.

    What the model has learned is in the file: category names, operations, and the smallest and
    largest value of each column.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import (
    ...     HUIHENClassifier, Sessionizer, attach_behaviors, load_model, read_manifest, save_model)
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=100, n_old=0, random_state=0)
    >>> X = attach_behaviors(bank.applications, bank.events)
    >>> model = make_pipeline(Sessionizer(), HUIHENClassifier(max_epochs=1, random_state=0))
    >>> path = f"{mkdtemp()}/risk.model"
    >>> save_model(model.fit(X, bank.y), path, X, bank.y, note="first try")
    >>> bool((load_model(path).predict_proba(X) == model.predict_proba(X)).all())
    True
    >>> read_manifest(path)["training"]["rows"]
    100
    """
    if not callable(getattr(model, "predict_proba", None)):
        raise TypeError(
            f"model is a {type(model).__name__} without predict_proba. Pass a fitted classifier, "
            "or a Pipeline that ends in one."
        )
    check_is_fitted(model)
    schema, training, rows = describe(X, model, dict(units or {}))
    if y is not None:
        labels, counts = np.unique(np.asarray(as_labels(y)), return_counts=True)
        training["labels"] = [
            {"label": str(label), "rows": int(count)}
            for label, count in zip(labels.tolist(), counts.tolist(), strict=True)
        ]
    scores = _scores(model, build_rows(rows), "The model does not take rows like X")
    writer = ModelWriter()
    written = writer.write(model, "")
    check = writer.write({"rows": rows, "scores": scores}, "check")
    head = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": summarize_model(model),
        "classes": np.asarray(model.classes_).tolist(),
        "note": str(note),
        "schema": schema,
        "training": training,
        "versions": versions_here(),
        "needs_trust": writer.foreign,
        "left_out": writer.left_out,
    }
    if monitor is not None and not callable(getattr(monitor, "to_json", None)):
        raise TypeError(f"monitor is a {type(monitor).__name__}. Pass a fitted skhuihen.Monitor.")
    parts = {
        "model.json": to_json(written),
        "check.json": to_json(check),
        "arrays.safetensors": _to_safetensors(writer.arrays),
        "weights.safetensors": _to_safetensors(writer.weights),
        **writer.parts,
        **({} if monitor is None else {"monitor.json": monitor.to_json().encode("ascii")}),
    }
    stride = max((weight.itemsize for weight in writer.weights.values()), default=1)
    write_archive(path, parts, head, {"weights.safetensors": stride})


def load_model(
    path: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    trusted: Sequence[str] = (),
) -> Any:
    """Load a model that `save_model` has written.

    Nothing in the file can name code to run: it holds values of a closed set of types, and keys of
    the classes that this package knows. Every hash, size and shape is checked before something is
    built, and made-up rows that stand in the file are scored and compared.

    Parameters
    ----------
    path : path
    sha256 : str, default=None
        The hash of the file, as ``sha256sum`` prints it, noted where the model was approved: any
        other file is refused. Without it, a file is only known to be whole, not to be yours.
    trusted : sequence of str, default=()
        Full names of types that skops may build, such as
        ``["sklearn.ensemble._forest.RandomForestClassifier"]``, for a file with an estimator that
        only skops could keep. Read the manifest and ask who wrote the file before you name any.

    Returns
    -------
    fitted classifier or Pipeline

    Raises
    ------
    ModelFileError
        A ValueError: the file is damaged, altered, too new, of types that are not trusted, or its
        model does not give the scores that it gave.
    OSError
        If there is no such file.

    See Also
    --------
    save_model : With an example.
    """
    if isinstance(trusted, str):
        raise TypeError(f"trusted is the text {trusted!r}. It must be a list of names.")
    content, what = read_file(path), repr(str(path))
    if sha256 is not None and sha256_of(content) != sha256.strip().lower():
        raise ModelFileError(
            f"{what} has the hash {sha256_of(content)} instead of {sha256}: it is another file."
        )
    manifest, stored = read_parts(content, what)
    del content
    with refusing(what):
        parts = unpack_parts(manifest, stored)
        del stored
        missing = [name for name in _MUST_HAVE if name not in parts]
        if missing:
            raise ModelFileError(f"{what} has no part {missing[0]!r}, which every model has.")
        tree = from_json(parts.pop("model.json"), "model.json")
        check = from_json(parts.pop("check.json"), "check.json")
        arrays = _from_safetensors(parts.pop("arrays.safetensors"))
        weights = _from_safetensors(parts.pop("weights.safetensors"))
        here, there = versions_here(), dict(manifest.get("versions") or {})
        same = {
            name
            for name, package in {"skhuihen": "skhuihen", "sklearn": "scikit-learn"}.items()
            if here[package] == there.get(package)
        }
        reader = ModelReader(arrays, weights, parts, tuple(trusted), same)
        model = reader.read(tree)
        if not callable(getattr(model, "predict_proba", None)):
            raise ModelFileError(f"{what} holds no classifier.")
        compared = reader.read(check)
        rows, expected = build_rows(compared["rows"]), compared["scores"]
        found = _scores(model, rows, "the model does not score its own rows")
        if found.shape != expected.shape or not np.allclose(
            found, expected, rtol=0, atol=TOLERANCE
        ):
            difference = (
                ""
                if found.shape != expected.shape
                else (f", which differ by {np.abs(found - expected).max():.3g}")
            )
            raise ModelFileError(
                f"{what}: the model does not give the scores that it gave when it was saved"
                f"{difference}. It was saved under {there}; these here are {here}. Load it under "
                "versions nearer to those, or save it anew."
            )
    return model


_MUST_HAVE = ("model.json", "check.json", "arrays.safetensors", "weights.safetensors")


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a model file says of itself, without building the model.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        ``format``, ``created`` (UTC), ``model`` (its steps and parameters, to read), ``classes``,
        ``note``, ``schema`` (columns with name, role, type and unit, and subfields of events),
        ``training`` (number of rows and events, first and last day, rows of each label),
        ``versions``, ``needs_trust`` (estimators that only skops could keep), ``left_out``, and
        ``parts`` with size and hash of each. And ``sha256``, the hash of the file.

    Raises
    ------
    ModelFileError
        If the file is damaged or was altered.

    See Also
    --------
    save_model : With an example.
    """
    content = read_file(path)
    manifest, _ = read_parts(content, repr(str(path)))
    return {**manifest, "sha256": sha256_of(content)}


def _scores(model: Any, rows: Any, complaint: str) -> NDArray[np.float64]:
    """Score the rows of the self-check, whatever they are like."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as that nobody does what these rows did
            return np.asarray(model.predict_proba(rows), dtype=np.float64)
    except ModelFileError:
        raise
    except Exception as error:
        raise ValueError(f"{complaint}: {type(error).__name__}: {error}") from error


def summarize_model(model: Any) -> Any:
    """Return steps and parameters as text, for who reads the manifest."""
    if hasattr(model, "steps"):
        return [{"step": name, **summarize_model(step)} for name, step in model.steps]
    params = model.get_params(deep=False) if hasattr(model, "get_params") else {}
    return {
        "class": type(model).__name__,
        "parameters": {name: str(value)[:200] for name, value in params.items()},
    }


def versions_here() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = skhuihen.__version__ if name == "skhuihen" else "absent"
    return found


def _to_safetensors(arrays: dict[str, NDArray[Any]]) -> bytes:
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()})


def _from_safetensors(content: bytes) -> dict[str, NDArray[Any]]:
    from safetensors.numpy import load

    return load(content)
