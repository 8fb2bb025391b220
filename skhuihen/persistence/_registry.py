"""The classes that a model file can contain; a key in the file refers to an entry here.

An entry says which attributes are not written (`transient`). If the attributes alone cannot restore
an object, the entry also says how to write and build it. Do not remove or rename a key: all files
of format 1 must remain readable.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skhuihen.persistence._archive import (
    ModelFileError,
    PartError,
    read_zip,
    refusing,
)
from skhuihen.persistence._values import ValueReader, ValueWriter

State = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A class that a file can contain.

    Attributes
    ----------
    module, name : str
        The module and the name of the class.
    transient : tuple of str
        Attributes that are not written.
    take : callable, default=None
        ``take(state, found, writer)`` returns the state to write, if it is not the attributes.
    finish : callable, default=None
        ``finish(found, reader)`` completes an object after its attributes are set.
    """

    module: str
    name: str
    transient: tuple[str, ...] = ()
    take: Callable[[State, Any, ModelWriter], State] | None = None
    finish: Callable[[Any, ModelReader], None] | None = None

    @property
    def kind(self) -> type:
        """The class itself."""
        return getattr(importlib.import_module(self.module), self.name)


# --------------------------------------------------------------------------------------------------
# Whole models.


class ModelWriter(ValueWriter):
    """Turn estimators into JSON.

    Attributes
    ----------
    weights : dict of str to ndarray
        The weights of the networks.
    parts : dict of str to bytes
        Models of other libraries, in the formats of those libraries.
    foreign : list of str
        Names of the estimators that only skops could write.
    left_out : list of str
        Names of the parameters that are not written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights: dict[str, NDArray[Any]] = {}
        self.parts: dict[str, bytes] = {}
        self.foreign: list[str] = []
        self.left_out: list[str] = []
        self._number: dict[
            int, tuple[int, Any]
        ] = {}  # keep the object, so that no other object gets its id

    def _find(self, value: Any) -> Callable[[Any, str], Any] | None:
        if _key_of(value) is not None:
            return self._write_object
        found = super()._find(value)
        if found is None and isinstance(value, BaseEstimator):
            return self._write_foreign
        return found

    def add_part(self, folder: str, ending: str, content: bytes) -> str:
        """Add a part, and return its name."""
        name = f"{folder}/{len(self.parts)}.{ending}"
        self.parts[name] = content
        return name

    def _write_object(self, value: Any, where: str) -> Any:
        if id(value) in self._number:
            return {"same": self._number[id(value)][0]}
        key = _key_of(value)
        assert key is not None
        entry = ENTRIES[key]
        # The state of a Bunch is its items, that of a named tuple its fields.
        if isinstance(value, tuple):
            state: State = value._asdict()  # type: ignore[attr-defined]
        else:
            state = dict(value) if isinstance(value, dict) else dict(vars(value))
        state = {name: item for name, item in state.items() if name not in entry.transient}
        if isinstance(value, BaseEstimator):
            state.pop("_metadata_request", None)  # only fit needs it
        if entry.take is not None:
            state = entry.take(state, value, self)
        written = {
            name: self.write(item, f"{where}.{name}" if where else f"{entry.name}.{name}")
            for name, item in sorted(state.items())  # so that equal models give equal files
        }
        self._number[id(value)] = len(self._number), value
        return {"object": [key, written]}

    def _write_foreign(self, value: Any, where: str) -> Any:
        skops = _skops(where, type(value))
        try:
            content = skops.dumps(value)
        except Exception as error:
            raise TypeError(
                f"{where} cannot be written, not even by skops: {error}. Replace it by an "
                "estimator that a model file can contain."
            ) from error
        self.foreign.append(type(value).__name__)
        return {"skops": self.add_part("skops", "skops", content)}


class ModelReader(ValueReader):
    """Turn JSON back into estimators.

    Parameters
    ----------
    arrays, weights : mapping of str to ndarray
    parts : mapping of str to bytes
    trusted : collection of str
        Types that skops may build because the caller trusts them.
    same : collection of str, default=()
        Libraries that have the same version here as in the file, so that their estimators must
        have all parameters.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        weights: Mapping[str, NDArray[Any]],
        parts: Mapping[str, bytes],
        trusted: tuple[str, ...],
        same: Collection[str] = (),
    ) -> None:
        super().__init__(arrays)
        self.weights, self.parts, self.trusted, self.same = weights, parts, trusted, same
        self._built: list[Any] = []
        self.readers |= {
            "object": self._read_object,
            "same": self._read_same,
            "skops": self._read_foreign,
        }

    def part(self, name: Any) -> bytes:
        """Return a part."""
        if not isinstance(name, str) or name not in self.parts:
            raise PartError("the model refers to a part that is missing")
        return self.parts[name]

    def _read_same(self, value: Any) -> Any:
        if type(value) is not int or not 0 <= value < len(self._built):
            raise PartError("the model refers to an object that is missing")
        return self._built[value]

    def _read_object(self, value: Any) -> Any:
        if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
            raise PartError("an object must have a key and a state")
        key, written = value
        if key not in ENTRIES or not isinstance(written, dict):
            raise PartError(f"a model file cannot contain the class {key[:60]!r}")
        entry = ENTRIES[key]
        kind: Any = entry.kind
        state = {name: self.read(item) for name, item in written.items()}
        found: Any
        if issubclass(kind, tuple | dict):
            found = kind(**state)
        else:
            for name in state:
                _check_attribute(kind, name)
            found = kind.__new__(kind)
            vars(found).update(state)
            if issubclass(kind, BaseEstimator):
                root, _, _ = entry.module.partition(".")
                _check_parameters(found, may_lack=root not in self.same)
            if entry.finish is not None:
                entry.finish(found, self)
        self._built.append(found)
        return found

    def _read_foreign(self, value: Any) -> Any:
        content = self.part(value)
        read_zip(content, value)  # check that it is not larger than the part
        skops = _skops(value, None)
        untrusted = [
            name for name in skops.get_untrusted_types(data=content) if name not in self.trusted
        ]
        if untrusted:
            raise ModelFileError(
                f"The file contains the types {sorted(untrusted)}, which could run any code. If "
                "you trust these types and the author of the file, pass trusted=[...] with their "
                "names."
            )
        with refusing(value):
            return skops.loads(content, trusted=list(self.trusted))


def _skops(where: str, kind: type | None) -> Any:
    try:
        import skops.io
    except ImportError as error:
        what = "an estimator" if kind is None else f"a {kind.__module__}.{kind.__qualname__}"
        raise ModelFileError(
            f"{where} is {what}, which a model file can only contain with skops, but skops is not "
            "installed. Install it: pip install skhuihen[skops]."
        ) from error
    return skops.io


def _key_of(value: Any) -> str | None:
    """Return the key of an object's class."""
    kind = type(value)
    root, _, _ = kind.__module__.partition(".")
    for key in _BY_NAME.get(kind.__name__, ()):
        # Only entries of the same library, so that no other library is imported.
        if ENTRIES[key].module.partition(".")[0] == root and ENTRIES[key].kind is kind:
            return key
    return None


def _check_attribute(kind: type, name: str) -> None:
    """Reject an attribute that would hide a method of the class."""
    if not name.isidentifier() or (name.startswith("__") and name.endswith("__")):
        raise PartError(f"{kind.__name__} cannot have an attribute {name[:60]!r}")
    known = inspect.getattr_static(kind, name, None)
    if callable(known) or hasattr(type(known), "__get__"):
        raise PartError(f"the attribute {name!r} of {kind.__name__} cannot be set")


def _check_parameters(found: Any, *, may_lack: bool) -> None:
    """Reject missing parameters; in another version, set them to their defaults."""
    signature = inspect.signature(type(found).__init__).parameters
    for name in type(found)._get_param_names():
        if name not in vars(found):
            default = signature[name].default if name in signature else None
            if default is inspect.Parameter.empty or not may_lack:
                raise PartError(f"{type(found).__name__} has no parameter {name!r}")
            setattr(found, name, default)


# --------------------------------------------------------------------------------------------------
# Estimators of this package.


def _finish_abstractor(found: Any, reader: ModelReader) -> None:
    from skhuihen.preprocessing._abstraction.rules import Rule, RuleTable

    if hasattr(found, "rules_"):
        found._table = RuleTable([Rule(*row) for row in found.rules_.itertuples(index=False)])


#: Attributes of a classifier's nets that later training needs and scoring does not.
_OF_NET = ("lr", "max_epochs", "batch_size", "optimizer")
_OF_NET_BEGIN = ("module__", "optimizer__", "iterator_train__", "iterator_valid__")


def _take_classifier(state: State, found: Any, writer: ModelWriter) -> State:
    """Write networks as arguments and weights; leave out attributes that scoring does not need."""
    state["callbacks"] = state["old_data"] = None
    if found.callbacks:
        writer.left_out.append("callbacks")
    for name in ("teacher", "base_estimator", "net_params"):
        if name == "base_estimator" and not hasattr(found, "estimators_"):
            continue
        trial = ModelWriter()
        try:
            trial.write(state[name], name)
            is_written = not trial.foreign
        except (TypeError, ValueError):
            is_written = False
        if not is_written:  # only fit needs it; base_estimator_ is the fitted one
            state[name] = None
            writer.left_out.append(name)
    nets = state.pop("estimators_", None)
    if nets is not None:
        state["estimators_"] = [_take_net(net, writer) for net in nets]
    return state


def _take_net(net: Any, writer: ModelWriter) -> State:
    # With a suffix, the same weights of all networks are neighbors, so they compress better.
    suffix = f"/{len(writer.weights)}"
    for name, weight in net.module_.state_dict().items():
        writer.weights[name + suffix] = weight.detach().cpu().numpy()
    params = {
        name: value
        for name, value in sorted(vars(net).items())
        if (name in _OF_NET or name.startswith(_OF_NET_BEGIN))
        and (isinstance(value, type) or not callable(value))
        and type(value).__name__ != "Generator"
    }
    seed = net.get_params_for("iterator_train")["generator"].initial_seed()
    return {"params": params, "weights": suffix, "seed": seed, "epochs": net.n_whole_epochs}


def _finish_classifier(found: Any, reader: ModelReader) -> None:
    from skhuihen._estimators.parameters import frozen
    from skhuihen.classifier import CHANGEABLE

    if "estimators_" not in vars(found):
        return
    written = found.estimators_
    if not isinstance(written, list) or not written:
        raise PartError("a classifier has no network")
    found.estimators_ = [_build_net(net, found, reader) for net in written]
    found._made_with = {
        name: frozen(value)
        for name, value in found.get_params(deep=False).items()
        if name not in CHANGEABLE
    }
    history = getattr(found, "history_", None)
    if history is not None:
        for number, net in enumerate(found.estimators_):
            rows = history[history["network"] == number].drop(columns="network")
            net.history.extend(
                {"epoch": epoch, "batches": [], **row.dropna().to_dict()}
                for epoch, row in rows.iterrows()
            )
            net.n_whole_epochs = len(net.history)


def _build_net(written: Any, classifier: Any, reader: ModelReader) -> Any:
    """Check that the arguments and the shapes of the weights agree, then build a network."""
    import torch

    from skhuihen._training.net import SCORING_BATCH, HUIHENNet
    from skhuihen._training.trainer import as_it_is
    from skhuihen.network.huihen import HUIHEN

    if not isinstance(written, dict) or not {"params", "weights", "seed"} <= set(written):
        raise PartError("a network must have arguments and weights")
    params, suffix = written["params"], written["weights"]
    weights = {
        name.removesuffix(suffix): weight
        for name, weight in reader.weights.items()
        if name.endswith(suffix)
    }
    dtype = np.dtype(classifier.dtype)
    if dtype not in (np.float32, np.float64):
        raise PartError("a network must have the precision float32 or float64")
    arguments = {
        name.removeprefix("module__"): value
        for name, value in params.items()
        if name.startswith("module__")
    }
    known = inspect.signature(HUIHEN.__init__).parameters
    n_numbers = sum(weight.size for weight in weights.values())
    for name, value in arguments.items():
        if name not in known:
            raise PartError(f"a network has the unknown argument {name[:60]!r}")
        # No size can be larger than the number of all weights.
        sizes = value if isinstance(value, list | tuple) else [value]
        if any(not isinstance(s, int | float) or not 0 <= s <= n_numbers for s in sizes):
            raise PartError(
                f"a network has {name}={str(value)[:60]}, which does not fit its weights"
            )
        if len(sizes) > 100:
            raise PartError(f"a network has {len(sizes)} sizes in {name}; it can have at most 100")
    with torch.device("meta"):
        shapes = {name: tuple(w.shape) for name, w in HUIHEN(**arguments).state_dict().items()}
    if shapes != {name: weight.shape for name, weight in weights.items()} or any(
        weight.dtype != dtype for weight in weights.values()
    ):
        raise PartError(
            "the weights of a network have different shapes or types than its arguments say"
        )
    generator = torch.Generator().manual_seed(written["seed"] % 2**63)
    for name in params:
        if not (name in _OF_NET or name.startswith(_OF_NET_BEGIN)):
            raise PartError(f"a network has the unknown setting {name[:60]!r}")

    net = HUIHENNet(
        **{
            "module": HUIHEN,
            "classes": [0, 1],
            "criterion": torch.nn.CrossEntropyLoss,
            "criterion__reduction": "none",
            "optimizer": torch.optim.Adam,
            "device": "cpu",
            "callbacks__print_log": None,
            "verbose": 0,
            "train_split": None,
            "iterator_train__shuffle": True,
            "iterator_train__generator": generator,
            "iterator_train__collate_fn": as_it_is,
            "iterator_valid__generator": generator,
            "iterator_valid__collate_fn": as_it_is,
            "iterator_valid__batch_size": SCORING_BATCH,
            **params,
        }
    ).initialize()
    net.module_.to(getattr(torch, dtype.name))
    net.module_.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    net.module_.seed_dropout(generator)
    net.module_.eval()
    return net


# --------------------------------------------------------------------------------------------------
# Estimators of other libraries.


def _take_lightgbm(state: State, found: Any, writer: ModelWriter) -> State:
    booster = state.pop("_Booster", None)
    if booster is not None:
        text = booster.model_to_string(num_iteration=-1).encode()
        state["_Booster"] = writer.add_part("lightgbm", "txt", text)
    return state


def _finish_lightgbm(found: Any, reader: ModelReader) -> None:
    from lightgbm import Booster

    if vars(found).get("_Booster") is not None:
        text = reader.part(found._Booster).decode()
        found._Booster = None
        _check_lightgbm(text)
        found._Booster = Booster(model_str=text)
        if found._Booster.num_feature() != found._n_features:
            raise PartError(
                "the trees of LightGBM have a different number of features than the classifier"
            )


_SIZES_OF_TREES = {
    *("num_leaves", "num_cat", "max_feature_idx", "num_class", "num_tree_per_iteration"),
}


def _check_lightgbm(text: str) -> None:
    """Reject sizes that cannot be true, for which LightGBM would allocate memory."""
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name in _SIZES_OF_TREES and not (value.isdigit() and int(value) <= len(text)):
            raise PartError(f"the trees of LightGBM have an invalid size: {line[:60]!r}")


def _take_xgboost(state: State, found: Any, writer: ModelWriter) -> State:
    booster = state.pop("_Booster", None)
    if booster is not None:
        content = bytes(booster.save_raw(raw_format="json"))
        state["_Booster"] = writer.add_part("xgboost", "json", content)
    return state


def _finish_xgboost(found: Any, reader: ModelReader) -> None:
    from xgboost import Booster

    if vars(found).get("_Booster") is not None:
        content = reader.part(found._Booster)
        found._Booster = None
        booster = Booster({"nthread": 1})
        booster.load_model(bytearray(content))
        found._Booster = booster


def _take_isotonic(state: State, found: Any, writer: ModelWriter) -> State:
    state.pop("f_", None)
    return state


def _finish_isotonic(found: Any, reader: ModelReader) -> None:
    if hasattr(found, "X_thresholds_"):
        found._build_f(found.X_thresholds_, found.y_thresholds_)


def _take_spline(state: State, found: Any, writer: ModelWriter) -> State:
    if "bsplines_" in state:
        state["bsplines_"] = [(s.t, s.c, s.k, s.extrapolate) for s in state["bsplines_"]]
    return state


def _finish_spline(found: Any, reader: ModelReader) -> None:
    from scipy.interpolate import BSpline

    if hasattr(found, "bsplines_"):
        found.bsplines_ = [BSpline(t, c, k, extrapolate=e) for t, c, k, e in found.bsplines_]


def _finish_tuned(found: Any, reader: ModelReader) -> None:
    if hasattr(found, "estimator_"):
        found._curve_scorer = found._get_curve_scorer()


def _finish_pipeline(found: Any, reader: ModelReader) -> None:
    for pair in found.steps:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise PartError("a step of a pipeline must be a pair of name and estimator")


_OURS = "skhuihen.preprocessing"
_SKLEARN: dict[str, tuple[str, ...]] = {
    "pipeline": ("FeatureUnion",),
    "compose": ("ColumnTransformer", "make_column_selector"),
    "preprocessing": (
        *("Binarizer", "FunctionTransformer", "KBinsDiscretizer", "LabelEncoder", "MaxAbsScaler"),
        *("MinMaxScaler", "Normalizer", "OneHotEncoder", "OrdinalEncoder", "PolynomialFeatures"),
        *("PowerTransformer", "QuantileTransformer", "RobustScaler", "StandardScaler"),
    ),
    "impute": ("MissingIndicator", "SimpleImputer"),
    "decomposition": ("PCA", "TruncatedSVD"),
    "feature_selection": ("VarianceThreshold",),
    "linear_model": ("LogisticRegression",),
    "naive_bayes": ("GaussianNB",),
    "dummy": ("DummyClassifier",),
    "calibration": (
        "CalibratedClassifierCV",
        *("_CalibratedClassifier", "_SigmoidCalibration", "_TemperatureScaling"),
    ),
    "frozen": ("FrozenEstimator",),
    "ensemble": ("StackingClassifier", "VotingClassifier"),
    "model_selection": (
        *("FixedThresholdClassifier", "GroupKFold", "KFold", "StratifiedGroupKFold"),
        *("StratifiedKFold",),
    ),
    "utils": ("Bunch",),
}

ENTRIES: dict[str, Entry] = {
    "skhuihen.BehaviorAbstractor": Entry(
        f"{_OURS}._abstractor", "BehaviorAbstractor", ("_table",), finish=_finish_abstractor
    ),
    "skhuihen.BehaviorTopics": Entry(f"{_OURS}._topics", "BehaviorTopics"),
    "skhuihen.IntervalStatistics": Entry(f"{_OURS}._intervals", "IntervalStatistics"),
    "skhuihen.PointsScaler": Entry("skhuihen._points", "PointsScaler"),
    "skhuihen.ProfileEncoder": Entry(f"{_OURS}._profile", "ProfileEncoder"),
    "skhuihen.Sessionizer": Entry(f"{_OURS}._sessionizer", "Sessionizer"),
    "skhuihen.WindowStatistics": Entry(f"{_OURS}._windows", "WindowStatistics"),
    "skhuihen.HUIHENClassifier": Entry(
        "skhuihen.classifier",
        "HUIHENClassifier",
        ("_made_with", "oof_log_odds_"),
        take=_take_classifier,
        finish=_finish_classifier,
    ),
    # Their fitted attributes.
    "skhuihen.Blend": Entry("skhuihen._companions.blending", "Blend"),
    "skhuihen.ApplicationEncoder": Entry(
        "skhuihen._encoding.applications", "ApplicationEncoder", ("params",)
    ),
    "skhuihen.TableSchema": Entry("skhuihen._encoding.schema", "TableSchema"),
    "skhuihen.BehaviorVocabulary": Entry("skhuihen._encoding.vocabulary", "BehaviorVocabulary"),
    "skhuihen.Correspondence": Entry(f"{_OURS}._correspondence", "Correspondence"),
    "skhuihen.EventNumbers": Entry("skhuihen._encoding.event_numbers", "EventNumbers"),
    "skhuihen.EventRanges": Entry("skhuihen._encoding.event_numbers", "EventRanges"),
    "skhuihen.OptionalSubfields": Entry("skhuihen._events.behaviors", "OptionalSubfields"),
    "skhuihen.PiecewiseLinear": Entry(f"{_OURS}._bounded", "PiecewiseLinear"),
    "skhuihen.Range": Entry(f"{_OURS}._bounded", "Range"),
    # Estimators of scikit-learn.
    **{
        f"sklearn.{name}": Entry(f"sklearn.{module}", name)
        for module, names in _SKLEARN.items()
        for name in names
    },
    "sklearn.Pipeline": Entry("sklearn.pipeline", "Pipeline", finish=_finish_pipeline),
    "sklearn.IsotonicRegression": Entry(
        "sklearn.isotonic", "IsotonicRegression", take=_take_isotonic, finish=_finish_isotonic
    ),
    "sklearn.SplineTransformer": Entry(
        "sklearn.preprocessing", "SplineTransformer", take=_take_spline, finish=_finish_spline
    ),
    "sklearn.TunedThresholdClassifierCV": Entry(
        "sklearn.model_selection",
        "TunedThresholdClassifierCV",
        ("_curve_scorer",),
        finish=_finish_tuned,
    ),
    # Gradient boosting.
    "lightgbm.LGBMClassifier": Entry(
        "lightgbm", "LGBMClassifier", take=_take_lightgbm, finish=_finish_lightgbm
    ),
    "xgboost.XGBClassifier": Entry(
        "xgboost", "XGBClassifier", take=_take_xgboost, finish=_finish_xgboost
    ),
}
_BY_NAME: dict[str, list[str]] = {}
for _key, _entry in ENTRIES.items():
    _BY_NAME.setdefault(_entry.name, []).append(_key)
