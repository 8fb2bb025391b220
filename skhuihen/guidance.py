"""Pre-training on old data: teachers, guidance probabilities, the guided loss (section 4).

The transfer auxiliary network of Figure 3 is the whole network fed with applications that have no
events: T and H are then zeros, and what learns is the profile's part and the UPI layers.
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
    has_fit_parameter,
)
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from skhuihen._labels import as_labels
from skhuihen._splits import TOGETHER, folds, n_of_rarest, users_of
from skhuihen.behaviors import as_text, is_table
from skhuihen.network.batch import ApplicationDataset
from skhuihen.network.huihen import HUIHEN
from skhuihen.preprocessing.profile import ProfileEncoder

if TYPE_CHECKING:
    from skhuihen.classifier import HUIHENClassifier

#: Guidance probabilities stay this far from 0 and 1, where their logarithms are infinite.
MARGIN = 1e-5
#: The learned weight of the guidance is at most one over this.
EPSILON = 0.01
#: The parameters of a classifier that give the pre-trained part its shape and its inputs.
SHAPING = ("behavior_dim", "hidden_units", "behaviors", "profile_fields", "id_columns", "dtype")
#: Of these, the ones that a teacher's inputs depend on.
OF_INPUTS = SHAPING[2:]
#: Of all pre-trained parts, this many stay in the memory of a process.
N_CACHED = 64


# --------------------------------------------------------------------------------------------------
# The loss.


class GuidedLoss(nn.CrossEntropyLoss):
    r"""Equation 16: cross entropy with the label, and divergence from the guidance probability.

    .. math::

        L = L_{CE}(P_{out}) + \frac{\alpha}{2}
            \left(KL(P_{out}, P_{aux}) + KL(P_{aux}, P_{out})\right)

    The paper learns :math:`\alpha`, from 1, by this very loss. The divergence is never negative,
    so its gradient only ever pushes :math:`\alpha` down, past zero, from where the loss falls
    without bound and the network runs away from its teacher. The penalty
    :math:`-\frac{1}{2}\log\alpha` of Kendall et al. (2018) keeps it positive, but then it grows
    without bound where the network can follow its teacher closely. Here
    :math:`\frac{1}{2}(\epsilon\alpha - \log\alpha)` is added, :math:`\epsilon = 0.01`: the loss
    has a floor, and for a mean divergence :math:`D` is least at
    :math:`\alpha = 1 / (D + \epsilon)`. So the weight is between 0 and 100, the larger the better
    the network can follow.

    Parameters
    ----------
    form : {"learned", "literal"} or float, default="learned"
        How :math:`\alpha` comes about: learned with the penalty, learned as the paper prints it,
        or fixed at a number.
    labeled : bool, default=True
        False leaves the cross entropy out, for targets without labels.
    reduction : str, default="none"
        As of every loss of torch. Only ``"none"``, a loss for each row, is known.

    References
    ----------
    The HUIHEN paper, equation 16. A. Kendall, Y. Gal and R. Cipolla, Multi-task learning using
    uncertainty to weigh losses for scene geometry and semantics, CVPR 2018.
    """

    def __init__(
        self, form: str | float = "learned", labeled: bool = True, reduction: str = "none"
    ) -> None:
        super().__init__(reduction=reduction)
        self.form = form
        self.labeled = labeled
        start = {"learned": 0.0, "literal": 1.0}.get(str(form), form)
        self.guidance_parameter = nn.Parameter(
            torch.tensor(float(start)), requires_grad=isinstance(form, str)
        )

    @property
    def alpha(self) -> Tensor:
        """The weight of the guidance; learned as ``exp(-parameter)``, so never negative."""
        parameter = self.guidance_parameter
        return torch.exp(-parameter) if self.form == "learned" else parameter

    def parts(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return cross entropy and divergence, the sum of both directions, of each row.

        Parameters
        ----------
        logits : Tensor of shape (n, 2)
        target : Tensor of shape (n, 2)
            Label (0 or 1, NaN if there is none) and guidance probability.

        Returns
        -------
        Tensor of shape (n,), Tensor of shape (n,)
        """
        label, guidance = target.unbind(1)
        log_odds = logits[:, 1] - logits[:, 0]
        # Both directions together are the difference of the probabilities times that of the odds.
        divergence = (torch.sigmoid(log_odds) - guidance) * (log_odds - torch.logit(guidance))
        if not self.labeled:
            return torch.zeros_like(divergence), divergence
        return super().forward(logits, label.long()), divergence

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,).

        A target of shape (n,) has labels alone, as in `partial_fit`, and the loss is then the
        cross entropy.
        """
        if target.ndim == 1:
            return super().forward(logits, target)
        cross_entropy, divergence = self.parts(logits, target)
        loss = cross_entropy + self.alpha / 2 * divergence
        if self.form != "learned":
            return loss
        return loss + (EPSILON * self.alpha + self.guidance_parameter) / 2


class GuidedDataset(Dataset):
    """Applications with a guidance probability.

    Parameters
    ----------
    dataset : ApplicationDataset
    guidance : float ndarray of shape (n_applications,)
    labeled : bool
        False makes every label NaN.
    """

    def __init__(
        self, dataset: ApplicationDataset, guidance: NDArray[np.floating], labeled: bool
    ) -> None:
        self.dataset = dataset
        self.y = dataset.y
        self.labeled = labeled
        self._guidance = torch.from_numpy(guidance.astype(dataset.profile.dtype)).to(dataset.device)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, indices: Sequence[int]) -> tuple[Any, Tensor]:
        """Cut one batch: the applications at ``indices``, and their labels."""
        batch, y = self.dataset.__getitems__(indices)
        rows = torch.as_tensor(indices, device=self._guidance.device)
        guidance = self._guidance.index_select(0, rows)
        if not self.labeled:
            y = torch.full_like(guidance, torch.nan)
        return replace(batch, guidance=guidance), y


class LossParts(Callback):
    """Record both parts of the guided loss, and the weight of the second, in each epoch."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Forget the epoch before."""
        self._seen: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {"train": [], "valid": []}

    def on_batch_end(self, net: Any, batch: Any, training: bool, **kwargs: Any) -> None:
        """Keep the parts of one batch."""
        (x, y), logits = batch, kwargs["y_pred"].detach()
        parts = net.criterion_.parts(logits, x.target(y).to(logits.device))
        self._seen["train" if training else "valid"].append((*parts, x.weight.to(logits.device)))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write the weighted means into the history."""
        for name, seen in self._seen.items():
            if seen:
                cross_entropy, divergence, weight = map(torch.cat, zip(*seen, strict=True))
                total = weight.sum()
                net.history.record(f"{name}_cross_entropy", float(cross_entropy @ weight / total))
                net.history.record(f"{name}_divergence", float(divergence @ weight / total))
        net.history.record("guidance_weight", net.criterion_.alpha.item())
        self._seen = {"train": [], "valid": []}


# --------------------------------------------------------------------------------------------------
# Teachers.


def make_teacher(name: str, random_state: int) -> Any:
    """Return an unfitted tree ensemble of modest size, on one thread.

    Parameters
    ----------
    name : {"xgboost", "lightgbm"}
    random_state : int

    Returns
    -------
    XGBClassifier or LGBMClassifier
    """
    common = {
        "n_estimators": 200,
        "learning_rate": 0.05,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "n_jobs": 1,
        "random_state": random_state,
    }
    if name == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(max_depth=4, tree_method="hist", verbosity=0, **common)
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        num_leaves=15, min_child_samples=50, subsample_freq=1, verbosity=-1, **common
    )


def cross_fit(
    teacher: Any,
    X: Any,
    y: NDArray[Any],
    weight: NDArray[np.floating],
    cv: Any,
    random: np.random.RandomState,
    verbose: int = 0,
    users: NDArray[np.int64] | None = None,
) -> NDArray[np.floating]:
    """Return a probability for each row, by teachers that did not see it.

    Parameters
    ----------
    teacher : classifier
        Cloned and fitted on the other folds.
    X : ndarray or DataFrame of shape (n, n_columns)
    y : ndarray of shape (n,)
        Two labels; the probability is that of the larger one.
    weight : ndarray of shape (n,)
        Handed to the teacher if they differ.
    cv : int, splitter or None
        Stratified folds, shuffled by ``random``; or folds as the splitter makes them. None fits
        one teacher that scores its own training rows, as the paper does.
    random : RandomState
    verbose : int, default=0
    users : int64 ndarray of shape (n,), default=None
        Whose each row is. Those of one user are in one fold; a splitter is given them as
        ``groups`` if it knows groups.

    Returns
    -------
    ndarray of shape (n,)
    """
    classes = np.unique(y)
    rows = np.arange(len(y))
    pairs = [(rows, rows)]
    if isinstance(cv, int | np.integer):
        n_rarest = n_of_rarest(y, users)
        if n_rarest < cv:
            of_what, note = ("rows", "") if users is None else ("users", f" {TOGETHER}")
            raise ValueError(
                f"cv={cv} folds want at least {cv} {of_what} of each class in old_y, which has "
                f"{n_rarest} of one. Pass a smaller cv, or more rows.{note}"
            )
        pairs = [(np.delete(rows, test), test) for test in folds(y, users, int(cv), random)]
    elif cv is not None:
        knows_groups = get_routing_for_object(cv).consumes("split", {"groups"})
        groups = rows if users is None else users
        pairs = list(cv.split(rows, y, groups) if knows_groups else cv.split(rows, y))
    is_weighted = differ(weight)
    probability = np.full(len(y), np.nan)
    for train, test in tqdm(pairs, desc="Teacher", unit="fold", disable=not verbose):
        of_fold = weight[train] if is_weighted else None
        fitted = fit_weighted(teacher, _safe_indexing(X, train), y[train], of_fold)
        probability[test] = score(fitted, _safe_indexing(X, test), classes.tolist())
    if np.isnan(probability).any():
        raise ValueError(
            f"cv={cv!r} leaves {int(np.isnan(probability).sum())} rows of old_X in no test fold; "
            "folds that cover all rows are wanted."
        )
    return probability


def differ(weight: NDArray[np.floating]) -> bool:
    """Tell whether weights say anything."""
    return not (weight == weight[0]).all()


def fit_weighted(
    estimator: Any, X: Any, y: NDArray[Any], weight: NDArray[np.floating] | None
) -> Any:
    """Return a clone that was fitted with sample weights, wherever its `fit` takes them.

    A pipeline hands them to its last step. With metadata routing, the requests of its steps decide
    instead, as far as there are any: a step that requests nothing is given nothing, but the last.

    Parameters
    ----------
    estimator : classifier
    X : ndarray or DataFrame of shape (n, n_columns)
    y : ndarray of shape (n,)
    weight : ndarray of shape (n,) or None
        None passes no weights.

    Returns
    -------
    fitted classifier
    """
    model = clone(estimator)
    if weight is None:
        return model.fit(X, y)
    steps, last = [], model
    while isinstance(last, Pipeline):
        steps.append(last.steps[-1][0])
        last = last[-1]
    is_routing = get_config()["enable_metadata_routing"]
    if is_routing:
        request = _request_of_weights(last)
        try:
            if get_routing_for_object(model).consumes("fit", {"sample_weight"}):
                return model.fit(X, y, sample_weight=weight)
        except UnsetMetadataPassedError:
            if request is not True:
                raise
        if request is False:
            return model.fit(X, y)
    if not has_fit_parameter(last, "sample_weight"):
        raise ValueError(
            f"sample_weight was passed, but {type(estimator).__name__} has no sample_weight in "
            "fit. Pass a model that has, or one that is fitted already."
        )
    with config_context(enable_metadata_routing=is_routing and not steps):
        return model.fit(X, y, **{"__".join([*steps, "sample_weight"]): weight})


def _request_of_weights(estimator: Any) -> Any:
    """Return what `set_fit_request` has said of the weights; None if nothing."""
    requests = getattr(get_routing_for_object(estimator), "fit", None)
    return None if requests is None else requests.requests.get("sample_weight")


def score(teacher: Any, X: Any, classes: list[Any]) -> NDArray[np.floating]:
    """Return a fitted teacher's probability of the second of two classes, off 0 and 1.

    Parameters
    ----------
    teacher : fitted classifier
    X : table or array that the teacher takes
    classes : list of 2 labels
        In any order as the teacher has them; it must have both and no other.

    Returns
    -------
    ndarray of shape (n,)
    """
    name = type(teacher).__name__
    found = np.asarray(getattr(teacher, "classes_", [])).tolist()
    if len(found) != 2 or set(found) != set(classes):
        raise ValueError(
            f"{name} knows the classes {found}; {classes} are wanted. Fit it on both of these "
            "labels."
        )
    probability = np.asarray(teacher.predict_proba(X), dtype=np.float64)
    if probability.ndim != 2 or probability.shape[1] != 2 or not np.isfinite(probability).all():
        raise ValueError(
            f"predict_proba of {name} gave an array of shape {probability.shape} with "
            f"{int((~np.isfinite(probability)).sum())} values that are not finite; two columns of "
            "probabilities are wanted."
        )
    return np.clip(probability[:, found.index(classes[1])], MARGIN, 1 - MARGIN)


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

    def judge(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return the log-odds of overdue of new applications by the network of step one."""
        student = self.student
        profile = student._profile(frame)
        behaviors = student._read_behaviors(profile)  # none
        dataset: Any = student._dataset(profile, behaviors)
        return student.net_.log_odds(dataset)

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


def columns_of(
    model: Any, frame: pd.DataFrame, role: str = "teacher", table: str = "old_X"
) -> pd.DataFrame:
    """Return the columns that a fitted model knows by name; all if it knows none.

    What is made of pipelines, such as a `VotingClassifier`, names the columns of the first of them
    alone, so it gets all.
    """
    parts = model.get_params().values() if hasattr(model, "get_params") else ()
    if not isinstance(model, Pipeline) and any(isinstance(part, Pipeline) for part in parts):
        return frame
    names = list(getattr(model, "feature_names_in_", frame.columns))
    lacking = [name for name in names if name not in frame.columns]
    if lacking:
        raise ValueError(
            f"The {role} {type(model).__name__} was fitted with column {str(lacking[0])!r}, which "
            f"{table} does not have (lacking in all: {list(map(str, lacking))})."
        )
    return frame[names]


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
