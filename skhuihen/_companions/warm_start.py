"""Step one of the transfer auxiliary network: pre-training on old data (section 4)."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
)

from skhuihen._events.frames import is_table
from skhuihen._tables.labels import as_labels
from skhuihen._tables.texts import as_text
from skhuihen._training.folds import users_of
from skhuihen.network.huihen import HUIHEN
from skhuihen.preprocessing._profile import ProfileEncoder

if TYPE_CHECKING:
    from skhuihen.classifier import HUIHENClassifier
from skhuihen._companions.cross_fitting import columns_of, cross_fit, make_teacher, score
from skhuihen._training.guided import GuidedDataset, GuidedLoss

#: The parameters of a classifier that give the pre-trained part its shape and its inputs.
SHAPING = ("behavior_dim", "hidden_units", "behaviors", "profile_fields", "id_columns", "dtype")
#: Of these, the ones that a teacher's inputs depend on.
OF_INPUTS = SHAPING[2:]
#: Of all pre-trained parts, this many stay in the memory of a process.
N_CACHED = 64


# --------------------------------------------------------------------------------------------------
# The warm start.


@dataclass(frozen=True)
class Pretrained:
    """What step one leaves to step two: no row of the old data.

    Attributes
    ----------
    student : HUIHENClassifier
        The network of step one, a fitted classifier of profiles.
    log_odds : float
        Of overdue in the old data.
    lr : float
        Learning rate of its weights in step two, in multiples of that of new weights.
    """

    student: HUIHENClassifier
    log_odds: float
    lr: float

    def start(self, module: HUIHEN, log_odds: float) -> None:
        """Put the pre-trained weights into a new network, and move its odds to the new data's.

        Taken over are the field matrices of the profile and the UPI layers. In the first of
        these the columns of T, H and what is beside saw zeros, and weight decay alone has moved
        them: they start at zero. So step two starts at the scores of step one, but for the last
        biases, which move by what the log-odds of overdue differ between the old and the new data.
        """
        old = self.student.net_.module_
        with torch.no_grad():
            for room in ("profile_field_aware", "interaction"):
                weights = getattr(module, room).named_parameters()
                trained = dict(getattr(old, room).named_parameters())
                for name, weight in weights:
                    if name.endswith("of_vectors"):
                        weight.zero_()
                    else:
                        weight.copy_(trained[name])
            shift = (log_odds - self.log_odds) / 2
            bias: Any = module.interaction.logits.bias
            bias += torch.tensor([-shift, shift]).to(bias)

    def rates(self, lr: float) -> list[tuple[str, dict[str, float]]]:
        """Return the learning rates of step two by names of weights, as skorch takes them."""
        return [
            ("*.of_vectors", {"lr": lr}),
            ("profile_field_aware.*", {"lr": self.lr * lr}),
            ("interaction.*", {"lr": self.lr * lr}),
        ]


NO_ROWS = (
    "The old data of warm_start_from are no longer here: forget_old_data() was called, or this is "
    "a copy of a fitted classifier, which keeps no row. Call warm_start_from again."
)
_LOCK = threading.RLock()  # a teacher may have a warm start of its own
_CACHE: OrderedDict[tuple[Any, ...], Pretrained] = OrderedDict()


class WarmStart:
    """Old data, a teacher, and what was learned from them for each shape of the network.

    Clones of a classifier share it. A copy in another process has the rows too and finds what was
    learned there before: step one runs once per shape and process.

    Parameters
    ----------
    student : HUIHENClassifier
        An unfitted one without warm start: step one trains with its parameters.
    old_X, old_y, sample_weight, teacher, cv, guidance_weight, pretrained_lr
        As in `HUIHENClassifier.warm_start_from`.
    """

    def __init__(
        self,
        student: HUIHENClassifier,
        old_X: Any,
        old_y: Any,
        sample_weight: Any,
        teacher: Any,
        cv: Any,
        guidance_weight: str | float,
        pretrained_lr: float,
    ) -> None:
        student._validate_params()
        student._check_parameters()
        self.student = student
        self.cv = cv
        self.guidance_weight = guidance_weight
        self.pretrained_lr = pretrained_lr
        self.token = uuid4().hex
        self.by_position = not is_table(old_X)
        reader = clone(student)  # what reads a table remembers its columns
        frame = reader._check_table(old_X, reset=True)
        is_unfitted = isinstance(teacher, str) or (teacher is not None and not _is_fitted(teacher))
        if old_y is None and (teacher is None or is_unfitted):
            raise ValueError(
                f"old_y is None, but teacher={teacher!r} has nothing to teach without labels. "
                "Pass old_y, or a teacher that is fitted already."
            )
        weight = _check_sample_weight(
            sample_weight, frame.index.to_numpy(), dtype=np.float64, ensure_non_negative=True
        )
        used = weight > 0
        label = np.zeros(used.sum(), dtype=np.int64)
        self.labeled = old_y is not None
        if self.labeled:
            old_y = _check_y(as_labels(old_y, "old_y"), estimator=student)
            check_consistent_length(frame, old_y)
            label = reader._encode_labels(old_y[used])
            self.classes = reader.classes_.tolist()
        else:
            self.classes = np.unique(getattr(teacher, "classes_", [])).tolist()
        self.teacher = teacher if isinstance(teacher, str) else None
        #: Guidance probabilities by what the teacher's inputs depend on: a fitted one's on nothing.
        self.guidance: dict[Any, NDArray[np.floating]] = {}
        if is_unfitted and not isinstance(teacher, str):
            self.teacher = clone(teacher)
        elif teacher is not None and not is_unfitted:
            table = old_X if self.by_position else columns_of(teacher, frame)
            self.guidance[None] = score(teacher, table, self.classes)[used]
        self.rows: Any = (frame[used], label, weight[used] / weight[used].mean())
        self.pretrained: dict[Any, Pretrained] = {}

    def prepare(self, classifier: HUIHENClassifier, frame: pd.DataFrame) -> Pretrained:
        """Return the pre-trained part for a classifier and new data, both checked against it.

        Parameters
        ----------
        classifier : HUIHENClassifier
            With ``classes_`` of the new data.
        frame : DataFrame
            The new applications.
        """
        if classifier.classes_.tolist() != self.classes:
            raise ValueError(
                f"y holds the labels {classifier.classes_.tolist()}, warm_start_from was given "
                f"{self.classes}. Code both alike."
            )
        pretrained = self.pretrain(classifier)
        self._check_columns(pretrained.student.profile_encoder_, classifier, frame)
        return pretrained

    def pretrain(self, classifier: HUIHENClassifier) -> Pretrained:
        """Return the pre-trained part that fits a classifier; train it if there is none yet."""
        shape = _shape_of(classifier, SHAPING)
        with _LOCK:
            found = self.pretrained.get(shape) or _CACHE.get((self.token, shape))
            if found is None:
                found = self._pretrain(classifier)
            self.pretrained[shape] = found
            _CACHE[self.token, shape] = found
            while len(_CACHE) > N_CACHED:
                _CACHE.popitem(last=False)
        return found

    def known(self, classifier: HUIHENClassifier) -> Pretrained | None:
        """Return the pre-trained part that fits a classifier, if there is one."""
        return self.pretrained.get(_shape_of(classifier, SHAPING))

    def without_rows(self) -> WarmStart:
        """Return a copy that keeps what was learned and no row."""
        other = copy(self)
        other.rows, other.guidance, other.pretrained = None, {}, dict(self.pretrained)
        return other

    def find(self, classifier: HUIHENClassifier, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Tell which rows of a frame are among the old ones."""
        if self.rows is None:
            raise ValueError(NO_ROWS)
        old = self.rows[0]
        encoder = self.pretrain(classifier).student.profile_encoder_
        shared = [c for c in classifier.id_columns if c in old.columns and c in frame.columns]

        def digest(table: pd.DataFrame) -> NDArray[Any]:
            # Encoded, numbers and texts are alike whatever container they came in.
            plain = pd.DataFrame(encoder.transform(table))
            for column in shared:
                plain[f"id {column}"] = [as_text(value) for value in table[column]]
            return pd.util.hash_pandas_object(plain, index=False).to_numpy()

        return np.isin(digest(frame), digest(old))

    def _pretrain(self, classifier: HUIHENClassifier) -> Pretrained:
        """Train a student with the classifier's shape."""
        if self.rows is None:
            known = [dict(zip(SHAPING, shape, strict=True)) for shape in self.pretrained]
            raise ValueError(
                f"Step one of the warm start must be run again for "
                f"{dict(zip(SHAPING, _shape_of(classifier, SHAPING), strict=True))}; what was "
                f"learned is for {known}. {NO_ROWS} Or set the parameters back."
            )
        frame, label, weight = self.rows
        student = clone(self.student)
        student.set_params(**{name: getattr(classifier, name) for name in SHAPING})
        # Rows are held out from each class.
        student.classes_ = np.array(self.classes if self.labeled else ["no label"])
        frame = student._check_table(student._profile(frame), reset=True)
        behaviors = student._read_behaviors(frame)  # none
        student._fit_encoders(frame, lambda: [behaviors], weight)
        if not student.profile_encoder_.n_features_in_:
            raise ValueError(
                f"old_X has no profile column to learn from; it has {list(frame.columns)}."
            )
        if self.labeled:
            student.profile_encoder_.tell_leaks(frame, label, stacklevel=4)
        dataset: Any = student._dataset(frame, behaviors, label, weight, student._find_device())
        users = users_of(frame, student.id_columns)
        guidance = self._guide(student, dataset.profile, label, weight, users)
        log_odds = log_odds_of(label, weight) if self.labeled else log_odds_of(guidance, weight)
        params: dict[str, Any] = {}
        if guidance is not None:
            dataset = GuidedDataset(dataset, guidance, self.labeled)
            params = {
                "criterion": GuidedLoss,
                "criterion__form": self.guidance_weight if self.labeled else 1.0,
                "criterion__labeled": self.labeled,
                # Weight decay would pull alpha to a place of its own.
                "optimizer__param_groups": [("guidance_parameter", {"weight_decay": 0.0})],
            }
        student._train(dataset, log_odds, users=users, title=", step one", **params)
        student.classes_ = np.array(self.classes)
        for epoch in student.net_.history:
            epoch.pop("batches", None)  # many, and means are in the history
        return Pretrained(student, log_odds, self.pretrained_lr)

    def _guide(
        self,
        student: HUIHENClassifier,
        profile: NDArray[np.floating],
        label: NDArray[np.int64],
        weight: NDArray[np.floating],
        users: NDArray[np.int64] | None,
    ) -> Any:
        """Return the guidance probabilities; None if there is no teacher."""
        if self.teacher is None:
            return self.guidance.get(None)
        inputs = _shape_of(student, OF_INPUTS)
        if inputs not in self.guidance:
            random = check_random_state(clone(student).random_state)
            teacher = self.teacher
            if isinstance(teacher, str):
                teacher = make_teacher(teacher, random.randint(np.iinfo(np.int32).max))
            self.guidance[inputs] = cross_fit(
                teacher, profile, label, weight, self.cv, random, student.verbose, users
            )
        return self.guidance[inputs]

    def _check_columns(
        self, encoder: ProfileEncoder, classifier: HUIHENClassifier, frame: pd.DataFrame
    ) -> None:
        """Refuse lacking columns; warn of what the pre-trained part cannot take in."""
        old = encoder.feature_names_in_.tolist()
        lacking = [column for column in old if column not in frame.columns]
        if lacking:
            raise ValueError(
                f"X has no profile column {lacking[0]!r}, which was in old_X of warm_start_from "
                f"(lacking in all: {lacking}). Add it, with missing values if they are not known, "
                "or warm-start from an old_X without it."
            )
        new = classifier._make_encoder()._find_fields(classifier._profile(frame)).values()
        extra = [column for columns in new for column in columns if column not in old]
        if extra and self.by_position:
            raise ValueError(
                f"old_X of warm_start_from was an array of {len(old)} columns, X has "
                f"{len(old) + len(extra)}. The same columns in the same order are wanted, or "
                "tables with names."
            )
        if extra:
            warnings.warn(
                f"X has {len(extra)} profile columns that old_X of warm_start_from had not; the "
                f"pre-trained part cannot take them in, and they are left out: {extra}.",
                stacklevel=4,
            )
        encoder.tell_unusual(frame, stacklevel=4, source="old_X of warm_start_from")


def _is_fitted(teacher: Any) -> bool:
    """Tell whether a teacher can score; what scikit-learn cannot fit should."""
    if not (hasattr(teacher, "fit") and hasattr(teacher, "__sklearn_tags__")):
        return True
    try:
        check_is_fitted(teacher)
    except NotFittedError:
        return False
    return True


def _shape_of(classifier: HUIHENClassifier, names: Sequence[str]) -> tuple[Any, ...]:
    """Return some parameters of a classifier in a form that can be looked up."""
    return tuple(frozen(getattr(classifier, name)) for name in names)


def frozen(value: Any) -> Any:
    """Return a parameter in a form that stays as it is."""
    if isinstance(value, Mapping):
        return tuple(sorted((key, frozen(item)) for key, item in value.items()))
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str):
        return tuple(value)
    return value


def log_odds_of(y: NDArray[Any], weight: NDArray[np.floating]) -> float:
    """Return the log-odds of overdue, from labels or probabilities."""
    rate = float(np.average(y, weights=weight))
    return float(np.log(rate) - np.log1p(-rate))
