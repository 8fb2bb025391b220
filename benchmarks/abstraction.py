"""How well merging finds the true groups of operations, where these are known.

Simulated apps have 300 operations in 30 true groups, 24 of widgets and 6 of transform operations,
and 36,000 events; what differs is what the names say. Beside them stand the simulated banks with
3,000 applications. Each is merged by `BehaviorAbstractor` down to as many behaviors as there are
true groups (at the banks, down to the default, 45), down to 45, and with ``n_behaviors="auto"``;
by frequency; by names alone, as if no event had a neighbor; and by use alone, in twenty lines.
What is told is the adjusted Rand index with the truth, each operation once.

Development used the seeds 1 to 3; what is reported has others.

    python benchmarks/abstraction.py --seeds 11 12 13
    python benchmarks/abstraction.py --kinds ids bank_A --seeds 0 --output abstraction.csv
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from skhuihen import BehaviorAbstractor, attach_behaviors
from skhuihen.datasets import make_loan_data

N_GROUPS, N_OPERATIONS, N_USERS, LENGTH = 30, 300, 600, 12
N_WIDGETS = 24  # groups of them; the others move money
#: What the names say of each kind of app, and how many events it has.
KINDS = {
    "good": 36_000,  # the first word is the group's
    "half random": 36_000,  # half of the names are letters
    "half misleading": 36_000,  # half of them have another group's word
    "random": 36_000,
    "misleading": 36_000,
    "good, few events": 6_000,
    "half random, few events": 9_000,
    "half random, one busy user": 36_000,  # and half as many events of a machine
    "two languages": 36_000,  # each group has two words, one for half of its operations
    "ids in names": 36_000,
}
BANKS = {"bank_A": "A", "bank_B": "B"}


class App(NamedTuple):
    """Applications with events, and the true group of each operation."""

    X: pd.DataFrame
    truth: pd.Series
    n_groups: int


def make_app(kind: str, seed: int) -> App:
    """Simulate an app: sessions are a chain of groups, each with ten operations."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    group = np.repeat(np.arange(N_GROUPS), N_OPERATIONS // N_GROUPS)
    n_sessions = KINDS[kind] // LENGTH
    steps = 0.9 * rng.dirichlet(np.full(N_GROUPS, 0.15), N_GROUPS) + 0.1 / N_GROUPS
    state = np.empty((n_sessions, LENGTH), dtype=int)
    state[:, 0] = rng.integers(N_GROUPS, size=n_sessions)
    for k in range(1, LENGTH):
        below = steps.cumsum(axis=1)[state[:, k - 1]] < rng.random((n_sessions, 1))
        state[:, k] = np.minimum(below.sum(axis=1), N_GROUPS - 1)
    share = np.arange(1.0, 11.0) ** -0.8
    code = 10 * state + rng.choice(10, p=share / share.sum(), size=state.shape)
    user = np.arange(n_sessions) % N_USERS
    if "busy" in kind:
        way = rng.permutation(N_OPERATIONS)[:40]
        start = rng.integers(40, size=(n_sessions // 2, 1))
        code = np.vstack([code, way[(start + np.arange(LENGTH)) % 40]])
        user = np.append(user, np.full(n_sessions // 2, N_USERS))
    names = np.array(make_names(kind, group, rng))
    time = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        (2 * np.arange(len(user))[:, np.newaxis] + np.arange(LENGTH) / 60).ravel(), unit="h"
    )
    events = pd.DataFrame(
        {
            "user_id": np.repeat(user, LENGTH),
            "time": time,
            "operation": names[code.ravel()],
            "amount": np.where(group[code.ravel()] >= N_WIDGETS, 1.0, np.nan),
        }
    )
    applications = pd.DataFrame(
        {"user_id": np.unique(user), "applied_at": time.max() + pd.Timedelta("1D")}
    )
    return App(attach_behaviors(applications, events), pd.Series(group, names), N_GROUPS)


def make_names(kind: str, group: np.ndarray, rng: np.random.Generator) -> list[str]:
    """Name operations by their group, as far as names tell it."""
    words = ["".join(w) for w in rng.permutation(_syllables())[: 2 * N_GROUPS + 12 + len(group)]]
    first, second = words[:N_GROUPS], words[N_GROUPS : 2 * N_GROUPS]
    pages, ends = words[2 * N_GROUPS : 2 * N_GROUPS + 12], words[2 * N_GROUPS + 12 :]
    page = rng.choice(pages, size=len(group))
    half = rng.permutation(len(group)) < len(group) // 2
    letters = ["".join(row) for row in rng.choice([*"abcdefghijklmnopqrstuvwxyz"], (len(group), 8))]
    said = group.copy()
    if "misleading" in kind:
        wrong = half if "half" in kind else np.ones(len(group), dtype=bool)
        said[wrong] = rng.permutation(group[wrong])
    if kind == "ids in names":
        return [
            f"{first[of]}_{rng.integers(10**5):05d}"
            if short
            else f"{first[of]}/u{rng.integers(16**6):06x}/{page[i]}"
            for i, (of, short) in enumerate(zip(group, half, strict=True))
        ]
    names = [f"{first[of]}/{page[i]}/{ends[i]}" for i, of in enumerate(said)]
    if kind == "two languages":
        other = [f"{second[of]}/{page[i]}/{ends[i]}" for i, of in enumerate(group)]
        names = [b if here else a for a, b, here in zip(names, other, half, strict=True)]
    if "random" in kind:
        drawn = half if "half" in kind else np.ones(len(group), dtype=bool)
        names = [b if here else a for a, b, here in zip(names, letters, drawn, strict=True)]
    return names


def _syllables() -> list[tuple[str, ...]]:
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    rng = np.random.default_rng(0)
    return list({tuple(word): None for word in rng.choice(syllables, (2_000, 3))})


def make_bank(bank: str, seed: int) -> App:
    """Simulate a bank with 3,000 applications; item clicks have no group here."""
    data = make_loan_data(3_000, 0, bank=bank, random_state=seed)
    groups = data.operation_groups[data.operation_groups["field"] != "item_click"]
    truth = groups.set_index("operation")[["field", "behavior"]].agg("/".join, axis=1)
    return App(attach_behaviors(data.applications, data.events), truth, 45)


def agreement(truth: pd.Series, found: pd.Series) -> float:
    """Return the adjusted Rand index, each operation once."""
    both = pd.concat([truth.astype(str), found], axis=1, join="inner")
    return float(adjusted_rand_score(both.iloc[:, 0], both.iloc[:, 1]))


def merged(app: App, **params: object) -> pd.Series:
    """Return the behavior of each operation."""
    table = BehaviorAbstractor(**params).fit(app.X).rules_
    table = table[table["item"] == "*"].set_index("operation")
    return table[["field", "behavior"]].agg("/".join, axis=1)


def by_use_alone(app: App, n_groups: int) -> pd.Series:
    """Merge by the operations before and after, in twenty lines: the yardstick."""
    events = app.X["behaviors"].nest.to_flat().reset_index(names="row")
    code, names = pd.factorize(events["operation"])
    elapsed = np.diff(events["time"].to_numpy(dtype="datetime64[us]"))
    near = (np.diff(events["row"]) == 0) & (elapsed <= np.timedelta64(1, "h"))
    counts = np.zeros((len(names), 2 * len(names)))
    np.add.at(counts, (code[:-1][near], code[1:][near]), 1)
    np.add.at(counts, (code[1:][near], len(names) + code[:-1][near]), 1)
    moves = events["amount"].notna().groupby(events["operation"]).mean().reindex(names) > 0.5
    kept = np.isin(names, app.truth.index)
    counts, moves, names = counts[kept], moves.to_numpy()[kept], names[kept]
    average = counts.sum(axis=0) / counts.sum()
    profile = np.sqrt((counts + 5 * average) / (counts.sum(axis=1, keepdims=True) + 5))
    left, size, _ = np.linalg.svd(profile - profile.mean(axis=0), full_matrices=False)
    place = np.column_stack([left[:, :30] * size[:30], 10 * moves])
    return pd.Series(fcluster(linkage(place, "ward"), n_groups, "maxclust"), names)


def without_neighbors(app: App) -> App:
    """Put two hours between any two events, so that only names are left."""
    flat = app.X["behaviors"].nest.to_flat()
    flat["time"] = pd.Timestamp("2000-01-01") + pd.to_timedelta(2 * np.arange(len(flat)), unit="h")
    flat["user_id"] = app.X["user_id"].reindex(flat.index)
    applied_at = flat["time"].max() + pd.Timedelta("1D")
    applications = app.X.drop(columns="behaviors").assign(applied_at=applied_at)
    events = flat.reset_index(drop=True).drop(columns="seq", errors="ignore")
    return app._replace(X=attach_behaviors(applications.drop_duplicates("user_id"), events))


def measure(kind: str, seed: int) -> dict[str, object]:
    """Return the agreement of every way of merging with the truth."""
    app = make_bank(BANKS[kind], seed) if kind in BANKS else make_app(kind, seed)
    k = app.n_groups
    automatic = merged(app, n_behaviors="auto")
    return {
        "kind": kind,
        "seed": seed,
        "true number": agreement(app.truth, merged(app, n_behaviors=k)),
        "45": agreement(app.truth, merged(app)),
        "auto": agreement(app.truth, automatic),
        "its number": automatic[automatic.index.isin(app.truth.index)].nunique(),
        "frequency": agreement(app.truth, merged(app, n_behaviors=k, merge="frequency")),
        "names alone": agreement(app.truth, merged(without_neighbors(app), n_behaviors=k)),
        "use alone": agreement(app.truth, by_use_alone(app, k)),
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=[*KINDS, *BANKS], choices=[*KINDS, *BANKS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[11, 12, 13])
    parser.add_argument("--output", help="a CSV file for every single result")
    arguments = parser.parse_args()
    results = []
    for kind in arguments.kinds:
        for seed in arguments.seeds:
            results.append(measure(kind, seed))
            print(results[-1], flush=True)
    table = pd.DataFrame(results)
    if arguments.output:
        table.to_csv(arguments.output, index=False)
    print(table.drop(columns="seed").groupby("kind", sort=False).mean().round(2).to_string())


if __name__ == "__main__":
    main()
