"""Typed values: the contents of a model as JSON and arrays, and back.

Only the types below are possible. A JSON object has one key, which names the type of its value.
Null, booleans, integers, finite floats, strings and lists are written as they are.
"""

from __future__ import annotations

import math
import re
from collections import UserList
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skhuihen._compat import TEXT
from skhuihen.persistence._archive import PartError

#: Types that can be values themselves, such as the dtype of an encoder.
TYPES: dict[str, Any] = {
    **{name: getattr(np, name) for name in ("float16", "float32", "float64", "bool_", "object_")},
    **{f"int{n}": getattr(np, f"int{n}") for n in (8, 16, 32, 64)},
    **{f"uint{n}": getattr(np, f"uint{n}") for n in (8, 16, 32, 64)},
    **{"float": float, "int": int, "bool": bool, "str": str, "object": object},
}
_NAMES = {kind: name for name, kind in reversed(list(TYPES.items()))}
#: Optimizers of torch that a parameter of a classifier may name.
OPTIMIZERS = (
    *("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop"),
    *("Rprop", "SGD"),
)
#: Largest size of an array of strings in characters; each takes as much space as the longest.
LARGEST_TEXTS = 2**24
#: Largest number of rows of a table.
LONGEST_RANGE = 10_000_000
_TIMES = re.compile(r"<[mM]8\[(ns|us|ms|s|m|h|D)\]")
_TEXTS = re.compile(r"<U\d{1,6}")


class ValueWriter:
    """Turn values into JSON, and collect their arrays.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The arrays to write as safetensors, by name.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}

    def write(self, value: Any, where: str) -> Any:
        """Return a value as JSON; ``where`` is its name in errors."""
        if value is None or isinstance(value, bool):
            return value
        writer = self._find(value)
        if writer is None:
            raise self.unknown(value, where)
        return writer(value, where)

    def _find(self, value: Any) -> Callable[[Any, str], Any] | None:
        """Return the method that writes a value of this type."""
        kind = type(value)
        for known, write in (
            (int, self._write_integer),
            (float, self._write_float),
            (str, self._write_text),
            (list, self._write_list),
            (tuple, lambda v, w: {"tuple": self._write_list(v, w)}),
            (set, lambda v, w: {"set": self._write_list(_sorted(v), w)}),
            (frozenset, lambda v, w: {"frozenset": self._write_list(_sorted(v), w)}),
            (slice, lambda v, w: {"slice": self._write_list((v.start, v.stop, v.step), w)}),
            (range, lambda v, w: {"range": [v.start, v.stop, v.step]}),
            (np.ndarray, self._write_array),
            (pd.DataFrame, self._write_frame),
            (pd.Timestamp, self._write_timestamp),
            (pd.Timedelta, lambda v, w: {"timedelta": [v // pd.Timedelta(1, "ns")]}),
            (timedelta, lambda v, w: {"duration": [v.days, v.seconds, v.microseconds]}),
            (np.random.RandomState, self._write_random),
        ):
            if kind is known:
                return write
        if isinstance(value, np.generic):
            return self._write_scalar
        if isinstance(value, UserList):  # in a ColumnTransformer of scikit-learn 1.6
            return lambda v, w: self._write_list(v.data, w)
        if isinstance(value, PurePath):
            return lambda v, w: {"path": str(v)}
        if isinstance(value, np.dtype):
            return lambda v, w: {"dtype": v.str}
        if isinstance(value, type) and value in _NAMES:
            return lambda v, w: {"type": _NAMES[v]}
        if isinstance(value, type) and value.__module__.startswith("torch.optim"):
            return self._write_optimizer
        if isinstance(
            value, dict
        ):  # also OrderedDict and defaultdict, whose items are all that matters
            return self._write_dict
        return None

    def unknown(self, value: Any, where: str) -> TypeError:
        """Return the error for a value that a file cannot contain."""
        kind = type(value)
        return TypeError(
            f"{where} is a {kind.__module__}.{kind.__qualname__}, which a model file cannot "
            "contain. It can contain plain values, arrays, tables and the estimators that "
            "load_model knows. Replace it by one of these, or remove it."
        )

    def _write_integer(self, value: int, where: str) -> int:
        if not -(2**63) <= value < 2**64:
            raise TypeError(f"{where} is {value}; an integer must fit into 64 bits.")
        return value

    def _write_float(self, value: float, where: str) -> Any:
        return value if math.isfinite(value) else {"float": str(value)}

    def _write_text(self, value: str, where: str) -> str:
        return value

    def _write_list(self, value: Any, where: str) -> list[Any]:
        return [self.write(item, f"{where}[{i}]") for i, item in enumerate(value)]

    def _write_dict(self, value: Mapping[Any, Any], where: str) -> Any:
        pairs = [
            [self.write(key, f"a key of {where}"), self.write(item, f"{where}[{key!r}]")]
            for key, item in value.items()
        ]
        return {"dict": pairs}

    def _write_scalar(self, value: np.generic, where: str) -> Any:
        if isinstance(value, np.str_):
            return {"scalar": ["str_", str(value)]}
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise self.unknown(value, where)
        return {"scalar": [value.dtype.name, self.write(value.item(), where)]}

    def _write_array(self, value: NDArray[Any], where: str) -> Any:
        kind = value.dtype.kind
        if kind in "biuf" and value.dtype.itemsize <= 8:
            name = f"a{len(self.arrays)}"
            native = value.dtype.newbyteorder("<")
            self.arrays[name] = np.array(value, dtype=native, order="C", copy=True)
            return {"array": name}
        if kind == "O":
            return {"objects": [list(value.shape), self._write_list(value.ravel(), where)]}
        if kind == "U":
            return {"texts": [value.dtype.str, list(value.shape), value.ravel().tolist()]}
        if kind in "mM":
            return {"times": [value.dtype.str, self._write_array(value.view(np.int64), where)]}
        raise self.unknown(value, f"{where}, of dtype {value.dtype},")

    def _write_frame(self, value: pd.DataFrame, where: str) -> Any:
        columns = []
        for i, name in enumerate(value.columns.tolist()):
            column = value.iloc[:, i]
            is_text = isinstance(column.dtype, pd.StringDtype)
            kind = "text" if is_text else "plain"
            if not is_text and not isinstance(column.dtype, np.dtype):
                kind, column = "plain", column.astype(object)
            values = column.to_numpy(dtype=object) if is_text else column.to_numpy()
            if values.dtype == object:
                values = values.copy()
                values[pd.isna(values)] = None
            at = f"{where}[{name!r}]"
            columns.append([self.write(name, at), kind, self.write(values, at)])
        index: Any = value.index
        if isinstance(index, pd.RangeIndex):
            index = range(index.start, index.stop, index.step)
        else:
            index = index.to_numpy()
            index = index.astype(object) if index.dtype.kind not in "biufOmM" else index
        index = self.write(index, f"{where}.index")
        return {"frame": [columns, index, self.write(value.index.name, where)]}

    def _write_timestamp(self, value: pd.Timestamp, where: str) -> Any:
        zone, ticks = None if value.tz is None else str(value.tz), value.asm8  # in UTC
        unit, _ = np.datetime_data(ticks.dtype)
        return {"timestamp": [int(ticks.astype(np.int64)), unit, zone]}

    def _write_random(self, value: np.random.RandomState, where: str) -> Any:
        name, *state = value.get_state(legacy=True)
        if name != "MT19937":
            raise self.unknown(value, where)
        return {"random_state": self._write_list(state, where)}

    def _write_optimizer(self, value: type, where: str) -> Any:
        if value.__name__ not in OPTIMIZERS:
            raise self.unknown(value, where)
        return {"optimizer": value.__name__}


def _sorted(values: Any) -> list[Any]:
    return sorted(values, key=lambda value: (type(value).__name__, value))


class ValueReader:
    """Turn JSON and arrays back into values.

    Parameters
    ----------
    arrays : mapping of str to ndarray
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.arrays = arrays
        self.readers: dict[str, Callable[[Any], Any]] = {
            "float": lambda v: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[v],
            "tuple": lambda v: tuple(self._items(v)),
            "set": lambda v: set(self._items(v)),
            "frozenset": lambda v: frozenset(self._items(v)),
            "dict": self._read_dict,
            "slice": lambda v: slice(*_three(self._items(v))),
            "range": self._read_range,
            "scalar": self._read_scalar,
            "array": lambda v: np.array(self.arrays[_text(v)]),
            "objects": self._read_objects,
            "texts": self._read_texts,
            "times": self._read_times,
            "frame": self._read_frame,
            "timestamp": self._read_timestamp,
            "timedelta": lambda v: pd.Timedelta(_of_length(_integers(v), 1)[0], "ns"),
            "duration": lambda v: timedelta(*_three(_integers(v))),
            "random_state": self._read_random,
            "path": lambda v: Path(_text(v)),
            "dtype": self._read_dtype,
            "type": lambda v: TYPES[_text(v)],
            "optimizer": self._read_optimizer,
        }

    def read(self, value: Any) -> Any:
        """Return the value that is written as this JSON."""
        if isinstance(value, list):
            return self._items(value)
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            raise PartError("a value has no type or several types")
        ((kind, content),) = value.items()
        if kind not in self.readers:
            raise PartError(f"a value has the unknown type {kind[:40]!r}")
        return self.readers[kind](content)

    def _items(self, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise PartError("a value must be a list, but is not")
        return [self.read(item) for item in value]

    def _read_range(self, value: Any) -> range:
        found = range(*_three(_integers(value)))
        if len(found) > LONGEST_RANGE:  # a few bytes could describe a range that takes hours
            raise PartError(f"a range has {len(found)} numbers, which is too many")
        return found

    def _read_dict(self, value: Any) -> dict[Any, Any]:
        pairs = [_of_length(self._items(pair), 2) for pair in _list(value)]
        found = dict(pairs)
        if len(found) != len(pairs):
            raise PartError("a dict has a key twice")
        return found

    def _read_scalar(self, value: Any) -> Any:
        name, content = _of_length(_list(value), 2)
        if name == "str_":
            return np.str_(_text(content))
        kind = np.dtype("bool" if name == "bool" else TYPES[_text(name)])
        if kind.kind not in "biuf":
            raise PartError(f"a scalar has the type {name!r}, which is not numeric")
        number = self.read(content)
        if not isinstance(number, int | float):
            raise PartError("a scalar is not a number")
        return kind.type(number)

    def _read_objects(self, value: Any) -> NDArray[Any]:
        shape, items = _of_length(_list(value), 2)
        found = np.empty(len(_list(items)), dtype=object)
        found[:] = self._items(items)
        return _reshaped(found, shape)

    def _read_texts(self, value: Any) -> NDArray[Any]:
        kind, shape, items = _of_length(_list(value), 3)
        longest = max((len(_text(item)) for item in _list(items)), default=0)
        if not _TEXTS.fullmatch(_text(kind)) or int(kind[2:]) > max(longest, 1):
            raise PartError("an array of strings has a larger width than its strings")
        if int(kind[2:]) * len(items) > LARGEST_TEXTS:
            raise PartError("an array of strings takes too much memory")
        return _reshaped(np.array(items, dtype=kind), shape)

    def _read_times(self, value: Any) -> NDArray[Any]:
        kind, items = _of_length(_list(value), 2)
        found = self.read(items)
        if not _TIMES.fullmatch(_text(kind)) or found.dtype != np.int64:
            raise PartError("an array of times has an unknown unit")
        return found.view(kind)

    def _read_frame(self, value: Any) -> pd.DataFrame:
        columns, index, name = _of_length(_list(value), 3)
        index = self.read(index)
        if isinstance(index, range):
            index = pd.RangeIndex(index.start, index.stop, index.step)
        index = pd.Index(index, name=self.read(name))
        # Check this before the table is built: a few bytes could describe billions of rows.
        read = [_of_length(_list(column), 3) for column in _list(columns)]
        arrays = [self.read(values) for _, _, values in read]
        if any(not isinstance(a, np.ndarray) or a.shape != (len(index),) for a in arrays):
            raise PartError("the columns of a table have different lengths")
        if not arrays and len(index) > 1_000_000:
            raise PartError("a table has rows but no columns")
        frame = pd.DataFrame(
            {
                i: pd.Series(array, index=index, dtype=TEXT if kind == "text" else array.dtype)
                for i, ((_, kind, _), array) in enumerate(zip(read, arrays, strict=True))
            },
            index=index,
        )
        frame.columns = pd.Index([self.read(of) for of, _, _ in read])
        return frame

    def _read_timestamp(self, value: Any) -> pd.Timestamp:
        ticks, unit, zone = _of_length(_list(value), 3)
        if unit not in ("s", "ms", "us", "ns") or not (zone is None or isinstance(zone, str)):
            raise PartError("a time has an unknown unit or time zone")
        (ticks,) = _integers([ticks])
        at = pd.Timestamp(np.datetime64(ticks, unit))
        return at if zone is None else at.tz_localize("UTC").tz_convert(zone)

    def _read_random(self, value: Any) -> np.random.RandomState:
        random = np.random.RandomState()
        random.set_state(("MT19937", *_of_length(self._items(value), 4)))
        return random

    def _read_dtype(self, value: Any) -> np.dtype[Any]:
        if not re.fullmatch(r"[<|][biuf][1248]|\|O", _text(value)):
            raise PartError(f"the dtype {_text(value)[:40]!r} is unknown")
        return np.dtype(value)

    def _read_optimizer(self, value: Any) -> Any:
        import torch

        if value not in OPTIMIZERS:
            raise PartError(f"the optimizer {str(value)[:40]!r} is unknown")
        return getattr(torch.optim, value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise PartError("a value must be a list, but is not")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise PartError("a value must be a string, but is not")
    return value


def _integers(value: Any) -> list[int]:
    if any(type(item) is not int or abs(item) >= 2**63 for item in _list(value)):
        raise PartError("a value must be an integer of 64 bits, but is not")
    return value


def _of_length(value: list[Any], length: int) -> list[Any]:
    if len(value) != length:
        raise PartError(f"a list has {len(value)} items instead of {length}")
    return value


def _three(value: list[Any]) -> list[Any]:
    return _of_length(value, 3)


def _reshaped(flat: NDArray[Any], shape: Any) -> NDArray[Any]:
    if math.prod(_integers(shape)) != len(flat) or any(size < 0 for size in shape):
        raise PartError("the shape of an array does not fit the number of its items")
    return flat.reshape(shape)
