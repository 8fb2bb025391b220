r"""Does it pay to learn from behaviors before there are labels? The paper's future work, measured.

Each repetition simulates a bank: applications with a label, users without one, and further
applications whose true probabilities are known. The metric is the expected AUC of these, so labels
add no noise. `evidence/pretrained.py` is trained on the histories of the users without a label and
of the applications to learn from. Then each model learns from as many labels as named. Compared
are forms of HUIHEN and of LightGBM with the same rows. "Behaviors known" means that vocabulary,
topics and scales are learned from all these histories, but no weight of the network is: the
difference to it is what pre-trained weights add. "Tuned" networks start from the pre-trained
weights, and "frozen" ones keep them. "With vectors" means that LightGBM sees the pre-trained
vectors beside profile, windows, intervals and topics. "On LightGBM" is HUIHEN with these trees as
its base estimator. "With calendar" means that the trees see four columns by hand: shares of events
by third of the month and on weekends. Nothing is tuned.

A run that was stopped goes on where it was.

    python evidence/pretraining.py --output docs/evidence/pretraining
    python evidence/pretraining.py --output docs/evidence/pretraining \
        --page docs/pretraining_measured.md --repetitions 0
    python evidence/pretraining.py --output quick --small

The defaults are small. With hours of time, and 60 GB of memory for the last:

    python evidence/pretraining.py --output full --networks 5 --sizes 500 2000 10000 26602 \
        --max-sessions 200 --unlabelled 0 100000 500000 --width 30 64
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from contenders import DEFAULT, N_TOPICS, OF_LIGHTGBM
from lightgbm import LGBMClassifier
from measure import commit_of_code, read_results
from numpy.typing import NDArray
from pretrained import FineTuned, Pretrained, Vectors, learn_behaviors, pretrain
from scipy.special import expit, logit
from scipy.stats import t as student
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import NAMES, UNKNOWN, markdown
from tqdm.auto import tqdm

from skhuihen import (
    BehaviorAbstractor,
    BehaviorTopics,
    HUIHENClassifier,
    IntervalStatistics,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen._companions.blending import Blend
from skhuihen._encoding.event_numbers import USUAL as USUAL_NUMBERS
from skhuihen._events.as_of import read_as_of
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import corrected_resampled_ttest, expected_auc

PLAIN, KNOWN = "HUIHEN, default", "HUIHEN, behaviors known"
TREES, TREES_KNOWN = "LightGBM", "LightGBM, behaviors known"
#: Further columns of the trees: by hand, and pre-trained.
CALENDAR, VECTORS = ", with calendar", ", with vectors"
BOTH = ", with calendar and vectors"
ON_TREES = "HUIHEN on LightGBM"
#: Names of what was pre-trained, and the losses of each.
TRAINED = {"contrast": ("contrast",), "next": ("next",), "both": ("contrast", "next")}
#: The rate of the pre-trained weights, in multiples of that of new ones.
RATES = {"tuned": 1.0, "tuned slowly": 0.1, "frozen": 0.0, "tuned and taught": 1.0}
ARMS = {
    **dict.fromkeys((TREES, TREES_KNOWN, PLAIN, KNOWN), ""),
    **{f"HUIHEN, {how}, {loss}": loss for loss in TRAINED for how in RATES},
    **{f"LightGBM{how}, {loss}": loss for loss in TRAINED for how in (VECTORS, BOTH)},
    **dict.fromkeys((TREES + CALENDAR, ON_TREES, ON_TREES + CALENDAR), ""),
    **{f"{ON_TREES}{how}, {loss}": loss for loss in TRAINED for how in (VECTORS, BOTH)},
}
#: The usual arms. "Next" was behind the contrast in its only repetition, with LightGBM at 500
#: labels; "both" was never measured; slow and frozen weights gained less than tuned ones.
USUAL = [
    *(TREES, TREES_KNOWN, TREES + CALENDAR, PLAIN, KNOWN, ON_TREES, ON_TREES + CALENDAR),
    *(f"{model}{how}, contrast" for model in (TREES, ON_TREES) for how in (VECTORS, BOTH)),
    "HUIHEN, tuned, contrast",
]


def without(arm: str) -> str:
    """Return the same model without pre-trained weights, with which an arm is compared."""
    if arm.startswith("HUIHEN, "):
        return KNOWN
    model = ON_TREES if arm.startswith(ON_TREES) else TREES_KNOWN
    return model.partition(",")[0] + CALENDAR if BOTH in arm else model


WITHOUT = {arm: without(arm) for arm in ARMS}
SETTINGS = ["bank", "rate", "max_sessions", "unlabelled", "epochs", "width", "networks", "constant"]
KEYS = [*SETTINGS, "size", "repetition", "arm"]
DAYS = ("2D", "21D", "60D")
#: Folds of the public lenders, and the neighbors of a history.
FOLDS, N_NEIGHBORS = 5, 10
LENDERS = ("superlender", "bpic2012", "uci")


#: The overdue rates of Table 1 of the paper.
RATES_OF_BANKS = {"A": 1402 / 26602, "B": 734 / 12765}


class Setting(NamedTuple):
    """A simulated bank."""

    bank: str
    rate: float
    max_sessions: int
    unlabelled: int
    epochs: int
    width: int
    networks: int
    constant: bool


class Calendar(TransformerMixin, BaseEstimator):
    """When in the month and in the week a history has its events, as columns made by hand.

    The shares of its events on the days 1 to 10, 11 to 20 and 21 to 31 of a month, and on
    Saturdays and Sundays; NaN for an empty history.
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> Calendar:
        """Learn nothing."""
        return self

    def transform(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the four shares of the events before each application."""
        behaviors = read_as_of(X, "behaviors", "applied_at", by_session=False).behaviors
        time = pd.DatetimeIndex(behaviors.times().view("datetime64[us]"))
        third = np.minimum((time.day - 1) // 10, 2)
        kinds = [*(third == number for number in range(3)), time.day_of_week >= 5]
        n_events = behaviors.lengths.astype(float)
        n_events[n_events == 0] = np.nan
        counts = [np.bincount(behaviors.rows, kind, len(X)) for kind in kinds]
        return np.stack(counts, axis=1) / n_events[:, None]


class Columns(TransformerMixin, BaseEstimator):
    """Columns that were computed before, by the index of the rows."""

    def __init__(self, table: NDArray[np.float64]) -> None:
        self.table = table

    def fit(self, X: pd.DataFrame, y: Any = None) -> Columns:
        """Learn nothing."""
        return self

    def transform(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the columns of these rows."""
        return self.table[X.index]


class Sharing(FineTuned):
    """Networks that are trained once for all base estimators, which do not change them."""

    def share(self, trained: list[Any]) -> Sharing:
        """Set where the trained networks are kept; they are trained if it is empty."""
        self.trained = trained
        return self

    def _trainer(self) -> Any:
        trainer = super()._trainer()
        train = trainer.train

        def once(*args: Any, **how: Any) -> Any:
            if not self.trained:
                self.trained.append(train(*args, **how))
            return self.trained[0]

        trainer.train = once
        return trainer


def parts_of(arm: str) -> tuple[str, ...]:
    """Return the arms whose scores a HUIHEN on trees blends; none for another arm."""
    if not arm.startswith(ON_TREES):
        return ()
    return (TREES_KNOWN if arm == ON_TREES else arm.replace(ON_TREES, TREES)), KNOWN


def make_trees() -> LGBMClassifier:
    """Return the trees of all arms."""
    return LGBMClassifier(n_estimators=150, **OF_LIGHTGBM)


class Bank:
    """One simulated bank, prepared for all arms.

    Parameters
    ----------
    setting : Setting
    n_train, n_test : int
        Applications to learn from, and to score.
    seed : int
    """

    def __init__(self, setting: Setting, n_train: int, n_test: int, seed: int) -> None:
        data = make_loan_data(
            n_train + n_test,
            0,
            bank=setting.bank,
            overdue_rate=setting.rate,
            max_sessions=setting.max_sessions,
            n_unlabelled=setting.unlabelled,
            random_state=seed,
        )
        order = np.random.default_rng(seed).permutation(n_train + n_test)
        self.setting, self.seed = setting, seed
        self.n_train = n_train
        self.y, self.probability = data.y[order], data.probability[order]
        self.effects = data.effects.iloc[order].reset_index(drop=True)
        rows = data.applications.iloc[order].reset_index(drop=True)
        events = data.events
        if setting.constant:
            # A number of each user, the same in all events, such as the price of the phone.
            prices = np.exp(np.random.default_rng(seed).normal(6, 1, events["user_id"].max() + 1))
            events = events.assign(phone=prices[events["user_id"]])
        new = attach_behaviors(rows, events, known_at="recorded_at")
        names = ["applied_at", "behaviors"]
        known = new.loc[: n_train - 1, names]
        if setting.unlabelled:
            others = attach_behaviors(
                data.unlabelled[["user_id", "applied_at"]], events, known_at="recorded_at"
            )
            known = pd.concat([others[names], known], ignore_index=True)
        # All arms merge operations alike, so the gain of merging them by more histories is none of
        # pre-training.
        abstractor = BehaviorAbstractor().fit(known)
        self.X = abstractor.transform(new)
        self.sessions = Sessionizer().transform(self.X)
        self.histories = Sessionizer().transform(abstractor.transform(known))
        self.days: Sequence[str] = DAYS
        self._remember()

    @property
    def best(self) -> float:
        """The best possible expected AUC of the test rows."""
        return round(expected_auc(self.probability[self.n_train :]), 6)

    def _remember(self) -> None:
        self._trained: dict[str, Pretrained] = {}
        self._vectors: dict[str, np.ndarray] = {}
        self._networks: dict[int, list[Any]] = {}
        self._scores: dict[tuple[str, int], np.ndarray] = {}
        self._spent: dict[tuple[str, int], float] = {}
        self._statistics: dict[int, list[Any]] = {}

    @cached_property
    def encoder(self) -> Any:
        """What is learned from behaviors without training a network."""
        return learn_behaviors(self.histories, self._network().get_params(deep=False))

    def trained(self, loss: str) -> Pretrained:
        """Return the pre-trained network of a loss."""
        if loss not in self._trained:
            self._trained[loss] = pretrain(
                self.histories,
                losses=TRAINED[loss],
                width=self.setting.width,
                max_epochs=self.setting.epochs,
                random_state=self.seed,
                encoder=self.encoder,
            )
        return self._trained[loss]

    def vectors(self, loss: str) -> np.ndarray:
        """Return the pre-trained vectors of all applications."""
        if loss not in self._vectors:
            self._vectors[loss] = Vectors(self.trained(loss)).transform(self.sessions)
        return self._vectors[loss]

    def _network(self) -> Sharing:
        sizes = dict.fromkeys(("module__intention_dim", "module__habit_dim"), self.setting.width)
        params = DEFAULT | {"n_estimators": self.setting.networks, "net_params": sizes}
        if self.setting.constant:
            params |= {"event_numbers": (*USUAL_NUMBERS, "phone")}
        return Sharing(**params, random_state=self.seed).share([])

    def score(self, arm: str, size: int) -> np.ndarray:
        """Return the scores of the test rows by an arm that learns from the first rows."""
        if arm.startswith("HUIHEN"):
            model: Any = self._network()
            if arm == PLAIN:
                model = HUIHENClassifier(**model.get_params(deep=False))
            elif arm == KNOWN or arm.startswith(ON_TREES):
                model.use(self.encoder).share(self._networks.setdefault(size, []))
            else:
                how = arm.split(", ")[1]
                model.use(
                    self.encoder, self.trained(ARMS[arm]).module, RATES[how], teach="taught" in how
                )
            if arm.startswith(ON_TREES) and self.setting.networks == 1:
                return self._blended(arm, size)
            if arm.startswith(ON_TREES):
                trees = make_pipeline(Columns(self._columns(arm, size)), make_trees())
                model.set_params(base_estimator=trees)
            model.fit(self.sessions[:size], self.y[:size])
            return model.predict_proba(self.sessions[self.n_train :])[:, 1]
        table = self._columns(arm, size)
        trees = make_trees().fit(table[:size], self.y[:size])
        return trees.predict_proba(table[self.n_train :])[:, 1]

    def _blended(self, arm: str, size: int) -> np.ndarray:
        """Return what HUIHEN of one network on trees gives, from the scores of the two.

        A single network holds out no rows, so the weights of the two are fixed beforehand.
        """
        parts = [logit(self._scored(name, size)) for name in parts_of(arm)]
        return expit(Blend.before_data().log_odds(*parts))

    def _scored(self, arm: str, size: int) -> np.ndarray:
        if (arm, size) not in self._scores:
            started = time.process_time()
            self._scores[arm, size] = self.score(arm, size)
            self._spent[arm, size] = time.process_time() - started
        return self._scores[arm, size]

    def _columns(self, arm: str, size: int) -> NDArray[np.float64]:
        """Return what the trees of an arm see of all applications."""
        if size not in self._statistics:
            parts = [
                *(ProfileEncoder(), WindowStatistics(self.days, group_by="behavior")),
                IntervalStatistics(group_by="behavior"),
            ]
            self._statistics[size] = [self._fitted(part, size) for part in parts]
        columns = list(self._statistics[size])
        if arm == TREES:
            columns.append(self._fitted(BehaviorTopics(N_TOPICS, group_by="behavior"), size))
        else:
            columns.append(self.encoder.encode(self.encoder.read(self.sessions)).topics)
        if CALENDAR in arm:
            columns.append(Calendar().transform(self.X))
        if ARMS[arm]:
            columns.append(self.vectors(ARMS[arm]))
        return np.hstack([np.asarray(part, dtype=np.float64) for part in columns])

    def _fitted(self, part: Any, size: int) -> Any:
        part.set_output(transform="default").fit(self.X[:size])
        return part.transform(self.X)

    def measure(self, arm: str, size: int) -> dict[str, Any]:
        """Return the result of an arm."""
        score, spent = self.timed(arm, size)
        truth = self.probability[self.n_train :]
        return {
            "expected_auc": round(expected_auc(truth, score), 6),
            "best_auc": self.best,
            "seconds": round(spent, 1),
            "pretraining_seconds": round(self.seconds(arm), 1),
        }

    def seconds(self, arm: str) -> float:
        """Return the seconds of the pre-training of an arm."""
        return self.trained(ARMS[arm]).seconds if ARMS[arm] else 0.0

    def timed(self, arm: str, size: int) -> tuple[np.ndarray, float]:
        """Return the scores of an arm, and the seconds without those of pre-training."""
        if ARMS[arm]:
            self.vectors(ARMS[arm])
        elif arm not in (TREES, PLAIN):
            _ = self.encoder
        # What was computed for another arm costs this one as much.
        before = sum(self._spent.get((part, size), 0.0) for part in parts_of(arm))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few rows call for many
            score = self._scored(arm, size)
        return score, self._spent[arm, size] + before


# --------------------------------------------------------------------------------------------------
# What the vectors know of the planted mechanisms.

PLANTED = ["impulsive", "hesitant", "month_end", "habit"]
#: How much appetite for risk weighs in the effect of the habit, by the credit applied for.
MATTERS = {"cash": 1.5, "installment": 0.7, "salary_advance": -0.7}


def probe(bank: Bank, columns: np.ndarray) -> dict[str, float]:
    """Return how well a ridge regression on columns tells each mechanism, as R2 on the test rows.

    The mechanisms are known only to the simulator, so no label is used.
    """
    truth = bank.effects[["impulsive", "hesitant", "month_end"]].copy()
    truth["habit"] = bank.effects["habit"] / bank.X["item__product"].map(MATTERS).to_numpy()
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 4, 11)))
    found = {}
    for name in truth:
        model.fit(columns[: bank.n_train], truth[name][: bank.n_train])
        found[name] = round(model.score(columns[bank.n_train :], truth[name][bank.n_train :]), 3)
    return found


def probes(bank: Bank, losses: list[str]) -> pd.DataFrame:
    """Return the R2 of each kind of columns."""
    windows = WindowStatistics(DAYS, group_by="behavior").set_output(transform="default")
    sets = {
        "window statistics": np.nan_to_num(np.asarray(windows.fit_transform(bank.X), float)),
        "calendar columns": np.nan_to_num(Calendar().transform(bank.X)),
        "topics": bank.encoder.encode(bank.encoder.read(bank.sessions)).topics,
        **{f"vectors, {loss}": bank.vectors(loss) for loss in losses},
    }
    rows = {name: probe(bank, columns) for name, columns in sets.items() if columns.shape[1]}
    return pd.DataFrame.from_dict(rows, orient="index")


# --------------------------------------------------------------------------------------------------
# The table and the page.


def spread(values: pd.Series, form: str) -> str:
    """Return mean and standard deviation over repetitions as text."""
    known = values.dropna()
    if len(known) < 2:
        return f"{known.mean():{form}}" if len(known) else ""
    return f"{known.mean():{form}} ± {known.std(ddof=1):.4f}"


def interval(gain: pd.Series) -> str:
    """Return a mean with its 95% interval of the t distribution; a single value has none."""
    if len(gain) < 2:
        return f"{gain.mean():+.4f}"
    half = student.ppf(0.975, len(gain) - 1) * gain.sem()
    return f"{gain.mean():+.4f} ({gain.mean() - half:+.4f} to {gain.mean() + half:+.4f})"


def refuse_twice(found: pd.DataFrame, keys: Sequence[str]) -> None:
    """Raise if there are two results of one kind, which a mean would hide."""
    if found.duplicated(keys).any():
        raise ValueError(f"Two results have the same {_listed([*keys])}.")


def called(arm: str, networks: int) -> str:
    """Return the name of an arm on the page; the default has another number of networks."""
    if arm != PLAIN:
        return arm
    return "HUIHEN, one network" if networks == 1 else f"HUIHEN, {networks} networks"


def compare(of: pd.DataFrame) -> pd.DataFrame:
    """Return the comparisons of the pre-trained arms of one setting and number of labels.

    Returns
    -------
    DataFrame, one row per pre-trained arm
        `gain` (over the same model without the weights) and `overall` (over the best model without
        them), both by repetition, and `best`, the name of that model.
    """
    auc = of.pivot_table("expected_auc", "repetition", "arm")
    rows = {}
    for arm in [name for name in ARMS if ARMS[name] and name in auc and WITHOUT[name] in auc]:
        measured = auc[auc[arm].notna()]
        others = [name for name in measured if not ARMS[name] and measured[name].notna().all()]
        if not others:
            continue
        best = measured[others].mean().idxmax()
        rows[arm] = {
            "gain": (auc[arm] - auc[WITHOUT[arm]]).dropna(),
            "best": best,
            "overall": measured[arm] - measured[best],
        }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["gain", "best", "overall"])


def up(gain: pd.Series) -> str:
    """Return in how many repetitions there was a gain."""
    return f"{(gain > 0).sum()} of {len(gain)}"


def tell(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each bank, number of labels and arm: AUC, gains and seconds."""
    refuse_twice(results, KEYS)
    rows = []
    for keys, of in results.groupby([*SETTINGS, "size"], dropna=False, sort=True):
        about = dict(zip([*SETTINGS, "size"], keys, strict=True))
        auc = of.pivot_table("expected_auc", "repetition", "arm")
        comparisons = compare(of)
        for arm in [name for name in ARMS if name in auc]:
            mine = of[of["arm"] == arm]
            row = {
                "bank": _bank(about),
                "histories without a label": f"{about['unlabelled']:,}",
                "epochs": about["epochs"],
                "width": about["width"],
                "networks": about["networks"],
                "constant field": "yes" if about["constant"] else "no",
                "labels": f"{about['size']:,}",
                "arm": called(arm, about["networks"]),
                "repetitions": auc[arm].notna().sum(),
                "expected AUC": spread(auc[arm], ".4f"),
                **dict.fromkeys(("gain by the weights", "up in", "over the best without"), ""),
                "compared with": "",
                "seconds": _median(mine["seconds"]),
                "of pre-training": _median(mine["pretraining_seconds"]) if ARMS[arm] else "",
                "commit": ", ".join(sorted(mine["commit"].fillna(UNKNOWN).unique())),
            }
            if arm in comparisons.index:
                gain, best, overall = comparisons.loc[arm]
                row |= {"gain by the weights": interval(gain), "up in": up(gain)}
                row |= {"over the best without": interval(overall)}
                row |= {"compared with": called(best, about["networks"])}
            rows.append(row)
    table = pd.DataFrame(rows).astype(str)
    columns = ("width", "networks", "constant field", "commit")
    return table.drop(columns=[name for name in columns if len(table[name].unique()) == 1])


def _median(seconds: pd.Series) -> str:
    return "not measured" if seconds.isna().all() else f"{seconds.median():.0f}"


HEAD = """\
# Learning before labels, measured

Written by `evidence/pretraining.py`; do not edit by hand. The paper's future work asks whether the
behaviors of users without a label are of use. `evidence/pretrained.py` trains the part of the
network that reads behaviors (embeddings, time-aware GRU, habit GRU) on them, without a label, in
two ways. "Next" predicts the next behavior of a session, the interval before it and its amount,
and the behaviors of the next session. "Contrast" learns which two parts of a history are of one
user, as CoLES does. Each history is read up to its own time (`applied_at`).

The banks are simulated, with all mechanisms (`make_loan_data(n_unlabelled=...)`); a user has at
most {max_sessions} visits before the application. The metric is the expected AUC of applications
whose true probabilities are known. Each repetition simulates a bank of its own. Applications are
split, not users: in the first repetition of bank A at 5.3% overdue, 77 of the 3,000 test rows are
of users who are also among the 2,000 training rows.

{networks}

* "HUIHEN, one network" learns nothing from histories without a label but which operations are
  alike.
* "Behaviors known": vocabulary, topics and scales of numbers are learned from all histories, but no
  weight of the network. All arms merge operations alike, by all histories, with and without a
  label: what that merging gains is no part of any difference here.
* "Tuned", "tuned slowly", "frozen": the networks start from the pre-trained weights, which have the
  learning rate of the others, a tenth of it, or none. With "taught", the trees that teach the
  networks see the pre-trained vectors too.
* "With vectors": LightGBM sees profile, windows, intervals, topics and the pre-trained vectors
  (intention, habit and mean intention). "HUIHEN on LightGBM" has these trees as its base
  estimator; its networks are those with "behaviors known".
* "With calendar": LightGBM sees four more columns, made by hand: the shares of events on the days 1
  to 10, 11 to 20 and 21 to 31 of a month, and on weekends. The windows of the other rows had no
  column of the calendar when they were measured; `WindowStatistics` has the parts of the month now.
* "Gain by the weights" is the difference to the same model without the weights, and "over the best
  without" the difference to the best of all models without them, chosen on these rows and named
  under "compared with". A model that lacks one of the repetitions of a row cannot be that best one,
  so rows of one setting may be compared with different models. Both are on the same rows, as mean
  over repetitions with the 95% interval of the t distribution; one repetition has no interval. AUC
  has the standard deviation after ±. Seconds are processor time, the median over the repetitions
  in which they were measured.
* The column "commit" has the code that measured a row. A difference between rows of different
  commits may come from a change of the code.
"""
#: The gain of the expected AUC from which pre-training would be worth a public name, and labels.
WORTH, LABELS = 0.005, 2000
#: The form that a bank would use, named before it was measured.
NAMED = f"{ON_TREES}{VECTORS}, contrast"
#: Fewer repetitions decide nothing.
ENOUGH = 3
#: The commit that made AdamW the default, and those of the results from before it.
ADAM_W = "cfc3f3330"
FORMER = {"49f7c77ae", "7d2a0f9a4", "4729f06d1+", "7aeef89fe", "cbeb9fc2f", "466b83f75"}


def _bank(about: dict[str, Any]) -> str:
    constant = ", with a constant field" if about["constant"] else ""
    return f"Bank {about['bank']}, {about['rate']:.1%} overdue{constant}"


def _name(arm: str) -> str:
    return f'"{arm}"'


def verdict(results: pd.DataFrame) -> str:
    """Say whether an arm gains enough at the number of labels that decides."""
    texts, reached = [], []
    for keys, of in results[results["size"] == LABELS].groupby(SETTINGS):
        about = dict(zip(SETTINGS, keys, strict=True))
        comparisons = compare(of)
        if comparisons.empty:
            continue
        told = [
            f"{_name(arm)} {interval(gain)}, in {up(gain)} repetitions up"
            for arm, gain in comparisons["gain"].items()
        ]
        # Arms that were measured on one repetition must not win by it.
        n_repetitions = comparisons["overall"].map(len)
        full = comparisons[n_repetitions == n_repetitions.max()]
        leader = full["overall"].map(np.mean).idxmax()
        lines = []
        for arm, how in ((NAMED, "named beforehand"), (leader, "the best on these rows")):
            if arm not in comparisons.index or (arm == NAMED == leader and lines):
                continue
            _, best, overall = comparisons.loc[arm]
            is_reached = bool(overall.mean() >= WORTH)
            if len(overall) >= ENOUGH:
                reached.append(is_reached)
            lines.append(
                f"{_name(arm)} ({how}) is at {interval(overall)} over the best model without "
                f"pre-training, {_name(called(best, about['networks']))}, in {up(overall)} "
                f"repetitions up, which {'reaches' if is_reached else 'misses'} {WORTH}."
            )
        texts.append(
            f"* **{_bank(about)}, {about['unlabelled']:,} histories without a label, "
            f"{about['epochs']} epochs.** Gain by the weights: {'; '.join(told)}. {' '.join(lines)}"
        )
    n_reached = sum(reached)
    texts.append(
        f"\nOf the comparisons with at least {ENOUGH} repetitions, {n_reached} of {len(reached)} "
        f"reach {WORTH} over the best model without pre-training."
    )
    return "\n".join(texts)


def cost_text(results: pd.DataFrame) -> str:
    """Say what pre-training costs beside the models that it is for."""
    texts = []
    for keys, of in results[results["size"] == LABELS].groupby(SETTINGS):
        about = dict(zip(SETTINGS, keys, strict=True))
        of_contrast = of[of["arm"].str.endswith("contrast")]
        trees, network = (of.loc[of["arm"] == arm, "seconds"] for arm in (TREES_KNOWN, KNOWN))
        if of_contrast.empty or trees.empty or network.empty:
            continue
        texts.append(
            f"* **{_bank(about)}, {about['unlabelled']:,} histories, {about['epochs']} epochs, "
            f"width {about['width']}.** Pre-training takes "
            f"{of_contrast['pretraining_seconds'].median():.0f} s, LightGBM on {LABELS:,} labels "
            f"{trees.median():.0f} s, and HUIHEN with {about['networks']} network "
            f"{network.median():.0f} s."
        )
    return "\n".join(texts)


def calendar_text(results: pd.DataFrame) -> str:
    """Say how much of the gain of the vectors is left beside columns made by hand."""
    texts = []
    arms = [f"{TREES}{how}, contrast" for how in (VECTORS, BOTH)]
    for keys, of in results[results["size"] == LABELS].groupby(SETTINGS):
        about = dict(zip(SETTINGS, keys, strict=True))
        auc = of.pivot_table("expected_auc", "repetition", "arm")
        if not {*arms, TREES_KNOWN, TREES + CALENDAR} <= set(auc):
            continue
        auc = auc[[*arms, TREES_KNOWN, TREES + CALENDAR]].dropna()
        alone, beside = auc[arms[0]] - auc[TREES_KNOWN], auc[arms[1]] - auc[TREES + CALENDAR]
        by_hand = auc[TREES + CALENDAR] - auc[TREES_KNOWN]
        texts.append(
            f"* **{_bank(about)}, {about['unlabelled']:,} histories.** The four columns by hand "
            f"give the trees {interval(by_hand)}, in {up(by_hand)} repetitions up. The "
            f"vectors give them {interval(alone)}, in {up(alone)} up; beside the four "
            f"columns, {interval(beside)}, in {up(beside)} up."
        )
    return "\n".join(texts)


def tell_probes(found: pd.DataFrame) -> pd.DataFrame:
    """Return the R2 of each kind of columns by bank, whose kinds can be compared."""
    rows = []
    for keys, of in found.groupby(SETTINGS):
        about = dict(zip(SETTINGS, keys, strict=True))
        for name, mine in of.groupby("columns", sort=False):
            row = {
                "bank": _bank(about),
                "histories without a label": f"{about['unlabelled']:,}",
                "epochs": str(about["epochs"]),
                "columns": name,
                "repetitions": str(len(mine)),
            }
            rows.append(row | {kind: f"{mine[kind].mean():.2f}" for kind in PLANTED})
    return pd.DataFrame(rows).set_index("bank")


def tell_networks(results: pd.DataFrame) -> str:
    """Say what the networks of these rows are, and how one is blended with trees."""
    who = "All networks" if set(results["commit"]) <= FORMER else f"Networks from before {ADAM_W}"
    numbers = sorted(results["networks"].unique())
    text = (
        f"{who} have the former optimizer, Adam with an L2 penalty of 0.001; AdamW became the "
        f"default with {ADAM_W}. Those from before 81e4cc2ee have a dropout of 0.6 and a guidance "
        "weight of 1, which are 0.4 and 3 now. Each HUIHEN has "
        f"{_listed([str(n) for n in numbers], 'or')} network{'' if numbers == [1] else 's'} (the "
        "default has 5)"
    )
    if 1 in numbers:
        blend = Blend.before_data()
        text += (
            ". One network is blended with LightGBM by weights that are fixed beforehand, "
            f"{blend.base} for the trees and {blend.network} for the network"
        )
    return fill(f"{text}.", 100)


def tell_folds(found: pd.DataFrame) -> pd.DataFrame:
    """Return AUC and gain by the weights on the public lenders, with the corrected t test."""
    setting = ["data", "rows", "epochs", "networks"]
    refuse_twice(found, [*setting, "repetition", "fold", "arm"])
    rows = []
    for (data, n, *_), of in found.groupby(setting):
        auc = of.pivot_table("auc", ["repetition", "fold"], "arm")
        for arm in [name for name in ARMS if name in auc]:
            mine = of[of["arm"] == arm]
            row = {
                "data": NAMES[data],
                "applications": f"{n:,}",
                "arm": arm,
                "folds": len(mine),
                "AUC": spread(mine["auc"], ".4f"),
                **dict.fromkeys(("gain by the weights", "95% interval", "p"), ""),
                "seconds": f"{mine['seconds'].mean():.0f}",
                "of pre-training": f"{mine['pretraining_seconds'].mean():.0f}" if ARMS[arm] else "",
            }
            pair = auc.reindex(columns=[arm, WITHOUT[arm]]).dropna() if ARMS[arm] else []
            if len(pair) > 1:
                test = corrected_resampled_ttest(*pair.to_numpy().T, test_size=1 / FOLDS)
                row["gain by the weights"] = f"{test.difference:+.4f}"
                row["95% interval"] = f"{test.low:+.4f} to {test.high:+.4f}"
                row["p"] = f"{test.pvalue:.2f}"
            rows.append(row)
    return pd.DataFrame(rows).astype(str).set_index("data")


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of results as text."""
    return table.map(lambda value: f"{value:,}" if isinstance(value, int) else str(value))


def write_page(folder: Path, page: Path) -> None:
    """Write the page from the results of a folder."""

    def read(name: str, **how: Any) -> pd.DataFrame | None:
        path = folder / f"{name}.csv"
        return pd.read_csv(path, **how) if path.exists() else None

    results = read_results(folder / "pretraining.csv")
    found = read("probes")
    visits = _listed([f"{n:,}" for n in sorted(results["max_sessions"].unique())], "or")
    parts = [
        HEAD.format(max_sessions=visits, networks=tell_networks(results)).rstrip(),
        f"## At {LABELS:,} labels",
        f"The bar for a recommended path, a gain of {WORTH} here, was set before measuring. That "
        "the gain counts over the best model without pre-training on the same rows was decided "
        "after the first results: a weaker model that gains as much over itself is not worth "
        "recommending.",
        verdict(results),
        "## What is left beside a calendar made by hand",
        calendar_text(results),
        "## What it costs",
        "Seconds of the processor, the median of all repetitions:",
        cost_text(results),
        "## All measurements",
        markdown(tell(results).set_index("bank")),
    ]
    if found is not None:
        parts += [
            "## What the vectors know",
            "How well a ridge regression tells the planted mechanisms of a held-out application "
            "from these columns, without any label (R2, mean over repetitions). For the habit, it "
            "is the appetite for risk behind it. Only columns of the same bank can be compared.",
            markdown(tell_probes(found)),
        ]
    neighbors, clusters = read("neighbors", index_col=0), read("clusters", index_col=0)
    if neighbors is not None and clusters is not None:
        about = neighbors[["histories", "epochs"]].iloc[0]
        parts += [
            FOR_ANALYSTS.format(**about, neighbors=N_NEIGHBORS, clusters=len(clusters)).rstrip(),
            markdown(as_text(clusters)),
            "How well the mean of the nearest neighbors tells a figure of a history (correlation):",
            markdown(as_text(neighbors.drop(columns=["histories", "epochs", "commit"]))),
        ]
    folds, mechanics = read("own_rows"), read("mechanics", index_col=0)
    if folds is not None or mechanics is not None:
        parts.append("## Real data")
    if folds is not None:
        parts += [
            "Public lenders have no history without a label, so the networks are pre-trained on "
            f"the training rows of each fold. AUC over {FOLDS} folds; interval and p are those of "
            "the corrected resampled t test on the same folds.",
            markdown(tell_folds(folds)),
        ]
    if mechanics is not None:
        parts += [
            "`cmb2020` has behaviors of a bank's customers in two months and no label, so it only "
            "shows that the code runs on them and how long it takes: mean loss of the first and "
            f"the last epoch, with `--epochs {mechanics['epochs'].max()}`. A loss of training "
            "that falls does not tell whether what is learned is of use. A contrast that knows "
            "nothing has a loss of about ln 128 = 4.85 in batches of 128 histories.",
            markdown(as_text(mechanics.drop(columns="commit"))),
        ]
    speed = folder / "speed.md"
    if speed.exists():
        parts.append(speed.read_text().rstrip())
    told = {"lacking": lacking(results, folds), "conclusion": conclude(results)}
    parts.append(CLOSING.format(**told).rstrip())
    page.write_text("\n\n".join(parts) + "\n")


FOR_ANALYSTS = """\
## For the analyst: who behaves alike

The vectors of {histories:,} histories of a simulated bank A, after {epochs} epochs of contrast on
all its histories: {clusters} clusters of k-means, and the {neighbors} nearest neighbors of each
history. No label is used (`evidence/pretraining_neighbors.py`). Histories without a visit, or with
visits of a single event, are left out, because not all figures are known of them. The clusters
separate the shortest histories from the others and little else. The neighbors are of more use: they
hint at when in the month and in the week a user comes (the last two correlations below), of which
neighbors in window statistics tell next to nothing. All else they tell worse than those.

![Histories placed by their vectors, and what their neighbors tell](images/pretraining.png)

The medians of each cluster:
"""

CLOSING = """\
## What this shows, and what it does not

The contrast finds what distinguishes users for months, such as how late in the month they use the
app. Simulated users are constant in exactly a few such traits, so a real bank may gain less. A
trait that is known is better made a column by hand: it costs nothing, and the tables above show
what the vectors add beside it. Which products a user views is not in the vectors; topics have it
without pre-training.

Tried and dropped: "next", which was behind the contrast in its only repetition, with LightGBM at
500 labels; weights that are tuned slowly or frozen, and trees with vectors as teachers, which
gained nothing on average; tuning the networks, whose gain has 0 in its interval. Both losses
together ("both") were never measured.

The mechanics work. Histories are read from Parquet in buffers; in one buffer, the weights are
exactly those of a table in memory. A run that was killed goes on after its last epoch, to the same
weights. Nothing at or after the time of a history is seen, in memory or from Parquet.
`tests/test_pretraining.py` has a test of each. The memory that this takes was not measured.

These runs are small: visits, histories, repetitions and the number of networks are far below those
of a bank. A difference whose interval has 0 inside may be chance; so may others, because there are
many and no interval is widened for that. A difference of one repetition has no interval and decides
nothing. Not measured, for lack of processor time: {lacking}. The docstring of
`evidence/pretraining.py` has the command for full size.

{conclusion}
"""


def lacking(results: pd.DataFrame, folds: pd.DataFrame | None) -> str:
    """Name what was to be measured and was not."""
    wanted = {
        "labels": ("size", (500, 2000, 10_000, 26_602)),
        "histories without a label": ("unlabelled", (0, 100_000, 500_000)),
        "as the width of the vectors": ("width", (30, 64, 128, 256)),
        "networks": ("networks", (1, 5)),
    }
    texts = []
    for name, (column, values) in wanted.items():
        missing = [f"{value:,}" for value in values if value not in set(results[column])]
        if missing:
            texts.append(f"{_listed(missing)} {name}")
    if not results["constant"].any():
        texts.append("a field that is constant for a user")
    measured = set() if folds is None else set(folds["data"])
    lenders = [NAMES[name] for name in LENDERS if name not in measured]
    return "; ".join([*texts, *([f"the rows of {_listed(lenders)}"] if lenders else [])])


def _listed(names: list[str], word: str = "and") -> str:
    *before, last = names
    return f"{', '.join(before)} {word} {last}" if before else last


def conclude(results: pd.DataFrame) -> str:
    """Say on which banks the bar was reached, missed or not measured often enough."""
    banks: dict[str, list[str]] = {"reaches": [], "misses": [], "not measured": []}
    for keys, of in results[results["size"] == LABELS].groupby(SETTINGS):
        about = dict(zip(SETTINGS, keys, strict=True))
        comparisons = compare(of)
        gain = comparisons["overall"].get(NAMED, pd.Series(dtype=float))
        name = f"{_bank(about)}, {about['unlabelled']:,} histories"
        if len(gain) < ENOUGH:
            banks["not measured"].append(f"{name} ({len(gain)} of {ENOUGH})")
        else:
            how = "reaches" if gain.mean() >= WORTH else "misses"
            banks[how].append(f"{name}: {interval(gain)}, {len(gain)} repetitions")
    bar = f"{WORTH} over the best model without pre-training with {LABELS:,} labels"
    told = [
        f"{how} {bar} at {'; '.join(banks[how])}" for how in ("reaches", "misses") if banks[how]
    ]
    text = (
        f"**Verdict.** {_name(NAMED)}, the form named beforehand, "
        f"{'. It '.join(told) or f'has no verdict: whether it gains {bar} is not measured'}."
    )
    if banks["not measured"]:
        text += f" It lacks repetitions at {'; '.join(banks['not measured'])}."
    if banks["reaches"] and not banks["misses"]:
        return f"{text} So it deserves a public name."
    return f"{text} Pre-training is an experiment in `evidence/` and has no public name."


def main() -> None:
    """Measure what is lacking, write ``pretraining.csv``, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("demo_output/pretraining"), help="folder of results")
    add("--page", type=Path, help="write the page there")
    add("--bank", nargs="+", choices=("A", "B"), default=["A", "B"])
    add("--rate", type=float, help="overdue rate; default: that of the bank")
    add("--max-sessions", type=int, default=20, help="visits of a user before the application")
    add("--unlabelled", nargs="+", type=int, default=[10_000], help="histories without a label")
    add("--width", nargs="+", type=int, default=[30], help="of intention and habit")
    add("--networks", type=int, default=1, help="of HUIHEN, whose default is 5")
    add("--sizes", nargs="+", type=int, default=[500, 2000], help="numbers of labels")
    add("--arms", nargs="+", choices=list(ARMS), default=USUAL)
    add("--repetitions", type=int, default=3)
    add("--test", type=int, default=3000, help="applications to score")
    add("--epochs", type=int, default=4, help="of pre-training")
    add("--constant", action="store_true", help="give the events a number constant for each user")
    add("--small", action="store_true", help="sizes that take seconds and mean nothing")
    arguments = parser.parse_args()
    if arguments.small:
        small = {"bank": ["A"], "max_sessions": 4, "unlabelled": [150], "sizes": [80]}
        small |= {"rate": 0.3, "repetitions": 1, "test": 60, "epochs": 1}
        vars(arguments).update(small)
    arguments.output.mkdir(parents=True, exist_ok=True)
    measure(arguments)
    results = read_results(arguments.output / "pretraining.csv")
    print(markdown(tell(results).set_index("bank")))
    if arguments.page is not None:
        write_page(arguments.output, arguments.page)


def measure(arguments: argparse.Namespace) -> None:
    """Measure the missing results, repetition by repetition, so that a run may be stopped."""
    path, of_probes = (arguments.output / f"{n}.csv" for n in ("pretraining", "probes"))
    results = read_results(path) if path.exists() else pd.DataFrame(columns=KEYS)
    commit = commit_of_code()
    known = {tuple(map(str, key)) for key in results[KEYS].itertuples(index=False)}
    for repetition, name, unlabelled, width in product(
        range(arguments.repetitions), arguments.bank, arguments.unlabelled, arguments.width
    ):
        rate = arguments.rate or round(RATES_OF_BANKS[name], 4)
        setting = Setting(
            *(name, rate, arguments.max_sessions, unlabelled),
            *(arguments.epochs, width, arguments.networks, arguments.constant),
        )
        jobs = [
            (size, arm)
            for arm in arguments.arms
            for size in sorted(arguments.sizes)
            if tuple(map(str, (*setting, size, repetition, arm))) not in known
        ]
        # They are written after the last job, so a run that was stopped may lack them.
        losses = sorted({ARMS[arm] for arm in arguments.arms if ARMS[arm]})
        lacks = lacks_probes(of_probes, setting, repetition, losses)
        if not jobs and not lacks:
            continue
        bank = Bank(setting, max(arguments.sizes), arguments.test, repetition)
        refuse_others(bank, rows_of(results, setting, repetition))
        for size, arm in tqdm(jobs, f"bank {name}, repetition {repetition}", unit="fit"):
            key = dict(zip(KEYS, (*setting, size, repetition, arm), strict=True))
            line = pd.DataFrame([key | bank.measure(arm, size) | {"commit": commit}])
            results = line if results.empty else pd.concat([results, line])
            results.sort_values(KEYS, kind="stable").to_csv(path, index=False)
        if lacks:
            found = probes(bank, losses).assign(**setting._asdict(), repetition=repetition)
            found = found.rename_axis("columns").reset_index()
            if of_probes.exists():
                found = pd.concat([pd.read_csv(of_probes), found])
                found = found.drop_duplicates(["columns", *SETTINGS, "repetition"], keep="last")
            found.to_csv(of_probes, index=False)


def rows_of(results: pd.DataFrame, setting: Setting, repetition: int) -> pd.DataFrame:
    """Return the rows of one simulated bank."""
    about = results[[*SETTINGS, "repetition"]].astype(str)
    return results[(about == [*map(str, setting), str(repetition)]).all(axis=1)]


def lacks_probes(path: Path, setting: Setting, repetition: int, losses: list[str]) -> bool:
    """Return whether a simulated bank lacks a probe; topics may have no column, so no probe."""
    if not path.exists():
        return True
    known = set(rows_of(pd.read_csv(path), setting, repetition)["columns"])
    return not {"calendar columns", *(f"vectors, {loss}" for loss in losses)} <= known


def refuse_others(bank: Bank, rows: pd.DataFrame) -> None:
    """Exit if the rows that are there are of other applications, which could not be compared."""
    if not rows.empty and not np.allclose(rows["best_auc"], bank.best, rtol=0, atol=1e-9):
        raise SystemExit(
            f"The results of bank {bank.setting.bank}, seed {bank.seed}, are of other test rows: "
            "--test, the largest of --sizes or the simulator differ. Use another folder."
        )


if __name__ == "__main__":
    main()
