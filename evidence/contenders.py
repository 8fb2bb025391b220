"""The definitions of HUIHEN's forms and of the models that it is compared with.

All contenders have the same tuning budget: each tries the same number of settings on a held-out
fifth of its training rows. Networks and boosted trees hold out a tenth of their rows, and stop when
the AUC there no longer improves. Only contenders with "150 trees" hold out no rows and try one
setting.

The trees of the paper see only the profile of the new applications. The paper omits models that a
bank could train on the same data as HUIHEN: trees that also see the old applications, trees on
window statistics of the behaviors, and trees on HUIHEN's own vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import joblib
import numpy as np
import pandas as pd
import torch
from lightgbm import LGBMClassifier
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    StratifiedShuffleSplit,
    train_test_split,
)
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer
from xgboost import XGBClassifier

from skhuihen import (
    BehaviorAbstractor,
    BehaviorTopics,
    HUIHENClassifier,
    IntervalStatistics,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    make_scorecard,
)
from skhuihen._compat import held_out, stack
from skhuihen._training.start import PretrainedStart
from skhuihen._training.trainer import EPOCHS, Trainer

SEED = 0
N_TOPICS = 10


class Budget(NamedTuple):
    """The tuning budget of each contender.

    Attributes
    ----------
    n_settings : int
        Number of settings that each contender tries: the first of `SETTINGS` for its kind.
    n_epochs, n_trees : int
        Largest number of epochs of networks, and of trees.
    patience, tree_patience : int
        Epochs and trees without improvement before stopping.
    batch_size : int
        Applications per step of a network. Larger batches make epochs faster, most of all for the
        long sequences without sessions.
    """

    n_settings: int = 3
    n_epochs: int = 200
    n_trees: int = 2000
    patience: int = 30
    batch_size: int = 64
    tree_patience: int = 30


#: One setting for each contender: nothing is tuned.
UNTUNED = Budget(n_settings=1)


@dataclass
class Case:
    """A data set, prepared for all contenders.

    Attributes
    ----------
    X : DataFrame
        The result of `attach_behaviors`. Without behaviors, only contenders on the profile apply.
    y : ndarray of int
    sessionizer : Sessionizer
        Cuts its behaviors into sessions.
    windows : sequence of str
        The windows of its window statistics.
    old : tuple of DataFrame and ndarray, default=None
        Profiles and labels of old applications.
    probability : ndarray, default=None
        The true probabilities of a simulated bank.
    planted : DataFrame, default=None
        The true effect of behavior on the log-odds at a simulated bank, one column per mechanism.
    groups, former : DataFrame, default=None
        The true groups of the operations of a simulated bank, as rules of an abstractor, and the
        groups that merging found before it weighed names and use together.
    expert : callable, default=None
        Makes a transformer with the features that a domain expert would compute from the events.
    pretrained : dict
        Step one by teacher, shared by contenders that differ only in step two.
    """

    X: pd.DataFrame
    y: np.ndarray
    sessionizer: Sessionizer = field(default_factory=Sessionizer)
    windows: Sequence[str] = ("2D", "21D", "60D")
    old: tuple[pd.DataFrame, np.ndarray] | None = None
    probability: np.ndarray | None = None
    planted: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None
    former: pd.DataFrame | None = None
    expert: Callable[[], Any] | None = None
    pretrained: dict[Any, HUIHENClassifier] = field(default_factory=dict)


Factory = Callable[[Case, Budget], Any]

#: The settings that each kind of model tries, equally many for each kind; the first is its default.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "HUIHEN": [{}, {"dropout": 0.4}, {"lr": 3e-3}],
    "LightGBM": [{}, {"model__num_leaves": 7}, {"model__num_leaves": 31}],
    "XGBoost": [{}, {"model__max_depth": 2}, {"model__max_depth": 6}],
    "random forest": [{}, {"min_samples_leaf": 5}, {"min_samples_leaf": 50}],
    "logistic regression": [{}, {"C": 0.1}, {"C": 0.01}],
}


_OF_TREES: dict[str, Any] = {
    "learning_rate": 0.03,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "n_jobs": 1,
    "random_state": SEED,
}
OF_LIGHTGBM = _OF_TREES | {"num_leaves": 15, "subsample_freq": 1, "metric": "auc", "verbose": -1}
OF_XGBOOST = _OF_TREES | {"max_depth": 4, "eval_metric": "auc", "verbosity": 0}


class StoppedEarly(ClassifierMixin, BaseEstimator):
    """Boosted trees that hold out a tenth of their rows for early stopping."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: np.ndarray, y: np.ndarray) -> StoppedEarly:
        """Fit on nine tenths of the rows; stop early on the last tenth."""
        X, X_stop, y, y_stop = train_test_split(X, y, test_size=0.1, stratify=y, random_state=SEED)
        options = held_out(self.model, X_stop, y_stop)
        if isinstance(self.model, XGBClassifier):
            options["verbose"] = False
        self.model_ = clone(self.model).fit(X, y, **options)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of each class."""
        return self.model_.predict_proba(X)


class WithOldRows(ClassifierMixin, BaseEstimator):
    """A model that is also trained on the old applications, with empty histories."""

    def __init__(self, model: Any, old_X: pd.DataFrame, old_y: np.ndarray) -> None:
        self.model = model
        self.old_X = old_X
        self.old_y = old_y

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> WithOldRows:
        """Fit on old and new rows together."""
        rows = stack([self.old_X, X])
        self.model_ = clone(self.model).fit(rows, np.concatenate([self.old_y, y]))
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probability of each class."""
        return self.model_.predict_proba(X)


class WithVectors(ClassifierMixin, BaseEstimator):
    """Trees on features and on the intention and habit vectors of a network, cross-fitted.

    The vectors of a network are too good on its own training rows. So the rows are halved: trees
    learn on one half from the vectors of a network that was fitted on the other half, and vice
    versa. Each network has its own trees, because the axes of the vectors of two networks have
    different meanings. The two probabilities are averaged.
    """

    def __init__(self, network: Any, features: Any, trees: Any) -> None:
        self.network = network
        self.features = features
        self.trees = trees

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> WithVectors:
        """Fit both networks, and the trees on the vectors of each."""
        self.models_ = []
        for half, other in StratifiedKFold(2, shuffle=True, random_state=SEED).split(X, y):
            network = FrozenEstimator(clone(self.network).fit(X.iloc[half], y[half]))
            model = make_pipeline(make_union(clone(self.features), network), clone(self.trees))
            self.models_.append(model.fit(X.iloc[other], y[other]))
        self.classes_ = self.models_[0].classes_
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probability of each class."""
        return np.mean([model.predict_proba(X) for model in self.models_], axis=0)


class Planted(TransformerMixin, BaseEstimator):
    """The planted effects of each row, which no bank could know."""

    def __init__(self, terms: pd.DataFrame) -> None:
        self.terms = terms

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Planted:
        """Learn nothing."""
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Return the terms of these rows."""
        return self.terms.loc[X.index].to_numpy()


class OldScore(TransformerMixin, BaseEstimator):
    """The log-odds of a profile model that was fitted on the old applications."""

    def __init__(self, model: Any, old_X: pd.DataFrame, old_y: np.ndarray) -> None:
        self.model = model
        self.old_X = old_X
        self.old_y = old_y

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> OldScore:
        """Fit on the old rows."""
        self.model_ = clone(self.model).fit(self.old_X, self.old_y)
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Return the log-odds of these rows."""
        return logit(self.model_.predict_proba(X)[:, 1:])


class RememberingTrainer(Trainer):
    """Trains each network on the same rows only once per process."""

    known: ClassVar[dict[str, Any]] = {}

    def train(
        self,
        dataset: Any,
        sizes: Any,
        start: Any,
        *,
        teach: Any = None,
        users: Any = None,
        **how: Any,
    ) -> Any:
        """Call `Trainer.train`, or return its earlier result for the same arguments."""
        teacher = teach and getattr(teach.__self__.teacher, "estimator", "auto")
        params = self.params | {"base_estimator": None, "teacher": teacher, "old_data": None}
        weights = None
        if isinstance(start, PretrainedStart):
            weights = [value.cpu().numpy() for value in start.module.state_dict().values()]
        rows = (dataset.profile, dataset.behaviors, dataset.y, dataset.weight, users)
        key = joblib.hash((rows, params, weights, start.log_odds))
        if key not in self.known:
            how |= {"teach": teach, "users": users}
            self.known[key] = super().train(dataset, sizes, start, **how)
        return self.known[key]


class Remembering(HUIHENClassifier):
    """HUIHEN that trains its networks once for all base estimators.

    The base estimator does not affect the training of the networks, except as their teacher. So
    forms that differ only in it share the networks of a fold, and their scores are the same as if
    each had trained its own. This saves most of the time. The cache lasts as long as the process.
    """

    def _trainer(self) -> Trainer:
        return RememberingTrainer(self.get_params(deep=False), type(self).__name__)


def tuned(kind: str, model: Any, budget: Budget) -> Any:
    """Let a model choose one of the settings of its kind on a fifth of its training rows."""
    if budget.n_settings == 1:
        return model
    grid = [
        {name: [value] for name, value in setting.items()}
        for setting in SETTINGS[kind][: budget.n_settings]
    ]
    fifth = StratifiedShuffleSplit(1, test_size=0.2, random_state=SEED)
    return GridSearchCV(model, grid, scoring="roc_auc", cv=fifth, error_score="raise")


def trees(kind: str, budget: Budget) -> Any:
    """Return boosted trees, tuned and stopped early."""
    most, patience = budget.n_trees, budget.tree_patience
    if kind == "LightGBM":
        model: Any = LGBMClassifier(n_estimators=most, early_stopping_round=patience, **OF_LIGHTGBM)
    else:
        model = XGBClassifier(n_estimators=most, early_stopping_rounds=patience, **OF_XGBOOST)
    return tuned(kind, StoppedEarly(model), budget)


lightgbm = partial(trees, "LightGBM")
xgboost = partial(trees, "XGBoost")


def scorecard(budget: Budget) -> Any:
    """Return a scorecard on numeric features, without tuning."""
    return make_scorecard("passthrough")


def few_trees(budget: Budget) -> Any:
    """Return LightGBM with 150 trees, which needs no held-out rows for early stopping."""
    return LGBMClassifier(n_estimators=min(150, budget.n_trees), **OF_LIGHTGBM)


#: The training of all forms of HUIHEN in the tables: the default before `ONE_CYCLE`. `network` adds
#: the L2 penalty of then.
STOPPED_EARLY: dict[str, Any] = {
    "n_estimators": 1,
    "schedule": "constant",
    "lr": 1e-3,
    "early_stopping": True,
    "teacher": None,
    "guidance_weight": 1.0,
    "n_topics": 0,
    "dropout": 0.6,
    "weight_decay": 1e-3,
    "net_params": {"optimizer": torch.optim.Adam},
}
#: The current defaults.
DEFAULT: dict[str, Any] = {
    name: getattr(HUIHENClassifier(), name) for name in (*STOPPED_EARLY, "max_epochs", "batch_size")
}
#: The defaults before a teacher and topics became part of them.
ONE_CYCLE = DEFAULT | {"teacher": None, "n_topics": 0, "dropout": 0.6, "max_epochs": 15}


def network(case: Case, budget: Budget) -> HUIHENClassifier:
    """Return HUIHEN with the number of epochs and so on of the budget."""
    of_many_rows = min(1.0, 3_400 / len(case.y)) ** 2
    return Remembering(
        **STOPPED_EARLY | {"weight_decay": STOPPED_EARLY["weight_decay"] * of_many_rows},
        max_epochs=budget.n_epochs,
        n_iter_no_change=budget.patience,
        batch_size=budget.batch_size,
        random_state=SEED,
    )


def warm_started(
    old_teacher: str | None, case: Case, budget: Budget, /, **learning: Any
) -> HUIHENClassifier:
    """Return HUIHEN pre-trained on the old applications, if there are any."""
    if case.old is None:
        return network(case, budget).set_params(**learning)
    key = old_teacher, *sorted(learning.items())
    if key not in case.pretrained:
        model = network(case, budget).set_params(**learning)
        case.pretrained[key] = model.warm_start_from(*case.old, teacher=old_teacher, batch_size=256)
    return clone(case.pretrained[key])


def statistics(case: Case, *more: Any) -> Any:
    """Return the encoder of profile, window statistics and more, after a `BehaviorAbstractor`."""
    return make_union(ProfileEncoder(), WindowStatistics(case.windows, group_by="behavior"), *more)


def with_intervals(case: Case) -> Any:
    """Return the statistics and the intervals between behaviors."""
    cut = case.sessionizer
    return statistics(
        case,
        IntervalStatistics(group_by="behavior", session_gap=cut.session_gap, session=cut.session),
    )


def with_topics(case: Case) -> Any:
    """Return the statistics and the topics of the behaviors."""
    return statistics(case, BehaviorTopics(N_TOPICS, group_by="behavior"))


def with_expert(case: Case) -> Any:
    """Return the statistics and the expert's features; None if there are none."""
    return case.expert and statistics(case, case.expert())


def expert_alone(case: Case) -> Any:
    """Return the profile and the expert's features; None if there are none."""
    return case.expert and make_union(ProfileEncoder(), case.expert())


def trees_on(
    features: Callable[[Case], Any], make_model: Callable[[Budget], Any] = lightgbm
) -> Factory:
    """Define trees on features of events, to follow a `BehaviorAbstractor`."""

    def make(case: Case, budget: Budget) -> Any:
        made = features(case) if "behaviors" in case.X else None
        return None if made is None else make_pipeline(made, make_model(budget))

    return make


def both(case: Case, budget: Budget) -> Any:
    """Return the mean of trees and scorecard on windows and intervals."""
    members = [(name, make(case, budget)) for name, make in ON_EACH.items()]
    return None if members[0][1] is None else VotingClassifier(members, voting="soft")


def huihen(
    *,
    warm_start: bool = True,
    old_teacher: str | None = "xgboost",
    abstract: bool = True,
    merge: str = "auto",
    by: str | None = None,
    base: Factory | None = None,
    guide: Factory | None = None,
    **switches: Any,
) -> Factory:
    """Define HUIHEN, a form of it or an ablation; without old applications it starts cold.

    ``base`` is its base estimator, and ``guide`` its teacher in step two. Operations are merged by
    the named rules of the case. The contender applies only if all of these do.
    """

    def make(case: Case, budget: Budget) -> Any:
        of_warm_start = not warm_start or old_teacher is None
        if "behaviors" not in case.X or (of_warm_start and case.old is None):
            return None
        chosen = dict(switches)
        if "max_epochs" in chosen and budget.n_epochs < EPOCHS:
            chosen["max_epochs"] = budget.n_epochs
        learning = {name: value for name, value in chosen.items() if name in DEFAULT}
        if chosen.get("net_params"):  # of step two alone
            chosen["net_params"] = STOPPED_EARLY["net_params"] | learning.pop("net_params")
        if warm_start:
            model = warm_started(old_teacher, case, budget, **learning)
        else:
            model = network(case, budget).set_params(**learning)
        model.set_params(**chosen)
        for role, make_known in (("base_estimator", base), ("teacher", guide)):
            if make_known is not None:
                known = make_known(case, budget)
                if known is None:
                    return None
                model.set_params(**{role: known})
        rules = None if by is None else getattr(case, by)
        if by is not None and rules is None:
            return None
        front = [BehaviorAbstractor(rules, merge=merge)] if abstract else []
        model = tuned("HUIHEN", model, budget)
        return make_pipeline(*front, clone(case.sessionizer), model)

    return make


def on_sessions(**params: int) -> Factory:
    """Define HUIHEN with other limits on sessions."""

    def make(case: Case, budget: Budget) -> Any:
        if "behaviors" not in case.X:
            return None
        sessionizer = clone(case.sessionizer).set_params(**params)
        return ABLATIONS["HUIHEN"](replace(case, sessionizer=sessionizer), budget)

    return make


def of_profile(make_model: Callable[[Budget], Any]) -> Factory:
    """Define a model on the profile alone."""
    return lambda case, budget: make_pipeline(ProfileEncoder(), make_model(budget))


def logistic(budget: Budget) -> Any:
    """Return a logistic regression, the usual model of scorecards."""
    return tuned("logistic regression", LogisticRegression(max_iter=2000), budget)


def forest(budget: Budget) -> Any:
    """Return a random forest, which does not stop early."""
    n_trees = min(500, budget.n_trees)
    model = RandomForestClassifier(n_trees, min_samples_leaf=20, n_jobs=1, random_state=SEED)
    return tuned("random forest", model, budget)


def mlp(case: Case, budget: Budget) -> Any:
    """Return the profile's part of HUIHEN: field matrices and UPI layers."""
    drop = FunctionTransformer(
        pd.DataFrame.drop, kw_args={"columns": "behaviors", "errors": "ignore"}
    )
    return make_pipeline(drop, tuned("HUIHEN", network(case, budget), budget))


def of_events(make_trees: Factory) -> Factory:
    """Define trees on features of events as a contender, with a `BehaviorAbstractor`."""

    def make(case: Case, budget: Budget) -> Any:
        model = make_trees(case, budget)
        return None if model is None else make_pipeline(BehaviorAbstractor(), model)

    return make


def with_old_rows(make_new: Factory) -> Factory:
    """Define a contender that is also trained on the old applications."""

    def make(case: Case, budget: Budget) -> Any:
        if case.old is None:
            return None
        return WithOldRows(make_new(case, budget), *case.old)

    return make


def with_vectors(case: Case, budget: Budget) -> Any:
    """Return tuned trees on profile, window statistics and HUIHEN's vectors."""
    if "behaviors" not in case.X:
        return None
    of_sessions = make_pipeline(clone(case.sessionizer), warm_started("xgboost", case, budget))
    stack = WithVectors(of_sessions, statistics(case), lightgbm(budget))
    return make_pipeline(BehaviorAbstractor(), stack)


def told_trees(case: Case, budget: Budget) -> Any:
    """Return trees on the profile and the planted effects themselves."""
    if case.planted is None:
        return None
    return make_pipeline(make_union(ProfileEncoder(), Planted(case.planted)), lightgbm(budget))


def told_logistic(case: Case, budget: Budget) -> Any:
    """Return a logistic regression on the planted effects and a score fitted on the old rows."""
    if case.planted is None or case.old is None:
        return None
    score = OldScore(LIGHTGBM_PROFILE(case, budget), *case.old)
    return make_pipeline(make_union(score, Planted(case.planted)), logistic(budget))


#: The function that makes each contender, unfitted, for a case and a budget. It returns None if the
#: case does not have the data that the contender needs.
ABLATIONS: dict[str, Factory] = {
    "HUIHEN": huihen(),
    "HUIHEN, plain GRUs": huihen(
        net_params={"module__time_aware": False, "module__user_item_aware": False}
    ),
    "HUIHEN, no time-aware GRU": huihen(net_params={"module__time_aware": False}),
    "HUIHEN, no user-item-aware GRU": huihen(net_params={"module__user_item_aware": False}),
    "HUIHEN, no warm start": huihen(warm_start=False),
    "HUIHEN, no teacher": huihen(old_teacher=None),
    "HUIHEN, no sessions": huihen(net_params={"module__hierarchical": False}),
    "HUIHEN, no event numbers": huihen(event_numbers=None),
    "HUIHEN, no mean intention": huihen(net_params={"module__mean_intention": False}),
    "HUIHEN, the paper's form": huihen(
        event_numbers=None, net_params={"module__mean_intention": False}
    ),
    "HUIHEN, no field-aware matrices": huihen(net_params={"module__field_aware": False}),
    "HUIHEN, original operations": huihen(abstract=False),
    "HUIHEN, operations by frequency": huihen(merge="frequency"),
    "HUIHEN, true groups of operations": huihen(by="groups"),
}
ON_WINDOWS, ON_INTERVALS = trees_on(statistics), trees_on(with_intervals)
ON_OLD_TOO, ON_EXPERT = with_old_rows(ON_WINDOWS), trees_on(expert_alone, few_trees)
FEW_ON_WINDOWS, FEW_ON_TOPICS = (
    trees_on(features, few_trees) for features in (statistics, with_topics)
)
FEW_ON_INTERVALS = trees_on(with_intervals, few_trees)
ON_EACH = {"trees": FEW_ON_INTERVALS, "scorecard": trees_on(with_intervals, scorecard)}
#: The current default and the models that `learning.py` compares with it.
TODAY: dict[str, Factory] = {
    "HUIHEN, default": huihen(**DEFAULT),
    "HUIHEN, default, no teacher": huihen(**DEFAULT | {"teacher": None}),
    "HUIHEN, default, no topics": huihen(**DEFAULT | {"n_topics": 0}),
    "HUIHEN, default, single network": huihen(**DEFAULT | {"n_estimators": 1}),
    "HUIHEN, default, on LightGBM": huihen(base=FEW_ON_INTERVALS, **DEFAULT),
    "HUIHEN, default, on LightGBM and scorecard": huihen(base=both, **DEFAULT),
    "HUIHEN, default, by and on an expert's trees": huihen(
        base=ON_EXPERT, guide=ON_EXPERT, **DEFAULT
    ),
    "HUIHEN, default but ten networks, by and on an expert's trees": huihen(
        base=ON_EXPERT, guide=ON_EXPERT, **DEFAULT | {"n_estimators": 10}
    ),
    "HUIHEN, default, on LightGBM with topics, old and new": huihen(
        base=with_old_rows(FEW_ON_TOPICS), **DEFAULT
    ),
    "scorecard, profile + windows + intervals": of_events(ON_EACH["scorecard"]),
    "LightGBM, profile + windows + intervals, 150 trees": of_events(FEW_ON_INTERVALS),
    "LightGBM and scorecard, profile + windows + intervals": of_events(both),
}
#: Other forms of HUIHEN: other settings, and blends with other models.
FORMS: dict[str, Factory] = {
    "HUIHEN, one cycle": huihen(**ONE_CYCLE),
    "HUIHEN, one cycle, single network": huihen(**ONE_CYCLE | {"n_estimators": 1}),
    "HUIHEN, one cycle, on LightGBM with intervals": huihen(base=FEW_ON_INTERVALS, **ONE_CYCLE),
    "HUIHEN, weight_decay=0.001": huihen(weight_decay=1e-3),
    "HUIHEN, topics": huihen(n_topics=N_TOPICS),
    "HUIHEN, guided": huihen(guide=ON_INTERVALS),
    "HUIHEN on LightGBM": huihen(base=ON_WINDOWS),
    "HUIHEN on LightGBM with intervals": huihen(base=ON_INTERVALS),
    "HUIHEN, guided, on LightGBM with intervals": huihen(base=ON_INTERVALS, guide=ON_INTERVALS),
    "HUIHEN, five networks": huihen(n_estimators=5),
    "HUIHEN, five, on LightGBM": huihen(n_estimators=5, base=ON_WINDOWS),
    "HUIHEN, five, on LightGBM with intervals": huihen(n_estimators=5, base=ON_INTERVALS),
    "HUIHEN, five, on LightGBM, old and new": huihen(n_estimators=5, base=ON_OLD_TOO),
    "HUIHEN, five, on 150 trees, old and new": huihen(
        n_estimators=5, base=with_old_rows(FEW_ON_WINDOWS)
    ),
    "HUIHEN, five, topics, on 150 trees with topics, old and new": huihen(
        n_estimators=5, n_topics=N_TOPICS, base=with_old_rows(FEW_ON_TOPICS)
    ),
    "HUIHEN, five guided": huihen(n_estimators=5, guide=ON_INTERVALS),
    "HUIHEN, five guided, on LightGBM": huihen(n_estimators=5, base=ON_WINDOWS, guide=ON_INTERVALS),
    "HUIHEN, five guided, on LightGBM with intervals": huihen(
        n_estimators=5, base=ON_INTERVALS, guide=ON_INTERVALS
    ),
    "HUIHEN, five guided, on 150 trees of an expert": huihen(
        n_estimators=5, base=ON_EXPERT, guide=ON_INTERVALS
    ),
    "HUIHEN, five guided by and on 150 trees of an expert": huihen(
        n_estimators=5, base=ON_EXPERT, guide=ON_EXPERT
    ),
    "HUIHEN, five, topics, guided by and on 150 trees of an expert": huihen(
        n_estimators=5, n_topics=N_TOPICS, base=ON_EXPERT, guide=ON_EXPERT
    ),
}
#: The contender that each of these is blended with; its features come from the kept sessions only.
STANDS_ON = {
    name: "LightGBM, profile + " + known
    for name in FORMS
    for ending, known in {
        "LightGBM": "windows",
        "LightGBM with intervals": "windows + intervals",
        "LightGBM, old and new": "windows, old and new",
        "150 trees, old and new": "windows, old and new, 150 trees",
        "150 trees with topics, old and new": "windows + topics, old and new, 150 trees",
        "150 trees of an expert": "expert, 150 trees",
    }.items()
    if name.endswith(f" on {ending}")
}
#: The forms that score without trees, although some have trees as teachers.
WITHOUT_TREES = [name for name in FORMS if name not in STANDS_ON]
LIGHTGBM_PROFILE = of_profile(lightgbm)
BASELINES: dict[str, Factory] = {
    "XGBoost, profile": of_profile(xgboost),
    "logistic regression, profile": of_profile(logistic),
    "MLP, profile": mlp,
    "random forest, profile": of_profile(forest),
    "LightGBM, profile": LIGHTGBM_PROFILE,
}
#: Trees on vectors of HUIHEN.
STACKED = "LightGBM, profile + windows + HUIHEN"
LEFT_OUT: dict[str, Factory] = {
    "LightGBM, profile, old and new": with_old_rows(LIGHTGBM_PROFILE),
    "LightGBM, profile + windows": of_events(ON_WINDOWS),
    "LightGBM, profile + windows + intervals": of_events(ON_INTERVALS),
    "LightGBM, profile + windows + expert": of_events(trees_on(with_expert)),
    "LightGBM, profile + expert": of_events(trees_on(expert_alone)),
    "LightGBM, profile + expert, 150 trees": of_events(ON_EXPERT),
    "LightGBM, profile + windows, 150 trees": of_events(FEW_ON_WINDOWS),
    "LightGBM, profile + windows + topics, 150 trees": of_events(FEW_ON_TOPICS),
    "XGBoost, profile + windows": of_events(trees_on(statistics, xgboost)),
    "LightGBM, profile + windows, old and new": with_old_rows(of_events(ON_WINDOWS)),
    "LightGBM, profile + windows, old and new, 150 trees": with_old_rows(of_events(FEW_ON_WINDOWS)),
    "LightGBM, profile + windows + topics, old and new, 150 trees": with_old_rows(
        of_events(FEW_ON_TOPICS)
    ),
    STACKED: with_vectors,
}
#: Not contenders: models that know the planted effects. They show how close to the best possible
#: AUC a model can come with this number of labels.
TOLD: dict[str, Factory] = {
    "LightGBM, profile + planted terms": told_trees,
    "logistic regression, old score + planted terms": told_logistic,
}
CONTENDERS = ABLATIONS | FORMS | BASELINES | LEFT_OUT | TOLD
#: Contenders that need old applications or planted effects.
OF_OLD_APPLICATIONS = [
    *("HUIHEN, no warm start", "HUIHEN, no teacher"),
    *(name for name in CONTENDERS if "old and new" in name),
    *TOLD,
]
#: Contenders that equal HUIHEN if there are few rows.
OF_MANY_ROWS = ["HUIHEN, weight_decay=0.001"]
#: Contenders with features of an expert.
OF_EXPERT = [name for name in CONTENDERS if "expert" in name]
#: Forms with several networks, which take several times as long; UCI's table omits them.
OF_FIVE = [name for name in FORMS if "five" in name]
#: Contenders of banks A and B, where each takes long.
AT_BANKS = [
    "HUIHEN, weight_decay=0.001",
    "HUIHEN, topics",
    "HUIHEN, guided",
    "HUIHEN, five networks",
    "HUIHEN, five, on LightGBM, old and new",
    "HUIHEN, five, on 150 trees, old and new",
    "HUIHEN, five, topics, on 150 trees with topics, old and new",
]
#: Contenders of Tables 2 and 3; two ablations have their own tables.
OF_OTHER_TABLES = ["HUIHEN, original operations", "HUIHEN, no field-aware matrices"]
_OF_OTHERS = [*OF_OTHER_TABLES, *OF_EXPERT, *(set(FORMS) - set(AT_BANKS))]
TABLE_2 = [name for name in CONTENDERS if name not in _OF_OTHERS]


def kept(what: str, paper: int, values: Sequence[int]) -> dict[int, str]:
    """Name the contenders of a sweep; the number of the paper is HUIHEN itself."""
    return {n: "HUIHEN" if n == paper else f"HUIHEN, {n} {what}" for n in values}


#: Contenders of Figures 4 and 5.
BEHAVIORS_KEPT = kept("behaviors of a session", 25, (3, 6, 12, 25, 50))
SESSIONS_KEPT = kept("sessions", 50, (5, 10, 25, 50, 100))
SWEPT: dict[str, Factory] = {
    name: on_sessions(**{parameter: n})
    for parameter, names in (("max_behaviors", BEHAVIORS_KEPT), ("max_sessions", SESSIONS_KEPT))
    for n, name in names.items()
    if name != "HUIHEN"
}
#: Ways of merging operations, with a single network and the current training.
ONE_NETWORK = "HUIHEN, one cycle, single network"
_MERGED: dict[str, dict[str, Any]] = {
    ", original operations": {"abstract": False},
    ", operations by frequency": {"merge": "frequency"},
    ", former merging": {"by": "former"},
    ", true groups of operations": {"by": "groups"},
}
MERGED: dict[str, Factory] = {
    ONE_NETWORK + how: huihen(**params, **ONE_CYCLE | {"n_estimators": 1})
    for how, params in _MERGED.items()
}
EVERYTHING = CONTENDERS | SWEPT | TODAY | MERGED
