"""The current default of HUIHEN, compared with other models and with features by an expert.

At simulated banks it is warm-started from the old applications, and contenders named "old and new"
are trained on them too. The real data have none. Nothing is tuned: each contender has one setting.

python evidence/learning.py --output results
python evidence/learning.py --output quick --data superlender --small
python evidence/learning.py --output docs/evidence/learning --page docs/learning.md

The last command measures the missing cells and writes the page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from contenders import TODAY
from tables import NAMES, NOTES, Table, markdown

DEFAULT = "HUIHEN, default"
#: The real data sets have too few behaviors for topics.
NO_TOPICS = "HUIHEN, default, no topics"
HERE = [name for name in TODAY if "expert" not in name and "old" not in name and name != NO_TOPICS]
OLD = "LightGBM, profile + windows + topics, old and new, 150 trees"
EXPERT = "LightGBM, profile + expert, 150 trees"
AT_BANKS = [DEFAULT, *(name for name in TODAY if "old" in name), OLD]
AT_BANKS += [name for name in HERE if "HUIHEN" not in name]
TABLE = Table(
    "learning",
    __doc__,
    {
        "superlender": [*HERE, *(name for name in TODAY if "expert" in name), EXPERT],
        "bpic2012": HERE,
        "uci": [name for name in HERE if name != "HUIHEN, default, single network"],
        "bank_a": AT_BANKS,
        "bank_b": [*AT_BANKS, NO_TOPICS, "HUIHEN, default, no teacher"],
    },
    repetitions=3,
    reference=DEFAULT,
)
#: The table of README: data set, the model that HUIHEN is compared with, what that model is
#: called there, and the form of HUIHEN that is blended with it.
FRONT = [
    (
        *("superlender", "LightGBM, profile + windows + intervals, 150 trees"),
        *("LightGBM, windows", "HUIHEN, default, on LightGBM"),
    ),
    (
        *("superlender", EXPERT, "LightGBM, an expert's features"),
        "HUIHEN, default, by and on an expert's trees",
    ),
    (
        *("bpic2012", "LightGBM, profile + windows + intervals, 150 trees"),
        *("LightGBM, windows", "HUIHEN, default, on LightGBM"),
    ),
    (
        *("uci", "LightGBM, profile + windows + intervals, 150 trees"),
        *("LightGBM, windows", "HUIHEN, default, on LightGBM"),
    ),
    (
        *("bank_b", OLD, "LightGBM, windows, topics, old rows"),
        "HUIHEN, default, on LightGBM with topics, old and new",
    ),
]
HEAD = """\
# How HUIHEN learns today

Written by `evidence/learning.py`; do not edit by hand. "HUIHEN, default" is `HUIHENClassifier()`
after `BehaviorAbstractor` and `Sessionizer`: a one-cycle learning rate and five networks with
LightGBM and a scorecard as teachers, which are not needed for scoring. "On LightGBM" means that
LightGBM is the `base_estimator`; "by" names the teacher. Nothing is tuned. The best form and the
best other model are selected on the same folds on which they are reported. All other tables are
on the page [evidence](evidence.md); they were measured with the former training protocol.

The commits tell versions apart: rows of HUIHEN from before cfc3f3330 have the L2 penalty of Adam
instead of the weight decay of AdamW, those from before 81e4cc2ee have a dropout of 0.6 and a
guidance weight of 1 instead of 0.4 and 3, those from before 39f551d06 always have 15 epochs, and
windows from before a2f3c8a4b do not know the part of the month. The weights of a base estimator
from before 1d736554c have an earlier correction.
"""


def glance(folder: Path) -> pd.DataFrame:
    """Return, for each data set, the best other model, the default, the best form and its gain."""
    rows = {}
    for name in TABLE.contenders:
        if not (folder / f"{name}.csv").exists():
            continue
        results = pd.read_csv(folder / f"{name}.csv")
        counts = results["contender"].value_counts()
        whole = counts[counts == counts.max()].index
        auc = results[results["contender"].isin(whole)].groupby("contender")["auc"].mean()
        is_ours = auc.index.str.startswith("HUIHEN")
        if is_ours.all() or DEFAULT not in auc:
            continue
        other, best = auc[~is_ours].idxmax(), auc[is_ours].idxmax()
        row = {"best other model": f"{other}: {auc[other]:.4f}"}
        for title, contender in (("default", DEFAULT), ("best form", best)):
            gain = TABLE.gain(folder, name, contender, other, results)
            row[f"HUIHEN, {title}"] = f"{contender.removeprefix('HUIHEN, ')}: {auc[contender]:.4f}"
            row[f"gain of the {title}"] = (
                "{gain:+.4f} ({low:+.4f} to {high:+.4f}; p {p:.3f})".format(**gain)
            )
        rows[NAMES[name]] = row | {"folds": str(counts.max())}
    return pd.DataFrame.from_dict(rows, orient="index")


def front(folder: Path) -> pd.DataFrame:
    """Return the table of README: HUIHEN beside the models that risk teams use, and the times."""
    rows = []
    for name, other, called, blended in FRONT:
        results = pd.read_csv(folder / f"{name}.csv")
        auc = results.groupby("contender")["auc"].mean()
        seconds = results.groupby("contender")["seconds"].median()
        row = {"data": NAMES[name], "compared with": called, "its AUC": f"{auc[other]:.3f}"}
        row["AUC of HUIHEN"] = f"{auc[DEFAULT]:.3f}"
        for title, form in (("difference", DEFAULT), ("difference if blended", blended)):
            gain = TABLE.gain(folder, name, form, other, results)
            row[title] = "{gain:+.3f} ({low:+.3f} to {high:+.3f})".format(**gain)
        times = [f"{s:.1f}" if s < 1 else f"{s:.0f}" for s in seconds[[DEFAULT, other]]]
        row["seconds to fit: HUIHEN, other"] = ", ".join(times)
        rows.append(row)
    return pd.DataFrame(rows).set_index("data")


def write_page(folder: Path, page: Path) -> None:
    """Write the page from the results of a folder."""
    notes = NOTES.replace("gain over HUIHEN", f"gain over {DEFAULT}")
    parts = [HEAD.rstrip(), markdown(glance(folder)), *TABLE.tell(folder, "##"), notes]
    page.write_text("\n\n".join(parts) + "\n")


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--output", type=Path)
    page, _ = parser.parse_known_args()
    rest = sys.argv[1:]
    if page.page is not None:
        at = rest.index("--page")
        rest = rest[:at] + rest[at + 2 :]
    TABLE.main(["--n-settings", "1", *rest])
    if page.page is not None:
        write_page(page.output, page.page)


if __name__ == "__main__":
    main()
