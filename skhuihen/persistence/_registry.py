"""The classes that a model file may hold: a key in the file stands for an entry here.

To each belongs what is not written of it (`transient`), and, where values alone do not make it
again, how it is written and built. What stands here is a promise for files of format 1: keys stay.
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
    read_zip,
    refusing,
)
from skhuihen.persistence._values import ValueReader, ValueWriter

State = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A class that a file may hold.

    Attributes
    ----------
    module, name : str
        Where it is.
    transient : tuple of str
        Attributes that are not written.
    take : callable, default=None
        ``take(state, found, writer)`` returns the state to write, where it is not the attributes.
    finish : callable, default=None
        ``finish(found, reader)`` completes an object that has its attributes.
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
    """Turn estimators into JSON, too.

    Attributes
    ----------
    weights : dict of str to ndarray
        Those of networks.
    parts : dict of str to bytes
        Models of other libraries, in their own formats.
    foreign : list of str
        Estimators that only skops could write.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights: dict[str, NDArray[Any]] = {}
        self.parts: dict[str, bytes] = {}
        self.foreign: list[str] = []
        self.left_out: list[str] = []
        self._number: dict[int, tuple[int, Any]] = {}  # the object too, so that its id stays its

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
        # Those of a Bunch are its items, of a named tuple its fields.
        if isinstance(value, tuple):
            state: State = value._asdict()  # type: ignore[attr-defined]
        else:
            state = dict(value) if isinstance(value, dict) else dict(vars(value))
        state = {name: item for name, item in state.items() if name not in entry.transient}
        if isinstance(value, BaseEstimator):
            state.pop("_metadata_request", None)  # for fit alone
        if entry.take is not None:
            state = entry.take(state, value, self)
        written = {
            name: self.write(item, f"{where}.{name}" if where else f"{entry.name}.{name}")
            for name, item in sorted(state.items())  # the same model, the same file
        }
        self._number[id(value)] = len(self._number), value
        return {"object": [key, written]}

    def _write_foreign(self, value: Any, where: str) -> Any:
        skops = _skops(where, type(value))
        try:
            content = skops.dumps(value)
        except Exception as error:
            raise TypeError(f"{where} cannot be written, by skops neither: {error}") from error
        self.foreign.append(type(value).__name__)
        return {"skops": self.add_part("skops", "skops", content)}


class ModelReader(ValueReader):
    """Turn JSON back into estimators, too.

    Parameters
    ----------
    arrays, weights : mapping of str to ndarray
    parts : mapping of str to bytes
    trusted : collection of str
        Types that the caller lets skops build.
    same : collection of str, default=()
        Libraries whose version is that of the file: their estimators have all parameters.
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
            raise ModelFileError("the model names a part that is not there")
        return self.parts[name]

    def _read_same(self, value: Any) -> Any:
        if type(value) is not int or not 0 <= value < len(self._built):
            raise ModelFileError("the model refers to what is not there")
        return self._built[value]

    def _read_object(self, value: Any) -> Any:
        if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
            raise ModelFileError("an object has no key and state")
        key, written = value
        if key not in ENTRIES or not isinstance(written, dict):
            raise ModelFileError(f"the class {key[:60]!r} is not one that a model file may hold")
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
        read_zip(content, value)  # no longer than it is
        skops = _skops(value, None)
        untrusted = [
            name for name in skops.get_untrusted_types(data=content) if name not in self.trusted
        ]
        if untrusted:
            raise ModelFileError(
                f"The file holds {sorted(untrusted)}, which could run code of their own. If you "
                "know who wrote the file, and know these types, pass their names as trusted=[...]."
            )
        with refusing(value):
            return skops.loads(content, trusted=list(self.trusted))


def _skops(where: str, kind: type | None) -> Any:
    try:
        import skops.io
    except ImportError as error:
        what = "an estimator" if kind is None else f"a {kind.__module__}.{kind.__qualname__}"
        raise ModelFileError(
            f"{where} is {what} that is not among those of a model file; skops can keep it, but is "
            "not installed here: pip install skhuihen[skops]."
        ) from error
    return skops.io


def _key_of(value: Any) -> str | None:
    """Return the key of an object's class."""
    kind = type(value)
    root, _, _ = kind.__module__.partition(".")
    for key in _BY_NAME.get(kind.__name__, ()):
        # Of one library, so nothing is imported that is not there already.
        if ENTRIES[key].module.partition(".")[0] == root and ENTRIES[key].kind is kind:
            return key
    return None


def _check_attribute(kind: type, name: str) -> None:
    """Refuse what would hide a method of the class."""
    if not name.isidentifier() or (name.startswith("__") and name.endswith("__")):
        raise ModelFileError(f"{kind.__name__} cannot have an attribute {name[:60]!r}")
    known = inspect.getattr_static(kind, name, None)
    if callable(known) or hasattr(type(known), "__get__"):
        raise ModelFileError(f"{name!r} of {kind.__name__} is no attribute that can be set")


def _check_parameters(found: Any, *, may_lack: bool) -> None:
    """Refuse an estimator without its parameters; those of another version take their defaults."""
    signature = inspect.signature(type(found).__init__).parameters
    for name in type(found)._get_param_names():
        if name not in vars(found):
            default = signature[name].default if name in signature else None
            if default is inspect.Parameter.empty or not may_lack:
                raise ModelFileError(f"{type(found).__name__} has no {name!r}")
            setattr(found, name, default)


# --------------------------------------------------------------------------------------------------
# Ours.


def _finish_abstractor(found: Any, reader: ModelReader) -> None:
    from skhuihen.preprocessing._abstraction.rules import Rule, RuleTable

    if hasattr(found, "rules_"):
        found._table = RuleTable([Rule(*row) for row in found.rules_.itertuples(index=False)])


#: What the nets of a classifier have that training needs later, and scoring does not.
_OF_NET = ("lr", "max_epochs", "batch_size", "optimizer")
_OF_NET_BEGIN = ("module__", "optimizer__", "iterator_train__", "iterator_valid__")


def _take_classifier(state: State, found: Any, writer: ModelWriter) -> State:
    """Write networks as arguments and weights, and leave out what scoring does not need."""
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
        if not is_written:  # it is for fit alone; what was fitted stands in base_estimator_
            state[name] = None
            writer.left_out.append(name)
    nets = state.pop("estimators_", None)
    if nets is not None:
        state["estimators_"] = [_take_net(net, writer) for net in nets]
    return state


def _take_net(net: Any, writer: ModelWriter) -> State:
    # Named so that the same weights of all networks are neighbors in the file, which packs better.
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
        raise ModelFileError("a classifier has no network")
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
    """Build a network once its arguments and the shapes of its weights agree."""
    import torch

    from skhuihen._training.net import SCORING_BATCH, HUIHENNet
    from skhuihen._training.trainer import as_it_is
    from skhuihen.network.huihen import HUIHEN

    if not isinstance(written, dict) or not {"params", "weights", "seed"} <= set(written):
        raise ModelFileError("a network has no arguments and weights")
    params, suffix = written["params"], written["weights"]
    weights = {
        name.removesuffix(suffix): weight
        for name, weight in reader.weights.items()
        if name.endswith(suffix)
    }
    dtype = np.dtype(classifier.dtype)
    if dtype not in (np.float32, np.float64):
        raise ModelFileError("a network is of another precision than float32 and float64")
    arguments = {
        name.removeprefix("module__"): value
        for name, value in params.items()
        if name.startswith("module__")
    }
    known = inspect.signature(HUIHEN.__init__).parameters
    n_numbers = sum(weight.size for weight in weights.values())
    for name, value in arguments.items():
        if name not in known:
            raise ModelFileError(f"a network has an argument {name[:60]!r}, which is not known")
        # Whatever is a size of something is not larger than all of it.
        sizes = value if isinstance(value, list | tuple) else [value]
        if any(not isinstance(s, int | float) or not 0 <= s <= n_numbers for s in sizes):
            raise ModelFileError(f"a network has {name}={str(value)[:60]}, which its weights lack")
        if len(sizes) > 100:
            raise ModelFileError(f"a network has {len(sizes)} sizes in {name}")
    with torch.device("meta"):
        shapes = {name: tuple(w.shape) for name, w in HUIHEN(**arguments).state_dict().items()}
    if shapes != {name: weight.shape for name, weight in weights.items()} or any(
        weight.dtype != dtype for weight in weights.values()
    ):
        raise ModelFileError("the weights of a network are of other shapes than it has")
    generator = torch.Generator().manual_seed(written["seed"] % 2**63)
    for name in params:
        if not (name in _OF_NET or name.startswith(_OF_NET_BEGIN)):
            raise ModelFileError(f"a network has {name[:60]!r}, which is not known")

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
# Others'.


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
            raise ModelFileError("trees of LightGBM have another number of features")


_SIZES_OF_TREES = {
    *("num_leaves", "num_cat", "max_feature_idx", "num_class", "num_tree_per_iteration"),
}


def _check_lightgbm(text: str) -> None:
    """Refuse trees with sizes that no line bears out, for which LightGBM would ask memory."""
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name in _SIZES_OF_TREES and not (value.isdigit() and int(value) <= len(text)):
            raise ModelFileError(f"trees of LightGBM have {line[:60]!r}")


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
            raise ModelFileError("a pipeline has a step without a name")


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
    # The values that they learn.
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
    # scikit-learn's.
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
    # The libraries of trees.
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
