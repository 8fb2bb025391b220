"""Describes the input of a model, and makes up rows like it for the self-check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from skhuihen._compat import TEXT
from skhuihen._events.behaviors import Behaviors, _arrow_type
from skhuihen._events.frames import as_frame, is_table
from skhuihen._events.nested import is_nested
from skhuihen.persistence._archive import PartError
from skhuihen.preprocessing._profile import is_datetime

#: Number of rows of the self-check, and the largest number of events of a row.
N_ROWS, MOST_EVENTS = 12, 30
#: A text that occurs in fewer rows could identify a person, so it is not written.
FEWEST_ROWS = 5
_MOST_TEXTS = 12


def describe(
    X: Any, model: Any, units: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Return the schema of a table, a summary of its rows, and made-up rows as values.

    Parameters
    ----------
    X : table or array
        The input of the model.
    model : fitted classifier
    units : mapping of str to str

    Returns
    -------
    schema, training : dict
        For the manifest.
    rows : dict
        For `build_rows`.
    """
    random = np.random.default_rng(0)
    if not is_table(X):
        array = np.asarray(X, dtype=np.float64)
        if array.ndim != 2 or not array.size:
            raise ValueError(
                f"X has the shape {array.shape}. Pass the table that the model was fitted on, with "
                "at least one row."
            )
        columns = [_numbers(array[:, i], random, N_ROWS) for i in range(array.shape[1])]
        schema = {"array": {"columns": array.shape[1], "type": "float64"}}
        return schema, {"rows": len(array)}, {"array": np.column_stack(columns)}
    last = _last_of(model)
    nested = getattr(last, "behaviors", "behaviors")
    frame = as_frame(X, nested if isinstance(nested, str) else None)
    if not len(frame):
        raise ValueError("X is empty. Pass the table that the model was fitted on.")
    columns_of = [_Column(frame[name], last, units) for name in frame.columns]
    names = {c.name for c in columns_of} | {
        f"{c.name}.{field}" for c in columns_of for field in c.fields
    }
    unknown = sorted(set(units) - names)
    if unknown:
        raise ValueError(
            f"units contains {unknown[0]!r}, which is not a column or subfield of X. Use one of "
            f"{sorted(names)}."
        )
    training: dict[str, Any] = {"rows": len(frame)}
    applied_at = getattr(last, "applied_at", "applied_at")
    base = pd.Timestamp("2024-01-01")
    if applied_at in frame.columns and is_datetime(frame[applied_at]):
        times = frame[applied_at].dropna()
        if len(times):
            base = pd.Timestamp(times.max()).normalize()
            training["applied"] = [str(pd.Timestamp(t).date()) for t in (times.min(), times.max())]
    for column in columns_of:
        if column.events is not None:
            training["events"] = column.events.n_events
    rows = {
        "index": N_ROWS,
        "columns": [column.make_up(random, base) for column in columns_of],
    }
    return {"columns": [column.schema for column in columns_of]}, training, rows


class _Column:
    """One column of the table."""

    def __init__(self, column: pd.Series, last: Any, units: Mapping[str, str]) -> None:
        self.column, self.name = column, str(column.name)
        self.key = column.name
        self.events = Behaviors.from_column(column) if is_nested(column) else None
        self.fields = {} if self.events is None else dict(self.events.fields)
        ids = [*getattr(last, "id_columns", ("user_id", "application_id"))]
        ids += getattr(getattr(last, "_schema", None), "identifiers", ())
        self.is_time = self.events is None and is_datetime(column)
        self.is_id = column.name in ids
        role = "profile"
        if self.events is not None:
            role = "events"
        elif self.is_id:
            role = "identifier"
        elif self.is_time:
            role = "time"
        self.schema: dict[str, Any] = {"name": self.name, "role": role}
        if self.events is None:
            self.schema |= {"type": str(column.dtype), "missing": bool(column.isna().any())}
        else:
            self.schema["fields"] = [
                _with_unit(
                    {"name": name, "type": str(values.type), "missing": values.null_count > 0},
                    units.get(f"{self.name}.{name}", "seconds" if name == "interval" else None),
                )
                for name, values in self.fields.items()
            ]
        self.schema = _with_unit(self.schema, units.get(self.name))

    def make_up(self, random: np.random.Generator, base: pd.Timestamp) -> list[Any]:
        """Return the name and the kind of the column, and its values in the made-up rows."""
        column = self.column
        if self.events is not None:
            return [self.key, "events", self._make_up_events(random, base)]
        dtype = column.dtype
        if self.is_time:
            stamps = np.datetime64(base.tz_localize(None), "us") + np.arange(
                N_ROWS
            ) * np.timedelta64(36 * 60 + 7, "m")
            zone = getattr(dtype, "tz", None)
            if isinstance(dtype, pd.ArrowDtype):
                zone = getattr(dtype.pyarrow_dtype, "tz", None)
            return [self.key, "time", [stamps, None if zone is None else str(zone)]]
        if pd.api.types.is_bool_dtype(dtype):
            return [self.key, "plain", random.random(N_ROWS) < 0.5]
        if self.is_id:
            if pd.api.types.is_numeric_dtype(dtype):
                return [self.key, "plain", np.arange(N_ROWS)]
            return [self.key, "text", np.array([f"row {i}" for i in range(N_ROWS)], dtype=object)]
        if pd.api.types.is_numeric_dtype(dtype):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            made = _numbers(values, random, N_ROWS)
            if np.isnan(values).any():
                made[::5] = np.nan
            elif pd.api.types.is_integer_dtype(dtype):
                return [self.key, "plain", made.round().astype(np.int64)]
            return [self.key, "plain", made]
        # Texts, categories, and values of all other types.
        known = column.dropna()
        counts = known.astype(object).map(str).value_counts()
        texts = sorted(counts.index[counts >= FEWEST_ROWS].tolist()[:_MOST_TEXTS])
        made_texts = np.array(random.choice([*texts, "made up"], N_ROWS), dtype=object)
        if len(known) < len(column):
            made_texts[1::5] = None
        if not len(known):
            return [self.key, "plain", np.full(N_ROWS, np.nan)]
        kind = "category" if isinstance(dtype, pd.CategoricalDtype) else "text"
        return [self.key, kind, made_texts]

    def _make_up_events(self, random: np.random.Generator, base: pd.Timestamp) -> list[Any]:
        assert self.events is not None
        lengths = random.integers(1, MOST_EVENTS, N_ROWS)
        lengths[:2] = 0, 2
        n = int(lengths.sum())
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        row = np.repeat(np.arange(N_ROWS), lengths)
        behind = np.arange(n) - offsets[row]
        # Sessions of a few minutes, hours apart, in the days before the application. A third of the
        # rows has a last event after the application, which must not count.
        gap = np.where(random.random(n) < 0.2, 9_000, 37) * 1_000_000
        elapsed = np.cumsum(gap * random.integers(1, 5, n))
        starts = elapsed[np.minimum(offsets[row], max(n - 1, 0))] if n else elapsed
        first = np.datetime64(base.tz_localize(None), "us").astype(np.int64)
        applied = first + row * (36 * 60 + 7) * 60_000_000
        time = applied - 5 * 86_400_000_000 + (elapsed - starts)
        is_last = behind == lengths[row] - 1
        time = np.where(is_last & (row % 3 == 0), applied + 1, np.minimum(time, applied - 1))
        fields: dict[str, Any] = {}
        for name, values in self.fields.items():
            kind = values.type
            if pa.types.is_dictionary(kind):
                values, kind = values.dictionary_decode(), kind.value_type
            made: Any
            if pa.types.is_timestamp(kind):
                made = time
            elif pa.types.is_boolean(kind):
                made = random.random(n) < 0.5
            elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
                numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
                made = _numbers(numbers, random, n)
                if pa.types.is_integer(kind):
                    made = made.round().astype(np.int64)
                if values.null_count:
                    made = np.where(random.random(n) < 0.5, made, np.nan)
            elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
                made = self._texts(name, values, random, n)
            else:
                made = np.full(n, None, dtype=object)
            if name == "seq" and pa.types.is_integer(kind):
                made = behind
            fields[name] = [str(kind), made]
        return [offsets, fields]

    def _texts(
        self, name: str, values: pa.Array, random: np.random.Generator, n: int
    ) -> NDArray[np.object_]:
        """Return texts that occur in several applications each."""
        assert self.events is not None
        found = pd.DataFrame({"row": self.events.rows, "text": values.to_pandas().astype(object)})
        of_rows = found.dropna().drop_duplicates()["text"].value_counts()
        texts = sorted(of_rows.index[of_rows >= FEWEST_ROWS].tolist()[:_MOST_TEXTS])
        if not texts:
            texts = ["made up"]
        made = np.array(random.choice(texts, n), dtype=object)
        if values.null_count:
            made[random.random(n) < values.null_count / max(len(values), 1)] = None
        return made


def build_rows(rows: Any) -> Any:
    """Return the made-up rows as a table or an array."""
    if not isinstance(rows, dict):
        raise PartError("the self-check has no rows")
    if "array" in rows:
        return rows["array"]
    index = pd.RangeIndex(rows["index"])
    if not 1 <= len(index) <= 1_000:
        raise PartError(f"the self-check has {len(index)} rows; it must have 1 to 1,000")
    columns: dict[Any, Any] = {}
    for name, kind, values in rows["columns"]:
        if kind == "events":
            columns[name] = pd.Series(_events(values, len(index)).to_array(), index=index)
        elif kind == "time":
            stamps = pd.Series(values[0], index=index)
            columns[name] = (
                stamps
                if values[1] is None
                else stamps.dt.tz_localize("UTC").dt.tz_convert(values[1])
            )
        elif kind == "text":
            columns[name] = pd.Series(values, index=index, dtype=TEXT)
        elif kind == "category":
            columns[name] = pd.Series(values, index=index, dtype="category")
        else:
            columns[name] = pd.Series(values, index=index)
    return pd.DataFrame(columns, index=index)


def _events(values: Any, n_rows: int) -> Behaviors:
    offsets, fields = values
    if len(offsets) != n_rows + 1 or (np.diff(offsets) < 0).any() or offsets[0] != 0:
        raise PartError("the events of the self-check do not belong to its rows")
    made = {}
    for name, (kind, array) in fields.items():
        if len(array) != offsets[-1]:
            raise PartError("the subfields of the self-check have different lengths")
        arrow = _arrow_type(kind)
        if pa.types.is_timestamp(arrow):
            micro = pa.array(array, pa.int64()).cast(pa.timestamp("us"))
            made[name] = (
                micro.cast(pa.timestamp(arrow.unit)).cast(arrow)
                if (arrow.tz is None)
                else micro.cast(pa.timestamp("us", arrow.tz)).cast(arrow)
            )
        else:
            made[name] = pa.array(array, from_pandas=True).cast(arrow)
    return Behaviors(np.asarray(offsets, dtype=np.int64), made)


def _numbers(
    values: NDArray[np.float64], random: np.random.Generator, n: int
) -> NDArray[np.float64]:
    """Return numbers from the middle of a range, rounded so that they reveal no actual value."""
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [0.05, 0.95]) if len(known) else (0.0, 1.0)
    return np.array([float(f"{x:.2g}") for x in random.uniform(low, high, n)])


def _with_unit(described: dict[str, Any], unit: str | None) -> dict[str, Any]:
    return described if unit is None else {**described, "unit": unit}


def _last_of(model: Any) -> Any:
    """Return the classifier of a pipeline, also inside calibration or a threshold."""
    for _ in range(10):
        if hasattr(model, "steps"):
            model = model.steps[-1][1]
        elif getattr(model, "estimator", None) is not None:
            inner = getattr(model, "estimator_", model.estimator)
            if hasattr(model, "calibrated_classifiers_"):
                inner = model.calibrated_classifiers_[0].estimator
            model = inner
        else:
            break
    return model
