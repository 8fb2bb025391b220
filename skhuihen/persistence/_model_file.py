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
    PartError,
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

#: Largest difference of a probability in the self-check, because versions and processors round
#: differently.
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
    """Save a fitted model as one file that cannot run code and that describes itself.

    Parameters
    ----------
    model : fitted classifier or Pipeline
        Its steps can be those of this package, the usual ones of scikit-learn, LightGBM and
        XGBoost, even inside calibration or a threshold. Other estimators are saved with skops if it
        is installed; to load them, you must trust them by name (see `load_model`).
    path : path
        Such as ``"risk.model"``. An existing file is replaced in one step.
    X : table or array
        The table that the model was fitted on, or similar rows. The file contains none of these
        rows. It contains the names and types of the columns, the numbers of rows and events, the
        dates of the first and the last application, and texts that occur in at least five rows.
    y : array-like of shape (n_applications,), default=None
        The labels of these rows, to record how many there are of each.
    units : mapping of str to str, default=None
        Units of columns and of subfields of events, such as ``{"income": "NGN a month",
        "behaviors.amount": "NGN"}``, to record with their types.
    note : str, default=""
        Any further information, such as who approved the model.
    monitor : Monitor, default=None
        The fitted `skhuihen.Monitor` of the model. `Monitor.load` reads it from the same file.

    Raises
    ------
    TypeError
        If the file cannot contain a part of the model; the message names the part.
    ValueError
        If the model cannot score made-up rows like those of ``X``.

    See Also
    --------
    load_model, read_manifest

    Notes
    -----
    With the same versions and processor, the scores of the loaded model are exactly equal. The file
    does not contain attributes that only training needs: the optimizer's state, callbacks,
    `oof_log_odds_` (scores of training rows) and the old data of a warm start. `partial_fit`
    continues with a new optimizer. If the file cannot contain the parameter `teacher` or
    `base_estimator`, the parameter is omitted, but the fitted base estimator is saved. The manifest
    lists omitted parameters in ``left_out``.

    The file contains what the model learned, which includes names of categories and operations, and
    the smallest and largest value of each column.

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
    scores = _scores(model, build_rows(rows), "The model cannot score rows like those of X")
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
    """Load a model that was saved with `save_model`.

    The file cannot run code: it contains values of a fixed set of types, and keys of classes that
    this package knows. Every hash, size and shape is checked before anything is built. Then the
    model scores the made-up rows of the file, and the scores are compared with the saved ones.

    Parameters
    ----------
    path : path
    sha256 : str, default=None
        The hash that the file must have, as ``sha256sum`` prints it. Record it when the model is
        approved. Without it, the file is only known to be undamaged, not to be the approved one.
    trusted : sequence of str, default=()
        Full names of types that skops may build, such as
        ``["sklearn.ensemble._forest.RandomForestClassifier"]``, for a file with an estimator that
        was saved with skops. Read the manifest, and find out who wrote the file, before you name
        any.

    Returns
    -------
    fitted classifier or Pipeline

    Raises
    ------
    ModelFileError
        A ValueError: the file is damaged, was altered, has a newer format, contains types that are
        not trusted, or its model gives different scores than when it was saved.
    OSError
        If the file does not exist.

    See Also
    --------
    save_model : Writes the file.

    Examples
    --------
    The hash is the one that was recorded when the model was approved:

    >>> from tempfile import mkdtemp
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import ProfileEncoder, load_model, read_manifest, save_model
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=100, n_old=0, random_state=0)
    >>> X = bank.applications
    >>> model = make_pipeline(ProfileEncoder(), LogisticRegression()).fit(X, bank.y)
    >>> path = f"{mkdtemp()}/risk.model"
    >>> save_model(model, path, X, bank.y)
    >>> approved = read_manifest(path)["sha256"]
    >>> load_model(path, sha256=approved).predict_proba(X).shape
    (100, 2)
    """
    if isinstance(trusted, str):
        raise TypeError(f"trusted is the string {trusted!r}; it must be a list: [{trusted!r}].")
    content, what = read_file(path), repr(str(path))
    if sha256 is not None and sha256_of(content) != sha256.strip().lower():
        raise ModelFileError(
            f"{what} has the SHA-256 {sha256_of(content)} instead of {sha256}, so it is not the "
            "expected file. Pass the path of that file, or its hash."
        )
    manifest, stored = read_parts(content, what)
    del content
    with refusing(what):
        parts = unpack_parts(manifest, stored)
        del stored
        missing = [name for name in _MUST_HAVE if name not in parts]
        if missing:
            raise PartError(f"the part {missing[0]!r} is missing")
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
            raise PartError("it does not contain a classifier")
        compared = reader.read(check)
        rows, expected = build_rows(compared["rows"]), compared["scores"]
        found = _scores(model, rows, "the model cannot score the rows of its self-check")
        if found.shape != expected.shape or not np.allclose(
            found, expected, rtol=0, atol=TOLERANCE
        ):
            difference = (
                ""
                if found.shape != expected.shape
                else f" (by up to {np.abs(found - expected).max():.3g})"
            )
            raise ModelFileError(
                f"{what}: the model gives different scores than when it was saved{difference}. It "
                f"was saved with the versions {there}; the installed versions are {here}. Install "
                "versions closer to those of the file, or save the model again."
            )
    return model


_MUST_HAVE = ("model.json", "check.json", "arrays.safetensors", "weights.safetensors")


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the manifest of a model file without building the model.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        ``format``, ``created`` (UTC), ``model`` (steps and parameters, as text), ``classes``,
        ``note``, ``schema`` (columns with name, role, type and unit, and subfields of events),
        ``training`` (numbers of rows and events, first and last day, rows of each label),
        ``versions``, ``needs_trust`` (estimators that were saved with skops), ``left_out``
        (parameters that were omitted), ``parts`` (size and hash of each), and ``sha256`` (the hash
        of the file).

    Raises
    ------
    ModelFileError
        If the file is damaged or was altered.

    See Also
    --------
    save_model : Writes the file.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import ProfileEncoder, read_manifest, save_model
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=100, n_old=0, random_state=0)
    >>> X = bank.applications
    >>> model = make_pipeline(ProfileEncoder(), LogisticRegression()).fit(X, bank.y)
    >>> path = f"{mkdtemp()}/risk.model"
    >>> save_model(model, path, X, bank.y)
    >>> manifest = read_manifest(path)
    >>> manifest["format"], manifest["classes"], manifest["training"]["rows"]
    (1, [0, 1], 100)
    >>> [step["class"] for step in manifest["model"]]
    ['ProfileEncoder', 'LogisticRegression']
    """
    content = read_file(path)
    manifest, _ = read_parts(content, repr(str(path)))
    return {**manifest, "sha256": sha256_of(content)}


def _scores(model: Any, rows: Any, complaint: str) -> NDArray[np.float64]:
    """Score the rows of the self-check without warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for example about unknown behaviors
            return np.asarray(model.predict_proba(rows), dtype=np.float64)
    except ModelFileError:
        raise
    except Exception as error:
        raise ValueError(f"{complaint}: {type(error).__name__}: {error}") from error


def summarize_model(model: Any) -> Any:
    """Return steps and parameters as text for the manifest."""
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
