"""ProfileEncoder: profile columns as normalized numbers, field by field (section 3.2)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils._tags import Tags
from sklearn.utils.validation import check_is_fitted

from skhuihen._estimators.fitting import all_or_nothing
from skhuihen._events.behaviors import HUGE, MISSING, check_finite
from skhuihen._events.frames import as_frame, joined_by
from skhuihen._events.nested import is_nested
from skhuihen._tables.texts import as_text
from skhuihen.preprocessing._base import as_feature_names, weigh_rows
from skhuihen.preprocessing._bounded import (
    ROUNDING,
    Extremes,
    PiecewiseLinear,
    Range,
    find_knots,
    tell_codes,
    weighted_median,
)

PROFILE_FIELDS = ("user", "device", "item")
#: With fewer rows, distinct values reveal nothing about a column.
FEW_ROWS = 20
#: With fewer values, the extremes say little about the range of future values.
FEW_FOR_RANGE = 100
#: A smaller variance is due to rounding.
NO_VARIANCE = 1e-20
#: With fewer rows of a class, a column may separate the classes by chance.
FEW_OF_A_CLASS = 5
#: An integer with more distinct values than this share, in at least this many rows, may be an
#: identifier.
NEAR_UNIQUE, MANY_ROWS = 0.95, 100


class ProfileEncoder(TransformerMixin, BaseEstimator):
    """Encode the profile columns of applications and normalize them by mean and variance.

    A number becomes up to seven columns that are linear between quantiles of the training rows and
    constant outside. A value beyond the outermost quantiles counts as the nearest of them, whatever
    its size. Booleans and other numbers with two values have one column. Missing numbers are filled
    with the median, and a further column marks them. Texts and categories become one column per
    category. Missing values are a category, and rare or unseen categories share one. All columns
    are then scaled to mean 0 and variance 1.

    Parameters
    ----------
    profile_fields : mapping of str to sequence of str, default=None
        The columns of the fields ``"user"``, ``"device"`` and ``"item"``. None finds them by name.
        If any column begins with ``user__``, ``device__`` or ``item__``, these columns are the
        profile, and a warning names the others. Otherwise all remaining columns belong to the
        user.
    id_columns : sequence of str, default=("user_id", "application_id")
        Columns that are never part of the profile. Datetime columns, nested columns and the columns
        that `attach_behaviors` joined on are not part of it either. The last are known only if X
        is the frame that it returned, or was derived from it in pandas.
    min_frequency : float, default=0.01
        Categories that occur in a smaller share of the rows are pooled; rows count with their
        weights.
    dtype : dtype, default=float64
        Data type of the result.

    Attributes
    ----------
    fields_ : dict of str to list of str
        The columns of each profile field.
    field_sizes_ : tuple of 3 int
        Number of encoded columns of the user, device and item fields.
    feature_names_in_ : ndarray of str
        The profile columns.
    n_features_in_ : int
        Number of these columns.

    Notes
    -----
    The columns of a number have knots at the 0.5% quantile, six quantiles at equal distances and
    the 99.5% quantile, or at all its values if there are eight or fewer. Between two knots a column
    rises from 0 to 1. A few huge values therefore change nothing, and a score beyond the 99.5%
    quantile equals the score there.

    `transform` warns about numbers with unusual values outside the range of `fit`. A single value
    is unusual if it is more than five times as far from the median as the extreme in `fit` (up to
    ten times, if that extreme is itself far out). Values outside are also unusual if there are too
    many: at least 5, at least 1% of all, and so many that chance alone would give them less than
    once in a million. There is no warning if `fit` saw fewer than 100 values.

    Dates are never used as numbers. A warning names those that are dropped, except a column
    ``applied_at``.

    References
    ----------
    The HUIHEN paper, section 3.2 ("encode the vector into the numerical form and normalize it
    using mean and var").

    Y. Gorishniy, I. Rubachev and A. Babenko, On embeddings for numerical features in tabular deep
    learning, NeurIPS 2022, on piecewise-linear columns.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhuihen import ProfileEncoder
    >>> X = pd.DataFrame({"user_id": [1, 2], "user__age": [30, 50], "device__os": ["a", "b"]})
    >>> encoder = ProfileEncoder().fit(X)
    >>> encoder.fields_
    {'user': ['user__age'], 'device': ['device__os'], 'item': []}
    >>> encoder.transform(X)
    array([[-1.,  1., -1.],
           [ 1., -1.,  1.]])
    """

    _parameter_constraints: dict = {
        "profile_fields": [dict, None],
        "id_columns": ["array-like"],
        "min_frequency": [Interval(Real, 0, 1, closed="neither")],
        "dtype": "no_validation",
    }

    def __init__(
        self,
        profile_fields: Mapping[str, Sequence[str]] | None = None,
        id_columns: Sequence[str] = ("user_id", "application_id"),
        min_frequency: float = 0.01,
        dtype: Any = np.float64,
    ) -> None:
        self.profile_fields = profile_fields
        self.id_columns = id_columns
        self.min_frequency = min_frequency
        self.dtype = dtype

    @all_or_nothing
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn fields, categories, medians, means and variances.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_applications,), default=None
            Weight of each row. A weight of two equals two rows, and rows of weight 0 are ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If most values of a text column are distinct, or a number is infinite.

        Warns
        -----
        UserWarning
            If a number contains what looks like a code for missing values, texts look like
            numbers, a date is dropped, or an integer may be an identifier.
        """
        frame = _read(X)
        if not len(frame):
            raise ValueError("X has no rows. Pass at least one row to fit.")
        frame, weight = weigh_rows(frame, sample_weight)
        kinds = kinds_of(frame)
        self.fields_ = self._find_fields(frame, kinds)
        self._tell_what_is_left_out(frame, kinds)
        columns = [column for field in PROFILE_FIELDS for column in self.fields_[field]]
        self.feature_names_in_ = np.asarray(columns, dtype=object)
        self.n_features_in_ = len(columns)
        self._is_number = {column: _is_number(frame[column]) for column in columns}
        # A number that was always missing is unknown: later values stay missing.
        self._without_value = {
            column for column in columns if self._is_number[column] and frame[column].isna().all()
        }
        for column in columns:
            _refuse_identifier(frame[column], self._is_number[column])
            if not self._is_number[column]:
                _tell_numbers_as_texts(frame[column])
        if not columns:
            self.field_sizes_ = (0, 0, 0)
            return self
        self._fit_encoders(frame, weight)
        encoded = self._encode(frame)
        self._mean = np.average(encoded, axis=0, weights=weight)
        variance = np.average((encoded - self._mean) ** 2, axis=0, weights=weight)
        # All columns are from 0 to 1; the variance of a constant one would be pure rounding.
        self._scale = np.sqrt(np.where(variance > NO_VARIANCE, variance, 1.0))
        return self

    def transform(self, X: Any) -> NDArray[np.floating]:
        """Encode and normalize.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)
            Must have the profile columns of `fit`, in any order; others are ignored.

        Returns
        -------
        ndarray of shape (n_applications, ``sum(field_sizes_)``)
            The user's columns, then the device's, then the item's.
        """
        check_is_fitted(self)
        frame = _read(X)
        encoded = self.encode(frame)
        self.tell_unusual(frame, stacklevel=3)
        return encoded

    def encode(self, frame: pd.DataFrame) -> NDArray[np.floating]:
        """Do the same as `transform`, for a frame that `as_frame` has already read."""
        lacking = [column for column in self.feature_names_in_ if column not in frame.columns]
        if lacking:
            raise ValueError(
                f"X has no profile column {lacking[0]!r}, which was present in fit (all missing: "
                f"{lacking}). Add it, with missing values if they are not known."
            )
        if not self.n_features_in_ or not len(frame):
            return np.empty((len(frame), sum(self.field_sizes_)), dtype=self.dtype)
        scaled = (self._encode(frame) - self._mean) / self._scale
        return scaled.astype(self.dtype, copy=False)

    def tell_unusual(self, frame: pd.DataFrame, stacklevel: int, source: str = "fit") -> None:
        """Warn about columns whose meaning may have changed since `fit`.

        These are numbers with values far outside the range of `fit`, or too many outside it, and
        texts without any value seen in `fit`.

        Parameters
        ----------
        frame : DataFrame
        stacklevel : int
        source : str, default="fit"
            The message's name for the table on which this encoder was fitted.
        """
        if not self.n_features_in_ or not len(frame):
            return
        numbers = self._read_numbers(frame)
        is_outside = (numbers < self._low) | (numbers > self._high)
        for position in np.flatnonzero(is_outside.any(axis=0)):
            column = self._numbers[position]
            known_range = self._ranges[column]
            outside = known_range.look(numbers[:, position])
            if known_range.is_unusual(outside):
                warnings.warn(
                    f"Profile column {column!r} holds {known_range.describe(outside, source)}. "
                    "They are scored as if they were at the end of that range. Check the unit of "
                    "the column, and replace codes for missing values with NaN, for example: "
                    f"X[{column!r}].replace({known_range.farthest(outside):.15g}, np.nan).",
                    stacklevel=stacklevel + 1,
                )
        if len(frame) < FEW_ROWS:
            return
        for column, n_values, known, found in self.unknown_columns(frame):
            if n_values >= FEW_ROWS:
                warnings.warn(
                    f"None of the {n_values} values of profile column {column!r} was seen in "
                    f"{source}, so all of them count as the unknown category. The column had "
                    f"{known} there and has {found} in X. Use the same codes in both.",
                    stacklevel=stacklevel + 1,
                )

    def unknown_columns(
        self, frame: pd.DataFrame
    ) -> Iterator[tuple[Any, int, list[str], list[Any]]]:
        """Find the text columns without any value seen in `fit`.

        Yields
        ------
        column, n_values, known, found : str, int, list of str, list
            Name and number of values, and the first known and the first found values.
        """
        for column, (row_of, _) in self._one_hot.items():
            values = frame[column].dropna()
            found = values.drop_duplicates()
            if len(found) and row_of.keys().isdisjoint(_texts(found)):
                yield column, len(values), list(row_of)[:5], found[:5].tolist()

    def tell_leaks(self, frame: pd.DataFrame, label: NDArray[np.int64], stacklevel: int) -> None:
        """Warn about columns that separate the labels perfectly, which suggests a leak.

        Parameters
        ----------
        frame : DataFrame
        label : int64 ndarray of shape (n_applications,)
            0 and 1.
        stacklevel : int
        """
        if not self.n_features_in_:
            return
        separating = [
            column
            for column, values in zip(self._numbers, self._read_numbers(frame).T, strict=True)
            if _separates(np.isnan(values).astype(np.float64), label) or _separates(values, label)
        ]
        for column in self._categories:
            code, names = pd.factorize(np.array(_texts(frame[column]), dtype=object))
            if len(names) <= max(2, len(label) / FEW_ROWS):
                share = np.bincount(code, weights=label) / np.bincount(code)
                if _separates(share[code], label):
                    separating.append(column)
        if separating:
            warnings.warn(
                f"Profile columns {separating} separate the labels perfectly, each on its own. "
                "Such a column was probably not known at the application. Check whether it was "
                "recorded afterwards and, if so, drop it (for example with id_columns).",
                stacklevel=stacklevel + 1,
            )

    def check_types(self, frame: pd.DataFrame) -> None:
        """Reject numbers where `fit` saw texts; scoring would read them as texts of digits."""
        for column, is_number in self._is_number.items():
            values = frame[column]
            if not is_number and not values.isna().all() and _is_number(values):
                raise TypeError(
                    f"Profile column {column!r} held texts or categories in fit but now has dtype "
                    f"{values.dtype}. Convert it with .astype(str)."
                )

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the encoded columns.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        if not self.n_features_in_:
            return np.empty(0, dtype=object)
        return as_feature_names(self._names)

    def _find_fields(self, frame: pd.DataFrame, kinds: Mapping[Any, str]) -> dict[str, list[str]]:
        if self.profile_fields is not None:
            return self._check_fields(frame, kinds)
        candidates = self._candidates(frame, kinds)
        fields: dict[str, list[str]] = {
            field: [c for c in candidates if str(c).startswith(f"{field}__")]
            for field in PROFILE_FIELDS
        }
        if not any(fields.values()):
            fields["user"] = candidates
        return fields

    def _candidates(self, frame: pd.DataFrame, kinds: Mapping[Any, str]) -> list[Any]:
        reserved = {*self.id_columns, *joined_by(frame)}
        return [c for c, kind in kinds.items() if c not in reserved and kind == "value"]

    def _tell_what_is_left_out(self, frame: pd.DataFrame, kinds: Mapping[Any, str]) -> None:
        """Warn about dates, and about columns dropped because only others have a field."""
        if self.profile_fields is not None:
            return
        taken = {column for columns in self.fields_.values() for column in columns}
        dates = [
            column
            for column, kind in kinds.items()
            if column not in {"applied_at", *self.id_columns} and kind == "time"
        ]
        if dates:
            warnings.warn(
                f"Columns {dates} hold dates or times. They are not used in the profile. If one "
                "matters, turn it into a number, such as the days from it to the application: "
                f"(X['applied_at'] - X[{dates[0]!r}]).dt.days. To silence this warning, name the "
                "others in id_columns or drop them.",
                stacklevel=4,
            )
        left_out = [
            column
            for column in self._candidates(frame, kinds)
            if column not in taken and frame[column].notna().any()
        ]
        if left_out:
            warnings.warn(
                f"Columns {left_out} are left out of the profile: the names of other columns begin "
                "with 'user__', 'device__' or 'item__', but theirs do not. To include them, rename "
                f"them (for example to 'user__{left_out[0]}') or name all columns in "
                "profile_fields. To silence this warning, drop them or name them in id_columns.",
                stacklevel=4,
            )

    def _check_fields(self, frame: pd.DataFrame, kinds: Mapping[Any, str]) -> dict[str, list[str]]:
        assert self.profile_fields is not None
        for field, columns in self.profile_fields.items():
            if field not in PROFILE_FIELDS:
                raise ValueError(
                    f"profile_fields has the field {field!r}; it must be one of {PROFILE_FIELDS}."
                )
            if isinstance(columns, str):
                raise ValueError(
                    f"profile_fields[{field!r}] is the text {columns!r}; it must be a list of "
                    f"columns: [{columns!r}]."
                )
            for column in columns:
                if column not in frame.columns:
                    raise ValueError(
                        f"profile_fields[{field!r}] names the column {column!r}, which is missing "
                        f"from X; X has {list(frame.columns)}."
                    )
                if kinds[column] != "value":
                    raise ValueError(
                        f"profile_fields[{field!r}] names the column {column!r} of dtype "
                        f"{frame[column].dtype}; numbers, booleans, texts or categories are "
                        "required. Turn a date into a number, such as days before the application."
                    )
        fields = {field: list(self.profile_fields.get(field, ())) for field in PROFILE_FIELDS}
        columns = [column for field in PROFILE_FIELDS for column in fields[field]]
        for column in columns:
            if columns.count(column) > 1:
                raise ValueError(
                    f"profile_fields names the column {column!r} more than once. Name it only once."
                )
        return fields

    def _fit_encoders(self, frame: pd.DataFrame, weight: NDArray[np.float64]) -> None:
        """Learn how each value is encoded.

        Everything is stored as arrays over all columns: separate encoders for each column would
        take longer than all other work for scoring a single application.
        """
        self._numbers = [c for c, is_number in self._is_number.items() if is_number]
        self._categories = [c for c, is_number in self._is_number.items() if not is_number]
        numbers = self._read_numbers(frame)
        missing = np.isnan(numbers)
        self._with_indicator = np.flatnonzero(missing.any(axis=0))
        medians, knots = [], []
        self._ranges: dict[Any, Range] = {}
        for column, values, is_missing in zip(self._numbers, numbers.T, missing.T, strict=True):
            known, of_known = values[~is_missing], weight[~is_missing]
            medians.append(weighted_median(known, of_known))
            knots.append(find_knots(known, of_known))
            if len(known) >= FEW_FOR_RANGE:
                self._ranges[column] = Range.of_values(known, of_known)
            tell_codes(
                Extremes().add(known),
                f"Profile column {column!r}",
                f"X[{column!r}] = X[{column!r}].replace({{}}, np.nan)",
                stacklevel=4,
            )
        self._medians = np.array(medians)
        # For all columns at once, even those without a range: most rows have nothing outside.
        known_ranges = [self._ranges.get(column) for column in self._numbers]
        self._low = np.array([-np.inf if known is None else known.low for known in known_ranges])
        self._high = np.array([np.inf if known is None else known.high for known in known_ranges])
        self._piecewise = piecewise = PiecewiseLinear(knots)
        source = [self._numbers[i] for i in piecewise.source]
        names = [
            str(column) if source.count(column) == 1 else f"{column}_from_{start:.6g}"
            for column, start in zip(source, piecewise.start, strict=True)
        ]
        for i in self._with_indicator:
            source.append(self._numbers[i])
            names.append(f"missingindicator_{self._numbers[i]}")
        self._one_hot: dict[Any, tuple[dict[str, int], NDArray[np.float64]]] = {}
        for column in self._categories:
            row_of, table, categories = _pool(_texts(frame[column]), weight, self.min_frequency)
            self._one_hot[column] = row_of, table
            names += [f"{column}_{category}" for category in categories]
            source += [column] * len(categories)
        field_of = {
            column: position
            for position, field in enumerate(PROFILE_FIELDS)
            for column in self.fields_[field]
        }
        fields = np.array([field_of[column] for column in source])
        self._order = np.argsort(fields, kind="stable")
        self._names = [str(names[i]) for i in self._order]
        self.field_sizes_ = tuple(np.bincount(fields, minlength=len(PROFILE_FIELDS)).tolist())

    def _encode(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return the encoded columns, field by field."""
        numbers = self._read_numbers(frame)
        missing = np.isnan(numbers)
        filled = np.where(missing, self._medians, numbers)
        encoded = [self._piecewise.transform(filled), missing[:, self._with_indicator]]
        for column, (row_of, table) in self._one_hot.items():
            # The last row is for unknown texts.
            rows = [row_of.get(text, -1) for text in _texts(frame[column])]
            encoded.append(table[np.array(rows, dtype=np.int64)])
        return np.hstack(encoded)[:, self._order]

    def _read_numbers(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return the numeric columns, NaN where a value is missing."""
        numbers = np.full((len(frame), len(self._numbers)), np.nan)
        for i, column in enumerate(self._numbers):
            if column not in self._without_value:
                numbers[:, i] = _numbers(frame[column])
        if (np.abs(numbers) > HUGE).any():
            for column, values in zip(self._numbers, numbers.T, strict=True):
                check_finite(values, f"Profile column {column!r}")
        return numbers

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


def _read(X: Any) -> pd.DataFrame:
    """Return X as a frame with unique column names."""
    frame = as_frame(X)
    names = frame.columns.map(str)
    if not names.is_unique:
        raise ValueError(
            f"X has more than one column {names[names.duplicated()][0]!r}. Rename or drop all "
            "but one."
        )
    return frame


def is_datetime(column: pd.Series) -> bool:
    """Return whether a column holds dates or times."""
    if isinstance(column.dtype, pd.ArrowDtype):
        return column.dtype.kind == "M" or pa.types.is_date(column.dtype.pyarrow_dtype)
    if pd.api.types.is_object_dtype(column.dtype):  # dates, as pyarrow and polars return them
        return pd.api.types.infer_dtype(column, skipna=True) in ("date", "datetime", "datetime64")
    return pd.api.types.is_datetime64_any_dtype(column.dtype)


def kinds_of(frame: pd.DataFrame) -> dict[Any, str]:
    """Return what each column holds: ``"time"``, ``"nested"`` or a ``"value"`` of a profile.

    Of a type that does not say, the values are looked at, so this is asked once in a `fit`.
    """
    kinds = {}
    for name, dtype in zip(frame.columns.tolist(), frame.dtypes.tolist(), strict=True):
        kinds[name] = "value"
        if not is_clear(dtype):
            column = frame[name]
            kinds[name] = "time" if is_datetime(column) else "value"
            kinds[name] = "nested" if is_nested(column) else kinds[name]
    return kinds


def _is_number(column: pd.Series) -> bool:
    """Return True for numbers and booleans, False for texts and categories; reject the rest."""
    with _refusing_broken_text(column.name):
        dtype = column.infer_objects().dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return False
    if isinstance(dtype, pd.ArrowDtype) and pa.types.is_dictionary(dtype.pyarrow_dtype):
        return False
    if isinstance(dtype, pd.ArrowDtype) and pa.types.is_null(dtype.pyarrow_dtype):
        return True
    if pd.api.types.is_bool_dtype(dtype) or (
        pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)
    ):
        return True
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("integer", "floating", "mixed-integer-float", "boolean", "decimal"):
        return True
    if kind in ("string", "categorical", "empty"):
        return kind == "empty"
    raise TypeError(
        f"Profile column {column.name!r} is of dtype {column.dtype} and holds {kind} values; "
        "numbers, booleans, texts or categories are required. Convert it, or drop it with "
        "id_columns or profile_fields."
    )


@contextmanager
def _refusing_broken_text(column: Any) -> Iterator[None]:
    """Report the column with invalid Unicode, which pandas' text dtype cannot hold."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise ValueError(
            f"Profile column {column!r} holds text that is not valid Unicode ({error}). Read it "
            "with the right encoding, or replace the broken text."
        ) from error


def is_plain(dtype: Any) -> bool:
    """Return whether a dtype is a number or boolean of numpy, so values need no check."""
    return isinstance(dtype, np.dtype) and dtype.kind in "fiub"


def is_clear(dtype: Any) -> bool:
    """Return whether a dtype alone rules out times and events."""
    return is_plain(dtype) or isinstance(dtype, pd.StringDtype)


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    """Return a numeric or boolean column of any dtype as floats; reject texts."""
    if is_plain(column.dtype):
        return column.to_numpy(dtype=np.float64)
    if column.isna().all():  # then the dtype says nothing
        return np.full(len(column), np.nan)
    if not _is_number(column):
        raise TypeError(
            f"Profile column {column.name!r} held numbers or booleans in fit but now has dtype "
            f"{column.dtype}. Convert it with pandas.to_numeric, or convert booleans written as "
            "text with .map({'True': True, 'False': False})."
        )
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _texts(column: pd.Series) -> list[str]:
    """Return texts or categories as Python strings; missing values become ``"missing"``."""
    with _refusing_broken_text(column.name):
        values = column.to_numpy(object)
        return [
            MISSING if missing else as_text(value)
            for value, missing in zip(values, pd.isna(values), strict=True)
        ]


def _separates(values: NDArray[np.float64], label: NDArray[np.int64]) -> bool:
    """Return whether all values of one label are below those of the other; NaN is ignored."""
    parts = [values[(label == of) & ~np.isnan(values)] for of in (0, 1)]
    if min(map(len, parts)) < FEW_OF_A_CLASS or sum(map(len, parts)) < FEW_ROWS:
        return False
    return any(a.max() < b.min() for a, b in (parts, reversed(parts)))


def _pool(
    texts: list[str], weight: NDArray[np.float64], min_frequency: float
) -> tuple[dict[str, int], NDArray[np.float64], list[str]]:
    """Learn the categories of a column; rare and unseen ones share one.

    Returns
    -------
    row_of, table, names : dict of str to int, ndarray, list of str
        The row of each text in the table of encoded columns, the table itself (its last row is for
        unseen texts), and the names of the columns.
    """
    known = sorted(set(texts))
    row_of = {text: row for row, text in enumerate(known)}
    rows = np.array([row_of[text] for text in texts], dtype=np.int64)
    share = np.bincount(rows, weights=weight) / weight.sum()
    is_rare = share < min_frequency - ROUNDING
    frequent = np.flatnonzero(~is_rare)
    names = [known[row] for row in frequent]
    table = np.zeros((len(known) + 1, len(frequent) + is_rare.any()))
    table[frequent, np.arange(len(frequent))] = 1.0
    if is_rare.any():
        names.append("infrequent_sklearn")  # scikit-learn's name for it
        table[np.append(is_rare, True), -1] = 1.0
    return row_of, table, names


def _refuse_identifier(column: pd.Series, is_number: bool) -> None:
    """Reject a text column that identifies rows; warn about an integer that may do so."""
    n_rows = len(column)
    if n_rows < FEW_ROWS:
        return
    n_distinct = column.nunique()
    if not is_number and n_distinct > 0.5 * n_rows:
        found = f"Profile column {column.name!r} holds {n_distinct} distinct texts in {n_rows} rows"
        numbers = _numbers_as_texts(column)
        if numbers is not None:
            raise ValueError(
                f"{found}, which look like numbers, such as {numbers[0]!r}. {numbers[1]}"
            )
        raise ValueError(
            f"{found}: it identifies applications rather than describing them. Drop it with "
            "id_columns or profile_fields, or group its values."
        )
    is_unique = n_distinct == n_rows
    is_nearly = n_rows >= MANY_ROWS and n_distinct > NEAR_UNIQUE * n_rows
    if (is_unique or is_nearly) and pd.api.types.is_integer_dtype(column.dtype):
        warnings.warn(
            f"Profile column {column.name!r} is an integer with a distinct value in "
            f"{'' if is_unique else 'nearly '}each of {n_rows} rows. If it is an identifier, drop "
            f"it with id_columns=[..., {column.name!r}]. If it is an amount, convert it with "
            ".astype(float).",
            stacklevel=4,
        )


#: Ways to write numbers: with a currency or percent sign, with thousands separators, with a decimal
#: comma, and with digits only.
_UNIT = r"[$\u00a3\u00a5\u20ac\u20a6\u20b9%]"
_WITH_COMMAS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
_WITH_SPACES = re.compile(r"\d{1,3}([\s'\u2019]\d{3})+([.,]\d+)?")
_DECIMAL_COMMA = re.compile(r"(\d{1,3}(\.\d{3})+|\d+),\d+")
_PLAIN = re.compile(r"(0|[1-9]\d*)?(\.\d+)?([eE][-+]?\d+)?")


def _numbers_as_texts(column: pd.Series) -> tuple[str, str] | None:
    """Return an example and the fix if a text column holds numbers; None otherwise.

    Few distinct whole numbers may be codes, and a categorical column is taken as such.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype) or (
        isinstance(dtype, pd.ArrowDtype) and pa.types.is_dictionary(dtype.pyarrow_dtype)
    ):
        return None
    counts = column.dropna().value_counts()
    kinds = [_kind_of_number(str(text)) for text in counts.index]
    if not len(counts):
        return None
    share = sum(n for n, kind in zip(counts, kinds, strict=True) if kind) / counts.sum()
    written = [kind for kind in kinds if kind not in (None, "plain")]
    if share < 0.9 or (len(counts) <= FEW_ROWS and not written):
        return None
    kind = max(set(written), key=written.count) if written else "plain"
    example = next(text for text, found in zip(counts.index, kinds, strict=True) if found == kind)
    texts = f"X[{column.name!r}]"
    clean = {
        "plain": texts,
        "commas": f"{texts}.str.replace(r'[^0-9.eE+-]', '', regex=True)",
        "decimal comma": f"{texts}.str.replace(r'[^0-9,+-]', '', regex=True).str.replace(',', '.')",
    }[kind]
    return str(example), (
        f"Convert it: X[{column.name!r}] = pd.to_numeric({clean}, errors='coerce'). If it is a "
        "code, use .astype('category')."
    )


def _kind_of_number(text: str) -> str | None:
    """Return how a text writes a number; None if it is not a number."""
    bare = text.strip()
    number = re.sub(_UNIT, "", bare).strip()
    number = re.sub(r"^[-+]\s*|^\((?=.*\)$)|(?<=\d)\)$", "", number).strip()
    if not any(character.isdigit() for character in number):
        return None
    if _WITH_COMMAS.fullmatch(number):
        return "commas"
    if _DECIMAL_COMMA.fullmatch(number):
        return "decimal comma"
    if _WITH_SPACES.fullmatch(number):
        return "decimal comma" if "," in number else "commas"
    if _PLAIN.fullmatch(number):
        return "commas" if re.search(_UNIT, bare) else "plain"
    return None


def _tell_numbers_as_texts(column: pd.Series) -> None:
    """Warn about numbers that would become categories."""
    found = _numbers_as_texts(column)
    if found is not None:
        example, cure = found
        warnings.warn(
            f"Profile column {column.name!r} holds texts that look like numbers, such as "
            f"{example!r}, and each becomes a category. {cure}",
            stacklevel=4,
        )
