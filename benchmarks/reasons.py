"""Whether the reasons of `skhuihen.inspection` are those of the model, and how long they take.

At a simulated bank whose risk is known, HUIHEN is explained beside LightGBM, by Shapley values and
by what else is used: leaving one part out (occlusion), integrated gradients, gradient times input.

    python benchmarks/reasons.py --output docs/reasons_measured.md
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from lightgbm import LGBMClassifier
from measuring import _markdown, describe_machine
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline, make_union

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen.datasets import make_loan_data
from skhuihen.inspection import Explanation, explain
from skhuihen.inspection._plan import Plan
from skhuihen.inspection._scores import HUIHENScores, TableScores, split
from skhuihen.inspection._table import PlayersTable, find_fields

#: What the simulator adds to the log-odds, by where it is to be seen.
TRUTH = {
    "profile": ["profile", "nonlinear"],
    "last session": ["impulsive", "hesitant"],
    "whole history": ["month_end", "habit"],
}
STEPS = 20  # of integrated gradients
N_SESSIONS = 8


class Task:
    """A bank, and the models that are explained."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        n = arguments.applications
        strong = {
            f"{name}_effect": arguments.effect
            for name in ("impulsive", "hesitant", "month_end", "habit")
        }
        self.bank = make_loan_data(
            n_new=n + n // 2, n_old=0, overdue_rate=0.3, late_share=0.0, random_state=0, **strong
        )
        joined = attach_behaviors(self.bank.applications, self.bank.events, known_at="recorded_at")
        self.train, self.test = joined.iloc[:n], joined.iloc[n:]
        self.y, self.y_test = self.bank.y[:n], self.bank.y[n:]
        self.explained = self.test.iloc[: arguments.explained]
        self.effects = self.bank.effects.iloc[n : n + arguments.explained]
        self.background = self.train[self.y == 0]

    def huihen(self, seed: int, n_estimators: int) -> Any:
        """Return a fitted pipeline, kept between runs where a folder is named."""
        network = HUIHENClassifier(
            n_estimators=n_estimators, max_epochs=self.arguments.epochs, random_state=seed
        )
        model = make_pipeline(BehaviorAbstractor(), Sessionizer(), network)
        return self._fitted(f"huihen_{seed}_{n_estimators}", model)

    def trees(self) -> Any:
        """Return LightGBM on the profile and window statistics."""
        features = make_union(ProfileEncoder(), WindowStatistics(group_by="behavior"))
        trees = LGBMClassifier(
            n_estimators=150, learning_rate=0.03, num_leaves=15, n_jobs=1, verbose=-1,
            random_state=0,
        )  # fmt: skip
        return self._fitted(
            "trees", make_pipeline(BehaviorAbstractor(), Sessionizer(), features, trees)
        )

    def _fitted(self, name: str, model: Any) -> Any:
        kept = self.arguments.kept
        path = None if kept is None else Path(kept) / f"{name}_{self.arguments.applications}.joblib"
        if path is not None and path.exists():
            return joblib.load(path)
        model.fit(self.train, self.y)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            joblib.dump(model, path)
        print(f"fitted {name}", flush=True)
        return model

    def explain(self, model: Any, rows: int | None = None, **options: Any) -> Explanation:
        """Explain the held-out applications."""
        X = self.explained.iloc[:rows]
        return explain(model, X, self.background, n_sessions=N_SESSIONS, **options)


class Asked:
    """What the model says of coalitions of one's own choice."""

    def __init__(self, task: Task, model: Any, explanation: Explanation) -> None:
        _, rest = split(model)
        frame = explanation.table
        fields = find_fields(frame, "behaviors", ["user_id", "application_id", "applied_at"], None)
        self.others = task.background.reset_index(drop=True)
        self.table = PlayersTable(
            frame, fields, self.others, "behaviors", "applied_at", 2, N_SESSIONS
        )
        self.scorer = (
            HUIHENScores(rest, self.table, self.others)
            if HUIHENScores.can_score(rest)
            else TableScores(rest, self.table, False)
        )

    def scores(self, coalitions: list[np.ndarray]) -> list[np.ndarray]:
        """Return the mean log-odds over the background of coalitions of each application."""
        n = len(self.others)
        results = []
        for row, present in enumerate(coalitions):
            plan = Plan(
                np.repeat(present, n, axis=0), np.tile(np.arange(n), len(present)), None, 0, None
            )  # type: ignore[arg-type]
            results.append(self.scorer.scores([row], [plan])[0].reshape(-1, n).mean(axis=1))
        return results

    def occlusion(self) -> list[np.ndarray]:
        """Return by how much each leaf's absence lowers the log-odds."""
        every = []
        for row in range(len(self.table)):
            n = sum(1 if part is None else len(part) for part in self.table.tree(row))
            every.append(np.vstack([np.ones(n, bool), ~np.eye(n, dtype=bool)]))
        return [found[0] - found[1:] for found in self.scores(every)]


def gradients(task: Task, asked: Asked, steps: int) -> list[np.ndarray]:
    """Return integrated gradients of the leaves, or gradient times input where steps is 0.

    The inputs are the encoded profile, from the background's mean on, and the intention of each
    session, from zero on.
    """
    scorer, table = asked.scorer, asked.table
    assert isinstance(scorer, HUIHENScores)
    model, n_leaves, n = scorer.model, table.n_profile_leaves, len(table)
    start = torch.from_numpy(scorer.other.mean(axis=0))
    at = (np.arange(steps) + 0.5) / steps if steps else np.ones(1)
    batch, _ = model._encoder.dataset(table.frame, model._encoder.read(table.frame)).__getitems__(
        range(n)
    )
    # Of each session, in packed order: whose it is, and how many come after it.
    owner = np.concatenate([batch.applicants[:size].numpy() for size in batch.session_steps])
    number = np.repeat(np.arange(len(batch.session_steps)), batch.session_steps)
    rank = np.minimum(np.bincount(owner, minlength=n)[owner] - 1 - number, N_SESSIONS)
    known = scorer.column_of >= 0
    leaves = np.zeros((n, n_leaves + N_SESSIONS + 1))
    for net in model.estimators_:
        module = net.module_.eval()
        read = module.read_sessions(batch).detach()
        by_profile, by_session = torch.zeros_like(batch.profile), torch.zeros_like(read)
        for share in at.tolist():
            own = (start + share * (batch.profile - start)).detach().requires_grad_()
            sessions = (share * read).detach().requires_grad_()
            twin = copy.copy(module)
            twin.read_sessions = lambda batch, sessions=sessions: sessions
            logits = twin(replace(batch, profile=own))
            by = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), [own, sessions])
            by_profile += by[0] / len(at)
            by_session += by[1] / len(at)
        effect = (by_profile * (batch.profile - start)).numpy()
        np.add.at(leaves.T, scorer.column_of[known], effect.T[known] / len(model.estimators_))
        of_session = (by_session * read).sum(dim=1)[batch.session].numpy()
        np.add.at(leaves, (owner, n_leaves + rank), of_session / len(model.estimators_))
    sizes = [sum(1 if part is None else len(part) for part in table.tree(row)) for row in range(n)]
    return [own[:size] for own, size in zip(leaves, sizes, strict=True)]


def leaves_of(explanation: Explanation) -> list[np.ndarray]:
    """Return the values of the leaves of each application."""
    return [explanation.leaves(row)["value"].to_numpy() for row in range(len(explanation))]


def by_place(leaves: list[np.ndarray], n_profile: int) -> pd.DataFrame:
    """Add the values of leaves up to profile, last session and the rest of the history."""
    last = n_profile + 1
    sums = [(own[:n_profile].sum(), own[n_profile:last].sum(), own[last:].sum()) for own in leaves]
    return pd.DataFrame(sums, columns=list(TRUTH))


def planted(task: Task, found: pd.DataFrame) -> dict[str, float]:
    """Compare what was found with what the simulator has planted, both against their mean."""
    truth = pd.DataFrame({name: task.effects[of].sum(axis=1) for name, of in TRUTH.items()})
    truth = truth.iloc[: len(found)].reset_index(drop=True)
    result = {f"rank, {name}": spearmanr(truth[name], found[name])[0] for name in TRUTH}
    truth, found = truth - truth.mean(), found - found.mean()
    first, first_found = truth.idxmax(axis=1), found.idxmax(axis=1)
    result["first reason right"] = (first == first_found).mean()
    for name in TRUTH:
        result[f"right where it is {name}"] = (first_found[first == name] == name).mean()
    return result


def curves(asked: Asked, leaves: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean log-odds while leaves are taken out or put in, the largest value first."""
    every = []
    for own in leaves:
        order = np.argsort(-own, kind="stable")
        joined = np.zeros((len(own) + 1, len(own)), dtype=bool)
        for k, leaf in enumerate(order):
            joined[k + 1 :, leaf] = True
        every.append(np.vstack([joined, ~joined]))
    inserted, deleted = [], []
    for found in asked.scores(every):
        n = len(found) // 2
        inserted.append(found[:n].mean())
        deleted.append(found[n:].mean())
    return np.array(deleted), np.array(inserted)


def agreement(one: Explanation, other: Explanation) -> dict[str, float]:
    """Return how alike the reasons of two models are."""
    a, b = one.matrix().to_numpy(), other.matrix().to_numpy()
    return {
        "same first reason": (a.argmax(axis=1) == b.argmax(axis=1)).mean(),
        "of four reasons the same": np.mean(
            [
                len(set(np.argsort(-x)[:4]) & set(np.argsort(-y)[:4])) / 4
                for x, y in zip(a, b, strict=True)
            ]
        ),
        "rank correlation": np.mean([spearmanr(x, y)[0] for x, y in zip(a, b, strict=True)]),
    }


def randomized(model: Any, seed: int) -> Any:
    """Return the model with weights that are drawn anew."""
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for net in twin[-1].estimators_:
        net.module_.reset_parameters(generator)
    return twin


def additivity(explanation: Explanation) -> float:
    """Return the largest gap between a value and the sum of its players' values."""
    gap = 0.0
    for row in range(len(explanation)):
        players = explanation.of(row)
        sums = players.groupby("parent")["value"].sum()
        own = players.set_index("player")["value"]
        own[""] = explanation.log_odds[row] - explanation.base[row]
        gap = max(gap, float((sums - own[sums.index]).abs().max()))
    return gap


def least(function: Callable[[], Any], rounds: int) -> float:
    """Return the least seconds of processor time of a call."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def speed(task: Task, model: Any) -> tuple[list[str], pd.DataFrame]:
    """Measure explanations beside single scores, in one run."""
    lines, rows = [], {}
    rounds = task.arguments.rounds
    one = task.explained.iloc[[0]]
    lengths = [len(history) for history in model[:-1].transform(task.explained)["behaviors"]]
    one = task.explained.iloc[[int(np.argsort(lengths)[len(lengths) // 2])]]
    others = task.background
    single = least(lambda: model.predict_proba(one), 3 * rounds)
    rows["a single score"] = {"ms": single * 1e3, "times a single score": 1.0}
    # Five players of the history are nine together with the fields and the history itself.
    settings: dict[str, dict[str, Any]] = {
        "fields and history": {"depth": 1},
        "nine sessions and all columns (the default)": {"n_sessions": 8},
        "the same, 200 orders": {"n_sessions": 8, "n_orders": 200},
        "five sessions, every subset, and all columns": {"n_sessions": 4},
        "nine sessions, every subset, and all columns": {"n_sessions": 8, "max_exact": 9},
        "behaviors too": {"depth": 3},
    }
    for name, options in settings.items():
        taken = least(lambda options=options: explain(model, one, others, **options), rounds)
        rows[name] = {"ms": taken * 1e3, "times a single score": taken / single}
    n = task.arguments.many
    declined = task.test.iloc[np.argsort(-model.predict_proba(task.test)[:, 1])[:n]]
    taken = least(lambda: explain(model, declined, others), 1)
    lines.append(
        f"The {len(declined):,} applications with the highest scores are explained in "
        f"{taken:.0f} s, {taken / len(declined) * 1e3:.0f} ms each, in one call with the defaults."
    )
    return lines, pd.DataFrame(rows).T.round(1)


def conclusions(truth: pd.DataFrame, order: pd.DataFrame, alike: pd.DataFrame) -> str:
    """Return what the tables say of the default, Shapley values, in a few sentences."""
    first = truth["first reason right"]
    others = first.filter(like="HUIHEN, ").drop("HUIHEN, Shapley values")
    own, chance = order.loc["Shapley values"], order.loc["an order by chance"]
    several, one = alike.filter(like="other seeds", axis=0)["same first reason"]
    return (
        "In short:\n\n"
        "* The true first reason of an applicant is known here. Shapley values of HUIHEN name it "
        f"for {first['HUIHEN, Shapley values']:.0%} of the applicants, the other methods for the "
        f"same model for {others.min():.0%} to {others.max():.0%}, and a draw by chance for "
        f"{first['by chance']:.0%}.\n"
        "* If the players with the largest Shapley values are taken out first, the mean log-odds "
        f"are {own['deletion']}. In an order by chance they are {chance['deletion']}. Less is "
        "better.\n"
        "* Two fits with other seeds give the same first reason to "
        f"{several:.0%} of the applications with several networks, and to {one:.0%} with one."
    )


def measure(task: Task) -> str:
    """Return the page."""
    parts = [HEAD, describe_machine()]
    n_estimators = task.arguments.networks
    model = task.huihen(0, n_estimators)
    trees = task.trees()
    aucs = {
        name: roc_auc_score(task.y_test, one.predict_proba(task.test)[:, 1])
        for name, one in {"HUIHEN": model, "LightGBM": trees}.items()
    }
    parts.append(
        f"Bank A, {len(task.train):,} applications to learn from, 30% overdue, effects of behavior "
        f"times {task.arguments.effect:g}; {len(task.explained)} held-out applications are "
        f"explained against five approved ones of the training rows. AUC on {len(task.test):,} "
        f"held-out rows: HUIHEN ({n_estimators} networks) {aucs['HUIHEN']:.3f}, LightGBM on "
        f"windows {aucs['LightGBM']:.3f}; the best possible is {task.bank.best_auc:.3f}."
    )
    # Five approved applications, evenly spread by risk: the same for all that is compared.
    order = np.argsort(model.predict_proba(task.background)[:, 1], kind="stable")
    task.background = task.background.iloc[order[(2 * np.arange(5) + 1) * len(order) // 10]]
    own = task.explain(model)
    asked = Asked(task, model, own)
    n_profile = asked.table.n_profile_leaves
    leaves = {
        "Shapley values": leaves_of(own),
        "occlusion": asked.occlusion(),
        "integrated gradients": gradients(task, asked, STEPS),
        "gradient times input": gradients(task, asked, 0),
    }
    print("explained", flush=True)

    few = task.arguments.explained_slowly
    of_trees = task.explain(trees, few)
    rows = {
        f"HUIHEN, {name}": planted(task, by_place(of, n_profile)) for name, of in leaves.items()
    }
    rows[f"LightGBM, Shapley values ({few} applications)"] = planted(
        task, by_place(leaves_of(of_trees), n_profile)
    )
    random = np.random.default_rng(0)
    rows["by chance"] = planted(
        task, pd.DataFrame(random.normal(size=(len(own), 3)), columns=list(TRUTH))
    )
    truth = pd.DataFrame(rows).T.round(2)
    parts += ["## Planted truth", PLANTED, _markdown(truth)]

    drawn = [random.random(len(of)) for of in leaves["Shapley values"]]
    rows = {}
    for name, of in {**leaves, "an order by chance": drawn}.items():
        deleted, inserted = curves(asked, of)
        rows[name] = {"deletion": deleted.mean(), "insertion": inserted.mean()}
    order = pd.DataFrame(rows).T.round(3)
    parts += ["## Deletion and insertion", CURVES, _markdown(order)]
    print("curves", flush=True)

    finer = task.explain(model, few, n_orders=400)
    deep = task.explain(model, min(few, 5), depth=3)
    differences = np.concatenate(
        [a - b for a, b in zip(own[:few].values, finer.values, strict=True)]
    )
    size = np.concatenate(finer.values)
    parts += [
        "## Sums, and orders that are drawn",
        f"Largest gap between a value and the sum of the values below it: {additivity(own):.1e} "
        f"(HUIHEN), {additivity(of_trees):.1e} (LightGBM), {additivity(deep):.1e} (HUIHEN, down to "
        "behaviors).",
        f"Against ten times as many orders the default values differ by {np.std(differences):.3f} "
        f"(root of the mean square; that of the values is {np.sqrt(np.mean(size**2)):.3f}); the "
        f"first reason is the same in "
        f"{agreement(own[:few], finer)['same first reason']:.0%} of {few} applications.",
    ]

    rows = {"weights drawn at random": agreement(own, task.explain(randomized(model, 1)))}
    seeds = range(1, task.arguments.refits + 1)
    for n, before in ((n_estimators, own), (1, None)):
        title = f"{n} network{'s' * (n > 1)}, other seeds"
        explained = [before] if before is not None else [task.explain(task.huihen(0, 1))]
        explained += [task.explain(task.huihen(seed, n)) for seed in seeds]
        pairs = [agreement(a, b) for i, a in enumerate(explained) for b in explained[i + 1 :]]
        rows[title] = dict(pd.DataFrame(pairs).mean())
        if n == 1:
            rows[f"one network against {n_estimators}"] = agreement(own, explained[0])
    alike = pd.DataFrame(rows).T.round(2)
    parts += ["## Stability", STABILITY, _markdown(alike)]
    parts.insert(1, conclusions(truth, order, alike))
    print("stability", flush=True)

    lines, table = speed(task, model)
    parts += ["## Speed", SPEED, *lines, _markdown(table)]
    return "\n\n".join(parts) + "\n"


HEAD = (
    "# Reasons, measured\n\n"
    "Written by `benchmarks/reasons.py`; do not edit by hand. "
    "[reasons.md](reasons.md) says what the values mean."
)

PLANTED = """\
The applicants are simulated, so it is known what has raised the risk of each. The simulator adds
to an applicant's log-odds in three places:

* the profile;
* the last session (impulsive, hesitant);
* the whole history (month-end and habit).

The values of an explanation are added up to the same three places. Both are then taken as
differences from their mean over applicants, and the place with the largest difference is the
first reason.

* "rank" is Spearman's rank correlation of value and truth over applicants: 1 is the same order.
* "first reason right" is the share of applicants whose first reason is the true one.
* "right where it is" is that share among the applicants with this true first reason.

An explanation cannot show what the model has not learned. So the figures depend on the model and
on the explanation. Lines of the same model differ by the explanation alone."""

CURVES = """\
This test asks whether the largest values belong to the parts that matter most to the model. A
player is a part of an application that has a value: a column, a session, or all older sessions
together.

* Deletion takes players out of the application, the one with the largest value first. A good
  order lowers the log-odds fast, so less is better.
* Insertion puts players into an empty application, the one with the largest value first. A good
  order raises the log-odds fast, so more is better.

The figures are log-odds, averaged over all steps and applications. Where a column is absent,
they are also averaged over the background rows."""

STABILITY = """\
This test asks how alike the reasons of two models are. The figures are means over pairs of
models:

* the share of applications with the same first reason;
* the share of the same reasons among the first four;
* the rank correlation of all values of an application.

The first line checks the test: if weights are drawn at random, the reasons must change."""

SPEED = """\
The time is processor time on one thread through the whole pipeline, the least of several calls
in one run. The applicant has a history of median length."""


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--applications", type=int, default=4000, help="to learn from; half as many are held out")
    add("--effect", type=float, default=2.0, help="of what is planted in behavior")
    add("--explained", type=int, default=200)
    add("--explained-slowly", type=int, default=40, help="by tables, and with many orders")
    add("--many", type=int, default=1000, help="applications of the measurement of speed")
    add("--networks", type=int, default=5)
    add("--epochs", type=int, default=15)
    add("--refits", type=int, default=2)
    add("--rounds", type=int, default=5)
    add("--kept", help="folder for fitted models")
    add("--output", type=Path, help="the page; it is printed in any case")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    page = measure(Task(arguments))
    print(page)
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(page)


if __name__ == "__main__":
    main()
