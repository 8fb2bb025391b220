"""Make tables and pictures of the results of `measure`.

A table shows all its results in the folder, not only those of the last command. It writes
``TABLE.csv``, ``TABLE.md`` and ``TABLE.png`` next to the files ``DATA.csv`` and ``DATA.json`` of
its data sets.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from contenders import Budget
from matplotlib.figure import Figure
from measure import measure, read_results, scores_path

from skhuihen._compat import EXACTLY
from skhuihen.metrics import corrected_resampled_ttest, delong_test

#: AUC and KS of Tables 2 to 5 of the paper, at its banks A and B, which are not public.
PAPER = {
    "HUIHEN": (0.6887, 0.2845, 0.6632, 0.2543),
    "HUIHEN, plain GRUs": (0.6832, 0.2795, 0.6626, 0.2537),
    "HUIHEN, no warm start": (0.6791, 0.2769, 0.6581, 0.2502),
    "HUIHEN, no teacher": (0.6812, 0.2776, 0.6593, 0.2509),
    "HUIHEN, no sessions": (0.6801, 0.2772, 0.6597, 0.2512),
    "HUIHEN, no field-aware matrices": (0.6871, 0.2843, 0.6619, 0.2535),
    "HUIHEN, original operations": (0.6832, 0.2786, 0.6582, 0.2502),
    "XGBoost, profile": (0.6743, 0.2645, 0.6524, 0.2486),
    "logistic regression, profile": (0.6245, 0.2212, 0.6213, 0.2241),
    "MLP, profile": (0.6614, 0.2589, 0.6489, 0.2394),
    "random forest, profile": (0.6691, 0.2604, 0.6501, 0.2396),
    "LightGBM, profile": (0.6749, 0.2648, 0.6523, 0.2485),
}
#: The names of the data sets on pages.
NAMES = {
    "bank_a": "simulated bank A",
    "bank_b": "simulated bank B",
    "bank_a_quarter": "a quarter of simulated bank A",
    "bank_a_small": "simulated bank A, few applications",
    "bank_b_small": "simulated bank B, few applications",
    "superlender": "SuperLender",
    "bpic2012": "BPI Challenge 2012",
    "uci": "UCI default, months as behaviors",
    "uci_flat": "UCI default, months as columns",
    "creditcard": "credit card fraud",
    "impulsive": "impulsive alone",
    "hesitant": "hesitant alone",
    "month_end": "month_end alone",
    "habit": "habit alone",
}
#: All contenders are compared with this one, unless a table has another reference.
REFERENCE = "HUIHEN"
#: Sizes that take seconds. They only show that a command works; the results mean nothing.
SMALL = {
    "rows": 100,
    "overdue_rate": 0.3,
    "folds": 2,
    "repetitions": 1,
    "n_settings": 1,
    "n_epochs": 1,
    "n_trees": 5,
}
BUDGET = {
    "n_settings": "settings that each contender tries",
    "n_epochs": "largest number of epochs of networks",
    "n_trees": "largest number of trees",
    "patience": "epochs without improvement before stopping",
    "batch_size": "applications in one step of a network",
    "tree_patience": "trees without improvement before stopping",
}
#: Rows that were measured before commits were recorded.
UNKNOWN = "not recorded"
NO_COMMIT = "Commit of the code that measured these rows: not recorded."
COLUMNS = [
    *("data", "contender", "folds", "AUC", "AUC sd", "KS", "KS sd"),
    *("expected AUC", "expected AUC sd", "paper AUC", "paper KS"),
    *("gain", "low", "high", "p", "p, DeLong", "seconds"),
]
NOTES = """\
AUC and KS are means over folds, with their standard deviation. The expected AUC is computed from
the true probabilities of the held-out rows, which the simulator knows, so it has no noise from
labels. The gain over HUIHEN is the mean difference on the same folds, with the 95% interval and
the p-value of the corrected resampled t test (Nadeau and Bengio 2003). "p, DeLong" is the p-value
of DeLong's test on the pooled held-out scores of the first repetition. It is empty if these
scores were never available for both models. The numbers of the paper are those of its own banks,
which are not public. If some contenders were measured on fewer folds than others, a column
``folds`` shows the numbers of folds, and gains are computed on the common folds."""


class Table:
    """A table of the paper, or one like it.

    Parameters
    ----------
    name : str
        Name of its files, without the extension.
    description : str
        The help of the command; the first line is the title.
    contenders : mapping of str to sequence of str
        The contenders of each data set.
    repetitions : int, default=1
        Number of repetitions of the cross-validation, unless the command gives another.
    metric : {"auc", "expected_auc"}, default="auc"
        The metric of the gains.
    reference : str, default="HUIHEN"
        The contender with which all others are compared.
    """

    def __init__(
        self,
        name: str,
        description: str,
        contenders: Mapping[str, Sequence[str]],
        *,
        repetitions: int = 1,
        metric: str = "auc",
        reference: str = REFERENCE,
    ) -> None:
        self.name = name
        self.description = description
        self.title = description.partition("\n")[0].rstrip(".")
        self.contenders = contenders
        self.repetitions = repetitions
        self.metric = metric
        self.reference = reference

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Measure the cells that the command line selects; write and print the table."""
        parser = argparse.ArgumentParser(
            description=self.description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        add, data = parser.add_argument, list(self.contenders)
        every = list(dict.fromkeys(chain(*self.contenders.values())))
        add("--output", type=Path, default=Path("demo_output/paper"), help="folder of the results")
        add("--data", nargs="+", choices=data, default=data, metavar="DATA", help=", ".join(data))
        contenders = "; ".join(every)
        add("--contenders", nargs="+", choices=every, default=every, metavar="C", help=contenders)
        add("--small", action="store_true", help="sizes that only show that the command works")
        add("--rows", type=int, help="number of applications with behaviors; default: all")
        add("--overdue-rate", type=float, help="of simulated banks; default: Table 1 of the paper")
        add("--folds", type=int, default=5)
        add("--repetitions", type=int, default=self.repetitions, help="of the cross-validation")
        for key, value in Budget()._asdict().items():
            add(f"--{key.replace('_', '-')}", type=int, default=value, help=BUDGET[key])
        parsed = parser.parse_args(arguments)
        if parsed.small:
            parser.set_defaults(**SMALL)
            parsed = parser.parse_args(arguments)
        for name in parsed.data:
            chosen = [one for one in self.contenders[name] if one in parsed.contenders]
            measure(name, chosen, parsed)
        self.write(parsed.output)
        summary = self.summarize(parsed.output).dropna(axis="columns", how="all")
        print(summary.round(4).to_string(na_rep=""))

    def write(self, folder: Path) -> None:
        """Write the table as CSV and Markdown, and draw it."""
        stem = folder / self.name
        summary = self.summarize(folder)
        if summary.empty:
            return
        summary.to_csv(stem.with_suffix(".csv"))
        text = [f"# {self.title}", *self.tell(folder, "##"), NOTES]
        stem.with_suffix(".md").write_text("\n\n".join(text) + "\n")
        self.draw(folder).savefig(stem.with_suffix(".png"), dpi=120)

    def summarize(self, folder: Path) -> pd.DataFrame:
        """Return the mean and spread of each contender, and its gain over the reference."""
        rows = []
        for name, contenders in self.contenders.items():
            if not (folder / f"{name}.csv").exists():
                continue
            results = pd.read_csv(folder / f"{name}.csv")
            for contender in [one for one in contenders if one in set(results["contender"])]:
                mine = results[results["contender"] == contender]
                row: dict[str, Any] = {"data": name, "contender": contender, "folds": len(mine)}
                for key, metric in (("AUC", "auc"), ("KS", "ks"), ("expected AUC", "expected_auc")):
                    row |= {key: mine[metric].mean(), f"{key} sd": mine[metric].std()}
                if name in ("bank_a", "bank_b") and contender in PAPER:
                    of_bank = slice(0, 2) if name == "bank_a" else slice(2, 4)
                    row["paper AUC"], row["paper KS"] = PAPER[contender][of_bank]
                if contender != self.reference:
                    row |= self._compare(folder, name, contender, results)
                row["seconds"] = round(mine["seconds"].median(), 1)
                rows.append(row)
        return pd.DataFrame(rows, columns=COLUMNS).set_index(["data", "contender"])

    def _compare(
        self, folder: Path, name: str, contender: str, results: pd.DataFrame
    ) -> dict[str, float]:
        """Return the gain of a contender over the reference, with both tests."""
        row = self.gain(folder, name, contender, self.reference, results)
        if not row:
            return {}
        n_folds = read_about(folder, name)["settings"]["folds"]
        mine, other = (pooled(folder, name, one, n_folds) for one in (contender, self.reference))
        if mine is not None and other is not None:
            row["p, DeLong"] = delong_test(mine["y"], mine["score"], other["score"]).pvalue
        else:
            row["p, DeLong"] = self._kept_p(folder, name, contender, row["gain"])
        return row

    def gain(
        self, folder: Path, name: str, contender: str, other: str, results: pd.DataFrame
    ) -> dict[str, float]:
        """Return the gain of a contender over another on the common folds; {} if fewer than two."""
        by_fold = results.pivot_table(self.metric, ["repetition", "fold"], "contender")
        if not {contender, other} <= set(by_fold):
            return {}
        paired = by_fold[[contender, other]].dropna()
        n_folds = read_about(folder, name)["settings"]["folds"]
        if len(paired) < 2:
            return {}
        test = corrected_resampled_ttest(paired[contender], paired[other], test_size=1 / n_folds)
        return {"gain": test.difference, "low": test.low, "high": test.high, "p": test.pvalue}

    def _kept_p(self, folder: Path, name: str, contender: str, gain: float) -> float:
        """Return p from an earlier summary if the scores are no longer available."""
        path = folder / f"{self.name}.csv"
        if path.exists():
            index = ["data", "contender"]
            kept = pd.read_csv(path, index_col=index, **EXACTLY)
            if (name, contender) in kept.index and "p, DeLong" in kept:
                row = kept.loc[(name, contender)]
                if np.isclose(row["gain"], gain, atol=1e-9):  # the summary is of the same results
                    return row["p, DeLong"]
        return np.nan

    def tell(self, folder: Path, heading: str) -> list[str]:
        """Return the paragraphs of the table: sizes and results for each data set."""
        summary = self.summarize(folder)
        parts = []
        for name in summary.index.unique("data"):
            about = read_about(folder, name)
            rows = readable(summary.loc[name], self.reference)
            commits = commits_of(folder, name, rows.index)
            if len(set(commits)) > 1:
                rows["commit"] = commits
            parts += [
                f"{heading} {titled(name)}",
                f"{tell_sizes(about)}\n\n{tell_commits(commits)}",
                markdown(rows),
                *self.conclude(summary.loc[name], about),
            ]
        return parts

    def conclude(self, rows: pd.DataFrame, about: dict[str, Any]) -> list[str]:
        """Return paragraphs that explain the results of one data set."""
        return []

    def draw(self, folder: Path) -> Figure:
        """Draw mean and spread of the AUC of each contender, one panel per data set."""
        summary = self.summarize(folder)
        names = summary.index.unique("data")
        longest = summary.groupby("data").size().max()
        n_columns, n_rows = min(2, len(names)), -(-len(names) // 2)
        # Leave about three inches for each panel beside the names of the contenders.
        width = 3.0 + 0.075 * max(map(len, summary.index.unique("contender")))
        size = (width * n_columns, n_rows * (0.32 * longest + 1.0) + 0.5)
        figure = Figure(figsize=size, layout="constrained")
        key = "expected AUC" if self.metric == "expected_auc" else "AUC"
        for place, name in enumerate(names, start=1):
            ax = figure.add_subplot(n_rows, n_columns, place)
            rows = summary.loc[name]
            y = np.arange(len(rows))[::-1]
            ax.errorbar(
                rows[key],
                y,
                xerr=rows[f"{key} sd"],
                fmt="o",
                color="#0072B2",
                capsize=3,
                label="measured, with standard deviation over folds",
            )
            if "paper AUC" in rows and rows["paper AUC"].notna().any():
                ax.plot(rows["paper AUC"], y, "D", mfc="none", color="#D55E00", label="paper")
            best = read_about(folder, name)["sizes"].get("best possible AUC")
            if best is not None:
                ax.axvline(best, color="0.4", linestyle=":", label="best possible")
            ax.set(yticks=y, yticklabels=rows.index, ylim=(-0.6, len(rows) - 0.4))
            ax.set(xlabel=key, title=NAMES[name])
            ax.grid(axis="x", alpha=0.3)
        handles = figure.axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=3)
        return figure

    def lacking(self, folder: Path) -> dict[str, list[str]]:
        """Return, by data set, the contenders that were not measured on all folds."""
        lacking = {}
        for name, contenders in self.contenders.items():
            if not (folder / f"{name}.csv").exists():
                lacking[name] = ["all contenders"]
                continue
            about = read_about(folder, name)
            count = pd.read_csv(folder / f"{name}.csv")["contender"].value_counts()
            full = about["settings"]["folds"]
            lacking[name] = [
                f"{one} ({count[one]} of {full} folds were measured)" if one in count else one
                for one in contenders
                if count.get(one, 0) < full
            ]
        return {name: contenders for name, contenders in lacking.items() if contenders}


def kept_folds(folder: Path, name: str, contender: str, n_folds: int) -> list[Any] | None:
    """Return rows, labels and scores of each fold of the first repetition, if all are kept."""
    paths = [scores_path(folder, name, contender, 0, fold) for fold in range(n_folds)]
    return [np.load(path) for path in paths] if all(path.exists() for path in paths) else None


def pooled(folder: Path, name: str, contender: str, n_folds: int) -> dict[str, np.ndarray] | None:
    """Return held-out scores of the first repetition, every row once, in order, if all are kept."""
    parts = kept_folds(folder, name, contender, n_folds)
    if parts is None:
        return None
    together = {key: np.concatenate([part[key] for part in parts]) for key in ("row", "y", "score")}
    order = np.argsort(together["row"])
    return {key: values[order] for key, values in together.items()}


def read_about(folder: Path, name: str) -> dict[str, Any]:
    """Return settings, sizes and versions of a data set's results."""
    return json.loads((folder / f"{name}.json").read_text())


def titled(name: str) -> str:
    """Return the name of a data set with a capital letter, for a heading."""
    return NAMES[name][0].upper() + NAMES[name][1:]


def tell_sizes(about: dict[str, Any]) -> str:
    """Return the sentences about sizes and settings above each table."""
    sizes = "; ".join(f"{key}: {value:,}" for key, value in about["sizes"].items())
    known = {key: value for key, value in about["settings"].items() if value is not None}
    values = {"rows": "all", "overdue rate": "unchanged"} | known
    settings = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in values.items())
    return f"Sizes: {sizes}.\n\nSettings: {settings}."


def commits_of(folder: Path, name: str, contenders: Sequence[str]) -> pd.Series:
    """Return, by contender, the commits of the code that measured it."""
    results = read_results(folder / f"{name}.csv")
    commit = results.get("commit", pd.Series(UNKNOWN, results.index)).fillna(UNKNOWN)
    known = commit.groupby(results["contender"]).unique()
    return known.map(lambda commits: ", ".join(sorted(commits))).loc[list(contenders)]


def tell_commits(commits: pd.Series) -> str:
    """Return the sentence about the commits of a table."""
    if len(set(commits)) > 1:
        return "The last column is the commit of the code that measured each row."
    commit = commits.iloc[0]
    return (
        NO_COMMIT
        if commit == UNKNOWN
        else f"Commit of the code that measured these rows: {commit}."
    )


def readable(rows: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return a summary of one data set as text, with related values in one column."""
    text = pd.DataFrame(index=rows.index)
    for key in ("AUC", "KS", "expected AUC"):
        text[key] = _join(rows, "{:.4f} ± {:.4f}", key, f"{key} sd")
    text["paper: AUC, KS"] = _join(rows, "{:.4f}, {:.4f}", "paper AUC", "paper KS")
    text[f"gain over {reference}"] = _join(
        rows, "{:+.4f} ({:+.4f} to {:+.4f})", "gain", "low", "high"
    )
    for key in ("p", "p, DeLong"):
        text[key] = _join(rows, "{:.4f}", key)
    if len(set(rows["folds"])) > 1:
        text["folds"] = rows["folds"].astype(str)
    return text.loc[:, (text != "").any()]


def _join(rows: pd.DataFrame, form: str, *columns: str) -> pd.Series:
    """Return several columns as one column of text; empty if the first value is missing."""
    values = rows.reindex(columns=list(columns))
    texts = [form.format(*row) if pd.notna(row[0]) else "" for row in values.to_numpy()]
    return pd.Series(texts, index=rows.index)


def markdown(table: pd.DataFrame) -> str:
    """Return a table of texts in Markdown, with its index as the first column."""
    lines = [["", *table.columns], ["---"] * (1 + table.shape[1])]
    lines += [[str(index), *row] for index, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
