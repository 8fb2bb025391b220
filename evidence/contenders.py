"""What HUIHEN is compared with: one definition of each contender.

All have the same tuning budget and, where there is something to stop, stop early: a contender
tries as many settings as every other on a held-out fifth of its training rows, and whatever learns
in rounds holds out a tenth of its rows and stops where the AUC there no longer improves. Only those
of 150 trees, as their names say, hold nothing out and try one setting.

The paper's trees see the profile of the new applications alone. It leaves out what a bank could
set against HUIHEN with the same data: trees that also see the old applications, trees on window
statistics of the behaviors, and trees on top of HUIHEN's own vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import joblib
import numpy as np
import pandas as pd
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
from skhuihen._training.trainer import Trainer

SEED = 0
N_TOPICS = 10


class Budget(NamedTuple):
    """How long contenders may look for their best.

    Attributes
    ----------
    n_settings : int
        Settings that each contender tries, the first of `SETTINGS` for its kind.
    n_epochs, n_trees : int
        Most epochs of networks and most trees.
    patience, tree_patience : int
        Epochs and trees without improvement before stopping.
    batch_size : int
        Applications in one step of a network. Larger ones make epochs faster, the more so those
        of the long sequences without sessions.
    """

    n_settings: int = 3
    n_epochs: int = 200
    n_trees: int = 2000
    patience: int = 30
    batch_size: int = 64
    tree_patience: int = 30


@dataclass
class Case:
    """One data set, ready for all contenders.

    Attributes
    ----------
    X : DataFrame
        What `attach_behaviors` returns; without behaviors, only contenders of the profile apply.
    y : ndarray of int
    sessionizer : Sessionizer
        How its behaviors are cut into sessions.
    windows : sequence of str
        The windows of its statistics.
    old : tuple of DataFrame and ndarray, default=None
        Profiles and labels of old applications.
    probability : ndarray, default=None
        The true probabilities of a simulated bank.
    planted : DataFrame, default=None
        What behavior truly adds to the log-odds of a simulated bank, one column per mechanism.
    groups, former : DataFrame, default=None
        The true groups of the operations of a simulated bank, as rules of an abstractor; and those
        that merging found before names and use were weighed together.
    expert : callable, default=None
        Makes the transformer of what a domain expert would compute of the events.
    pretrained : dict
        Step one by teacher, so that contenders that differ in step two alone share it.
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

#: What each kind of model tries, as many settings for every kind; the first is its default.
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
    """Boosted trees that hold out a tenth of their rows to find out when to stop."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: np.ndarray, y: np.ndarray) -> StoppedEarly:
        """Fit on nine tenths, stop by the last."""
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
    """A model that sees the old applications beside the new ones, with empty histories."""

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

    A network's vectors of its own training rows know too much. So the rows are halved: trees learn
    on one half, from the vectors of a network that was fitted on the other, and the other way
    round. Each network keeps trees of its own, as the axes of two networks' vectors mean different
    things; the two probabilities are averaged.
    """

    def __init__(self, network: Any, features: Any, trees: Any) -> None:
        self.network = network
        self.features = features
        self.trees = trees

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> WithVectors:
        """Fit both networks, and the trees on top of each."""
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
    """What the simulator planted for each row, which no bank could know."""

    def __init__(self, terms: pd.DataFrame) -> None:
        self.terms = terms

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Planted:
        """Learn nothing."""
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Return the terms of these rows."""
        return self.terms.loc[X.index].to_numpy()


class OldScore(TransformerMixin, BaseEstimator):
    """The log-odds of a model of the profile that learned from the old applications."""

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
    """Trains the same networks on the same rows once in a process."""

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
        """Do what `Trainer.train` does, or return what it has done before."""
        teacher = teach and getattr(teach.__self__.teacher, "estimator", "auto")
        params = self.params | {"base_estimator": None, "teacher": teacher, "old_data": None}
        weights = None
        if isinstance(start, PretrainedStart):
            weights = [value.cpu().numpy() for value in start.module.state_dict().values()]
        rows = (dataset.profile, dataset.events, dataset.y, dataset.weight, users)
        key = joblib.hash((rows, params, weights, start.log_odds))
        if key not in self.known:
            how |= {"teach": teach, "users": users}
            self.known[key] = super().train(dataset, sizes, start, **how)
        return self.known[key]


class Remembering(HUIHENClassifier):
    """HUIHEN that trains its networks once, whatever model they come to stand on.

    A base model takes no part in the training of the networks, but as their teacher. So forms that
    differ in it alone share the networks of a fold, and score as if each had trained its own: what
    takes longest by far is not done again. It lasts as long as the process.
    """

    def _trainer(self) -> Trainer:
        return RememberingTrainer(self.get_params(deep=False), type(self).__name__)


def tuned(kind: str, model: Any, budget: Budget) -> Any:
    """Let a model choose among the settings of its kind on a fifth of its training rows."""
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
    """Return a scorecard of features that are numbers already, which nothing is tuned of."""
    return make_scorecard("passthrough")


def few_trees(budget: Budget) -> Any:
    """Return 150 trees of LightGBM, which need no held-out rows to stop by."""
    return LGBMClassifier(n_estimators=min(150, budget.n_trees), **OF_LIGHTGBM)


#: How all forms of HUIHEN in the tables were trained: it was the default before `ONE_CYCLE`.
STOPPED_EARLY: dict[str, Any] = {
    "n_estimators": 1,
    "schedule": "constant",
    "lr": 1e-3,
    "early_stopping": True,
    "teacher": None,
    "n_topics": 0,
}
#: The defaults of today.
DEFAULT: dict[str, Any] = {
    name: getattr(HUIHENClassifier(), name) for name in (*STOPPED_EARLY, "max_epochs", "batch_size")
}
#: Those before a teacher and topics were part of them.
ONE_CYCLE = DEFAULT | {"teacher": None, "n_topics": 0}


def network(budget: Budget) -> HUIHENClassifier:
    """Return HUIHEN as the budget lets it be trained."""
    return Remembering(
        **STOPPED_EARLY,
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
        return network(budget).set_params(**learning)
    key = old_teacher, *sorted(learning.items())
    if key not in case.pretrained:
        model = network(budget).set_params(**learning)
        case.pretrained[key] = model.warm_start_from(*case.old, teacher=old_teacher, batch_size=256)
    return clone(case.pretrained[key])


def statistics(case: Case, *more: Any) -> Any:
    """Return profile, window statistics and more as numbers, for behind a `BehaviorAbstractor`."""
    return make_union(ProfileEncoder(), WindowStatistics(case.windows, group_by="behavior"), *more)


def with_intervals(case: Case) -> Any:
    """Return the statistics and the times between behaviors."""
    cut = case.sessionizer
    return statistics(
        case,
        IntervalStatistics(group_by="behavior", session_gap=cut.session_gap, session=cut.session),
    )


def with_topics(case: Case) -> Any:
    """Return the statistics and what the behaviors are about."""
    return statistics(case, BehaviorTopics(N_TOPICS, group_by="behavior"))


def with_expert(case: Case) -> Any:
    """Return the statistics and what an expert adds, or None where there is none."""
    return case.expert and statistics(case, case.expert())


def expert_alone(case: Case) -> Any:
    """Return profile and what an expert adds, or None where there is none."""
    return case.expert and make_union(ProfileEncoder(), case.expert())


def trees_on(
    features: Callable[[Case], Any], make_model: Callable[[Budget], Any] = lightgbm
) -> Factory:
    """Define trees on features of events, for behind a `BehaviorAbstractor`."""

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
    """Define HUIHEN, a form or an ablation of it; cold where there are no old applications.

    It stands on its base, and in step two is taught by its guide; operations are merged by the
    rules of the case that are named. Where one of these does not apply, it does not either.
    """

    def make(case: Case, budget: Budget) -> Any:
        of_warm_start = not warm_start or old_teacher is None
        if "behaviors" not in case.X or (of_warm_start and case.old is None):
            return None
        chosen = dict(switches)
        if "max_epochs" in chosen:
            chosen["max_epochs"] = min(chosen["max_epochs"], budget.n_epochs)
        learning = {name: value for name, value in chosen.items() if name in DEFAULT}
        if warm_start:
            model = warm_started(old_teacher, case, budget, **learning)
        else:
            model = network(budget).set_params(**learning)
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
    """Define HUIHEN on sessions that are cut off elsewhere."""

    def make(case: Case, budget: Budget) -> Any:
        if "behaviors" not in case.X:
            return None
        sessionizer = clone(case.sessionizer).set_params(**params)
        return ABLATIONS["HUIHEN"](replace(case, sessionizer=sessionizer), budget)

    return make


def of_profile(make_model: Callable[[Budget], Any]) -> Factory:
    """Define a model of the profile alone."""
    return lambda case, budget: make_pipeline(ProfileEncoder(), make_model(budget))


def logistic(budget: Budget) -> Any:
    """Return a logistic regression, as scorecards are."""
    return tuned("logistic regression", LogisticRegression(max_iter=2000), budget)


def forest(budget: Budget) -> Any:
    """Return a random forest; nothing in it stops early."""
    n_trees = min(500, budget.n_trees)
    model = RandomForestClassifier(n_trees, min_samples_leaf=20, n_jobs=1, random_state=SEED)
    return tuned("random forest", model, budget)


def mlp(case: Case, budget: Budget) -> Any:
    """Return the profile's part of HUIHEN: field matrices and UPI layers."""
    drop = FunctionTransformer(
        pd.DataFrame.drop, kw_args={"columns": "behaviors", "errors": "ignore"}
    )
    return make_pipeline(drop, tuned("HUIHEN", network(budget), budget))


def of_events(make_trees: Factory) -> Factory:
    """Define trees on features of events, as a contender: behind a `BehaviorAbstractor`."""

    def make(case: Case, budget: Budget) -> Any:
        model = make_trees(case, budget)
        return None if model is None else make_pipeline(BehaviorAbstractor(), model)

    return make


def with_old_rows(make_new: Factory) -> Factory:
    """Define another contender that learns from the old applications too."""

    def make(case: Case, budget: Budget) -> Any:
        if case.old is None:
            return None
        return WithOldRows(make_new(case, budget), *case.old)

    return make


def with_vectors(case: Case, budget: Budget) -> Any:
    """Return trees on profile, window statistics and HUIHEN's vectors; the trees are tuned."""
    if "behaviors" not in case.X:
        return None
    of_sessions = make_pipeline(clone(case.sessionizer), warm_started("xgboost", case, budget))
    stack = WithVectors(of_sessions, statistics(case), lightgbm(budget))
    return make_pipeline(BehaviorAbstractor(), stack)


def told_trees(case: Case, budget: Budget) -> Any:
    """Return trees on the profile and the planted terms themselves."""
    if case.planted is None:
        return None
    return make_pipeline(make_union(ProfileEncoder(), Planted(case.planted)), lightgbm(budget))


def told_logistic(case: Case, budget: Budget) -> Any:
    """Return a logistic regression of the planted terms and a score of the old rows."""
    if case.planted is None or case.old is None:
        return None
    score = OldScore(LIGHTGBM_PROFILE(case, budget), *case.old)
    return make_pipeline(make_union(score, Planted(case.planted)), logistic(budget))


#: Name of each contender, and what makes it, unfitted, for a case and a budget; it makes None
#: where the case lacks what the contender is about.
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
#: Today's way of learning, which `learning.py` compares with what a risk team has.
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
    "HUIHEN, default, topics, on LightGBM with topics, old and new": huihen(
        base=with_old_rows(FEW_ON_TOPICS), **DEFAULT | {"n_topics": N_TOPICS}
    ),
    "scorecard, profile + windows + intervals": of_events(ON_EACH["scorecard"]),
    "LightGBM, profile + windows + intervals, 150 trees": of_events(FEW_ON_INTERVALS),
    "LightGBM and scorecard, profile + windows + intervals": of_events(both),
}
#: Other forms of HUIHEN: what it can be set to, and how it stands on a model that is there.
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
#: The contender that each of those stands on; its features here are of the kept sessions alone.
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
#: The forms that score without trees, though some learned from them.
WITHOUT_TREES = [name for name in FORMS if name not in STANDS_ON]
LIGHTGBM_PROFILE = of_profile(lightgbm)
BASELINES: dict[str, Factory] = {
    "XGBoost, profile": of_profile(xgboost),
    "logistic regression, profile": of_profile(logistic),
    "MLP, profile": mlp,
    "random forest, profile": of_profile(forest),
    "LightGBM, profile": LIGHTGBM_PROFILE,
}
#: What stands on HUIHEN.
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
#: No contenders, but how near the best possible AUC labels alone let a model come that is told
#: what the simulator planted.
TOLD: dict[str, Factory] = {
    "LightGBM, profile + planted terms": told_trees,
    "logistic regression, old score + planted terms": told_logistic,
}
CONTENDERS = ABLATIONS | FORMS | BASELINES | LEFT_OUT | TOLD
#: Those that are about old applications, or what a simulator planted.
OF_OLD_APPLICATIONS = [
    *("HUIHEN, no warm start", "HUIHEN, no teacher"),
    *(name for name in CONTENDERS if "old and new" in name),
    *TOLD,
]
#: Those that are HUIHEN itself where rows are few.
OF_MANY_ROWS = ["HUIHEN, weight_decay=0.001"]
#: Those that are about what an expert adds.
OF_EXPERT = [name for name in CONTENDERS if "expert" in name]
#: Forms of several networks take several times as long; UCI's table does without.
OF_FIVE = [name for name in FORMS if "five" in name]
#: Those of banks A and B, where each takes long.
AT_BANKS = [
    "HUIHEN, weight_decay=0.001",
    "HUIHEN, topics",
    "HUIHEN, guided",
    "HUIHEN, five networks",
    "HUIHEN, five, on LightGBM, old and new",
    "HUIHEN, five, on 150 trees, old and new",
    "HUIHEN, five, topics, on 150 trees with topics, old and new",
]
#: Those of Tables 2 and 3; two ablations have tables of their own.
OF_OTHER_TABLES = ["HUIHEN, original operations", "HUIHEN, no field-aware matrices"]
_OF_OTHERS = [*OF_OTHER_TABLES, *OF_EXPERT, *(set(FORMS) - set(AT_BANKS))]
TABLE_2 = [name for name in CONTENDERS if name not in _OF_OTHERS]


def kept(what: str, paper: int, values: Sequence[int]) -> dict[int, str]:
    """Name the contenders of a sweep by what is kept; at the paper's number it is HUIHEN itself."""
    return {n: "HUIHEN" if n == paper else f"HUIHEN, {n} {what}" for n in values}


#: Those of Figures 4 and 5.
BEHAVIORS_KEPT = kept("behaviors of a session", 25, (3, 6, 12, 25, 50))
SESSIONS_KEPT = kept("sessions", 50, (5, 10, 25, 50, 100))
SWEPT: dict[str, Factory] = {
    name: on_sessions(**{parameter: n})
    for parameter, names in (("max_behaviors", BEHAVIORS_KEPT), ("max_sessions", SESSIONS_KEPT))
    for n, name in names.items()
    if name != "HUIHEN"
}
#: Ways of merging operations, as today's networks are trained, but one alone.
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
