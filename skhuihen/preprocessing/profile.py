"""ProfileEncoder: profile columns as normalized numbers, field by field (section 3.2)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils._param_validation import Interval
from sklearn.utils._tags import Tags
from sklearn.utils.validation import check_is_fitted

from skhuihen.behaviors import (
    HUGE,
    MISSING,
    as_frame,
    as_text,
    check_finite,
    is_nested,
    joined_by,
)
from skhuihen.preprocessing._base import unique_names

PROFILE_FIELDS = ("user", "device", "item")
#: Below this many rows, distinct values say nothing about a column.
FEW_ROWS = 20
#: An integer with more distinct values than this share of so many rows may say who applied.
NEAR_UNIQUE, MANY_ROWS = 0.95, 100


class ProfileEncoder(TransformerMixin, BaseEstimator):
    """Encode the profile columns of applications and normalize them by mean and variance.

    Numbers and booleans are filled with the median where they are missing, with a further column
    that says so; texts and categories become one column per category, where a missing value is a
    category and rare or unseen ones share one. All columns are then scaled to mean 0 and
    variance 1.

    Parameters
    ----------
    profile_fields : mapping of str to sequence of str, default=None
        The columns of the fields ``"user"``, ``"device"`` and ``"item"``. None finds them: if
        any column's name begins with ``user__``, ``device__`` or ``item__``, the columns that do
        are the profile, and a warning names the others; otherwise every column left is the
        user's.
    id_columns : sequence of str, default=("user_id", "application_id")
        Columns that are never profile, as no datetime column and no nested column is, nor one that
        `attach_behaviors` has joined by, as long as the table is the frame that it returned or was
        made of it by pandas.
    min_frequency : float, default=0.01
        Categories in a smaller share of the rows are pooled.
    dtype : dtype, default=float64
        Of the result.

    Attributes
    ----------
    fields_ : dict of str to list of str
        The columns of each profile field.
    field_sizes_ : tuple of 3 int
        Number of encoded columns of the user, device and item field.
    feature_names_in_ : ndarray of str
        The profile columns.
    n_features_in_ : int
        Their number.

    References
    ----------
    The HUIHEN paper, section 3.2 ("encode the vector into the numerical form and normalize it
    using mean and var").

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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn fields, categories, medians, means and variances.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_applications,), default=None
            Weight of each row in means and variances.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a text column has a value of its own in most rows, or a number is infinite.
        """
        frame = _read(X)
        self.fields_ = self._find_fields(frame)
        self._tell_what_is_left_out(frame)
        columns = [column for field in PROFILE_FIELDS for column in self.fields_[field]]
        self.feature_names_in_ = np.asarray(columns, dtype=object)
        self.n_features_in_ = len(columns)
        self._is_number = {column: _is_number(frame[column]) for column in columns}
        # Of a number that was always missing nothing is known: what comes later stays missing.
        self._without_value = {
            column for column in columns if self._is_number[column] and frame[column].isna().all()
        }
        for column in columns:
            _refuse_identifier(frame[column], self._is_number[column])
        if not columns:
            self.field_sizes_ = (0, 0, 0)
            return self
        self._fit_encoders(frame)
        # numpy in and out, whatever the global setting is.
        scaler = StandardScaler().set_output(transform="default")
        self._scaler = scaler.fit(self._encode(frame), sample_weight=sample_weight)
        return self

    def transform(self, X: Any) -> NDArray[np.floating]:
        """Encode and normalize.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)
            With the profile columns of `fit`, in any order; others are ignored.

        Returns
        -------
        ndarray of shape (n_applications, sum(field_sizes_))
            The user's columns, then the device's, then the item's.
        """
        check_is_fitted(self)
        frame = _read(X)
        encoded = self.encode(frame)
        self.tell_unknown(frame, stacklevel=3)
        return encoded

    def encode(self, frame: pd.DataFrame) -> NDArray[np.floating]:
        """Do what `transform` does, for a frame that `as_frame` has read already."""
        lacking = [column for column in self.feature_names_in_ if column not in frame.columns]
        if lacking:
            raise ValueError(
                f"X has no profile column {lacking[0]!r}, which was there in fit (lacking in all: "
                f"{lacking}). Add it, with missing values if they are not known."
            )
        if not self.n_features_in_ or not len(frame):
            return np.empty((len(frame), sum(self.field_sizes_)), dtype=self.dtype)
        scaled = (self._encode(frame) - self._scaler.mean_) / self._scaler.scale_
        # What is finite here may overflow in a narrower type, or in the layers behind.
        too_far = np.abs(scaled).max(axis=0) > np.sqrt(np.finfo(self.dtype).max)
        if too_far.any():
            raise ValueError(
                f"Profile column {self.get_feature_names_out()[too_far][0]!r} holds values so far "
                f"from those of fit that {np.dtype(self.dtype)} cannot hold them normalized. "
                "Replace them, for example by NaN."
            )
        return scaled.astype(self.dtype, copy=False)

    def tell_unknown(self, frame: pd.DataFrame, stacklevel: int) -> None:
        """Warn of a column in which no value was there in `fit`: it may be coded differently."""
        if len(frame) < FEW_ROWS or not self.n_features_in_:
            return
        for column, n_values, known, found in self.unknown_columns(frame):
            if n_values >= FEW_ROWS:
                warnings.warn(
                    f"None of the {n_values} values of profile column {column!r} was there in "
                    f"fit, so all are one unknown category. It had {known}, X has {found}. Code "
                    "both alike.",
                    stacklevel=stacklevel + 1,
                )

    def unknown_columns(
        self, frame: pd.DataFrame
    ) -> Iterator[tuple[Any, int, list[str], list[Any]]]:
        """Find the columns of texts in which no value was there in `fit`.

        Yields
        ------
        column, n_values, known, found : str, int, list of str, list
            How many values it has, and the first of those known and of those found.
        """
        for column, (row_of, _) in self._one_hot.items():
            values = frame[column].dropna()
            found = values.drop_duplicates()
            if len(found) and row_of.keys().isdisjoint(_texts(found)):
                yield column, len(values), list(row_of)[:5], found[:5].tolist()

    def check_types(self, frame: pd.DataFrame) -> None:
        """Refuse numbers where texts were in `fit`; scoring takes them for texts of digits."""
        for column, is_number in self._is_number.items():
            values = frame[column]
            if not is_number and not values.isna().all() and _is_number(values):
                raise TypeError(
                    f"Profile column {column!r} held texts or categories in fit and is of dtype "
                    f"{values.dtype} now. Convert it with .astype(str)."
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
        return unique_names(self._names)

    def _find_fields(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        if self.profile_fields is not None:
            return self._check_fields(frame)
        candidates = self._candidates(frame)
        fields: dict[str, list[str]] = {
            field: [c for c in candidates if str(c).startswith(f"{field}__")]
            for field in PROFILE_FIELDS
        }
        if not any(fields.values()):
            fields["user"] = candidates
        return fields

    def _candidates(self, frame: pd.DataFrame) -> list[Any]:
        reserved = {*self.id_columns, *joined_by(frame)}
        return [
            column
            for column in frame.columns
            if column not in reserved
            and not is_datetime(frame[column])
            and not is_nested(frame[column])
        ]

    def _tell_what_is_left_out(self, frame: pd.DataFrame) -> None:
        """Warn of columns that are no profile only because others are named by field."""
        if self.profile_fields is not None:
            return
        taken = {column for columns in self.fields_.values() for column in columns}
        left_out = [
            column
            for column in self._candidates(frame)
            if column not in taken and frame[column].notna().any()
        ]
        if left_out:
            warnings.warn(
                f"Columns {left_out} are left out of the profile: other names begin with 'user__', "
                "'device__' or 'item__', and theirs do not. Rename them (for example to "
                f"'user__{left_out[0]}') or name all columns in profile_fields to have them in; "
                "drop them, or name them in id_columns, to be rid of this warning.",
                stacklevel=4,
            )

    def _check_fields(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        assert self.profile_fields is not None
        for field, columns in self.profile_fields.items():
            if field not in PROFILE_FIELDS:
                raise ValueError(
                    f"profile_fields names the field {field!r}; it must be one of {PROFILE_FIELDS}."
                )
            if isinstance(columns, str):
                raise ValueError(
                    f"profile_fields[{field!r}] is the text {columns!r}; a list of columns is "
                    f"wanted: [{columns!r}]."
                )
            for column in columns:
                if column not in frame.columns:
                    raise ValueError(
                        f"profile_fields[{field!r}] names the column {column!r}, which X does not "
                        f"have; it has {list(frame.columns)}."
                    )
                if is_datetime(frame[column]) or is_nested(frame[column]):
                    raise ValueError(
                        f"profile_fields[{field!r}] names the column {column!r} of dtype "
                        f"{frame[column].dtype}; numbers, booleans, texts or categories are "
                        "wanted. Turn a date into a number, such as days before the application."
                    )
        fields = {field: list(self.profile_fields.get(field, ())) for field in PROFILE_FIELDS}
        columns = [column for field in PROFILE_FIELDS for column in fields[field]]
        for column in columns:
            if columns.count(column) > 1:
                raise ValueError(f"profile_fields names the column {column!r} more than once.")
        return fields

    def _fit_encoders(self, frame: pd.DataFrame) -> None:
        """Let scikit-learn's encoders say what becomes of each value, and note it.

        They would check their input column by column at every call, which takes longer than all
        the rest of scoring a single application.
        """
        self._numbers = [c for c, is_number in self._is_number.items() if is_number]
        self._categories = [c for c, is_number in self._is_number.items() if not is_number]
        names: list[str] = []
        self._medians, self._with_indicator = np.empty(0), np.empty(0, dtype=np.int64)
        if self._numbers:
            imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
            imputer.set_output(transform="default").fit(self._read_numbers(frame))
            self._medians, self._with_indicator = imputer.statistics_, imputer.indicator_.features_
            names += list(imputer.get_feature_names_out([str(c) for c in self._numbers]))
        source = [*self._numbers, *(self._numbers[i] for i in self._with_indicator)]
        self._one_hot: dict[Any, tuple[dict[str, int], NDArray[np.float64]]] = {}
        for column in self._categories:
            encoder = OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                min_frequency=self.min_frequency,
                sparse_output=False,
            )
            texts = np.array(_texts(frame[column]), dtype=object)
            encoder.set_output(transform="default").fit(texts[:, None])
            (known,) = encoder.categories_
            unknown = "".join(known) + "?"  # longer than all that are known
            table = encoder.transform(np.append(known, unknown)[:, None])
            self._one_hot[column] = {text: row for row, text in enumerate(known)}, table
            names += list(encoder.get_feature_names_out([str(column)]))
            source += [column] * table.shape[1]
        field_of = {
            column: position
            for position, field in enumerate(PROFILE_FIELDS)
            for column in self.fields_[field]
        }
        fields = np.array([field_of[column] for column in source])
        self._order = np.argsort(fields, kind="stable")
        self._names = np.array(names, dtype=object)[self._order]
        self.field_sizes_ = tuple(np.bincount(fields, minlength=len(PROFILE_FIELDS)).tolist())

    def _encode(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return the encoded columns, field by field."""
        numbers = self._read_numbers(frame)
        missing = np.isnan(numbers)
        encoded = [np.where(missing, self._medians, numbers), missing[:, self._with_indicator]]
        for column, (row_of, table) in self._one_hot.items():
            # The last row is that of what is not known.
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
    """Return X as a frame in which each column has a name of its own."""
    frame = as_frame(X)
    names = frame.columns.map(str)
    if not names.is_unique:
        raise ValueError(
            f"X has more than one column {names[names.duplicated()][0]!r}. Rename or drop all "
            "but one."
        )
    return frame


def is_datetime(column: pd.Series) -> bool:
    """Tell whether a column holds dates or times."""
    if isinstance(column.dtype, pd.ArrowDtype):
        return column.dtype.kind == "M" or pa.types.is_date(column.dtype.pyarrow_dtype)
    if pd.api.types.is_object_dtype(column.dtype):  # dates, as pyarrow and polars hand them over
        return pd.api.types.infer_dtype(column, skipna=True) in ("date", "datetime", "datetime64")
    return pd.api.types.is_datetime64_any_dtype(column.dtype)


def _is_number(column: pd.Series) -> bool:
    """Tell numbers and booleans from texts and categories; refuse anything else."""
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
        "numbers, booleans, texts or categories are wanted. Convert it, or leave it out with "
        "id_columns or profile_fields."
    )


@contextmanager
def _refusing_broken_text(column: Any) -> Iterator[None]:
    """Name the column whose text is no Unicode, which pandas' text dtype cannot hold."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise ValueError(
            f"Profile column {column!r} holds text that is not valid Unicode ({error}). Read it "
            "with the right encoding, or replace what is broken."
        ) from error


def is_plain(dtype: Any) -> bool:
    """Tell numbers and booleans of numpy, which need no look to know that they are."""
    return isinstance(dtype, np.dtype) and dtype.kind in "fiub"


def is_clear(dtype: Any) -> bool:
    """Tell dtypes that say by themselves that they are neither times nor events."""
    return is_plain(dtype) or isinstance(dtype, pd.StringDtype)


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    """Return a numeric or boolean column of any dtype as floats; refuse texts."""
    if is_plain(column.dtype):
        return column.to_numpy(dtype=np.float64)
    if column.isna().all():  # then the dtype says nothing
        return np.full(len(column), np.nan)
    if not _is_number(column):
        raise TypeError(
            f"Profile column {column.name!r} held numbers or booleans in fit and is of dtype "
            f"{column.dtype} now. Convert it with pandas.to_numeric, or booleans written as text "
            "with .map({'True': True, 'False': False})."
        )
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _texts(column: pd.Series) -> list[str]:
    """Return texts or categories as Python strings, ``"missing"`` where there is none."""
    with _refusing_broken_text(column.name):
        values = column.to_numpy(object)
        return [
            MISSING if missing else as_text(value)
            for value, missing in zip(values, pd.isna(values), strict=True)
        ]


def _refuse_identifier(column: pd.Series, is_number: bool) -> None:
    """Refuse a text that names rows; warn of an integer that may."""
    n_rows = len(column)
    if n_rows < FEW_ROWS:
        return
    n_distinct = column.nunique()
    if not is_number and n_distinct > 0.5 * n_rows:
        raise ValueError(
            f"Profile column {column.name!r} holds {n_distinct} distinct texts in {n_rows} rows: "
            "it names applications rather than describing them. Leave it out with id_columns or "
            "profile_fields, or group its values."
        )
    is_unique = n_distinct == n_rows
    is_nearly = n_rows >= MANY_ROWS and n_distinct > NEAR_UNIQUE * n_rows
    if (is_unique or is_nearly) and pd.api.types.is_integer_dtype(column.dtype):
        warnings.warn(
            f"Profile column {column.name!r} is an integer with a value of its own in "
            f"{'' if is_unique else 'nearly '}each of {n_rows} rows. If it is an "
            f"identifier, leave it out with id_columns=[..., {column.name!r}]; if it is an amount, "
            "convert it with .astype(float).",
            stacklevel=4,
        )
