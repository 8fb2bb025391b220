"""HUIHENClassifier: the paper's network as a scikit-learn classifier."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
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
from skorch.callbacks import Callback

from skhuihen._companions.blending import (
    Blend,
    base_log_odds,
    fit_base,
    may_take_missing,
    takes_missing,
    weigh_networks,
)
from skhuihen._companions.teachers import (
    GivenTeacher,
    Guide,
    Teacher,
    UsualTeacher,
    usual_statistics,
)
from skhuihen._companions.warm_start import OF_STUDENT, OldData, OldRows, Pretrained, is_fitted
from skhuihen._compat import class_weights
from skhuihen._encoding.applications import ApplicationEncoder
from skhuihen._encoding.event_numbers import EventNumbers
from skhuihen._encoding.schema import TableSchema
from skhuihen._encoding.streaming import (
    PreparedParquet,
    StreamedApplications,
    open_applications,
)
from skhuihen._encoding.vocabulary import BehaviorVocabulary
from skhuihen._estimators.fitting import all_or_nothing
from skhuihen._estimators.parameters import frozen
from skhuihen._estimators.state import pack_frames, unpack_frames
from skhuihen._events.behaviors import Behaviors
from skhuihen._events.frames import as_frame, is_table
from skhuihen._tables.labels import as_labels
from skhuihen._training.folds import n_of_rarest, users_of
from skhuihen._training.net import SCORING_BATCH, HUIHENNet
from skhuihen._training.start import ColdStart, PretrainedStart, log_odds_of
from skhuihen._training.trainer import Trainer, find_device, history_of
from skhuihen.network.architecture import check_architecture
from skhuihen.network.batch import ApplicationDataset, Batch
from skhuihen.preprocessing._bounded import Outside
from skhuihen.preprocessing._correspondence import Correspondence
from skhuihen.preprocessing._profile import ProfileEncoder

#: Applications read at once for scoring; it bounds memory.
READING_BATCH = 8 * SCORING_BATCH
#: Parameters that may change between calls of `partial_fit`. The first three take effect from the
#: next call on; the others are not used there.
CHANGEABLE = (
    *("lr", "batch_size", "verbose", "teacher", "guidance_weight", "schedule"),
    *("max_epochs", "early_stopping", "validation_fraction", "n_iter_no_change", "random_state"),
    "old_data",
)

#: With fewer rows of a class, `fit` warns, as measured by `evidence/few_overdue.py`.
FEWEST_TO_LEARN = 100
#: With fewer rows, or users, of a class, ``teacher="auto"`` is not used.
FEWEST_TO_TEACH = 100
_Applications = ApplicationDataset | StreamedApplications


class HUIHENClassifier(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Overdue probability from a thin profile and behaviors in a banking app.

    The network of the paper: behaviors are embedded by field (EN, FAN), a time-aware GRU reads
    each session into an intention (SUIE), and a user-item-aware GRU reads the intentions into a
    habit (LHUHE). Fully connected layers (UPI) join the intention of the last session, the habit
    and the profile, and by default the mean of the intentions too. An application without
    behaviors is scored from its profile alone, with zeros for intention and habit. Without a
    nested column, or on a plain numeric array, this is a classifier of profiles.

    Parameters
    ----------
    behaviors : str, default="behaviors"
        The nested column, with the subfields that `Sessionizer` adds. Behaviors come from
        `BehaviorAbstractor`, or are raw operations without that step.
    applied_at : str or None, default="applied_at"
        The column with the time of the application. Events at or after it are cut off here too.
        Pass None to disable the cut.
    profile_encoder : ProfileEncoder, default=None
        Encodes the profile as numbers, such as ``ProfileEncoder(min_frequency=0.05)``. It is
        cloned, with `id_columns` and `dtype` set to those given here. None is
        ``ProfileEncoder()``.
    id_columns : sequence of str, default=("user_id", "application_id")
        Columns that never count as profile. Those that X does not have are ignored. The first one
        with repeated values identifies the user; if none has, the keys by which `attach_behaviors`
        joined X do. All rows of a user are then held out together, in `fit`, for early stopping and
        in the folds of `base_estimator` and `teacher`, because a network recognizes a history that
        it has seen.
    dropout : float, default=0.4
        Dropout rate after each hidden UPI layer.
    event_numbers : "auto", sequence of str or None, default="auto"
        Numeric subfields of the behaviors that the time-aware GRU reads as numbers, in addition
        to the paper's use of amounts and intervals. ``"auto"`` uses, if present, the interval
        before a behavior, its age at the application (``"age"``, in seconds, added here), and its
        amount. None is the paper's form.
    n_topics : int or "auto", default="auto"
        Number of topics of an application's behaviors. They are found without labels, as in
        `BehaviorTopics`, from the behaviors of `vocabulary_`, and join T, H and the profile. A
        GRU needs many overdue applications to learn which of hundreds of items occur together.
        ``"auto"`` is 10 if at least 100 behaviors occur in 20 applications or more each, and 0
        otherwise. 0 is the paper's form.
    base_estimator : classifier or None, default=None
        A model to build on, such as the LightGBM in use. The log-odds are then a weighted sum of
        its log-odds and those of the networks. The weights come from rows that neither was fitted
        on (see `blend_`). It is fitted here, on the table that this classifier sees, behaviors
        included. Put `ProfileEncoder`, or a union of it and `WindowStatistics`, in front of it in
        a pipeline. Pass ``FrozenEstimator(model)`` to use a fitted model as it is. A single
        network holds out no row; the weights are then 0.65 and 0.35.
    teacher : "auto", classifier, "base" or None, default="auto"
        A model that gives guidance probabilities. The network learns them together with the labels,
        by equation 16, which the paper uses in step one only. The network then contains what the
        teacher knows, such as that of trees on window statistics, and the teacher is not needed for
        scores. It is cross-fitted here on the rows that each network learns from (ten fits for five
        networks), on the table that `base_estimator` would see. A `FrozenEstimator` is used as it
        is, and must not have seen these rows. ``"base"`` uses `base_estimator`.

        ``"auto"`` is LightGBM on profile, `WindowStatistics`, `IntervalStatistics` and topics, and
        a logistic regression on the profile; a second logistic regression weighs the two. After a
        warm start the network of step one replaces the one on the profile, and the trees see its
        scores. ``"auto"`` requires a table in memory with at least 100 rows, or users, of each
        class. If it was used, `history_` has ``train_divergence``. None means no teacher. For the
        teacher of step one, see `warm_start_from`.
    guidance_weight : float, default=3.0
        Weight of the guidance of `teacher`: alpha of equation 16, which is fixed here. 0 means no
        teacher.
    n_estimators : int, default=5
        Number of networks; their log-odds are averaged. Each holds out one fold and learns from the
        others, so every row has a score from a network that has not seen it (see `oof_log_odds_`).
        These scores calibrate the probabilities and set the weight of the base estimator. A single
        network learns from all rows in a fifth of the time, and is not calibrated.
    lr : float, default=0.02
        Learning rate of AdamW; with ``schedule="one_cycle"``, its peak.
    schedule : {"one_cycle", "constant"}, default="one_cycle"
        Learning rate schedule. ``"one_cycle"`` rises to `lr` in the first quarter of the training
        and then falls to 0. ``"constant"`` is the paper's form, with ``lr=0.001``.
    weight_decay : float or "auto", default="auto"
        Weight decay of AdamW: each step multiplies the weights by 1 - `lr` * `weight_decay`.
        ``"auto"`` is 0.1 for up to 3,400 training rows. Above that, it falls in proportion to their
        number, to 0.01 at 34,000, because an epoch has more steps. The rows are those of `fit`, of
        the first `partial_fit`, or of step one of a warm start. The paper mentions no decay, which
        is 0. For the L2 penalty of Adam, pass ``net_params={"optimizer": torch.optim.Adam}`` and a
        number: 0.1 would be far too much of it.
    max_epochs : int or "auto", default="auto"
        Number of passes over the training rows; with `early_stopping`, the maximum. ``"auto"`` is
        15 for up to 2,600 rows, and wherever the rarer class has 12% of them or more. Otherwise it
        is 128 times that share, or 40,000 divided by the number of rows if this is more, but at
        least 3, because further passes learn the rows of the rarer class by heart. The rows are
        those of `fit`, or of step one of a warm start, where it is 15 without labels. `n_iter_`
        says what it was.
    batch_size : int, default=128
        Applications per step; -1 uses all.
    early_stopping : bool, default=False
        Hold out part of the rows, stop when neither the AUC on them improves nor, at equal AUC, the
        loss, and keep the best epoch. Use it with ``schedule="constant"`` and ``max_epochs=200`` or
        so: a cycle that is cut off has not converged.
    validation_fraction : float, default=0.1
        Share of the rows to hold out.
    n_iter_no_change : int, default=30
        Epochs without improvement before stopping. On small data, networks improve slowly and
        unevenly, and a smaller number stops good ones too early.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn. They multiply `sample_weight`, and
        ``"balanced"`` takes `sample_weight` into account. Probabilities are then those of a
        population with these class weights: with ``"balanced"``, one half is overdue on average.
        The order of scores hardly changes. Subtract
        ``log(class_weight_[1] / class_weight_[0])`` from `decision_function` for the log-odds of
        the actual population. `base_estimator` is fitted without these weights, and its log-odds
        are shifted by the same amount.
    device : str, default="cpu"
        Device of torch, such as ``"cuda"``; ``"auto"`` uses a GPU if torch finds one. The data
        are on the device as flat arrays during training and scoring.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the computation in torch.
    callbacks : list of skorch callbacks, default=None
        Additional callbacks, as in skorch, such as ``[EpochScoring("roc_auc",
        lower_is_better=False)]``, which scores the held-out rows. They see the labels as 0 and 1.
        A callback stops training if one of its methods raises KeyboardInterrupt, as in skorch.
    verbose : int, default=0
        1 shows a progress bar with the maximum time left.
    random_state : int, RandomState or None, default=None
        Seeds weights, dropout, shuffling, the held-out rows, and the folds of `base_estimator` and
        `teacher`. The same seed gives exactly the same result with the same number of torch
        threads. Global random state is neither read nor changed.
    net_params : dict, default=None
        Additional parameters of the skorch net, such as ``{"optimizer": torch.optim.SGD}``. Those
        of the network itself start with ``module__``, such as ``{"module__habit_dim": 20}``.
        Its sizes are ``behavior_dim`` (10), ``intention_dim`` (30), ``habit_dim`` (30) and
        ``hidden_units`` ((50, 25)). ``time_aware=False`` and ``user_item_aware=False`` put a plain
        GRU in place of equations 5 to 7 and 8 to 12. ``hierarchical=False`` reads all behaviors
        with one GRU, without sessions. ``field_aware=False`` maps the three behavior fields by
        one matrix. ``mean_intention=False`` drops the mean of all intentions.
        ``log_interval=False`` uses seconds in equation 5, as the paper prints it. The paper's
        form is ``HUIHENClassifier(event_numbers=None, net_params={"module__mean_intention":
        False})``.
    old_data : OldData, default=None
        The old applications and the settings of a warm start, set by `warm_start_from`.
        ``old_data__teacher``, ``old_data__cv``, ``old_data__pretrained_lr`` and so on can be
        searched like other parameters. None is a cold start.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; ``predict_proba(X)[:, 1]`` is the probability of the second.
    estimators_ : list of skorch.NeuralNet
        The trained nets; ``estimators_[0].module_`` is a network.
    net_ : skorch.NeuralNet
        The first of them.
    class_weight_ : ndarray of shape (2,)
        The weights of the classes; ones without `class_weight`.
    history_ : DataFrame
        One row per network and epoch: ``network`` (0 for the first), ``train_loss``, ``dur``
        (seconds) and, with `early_stopping`, ``valid_loss`` and ``valid_auc``. With `teacher`,
        the losses are those of equation 16. Their two parts are ``train_cross_entropy``,
        ``train_divergence`` and so on.
    n_iter_ : int
        Number of epochs run, including those of `partial_fit`; the maximum over the networks.
    base_estimator_ : classifier
        The fitted base estimator; only with `base_estimator`.
    blend_ : Blend or None
        ``intercept`` and the weights of ``base`` (0 without `base_estimator`) and ``network`` in
        the log-odds. None if there is neither a base estimator nor a held-out row.
    oof_log_odds_ : ndarray of shape (n_applications,)
        Out-of-fold scores: for each row of `fit`, the log-odds of overdue from the networks that
        have not seen it, weighted by `blend_`. NaN for rows that no network held out, and for
        rows of weight 0. ``roc_auc_score(y, model.oof_log_odds_)`` is an honest AUC. Only if rows
        were held out.
    profile_encoder_ : ProfileEncoder
    event_numbers_ : EventNumbers
        Encodes the numbers of behaviors for the network.
    topics_ : Correspondence
        Its ``loadings_`` place each of ``vocabulary_.behaviors_`` (rows) on each topic (columns).
        It uses the behaviors in sessions, so its topics differ from those that
        `BehaviorTopics` finds in all events.
    vocabulary_ : BehaviorVocabulary
        The behaviors that have a vector. Other behaviors add only their time.
    feature_names_in_ : ndarray of str
        Columns seen in `fit`, without `id_columns` and datetimes. Only for tables.
    n_features_in_ : int
        Number of these columns.
    warm_start_student_ : HUIHENClassifier
        After `warm_start_from`, the network of step one: a fitted classifier of profiles.

    See Also
    --------
    BehaviorAbstractor, Sessionizer : The steps before this one.
    warm_start_from : Pre-train the profile part of the network on old data without behaviors.
    partial_fit : Continue training with labels that arrive later.

    Notes
    -----
    The paper gives no number of epochs, batch size or stopping rule. The defaults are those of
    the measurements in ``docs/choices.md``. That page also lists every choice that the paper
    leaves open and what was chosen.

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
    _encoder: ApplicationEncoder
    _schema: TableSchema

    _parameter_constraints: dict = {
        "behaviors": [str],
        "applied_at": [str, None],
        "profile_encoder": [ProfileEncoder, None],
        "id_columns": ["array-like"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "event_numbers": [StrOptions({"auto"}), "array-like", None],
        "n_topics": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "base_estimator": [HasMethods(["fit", "predict_proba"]), None],
        "teacher": [HasMethods(["fit", "predict_proba"]), StrOptions({"auto", "base"}), None],
        "guidance_weight": [Interval(Real, 0, None, closed="left")],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions({"one_cycle", "constant"})],
        "weight_decay": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
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
        "old_data": [OldData, None],
    }

    def __init__(
        self,
        *,
        behaviors: str = "behaviors",
        applied_at: str | None = "applied_at",
        profile_encoder: ProfileEncoder | None = None,
        id_columns: Sequence[str] = ("user_id", "application_id"),
        dropout: float = 0.4,
        event_numbers: Sequence[str] | str | None = "auto",
        n_topics: int | str = "auto",
        base_estimator: Any = None,
        teacher: Any = "auto",
        guidance_weight: float = 3.0,
        n_estimators: int = 5,
        lr: float = 2e-2,
        schedule: str = "one_cycle",
        weight_decay: float | str = "auto",
        max_epochs: int | str = "auto",
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
        old_data: OldData | None = None,
    ) -> None:
        self.behaviors = behaviors
        self.applied_at = applied_at
        self.profile_encoder = profile_encoder
        self.id_columns = id_columns
        self.dropout = dropout
        self.event_numbers = event_numbers
        self.n_topics = n_topics
        self.base_estimator = base_estimator
        self.teacher = teacher
        self.guidance_weight = guidance_weight
        self.n_estimators = n_estimators
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
        self.old_data = old_data

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
            Two labels, such as 0 and 1 or False and True; the larger one is overdue. For Parquet,
            the name of the label column, which is then not part of the profile, or one label for
            each application in the order of the files.
        sample_weight : array-like of shape (n_applications,) or str, default=None
            Weight of each application, given like `y`. Rows of weight 0 are dropped.

        Returns
        -------
        self

        Warns
        -----
        UserWarning
            If fewer than 100 rows have one of the labels, unless there was a warm start. Also of
            what looks like an error in the data, see the user guide.

        Notes
        -----
        A fit that fails or is interrupted leaves the classifier as it was: an earlier fitted model
        can still be used, and an unfitted one raises `NotFittedError`.

        With Parquet, the profile, the labels and what is learned from them are in memory. Events
        are read in buffers of about 8 million behaviors, each from several row groups. For each
        epoch, the row groups of a buffer, their order, and the order of applications in the buffer
        are drawn again. A batch contains only applications of one buffer, and the last batch of a
        buffer may be smaller. Encoders, vocabulary, topics, weights and held-out rows are those of
        the whole table. If all behaviors fit into one buffer, the network is exactly the same as
        for a table in memory. If not, the same seed and the same files, in the same row groups,
        give exactly the same result. Held-out rows are read a second time in each epoch.
        """
        self._check_parameters()
        X, y, sample_weight, source = self._open(X, y, sample_weight)
        frame, y, weight, used = self._check_rows(X, y, sample_weight, reset=True)
        label = self._encode_labels(y)
        self._tell_few(label)
        beside = {
            "base_estimator": self.base_estimator is not None,
            "teacher": self._names_teacher(),
        }
        for name, is_asked in beside.items():
            if is_asked and source is not None:
                raise TypeError(
                    f"{name} requires a table in memory, but X is a Parquet path. Read a part that "
                    f"fits into memory, or drop {name}."
                )
        dataset, start, pretrained = self._set_up(frame, y, label, weight, source)
        users = users_of(frame, self.id_columns)
        margin = None if self.base_estimator is None else self._fit_base(frame, y, weight, users)
        teacher = self._find_teacher(dataset, frame, y, weight, users, pretrained)
        teach = None
        if teacher is not None:
            teach = Guide(teacher, label, users, self._shift_of_classes(), self.verbose).teach
        classes, sizes = self.classes_.tolist(), self._encoder.sizes
        nets, held_out = self._trainer().train(
            dataset, sizes, start, classes=classes, users=users, teach=teach
        )
        self._keep(nets)
        self.blend_ = None
        if held_out:
            of_rows = weight * self.class_weight_[label] / self._mean_weight
            shift = self._shift_of_classes()
            self.blend_, of_used = weigh_networks(
                nets, dataset, margin, of_rows, held_out, shift, is_taught=teacher is not None
            )
            self.oof_log_odds_ = np.full(len(used), np.nan)
            self.oof_log_odds_[used] = of_used
        elif margin is not None:
            self.blend_ = Blend.before_data(self._shift_of_classes())
        return self

    def _may_begin_partially(self) -> bool:
        """Return whether `partial_fit` can be called now; raise with the reason if not."""
        if hasattr(self, "estimators_"):
            return True
        if self.base_estimator is not None:
            raise AttributeError(
                "partial_fit holds out no rows, so it cannot weigh base_estimator against the "
                "network. Call fit first; partial_fit then keeps both weights."
            )
        if self._names_teacher():
            raise AttributeError(
                "partial_fit learns from labels alone, but a teacher must be cross-fitted on the "
                "rows of fit. Call fit first; partial_fit then continues without guidance."
            )
        return True

    @available_if(_may_begin_partially)
    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Continue training for one pass over new applications.

        Use it for labels that arrive week by week. The first call sets up encoders and networks as
        `fit` does, from the rows given and from a warm start if there is one. Later calls, and
        calls after `fit`, continue with the same optimizer. No row is held out and training does
        not stop early.

        Parameters
        ----------
        X : DataFrame, other table, array or Parquet of shape (n_applications, n_columns)
            With the columns of the first call. Parquet is read as in `fit`.
        y : array-like of shape (n_applications,), or str
            As in `fit`. After the first call, `y` may contain only one class.
        classes : array-like of shape (2,), default=None
            Both labels; required in the first call if one is missing from `y`.
        sample_weight : array-like of shape (n_applications,) or str, default=None
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If columns, types or labels differ from the first call, or if a parameter of the
            network was changed. The network then stays as it was.

        Notes
        -----
        Encoders, medians, categories, vocabulary and topics stay those of the first call, or of
        `fit`. A new category counts as unknown, and a new behavior adds only its time. Use many
        rows in the first call, and call `fit` from time to time.

        Weights are divided by the mean weight of the first call: a row of weight two counts twice
        as much as a row of weight one in every call. ``class_weight="balanced"`` balances the
        classes of the first call, and its two weights stay.

        ``weight_decay="auto"`` depends on the number of rows of the first call. Pass a number if
        many more rows will follow.

        `lr` and `batch_size` may be changed by `set_params` between calls. The rate is constant:
        a tenth of `lr`, because the peak would undo the result of the cycle, or `lr` itself with
        ``schedule="constant"``. `max_epochs`, `random_state` and the parameters of early stopping
        apply to `fit` only. `blend_` does not change.

        Results are exactly reproducible, even if the classifier is pickled between calls: ``k``
        calls on the same rows equal ``fit`` with ``max_epochs=k``, ``schedule="constant"``, one
        network, without early stopping and without a teacher. After early stopping, training
        continues from the best epoch's weights and the last epoch's optimizer. After a teacher, it
        continues with labels alone.

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
        is_first = not hasattr(self, "estimators_")
        if is_first:
            self._check_parameters()
        else:
            self._check_unchanged()
            self._check_same_classes(classes)
        X, y, sample_weight, source = self._open(X, y, sample_weight)
        frame, y, weight, _ = self._check_rows(X, y, sample_weight, reset=is_first)
        if is_first:
            label = self._learn_classes(y, classes)
            dataset, start, _ = self._set_up(frame, y, label, weight, source)
            self._keep(self._trainer().begin(dataset, self._encoder.sizes, start))
            self.blend_ = None
        else:
            dataset = self._encode_more(frame, self._find_labels(y), weight, source)
            self._trainer().train_on(self.estimators_, dataset)
            self._keep(self.estimators_)
        return self

    @validate_params(
        {name: of for name, of in OldData._parameter_constraints.items() if name != "rows"},
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
        max_epochs: int | str | None = None,
        batch_size: int | None = None,
    ) -> Self:
        """Pre-train the profile part of the network on old data without behaviors.

        Step one trains at once, with the current parameters of this classifier (except
        `callbacks`, `class_weight`, `n_estimators`, `base_estimator` and `teacher`). Each call of
        `fit`, in clones too, is step two and starts from step one. `fit` runs step one again only
        if a setting in `old_data` changes, or a parameter that decides the shape or the inputs of
        the pre-trained part (`profile_encoder`, `dtype`, `behaviors`, `id_columns`, and the sizes
        in `net_params`). A second warm start replaces the first. A fitted classifier stays as it
        is until the next `fit`.

        Parameters
        ----------
        old_X : DataFrame, other table or array of shape (n_old, n_columns)
            Old applications with the columns that `fit` will see, except behaviors; events in it
            are not read. Columns are matched by name.
        old_y : array-like of shape (n_old,), default=None
            Two labels, the same as in `fit`. None requires a fitted teacher, and step one learns
            from the teacher alone.
        teacher : {"xgboost", "lightgbm"}, classifier or None, default="xgboost"
            Gives the guidance probabilities. An unfitted classifier is cloned and fitted on the
            encoded profile, with labels 0 and 1. A fitted one, such as a scorecard in use, scores
            the old rows as they are, with only its own columns if it has ``feature_names_in_``.
            None learns from the labels alone.
        sample_weight : array-like of shape (n_old,), default=None
            Weight of each row, for the teacher too. Rows of weight 0 are dropped.
        cv : int, splitter or None, default=5
            Folds of the teacher. Each row's guidance probability comes from a teacher fitted on
            the other folds, because a teacher is overconfident on rows that it has seen. None is
            the paper's form: one teacher scores its own training rows. Folds keep the
            applications of one user together (see `id_columns`); a splitter that accepts
            ``groups`` gets the users. No effect with a fitted teacher.
        guidance_weight : {"learned", "literal"} or float, default="learned"
            The weight alpha of equation 16: learned in a form that cannot diverge, learned as
            the paper prints it, or fixed at a number (see `skhuihen._training.guided.GuidedLoss`).
            Without labels it is 1.
        pretrained_lr : float, default=0.1
            Learning rate of the pre-trained weights in step two, in multiples of `lr`. 0 freezes
            them; 1 trains old and new weights alike. Not used if `net_params` sets
            ``"optimizer__param_groups"``.
        max_epochs, batch_size : int, default=None
            Those of step one; `max_epochs` may be ``"auto"`` too. None uses the parameters of the
            classifier.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If labels are required but missing, or if a teacher was not fitted on the two classes.

        See Also
        --------
        find_old_rows : Find rows that must not be used for evaluation.
        forget_old_data : Drop the old rows.

        Notes
        -----
        The paper transfers the UPI layers only. Here the profile encoder and the field matrices of
        the profile are transferred too: without them the inputs of those layers would have another
        meaning. The weights of T and H in the UPI layers are not transferred, because both are zero
        in step one. They start at zero, so step two starts from the scores of step one.

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
        self._check_parameters()
        rows = self._read_old_rows(old_X, old_y, sample_weight, teacher)
        if not (teacher is None or isinstance(teacher, str | FrozenEstimator)) and is_fitted(
            teacher
        ):
            teacher = FrozenEstimator(teacher)
        old_data = OldData(
            rows,
            teacher=teacher,
            cv=cv,
            guidance_weight=guidance_weight,
            pretrained_lr=pretrained_lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
        )
        old_data.pretrain(self.get_params(deep=False))
        self.old_data = old_data
        return self

    @property
    def warm_start_student_(self) -> HUIHENClassifier:
        """The network of step one, a fitted classifier of profiles.

        With a teacher, its `history_` also has both parts of the loss of equation 16,
        ``train_cross_entropy`` and ``train_divergence`` (``valid_...`` for the held-out rows),
        and its alpha, ``guidance_weight``.
        """
        params = self.get_params(deep=False)
        found = None if self.old_data is None else self.old_data.known(params)
        if found is None:
            raise AttributeError(
                "There is no warm_start_student_. Call warm_start_from or, if a parameter of the "
                "pre-trained part was changed since, fit."
            )
        student = type(self)(**found.params)
        student._encoder, student._schema = found.encoder, found.schema
        assert self.old_data is not None
        student.classes_ = np.array(self.old_data.classes)
        student.class_weight_, student._mean_weight = np.ones(2), 1.0
        student.feature_names_in_ = np.asarray(found.features, dtype=object)
        student.n_features_in_ = len(found.features)
        student._keep(found.nets)
        student.blend_ = None
        return student

    def find_old_rows(self, X: Any) -> NDArray[np.bool_]:
        """Find rows that are in the old data of `warm_start_from`; to evaluate on them is a leak.

        Two rows count as the same if their encoded profiles are the same, and so are the
        identifiers (`id_columns`) that both tables have. Without identifiers, two people with the
        same profile count as one.

        Parameters
        ----------
        X : DataFrame, other table or array of shape (n_applications, n_columns)

        Returns
        -------
        ndarray of bool of shape (n_applications,)
        """
        if self.old_data is None:
            raise ValueError("There are no old data. Call warm_start_from first.")
        frame = super().__sklearn_clone__()._check_table(X, reset=True)
        return self.old_data.find(self.get_params(deep=False), frame)

    def forget_old_data(self) -> Self:
        """Drop the old rows and keep what was learned from them.

        Until then the rows are kept, and pickled with an unfitted classifier, so that step one
        can run again if its shape changes. Afterwards such a change raises an error. A fitted
        classifier is pickled without the rows.

        Returns
        -------
        self
        """
        if self.old_data is not None:
            self.old_data = self.old_data.without_rows()
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "estimators_" in state and self.old_data is not None:
            state = {**state, "old_data": self.old_data.without_rows()}
        return pack_frames(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(unpack_frames(state))

    @property
    def net_(self) -> HUIHENNet:
        """The first of `estimators_`."""
        return self.estimators_[0]

    @property
    def profile_encoder_(self) -> ProfileEncoder:
        """The encoder of the profile."""
        return self._encoder.profile_encoder_

    @property
    def event_numbers_(self) -> EventNumbers:
        """The encoder of the numbers of behaviors."""
        return self._encoder.event_numbers_

    @property
    def vocabulary_(self) -> BehaviorVocabulary:
        """The behaviors that have a vector."""
        return self._encoder.vocabulary_

    @property
    def topics_(self) -> Correspondence:
        """The topics of the behaviors."""
        return self._encoder.topics_

    def decision_function(self, X: Any) -> NDArray[np.floating]:
        """Return the log-odds of overdue.

        Parameters
        ----------
        X : DataFrame, other table or array of shape (n_applications, n_columns)

        Returns
        -------
        ndarray of shape (n_applications,)
            Of type `dtype`, because more digits would be noise.
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

        With several networks, these are those of the first network, because the columns of
        different networks have different meanings.

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
        """Return the profile, labels and weights, and the source of the events of Parquet."""
        named = self.event_numbers
        numbers = () if named is None or isinstance(named, str) else named
        return open_applications(X, y, sample_weight, self.behaviors, self.applied_at, numbers)

    def _check_table(self, X: Any, *, reset: bool) -> pd.DataFrame:
        """Return X as a frame and check its columns against those of `fit`."""
        if is_table(X):
            frame = as_frame(X, self.behaviors)
            if reset:
                self._schema = TableSchema.learn(frame, self.behaviors, self.id_columns)
            known = [] if reset else list(getattr(self, "feature_names_in_", ()))
            features = self._schema.features(frame, known)
            if reset or features != known:
                # Only names are compared; values are read where they are used.
                names = pd.DataFrame(columns=pd.Index(features), index=frame.index[:0])
                validate_data(self, names, reset=reset, skip_check_array=True)
            self._schema.refuse_other_nested(frame)
            return frame
        if (
            isinstance(X, np.ndarray)
            and X.dtype.kind == "O"
            and any(isinstance(value, (list, pd.DataFrame)) for value in np.ravel(X))
        ):
            raise TypeError(
                "X is an object array that contains events, but it has no column names. Call "
                "set_output(transform='pandas') on the step in front to pass a table."
            )
        may_lack = all(map(may_take_missing, self._models_beside()))
        array = validate_data(
            self,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan" if may_lack else True,
        )
        frame = pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
        if reset:
            self._schema = TableSchema(self.behaviors, frozenset())
        return frame

    def _read_old_rows(self, old_X: Any, old_y: Any, sample_weight: Any, teacher: Any) -> OldRows:
        """Return old applications without those of weight 0."""
        reader = super().__sklearn_clone__()  # reading a table stores its columns
        frame = reader._check_table(old_X, reset=True)
        weight = _check_sample_weight(
            sample_weight, frame.index.to_numpy(), dtype=np.float64, ensure_non_negative=True
        )
        used = weight > 0
        label = np.zeros(used.sum(), dtype=np.int64)
        if old_y is None:
            classes = np.unique(getattr(teacher, "classes_", [])).tolist()
        else:
            old_y = _check_y(as_labels(old_y, "old_y"), estimator=self)
            check_consistent_length(frame, old_y)
            label = reader._encode_labels(old_y[used])
            classes = reader.classes_.tolist()
        return OldRows(
            frame[used],
            label,
            weight[used] / weight[used].mean(),
            classes,
            labeled=old_y is not None,
            by_position=not is_table(old_X),
            params=self.get_params(deep=False) | OF_STUDENT,
        )

    def _check_rows(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[pd.DataFrame, NDArray[Any], NDArray[np.float64], NDArray[np.bool_]]:
        """Return the rows to train on, without those of weight 0, and a mask of them."""
        frame = self._check_table(X, reset=reset)
        if not len(frame):
            raise ValueError("X is empty. Pass applications of both classes.")
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
    ) -> tuple[_Applications, ColdStart | PretrainedStart, Pretrained | None]:
        """Learn what is learned only once; return the data set and the start of the networks."""
        self.class_weight_ = class_weights(self.class_weight, self.classes_, y, weight)
        for name, of_class in zip(self.classes_.tolist(), self.class_weight_, strict=True):
            if not of_class > 0:
                raise ValueError(
                    f"class_weight={self.class_weight!r} gives class {name!r} no weight. Give "
                    "both classes a positive weight."
                )
        weight = as_rows = weight * self.class_weight_[label]
        self._mean_weight = weight.mean()
        weight = weight / self._mean_weight
        encoder = self._encoder = ApplicationEncoder(self.get_params(deep=False))
        if source is None:
            behaviors = encoder.read(frame)

        def pieces() -> Iterable[Behaviors]:
            if source is None:
                return [behaviors]
            return map(encoder.read, source.frames_of(frame.index.to_numpy()))

        pretrained: Pretrained | None = None
        if self.old_data is not None:
            params, classes = self.get_params(deep=False), self.classes_.tolist()
            pretrained = self.old_data.prepare(params, classes, frame)
        of_profile = None if pretrained is None else pretrained.encoder.profile_encoder_
        encoder.fit(frame, pieces, as_rows, of_profile)
        encoder.profile_encoder_.tell_leaks(frame, label, stacklevel=4)
        if not encoder.profile_encoder_.n_features_in_ and not any(encoder.vocabulary_.sizes_):
            raise ValueError(
                "X has neither a profile column nor an event to learn from. Its columns are "
                f"{list(frame.columns)}. Pass a table with at least one of the two."
            )
        device = find_device(self.device)
        dataset: _Applications
        if source is None:
            dataset = encoder.dataset(frame, behaviors, label, weight, device)
        else:
            dataset = encoder.stream(source, frame, label, weight, device)
        if label.all() or not label.any():
            # The log-odds of one class are infinite: add half a row of each.
            label, weight = np.append(label, [0, 1]), np.append(weight, [0.5, 0.5])
        log_odds = log_odds_of(label, weight)
        if pretrained is None or self.old_data is None:
            return dataset, ColdStart(log_odds), None
        start = pretrained.start(log_odds, self.old_data.pretrained_lr)
        return dataset, start, pretrained

    def _fit_base(
        self,
        frame: pd.DataFrame,
        y: NDArray[Any],
        weight: NDArray[np.float64],
        users: NDArray[np.int64] | None,
    ) -> NDArray[np.floating]:
        """Fit the base estimator; return its log-odds of unseen rows."""
        random = check_random_state(self.random_state)
        self.base_estimator_, margin = fit_base(
            self.base_estimator, self._table(frame), y, weight, random, self.verbose, users=users
        )
        return margin

    def _names_teacher(self) -> bool:
        """Return whether the user has passed a teacher."""
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
        """Return the teacher of the networks, if there is one."""
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
        statistics = np.hstack([of_windows, dataset.behaviors.topics])
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        weight = weight / weight.mean()
        # The old rows are different rows, so scores from them are honest here.
        known = None if pretrained is None else pretrained.judge(frame)
        return UsualTeacher(dataset.profile, statistics, dataset.y, weight, seed, known)

    def _models_beside(self) -> list[Any]:
        """Return the models that see the same table."""
        models = [self.base_estimator, self.teacher if self._names_teacher() else None]
        return [model for model in models if model is not None and not isinstance(model, str)]

    def _trainer(self) -> Trainer:
        return Trainer(self.get_params(deep=False), type(self).__name__)

    def _keep(self, nets: list[HUIHENNet]) -> None:
        """Store trained networks and their history."""
        self.estimators_ = nets
        self.history_ = history_of(nets)
        self.n_iter_ = max(len(net.history) for net in nets)
        self._made_with = {
            name: frozen(value)
            for name, value in self.get_params(deep=False).items()
            if name not in CHANGEABLE
        }

    def _shift_of_classes(self) -> float:
        """Return the shift of the log-odds of overdue by `class_weight`."""
        return float(np.log(self.class_weight_[1] / self.class_weight_[0]))

    def _table(self, frame: pd.DataFrame) -> Any:
        """Return the table as it was passed: an array if columns had no names."""
        return frame if hasattr(self, "feature_names_in_") else frame.to_numpy()

    def _check_parameters(self) -> None:
        """Raise early for errors that torch or skorch would raise much later."""
        check_architecture(self.net_params or {})
        for callback in self.callbacks or []:
            callback = callback[1] if isinstance(callback, tuple) else callback
            if not (isinstance(callback, Callback) or callback in (None, Callback)):
                raise TypeError(
                    f"callbacks contains {callback!r}. Pass skorch callbacks, or pairs of a name "
                    "and a callback."
                )
        if _is(self.teacher, "base") and self.base_estimator is None:
            raise ValueError(
                f"teacher={self.teacher!r} refers to base_estimator, which is None. Pass a "
                "base_estimator, or a classifier as the teacher."
            )
        if self._names_teacher():
            for name in self.net_params or {}:
                if name.startswith("criterion__"):
                    raise ValueError(
                        f"net_params contains {name!r}, which the loss with a teacher does not "
                        "have. Drop it, or pass teacher=None."
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
                f"net_params contains {name!r}, which the classifier's own parameters set. Use "
                "those instead."
            )
        try:
            torch.empty(0, device=find_device(self.device))
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device={self.device!r} is not available ({error}). Use 'cpu', or install a "
                "torch build with support for the device."
            ) from error

    def _device_of_net(self) -> torch.device:
        """Return the device of the weights; the model may have been loaded elsewhere."""
        return next(self.net_.module_.parameters()).device

    def _check_unchanged(self) -> None:
        """Raise if parameters of the network were changed."""
        for name, before in self._made_with.items():
            if frozen(getattr(self, name)) != before:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} was changed. partial_fit continues a network "
                    f"made with {before!r}. Set it back, or call fit."
                )

    def _check_same_classes(self, classes: Any) -> None:
        """Raise if a later call of `partial_fit` names other classes than the first."""
        if classes is not None and np.unique(classes).tolist() != self.classes_.tolist():
            raise ValueError(
                f"classes={classes!r} differs from the first call, {self.classes_.tolist()}. Pass "
                "the same classes, or call fit."
            )

    def _learn_classes(self, y: NDArray[Any], classes: Any) -> NDArray[np.int64]:
        """Return the positions of labels in `classes_`, which the first `partial_fit` learns."""
        named = np.unique(y if classes is None else column_or_1d(classes))
        if len(named) == 1:
            raise ValueError(
                f"{'y' if classes is None else 'classes'} contains only one class, "
                f"{named.tolist()[0]!r}. Pass both in the first call: "
                "partial_fit(X, y, classes=[...])."
            )
        self._encode_labels(named)
        label = self._find_labels(y)
        if self.class_weight == "balanced" and (label.all() or not label.any()):
            raise ValueError(
                "class_weight='balanced' requires rows of both classes in the first call. Pass "
                "more rows, or the weights as a dict."
            )
        return label

    def _encode_more(
        self,
        frame: pd.DataFrame,
        label: NDArray[np.int64],
        weight: NDArray[np.float64],
        source: PreparedParquet | None,
    ) -> _Applications:
        """Return a data set of new applications, encoded with what was learned before."""
        self.profile_encoder_.check_types(frame)
        self.profile_encoder_.tell_unusual(frame, stacklevel=4)
        weight = weight * self.class_weight_[label] / self._mean_weight
        device, encoder = self._device_of_net(), self._encoder
        if source is not None:
            return encoder.stream(source, frame, label, weight, device)
        outside: dict[str, Outside] = {}
        behaviors = encoder.read_known(frame, outside, stacklevel=5)
        encoder.ranges_.tell(outside, stacklevel=4)
        return encoder.dataset(frame, behaviors, label, weight, device)

    def _encode_labels(self, y: NDArray[Any]) -> NDArray[np.int64]:
        kind = type_of_target(y, input_name="y")
        self.classes_, label = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(
                f"y contains only one class, {self.classes_.tolist()[0]!r}. Pass both overdue and "
                "other applications."
            )
        if kind != "binary":
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}."
            )
        return label.astype(np.int64)

    def _tell_few(self, label: NDArray[np.int64]) -> None:
        """Warn of a label that few rows have, unless old rows were learned from before."""
        counts = np.bincount(label, minlength=2)
        fewest = int(counts.argmin())
        if self.old_data is None and counts[fewest] < FEWEST_TO_LEARN:
            warnings.warn(
                f"Only {counts[fewest]} of {len(label)} applications have the label "
                f"{self.classes_.tolist()[fewest]!r}. From fewer than {FEWEST_TO_LEARN}, the "
                "networks learn little, and neither AUC nor calibration can be judged. Learn from "
                "older applications first (warm_start_from), wait for more labels, or use "
                "make_scorecard.",
                stacklevel=4,
            )

    def _find_labels(self, y: NDArray[Any]) -> NDArray[np.int64]:
        """Return the positions of labels in `classes_`."""
        known = self.classes_.tolist()
        unknown = set(y.tolist()) - set(known)
        if unknown:
            raise ValueError(
                f"y contains {sorted(unknown, key=str)[:5]}, but the classes are {known}. Pass "
                "only labels of these classes, or call fit."
            )
        return np.searchsorted(self.classes_, y)

    # Scoring.

    def _mean_logits(self, batch: Batch) -> torch.Tensor:
        """Return the mean of the networks' logits."""
        if len(self.estimators_) == 1:
            return self.net_.module_(batch)
        return torch.stack([net.module_(batch) for net in self.estimators_]).mean(dim=0)

    def _blended(self, frame: pd.DataFrame, logits: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the weighted sum of the log-odds of the networks and the base estimator."""
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
        for net in self.estimators_:
            if net.module_.training:
                net.module_.eval()
        self.profile_encoder_.tell_unusual(frame, stacklevel=3)
        outside: dict[str, Outside] = {}
        device = self._device_of_net()
        results = [np.empty((0, width), dtype=self.dtype)]
        # An empty table is checked too.
        for first in range(0, max(len(frame), 1), READING_BATCH):
            is_all = len(frame) <= READING_BATCH
            part = frame if is_all else frame.iloc[first : first + READING_BATCH]
            behaviors = self._encoder.read_known(part, outside)
            dataset = self._encoder.dataset(part, behaviors, device=device)
            with torch.inference_mode():
                for start in range(0, len(part), SCORING_BATCH):
                    rows = range(start, min(start + SCORING_BATCH, len(part)))
                    batch, _ = dataset.__getitems__(rows)
                    results.append(function(batch).cpu().numpy())
        self._encoder.ranges_.tell(outside, stacklevel=3)
        return np.concatenate(results)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = all(map(takes_missing, self._models_beside()))
        tags.transformer_tags.preserves_dtype = [self.dtype]
        return tags


def _is(value: Any, text: str) -> bool:
    """Return whether a parameter that may be an estimator is this text."""
    return isinstance(value, str) and value == text
