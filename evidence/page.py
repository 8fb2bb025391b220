"""Write the pages of evidence and their pictures from the results in a folder, without measuring.

``evidence.md`` answers questions in plain words (see `plain`), and ``evidence_tables.md`` has all
tables. All numbers and verdicts are computed from the results.

    python evidence/page.py
    python evidence/page.py --results another_run --docs another_run/page
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import figure4
import figure5
import figure6
import mechanisms
import merging
import pandas as pd
import plain
import planted
import real_data
import table2
import table3
import table4
import table5
import table6
from contenders import (
    ABLATIONS,
    BASELINES,
    FORMS,
    LEFT_OUT,
    STACKED,
    STANDS_ON,
    TOLD,
    WITHOUT_TREES,
)
from matplotlib.figure import Figure
from mechanisms import TREES
from tables import NAMES, NOTES, REFERENCE, UNKNOWN, Table, markdown, read_about

DOCS = Path(__file__).resolve().parents[1] / "docs"
TABLES: list[Table] = [
    *(table2.TABLE, table3.TABLE, table4.TABLE, merging.TABLE, table5.TABLE),
    *(figure4.TABLE, figure5.TABLE, real_data.TABLE, mechanisms.TABLE),
]
#: The tables that contain all contenders.
WHOLE = (table2.TABLE, table3.TABLE, real_data.TABLE)
#: The teacher of the guided forms, and the trees that were also trained on old rows.
TEACHER, OLD_TOO = f"{TREES} + intervals", f"{TREES}, old and new"
#: Other forms of HUIHEN, and the models without any part of it.
BOTH = "HUIHEN, the paper's form"  # lacks two parts, so it is not an ablation of one
OTHER_FORMS = [BOTH, *FORMS, STACKED]
RIVALS = [name for name in (*BASELINES, *LEFT_OUT) if name != STACKED]
ALPHA = 0.05

HEAD = f"""\
# Evidence: all tables

Written by `make evidence` (`evidence/run.py`) from the results in `docs/evidence/`; do not edit
by hand. `make evidence RESULTS=<a new folder>` measures everything again and writes its results
and its page to that folder.

All forms of HUIHEN except those named "one cycle" were measured with the former training
protocol: one network, a constant learning rate of 0.001, a tenth of the rows held out, and early
stopping. They were measured before numbers of the profile were encoded as piecewise-linear
columns, and before the merging of operations weighed their names and their use together.
"HUIHEN, one cycle" is trained as the current default, but without a teacher. The current default
has [its own page](learning.md), where it is compared with models on the current statistics.
[Evidence](evidence.md) says in plain words what follows from all of them.

The claim to test is that HUIHEN beats the models that risk teams use today. The paper compares
HUIHEN with models of the profile alone. These tables have the same contenders and add those that
the paper omits: trees that are also trained on the old labels, trees on window statistics of the
same behaviors, and trees on HUIHEN's own vectors.

## At a glance

{{glance}}

The best contender is the one with the highest mean AUC of all that contain no part of HUIHEN. The
best form is the best of HUIHEN itself, the paper's form, HUIHEN with a teacher, with several
networks or blended with trees, and trees on its vectors. Both are selected and compared on the
same folds, those of the first repetition, so both values are optimistic. In parentheses: the 95%
interval and the p-value of the corrected resampled t test over these folds.

## Where HUIHEN wins, and where it does not

A contender is *ahead* if its mean AUC is higher than that of HUIHEN. It is *significantly* ahead
if p is below {ALPHA} in the corrected resampled t test over folds or in DeLong's test on the
pooled held-out scores. HUIHEN is significantly ahead only if p is below {ALPHA} in the t test. So
these rules report a loss more readily than a win. In parentheses: the 95% interval of the gain
over HUIHEN in AUC, and the p-values of both tests."""

PROTOCOL = f"""\
## Protocol

* Validation is by stratified cross-validation; the settings give the number of repetitions. All
  contenders have the same folds. {{versions}}
* All contenders have the same tuning budget: each tries `n settings` settings on a held-out fifth
  of its training rows. If that is 1, each has its default settings. Boosted trees and networks
  stop early on a held-out tenth. `patience` and `n epochs` apply to networks, `tree patience` and
  `n trees` to trees. Contenders with "150 trees" hold out no rows and try no other settings; this
  setting was known to be good at SuperLender.
* Each contender is defined once, in `evidence/contenders.py`. HUIHEN is warm-started from the
  old applications with XGBoost as its teacher; without old applications it starts cold.
* Banks A and B are simulated with the sizes and overdue rates of the paper's Table 1, because
  the paper's banks are not public. You can compare the order of the contenders with the paper,
  but not the numbers.
* For the value of a warm start with few new applications, see [warm start](warm_start.md).
* Each table names the commit of the code that measured it. Rows that were measured before
  commits were recorded are marked "{UNKNOWN}".
* {NOTES.replace(chr(10), chr(10) + "  ")}"""

LIMITS = """\
## Limits

* The simulator plants the effects that the paper describes. If HUIHEN finds a mechanism, this
  shows that a part of the network works, not that real banks have such effects.
* Each bank is simulated once, with one seed. The variation between folds shows the effect of
  other training rows, not of other banks. One repetition has few folds, so the corrected t test
  rarely detects small differences. DeLong's test ignores that other training rows would give
  other models.
* A warm-started network starts with the scores of step one, and keeps them if no epoch improves
  the AUC on the held-out tenth. At bank B that tenth has about fifty overdue rows, and this
  happens in a few folds. Ablations then have the same score.
* Hyperparameters of HUIHEN that the paper does not give were chosen by measurements that included
  SuperLender and, for the weight decay, BPI and UCI, on other folds than those of the tables (see
  [choices](choices.md)). The trees have common hyperparameters.
* None of these real data sets has app behaviors, overdue labels and old applications. The events
  of SuperLender are earlier loans, the label of BPI 2012 is acceptance, and the behaviors of UCI
  are six monthly statements."""

ABSENT = """\
## Not measured

These cells of the tables have no results, because they took too long or their data files were
missing."""


def glance(results: Path) -> pd.DataFrame:
    """Return, as text, HUIHEN, its best form and the best contender for each data set."""
    rows = {}
    for table in WHOLE:
        for name in table.contenders:
            path = results / f"{name}.csv"
            if not path.exists():
                continue
            known = pd.read_csv(path)
            first = known[known["repetition"] == 0]
            by_contender = first.groupby("contender")["auc"].agg(["mean", "size"])
            # A contender without all folds cannot be compared yet.
            n_folds = read_about(results, name)["settings"]["folds"]
            mean = by_contender.loc[by_contender["size"] == n_folds, "mean"]
            forms = mean[mean.index.isin([REFERENCE, *OTHER_FORMS])]
            rivals = mean[mean.index.isin(RIVALS)]
            if REFERENCE not in forms or rivals.empty:
                continue
            of_table = {REFERENCE, *OTHER_FORMS}.intersection(table.contenders[name])
            lacking = " (some forms were not measured)" if of_table - set(forms.index) else ""
            best, rival = forms.idxmax(), rivals.idxmax()
            gains = [table.gain(results, name, one, rival, first) for one in (REFERENCE, best)]
            rows[NAMES[name]] = {
                "best contender": f"{rival}: {rivals[rival]:.4f}",
                REFERENCE: f"{forms[REFERENCE]:.4f}",
                "its gain over that": _gain(pd.Series(gains[0])),
                "best form": f"{best}: {forms[best]:.4f}{lacking}",
                "its gain over the best contender": _gain(pd.Series(gains[1])),
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def verdicts(results: Path) -> list[str]:
    """Return, for each data set, who is ahead of HUIHEN, who is behind, and which parts help."""
    lines = []
    for table in WHOLE:
        summary = table.summarize(results)
        for name in table.contenders:
            if summary.empty or (name, REFERENCE) not in summary.index:
                lines.append(f"* **{NAMES[name]}**: HUIHEN was not measured.")
            else:
                lines.append(_verdict(name, summary.loc[name]))
                lines[-1] += _on_trees(table, results, name)
    return lines


def _on_trees(table: Table, folder: Path, name: str) -> str:
    """Return the gain of HUIHEN over trees, alone and blended with them, on the common folds."""
    results = pd.read_csv(folder / f"{name}.csv")
    alone = (REFERENCE, *WITHOUT_TREES)
    against = {
        f"Gain over {TREES} (t test only)": dict.fromkeys(alone, TREES),
        f"Gain over {TEACHER} (t test only)": dict.fromkeys(alone, TEACHER),
        f"Gain over {OLD_TOO} (t test only)": dict.fromkeys(alone, OLD_TOO),
        "Blended with trees, gain over the trees alone (t test only)": STANDS_ON,
    }
    lines = ""
    for label, pairs in against.items():
        gains = {form: table.gain(folder, name, form, to, results) for form, to in pairs.items()}
        told = [f"{form} {_gain(pd.Series(gain))}" for form, gain in gains.items() if gain]
        if told:
            lines += f"\n  * {label}: {'; '.join(told)}."
    return lines


def _verdict(name: str, rows: pd.DataFrame) -> str:
    others = rows.dropna(subset=["gain"])
    ahead, by_t, by_any = (
        others["gain"] > 0,
        others["p"] < ALPHA,
        (others["p"] < ALPHA) | (others["p, DeLong"] < ALPHA),
    )
    # A part that changes nothing does not help.
    lower = others["gain"] < 0
    rival = others.index.isin(RIVALS)
    part = others.index.isin([name for name in ABLATIONS if name != BOTH])
    groups = {
        "**Significantly ahead of HUIHEN**": rival & ahead & by_any,
        "Ahead, but not significantly": rival & ahead & ~by_any,
        "Behind, but not significantly": rival & ~ahead & ~by_t,
        "Significantly behind HUIHEN": rival & ~ahead & by_t,
        "*HUIHEN is significantly better without these parts*": part & ahead & by_any,
        "Without these parts, the AUC is not lower": part & ~lower & ~(ahead & by_any),
        "Without these parts, the AUC is lower, but not significantly": part & lower & ~by_t,
        "Without these parts, the AUC is significantly lower": part & lower & by_t,
        "Other forms of HUIHEN": others.index.isin(OTHER_FORMS),
        "Models that know the planted effects, which no bank does": others.index.isin(TOLD),
    }
    texts = [f"HUIHEN has AUC {rows.loc[REFERENCE, 'AUC']:.4f}."]
    if not (rival & ahead).any():
        texts.append("No measured contender is ahead of it.")
    for label, chosen in groups.items():
        if chosen.any():
            told = "; ".join(f"{one} {_gain(row)}" for one, row in others[chosen].iterrows())
            texts.append(f"{label}: {told}.")
    return "\n  * ".join([f"* **{NAMES[name]}**: {texts[0]}", *texts[1:]])


def _gain(row: pd.Series) -> str:
    tests = f"p {row['p']:.3f}"
    if pd.notna(row.get("p, DeLong")):
        tests += f", DeLong {row['p, DeLong']:.3f}"
    return f"{row['gain']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f}; {tests})"


def absent(results: Path) -> list[str]:
    """Return the cells that were not measured."""
    lines = []
    for table in TABLES:
        alike: dict[str, list[str]] = {}
        for name, contenders in table.lacking(results).items():
            alike.setdefault("; ".join(contenders), []).append(NAMES[name])
        lines += [f"* {table.title}: {', '.join(names)}: {one}." for one, names in alike.items()]
    done = set(table6.read(results)["data"])
    if lacking := [NAMES[name] for name in table6.PAPER.index if name not in done]:
        lines.append(f"* {table6.TITLE}: {', '.join(lacking)}.")
    if not (results / figure6.RESULTS).exists():
        lines.append(f"* {figure6.TITLE}.")
    return lines


def write(results: Path, docs: Path) -> None:
    """Write both pages and their pictures, and the summaries of the tables."""
    (docs / "images").mkdir(parents=True, exist_ok=True)
    (docs / "evidence_tables.md").write_text(compose_tables(results))
    (docs / "evidence.md").write_text(compose(results))
    for name, figure in draw(results).items():
        figure.savefig(docs / "images" / f"evidence_{name}.png", dpi=100)


def draw(results: Path) -> dict[str, Figure]:
    """Return the pictures of the pages by name."""
    figures = {
        table.name: table.draw(results) for table in TABLES if not table.summarize(results).empty
    }
    if (results / "learning").is_dir():
        figures["learning"] = plain.draw(results)
    if len(table6.read(results)):
        figures["table6"] = table6.draw(results)
    if (results / figure6.RESULTS).exists():
        figures["figure6"] = figure6.draw(results)
    return figures


def compose(results: Path) -> str:
    """Return the text of the page in plain words."""
    return plain.tell(results, glance(results))


def compose_tables(results: Path) -> str:
    """Return the text of the page of all tables, and write their summaries."""
    summaries = {table.name: table.summarize(results) for table in TABLES}
    versions = {
        "; ".join(f"{key} {value}" for key, value in read_about(results, name)["versions"].items())
        for summary in summaries.values()
        for name in summary.index.unique("data")
    }
    told = "".join(f"Versions: {one}. " for one in sorted(versions)).strip()
    compared = glance(results)
    head = HEAD.format(glance="No results yet." if compared.empty else markdown(compared))
    parts = [head, "\n".join(verdicts(results)), PROTOCOL.format(versions=told)]

    for table in TABLES:
        if not (summary := summaries[table.name]).empty:
            parts += [f"## {table.title}", *table.tell(results, "###"), _picture(table.name)]
            summary.to_csv(results / f"{table.name}.csv")
        if table is table3.TABLE and len(planted.read(results)):
            parts += [f"## {planted.TITLE}", *planted.tell(results)]
        if table is table5.TABLE and len(table6.read(results)):
            parts += [f"## {table6.TITLE}", *table6.tell(results), _picture("table6")]
        if table is figure5.TABLE and (results / figure6.RESULTS).exists():
            parts += [f"## {figure6.TITLE}", *figure6.tell(results), _picture("figure6")]
        if table is real_data.TABLE and len(known := real_data.compare_known(results)):
            parts += ["### Known baselines", KNOWN, markdown(known)]
    lacking = absent(results)
    parts += [LIMITS, ABSENT, "\n".join(lacking) if lacking else "All cells were measured."]
    return "\n\n".join(parts) + "\n"


KNOWN = """\
Standard errors over folds are in parentheses. The known baselines were measured earlier, with
other settings and other code for profiles and window statistics. Their commit was not recorded."""


def _picture(name: str) -> str:
    return f"![{name}](images/evidence_{name}.png)"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=DOCS / "evidence")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder for the pages")
    parsed = parser.parse_args(arguments)
    write(parsed.results, parsed.docs)


if __name__ == "__main__":
    main()
