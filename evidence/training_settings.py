r"""Settings of the training, each compared with the former default on the same folds and seeds.

One network learns from each fold, or several with ``--networks``; dropout is 0.6 and the weight of
the guidance 1, as in the former default, there are 15 epochs, and all else is the default. The
settings differ in how the network is trained: optimizer, weight decay, clipping of gradients,
averages of the weights, rate, epochs, batch size, dropout, weight of the guidance and the vectors
at the start. A teacher does not depend on them, so it is fitted once for each fold. The folds are
not those of the other tables.
With ``--mechanisms`` the data are banks where a single kind of behavior determines the risk, and
the settings are those that might help the network to find it. With ``--large`` the data are whole,
and the settings are the numbers of epochs.

A run that was stopped goes on where it was.

    python evidence/training_settings.py --output docs/evidence/training
    python evidence/training_settings.py --output docs/evidence/training --networks 5 --folds 2
    python evidence/training_settings.py --output docs/evidence/training --large --folds 1
    python evidence/training_settings.py --output docs/evidence/training --mechanisms --folds 1
    python evidence/training_settings.py --output docs/evidence/training --folds 0 \
        --page docs/training_measured.md
    python evidence/training_settings.py --output quick --small

The schedule-free optimizer is measured only where the package ``schedulefree`` is installed.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from contenders import DEFAULT, Case
from measure import DATA, commit_of_code, read_results
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback, GradientNormClipping
from tables import NAMES, UNKNOWN, markdown
from torch.utils.data import Sampler
from tqdm.auto import tqdm

from skhuihen import BehaviorAbstractor, HUIHENClassifier
from skhuihen._training.trainer import FEWEST_ROWS, ROWS_FOR_EACH, usual_epochs
from skhuihen.metrics import expected_auc

#: Folds of a split, and its seed; other tables use seed 0.
N_SPLITS, SPLIT_SEED = 3, 11
PLAIN = "dropout 0.6, guidance 1"
#: The former default, which the settings are compared with.
FORMER: dict[str, Any] = {"dropout": 0.6, "guidance_weight": 1.0, "max_epochs": 15}
#: The optimizer of the default before that: its weight decay is an L2 penalty.
ADAM: dict[str, Any] = {"optimizer": torch.optim.Adam, "optimizer__fused": True}
#: Averages of the weights over the last steps of the default; they cost no training of their own.
EMA, SWA = "exponential average of the weights, last tenth", "average of the weights, last third"
AVERAGES = (EMA, SWA)
KEYS = ["data", "rows", "fold", "setting"]
#: Rows of each data set. None is all of them.
ROWS = {"superlender": None, "bpic2012": None, "uci": 4000, "bank_a_small": 2000}
#: Whole data sets, for the number of epochs.
LARGE = dict.fromkeys(("bank_a", "bank_b", "bank_a_quarter", "uci"))
#: Rows of the banks with a single kind of behavior, and of the setting with more rows.
OF_MECHANISMS, MORE = 3000, 6000
MECHANISMS = ("impulsive", "hesitant", "month_end", "habit")
#: A setting is a candidate for the default if it gains as much, on as many data sets.
WORTH, ON_SETS = 0.002, 3


# --------------------------------------------------------------------------------------------------
# What skorch does not have.


class Averages(Callback):
    """Keep the averages of the weights over the last steps."""

    def on_train_begin(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Count the steps to come."""
        self._n_steps = net.max_epochs * math.ceil(len(X) / net.batch_size)
        self._step = 0
        self.found: dict[str, dict[str, torch.Tensor]] = {}

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Move the averages towards the new weights."""
        self._step += 1
        of_third = self._step - self._n_steps * 2 // 3
        shares = {EMA: min(1.0, 10 / self._n_steps)}
        if of_third > 0:
            shares[SWA] = 1 / of_third
        for name, share in shares.items():
            new = {key: value.detach() for key, value in net.module_.named_parameters()}
            if name not in self.found:
                self.found[name] = {key: value.clone() for key, value in new.items()}
            for key, value in self.found[name].items():
                value.lerp_(new[key], share)


class ScheduleFree(Callback):
    """Switch a schedule-free optimizer to training and back."""

    def on_train_begin(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Begin; the rate rises in a tenth of the steps."""
        n_steps = net.max_epochs * math.ceil(len(X) / net.batch_size)
        (group,) = net.optimizer_.param_groups
        group["warmup_steps"] = n_steps // 10
        net.optimizer_.train()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Put the averaged weights into the network."""
        net.optimizer_.eval()


class Spread(Callback):
    """Multiply the vectors of behaviors or of days before training.

    Parameters
    ----------
    factor : float
    parts : sequence of str
        Embeddings of the network.
    smooth : bool, default=False
        Whether the vectors of near days of the month are alike.
    """

    def __init__(self, factor: float, parts: Sequence[str], smooth: bool = False) -> None:
        self.factor = factor
        self.parts = parts
        self.smooth = smooth

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Change the vectors."""
        with torch.no_grad():
            for part in self.parts:
                for name, vectors in getattr(net.module_, part).named_parameters():
                    if self.smooth and name == "monthday":
                        day = torch.arange(float(len(vectors)))
                        near = torch.exp(-(((day[:, None] - day) / 5) ** 2) / 2)
                        before = vectors.std()
                        vectors.copy_(near @ vectors)
                        vectors.mul_(before / vectors.std())
                    vectors.mul_(self.factor)


class ShortFirst(Sampler):
    """Draw applications with short histories first, and all after a third of the epochs.

    Each epoch has equally many rows, so the schedule stays the same.

    Parameters
    ----------
    length : ndarray of shape (n_applications,)
    n_epochs : int
    """

    def __init__(self, length: np.ndarray, n_epochs: int) -> None:
        self.order = np.argsort(length, kind="stable")
        self.n_epochs = n_epochs
        self.epoch = 0
        self.random = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[int]:
        share = min(1.0, (1 + 2 * self.epoch / (self.n_epochs / 3)) / 3)
        self.epoch += 1
        few = self.order[: math.ceil(share * len(self))]
        times = math.ceil(len(self) / len(few))
        drawn = np.concatenate([self.random.permutation(few) for _ in range(times)])
        return iter(drawn[: len(self)].tolist())


class Curriculum(Callback):
    """Train with `ShortFirst`."""

    def on_train_begin(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Put the sampler into the net."""
        length = getattr(X, "dataset", X).behaviors.n_sessions
        # skorch's `set_params` accepts no new parameter once the net is initialized.
        net.iterator_train__shuffle = False
        net.iterator_train__sampler = ShortFirst(length, net.max_epochs)


# --------------------------------------------------------------------------------------------------
# The settings.


class Setting(NamedTuple):
    """What differs from the former default.

    Attributes
    ----------
    params : mapping of str to object
        Parameters of `HUIHENClassifier`.
    callbacks : callable
        Returns new callbacks.
    rows : int, default=None
        Another number of rows.
    """

    params: Mapping[str, Any] = {}
    callbacks: Callable[[], list[Any]] = list
    rows: int | None = None


def schedule_free(share: float) -> Setting:
    """Return the schedule-free AdamW with a share of the peak as its rate."""
    from schedulefree import AdamWScheduleFree

    params = {"schedule": "constant", "lr": share * DEFAULT["lr"]}
    return Setting(
        params | {"net_params": {"optimizer": AdamWScheduleFree}}, lambda: [ScheduleFree()]
    )


def batches(size: int) -> Setting:
    """Return another batch size, with a rate that changes with its square root."""
    share = math.sqrt(size / DEFAULT["batch_size"])
    return Setting({"batch_size": size, "lr": share * DEFAULT["lr"]})


def vectors_at(factor: float) -> Setting:
    """Return another rate for the vectors of behaviors and days."""
    rates = [("*_embedding.*", {"lr": factor * DEFAULT["lr"]})]
    return Setting({"net_params": {"optimizer__param_groups": rates}})


def spread(factor: float, *parts: str, smooth: bool = False) -> Setting:
    """Return another spread of vectors at the start."""
    return Setting(callbacks=lambda: [Spread(factor, parts, smooth)])


_BEHAVIORS, _DAYS = "behavior_embedding", "period_embedding"
#: What helps to find behavior late in the month; it must harm nothing else.
ALIKE = "vectors of near days alike, x 10"
SETTINGS: dict[str, Setting] = {
    PLAIN: Setting(callbacks=lambda: [Averages()]),
    "Adam, penalty 0.001": Setting({"weight_decay": 1e-3, "net_params": ADAM}),
    "no decay": Setting({"weight_decay": 0.0}),
    "decay 0.03": Setting({"weight_decay": 0.03}),
    "decay 0.3": Setting({"weight_decay": 0.3}),
    "guidance 2": Setting({"guidance_weight": 2.0}),
    "guidance 3": Setting({"guidance_weight": 3.0}),
    "guidance 10": Setting({"guidance_weight": 10.0}),
    "guidance 1/3": Setting({"guidance_weight": 1 / 3}),
    "no dropout": Setting({"dropout": 0.0}),
    "dropout 0.4": Setting({"dropout": 0.4}),
    "no dropout, guidance 3": Setting({"dropout": 0.0, "guidance_weight": 3.0}),
    "dropout 0.2, guidance 3": Setting({"dropout": 0.2, "guidance_weight": 3.0}),
    "dropout 0.4, guidance 3": Setting({"dropout": 0.4, "guidance_weight": 3.0}),
    "dropout 0.4, guidance 10": Setting({"dropout": 0.4, "guidance_weight": 10.0}),
    "dropout 0.4, guidance 3, peak rate x 2": Setting(
        {"dropout": 0.4, "guidance_weight": 3.0, "lr": DEFAULT["lr"] * 2}
    ),
    "dropout 0.8": Setting({"dropout": 0.8}),
    "30 epochs": Setting({"max_epochs": 30}),
    "8 epochs": Setting({"max_epochs": 8}),
    "peak rate / 3": Setting({"lr": DEFAULT["lr"] / 3}),
    "peak rate x 2": Setting({"lr": DEFAULT["lr"] * 2}),
    "peak rate x 2, guidance 3": Setting({"lr": DEFAULT["lr"] * 2, "guidance_weight": 3.0}),
    "batches of 32": batches(32),
    "batches of 64": batches(64),
    "batches of 256": batches(256),
    "gradient norm at most 1": Setting(callbacks=lambda: [GradientNormClipping(1.0)]),
    "gradient norm at most 0.25": Setting(callbacks=lambda: [GradientNormClipping(0.25)]),
    ALIKE: spread(10, _DAYS, smooth=True),
}
#: The schedule-free AdamW, by its share of the peak rate.
FREE = {"schedule-free, rate of the peak": 1, "schedule-free, peak / 3": 1 / 3}
if find_spec("schedulefree"):
    SETTINGS |= {name: schedule_free(share) for name, share in FREE.items()}
#: The dropout and the guidance of the default, with several numbers of epochs.
NEW = "dropout 0.4, guidance 3"
PASSES: dict[str, Setting] = {PLAIN: Setting()} | {
    f"{NEW}, {n} epochs": Setting({**SETTINGS[NEW].params, "max_epochs": n}) for n in (15, 8, 5, 3)
}
TAUGHT = "with the teacher"
#: All but one are without the teacher, because it may know what the network does not find.
CURES: dict[str, Setting] = {
    PLAIN: Setting(),
    TAUGHT: Setting({"teacher": "auto"}),
    "30 epochs": Setting({"max_epochs": 30}),
    "60 epochs": Setting({"max_epochs": 60}),
    "all vectors x 3 at the start": spread(3, _BEHAVIORS, _DAYS),
    "all vectors x 10 at the start": spread(10, _BEHAVIORS, _DAYS),
    "vectors of days x 10 at the start": spread(10, _DAYS),
    "vectors of near days alike": spread(1, _DAYS, smooth=True),
    ALIKE: SETTINGS[ALIKE],
    "rate of vectors x 3": vectors_at(3),
    "rate of vectors x 10": vectors_at(10),
    "short histories first": Setting(callbacks=lambda: [Curriculum()]),
    "no topics": Setting({"n_topics": 0}),
    "no mean intention": Setting({"net_params": {"module__mean_intention": False}}),
    "6,000 rows": Setting(rows=MORE),
}


# --------------------------------------------------------------------------------------------------
# Measuring.


class Remembered:
    """A teacher that judges the same rows only once.

    Parameters
    ----------
    teacher : Teacher
    """

    def __init__(self, teacher: Any) -> None:
        self.teacher = teacher
        self.must_learn = teacher.must_learn
        self.weigh = teacher.weigh
        self.known: dict[Any, np.ndarray] = {}

    def judge(self, train: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """See `skhuihen._companions.teachers.Teacher`."""
        key = train.tobytes(), rows.tobytes()
        if key not in self.known:
            self.known[key] = self.teacher.judge(train, rows)
        return self.known[key]


class Sharing(HUIHENClassifier):
    """HUIHEN with the teacher of the last one that learned from the same rows."""

    of_fold: dict[str, Any]

    def _find_teacher(self, *args: Any) -> Any:
        if self.teacher is None:
            return None
        if "teacher" not in self.of_fold:
            found = super()._find_teacher(*args)
            self.of_fold["teacher"] = None if found is None else Remembered(found)
        return self.of_fold["teacher"]


class Fold:
    """One fold of a data set, prepared for all settings.

    Parameters
    ----------
    case : Case
    number : int
        Number of the fold, which is also the seed of the network.
    **params
        Parameters of all settings.
    """

    def __init__(self, case: Case, number: int, **params: Any) -> None:
        splitter = RepeatedStratifiedKFold(
            n_splits=N_SPLITS, n_repeats=number // N_SPLITS + 1, random_state=SPLIT_SEED
        )
        train, test = list(splitter.split(case.X, case.y))[number]
        front = make_pipeline(BehaviorAbstractor(), clone(case.sessionizer))
        self.X, self.y = front.fit_transform(case.X.iloc[train]), case.y[train]
        self.of_test, self.label = front.transform(case.X.iloc[test]), case.y[test]
        self.truth = None if case.probability is None else case.probability[test]
        self.params = FORMER | {"n_estimators": 1, "random_state": number, **params}
        self._known: dict[str, Any] = {}

    def _auc(self, model: HUIHENClassifier) -> float:
        score = model.predict_proba(self.of_test)[:, 1]
        if self.truth is not None:
            return float(expected_auc(self.truth, score))
        return float(roc_auc_score(self.label, score))

    @property
    def best(self) -> float:
        """The best possible AUC; NaN if it is not known."""
        return float("nan") if self.truth is None else float(expected_auc(self.truth))

    def measure(self, name: str, setting: Setting) -> list[dict[str, Any]]:
        """Return the AUC of a setting, and those of the averages of its weights."""
        model = Sharing(**self.params | dict(setting.params), callbacks=setting.callbacks())
        model.of_fold = self._known
        model.fit(self.X, self.y)
        rows = [{"setting": name, "auc": self._auc(model)}]
        # Several networks share a callback, which would end with the averages of the last one.
        for callback in model.callbacks if model.n_estimators == 1 else []:
            for average, weights in getattr(callback, "found", {}).items():
                model.net_.module_.load_state_dict(weights, strict=False)
                rows.append({"setting": average, "auc": self._auc(model)})
        n_rare = int(np.bincount(self.y).min())
        about = {"best": self.best, "n_train": len(self.y), "n_rare": n_rare}
        return [row | about for row in rows]


def measure(
    path: Path,
    data: Mapping[str, int | None],
    settings: Mapping[str, Setting],
    folds: int,
    **params: Any,
) -> None:
    """Measure the missing results, fold by fold, so that a run may be stopped."""
    results = read_results(path) if path.exists() else pd.DataFrame(columns=KEYS)
    known = set(results[KEYS].itertuples(index=False, name=None))
    commit = commit_of_code()
    for number in range(folds):
        for name, rows in data.items():
            jobs: dict[int, dict[str, Setting]] = {}
            for title, setting in settings.items():
                n = setting.rows or rows or 0
                if (name, n, number, title) not in known:
                    jobs.setdefault(n, {})[title] = setting
            for n, of_rows in jobs.items():
                fold = Fold(DATA[name](n or None, None), number, **params)
                for title, setting in tqdm(of_rows.items(), f"{name}, fold {number}", unit="fit"):
                    found = [
                        {"data": name, "rows": n, "fold": number, **row, "commit": commit}
                        for row in fold.measure(title, setting)
                    ]
                    new = pd.DataFrame(found)
                    results = new if results.empty else pd.concat([results, new])
                    results.to_csv(path, index=False)


# --------------------------------------------------------------------------------------------------
# The page.

HEAD = """\
# Settings of the training, measured

Written by `evidence/training_settings.py`; do not edit by hand. The former default, with a dropout
of 0.6 and a guidance weight of 1, is compared with the same networks under one other setting, on
the same folds and with the same seeds; some rows change two settings, or three. The default now is
a dropout of 0.4 and a guidance weight of 3. Both have a teacher, AdamW with a decay of 0.1 up to
3,400 training rows, a peak rate of {lr}, batches of {batch_size} and, with so few rows, 15 epochs.
With other batches, the rate changes with the square
root of their size. The schedule-free AdamW has a constant rate after a tenth of the steps. Adam
with a penalty was the default before.

All rows of SuperLender and BPI are used, {uci:,} of UCI, and {bank:,} of bank A, where the metric
is the expected AUC from the true probabilities. A fold is a third of the rows (split with seed
{seed}, which no other table uses), and each fold has a seed of its own. Rows are split, not users:
a user with several applications may be in both parts.

What was chosen on these folds is too good here: AdamW and its decay on the first two, and the
default of today on the same two, with five networks. The default of today does not pass the rule
below, because its gains differ much between data sets. It was chosen nevertheless: it loses on one
of them only, and little, and gains at whole banks and at all rows of UCI too. A dropout of 0.2 and
a peak twice as high were about as good, and were not chosen because they change more. The tables of
[learning.md](learning.md) have other folds of the same rows.
"""
OF_GAINS = """\
Each cell is the mean difference to the former default, its standard deviation over folds and, in
parentheses, the number of folds that are better. A setting is compared on the folds that it was
measured on; the first row is the mean of all folds. The column "all" is the mean over data sets;
after ± it has the standard error of this mean, where each data set counts once, because the folds
of one are no independent measurements. A setting is a candidate for the default if it is better on
at least {sets} data sets, and its mean gain is above {worth} and above twice its standard error.
This is a rule and no test: with four data sets, a 95% interval is 3.2 standard errors to each side.
"""
OF_PASSES = """\
One network learns from two thirds of the rows. Each cell is the AUC, at the banks the expected AUC,
and its difference to the former default. By these results and by single trials that no command
repeats, `max_epochs="auto"` was set to pass {each} rows for each row of the rarer class, but
{fewest:,} at least, in 3 to 15 epochs. Here the training rows are {sizes}.
"""
OF_CURES = """\
In these banks one kind of behavior determines the risk, and nothing else does ({rows:,} rows, 30%
overdue, one network, dropout 0.6). Each cell is the expected AUC and its share of the possible
gain over 0.5. All settings but one are without the teacher, because it may know what the network
does not find; so the first of them has no guidance either. In the names of settings,
"x 10" multiplies the default: the standard deviation of the vectors at the start, or their learning
rate. "Near days alike" smooths the vectors of the days of the month before training. "Short
histories first" begins with the third of the applications that has the fewest sessions.
"""


def by_setting(results: pd.DataFrame, value: str = "auc") -> pd.DataFrame:
    """Return a value by setting, data set, number of rows and fold; raise if there are two."""
    if results.duplicated(KEYS).any():
        raise ValueError("A setting has two results on the same fold.")
    fold = ["data", "rows", "fold"]
    table = results.pivot_table(value, "setting", fold, aggfunc="first", sort=False)
    return table.sort_index(axis="columns")


def gains(results: pd.DataFrame) -> pd.DataFrame:
    """Return the paired differences to the former default, by setting, data set, rows and fold."""
    auc = by_setting(results)
    return (auc - auc.loc[PLAIN]).drop(PLAIN)


def of_sets(gain: pd.Series) -> pd.Series:
    """Return the mean gain on each data set; the folds of one are not independent."""
    return gain.groupby(["data", "rows"]).mean()


def candidates(results: pd.DataFrame) -> list[str]:
    """Return the settings that are candidates for the default."""
    found = []
    for setting, row in gains(results).iterrows():
        means = of_sets(row.dropna())
        if (means > 0).sum() >= ON_SETS and means.mean() > max(WORTH, 2 * means.sem()):
            found.append(str(setting))
    return found


def tell_split(results: pd.DataFrame) -> str:
    """Say on how many folds of the split the settings were measured."""
    n = results.groupby(["setting", "data"])["fold"].nunique()
    few = f"{n.min()} to " if n.min() < n.max() else ""
    return f"Each setting was measured on {few}{n.max()} of the {N_SPLITS} folds of the split."


def verdict(results: pd.DataFrame) -> str:
    """Name the candidates for the default."""
    found = candidates(results)
    return f"Candidates: {'; '.join(found)}." if found else "No setting passes this rule."


def tell_commits(results: pd.DataFrame) -> str:
    """Say how many differences are between rows of different code."""
    commits = by_setting(results.assign(commit=results["commit"].fillna(UNKNOWN)), "commit")
    plain = commits.loc[PLAIN].dropna()
    others = commits.drop(PLAIN)[plain.index]
    differ = others.notna() & others.ne(plain, axis="columns")
    told = "The last column has the commits of the code that measured each row."
    if n := differ.to_numpy().sum():
        told += (
            f" {n} of {others.notna().to_numpy().sum()} differences are between rows of different "
            "commits, so a change of the code may be a part of them."
        )
    return told


def _columns(results: pd.DataFrame, names: Sequence[str]) -> dict[tuple[str, int], str]:
    """Return the titles of data sets of some numbers of rows, of which 0 is all."""
    known = results[["data", "rows"]].drop_duplicates().sort_values("rows")
    return {
        (name, n): NAMES[name] + (f", {n:,} rows" if n else "")
        for name in names
        for n in known.loc[known["data"] == name, "rows"]
    }


def _commits(results: pd.DataFrame, setting: str) -> str:
    commits = results.loc[results["setting"] == setting, "commit"].fillna(UNKNOWN)
    return ", ".join(sorted(commits.unique()))


def tell_gains(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each setting, with its gain on each data set and on all."""
    columns = _columns(results, list(ROWS))
    plain = of_sets(by_setting(results).loc[PLAIN].dropna())
    table = {
        f"AUC of {PLAIN}": {title: f"{plain[key]:.4f}" for key, title in columns.items()}
        | {"all": "", "commit": _commits(results, PLAIN)}
    }
    for setting, row in gains(results).iterrows():
        gain = row.dropna()
        table[str(setting)] = {
            **{title: _spread(row[key].dropna()) for key, title in columns.items()},
            "all": f"{_mean_of_sets(gain)} ({_up(gain)})",
            "commit": _commits(results, str(setting)),
        }
    return pd.DataFrame.from_dict(table, orient="index").fillna("")


def _mean_of_sets(gain: pd.Series) -> str:
    means = of_sets(gain)
    error = f" ± {means.sem():.4f}" if len(means) > 1 else ""
    return f"{means.mean():+.4f}{error}"


def _spread(gain: pd.Series) -> str:
    if gain.empty:
        return ""
    spread = f" ± {gain.std():.4f}" if len(gain) > 1 else ""
    return f"{gain.mean():+.4f}{spread} ({_up(gain)})"


def _up(gain: pd.Series) -> str:
    return f"{(gain > 0).sum()} of {len(gain)}"


def tell_passes(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each number of epochs, with AUC and gain on each large data set."""
    columns = _columns(results, list(LARGE))
    of_folds = by_setting(results)
    of_both = (of_folds, of_folds - of_folds.loc[PLAIN])
    auc, gain = (table.T.groupby(["data", "rows"]).mean().T for table in of_both)
    table = {}
    for setting in [name for name in PASSES if name in auc.index]:
        table[setting] = {
            title: f"{auc.loc[setting, key]:.4f} ({gain.loc[setting, key]:+.4f})"
            for key, title in columns.items()
            if pd.notna(gain.loc[setting, key])
        } | {"commit": _commits(results, setting)}
    return pd.DataFrame.from_dict(table, orient="index").fillna("")


def tell_cures(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each setting, with its expected AUC in each bank."""
    columns = _columns(results, MECHANISMS)
    auc, best = (
        by_setting(results, value).T.groupby(["data", "rows"]).mean().T for value in ("auc", "best")
    )
    share = (auc - 0.5) / (best - 0.5)
    possible = results.drop_duplicates(["data", "rows", "fold"]).groupby(["data", "rows"])["best"]
    table = {
        "best possible": {title: f"{possible.mean()[key]:.3f}" for key, title in columns.items()}
    }
    for setting in [name for name in CURES if name in auc.index]:
        table[setting] = {
            title: f"{auc.loc[setting, key]:.3f} ({share.loc[setting, key]:.0%})"
            for key, title in columns.items()
            if pd.notna(auc.loc[setting, key])
        } | {"commit": _commits(results, setting)}
    return pd.DataFrame.from_dict(table, orient="index").fillna("")


def tell_folds(results: pd.DataFrame) -> str:
    """Say on how many folds the settings of the banks were measured."""
    n = results.groupby(["setting", "data", "rows"])["fold"].nunique()
    if n.max() == 1:
        return "Each cell is one fold with one seed, so small differences are mostly chance."
    return f"Each cell is the mean of {n.min()} to {n.max()} folds, each with one seed."


def tell_unmeasured(results: pd.DataFrame, settings: Mapping[str, Any], data: Sequence[str]) -> str:
    """Name the settings without a result, by data set."""
    known = set(results[["data", "setting"]].itertuples(index=False, name=None))
    parts = []
    for name in data:
        lacking = [title for title in settings if (name, title) not in known]
        if len(lacking) == len(settings):
            parts.append(f"{NAMES[name]}: everything")
        elif lacking:
            parts.append(f"{NAMES[name]}: {'; '.join(lacking)}")
    return (
        "\n".join(["Not measured here yet:", "", *(f"* {part}." for part in parts)])
        if parts
        else ""
    )


def sizes_of(results: pd.DataFrame) -> str:
    """Return the numbers of training rows of the data sets, and of those of the rarer class."""
    first = results.drop_duplicates(["data", "rows"])
    return "; ".join(
        f"{int(row.n_train):,} of {NAMES[row.data]}, of which {int(row.n_rare):,} are of the rarer "
        f"class, for {usual_epochs(row.n_train, row.n_rare)} epochs"
        for row in first.itertuples()
    )


def write_page(folder: Path, page: Path) -> None:
    """Write the page from the results of a folder."""
    head = HEAD.format(**DEFAULT, uci=ROWS["uci"], bank=ROWS["bank_a_small"], seed=SPLIT_SEED)
    parts = [head.rstrip()]
    found = {path.stem: read_results(path) for path in sorted(folder.glob("*.csv"))}
    for name, networks in (("training", "one network"), ("training_5", "five networks")):
        if name not in found:
            continue
        results = found[name]
        parts += [
            f"## Gains over the former default, {networks}",
            OF_GAINS.format(sets=ON_SETS, worth=WORTH).rstrip() if name == "training" else "",
            f"{verdict(results)} {tell_split(results)}",
            tell_commits(results),
            markdown(tell_gains(results)),
        ]
        if name == "training":
            known = dict.fromkeys([*AVERAGES, *SETTINGS, *FREE])
            parts.append(tell_unmeasured(results, known, list(ROWS)))
    if "large" in found:
        results = found["large"]
        passed = OF_PASSES.format(sizes=sizes_of(results), each=ROWS_FOR_EACH, fewest=FEWEST_ROWS)
        passed = fill(passed, 100)
        title = "## The number of epochs where rows are many"
        parts += [title, passed, tell_folds(results), markdown(tell_passes(results))]
    if "mechanisms" in found:
        results = found["mechanisms"]
        parts += [
            "## Slow mechanisms",
            OF_CURES.format(rows=OF_MECHANISMS).rstrip(),
            tell_folds(results),
            tell_commits(results),
            markdown(tell_cures(results)),
            tell_unmeasured(results, CURES, MECHANISMS),
        ]
    parts.append(CLOSING.rstrip())
    page.write_text("\n\n".join(filter(None, parts)) + "\n")


CLOSING = """\
## What this does not show

Each network has one seed in each fold, so a difference on a single fold is mostly chance. Warm
starts, `partial_fit` and streams were not measured.
"""


def main() -> None:
    """Measure what is lacking, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("demo_output/training"), help="folder of the results")
    add("--page", type=Path, help="write the page there")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--large", action="store_true", help="epochs on whole data sets")
    kinds.add_argument("--mechanisms", action="store_true", help="what finds a single mechanism")
    add("--data", nargs="+", choices=sorted({*ROWS, *LARGE, *MECHANISMS}))
    add("--settings", nargs="+", choices=[*SETTINGS, *PASSES, *CURES], metavar="SETTING")
    add("--folds", type=int, default=3)
    add("--networks", type=int, default=1, help="average so many networks")
    add("--small", action="store_true", help="sizes that take seconds and mean nothing")
    arguments = parser.parse_args()
    kind = "large" if arguments.large else "training"
    rows, settings = (LARGE, PASSES) if arguments.large else (ROWS, SETTINGS)
    if arguments.mechanisms:
        kind, rows, settings = "mechanisms", dict.fromkeys(MECHANISMS, OF_MECHANISMS), CURES
    others = [name for name in arguments.data or [] if name not in rows]
    others += [name for name in arguments.settings or [] if name not in settings]
    if others:
        parser.error(
            "These belong to another kind of run (with --large, with --mechanisms or with "
            f"neither): {'; '.join(others)}"
        )
    data = {name: n for name, n in rows.items() if name in (arguments.data or rows)}
    chosen = {name: settings[name] for name in arguments.settings or settings}
    of_all: dict[str, Any] = {"n_estimators": arguments.networks}
    if arguments.mechanisms:
        of_all["teacher"] = None
    if arguments.small:
        arguments.folds = 1
        data = dict.fromkeys(data, 90)
        chosen = {
            name: setting._replace(
                params={**setting.params, "max_epochs": 1}, rows=setting.rows and 120
            )
            for name, setting in chosen.items()
        }
    arguments.output.mkdir(parents=True, exist_ok=True)
    networks = f"_{arguments.networks}" if arguments.networks > 1 else ""
    path = arguments.output / f"{kind}{networks}.csv"
    measure(path, data, chosen, arguments.folds, **of_all)
    if arguments.page is not None:
        write_page(arguments.output, arguments.page)


if __name__ == "__main__":
    main()
