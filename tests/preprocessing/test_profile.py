"""ProfileEncoder against a slow reading of its documentation, and its promises."""

from __future__ import annotations

import datetime as dt
import math
import pickle
import re
import statistics
import warnings
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from skhuihen import ProfileEncoder
from skhuihen._compat import TEXT
from tests.preprocessing.strategies import applications, event


def arrow(values, kind=None):
    array = pa.array(values, kind)
    return pd.Series(pd.array(array, dtype=pd.ArrowDtype(array.type)))


# ---- the oracle


def mean_and_scale(values, weights):
    total = sum(weights)
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) / total
    variance = sum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True)) / total
    return mean, math.sqrt(variance) if variance > 1e-12 else 1.0


class SlowEncoder:
    """Numbers are floats or None, texts are str or None; one cell at a time.

    Of eight distinct values at most, and weights that are multiples of a half.
    """

    def __init__(self, fields, numbers, min_frequency):
        self.fields, self.numbers, self.min_frequency = fields, numbers, min_frequency

    def fit(self, table, weights):
        self.without_value = {c for c in self.numbers if all(v is None for v in table[c])}
        n = len(weights)
        times = [int(2 * w) for w in weights]
        self.medians, self.categories, self.rare, self.indicated = {}, {}, {}, []
        self.knots = {}
        for column in (c for field in self.fields.values() for c in field):
            values = [v for v, w in zip(table[column], times, strict=True) for _ in range(w)]
            if column in self.numbers:
                there = [v for v in values if v is not None]
                self.medians[column] = statistics.median(there) if there else 0.0
                self.knots[column] = sorted(set(there))
                if len(there) < len(values):
                    self.indicated.append(column)
            else:
                texts = ["missing" if v is None else v for v in values]
                least = Fraction(str(self.min_frequency)) * len(texts)
                few = {t for t in texts if texts.count(t) < least}
                self.rare[column] = bool(few)
                self.categories[column] = sorted(set(texts) - few)
        rows = [self.encode({c: v[k] for c, v in table.items()}) for k in range(n)]
        self.moments = [mean_and_scale(values, weights) for values in zip(*rows, strict=True)]
        return self

    def encode(self, row):
        row = {c: None if c in self.without_value else v for c, v in row.items()}
        cells = []
        for columns in self.fields.values():
            numbers = [c for c in columns if c in self.numbers]
            for c in numbers:
                value = self.medians[c] if row[c] is None else row[c]
                cells += self.bins(value, self.knots[c])
            cells += [float(row[c] is None) for c in numbers if c in self.indicated]
            for c in columns:
                if c not in self.numbers:
                    text = "missing" if row[c] is None else row[c]
                    cells += [float(text == category) for category in self.categories[c]]
                    if self.rare[c]:
                        cells.append(float(text not in self.categories[c]))
        return cells

    @staticmethod
    def bins(value, knots):
        cells = [min(max((value - a) / (b - a), 0.0), 1.0) for a, b in pairwise(knots)]
        return cells or [0.0]

    def transform(self, table):
        n = len(next(iter(table.values())))
        return [
            [
                (value - mean) / scale
                for value, (mean, scale) in zip(
                    self.encode({c: v[k] for c, v in table.items()}), self.moments, strict=True
                )
            ]
            for k in range(n)
        ]


NUMBER_DRESSES = [
    lambda v: pd.Series(v, dtype=np.float64),
    lambda v: pd.Series(v, dtype="Float64"),
    lambda v: pd.Series(v, dtype=object),
    lambda v: arrow(v, pa.float64()),
    lambda v: pd.Series([None if x is None else Decimal(x) for x in v], dtype=object),
]
TEXT_DRESSES = [
    lambda v: pd.Series(v, dtype="str"),
    lambda v: pd.Series(v, dtype="string"),
    lambda v: pd.Series(v, dtype=object),
    lambda v: pd.Series(pd.Categorical(v)),
    lambda v: arrow(v, pa.string()),
    lambda v: arrow(v, pa.large_string()),
    lambda v: arrow(v, pa.dictionary(pa.int32(), pa.string())),
]
COLUMNS = ["user__age", "user__city", "device__os", "device__size", "item__kind"]
NUMBERS = {"user__age", "device__size"}
FIELDS = {
    "user": ["user__age", "user__city"],
    "device": ["device__os", "device__size"],
    "item": ["item__kind"],
}


@st.composite
def profiles(draw, min_rows=1):
    n = draw(st.integers(min_rows, 12))
    number = st.none() | st.sampled_from([0.0, 1.5, -3.0, 1000.0])
    text = st.none() | st.sampled_from(["a", "b", "c", "", "missing", "1"])
    return {
        c: draw(st.lists(number if c in NUMBERS else text, min_size=n, max_size=n)) for c in COLUMNS
    }


def dressed(draw, table):
    """Build a frame of the profile in dtypes that are drawn."""
    columns = {}
    for c, v in table.items():
        dresses = NUMBER_DRESSES if c in NUMBERS else TEXT_DRESSES
        dress = draw(st.sampled_from(dresses))
        if c not in NUMBERS and set(v) == {None}:
            # Objects that are all missing are no texts, and with pandas 2 "str" means objects.
            dress = TEXT_DRESSES[1 if TEXT is object else 0]
        columns[c] = dress(v)
    return pd.DataFrame(columns)


@given(
    old=profiles(),
    new=profiles(),
    min_frequency=st.sampled_from([0.01, 0.2, 0.4]),
    weighted=st.booleans(),
    data=st.data(),
)
@settings(max_examples=20)
def test_agrees_with_the_slow_reading(old, new, min_frequency, weighted, data):
    weights = [1.0] * len(old["user__age"])
    if weighted:
        weights = [data.draw(st.sampled_from([0.5, 1.0, 3.0])) for _ in weights]
    X = dressed(data.draw, old)
    encoder = ProfileEncoder(min_frequency=min_frequency)
    encoder.fit(X, sample_weight=weights if weighted else None)
    slow = SlowEncoder(FIELDS, NUMBERS, min_frequency).fit(old, weights)
    assert encoder.fields_ == FIELDS
    assert sum(encoder.field_sizes_) == len(slow.moments) == len(encoder.get_feature_names_out())
    for table in (old, new):
        frame = dressed(data.draw, table)
        frame = frame[data.draw(st.permutations(COLUMNS))].assign(further="x")
        np.testing.assert_allclose(
            encoder.transform(frame), slow.transform(table), rtol=1e-9, atol=1e-9
        )


@given(table=profiles(), factor=st.sampled_from([1.0, 0.1, 1 / 3]), data=st.data())
@settings(max_examples=20)
def test_weights_are_repetitions(table, factor, data):
    n = len(table["user__age"])
    weights = np.array(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    weights[0] = max(weights[0], 1)
    X = pd.DataFrame(table)
    encoder = ProfileEncoder(min_frequency=data.draw(st.sampled_from([0.01, 0.25])))
    weighted = clone(encoder).fit(X, sample_weight=factor * weights)
    repeated = encoder.fit(X.iloc[np.repeat(np.arange(n), weights)])
    assert weighted.get_feature_names_out().tolist() == repeated.get_feature_names_out().tolist()
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), rtol=1e-9, atol=1e-9)


def test_weights_move_quantiles_as_repetitions_do():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"income": np.where(rng.random(400) < 0.1, np.nan, rng.lognormal(8, 1, 400))})
    weights = rng.integers(0, 4, 400)
    weighted = ProfileEncoder().fit(X, sample_weight=weights / 7)
    repeated = ProfileEncoder().fit(X.iloc[np.repeat(np.arange(400), weights)])
    assert weighted.get_feature_names_out().tolist() == repeated.get_feature_names_out().tolist()
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), rtol=1e-9, atol=1e-9)
    plain = ProfileEncoder().fit(X)
    assert plain.get_feature_names_out().tolist() != weighted.get_feature_names_out().tolist()


def test_results_are_normalized():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(40, 9, 200), "city": rng.choice([*"abc"], 200)})
    Z = ProfileEncoder().fit_transform(X)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(Z.var(axis=0), 1, rtol=1e-12)


# ---- which columns are profile


def test_prefixes_name_the_fields():
    X = pd.DataFrame(
        {
            "user__a": [1, 2],
            "x": ["p", "q"],
            "item__c": [1, 3],
            "device__b": [0, 1],
            "item__a": [5, 5],
        }
    )
    with pytest.warns(UserWarning, match=r"\['x'\] are left out of the profile"):
        encoder = ProfileEncoder().fit(X)
    assert encoder.fields_ == {
        "user": ["user__a"],
        "device": ["device__b"],
        "item": ["item__c", "item__a"],
    }
    assert encoder.field_sizes_ == (1, 1, 2)
    assert encoder.feature_names_in_.tolist() == ["user__a", "device__b", "item__c", "item__a"]
    assert encoder.n_features_in_ == 4


def test_without_prefixes_all_is_the_users():
    X = pd.DataFrame({"age": [1, 2], "username": ["p", "q"], "user_": [0.5, None]})
    assert ProfileEncoder().fit(X).fields_ == {
        "user": ["age", "username", "user_"],
        "device": [],
        "item": [],
    }


def test_fields_may_be_said():
    X = pd.DataFrame({"age": [1, 2], "os": ["p", "q"], "user__x": [0, 1]})
    encoder = ProfileEncoder({"device": ["os"], "user": ["age"]}).fit(X)
    assert encoder.fields_ == {"user": ["age"], "device": ["os"], "item": []}
    assert encoder.get_feature_names_out().tolist() == ["age", "os_p", "os_q"]


def test_ids_times_and_events_are_no_profile():
    X = applications([[event(0)], None, []], age=[3, 1, 2]).assign(
        user_id=[1, 2, 3],
        application_id=["a", "b", "c"],
        contract=["d", "e", "f"],
        born=pd.to_datetime(["1990-01-01"] * 3),
        seen=pd.to_datetime(["2024-01-01"] * 3, utc=True),
        day=[dt.date(2024, 1, 1)] * 3,
        moment=pd.Series([pd.Timestamp("2024"), None, pd.NaT], dtype=object).to_numpy(),
        arrow_day=arrow([dt.date(2024, 1, 1)] * 3).to_numpy(),
        arrow_time=arrow([dt.datetime(2024, 1, 1)] * 3).array,
        arrow_date=arrow([dt.date(2024, 1, 1)] * 3).array,
        objects=pd.Series([[{"a": 1}], None, []], dtype=object).to_numpy(),
        more=arrow([[{"a": 1}], None, []]).array,
    )
    dates = ["born", "seen", "day", "moment", "arrow_day", "arrow_time", "arrow_date"]
    ids = ("user_id", "application_id", "contract", "not there", *dates)
    assert ProfileEncoder(id_columns=ids).fit(X).fields_["user"] == ["age"]
    with pytest.warns(UserWarning, match=f"Columns {re.escape(str(dates))} hold dates or times"):
        assert ProfileEncoder().fit(X).fields_["user"] == ["age", "contract"]


@pytest.mark.parametrize("convert", [pa.table, lambda columns: pl.DataFrame(columns)])
def test_other_tables(convert):
    columns = {
        "age": [30, None, 50],
        "city": ["a", None, "b"],
        "owner": [True, None, False],
        "price": [Decimal("1.5"), None, Decimal(2)],
        "day": [dt.date(2024, 1, 1)] * 3,
        "applied_at": [dt.datetime(2024, 1, 1)] * 3,
    }
    encoder = ProfileEncoder(id_columns=["day"]).fit(convert(columns))
    assert encoder.fields_["user"] == ["age", "city", "owner", "price"]
    wanted = ProfileEncoder(id_columns=["day"]).fit_transform(pd.DataFrame(columns))
    np.testing.assert_allclose(encoder.transform(convert(columns)), wanted)


def test_no_profile_at_all():
    X = applications([None, None]).assign(user_id=[1, 2])
    encoder = ProfileEncoder().fit(X)
    assert encoder.fields_ == {"user": [], "device": [], "item": []}
    assert encoder.field_sizes_ == (0, 0, 0)
    assert encoder.get_feature_names_out().tolist() == []
    assert encoder.transform(X).shape == (2, 0)
    frame = ProfileEncoder(dtype=np.float32).set_output(transform="pandas").fit_transform(X)
    assert frame.shape == (2, 0)
    assert frame.index.tolist() == X.index.tolist()


def test_columns_named_by_integers():
    X = pd.DataFrame({0: [1, 2], 5: [3.0, 5.0], 3: ["a", "b"]})
    encoder = ProfileEncoder(id_columns=[0]).fit(X)
    np.testing.assert_allclose(encoder.transform(X), [[-1, 1, -1], [1, -1, 1]])
    assert encoder.get_feature_names_out().tolist() == ["5", "3_a", "3_b"]


# ---- values


CELLS = {
    "int": (pd.Series([1, 2, 3]), ["x_from_1", "x_from_2"]),
    "bool": (pd.Series([True, False, True]), ["x"]),
    "boolean": (pd.Series([True, None, False], dtype="boolean"), ["x", "missingindicator_x"]),
    "object bool": (pd.Series([True, None, False], dtype=object), ["x", "missingindicator_x"]),
    "arrow bool": (arrow([True, None, False]), ["x", "missingindicator_x"]),
    "Int64": (pd.Series([1, None, 0], dtype="Int64"), ["x", "missingindicator_x"]),
    "uint8": (pd.Series([1, 2, 3], dtype="uint8"), ["x_from_1", "x_from_2"]),
    "arrow int": (arrow([1, None, 0]), ["x", "missingindicator_x"]),
    "arrow decimal": (arrow([Decimal(1), None, Decimal(0)]), ["x", "missingindicator_x"]),
    "object NA": (pd.Series([1, pd.NA, 0], dtype=object), ["x", "missingindicator_x"]),
    "mixed numbers": (pd.Series([1, 2.5], dtype=object).repeat(2), ["x"]),
    "category of ints": (pd.Series(pd.Categorical([1, None, 2])), ["x_1", "x_2", "x_missing"]),
    "unused category": (pd.Series(pd.Categorical(["a"] * 3, ["a", "b"])), ["x_a"]),
    "sparse": (pd.Series(pd.arrays.SparseArray([0, 0, 1.0])), ["x"]),
}


@pytest.mark.parametrize("name", CELLS)
def test_dtypes(name):
    column, names = CELLS[name]
    encoder = ProfileEncoder().fit(pd.DataFrame({"x": column}))
    assert encoder.get_feature_names_out().tolist() == names
    Z = encoder.transform(pd.DataFrame({"x": column}))
    assert Z.dtype == np.float64
    if "missingindicator_x" in names:  # 1, missing, 0
        np.testing.assert_allclose(Z[:, 0], np.array([1, 0, -1]) * math.sqrt(1.5))
        np.testing.assert_allclose(Z[:, 1], np.array([-1, 2, -1]) / math.sqrt(2))


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pd.Series([None] * 3, dtype=object), ["x", "missingindicator_x"]),
        (pd.Series([np.nan] * 3), ["x", "missingindicator_x"]),
        (pd.Series([None] * 3, dtype="Int64"), ["x", "missingindicator_x"]),
        (arrow([None] * 3), ["x", "missingindicator_x"]),
        (arrow([None] * 3, pa.float64()), ["x", "missingindicator_x"]),
        (pd.Series([None] * 3, dtype="string"), ["x_missing"]),
        (pd.Series(pd.Categorical([None] * 3)), ["x_missing"]),
    ],
)
def test_a_column_that_is_all_missing(column, names):
    X = pd.DataFrame({"x": column})
    encoder = ProfileEncoder().fit(X)
    assert encoder.get_feature_names_out().tolist() == names
    assert (encoder.transform(X) == 0).all()


def test_constant_columns_become_zero():
    X = pd.DataFrame({"a": [7] * 4, "b": ["x"] * 4, "c": [0.1] * 4})
    assert (ProfileEncoder().fit_transform(X) == 0).all()


def test_one_row():
    X = pd.DataFrame({"a": [7], "b": ["x"]})
    assert ProfileEncoder().fit_transform(X).tolist() == [[0, 0]]


def test_missing_where_fit_saw_none_becomes_the_median():
    X = pd.DataFrame({"x": [1.0, 2.0, 9.0]})
    encoder = ProfileEncoder().fit(X)
    for values in (
        [None] * 3,
        [np.nan] * 3,
        pd.Series([None] * 3, dtype="str"),
        [2.0, None, pd.NA],
    ):
        np.testing.assert_array_equal(
            encoder.transform(pd.DataFrame({"x": values})), encoder.transform(X)[[1, 1, 1]]
        )


def test_unseen_categories_share_with_rare_ones_or_are_none():
    X = pd.DataFrame({"x": ["a"] * 10 + ["b"] * 8 + ["c"]})
    encoder = ProfileEncoder(min_frequency=0.1).fit(X)
    assert encoder.get_feature_names_out().tolist() == ["x_a", "x_b", "x_infrequent_sklearn"]
    rare, unseen, missing = encoder.transform(pd.DataFrame({"x": ["c", "new", None]}))
    assert rare.tolist() == unseen.tolist() == missing.tolist()
    encoder = ProfileEncoder(min_frequency=0.01).fit(X)
    raw = encoder.transform(pd.DataFrame({"x": ["new"]}))[0]
    a, b, c = encoder.transform(pd.DataFrame({"x": ["a", "b", "c"]}))
    assert raw.tolist() == [b[0], c[1], a[2]]  # none of the three


def test_codes_may_come_as_texts_or_as_integers():
    encoder = ProfileEncoder().fit(pd.DataFrame({"x": ["1", "2", "2"]}))
    np.testing.assert_array_equal(
        encoder.transform(pd.DataFrame({"x": [2, 1]})),
        encoder.transform(pd.DataFrame({"x": ["2", "1"]})),
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32, "float32"])
def test_dtype(dtype):
    X = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})
    for frame in (X, X.iloc[:0], X[[]]):
        encoder = ProfileEncoder(dtype=dtype).fit(X if len(frame.columns) else frame)
        assert encoder.transform(frame).dtype == dtype


def test_no_row_to_transform():
    X = pd.DataFrame({"x": [1.0, None], "y": ["a", "b"]})
    assert ProfileEncoder().fit(X).transform(X.iloc[:0]).shape == (0, 4)


# ---- names


def test_names_are_unique():
    X = pd.DataFrame({"a": ["b_c", "b_d"], "a_b": ["c", "e"]})
    encoder = ProfileEncoder().fit(X)
    assert encoder.get_feature_names_out().tolist() == ["a_b_c", "a_b_d", "a_b_c_2", "a_b_e"]
    assert encoder.set_output(transform="pandas").transform(X).columns.is_unique


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_set_output(output):
    X = pd.DataFrame({"x": [1.0, None], "y": ["a", "b"]}, index=[7, 3])
    wanted = ProfileEncoder().fit_transform(X)
    encoder = ProfileEncoder().set_output(transform=output)
    frames = [encoder.fit_transform(X)]
    with config_context(transform_output=output):
        frames.append(ProfileEncoder().fit_transform(X))
    for frame in frames:
        assert isinstance(frame, pl.DataFrame if output == "polars" else pd.DataFrame)
        assert list(frame.columns) == ["x", "missingindicator_x", "y_a", "y_b"]
        np.testing.assert_array_equal(frame.to_numpy(), wanted)
        assert output == "polars" or frame.index.tolist() == [7, 3]


# ---- refusals


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pd.to_timedelta([1, 2, 3]), "timedelta64"),
        (pd.period_range("2024", periods=3), "period"),
        ([1j, 2, 3], "complex"),
        ([b"a"] * 3, "bytes"),
        ([{"a": 1}] * 3, "mixed"),
        ([1, "a", 3], "mixed-integer"),
        ([1.5, "a", 3.5], "mixed"),
        (pd.interval_range(0, 3), "interval"),
        (arrow([dt.time(1)] * 3), "time"),
        (arrow([b"a"] * 3), "bytes"),
    ],
)
def test_refuses_values_that_are_no_profile(values, found):
    X = pd.DataFrame({"age": [1, 2, 3]}).assign(x=values)
    message = f"Profile column 'x' is of dtype .* holds {found} values; numbers, booleans, texts or"
    with pytest.raises(TypeError, match=message):
        ProfileEncoder().fit(X)
    assert ProfileEncoder(id_columns=["x"]).fit(X).n_features_in_ == 1


@pytest.mark.parametrize("dtype", [np.float64, "Float64", object])
def test_refuses_infinite_numbers(dtype):
    X = pd.DataFrame({"x": pd.Series([1, math.inf, -math.inf], dtype=dtype)})
    with pytest.raises(ValueError, match=r"'x' contains 2 infinite values; .* with NaN"):
        ProfileEncoder().fit(X)
    with pytest.raises(ValueError, match="'x' contains 2 infinite values"):
        ProfileEncoder().fit(pd.DataFrame({"x": [1, 2]})).transform(X)


@pytest.mark.parametrize(
    "values",
    [
        ["a", "1", "2"],
        ["1", "2", "3"],
        pd.Categorical(["a", "b", "a"]),
        pd.to_datetime(["2024"] * 3),
        pd.to_timedelta([1, 2, 3]),
        [dt.date(2024, 1, 1)] * 3,
        [[1], [2], [3]],
        [1j, 2, 3],
        arrow(["1", "2", "3"]),
    ],
)
def test_refuses_what_is_no_number_where_fit_saw_numbers(values):
    encoder = ProfileEncoder().fit(pd.DataFrame({"x": [1, 2, 3]}))
    with pytest.raises(TypeError, match=r"Profile column 'x' .*dtype .* Convert it"):
        encoder.transform(pd.DataFrame({"x": values}))


@pytest.mark.parametrize("make", [list, pd.Categorical, lambda v: arrow(v)])
def test_refuses_texts_that_name_rows(make):
    texts = [f"customer {i % 21}" for i in range(40)]
    message = "'name' holds 21 distinct texts in 40 rows: it identifies .* Drop it with id_columns"
    with pytest.raises(ValueError, match=message):
        ProfileEncoder().fit(pd.DataFrame({"name": make(texts)}))
    ProfileEncoder().fit(pd.DataFrame({"name": make(texts[:20] * 2)}))  # half of the rows
    ProfileEncoder().fit(pd.DataFrame({"name": make(texts[:19])}))  # too few rows to tell


def test_warns_of_integers_that_may_name_rows():
    for column in (range(30), pd.array(range(30), dtype="Int64"), arrow(list(range(30))).array):
        with pytest.warns(UserWarning, match="'number' is an integer with a distinct value in"):
            ProfileEncoder().fit(pd.DataFrame({"number": column}))
    ProfileEncoder().fit(pd.DataFrame({"number": range(19)}))
    ProfileEncoder().fit(pd.DataFrame({"number": np.arange(30.0)}))
    ProfileEncoder().fit(pd.DataFrame({"number": [*range(29), 28]}))


def test_warns_of_integers_that_name_nearly_every_row():
    # Some customers apply twice.
    repeated = np.append(np.arange(1000), np.arange(40))
    with pytest.warns(
        UserWarning, match="'key' .* a distinct value in nearly each of 1040 rows.*astype"
    ):
        ProfileEncoder().fit(pd.DataFrame({"key": repeated}))
    ProfileEncoder().fit(pd.DataFrame({"key": repeated}).astype(float))
    ProfileEncoder().fit(pd.DataFrame({"key": np.append(repeated, np.arange(100))}))
    ProfileEncoder(id_columns=["key"]).fit(pd.DataFrame({"key": repeated}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"users": ["age"]}, "has the field 'users'; it must be one of"),
        (
            {"user": ["agee"]},
            r"profile_fields\['user'\] names the column 'agee', which is missing from X",
        ),
        ({"user": ["at"]}, r"profile_fields\['user'\] names the column 'at' of dtype datetime64"),
        ({"user": ["age", "age"]}, "names the column 'age' more than once"),
        ({"user": ["age"], "item": ["age"]}, "names the column 'age' more than once"),
    ],
)
def test_refuses_fields(fields, message):
    X = pd.DataFrame({"age": [1, 2], "at": pd.to_datetime(["2024"] * 2)})
    with pytest.raises(ValueError, match=message):
        ProfileEncoder(fields).fit(X)


def test_refuses_the_events_as_profile():
    X = applications([[event(0)]], age=[1])
    with pytest.raises(ValueError, match="names the column 'behaviors' of dtype nested"):
        ProfileEncoder({"user": ["behaviors"]}).fit(X)


def test_refuses_lacking_and_repeated_columns():
    X = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [3, 4]})
    encoder = ProfileEncoder().fit(X)
    with pytest.raises(ValueError, match=r"no profile column 'b', which .* \['b', 'c'\]\). Add it"):
        encoder.transform(X[["a"]])
    for step in (ProfileEncoder().fit, encoder.transform):
        with pytest.raises(ValueError, match="X has more than one column 'b'"):
            step(pd.concat([X, X[["b"]]], axis=1))
        with pytest.raises(TypeError, match="X is a ndarray; it must be a table with one row"):
            step(X.to_numpy())


@pytest.mark.parametrize(
    "wrong",
    [
        {"profile_fields": ["age"]},
        {"id_columns": "user_id"},
        {"min_frequency": 0.0},
        {"min_frequency": 1.5},
        {"min_frequency": "x"},
    ],
)
def test_refuses_parameters(wrong):
    with pytest.raises(InvalidParameterError, match=f"The '{next(iter(wrong))}' parameter"):
        ProfileEncoder(**wrong).fit(pd.DataFrame({"age": [1, 2]}))


def test_refuses_what_is_not_fitted():
    X = pd.DataFrame({"age": [1, 2]})
    for call in (ProfileEncoder().transform, ProfileEncoder().get_feature_names_out):
        with pytest.raises(NotFittedError):
            call(X)


# ---- promises


def test_the_input_is_left_alone_and_transform_never_learns():
    X = pd.DataFrame({"x": [1.0, None], "y": ["a", None]})
    encoder = ProfileEncoder().fit(X, [0, 1])
    before = pickle.dumps(X), pickle.dumps(encoder)
    encoder.transform(X)
    encoder.transform(pd.DataFrame({"x": [5.0], "y": ["new"]}))
    assert (pickle.dumps(X), pickle.dumps(encoder)) == before


@given(table=profiles(min_rows=2), data=st.data())
@settings(max_examples=20)
def test_a_row_depends_on_itself_alone(table, data):
    X = pd.DataFrame(table)
    encoder = ProfileEncoder().fit(X)
    rows = data.draw(st.lists(st.sampled_from(range(len(X))), max_size=5))
    np.testing.assert_array_equal(encoder.transform(X.iloc[rows]), encoder.transform(X)[rows])


def test_clone_pickle_and_parameters():
    X = pd.DataFrame({"age": [1.0, None], "os": ["a", "b"]})
    encoder = ProfileEncoder({"user": ["age"], "device": ["os"]}, ("id",), 0.2, np.float32)
    assert clone(encoder).get_params() == encoder.get_params()
    restored = pickle.loads(pickle.dumps(encoder.fit(X)))
    np.testing.assert_array_equal(restored.transform(X), encoder.transform(X))


def test_a_real_lender(data_folder):
    X = pd.read_csv(data_folder("superlender") / "traindemographics.csv", parse_dates=["birthdate"])
    X = X.drop_duplicates("customerid")
    encoder = ProfileEncoder(id_columns=["customerid"], min_frequency=0.01)
    with pytest.warns(UserWarning, match=r"Columns \['birthdate'\] hold dates"):
        encoder.fit(X)
    assert "birthdate" not in encoder.feature_names_in_
    Z = encoder.transform(X)
    assert np.isfinite(Z).all()
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-9)
    names = encoder.get_feature_names_out().tolist()
    held = X["bank_name_clients"].value_counts(normalize=True)
    kept = {name for name in names if name.startswith("bank_name_clients_")}
    assert {
        f"bank_name_clients_{bank}".replace(" ", "_") for bank in held.index[held >= 0.01]
    } <= kept
    assert (
        not {f"bank_name_clients_{bank}".replace(" ", "_") for bank in held.index[held < 0.01]}
        & kept
    )


def test_the_encoding_is_that_of_scikit_learns_encoders():
    """The columns span what a spline of degree one spans, and categories are scikit-learn's."""
    rng = np.random.default_rng(0)
    n = 600
    X = pd.DataFrame(
        {
            "city": rng.choice(["a", "b", "c", "rare"], n, p=[0.5, 0.3, 0.195, 0.005]),
            "income": rng.lognormal(8, 1, n),
        }
    )
    encoder = ProfileEncoder().fit(X)
    names = encoder.get_feature_names_out().tolist()
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=0.01, sparse_output=False
    )
    expected = make_pipeline(one_hot, StandardScaler()).fit(X[["city"]])
    assert one_hot.fit(X[["city"]]).get_feature_names_out().tolist() == names[-4:]
    new = pd.DataFrame({"city": ["a", "rare", "new", "c"], "income": [1.0, 3000.0, 5e4, 1e9]})
    for table in (X, new):
        np.testing.assert_allclose(
            encoder.encode(table)[:, -4:], expected.transform(table[["city"]]), atol=1e-12
        )

    probabilities = np.linspace(0, 1, 8)
    probabilities[[0, -1]] = 0.005, 0.995
    knots = np.quantile(X["income"], probabilities, method="inverted_cdf")
    spline = SplineTransformer(degree=1, knots=knots[:, None], extrapolation="constant")
    basis = spline.fit(X[["income"]]).transform(pd.concat([X, new])[["income"]])
    ours = encoder.encode(pd.concat([X, new]))[:, :-4]
    assert ours.shape[1] == 7
    design = np.column_stack([np.ones(len(ours)), ours])
    weights = np.linalg.lstsq(design, basis, rcond=None)[0]
    np.testing.assert_allclose(design @ weights, basis, atol=1e-9)


# ---- numbers far from those of fit


@pytest.fixture
def incomes():
    return pd.DataFrame({"income": np.random.default_rng(0).lognormal(8, 0.5, 3000).round(2)})


def test_a_value_beyond_the_edge_counts_as_the_edge(incomes):
    encoder = ProfileEncoder(dtype=np.float32).fit(incomes)
    low, high = incomes["income"].min(), incomes["income"].max()
    for edge, values in ((high, [high * 1.5, 1e6, 1e9, 1e149]), (low, [0, -1, -999999, -1e149])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            beyond = encoder.transform(pd.DataFrame({"income": np.array(values, dtype=float)}))
        at_edge = encoder.transform(pd.DataFrame({"income": [edge]}))
        assert np.isfinite(beyond).all()
        np.testing.assert_array_equal(beyond, np.repeat(at_edge, len(values), axis=0))


def test_a_few_huge_values_move_nothing(incomes):
    plain = ProfileEncoder().fit(incomes)
    wild = incomes.copy()
    wild.loc[[5, 9], "income"] = 1e9
    moved = ProfileEncoder().fit(wild)
    np.testing.assert_allclose(moved.transform(incomes), plain.transform(incomes), atol=0.2)


def test_rare_values_of_a_number_that_is_nearly_constant_are_kept():
    flags = pd.DataFrame({"flag": [0.0] * 2990 + list(np.arange(1.0, 11.0))})
    encoded = ProfileEncoder().fit_transform(flags)
    assert encoded[0].sum() < encoded[-10].sum() < encoded[-1].sum()


def test_values_far_outside_are_told_and_ordinary_ones_are_not(incomes):
    encoder = ProfileEncoder().fit(incomes)
    high = incomes["income"].max()
    for ordinary in (high * 1.5, 0.0, None):
        encoder.transform(pd.DataFrame({"income": [ordinary]}, dtype=float))
    new = pd.DataFrame({"income": np.random.default_rng(1).lognormal(8, 0.5, 3000)})
    encoder.transform(new)
    new.loc[[3, 5, 6], "income"] = [1e5, 1e6, -999999]
    found = r"'income' holds \d+ of 3000 values outside the range seen in fit, .* down to -999999 "
    found += r"and up to 1e\+06\. .* X\['income'\].replace\(-999999, np.nan\)"
    with pytest.warns(UserWarning, match=found) as caught:
        encoder.transform(new)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="1 of 1 values outside"):
        encoder.transform(pd.DataFrame({"income": [1e5]}))


def test_many_values_a_little_outside_are_told():
    encoder = ProfileEncoder().fit(pd.DataFrame({"months": np.arange(2000) % 60}))
    few = pd.DataFrame({"months": [*([-1] * 4), *range(60)]})
    encoder.transform(few)
    with pytest.warns(UserWarning, match="'months' holds 6 of 66 values outside .* 0 to 59: down"):
        encoder.transform(pd.DataFrame({"months": [*([-1] * 6), *range(60)]}))


@pytest.mark.parametrize(
    ("code", "share"), [(-9999999, 0.2), (-1, 0.05), (-9, 0.01), (99999999, 0.01), (123456789, 0.1)]
)
def test_codes_for_missing_values_are_told_at_fit(incomes, code, share):
    X = incomes.copy()
    X.loc[: int(share * len(X)) - 1, "income"] = code
    found = rf"'income' holds {code} \({int(share * len(X))} times\) among 3000 values, apart .*"
    found += rf"X\['income'\] = X\['income'\].replace\({code}, np.nan\)"
    with pytest.warns(UserWarning, match=found) as caught:
        ProfileEncoder().fit(X)
    assert caught[0].filename == __file__
    ProfileEncoder().fit(X.replace(code, np.nan))  # the cure


@pytest.mark.parametrize(
    "values",
    [
        [-1, 0, 1],
        [-2, -1, 0, 1, 2, 3, 4],
        [0, 1],
        [12, 24, 36, 120],
        [100, 200, 500, 5000],
        [900, 950, 999, 1050],
        range(70, 100),
        np.random.default_rng(0).normal(size=50),
    ],
)
def test_ordinary_numbers_are_no_codes(values):
    ProfileEncoder().fit(pd.DataFrame({"x": np.repeat(np.array(values), 12)}))


def test_several_codes_are_told_together():
    values = np.repeat([-9999999, -9, -1, *range(40)], 12)
    with pytest.warns(UserWarning, match=r"holds -9999999 \(12 times\), -9 \(.*\), -1 \(12 times"):
        ProfileEncoder().fit(pd.DataFrame({"x": values}))


# ---- numbers written as text


@pytest.mark.parametrize(
    "write",
    [
        "{:,.0f}".format,
        "{:,.2f}".format,
        "{:,.0f} \u20ac".format,
        "${:,.0f}".format,
        lambda v: f"{v:,.2f}".translate(str.maketrans(",.", ".,")),
        lambda v: f"{v:.1f}",
        lambda v: f"{v:,.0f}".replace(",", " "),
        lambda v: f"{v:.0f}",
    ],
)
@pytest.mark.parametrize("distinct", [30, 400])
def test_numbers_written_as_text_are_told_with_a_cure_that_works(write, distinct):
    numbers = (np.arange(400) % distinct) * 97.5 + 1000
    X = pd.DataFrame({"income": [write(v) for v in numbers]})
    refused = pytest.raises(ValueError, match=r"which look like numbers, such as .* Convert it: ")
    told = pytest.warns(UserWarning, match="'income' holds texts that look like numbers, such as ")
    with refused if distinct == 400 else told as caught:
        ProfileEncoder().fit(X)
    message = str(caught.value if distinct == 400 else caught[0].message)
    cure = re.search(r"Convert it: (.*\))\. If it is", message)[1]
    exec(cure, {"X": X, "pd": pd})
    np.testing.assert_allclose(X["income"], numbers, atol=0.6)


@pytest.mark.parametrize(
    "texts",
    [
        [f"{k:03d}" for k in range(30)],
        [f"A{k}" for k in range(30)],
        [str(k) for k in range(12)],
        ["1-5", "6-10", "10+"],
        ["14.2", "15.1", "16.0"],
        ["Lagos", "2,400"],
        pd.Categorical([str(k) for k in range(30)]),
    ],
)
def test_codes_and_words_are_no_numbers(texts):
    ProfileEncoder().fit(pd.DataFrame({"x": pd.Series(texts).repeat(4)}))


def test_names_are_fit_for_trees_and_distinct():
    X = pd.DataFrame({"a<b": [1.0, 2.0], "a b": [2.0, 1.0], "kind": ['x["1"]', "x<>"]})
    names = ProfileEncoder().fit(X).get_feature_names_out().tolist()
    assert names == ["a_b", "a_b_2", "kind_x___", "kind_x__1__"] or len(set(names)) == 4
    assert not re.search(r'[\s<>",:\[\]{}]', "".join(names))


# ---- leaks


def test_columns_that_separate_the_labels_are_told():
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    X = pd.DataFrame(
        {
            "days_late": np.where(label, rng.integers(1, 90, 60), 0),
            "recovered": np.where(label, rng.random(60), np.nan),
            "state": np.where(label, "collections", "paid"),
            "age": rng.integers(20, 60, 60),
            "city": rng.choice(["a", "b"], 60),
            "almost": np.where(label, 1, 0) * (np.arange(60) > 1),
        }
    )
    encoder = ProfileEncoder().fit(X)
    found = r"\['days_late', 'recovered', 'state'\] separate the labels perfectly"
    with pytest.warns(UserWarning, match=found):
        encoder.tell_leaks(X, label, stacklevel=1)
    few = X.iloc[:18]  # by chance
    ProfileEncoder().fit(few).tell_leaks(few, label[:18], stacklevel=1)
