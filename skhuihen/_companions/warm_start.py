"""Step one of the transfer auxiliary network: pre-training on old data (section 4).

The transfer auxiliary network of Figure 3 is the whole network, trained on applications without
events. T and H are then zero, so only the profile part and the UPI layers learn.
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Self
from uuid import uuid4

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from skhuihen._companions.cross_fitting import columns_of, cross_fit, make_teacher, score
from skhuihen._encoding.applications import ApplicationEncoder, no_events
from skhuihen._encoding.schema import TableSchema
from skhuihen._estimators.parameters import frozen
from skhuihen._tables.texts import as_text
from skhuihen._training.folds import users_of
from skhuihen._training.guided import GuidedDataset, GuidedLoss
from skhuihen._training.net import HUIHENNet
from skhuihen._training.start import ColdStart, PretrainedStart, log_odds_of
from skhuihen._training.trainer import Trainer, find_device
from skhuihen.network.architecture import architecture_of
from skhuihen.preprocessing._profile import ProfileEncoder, kinds_of

#: Parameters of a classifier that decide the inputs of the pre-trained part.
INPUTS = ("behaviors", "profile_encoder", "id_columns", "dtype")
#: Parameters of its network that decide the shape.
SIZES = ("behavior_dim", "hidden_units")
#: Parameters that the student does not use.
OF_STUDENT = {
    "callbacks": None,
    "class_weight": None,
    "base_estimator": None,
    "teacher": None,
    "n_estimators": 1,
    "old_data": None,
}
#: Number of pre-trained parts that stay in the memory of a process.
N_CACHED = 64

NO_ROWS = (
    "The old data of warm_start_from are no longer available: forget_old_data() was called, or "
    "this is a copy of a fitted classifier, which keeps no rows. Call warm_start_from again."
)
_LOCK = threading.RLock()  # a teacher may have a warm start of its own
_CACHE: OrderedDict[tuple[Any, ...], Pretrained] = OrderedDict()


@dataclass(frozen=True)
class Pretrained:
    """The result of step one for step two, without the old rows.

    Attributes
    ----------
    params : dict of str to object
        The parameters of the student, the network of step one.
    encoder : ApplicationEncoder
        For the profile only.
    nets : list of HUIHENNet
        The student's network.
    log_odds : float
        The log-odds of overdue in the old data.
    schema : TableSchema
    features : list of str
        The columns of the profile.
    """

    params: dict[str, Any]
    encoder: ApplicationEncoder
    nets: list[HUIHENNet]
    log_odds: float
    schema: TableSchema
    features: list[Any]

    def judge(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return the log-odds of overdue of new applications by the network of step one."""
        profile = self.encoder.profile_of(frame)
        dataset: Any = self.encoder.dataset(profile, no_events(len(profile)))
        return self.nets[0].log_odds(dataset)

    def start(self, log_odds: float, lr: float) -> PretrainedStart:
        """Return the start of step two.

        Parameters
        ----------
        log_odds : float
            The log-odds of overdue in the new data.
        lr : float
            Learning rate of the pre-trained weights, in multiples of that of new weights.
        """
        return PretrainedStart(self.nets[0].module_, self.log_odds, log_odds, lr)


@dataclass(frozen=True)
class OldRows:
    """The old applications, checked and read.

    Attributes
    ----------
    frame : DataFrame of shape (n_old, n_columns)
    label : int64 ndarray of shape (n_old,)
        Positions in ``classes``; zeros without labels.
    weight : ndarray of shape (n_old,)
    classes : list of 2 labels
    labeled : bool
        Whether there are labels.
    by_position : bool
        Whether they came as an array, without column names.
    params : dict of str to object
        The parameters of the classifier for step one.
    """

    frame: pd.DataFrame
    label: NDArray[np.int64]
    weight: NDArray[np.float64]
    classes: list[Any]
    labeled: bool
    by_position: bool
    params: dict[str, Any]

    def __repr__(self) -> str:
        return f"<{len(self.frame):,} old applications>"


class OldData(BaseEstimator):
    """Old applications, and how a network learns from them before `fit`.

    `HUIHENClassifier.warm_start_from` makes it. Clones of a classifier share its rows and what was
    learned from them. A copy in another process has the rows too, and uses what was learned there
    before. Step one runs once per process for each shape of the network and each setting.

    Parameters
    ----------
    rows : OldRows or None
        None once they were dropped.
    teacher, cv, guidance_weight, pretrained_lr, max_epochs, batch_size
        As in `HUIHENClassifier.warm_start_from`; pass a fitted teacher as a `FrozenEstimator`.
    """

    _parameter_constraints: dict = {
        "rows": [OldRows, None],
        "teacher": [StrOptions({"xgboost", "lightgbm"}), HasMethods("predict_proba"), None],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods("split"), None],
        "guidance_weight": [
            StrOptions({"learned", "literal"}),
            Interval(Real, 0, None, closed="left"),
        ],
        "pretrained_lr": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
    }

    def __init__(
        self,
        rows: OldRows | None,
        *,
        teacher: Any = "xgboost",
        cv: Any = 5,
        guidance_weight: str | float = "learned",
        pretrained_lr: float = 0.1,
        max_epochs: int | str | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.rows = rows
        self.teacher = teacher
        self.cv = cv
        self.guidance_weight = guidance_weight
        self.pretrained_lr = pretrained_lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self._learned = _Learned() if rows is None else _Learned(rows.classes, rows.by_position)

    def __sklearn_clone__(self) -> OldData:
        return self._with(self.rows, self._learned)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, of the teacher too.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self
        """
        if any(name.startswith("teacher__") for name in params):
            self.teacher = clone(self.teacher, safe=False)  # clones of this share it
        return super().set_params(**params)

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        rows = "forgotten" if self.rows is None else self.rows
        settings = (f"{name}={getattr(self, name)!r}" for name in _SETTINGS)
        return f"OldData({rows}, {', '.join(settings)})"

    def _with(self, rows: OldRows | None, learned: _Learned) -> OldData:
        twin = OldData(rows, **{name: getattr(self, name) for name in _SETTINGS})
        twin._learned = learned
        return twin

    def prepare(
        self, params: Mapping[str, Any], classes: Sequence[Any], frame: pd.DataFrame
    ) -> Pretrained:
        """Return the pre-trained part for a classifier and new data, after checks.

        Parameters
        ----------
        params : mapping of str to object
            The parameters of the classifier.
        classes : sequence of 2 labels
            Of the new data.
        frame : DataFrame
            The new applications.
        """
        known = self._learned.classes
        if list(classes) != known:
            raise ValueError(
                f"y has the labels {list(classes)}, but warm_start_from had {known}. Use the same "
                "labels in both."
            )
        pretrained = self.pretrain(params)
        self._check_columns(pretrained.encoder.profile_encoder_, params, frame)
        return pretrained

    def pretrain(self, params: Mapping[str, Any]) -> Pretrained:
        """Return the pre-trained part for a classifier; train it if there is none yet."""
        self._validate_params()
        key = self._key(params)
        with _LOCK:
            found = self._learned.parts.get(key) or _CACHE.get((self._learned.token, key))
            if found is None:
                found = self._pretrain(params)
            self._learned.parts[key] = found
            _CACHE[self._learned.token, key] = found
            while len(_CACHE) > N_CACHED:
                _CACHE.popitem(last=False)
        return found

    @property
    def classes(self) -> list[Any]:
        """The two labels."""
        return self._learned.classes

    def known(self, params: Mapping[str, Any]) -> Pretrained | None:
        """Return the pre-trained part for a classifier, if there is one."""
        return self._learned.parts.get(self._key(params))

    def without_rows(self) -> OldData:
        """Return a copy that keeps what was learned but no rows."""
        learned = copy(self._learned)
        learned.guidance = {}
        other = self._with(None, learned)
        if isinstance(self.teacher, FrozenEstimator):  # it may contain rows
            other.teacher = None
        before, after = self._of_settings(), other._of_settings()
        learned.parts = {
            (after, shape): part
            for (settings, shape), part in self._learned.parts.items()
            if settings == before
        }
        return other

    def find(self, params: Mapping[str, Any], frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows of a frame are old rows."""
        if self.rows is None:
            raise ValueError(NO_ROWS)
        old = self.rows.frame
        encoder = self.pretrain(params).encoder.profile_encoder_
        shared = [c for c in params["id_columns"] if c in old.columns and c in frame.columns]

        def digest(table: pd.DataFrame) -> NDArray[Any]:
            # After encoding, values are equal whatever container they came in.
            plain = pd.DataFrame(encoder.transform(table))
            for column in shared:
                plain[f"id {column}"] = [as_text(value) for value in table[column]]
            return pd.util.hash_pandas_object(plain, index=False).to_numpy()

        return np.isin(digest(frame), digest(old))

    def _key(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return all that a pre-trained part depends on, as a dictionary key."""
        return self._of_settings(), frozen(_shape_of(params))

    def _of_settings(self) -> tuple[Any, ...]:
        """Return the settings of step one; `pretrained_lr` is for step two."""
        names = [name for name in _SETTINGS if name not in ("cv", "pretrained_lr")]
        return repr(self.cv), *(frozen(getattr(self, name)) for name in names)

    def _pretrain(self, params: Mapping[str, Any]) -> Pretrained:
        """Train a student with the classifier's shape."""
        if self.rows is None:
            shape = frozen(_shape_of(params))
            known = [of_part for _, of_part in self._learned.parts]
            reason = "a setting of old_data was changed"
            if shape not in known:
                reason = f"it was run for {list(map(dict, known))}, not for {dict(shape)}"
            raise ValueError(
                f"Step one of the warm start must run again, because {reason}. {NO_ROWS} Or set "
                "the parameters back."
            )
        if not (self.rows.labeled or _is_fitted_teacher(self.teacher)):
            raise ValueError(
                f"old_y is None, but teacher={self.teacher!r} requires labels. Pass old_y, or a "
                "fitted teacher."
            )
        student = {**self.rows.params, **OF_STUDENT}
        student |= {name: params[name] for name in INPUTS}
        architecture = architecture_of(params)
        student["net_params"] = {
            **(student["net_params"] or {}),
            **{f"module__{name}": architecture[name] for name in SIZES},
        }
        student |= {
            name: value
            for name in ("max_epochs", "batch_size")
            if (value := getattr(self, name)) is not None
        }
        student["random_state"] = deepcopy(student["random_state"])
        rows, encoder = self.rows, ApplicationEncoder(student)
        frame = encoder.profile_of(rows.frame)
        schema = TableSchema.learn(frame, encoder.column, student["id_columns"])
        behaviors = no_events(len(frame))
        encoder.fit(frame, lambda: [behaviors], rows.weight)
        if not encoder.profile_encoder_.n_features_in_:
            raise ValueError(
                f"old_X has no profile column to learn from. Its columns are {list(frame.columns)}."
            )
        if rows.labeled:
            encoder.profile_encoder_.tell_leaks(frame, rows.label, stacklevel=4)
        device = find_device(student["device"])
        dataset: Any = encoder.dataset(frame, behaviors, rows.label, rows.weight, device)
        users = users_of(frame, student["id_columns"])
        guidance = self._guide(student, dataset.profile, users)
        by = rows.label if rows.labeled else guidance
        assert by is not None
        log_odds = log_odds_of(by, rows.weight)
        of_loss: dict[str, Any] = {}
        if guidance is not None:
            dataset = GuidedDataset(dataset, guidance, rows.labeled)
            of_loss = {
                "criterion": GuidedLoss,
                "criterion__form": self.guidance_weight if rows.labeled else 1.0,
                "criterion__labeled": rows.labeled,
                # Weight decay would change alpha.
                "optimizer__param_groups": [("guidance_parameter", {"weight_decay": 0.0})],
            }
        trainer = Trainer(student, "HUIHENClassifier, step one")
        # Early stopping holds out rows of each class.
        classes = rows.classes if rows.labeled else ["no label"]
        nets, _ = trainer.train(
            dataset, encoder.sizes, ColdStart(log_odds), classes=classes, users=users, **of_loss
        )
        for epoch in nets[0].history:
            epoch.pop("batches", None)  # the history has their means
        return Pretrained(student, encoder, nets, log_odds, schema, schema.features(frame))

    def _guide(
        self,
        student: Mapping[str, Any],
        profile: NDArray[np.floating],
        users: NDArray[np.int64] | None,
    ) -> NDArray[np.floating] | None:
        """Return the guidance probabilities; None if there is no teacher."""
        rows, teacher = self.rows, self.teacher
        assert rows is not None
        if teacher is None:
            return None
        # A fitted teacher scores the rows as they are.
        is_fitted = isinstance(teacher, FrozenEstimator)
        inputs = () if is_fitted else tuple(frozen(student[name]) for name in INPUTS)
        key = (frozen(teacher), repr(self.cv), inputs)
        known = self._learned.guidance
        if key not in known and is_fitted:
            inner = teacher.estimator
            table = rows.frame.to_numpy() if rows.by_position else columns_of(inner, rows.frame)
            known[key] = score(inner, table, rows.classes)
        if key not in known:
            random = check_random_state(deepcopy(student["random_state"]))
            if isinstance(teacher, str):
                teacher = make_teacher(teacher, random.randint(np.iinfo(np.int32).max))
            weight, verbose = rows.weight, student["verbose"]
            known[key] = cross_fit(
                teacher, profile, rows.label, weight, self.cv, random, verbose, users
            )
        return known[key]

    def _check_columns(
        self, encoder: ProfileEncoder, params: Mapping[str, Any], frame: pd.DataFrame
    ) -> None:
        """Raise if columns are missing; warn of columns that the pre-trained part ignores."""
        old = encoder.feature_names_in_.tolist()
        lacking = [column for column in old if column not in frame.columns]
        if lacking:
            raise ValueError(
                f"X has no profile column {lacking[0]!r}, which was in old_X of warm_start_from "
                f"(all missing columns: {lacking}). Add it, with missing values if they are not "
                "known, or warm-start from an old_X without it."
            )
        of_new = ApplicationEncoder(params)
        profile = of_new.profile_of(frame)
        new = of_new.make_profile_encoder()._find_fields(profile, kinds_of(profile)).values()
        extra = [column for columns in new for column in columns if column not in old]
        if extra and self._learned.by_position:
            raise ValueError(
                f"old_X of warm_start_from was an array of {len(old)} columns, but X has "
                f"{len(old) + len(extra)}. Pass the same columns in the same order, or pass "
                "tables with column names."
            )
        if extra:
            warnings.warn(
                f"X has {len(extra)} profile columns that were not in old_X of warm_start_from. "
                f"The pre-trained part cannot use them, so they are dropped: {extra}.",
                stacklevel=4,
            )
        encoder.tell_unusual(frame, stacklevel=4, source="old_X of warm_start_from")


def _shape_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that decide inputs and shape of the pre-trained part."""
    shape = architecture_of(params)
    return {name: params[name] for name in INPUTS} | {name: shape[name] for name in SIZES}


_SETTINGS = ("teacher", "cv", "guidance_weight", "pretrained_lr", "max_epochs", "batch_size")


@dataclass
class _Learned:
    """Shared by clones: an identifier of the rows, and what was learned from them."""

    classes: list[Any] = field(default_factory=list)
    by_position: bool = False
    token: str = field(default_factory=lambda: uuid4().hex)
    #: Guidance probabilities by teacher, folds and the parameters of the teacher's inputs.
    guidance: dict[Any, NDArray[np.floating]] = field(default_factory=dict)
    #: Pre-trained parts by settings and shape.
    parts: dict[Any, Pretrained] = field(default_factory=dict)


def _is_fitted_teacher(teacher: Any) -> bool:
    return isinstance(teacher, FrozenEstimator) and is_fitted(teacher.estimator)


def is_fitted(teacher: Any) -> bool:
    """Return whether a teacher can score; assume so if scikit-learn cannot fit it."""
    if not (hasattr(teacher, "fit") and hasattr(teacher, "__sklearn_tags__")):
        return True
    try:
        check_is_fitted(teacher)
    except NotFittedError:
        return False
    return True
