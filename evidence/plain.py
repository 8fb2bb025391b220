"""The page ``docs/evidence.md``: where HUIHEN wins, where it does not, and how we know.

One table or picture for each question. All numbers and verdicts are computed from the results.
`page` writes it, and beside it the page of all tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import figure4
import figure5
import learning
import mechanisms
import numpy as np
import pandas as pd
import real_data
import table2
import table3
import table6
from matplotlib.figure import Figure
from tables import NAMES, PAPER, REFERENCE, Table, markdown, read_about, titled

#: The parts of the network and of the steps before it, and HUIHEN without each.
PARTS = {
    "warm start from old applications": "HUIHEN, no warm start",
    "teacher of the warm start": "HUIHEN, no teacher",
    "sessions": "HUIHEN, no sessions",
    "time-aware GRU": "HUIHEN, no time-aware GRU",
    "user-item-aware GRU": "HUIHEN, no user-item-aware GRU",
    "a matrix for each field": "HUIHEN, no field-aware matrices",
    "merging of operations": "HUIHEN, original operations",
    "event numbers (not in the paper)": "HUIHEN, no event numbers",
    "mean intention (not in the paper)": "HUIHEN, no mean intention",
}
MECHANISMS = {
    "impulsive": "a last session that is short and fast",
    "hesitant": "a last session with one long hesitation",
    "month_end": "activity late in the month",
    "habit": "an appetite for risky products, which no column identifies",
}
BEHAVIORS = ["impulsive", "hesitant", "month_end", "habit"]
HELD = [REFERENCE, "HUIHEN, topics", "LightGBM, profile + windows, 150 trees"]
HELD += ["LightGBM, profile + windows + topics, 150 trees"]

HEAD = """\
# Evidence

Is HUIHEN better than the models that risk teams use today? This page says where it wins, where it
does not, and how we know. Each number and verdict is computed from the results in
`docs/evidence`, which `make evidence` and `evidence/learning.py` measured. [All
tables](evidence_tables.md) has every model, every test and every setting."""

TODAY = """\
## HUIHEN beside LightGBM, today

The table compares `HUIHENClassifier()` with its defaults to LightGBM. LightGBM sees the profile and
statistics of the same events, such as counts and sums over recent days ("windows"), or what an
expert computed about earlier loans. At simulated bank B both models also learn from old
applications ("old rows"), and topics say what the behaviors are about. A difference is the AUC of
HUIHEN minus that of LightGBM, with a 95% interval. "Blended" means HUIHEN combined with that same
LightGBM. Seconds are for one fit."""

WHERE = """\
So do not replace a model on good statistics of the events by HUIHEN alone: blend the two. If an
expert has computed what matters, such as how late earlier loans were repaid, LightGBM on these
features is as good as HUIHEN alone. LightGBM is also fitted many times faster. [How HUIHEN
learns today](learning.md) has all models of this comparison."""

FORMER = """\
## More data sets and models, with the former training protocol

The tables below were measured earlier, with a weaker form of HUIHEN: one network, a constant
learning rate, early stopping, no teacher after the warm start, and an older encoding of the
profile. Only this form was measured at bank A, and without one of its parts (ablations). "Best
form" is the best of many forms of HUIHEN, and "best contender" the best model without any part of
HUIHEN. Both were selected on the folds on which they are compared, so the AUC of each is a little
too high. Gains are differences in AUC."""

LOSSES = """\
By at least one of two tests, these models without any part of HUIHEN are significantly ahead of
that HUIHEN alone. ([All tables](evidence_tables.md#where-huihen-wins-and-where-it-does-not) also
has those that are ahead, but not significantly.)"""

PLANTED = """\
## Does it find what was planted?

The simulator can plant one kind of behavior at a time. Then nothing else determines the risk
(6,000 applications, 30% overdue). Each figure is a share of the best possible gain in AUC over 0.5.
LightGBM on windows is as good as HUIHEN if the risk lies in the last session. HUIHEN wins if the
behavior is spread over the month, though not in every fold. It loses if the risk lies in which
products an applicant looks at: HUIHEN alone does not find this, and HUIHEN with topics is still
behind LightGBM with topics."""

TOGETHER = """\
At banks A and B all four behaviors are planted together and more weakly, and the profile has
effects too. The columns are the four behaviors of the table above, in the same order. Each figure
says how much of an effect the scores contain: 1 is all of it, and 0 is nothing."""

OF_PARTS = """\
## Which parts matter, and was the paper right?

Each figure is the AUC that a part adds: HUIHEN minus HUIHEN without the part. An asterisk means
that the 95% interval excludes zero. The banks of the paper are not public; ours are simulated
with the same sizes, so compare the order and not the values. {verdict}"""

GUIDANCE = """\
## Does guidance by a teacher help a network of profiles?

Table 6 of the paper shows what guidance probabilities add to the AUC of a plain network that sees
the profile alone. Here the same was measured. The teacher itself, XGBoost, is better than the
guided network on every one of these data sets."""

KEPT = """\
## How much history is needed?

As in Figures 4 and 5 of the paper, the table shows the AUC by the number of behaviors and of
sessions that are kept. It was measured on a quarter of simulated bank A. In the paper, the AUC
rises up to 25 behaviors."""

FIELDS = """\
## Are the fields of behaviors separate?

Figure 6 of the paper shows the vectors of behaviors in a plane, where the three behavior fields
are separate clouds. Here they overlap, measured in all dimensions: see [all
tables](evidence_tables.md)."""

HOW = """\
## How we know

* **The same folds for all.** Every model has the same five stratified folds, with three repetitions
  on the smaller data sets. All steps are fitted on the training rows of each fold.
* **A test that allows for shared rows.** Training rows are shared between folds. The intervals are
  those of the corrected resampled t test (Nadeau and Bengio 2003), which allows for this and gives
  wider intervals than an ordinary t test. DeLong's test compares pooled held-out scores.
* **Strong rivals.** LightGBM and XGBoost see statistics of the same events and, at simulated banks,
  the same old applications. The paper compares with models of the profile alone. All models have
  the same budget for tuning.
* **A known truth.** At simulated banks the expected AUC is computed from the true probabilities,
  without the noise of labels.
* **A commit for each row.** The results name the commit of the code that measured them, if it was
  recorded.

Other pages have figures on [speed](speed.md), [few overdue applications](guide/few_overdue.md),
[calibration](user_guide.md#are-the-probabilities-right), the [value of a warm
start](warm_start.md), [reasons](reasons_measured.md) and [alarms](monitoring_measured.md)."""

LIMITS = """\
## Limits

* The simulator plants the effects that the paper describes. If HUIHEN finds a mechanism, this
  shows that a part of the network works, not that real banks have such effects.
* Each bank is simulated once, with one seed. The variation between folds shows the effect of
  other training rows, not of other banks. If there is one repetition, there are few folds, and the
  corrected t test rarely detects small differences. DeLong's test ignores that other training rows
  would give other models.
* With the former training protocol, a warm-started network keeps the scores of step one if no epoch
  improves the AUC on the held-out tenth. At bank B that tenth has about fifty overdue rows, and
  this happens in a few folds. In these folds, HUIHEN and its ablations have the same score.
* Hyperparameters of HUIHEN that the paper does not give were chosen by measurements that included
  SuperLender and, for the weight decay, BPI and UCI, on other folds than those of the tables (see
  [choices](choices.md)). LightGBM and XGBoost have usual hyperparameters.
* None of the real data sets has app behaviors, overdue labels and old applications together. The
  events of SuperLender are earlier loans, the label of BPI 2012 is acceptance, and the behaviors of
  UCI are six monthly statements."""

FILES = [
    ("learning/learning", "today's default and its rivals; the same folder has single folds"),
    ("table2 table3 real_data", "all models: AUC, KS, gain, interval, p-values, seconds"),
    (
        "bank_a bank_b superlender bpic2012 uci",
        "single folds by data set; sizes and settings are in JSON files",
    ),
    ("table4 merging", "the paper's Table 4, and every way of merging operations"),
    ("table5 table6", "the paper's Tables 5 and 6"),
    ("figure4 figure5 figure6", "the paper's figures"),
    ("mechanisms planted", "what was planted, and how much of it the scores contain"),
    ("calibration few_overdue", "calibration, and few overdue applications"),
]
OF_FILES = """\
## Where every figure is

| files in `docs/evidence` | what |
| --- | --- |"""


def judge(gain: dict[str, float]) -> str:
    """Return who is ahead, and whether that is significant."""
    word = "ahead" if gain["gain"] > 0 else "behind"
    clear = gain["low"] > 0 or gain["high"] < 0
    return f"significantly {word}" if clear else f"{word}, but not significantly"


def tell(results: Path, compared: pd.DataFrame) -> str:
    """Return the text of the page; ``compared`` has the best forms and the best other models."""
    parts = [HEAD]
    if (results / "learning").is_dir():
        today = markdown(learning.front(results / "learning"))
        parts += [TODAY, today, "\n".join(_told(results / "learning")), WHERE, _picture("learning")]
    parts += [FORMER, "No results yet." if compared.empty else markdown(compared)]
    if losses := _losses(results):
        parts += [LOSSES, "\n".join(losses)]
    if len(shares := shares_of_planted(results)):
        parts += [PLANTED, markdown(shares)]
    if (results / "planted.csv").exists():
        parts += [TOGETHER, markdown(_contained(results))]
    if len(of_parts := worth_of_parts(results)):
        parts += [OF_PARTS.format(verdict=_on_paper(of_parts)), markdown(of_parts.map(_starred))]
    if len(known := table6.read(results)):
        parts += [GUIDANCE, markdown(_guidance(known))]
    if len(kept := _kept(results)):
        parts += [KEPT, markdown(kept), *_concluded(results)]
    if (results / "figure6.csv").exists():
        parts += [FIELDS]
    files = [OF_FILES]
    for names, what in FILES:
        links = ", ".join(f"[{name}.csv](evidence/{name}.csv)" for name in names.split())
        files.append(f"| {links} | {what} |")
    return "\n\n".join([*parts, HOW, LIMITS, "\n".join(files)]) + "\n"


def _told(folder: Path) -> list[str]:
    """Return a sentence on each comparison of today."""
    lines, n_best = [], 0
    for name, other, called, blended in learning.FRONT:
        results = pd.read_csv(folder / f"{name}.csv")
        auc = results.groupby("contender")["auc"].mean()
        n_best += auc[blended] > auc[[other, learning.DEFAULT]].max()
        alone, both = (
            learning.TABLE.gain(folder, name, form, other, results)
            for form in (learning.DEFAULT, blended)
        )
        lines.append(
            f"* **{titled(name)}, against {called}**: HUIHEN alone is {judge(alone)}; "
            f"blended, it is {judge(both)}."
        )
    lines.append(
        f"* In {n_best} of {len(lines)} comparisons the blend has a higher AUC than both its parts."
    )
    return lines


def _losses(results: Path) -> list[str]:
    """Return, by data set, the models that are significantly ahead of HUIHEN alone."""
    lines = []
    for table in (table2.TABLE, table3.TABLE, real_data.TABLE):
        summary = table.summarize(results).reset_index()
        if summary.empty:
            continue
        rival = ~summary["contender"].str.contains("HUIHEN|planted")
        significant = (summary["p"] < 0.05) | (summary["p, DeLong"] < 0.05)
        lost = summary[rival & significant & (summary["gain"] > 0)]
        for name in summary.loc[summary["contender"] == REFERENCE, "data"]:
            of = lost[lost["data"] == name]
            told = [f"{row['contender']} ({row['gain']:+.3f})" for _, row in of.iterrows()]
            lines.append(f"* {titled(name)}: {'; '.join(told) if told else 'none'}.")
    return lines


def shares_of_planted(results: Path) -> pd.DataFrame:
    """Return, as text, the share of the attainable AUC gain for each mechanism planted alone."""
    summary = mechanisms.TABLE.summarize(results)
    rows = {}
    for name, told in MECHANISMS.items():
        if name not in summary.index:
            continue
        best = read_about(results, name)["sizes"]["best possible AUC"]
        share = (summary.loc[name, "expected AUC"] - 0.5) / (best - 0.5)
        share = share.map("{:.0%}".format)
        rows[told] = {
            "HUIHEN": share.get(REFERENCE, ""),
            "HUIHEN with topics": share.get(mechanisms.TOPICS, ""),
            "LightGBM, windows": share.get(mechanisms.TREES, ""),
            "LightGBM, windows and topics": share.get(mechanisms.TREES_OF_TOPICS, ""),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _contained(results: Path) -> pd.DataFrame:
    """Return, as text, how much of each planted behavior the scores of some models contain."""
    summary = pd.read_csv(results / "planted.csv")
    summary = summary[summary["contender"].isin(HELD)]
    names = summary["data"].map(titled) + ": " + summary["contender"]
    return summary[BEHAVIORS].map("{:.2f}".format).set_axis(names)


def worth_of_parts(results: Path) -> pd.DataFrame:
    """Return what each part adds to the AUC, with its interval, in the paper and here."""
    rows: dict[str, dict[str, Any]] = {}
    for part, without in PARTS.items():
        row: dict[str, Any] = {}
        for i, bank in enumerate("AB"):
            known = PAPER.get(without)
            worth = np.nan if known is None else PAPER[REFERENCE][2 * i] - known[2 * i]
            row[f"paper, bank {bank}"] = {"gain": worth, "low": np.nan, "high": np.nan}
        for name in ("bank_a", "bank_b", "superlender", "bpic2012", "uci"):
            path = results / f"{name}.csv"
            if path.exists():
                frame = pd.read_csv(path)
                row[NAMES[name]] = _gain(table2.TABLE, results, name, without, frame)
        rows[part] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _gain(
    table: Table, results: Path, name: str, without: str, frame: pd.DataFrame
) -> dict[str, float]:
    nothing = {"gain": np.nan, "low": np.nan, "high": np.nan}
    return table.gain(results, name, REFERENCE, without, frame) or nothing


def _starred(gain: dict[str, float]) -> str:
    if np.isnan(gain["gain"]):
        return ""
    clear = gain["low"] > 0 or gain["high"] < 0
    return f"{gain['gain']:+.3f}" + " \\*" * clear


def _on_paper(of_parts: pd.DataFrame) -> str:
    """Return the sentence on what was found again of what the paper reports."""
    banks = [NAMES[name] for name in ("bank_a", "bank_b") if NAMES[name] in of_parts]
    reported = of_parts[of_parts["paper, bank A"].map(lambda gain: not np.isnan(gain["gain"]))]
    clear, absent = [], []
    for part, row in reported.iterrows():
        lows = [row[bank]["low"] for bank in banks]
        gains = [row[bank]["gain"] for bank in banks]
        if any(low > 0 for low in lows):
            clear.append(str(part))
        elif not all(gain > 0 for gain in gains):
            absent.append(str(part))
    told = ""
    if clear:
        told += (
            "These parts of the paper add significantly at one simulated bank or both: "
            f"{', '.join(clear)}. "
        )
    if absent:
        told += f"These do not add anything at one or both: {', '.join(absent)}."
    return told.strip()


def _guidance(known: pd.DataFrame) -> pd.DataFrame:
    summary = table6.summarize(known)
    rows = {}
    for name in summary.index.unique("data"):
        of, paper = summary.loc[name], table6.PAPER.loc[name]
        if "guided" not in of.index or "gain" not in of:
            continue
        row = of.loc["guided"]
        rows[NAMES[name]] = {
            "paper": f"{paper['guided'] - paper['MLP']:+.4f}",
            "here": f"{row['gain']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})",
            "teacher minus guided": f"{of.loc['teacher', 'AUC'] - row['AUC']:+.4f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _kept(results: Path) -> pd.DataFrame:
    """Return, as text, the AUC by the number of behaviors and sessions that are kept."""
    rows = {}
    for sweep in (figure4.TABLE, figure5.TABLE):
        summary = sweep.summarize(results).reset_index("data", drop=True)
        measured = {n: one for n, one in sweep.kept.items() if one in summary.index}
        if measured:
            told = [f"{n}: {summary.loc[one, 'AUC']:.3f}" for n, one in measured.items()]
            rows[sweep.what] = {"number kept: AUC": "; ".join(told)}
    return pd.DataFrame.from_dict(rows, orient="index")


def _concluded(results: Path) -> list[str]:
    texts = []
    for sweep in (figure4.TABLE, figure5.TABLE):
        summary = sweep.summarize(results)
        for name in summary.index.unique("data"):
            texts += sweep.conclude(summary.loc[name], read_about(results, name))
    return [" ".join(texts)] if texts else []


def draw(results: Path) -> Figure:
    """Draw the differences of today with their intervals."""
    folder = results / "learning"
    figure = Figure(figsize=(8, 4), layout="constrained")
    ax = figure.subplots()
    for i, (name, other, _, blended) in enumerate(learning.FRONT):
        frame = pd.read_csv(folder / f"{name}.csv")
        forms = ((learning.DEFAULT, "#0072B2", 0.14), (blended, "#D55E00", -0.14))
        for form, color, shift in forms:
            gain = learning.TABLE.gain(folder, name, form, other, frame)
            ax.plot([gain["low"], gain["high"]], [shift - i] * 2, color=color)
            label = {0.14: "HUIHEN alone", -0.14: "HUIHEN blended with that model"}[shift]
            ax.plot(gain["gain"], shift - i, "o", color=color, label=label if i == 0 else None)
    ax.axvline(0, color="0.4", linestyle=":")
    labels = [f"{NAMES[name]}:\n{called}" for name, _, called, _ in learning.FRONT]
    ax.set(yticks=-np.arange(len(labels)), yticklabels=labels)
    ax.set_xlabel("difference in AUC from the model named on the left, with 95% interval")
    ax.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _picture(name: str) -> str:
    return f"![{name}](images/evidence_{name}.png)"
