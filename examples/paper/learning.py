"""How HUIHEN learns today, beside what a risk team has and what an expert adds.

At simulated banks it is warm-started from the old applications, as those named "old and new" see
them; on real data there are none. Nothing is tuned: each contender has one setting.

python examples/paper/learning.py --output results
python examples/paper/learning.py --output quick --data superlender --small
python examples/paper/learning.py --output docs/evidence/learning --page docs/learning.md

The last one measures what is still lacking and writes the page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from contenders import TODAY
from tables import NAMES, NOTES, Table, markdown

DEFAULT = "HUIHEN, default"
#: No real lender here has so many behaviors that there are topics.
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
        "superlender": [*HERE, "HUIHEN, default, by and on an expert's trees", EXPERT],
        "bpic2012": HERE,
        "uci": [name for name in HERE if name != "HUIHEN, default, single network"],
        "bank_a": AT_BANKS,
        "bank_b": [*AT_BANKS, NO_TOPICS, "HUIHEN, default, no teacher"],
    },
    repetitions=3,
    reference=DEFAULT,
)
HEAD = """\
# How HUIHEN learns today

Written by `examples/paper/learning.py`; do not edit by hand. "HUIHEN, default" is
`HUIHENClassifier()` as it is, behind `BehaviorAbstractor` and `Sessionizer`: one cycle of the rate,
five networks, taught by LightGBM and a scorecard, which are not asked when it scores (at simulated
banks, where it is warm-started, by LightGBM and the network of step one). "On LightGBM"
has that as `base_estimator`. Nothing is tuned; the best form and the best other model are the best
on the folds that they are shown on. The [evidence](evidence.md) has all other tables, of the former
way of learning.
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


def commits(folder: Path) -> str:
    """Say which code has made the rows."""
    told = []
    for name in TABLE.contenders:
        if (folder / f"{name}.csv").exists():
            results = pd.read_csv(folder / f"{name}.csv")
            counts = results.groupby("commit").size()
            told.append(f"{NAMES[name]}: {', '.join(f'{k} ({n} rows)' for k, n in counts.items())}")
    return "Commits of the code that measured: " + "; ".join(told) + "."


def write_page(folder: Path, page: Path) -> None:
    """Write the page from the results of a folder."""
    notes = NOTES.replace("Gain on HUIHEN", f"Gain on {DEFAULT}")
    parts = [HEAD.rstrip(), markdown(glance(folder)), *TABLE.tell(folder, "##"), notes]
    page.write_text("\n\n".join([*parts, commits(folder)]) + "\n")


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
