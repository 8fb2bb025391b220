"""HUIHENClassifier: the paper's network as a scikit-learn classifier."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from copy import deepcopy
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    Options,
    StrOptions,
    validate_params,
)
from sklearn.utils._tags import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)
from skorch.callbacks import Callback, EarlyStopping
from skorch.helper import predefined_split
from torch.utils.data import Dataset, Subset

from skhuihen._labels import as_labels
from skhuihen._splits import folds, hold_out, n_of_rarest, users_of
from skhuihen.base_model import (
    Blend,
    base_log_odds,
    fit_base,
    fit_blend,
    may_take_missing,
    takes_missing,
)
from skhuihen.behaviors import (
    Behaviors,
    OptionalSubfields,
    as_frame,
    cure_for_renaming,
    is_nested,
    is_table,
    joined_by,
    read_as_of,
)
from skhuihen.guidance import (
    GuidedDataset,
    GuidedLoss,
    LossParts,
    Pretrained,
    WarmStart,
    frozen,
    log_odds_of,
)
from skhuihen.guide import GivenTeacher, Guide, Teacher, UsualTeacher, usual_statistics
from skhuihen.network.batch import ApplicationDataset, Batch, Events
from skhuihen.network.huihen import HUIHEN
from skhuihen.preprocessing.bounded import Outside
from skhuihen.preprocessing.correspondence import Correspondence, Table
from skhuihen.preprocessing.event_numbers import EventNumbers, EventRanges
from skhuihen.preprocessing.profile import ProfileEncoder, is_clear, is_datetime
from skhuihen.preprocessing.vocabulary import BehaviorVocabulary
from skhuihen.schedule import OneCycle
from skhuihen.streaming import PreparedParquet, StreamedApplications, open_applications
from skhuihen.training import (
    SCORING_BATCH,
    BestEpochOrStart,
    HUIHENNet,
    ProgressBar,
    ValidationAUC,
)
from skhuihen.utils.fitting import all_or_nothing

#: Applications read at once for scoring, so that memory does not grow with their number.
READING_BATCH = 8 * SCORING_BATCH
#: The L2 penalty of ``weight_decay="auto"``, and up to how many training rows it does not fall.
DECAY, DECAY_ROWS = 1e-3, 3_400
#: What may change between calls of `partial_fit`; the first three count from then on, the others
#: have no part in it.
CHANGEABLE = (
    *("lr", "batch_size", "verbose", "teacher", "guidance_weight", "schedule"),
    *("max_epochs", "early_stopping", "validation_fraction", "n_iter_no_change", "random_state"),
)

#: With fewer rows, or users, of a class a teacher that nobody named has nothing to teach.
FEWEST_TO_TEACH = 100
#: How many topics ``n_topics="auto"`` is, and the behaviors in use from which on.
USUAL_TOPICS, MANY_BEHAVIORS = 10, 100
#: The rate of `partial_fit`, as a share of the peak that a schedule rises to.
LATER_RATE = 0.1

_Applications = ApplicationDataset | StreamedApplications


class HUIHENClassifier(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Overdue probability from a thin profile and behaviors in a banking app.

    The network of the paper: behaviors are embedded by field (EN, FAN), a time-aware GRU reads
    each session into an intention (SUIE), a user-item-aware GRU reads the intentions into a habit
    (LHUHE), and fully connected layers join the intention of the last session, the habit and the
    profile (UPI), and by default the mean of the intentions too. An application without behaviors
    is scored from its profile alone, with zeros for intention and habit. Without a nested column,
    or on a plain numeric array, this is a classifier of profiles.

    Parameters
    ----------
    behaviors : str, default="behaviors"
        The nested column, with the subfields that `Sessionizer` adds. Behaviors are those of
        `BehaviorAbstractor`, or raw operations where it was left out.
    applied_at : str or None, default="applied_at"
        The column with the time of the application; events at or after it are cut off here too.
        None, said on purpose, cuts nothing.
    profile_fields : mapping of str to sequence of str, default=None
        The columns of the profile fields ``"user"``, ``"device"`` and ``"item"``; None finds
        them by their prefixes (see `ProfileEncoder`).
    id_columns : sequence of str, default=("user_id", "application_id")
        Columns that are never profile. Absent ones are ignored. The first that has a value more
        than once says whose an application is: what is held out in `fit`, for early stopping and
        in the folds of `base_estimator` and `teacher`, is then whole users, since a network
        recognizes a history that it has seen.
    behavior_dim : int, default=10
        Length of behavior, time period and field-wise profile vectors.
    intention_dim : int, default=30
        Length of the intention vector T.
    habit_dim : int, default=30
        Length of the habit vector H.
    hidden_units : sequence of int, default=(50, 25)
        Widths of the hidden layers that join T, H and the profile.
    dropout : float, default=0.6
        Dropout rate behind each of these layers.
    log_interval : bool, default=True
        Feed ``log1p`` of seconds to equation 5; False feeds seconds, as the paper prints it.
    time_aware : bool, default=True
        False reads sessions with a plain GRU, without intervals and time periods.
    user_item_aware : bool, default=True
        False reads intentions with a plain GRU, without user and item.
    field_aware : bool, default=True
        False maps the three behavior fields by one shared matrix.
    hierarchical : bool, default=True
        False reads all behaviors with one plain GRU, without sessions; there is no T.
    event_numbers : "auto", sequence of str or None, default="auto"
        Numeric subfields of the behaviors that the time-aware GRU takes in as numbers, besides
        what the paper lets amounts and intervals do. ``"auto"`` is the interval before a
        behavior, its age at the application (``"age"``, in seconds, which is added here), and
        its amount, as far as they are there. None is the paper's form.
    mean_intention : bool, default=True
        Let the mean of the intentions of all sessions join T, H and the profile: how often
        something was done is a mean, which the last state of a GRU is slow to learn. Of no effect
        without `hierarchical`. False is the paper's form.
    n_topics : int or "auto", default="auto"
        Numbers that tell what the behaviors of an application are about, found as `BehaviorTopics`
        does, without labels, of the behaviors of `vocabulary_`; they join T, H and the profile. A
        GRU is slow to learn from few overdue applications which of hundreds of items go together.
        ``"auto"`` is 10 where at least 100 behaviors are each done by 20 applications or more, and
        0 otherwise. 0 is the paper's form.
    base_estimator : classifier or None, default=None
        A model to stand on, such as the LightGBM that is in use. The log-odds are then a weighted
        sum of its log-odds and those of the networks, weighed by rows that neither was fitted on
        (see `blend_`). It is fitted here, on the table that this classifier sees, behaviors
        included: use a pipeline with `ProfileEncoder`, or with a union of that and
        `WindowStatistics`, in front. ``FrozenEstimator(model)`` is a fitted model to be used as it
        is. A single network leaves no row out; the weights are then 0.65 and 0.35.
    teacher : "auto", classifier, "base" or None, default="auto"
        A model whose guidance probabilities the network learns beside the labels, by equation 16,
        which the paper has in step one alone. What it knows, such as that of trees on window
        statistics, is then in the network, and the model is not asked for scores. It is
        cross-fitted here on the rows that each network learns from (ten fits for five networks), on
        the table that `base_estimator` would see; a `FrozenEstimator` is used as it is, and must
        not have seen these rows. ``"base"`` is `base_estimator`.

        ``"auto"`` is LightGBM on profile, `WindowStatistics`, `IntervalStatistics` and topics (see
        `n_topics`), and a logistic regression on the profile, weighed by another one. After a warm
        start the network of step one stands in place of that on the profile, and the trees see its
        scores. It teaches where it can: from a table in memory with 100 rows, or users, of each
        class at least; `history_` then has ``train_divergence``. None is no teacher. The teacher of
        step one is named in `warm_start_from`.
    guidance_weight : float, default=1.0
        Weight of the guidance of `teacher`, alpha of equation 16; fixed here. 0 is no teacher.
    n_networks : int, default=5
        Number of networks, whose log-odds are averaged. Each leaves out a fold of the rows and
        learns from the others, so that every row has a score of a network that has not seen it
        (see `oof_log_odds_`): by these scores probabilities are calibrated, and the base model
        is weighed. 1 learns from all rows, in a fifth of the time, and is not calibrated.
    lr : float, default=0.02
        Learning rate of Adam, and with a schedule its peak.
    schedule : {"one_cycle", "constant"}, default="one_cycle"
        How the rate goes: up to `lr` in the first quarter of the training and then down to 0, or
        ``"constant"``, as the paper has it, with ``lr=0.001``.
    weight_decay : float or "auto", default="auto"
        L2 penalty of Adam, on the mean loss of a row. ``"auto"`` is 0.001 for up to 3,400 training
        rows and falls with the square of their number beyond, to 0.00001 at 34,000, as many rows
        are a guard themselves. The rows are those of `fit`, of the first `partial_fit`, or of
        step one of a warm start. The paper names none, which 0 gives.
    max_epochs : int, default=15
        Passes over the training rows; with `early_stopping` at most.
    batch_size : int, default=128
        Applications in one step; -1 takes all.
    early_stopping : bool, default=False
        Hold out a part of the rows, stop when the AUC there no longer improves (nor, at equal
        AUC, the loss), and keep the best epoch. It is for ``schedule="constant"``, with
        ``max_epochs=200`` or so: a cycle that is cut off has not come to rest.
    validation_fraction : float, default=0.1
        Share of the rows to hold out.
    n_iter_no_change : int, default=30
        Epochs without improvement before stopping. Small data improve slowly and unevenly: less
        patience cuts good networks off.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, in scikit-learn's sense; they multiply `sample_weight`, which
        ``"balanced"`` takes into account. Probabilities are then those of a population with so
        many more overdue applications: with ``"balanced"`` one half is overdue on average. The
        order of scores hardly changes. Subtract ``log(class_weight_[1] / class_weight_[0])`` from
        `decision_function` for the log-odds of the population as it is. With `base_estimator`,
        which is fitted without them, its log-odds are moved by as much.
    device : str, default="cpu"
        Where torch computes, such as ``"cuda"``; ``"auto"`` takes a GPU if torch finds one. The
        data lie there as flat arrays while it trains or scores.
    dtype : {"float32", "float64"}, default="float32"
        What torch computes in.
    callbacks : list of skorch callbacks, default=None
        Further callbacks, as skorch takes them, such as ``[EpochScoring("roc_auc",
        lower_is_better=False)]``, which scores the held-out rows. To them the labels are 0 and 1.
        One stops training if a method of it raises KeyboardInterrupt, as skorch's own do.
    verbose : int, default=0
        1 shows a progress bar, and how long the rest takes at most.
    random_state : int, RandomState or None, default=None
        Seeds weights, dropout, shuffling, the held-out part, and the folds of `base_estimator` and
        `teacher`. The same seed gives the same result to the bit on the same number of torch
        threads; no global state is read or left.
    net_params : dict, default=None
        Further parameters of the skorch net, such as ``{"optimizer": torch.optim.SGD}``.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; the second is the one whose probability is ``predict_proba(X)[:, 1]``.
    nets_ : list of skorch.NeuralNet
        The trained nets; ``nets_[0].module_`` is a network.
    net_ : skorch.NeuralNet
        The first of them.
    class_weight_ : ndarray of shape (2,)
        The weights of the classes, ones without `class_weight`.
    history_ : DataFrame
        One row per network and epoch: ``network`` (0 for the first), ``train_loss``, ``dur``
        (seconds) and, with `early_stopping`, ``valid_loss`` and ``valid_auc``. With `teacher`
        the losses are those of equation 16, and their two parts stand in
        ``train_cross_entropy``, ``train_divergence`` and so on.
    n_iter_ : int
        Number of epochs run, those of `partial_fit` included; of the network with most.
    base_estimator_ : classifier
        The fitted base model; only with `base_estimator`.
    blend_ : Blend or None
        ``intercept`` and the weights of ``base`` (0 without `base_estimator`) and ``network`` in
        the log-odds. None where there is neither a base model nor a row that was left out.
    oof_log_odds_ : ndarray of shape (n_applications,)
        Of each row of `fit`, the log-odds of overdue by the networks that have not seen it,
        weighed as `blend_` says; NaN for rows that none left out, and for those of weight 0. So
        ``roc_auc_score(y, model.oof_log_odds_)`` is an honest AUC. Only where rows were left out.
    profile_encoder_ : ProfileEncoder
    event_numbers_ : EventNumbers
        The numbers of behaviors that the network takes in.
    topics_ : Correspondence
        Its ``loadings_`` say where each of ``vocabulary_.behaviors_`` is, one row for each, on
        each topic; of the behaviors in sessions, so others than a `BehaviorTopics` in front finds.
    vocabulary_ : BehaviorVocabulary
        The behaviors that have a vector. Others add no vector, only their time.
    feature_names_in_ : ndarray of str
        Columns seen in `fit`, without `id_columns` and datetimes. Only for tables.
    n_features_in_ : int
        Their number.
    warm_start_student_ : HUIHENClassifier
        After `warm_start_from`, the network of step one: a fitted classifier of profiles.

    See Also
    --------
    BehaviorAbstractor, Sessionizer : The steps in front.
    warm_start_from : Pre-train the profile's part on old data without behaviors.
    partial_fit : Train on with labels that arrive later.

    Notes
    -----
    The paper gives no number of epochs, batch size or stopping rule; the defaults are those of
    the measurements in ``docs/choices.md``, which also lists every place where the paper leaves a
    choice and what was chosen.

    References
    ----------
    The HUIHEN paper, section 3 (the network), section 5.2 (sizes).

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import HUIHENClassifier, Sessionizer, attach_behaviors
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=200, n_old=0, random_state=0)
    >>> X = attach_behaviors(bank.applications, bank.events)
    >>> model = make_pipeline(Sessionizer(), HUIHENClassifier(max_epochs=2, random_state=0))
    >>> model.fit(X, bank.y).predict_proba(X).shape
    (200, 2)
    """

    blend_: Blend | None
    #: Set by `warm_start_from`, and carried over to clones.
    _warm_start: WarmStart | None = None
    #: The columns of dates and times in `fit`.
    _times: Set[Any] = frozenset()

    _parameter_constraints: dict = {
        "behaviors": [str],
        "applied_at": [str, None],
        "profile_fields": [dict, None],
        "id_columns": ["array-like"],
        "behavior_dim": [Interval(Integral, 1, None, closed="left")],
        "intention_dim": [Interval(Integral, 1, None, closed="left")],
        "habit_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden_units": ["array-like"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "log_interval": ["boolean"],
        "time_aware": ["boolean"],
        "user_item_aware": ["boolean"],
        "field_aware": ["boolean"],
        "hierarchical": ["boolean"],
        "event_numbers": [StrOptions({"auto"}), "array-like", None],
        "mean_intention": ["boolean"],
        "n_topics": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "base_estimator": [HasMethods(["fit", "predict_proba"]), None],
        "teacher": [HasMethods(["fit", "predict_proba"]), StrOptions({"auto", "base"}), None],
        "guidance_weight": [Interval(Real, 0, None, closed="left")],
        "n_networks": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions({"one_cycle", "constant"})],
        "weight_decay": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1})],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "device": [str],
        "dtype": [StrOptions({"float32", "float64"})],
        "callbacks": [list, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "net_params": [dict, None],
    }

    def __init__(
        self,
        *,
        behaviors: str = "behaviors",
        applied_at: str | None = "applied_at",
        profile_fields: Mapping[str, Sequence[str]] | None = None,
        id_columns: Sequence[str] = ("user_id", "application_id"),
        behavior_dim: int = 10,
        intention_dim: int = 30,
        habit_dim: int = 30,
        hidden_units: Sequence[int] = (50, 25),
        dropout: float = 0.6,
        log_interval: bool = True,
        time_aware: bool = True,
        user_item_aware: bool = True,
        field_aware: bool = True,
        hierarchical: bool = True,
        event_numbers: Sequence[str] | str | None = "auto",
        mean_intention: bool = True,
        n_topics: int | str = "auto",
        base_estimator: Any = None,
        teacher: Any = "auto",
        guidance_weight: float = 1.0,
        n_networks: int = 5,
        lr: float = 2e-2,
        schedule: str = "one_cycle",
        weight_decay: float | str = "auto",
        max_epochs: int = 15,
        batch_size: int = 128,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 30,
        class_weight: Mapping[Any, float] | str | None = None,
        device: str = "cpu",
        dtype: str = "float32",
        callbacks: list[Any] | None = None,
        verbose: int = 0,
        random_state: Any = None,
        net_params: Mapping[str, Any] | None = None,
    ) -> None:
        self.behaviors = behaviors
        self.applied_at = applied_at
        self.profile_fields = profile_fields
        self.id_columns = id_columns
        self.behavior_dim = behavior_dim
        self.intention_dim = intention_dim
        self.habit_dim = habit_dim
        self.hidden_units = hidden_units
        self.dropout = dropout
        self.log_interval = log_interval
        self.time_aware = time_aware
        self.user_item_aware = user_item_aware
        self.field_aware = field_aware
        self.hierarchical = hierarchical
        self.event_numbers = event_numbers
        self.mean_intention = mean_intention
        self.n_topics = n_topics
        self.base_estimator = base_estimator
        self.teacher = teacher
        self.guidance_weight = guidance_weight
        self.n_networks = n_networks
        self.lr = lr
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.device = device
        self.dtype = dtype
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state
        self.net_params = net_params

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : DataFrame, other table, array or Parquet of shape (n_applications, n_columns)
            Applications with a nested column of sessions, or a profile alone. Parquet (a path, a
            glob, a folder or a list of files, such as `prepare_parquet` writes) may be larger
            than memory; see the notes.
        y : array-like of shape (n_applications,), or str
            Two labels, such as 0 and 1 or False and True; the larger one is overdue. Of Parquet,
            the name of the column that has them, which then is no profile, or one for each
            application in the order of the files.
        sample_weight : array-like of shape (n_applications,) or str, default=None
            Weight of each application, given like `y`. Those of weight 0 are left out.

        Returns
        -------
        self

        Notes
        -----
        A fit that fails or is interrupted leaves the classifier as it was: an earlier fitted model
        can still be used, and one that was not fitted raises `NotFittedError`.

        Of Parquet, the profile, the labels and what is learned of them are in memory, and of the
        events a buffer of about 8 million behaviors, for which some row groups are read together.
        Which ones, and in which order, is drawn anew in each epoch, and so is the order of
        applications in the buffer; an application meets only those that share its buffer in a
        batch, and the last batch of a buffer may be smaller. Encoders, vocabulary, topics, weights
        and held-out rows are those of the whole table. Behaviors that fit into one buffer train the
        same network as a table in memory, to the bit; with more, the same seed and the same
        files, in the same row groups, give the same bits. Held-out rows cost a second reading in
        each epoch.
        """
        self._check_parameters()
        X, y, sample_weight, source = self._open(X, y, sample_weight)
        frame, y, weight, used = self._check_rows(X, y, sample_weight, reset=True)
        label = self._encode_labels(y)
        beside = {
            "base_estimator": self.base_estimator is not None,
            "teacher": self._names_teacher(),
        }
        for name, is_asked in beside.items():
            if is_asked and source is not None:
                raise TypeError(
                    f"{name} wants a table in memory, but X names Parquet. Read a part that fits "
                    f"into memory, or leave {name} out."
                )
        dataset, log_odds, pretrained = self._set_up(frame, y, label, weight, source)
        users = users_of(frame, self.id_columns)
        margin = None if self.base_estimator is None else self._fit_base(frame, y, weight, users)
        guide = None
        teacher = self._find_teacher(dataset, frame, y, weight, users, pretrained)
        if teacher is not None:
            shift = self._shift_of_classes()
            guide = Guide(teacher, label, users, shift, self.verbose)
        held_out = self._train(dataset, log_odds, pretrained, guide=guide, users=users)
        if held_out:
            of_rows = weight * self.class_weight_[label] / self._mean_weight
            of_used = self._fit_blend(dataset, margin, of_rows, held_out)
            self.oof_log_odds_ = np.full(len(used), np.nan)
            self.oof_log_odds_[used] = of_used
        elif margin is not None:
            self.blend_ = Blend.before_data(self._shift_of_classes())
        return self

    def _may_begin_partially(self) -> bool:
        """Tell whether `partial_fit` can be called now, and why it cannot."""
        if hasattr(self, "net_"):
            return True
        if self.base_estimator is not None:
            raise AttributeError(
                "partial_fit holds no row out, by which base_estimator and the network could be "
                "weighed. Call fit first; partial_fit then goes on with both weights."
            )
        if self._names_teacher():
            raise AttributeError(
                "partial_fit learns from labels alone: a teacher is cross-fitted on the rows of "
                "fit. Call fit first; partial_fit then goes on without guidance."
            )
        return True

    @available_if(_may_begin_partially)
    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train on for one pass over further applications.

        For labels that arrive week by week. The first call sets up what `fit` does, from the rows
        given and from a warm start if there is one; later ones, and those after `fit`, go on with
        the same optimizer. No row is held out and nothing stops early.

        Parameters
        ----------
        X : DataFrame, other table, array or Parquet of shape (n_applications, n_columns)
            With the columns of the first call. Parquet is read as in `fit`.
        y : array-like of shape (n_applications,), or str
            As in `fit`. After the first call, rows of one class alone are ordinary.
        classes : array-like of shape (2,), default=None
            Both labels; needed in the first call if `y` lacks one.
        sample_weight : array-like of shape (n_applications,) or str, default=None
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If columns, types or labels are other than in the first call, or a parameter was
            changed that the network was made with. The network is then as it was before.

        Notes
        -----
        Encoders, medians, categories, vocabulary and topics stay those of the first call, or of
        `fit`: a category not seen there counts as unknown, a behavior adds no vector but its time.
        So let the first call see many rows, and call `fit` from time to time.

        Weights are divided by the mean weight of the first call: a row of weight two counts twice
        as much as a row of weight one, whenever it comes. ``class_weight="balanced"`` balances
        the classes of the first call, and its two weights stay.

        ``weight_decay="auto"`` stays as it was for the rows of the first call; if many more are to
        come, name a number.

        `lr` and `batch_size` may be changed by `set_params` between calls and count from then on.
        The rate is constant: a tenth of `lr`, as its peak would undo what the cycle has settled,
        or `lr` itself with ``schedule="constant"``. `max_epochs`, `random_state` and the parameters
        of early stopping are for `fit` alone; no row is left out, and `blend_` stays as it is.

        Calls repeat to the bit, also where the classifier was pickled in between: ``k`` calls on
        the same rows are ``fit`` with ``max_epochs=k``, ``schedule="constant"``, one network,
        without early stopping and without teacher. After early stopping training goes on from the
        best epoch's weights and the last epoch's optimizer; after a teacher by labels alone.

        Examples
        --------
        >>> from skhuihen import HUIHENClassifier
        >>> from skhuihen.datasets import make_loan_data
        >>> bank = make_loan_data(n_new=300, n_old=0, overdue_rate=0.2, random_state=0)
        >>> X, y = bank.applications, bank.y
        >>> model = HUIHENClassifier(max_epochs=3, random_state=0).fit(X[:200], y[:200])
        >>> model.partial_fit(X[200:], y[200:]).n_iter_
        4
        """
        if classes is not None:
            classes = as_labels(classes, "classes")
        if not hasattr(self, "net_"):
            self._check_parameters()
            X, y, sample_weight, source = self._open(X, y, sample_weight)
            frame, y, weight, _ = self._check_rows(X, y, sample_weight, reset=True)
            named = np.unique(y if classes is None else column_or_1d(classes))
            if len(named) == 1:
                raise ValueError(
                    f"{'y' if classes is None else 'classes'} holds one class only, "
                    f"{named.tolist()[0]!r}; name both in the first call, as "
                    "partial_fit(X, y, classes=[...])."
                )
            self._encode_labels(named)
            label = self._find_labels(y)
            if self.class_weight == "balanced" and (label.all() or not label.any()):
                raise ValueError(
                    "class_weight='balanced' wants rows of both classes in the first call. Pass "
                    "more rows, or the weights as a dict."
                )
            self._train(*self._set_up(frame, y, label, weight, source), partial=True)
            return self
        self._validate_params()
        self._check_unchanged()
        if classes is not None and np.unique(classes).tolist() != self.classes_.tolist():
            raise ValueError(
                f"classes={classes!r} are not those of the first call, {self.classes_.tolist()}."
            )
        X, y, sample_weight, source = self._open(X, y, sample_weight)
        frame, y, weight, _ = self._check_rows(X, y, sample_weight, reset=False)
        label = self._find_labels(y)
        self.profile_encoder_.check_types(frame)
        self.profile_encoder_.tell_unusual(frame, stacklevel=3)
        weight = weight * self.class_weight_[label] / self._mean_weight
        if source is None:
            behaviors = self._read_known_behaviors(frame)
            outside: dict[str, Outside] = {}
            self._event_ranges.look(behaviors, outside)
            self._event_ranges.tell(outside, stacklevel=3)
            dataset: _Applications = self._dataset(
                frame, behaviors, label, weight, self._device_of_net()
            )
        else:
            dataset = self._stream(source, frame, label, weight, self._device_of_net())
        self._train_epoch(self.nets_, dataset)
        return self

    @validate_params(
        {
            "teacher": [StrOptions({"xgboost", "lightgbm"}), HasMethods("predict_proba"), None],
            "cv": [Interval(Integral, 2, None, closed="left"), HasMethods("split"), None],
            "guidance_weight": [
                StrOptions({"learned", "literal"}),
                Interval(Real, 0, None, closed="left"),
            ],
            "pretrained_lr": [Interval(Real, 0, None, closed="left")],
            "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
            "batch_size": [
                Interval(Integral, 1, None, closed="left"),
                Options(Integral, {-1}),
                None,
            ],
        },
        prefer_skip_nested_validation=True,
    )
    def warm_start_from(
        self,
        old_X: Any,
        old_y: Any = None,
        *,
        teacher: Any = "xgboost",
        sample_weight: Any = None,
        cv: Any = 5,
        guidance_weight: str | float = "learned",
        pretrained_lr: float = 0.1,
        max_epochs: int | None = None,
        batch_size: int | None = None,
    ) -> Self:
        """Pre-train the profile's part on old data that have no behaviors, under a teacher.

        Step one trains at once, with this classifier's parameters as they are now (but for
        `callbacks`, `class_weight`, `n_networks`, `base_estimator` and `teacher`); `fit` is step
        two and starts from it, as often as it is called, in clones too. Only parameters that
        change the shape or the inputs of the pre-trained part (`behavior_dim`, `hidden_units`,
        `dtype`, `behaviors`, `profile_fields`, `id_columns`) make `fit` run step one again.
        Warm-starting again replaces the first; a fitted classifier stays as it is until the next
        `fit`.

        Parameters
        ----------
        old_X : DataFrame, other table or array of shape (n_old, n_columns)
            Old applications with the columns that `fit` will see, behaviors aside; events in it
            are not read. Columns are matched by name.
        old_y : array-like of shape (n_old,), default=None
            Two labels, the same as in `fit`. None, with a fitted teacher: learn from the teacher
            alone.
        teacher : {"xgboost", "lightgbm"}, classifier or None, default="xgboost"
            Gives the guidance probabilities. An unfitted classifier is cloned and fitted on the
            encoded profile, with labels 0 and 1; a fitted one, such as a scorecard in use, is
            asked for the old rows as they are, for its columns if it knows them by name. None
            learns from the labels alone.
        sample_weight : array-like of shape (n_old,), default=None
            Weight of each row, for the teacher too. Those of weight 0 are left out.
        cv : int, splitter or None, default=5
            Each row's guidance probability comes from a teacher fitted on the other folds: a
            teacher is too sure of rows that it has seen. None is the paper's way, one teacher
            that scores its own training rows. Folds keep the applications of one user together
            (see `id_columns`); a splitter that takes ``groups`` is given the users. Of no effect
            with a fitted teacher.
        guidance_weight : {"learned", "literal"} or float, default="learned"
            The weight alpha of equation 16: learned in a form that cannot run away, learned as
            the paper prints it, or fixed at a number (see `skhuihen.guidance.GuidedLoss`).
            Without labels it is 1.
        pretrained_lr : float, default=0.1
            Learning rate of the pre-trained weights in step two, in multiples of `lr`. 0 leaves
            them as they are; 1 makes no difference between old and new weights. Not used if
            `net_params` sets ``"optimizer__param_groups"``.
        max_epochs, batch_size : int, default=None
            Those of step one; None takes the classifier's own.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If labels are wanted and not there, or a teacher does not know the two classes.

        See Also
        --------
        find_old_rows : Find rows that must not be evaluated on.
        forget_old_data : Drop the old rows.

        Notes
        -----
        The paper speaks of the UPI layers alone. The profile encoder and the field matrices of
        the profile come along here: without them the inputs of those layers would mean something
        else. What the UPI layers learn about T and H does not, as both are zero in step one: their
        weights start at zero, so that step two starts at the scores of step one.

        References
        ----------
        The HUIHEN paper, section 4, Figure 3 and equation 16.

        Examples
        --------
        >>> from skhuihen import HUIHENClassifier
        >>> from skhuihen.datasets import make_loan_data
        >>> bank = make_loan_data(n_new=200, n_old=1000, overdue_rate=0.2, random_state=0)
        >>> model = HUIHENClassifier(max_epochs=2, random_state=0)
        >>> model = model.warm_start_from(bank.old_applications, bank.old_y)
        >>> model.fit(bank.applications, bank.y).predict_proba(bank.applications).shape
        (200, 2)
        """
        student = super().__sklearn_clone__()
        student.set_params(
            callbacks=None, class_weight=None, base_estimator=None, teacher=None, n_networks=1
        )
        if max_epochs is not None:
            student.set_params(max_epochs=max_epochs)
        if batch_size is not None:
            student.set_params(batch_size=batch_size)
        start = WarmStart(
            student, old_X, old_y, sample_weight, teacher, cv, guidance_weight, pretrained_lr
        )
        start.pretrain(self)
        self._warm_start = start
        return self

    @property
    def warm_start_student_(self) -> HUIHENClassifier:
        """The network of step one, a fitted classifier of profiles.

        With a teacher, its `history_` has both parts of the loss too: ``train_cross_entropy`` and
        ``train_divergence`` (and of the held-out part ``valid_...``) are what equation 16 adds
        up, ``guidance_weight`` is its alpha.
        """
        found = None if self._warm_start is None else self._warm_start.known(self)
        if found is None:
            raise AttributeError(
                "There is no warm_start_student_: warm_start_from was not called, or fit has not "
                "run since a parameter changed that shapes the pre-trained part."
            )
        return found.student

    def find_old_rows(self, X: Any) -> NDArray[np.bool_]:
        """Tell which rows are among the old data of `warm_start_from`: evaluating on them leaks.

        Rows are the same if their encoded profiles are, and the identifiers (`id_columns`) that
        both tables have. So two people of one thin profile count as one where a table has no
        identifiers.

        Parameters
        ----------
        X : DataFrame, other table or array of shape (n_applications, n_columns)

        Returns
        -------
        ndarray of bool of shape (n_applications,)
        """
        if self._warm_start is None:
            raise ValueError("There are no old data: warm_start_from was not called.")
        return self._warm_start.find(self, super().__sklearn_clone__()._check_table(X, reset=True))

    def forget_old_data(self) -> Self:
        """Drop the old rows and keep what was learned from them.

        Until then they are held, and pickled with an unfitted classifier, so that step one can
        be run again when its shape changes; afterwards such a change is an error. A fitted
        classifier is pickled without them.

        Returns
        -------
        self
        """
        if self._warm_start is not None:
            self._warm_start = self._warm_start.without_rows()
        return self

    def __sklearn_clone__(self) -> Self:
        twin = super().__sklearn_clone__()
        twin._warm_start = self._warm_start
        return twin

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "net_" in state and self._warm_start is not None:
            state = {**state, "_warm_start": self._warm_start.without_rows()}
        return state

    def decision_function(self, X: Any) -> NDArray[np.floating]:
        """Return the log-odds of overdue.

        Parameters
        ----------
        X : DataFrame, other table or array of shape (n_applications, n_columns)

        Returns
        -------
        ndarray of shape (n_applications,)
            Of type `dtype`: more digits than the network computes in would be noise.
        """
        check_is_fitted(self)
        frame = self._check_table(X, reset=False)
        return self._blended(frame, self._compute(frame, self._mean_logits, width=2))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : DataFrame, other table or array of shape (n_applications, n_columns)

        Returns
        -------
        float64 ndarray of shape (n_applications, 2)
        """
        check_is_fitted(self)
        frame = self._check_table(X, reset=False)
        log_odds = self._blended(frame, self._compute(frame, self._mean_logits, width=2))
        log_odds = log_odds.astype(np.float64)
        return np.column_stack([expit(-log_odds), expit(log_odds)])

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the more probable class.

        Parameters
        ----------
        X : DataFrame, other table or array of shape (n_applications, n_columns)

        Returns
        -------
        ndarray of shape (n_applications,)
        """
        check_is_fitted(self)
        frame = self._check_table(X, reset=False)
        log_odds = self._blended(frame, self._compute(frame, self._mean_logits, width=2))
        return self.classes_[(log_odds > 0).astype(np.int64)]

    def transform(self, X: Any) -> NDArray[np.floating]:
        """Return the intention T of the last session and the habit H, side by side.

        With several networks, those of the first: the axes of another's mean something else.

        Parameters
        ----------
        X : DataFrame, other table or array of shape (n_applications, n_columns)

        Returns
        -------
        ndarray of shape (n_applications, intention_dim + habit_dim)
            Zeros for an application without behaviors.
        """
        check_is_fitted(self)
        frame = self._check_table(X, reset=False)
        width = len(self.get_feature_names_out())
        return self._compute(frame, self.net_.module_.represent, width)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns of `transform`: ``intention_0``, ... ``habit_0``, ...

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        module = self.net_.module_
        sizes = {"intention": module.intention_dim, "habit": module.habit_dim}
        return np.asarray(
            [f"{name}_{i}" for name, size in sizes.items() for i in range(size)], dtype=object
        )

    # From tables to the data set.

    def _open(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Any, Any, Any, PreparedParquet | None]:
        """Return the profile, labels and weights of Parquet, and where its events are."""
        named = self.event_numbers
        numbers = () if named is None or isinstance(named, str) else named
        return open_applications(X, y, sample_weight, self.behaviors, self.applied_at, numbers)

    def _stream(
        self,
        source: PreparedParquet,
        frame: pd.DataFrame,
        label: NDArray[np.int64],
        weight: NDArray[np.floating],
        device: str | torch.device,
    ) -> StreamedApplications:
        """Do what `_dataset` does, for events that are read when their turn comes."""
        return StreamedApplications(
            source,
            frame.index.to_numpy(),
            self.profile_encoder_.encode(frame),
            label,
            weight.astype(self.dtype),
            lambda part: self._events(self._read_known_behaviors(part)),
            device,
        )

    def _check_table(self, X: Any, *, reset: bool) -> pd.DataFrame:
        """Return X as a frame, its columns checked against those of `fit`."""
        if reset:
            self._joined_by, self._times = [], set()
        if is_table(X):
            frame = as_frame(X, self.behaviors)
            if reset:
                self._joined_by = joined_by(frame)
            dtypes = list(zip(frame.columns.tolist(), frame.dtypes.tolist(), strict=True))
            known = [] if reset else list(getattr(self, "feature_names_in_", ()))
            # Of a column that was there in fit, the values are not asked again what it is.
            reserved = {*self.id_columns, *self._joined_by}
            reserved |= set() if reset else self._times
            compared = [
                column
                for column, dtype in dtypes
                if column not in reserved
                and (column in known or is_clear(dtype) or not is_datetime(frame[column]))
            ]
            if reset:
                kept = {*compared, *reserved}
                self._times = {column for column, _ in dtypes if column not in kept}
            if reset or compared != known:
                # Names alone are compared; the values are read where they are used.
                names = pd.DataFrame(columns=pd.Index(compared), index=frame.index[:0])
                validate_data(self, names, reset=reset, skip_check_array=True)
            for column, dtype in dtypes:
                if is_clear(dtype) or column == self.behaviors:
                    continue
                if is_nested(frame[column]):
                    raise ValueError(
                        f"Column {column!r} holds events, but behaviors={self.behaviors!r} is "
                        f"where they are looked for. Pass behaviors={column!r}, or drop it."
                        f"{cure_for_renaming([column], self.behaviors)}"
                    )
            return frame
        if (
            isinstance(X, np.ndarray)
            and X.dtype.kind == "O"
            and any(isinstance(value, (list, pd.DataFrame)) for value in np.ravel(X))
        ):
            raise TypeError(
                "X is an array of objects that hold events; its columns have lost their names. "
                "Keep a table: call set_output(transform='pandas') on the step in front."
            )
        may_lack = all(map(may_take_missing, self._models_beside()))
        array = validate_data(
            self,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan" if may_lack else True,
        )
        return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])

    def _check_rows(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[pd.DataFrame, NDArray[Any], NDArray[np.float64], NDArray[np.bool_]]:
        """Return the rows to train on, those of weight 0 left out, and which of all they are."""
        frame = self._check_table(X, reset=reset)
        if not len(frame):
            raise ValueError("X has no row; applications of both classes are wanted.")
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None."
            )
        y = _check_y(as_labels(y), estimator=self)
        check_consistent_length(frame, y)
        check_classification_targets(y)
        weight = _check_sample_weight(
            sample_weight, frame.index.to_numpy(), dtype=np.float64, ensure_non_negative=True
        )
        used = weight > 0
        if not used.any():
            raise ValueError(
                "sample_weight is 0 in every row. At least one row must have a positive weight."
            )
        if not used.all():
            frame, y, weight = frame[used], y[used], weight[used]
        return frame, y, weight, used

    def _set_up(
        self,
        frame: pd.DataFrame,
        y: NDArray[Any],
        label: NDArray[np.int64],
        weight: NDArray[np.float64],
        source: PreparedParquet | None,
    ) -> tuple[_Applications, float, Pretrained | None]:
        """Learn what is learned but once; return the data set and what a network starts from."""
        self.class_weight_ = compute_class_weight(
            self.class_weight, classes=self.classes_, y=y, sample_weight=weight
        )
        for name, of_class in zip(self.classes_.tolist(), self.class_weight_, strict=True):
            if not of_class > 0:
                raise ValueError(
                    f"class_weight={self.class_weight!r} leaves the class {name!r} no weight; "
                    "give both classes a positive one."
                )
        weight = as_rows = weight * self.class_weight_[label]
        self._mean_weight = weight.mean()
        weight = weight / self._mean_weight
        if source is None:
            behaviors = self._read_behaviors(frame)

        def pieces() -> Iterable[Behaviors]:
            if source is None:
                return [behaviors]
            return map(self._read_behaviors, source.frames_of(frame.index.to_numpy()))

        start = self._warm_start
        pretrained = None if start is None else start.prepare(self, frame)
        self._fit_encoders(frame, pieces, as_rows, pretrained)
        self.profile_encoder_.tell_leaks(frame, label, stacklevel=4)
        if not self.profile_encoder_.n_features_in_ and not any(self.vocabulary_.sizes_):
            raise ValueError(
                "X has neither a profile column nor an event to learn from; it has "
                f"{list(frame.columns)}."
            )
        dataset: _Applications
        if source is None:
            dataset = self._dataset(frame, behaviors, label, weight, self._find_device())
        else:
            dataset = self._stream(source, frame, label, weight, self._find_device())
        if label.all() or not label.any():
            # The log-odds of one class are infinite: count half a row more of each.
            label, weight = np.append(label, [0, 1]), np.append(weight, [0.5, 0.5])
        return dataset, log_odds_of(label, weight), pretrained

    def _fit_base(
        self,
        frame: pd.DataFrame,
        y: NDArray[Any],
        weight: NDArray[np.float64],
        users: NDArray[np.int64] | None,
    ) -> NDArray[np.floating]:
        """Fit the model to stand on; return its log-odds of unseen rows."""
        random = check_random_state(self.random_state)
        self.base_estimator_, margin = fit_base(
            self.base_estimator, self._table(frame), y, weight, random, self.verbose, users=users
        )
        return margin

    def _names_teacher(self) -> bool:
        """Tell whether the user has named a teacher."""
        is_named = self.teacher is not None and not _is(self.teacher, "auto")
        return is_named and self.guidance_weight > 0

    def _find_teacher(
        self,
        dataset: _Applications,
        frame: pd.DataFrame,
        y: NDArray[Any],
        weight: NDArray[np.float64],
        users: NDArray[np.int64] | None,
        pretrained: Pretrained | None,
    ) -> Teacher | None:
        """Return what guides the networks beside the labels, if anything does."""
        if self._names_teacher():
            given = self.base_estimator if _is(self.teacher, "base") else self.teacher
            return GivenTeacher(given, self._table(frame), y, weight)
        if (
            not _is(self.teacher, "auto")
            or self.guidance_weight == 0
            or not isinstance(dataset, ApplicationDataset)
            or n_of_rarest(y, users) < FEWEST_TO_TEACH
            or any(name.startswith("criterion__") for name in self.net_params or {})
        ):
            return None
        of_windows = usual_statistics(frame, self.behaviors, self.applied_at, weight)
        statistics = np.hstack([of_windows, dataset.events.topics])
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        weight = weight / weight.mean()
        # The old rows are others than these, so what was learned of them judges these honestly.
        known = None if pretrained is None else pretrained.judge(frame)
        return UsualTeacher(dataset.profile, statistics, dataset.y, weight, seed, known)

    def _models_beside(self) -> list[Any]:
        """Return the models that see the same table."""
        models = [self.base_estimator, self.teacher if self._names_teacher() else None]
        return [model for model in models if model is not None and not isinstance(model, str)]

    def _fit_blend(
        self,
        dataset: _Applications,
        margin: NDArray[np.floating] | None,
        weight: NDArray[np.floating],
        held_out: list[NDArray[np.int64]],
    ) -> NDArray[np.float64]:
        """Weigh network and base model by the rows that networks left out; return their scores.

        The weights are those of the loss, so that classes count here as they do there.
        """
        scores = np.stack([net.log_odds(dataset) for net in self.nets_])
        is_left_out = np.zeros(scores.shape, dtype=bool)
        for left_out, rows in zip(is_left_out, held_out, strict=True):
            left_out[rows] = True
        rows = np.flatnonzero(is_left_out.any(axis=0))
        is_left_out = is_left_out[:, rows]
        of_network = np.mean(scores[:, rows], axis=0, where=is_left_out)
        of_base = None if margin is None else margin[rows]
        blend = fit_blend(
            of_base, of_network, dataset.y[rows], weight[rows], self._shift_of_classes()
        )
        self.blend_ = blend
        # Networks that have learned from a row differ in its score as those do that have not.
        if (~is_left_out).sum(axis=0).min() > 1:
            scatter = np.var(scores[:, rows], axis=0, where=~is_left_out, ddof=1)
            excess = float(np.average(scatter, weights=weight[rows])) * (1 - 1 / len(self.nets_))
            self.blend_ = blend.for_average(of_base, of_network, weight[rows], excess)
        log_odds = np.full(len(dataset), np.nan)
        log_odds[rows] = blend.log_odds(0.0 if of_base is None else of_base, of_network)
        return log_odds

    def _shift_of_classes(self) -> float:
        """Return by how much `class_weight` moves the log-odds of overdue."""
        return float(np.log(self.class_weight_[1] / self.class_weight_[0]))

    def _table(self, frame: pd.DataFrame) -> Any:
        """Return the table as it was passed: an array where columns had no names."""
        return frame if hasattr(self, "feature_names_in_") else frame.to_numpy()

    def _make_encoder(self) -> ProfileEncoder:
        encoder = ProfileEncoder(self.profile_fields, self.id_columns, dtype=self.dtype)
        # A global set_config(transform_output=...) is for what users see.
        return encoder.set_output(transform="default")

    def _fit_encoders(
        self,
        frame: pd.DataFrame,
        pieces: Callable[[], Iterable[Behaviors]],
        weight: NDArray[np.float64],
        pretrained: Pretrained | None = None,
    ) -> None:
        """Learn profile and behaviors; a pre-trained network goes with its own encoder.

        A weight of two is two rows, which topics of behaviors of few applications depend on.
        """
        if pretrained is None:
            encoder = self._make_encoder()
            self.profile_encoder_ = encoder.fit(self._profile(frame), sample_weight=weight)
        else:
            self.profile_encoder_ = pretrained.student.profile_encoder_
        names = self.event_numbers if self.hierarchical and self.time_aware else None
        self.event_numbers_ = EventNumbers(() if names is None else names)
        self.vocabulary_ = BehaviorVocabulary()
        self._optional = OptionalSubfields("amount")
        named = () if names is None or isinstance(names, str) else names
        self._event_ranges = EventRanges(self.behaviors, ["amount", "interval", *named])
        read = self.event_numbers_.fit_on_the_way(pieces(), weight)
        self.vocabulary_.fit_pieces(self._event_ranges.learn(self._optional.learn(read)))
        self._event_ranges.tell_codes(stacklevel=5)
        n_behaviors = sum(self.vocabulary_.sizes_)
        if isinstance(self.n_topics, str):
            self.topics_ = Correspondence(n_behaviors, USUAL_TOPICS, at_least=MANY_BEHAVIORS)
        else:
            self.topics_ = Correspondence(n_behaviors, self.n_topics)
        self.topics_.fit(lambda: self._weighed_tables(pieces(), weight))
        self.topics_.tell_nothing_found(self.behaviors, stacklevel=5)

    def _profile(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return what may be profile: all but the events, even where none came with the data."""
        no_profile = (
            [self.behaviors] if self.applied_at is None else [self.behaviors, self.applied_at]
        )
        return frame.drop(columns=no_profile, errors="ignore")

    def _check_parameters(self) -> None:
        """Refuse what would otherwise be refused deep inside torch or skorch."""
        for width in self.hidden_units:
            if not isinstance(width, Integral) or width < 1:
                raise ValueError(
                    f"hidden_units={self.hidden_units!r} holds {width!r}; integers of at least 1 "
                    "are wanted."
                )
        for callback in self.callbacks or []:
            callback = callback[1] if isinstance(callback, tuple) else callback
            if not (isinstance(callback, Callback) or callback in (None, Callback)):
                raise TypeError(
                    f"callbacks holds {callback!r}; skorch callbacks, or pairs of a name and a "
                    "callback, are wanted."
                )
        if _is(self.teacher, "base") and self.base_estimator is None:
            raise ValueError(
                f"teacher={self.teacher!r} is base_estimator, which is None. Pass one, "
                "or a classifier as the teacher."
            )
        if self._names_teacher():
            for name in self.net_params or {}:
                if name.startswith("criterion__"):
                    raise ValueError(
                        f"net_params names {name!r}, which the loss with a teacher does not have. "
                        "Leave it out, or leave the teacher out."
                    )
        own = {
            "module",
            "criterion",
            "callbacks",
            "train_split",
            *type(self)._parameter_constraints,
        }
        for name in sorted(own & set(self.net_params or {})):
            raise ValueError(
                f"net_params names {name!r}, which is set by this classifier's own parameters. "
                "Use those instead."
            )
        try:
            torch.empty(0, device=self._find_device())
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device={self.device!r} is not to be had here ({error}). Use 'cpu', or install a "
                "torch that knows the device."
            ) from error

    def _find_device(self) -> str:
        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self.device

    def _device_of_net(self) -> torch.device:
        """Return where the weights are, which may have been loaded on another machine."""
        return next(self.net_.module_.parameters()).device

    def _check_unchanged(self) -> None:
        """Refuse parameters that are not those that the network was made with."""
        for name, before in self._made_with.items():
            if frozen(getattr(self, name)) != before:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} was changed: the network was made with "
                    f"{before!r}, and partial_fit goes on with it. Set it back, or call fit."
                )

    def _encode_labels(self, y: NDArray[Any]) -> NDArray[np.int64]:
        kind = type_of_target(y, input_name="y")
        self.classes_, label = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(
                f"y holds one class only, {self.classes_.tolist()[0]!r}; overdue and not overdue "
                "applications are both wanted."
            )
        if kind != "binary":
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}."
            )
        return label.astype(np.int64)

    def _find_labels(self, y: NDArray[Any]) -> NDArray[np.int64]:
        """Return the positions of labels in `classes_`."""
        known = self.classes_.tolist()
        unknown = set(y.tolist()) - set(known)
        if unknown:
            raise ValueError(f"y holds {sorted(unknown, key=str)[:5]}; the classes are {known}.")
        return np.searchsorted(self.classes_, y)

    def _read_behaviors(self, frame: pd.DataFrame) -> Behaviors:
        """Return the events of each application, cut and in order of session and time."""
        if self.behaviors not in frame.columns:
            return _no_events(len(frame))
        as_of = read_as_of(frame, self.behaviors, self.applied_at, by_session=self.hierarchical)
        behaviors = as_of.behaviors
        if not behaviors.n_events:
            return _no_events(len(frame))
        needed = ["session"] if self.hierarchical else []
        needed += (
            ["interval", "weekday", "monthday"] if self.hierarchical and self.time_aware else []
        )
        lacking = [name for name in needed if name not in behaviors.fields]
        if lacking:
            raise ValueError(
                f"The events in column {self.behaviors!r} have no subfield {lacking[0]!r}. Put a "
                "Sessionizer in front, or pass hierarchical=False to do without sessions."
            )
        if as_of.applied_at is None:
            return behaviors
        age = as_of.applied_at[behaviors.rows] - behaviors.times()
        return behaviors.with_fields(age=pa.array(age / 1e6))

    def _read_known_behaviors(self, frame: pd.DataFrame) -> Behaviors:
        """Return the events of a fitted classifier's input; none if it learned of none."""
        behaviors = self._read_behaviors(frame)
        self._optional.check(behaviors, stacklevel=4)
        if not behaviors.n_events or any(self.vocabulary_.sizes_):
            return behaviors
        warnings.warn(
            f"Column {self.behaviors!r} had no event in fit, so nothing was learned of "
            "behaviors; they are left out. Fit on histories to use them.",
            stacklevel=4,
        )
        return _no_events(len(frame))

    def _dataset(
        self,
        frame: pd.DataFrame,
        behaviors: Behaviors,
        label: NDArray[np.int64] | None = None,
        weight: NDArray[np.floating] | None = None,
        device: str | torch.device = "cpu",
    ) -> ApplicationDataset:
        profile = self.profile_encoder_.encode(frame)
        if weight is not None:
            weight = weight.astype(self.dtype)
        return ApplicationDataset(profile, self._events(behaviors), label, weight, device)

    def _events(self, behaviors: Behaviors) -> Events:
        n_events = behaviors.n_events
        if not n_events:
            n_numbers = len(self.event_numbers_.names_)
            dtype = np.dtype(self.dtype).type
            return Events.none(len(behaviors), dtype, n_numbers, self.topics_.n_axes)
        number, scale = self.vocabulary_.transform(behaviors)
        table = Table(behaviors.rows, number, len(behaviors))
        if self.hierarchical:
            session = behaviors.integers("session")
            first = np.append(True, (np.diff(session) != 0) | (np.diff(behaviors.rows) != 0))
            lengths = np.diff(np.append(np.flatnonzero(first), n_events))
            n_sessions = np.bincount(behaviors.rows[first], minlength=len(behaviors))
        else:
            lengths = behaviors.lengths[behaviors.lengths > 0]
            n_sessions = (behaviors.lengths > 0).astype(np.int64)
        interval, weekday, monthday = np.zeros(n_events), number * 0, number * 0
        if self.hierarchical and self.time_aware:
            interval = self._event_ranges.clip("interval", behaviors.numbers("interval"))
            weekday = behaviors.integers("weekday")
            monthday = behaviors.integers("monthday") - 1
        return Events(
            behavior=number,
            scale=scale.astype(self.dtype),
            interval=interval.astype(self.dtype),
            weekday=weekday,
            monthday=monthday,
            numbers=self.event_numbers_.transform(behaviors).astype(self.dtype),
            session_lengths=lengths,
            n_sessions=n_sessions,
            topics=self.topics_.transform(table).astype(self.dtype),
        )

    def _table_of(self, behaviors: Behaviors) -> Table:
        """Return which behaviors each application has."""
        number = np.empty(0, dtype=np.int64)
        if behaviors.n_events:
            number, _ = self.vocabulary_.transform(behaviors)
        return Table(behaviors.rows, number, len(behaviors))

    def _weighed_tables(
        self, pieces: Iterable[Behaviors], weight: NDArray[np.float64]
    ) -> Iterator[Table]:
        """Return which behaviors the applications of each piece have, and their weights."""
        start = 0
        for piece in pieces:
            stop = start + len(piece)
            yield self._table_of(piece)._replace(weight=weight[start:stop])
            start = stop

    # Training and scoring.

    def _train(
        self,
        dataset: _Applications | GuidedDataset,
        log_odds: float,
        pretrained: Pretrained | None = None,
        *,
        guide: Guide | None = None,
        users: NDArray[np.int64] | None = None,
        partial: bool = False,
        title: str = "",
        **net_params: Any,
    ) -> list[NDArray[np.int64]]:
        """Train new networks, at first with these odds of overdue; if partial, for one epoch.

        A guide says how each network is taught; users are held out as a whole. Returns the rows
        that each network held out.
        """
        if guide is not None:
            net_params |= {"criterion": GuidedLoss, "criterion__form": float(self.guidance_weight)}
        if pretrained is not None and "optimizer__param_groups" not in (self.net_params or {}):
            net_params["optimizer__param_groups"] = pretrained.rates(self.lr)
        random = check_random_state(self.random_state)
        largest = np.iinfo(np.int32).max
        seeds = random.randint(largest, size=(1, 2))
        held_out = [] if partial else self._hold_out(dataset.y, users, random)
        # The first network is the one that there would be alone, and so is its teacher.
        of_teachers = deepcopy(random)
        seeds = np.concatenate([seeds, random.randint(largest, size=(self.n_networks - 1, 2))])
        self.blend_ = None  # of networks that are no longer there
        guidance: list[Any] = [None] * self.n_networks
        if guide is not None:
            is_scored = self.early_stopping
            guidance = guide.teach(held_out, self.n_networks, of_teachers, is_scored=is_scored)
        nets = []
        parts: list[Dataset] = []
        for number, (shuffling_seed, seed) in enumerate(seeds.tolist()):
            shuffling = torch.Generator().manual_seed(shuffling_seed)
            valid = held_out[number] if held_out else np.empty(0, dtype=np.int64)
            train = np.setdiff1d(np.arange(len(dataset)), valid)
            if self.n_networks > 1:
                title = f", network {number + 1} of {self.n_networks}"
            n_later = self.n_networks - 1 - number
            callbacks = self._make_callbacks(
                title, n_later, is_warm=pretrained is not None, is_guided="criterion" in net_params
            )
            net = self._make_net(shuffling, len(train), callbacks, **net_params).initialize()
            net.module_.to(getattr(torch, self.dtype))
            # One generator for weights and dropout: torch's own would be shared with the caller.
            generator = torch.Generator(net.device).manual_seed(seed)
            net.module_.reset_parameters(generator)
            if pretrained is None:
                net.module_.interaction.start_at(log_odds)
            else:
                pretrained.start(net.module_, log_odds)
            net.train_split = None
            taught: Any = dataset
            if guide is not None:
                taught = GuidedDataset(taught, guidance[number], labeled=True)
            if self.early_stopping and held_out:
                net.train_split = predefined_split(Subset(taught, valid.tolist()))
            parts.append(Subset(taught, train.tolist()) if held_out else taught)
            nets.append(net)
        self._made_with = {
            name: frozen(value)
            for name, value in self.get_params(deep=False).items()
            if name not in CHANGEABLE
        }
        if partial:
            self._train_epoch(nets, dataset)
        else:
            self._run(nets, parts)
        return held_out

    def _train_epoch(self, nets: list[HUIHENNet], dataset: Dataset) -> None:
        """Train networks on for one epoch, at the rate and with the batches of now.

        If that fails or is interrupted, they are put back to where they were.
        """
        before = [net.snapshot() for net in nets]
        try:
            for number, net in enumerate(nets):
                net.max_epochs = 1
                net.batch_size = self.batch_size
                # A schedule has come to its end, and its peak would undo what it has settled.
                rate = self.lr * (1 if self.schedule == "constant" else LATER_RATE)
                if net.lr != rate:
                    for group in net.optimizer_.param_groups:
                        group["lr"] *= rate / net.lr  # after a warm start there are two rates
                    net.lr = rate
                # There is nothing to stop, no held-out part to stop by, and no guidance.
                net.callbacks_ = [
                    (name, callback)
                    for name, callback in net.callbacks_
                    if not isinstance(callback, EarlyStopping | LossParts | OneCycle | ProgressBar)
                ]
                if self.verbose:
                    bar = ProgressBar(type(self).__name__, len(nets) - 1 - number)
                    net.callbacks_.append(("progress_bar", bar))
            self._run(nets, [dataset] * len(nets))
        except BaseException:
            for net, state in zip(nets, before, strict=True):
                net.put_back(state)
            raise

    def _run(self, nets: list[HUIHENNet], parts: Sequence[Dataset]) -> None:
        """Train each network on its part of the rows; keep all, and their history."""
        for net, dataset in zip(nets, parts, strict=True):
            net.train(dataset)
            net.train_split = None  # a fitted classifier holds no row
            finite = all(parameter.isfinite().all() for parameter in net.module_.parameters())
            # Early stopping may have put the weights of an earlier epoch back.
            if not finite or not np.isfinite(net.history[-1].get("train_loss", 0.0)):
                raise ValueError(
                    f"The network diverged: its weights are no longer finite. Lower lr={self.lr}."
                )
        self.nets_, self.net_ = nets, nets[0]
        rows = [
            {"network": number} | {key: value for key, value in row.items() if _is_column(key)}
            for number, net in enumerate(nets)
            for row in net.history
        ]
        self.history_ = pd.DataFrame(rows).set_index("epoch")
        self.n_iter_ = max(len(net.history) for net in nets)

    def _hold_out(
        self,
        label: NDArray[np.int64],
        users: NDArray[np.int64] | None,
        random: np.random.RandomState,
    ) -> list[NDArray[np.int64]]:
        """Choose the rows that each network leaves out: a fold of its own, or to stop by."""
        if self.early_stopping:
            classes = self.classes_.tolist()
            fraction = self.validation_fraction
            return hold_out(label, classes, users, fraction, self.n_networks, random)
        n_folds = min(self.n_networks, n_of_rarest(label, users))
        if n_folds < 2:
            return []
        parts = folds(label, users, n_folds, random)
        return [parts[number % len(parts)] for number in range(self.n_networks)]

    def _decay(self, n_rows: int) -> float:
        """Return the L2 penalty for a number of training rows."""
        if isinstance(self.weight_decay, str):
            return DECAY * min(1.0, DECAY_ROWS / n_rows) ** 2
        return self.weight_decay

    def _make_callbacks(
        self, title: str, n_later: int, *, is_warm: bool, is_guided: bool
    ) -> list[Any]:
        """Return the user's callbacks and our own."""
        callbacks = [("valid_auc", ValidationAUC()), *(self.callbacks or [])]
        if is_guided:
            callbacks.append(("loss_parts", LossParts()))
        if self.schedule == "one_cycle":
            callbacks.append(("one_cycle", OneCycle()))
        if self.early_stopping:
            stopping = (BestEpochOrStart if is_warm else EarlyStopping)(
                monitor="valid_score",
                patience=self.n_iter_no_change,
                threshold=0.0,
                lower_is_better=False,
                load_best=True,
            )
            callbacks.append(("early_stopping", stopping))
        if self.verbose:
            callbacks.append(("progress_bar", ProgressBar(type(self).__name__ + title, n_later)))
        return callbacks

    def _make_net(
        self, shuffling: torch.Generator, n_rows: int, callbacks: list[Any], **net_params: Any
    ) -> HUIHENNet:
        switches = (
            *("behavior_dim", "intention_dim", "habit_dim", "hidden_units", "dropout"),
            *("log_interval", "time_aware", "user_item_aware", "field_aware", "hierarchical"),
            "mean_intention",
        )
        params = {
            "module": HUIHEN,
            "classes": [0, 1],
            "criterion": torch.nn.CrossEntropyLoss,
            "criterion__reduction": "none",
            "optimizer": torch.optim.Adam,
            "lr": self.lr,
            "optimizer__weight_decay": self._decay(n_rows),
            "max_epochs": self.max_epochs,
            "batch_size": self.batch_size,
            "device": self._find_device(),
            "callbacks": callbacks,
            "callbacks__print_log": None,
            "verbose": 0,
            "iterator_train__shuffle": True,
            "iterator_train__generator": shuffling,
            "iterator_train__collate_fn": _as_it_is,
            "iterator_valid__generator": shuffling,
            "iterator_valid__collate_fn": _as_it_is,
            "iterator_valid__batch_size": SCORING_BATCH,
            "module__behavior_sizes": self.vocabulary_.sizes_,
            "module__profile_sizes": self.profile_encoder_.field_sizes_,
            "module__n_numbers": len(self.event_numbers_.names_),
            "module__n_topics": self.topics_.n_axes,
            **{f"module__{name}": getattr(self, name) for name in switches},
            # One pass over all weights in place of one for each; another optimizer may have none.
            **({} if "optimizer" in (self.net_params or {}) else {"optimizer__fused": True}),
            **(self.net_params or {}),
            **net_params,
        }
        return HUIHENNet(**params)

    def _mean_logits(self, batch: Batch) -> torch.Tensor:
        """Return the mean of the networks' logits."""
        if len(self.nets_) == 1:
            return self.net_.module_(batch)
        return torch.stack([net.module_(batch) for net in self.nets_]).mean(dim=0)

    def _blended(self, frame: pd.DataFrame, logits: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the log-odds of the networks, weighed with those of the base model."""
        log_odds = logits[:, 1] - logits[:, 0]
        if self.blend_ is None or not len(frame):
            return log_odds
        of_base: Any = 0.0
        if self.blend_.base:
            of_base = base_log_odds(self.base_estimator_, self._table(frame), self.classes_)
        return self.blend_.log_odds(of_base, log_odds).astype(self.dtype)

    def _compute(
        self, frame: pd.DataFrame, function: Callable[[Batch], torch.Tensor], width: int
    ) -> NDArray[np.floating]:
        """Apply a function of a batch to all applications, without gradients."""
        for net in self.nets_:
            if net.module_.training:
                net.module_.eval()
        self.profile_encoder_.tell_unusual(frame, stacklevel=3)
        outside: dict[str, Outside] = {}
        device = self._device_of_net()
        results = [np.empty((0, width), dtype=self.dtype)]
        # An empty table is looked at too.
        for first in range(0, max(len(frame), 1), READING_BATCH):
            is_all = len(frame) <= READING_BATCH
            part = frame if is_all else frame.iloc[first : first + READING_BATCH]
            behaviors = self._read_known_behaviors(part)
            self._event_ranges.look(behaviors, outside)
            dataset = self._dataset(part, behaviors, device=device)
            with torch.inference_mode():
                for start in range(0, len(part), SCORING_BATCH):
                    rows = range(start, min(start + SCORING_BATCH, len(part)))
                    batch, _ = dataset.__getitems__(rows)
                    results.append(function(batch).cpu().numpy())
        self._event_ranges.tell(outside, stacklevel=3)
        return np.concatenate(results)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = all(map(takes_missing, self._models_beside()))
        tags.transformer_tags.preserves_dtype = [self.dtype]
        return tags


def _no_events(n_applications: int) -> Behaviors:
    return Behaviors(np.zeros(n_applications + 1, dtype=np.int64), {})


def _as_it_is(batch: Any) -> Any:
    """Collate nothing: the data set gives whole batches."""
    return batch


def _is(value: Any, text: str) -> bool:
    """Tell whether a parameter that may be an estimator is this text."""
    return isinstance(value, str) and value == text


def _is_column(key: str) -> bool:
    """Tell the numbers of an epoch from skorch's own bookkeeping."""
    return key not in ("batches", "valid_score") and not key.endswith(("_best", "_batch_count"))
