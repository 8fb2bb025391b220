"""Each mechanism of behavior planted alone, and the part of the network that should find it.

The simulator's profile and all mechanisms but one are switched off, and 30% of 6,000 applications
are overdue, so that behavior alone decides. HUIHEN is measured beside the ablation that should miss
the mechanism: without the time-aware GRU (what is impulsive, hesitant or late in the month), and
without the user-item-aware GRU (a habit that matters by the credit applied for); for what is a
share of the whole history, without the mean intention, too; for the habit, which shows in which of
dozens of products are looked at, with topics. LightGBM stands beside them on window statistics, and
on the profile as a control, which knows nothing here. What counts is the expected
AUC, by the true probabilities, and the share won of what is to win:
(AUC - 0.5) / (best possible AUC - 0.5).

    python evidence/mechanisms.py --output results --n-settings 1
    python evidence/mechanisms.py --output quick --small
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from tables import REFERENCE, Table

TIME, USER_ITEM = "HUIHEN, no time-aware GRU", "HUIHEN, no user-item-aware GRU"
MEAN = "HUIHEN, no mean intention"
TREES = "LightGBM, profile + windows"
TOPICS, TREES_OF_TOPICS = "HUIHEN, topics", "LightGBM, profile + windows + topics, 150 trees"
#: The part that the paper says finds each mechanism, by the ablation that lacks it.
PART = {"impulsive": TIME, "hesitant": TIME, "month_end": TIME, "habit": USER_ITEM}
#: What is a share of the whole history, not of the last session.
SPREAD = ("month_end", "habit")
#: From which share won on a mechanism counts as found, and as found in part.
FOUND, IN_PART = 0.5, 0.2


class Mechanisms(Table):
    """A table of the expected AUC, with the share that is won of what is to win."""

    def conclude(self, rows: pd.DataFrame, about: dict[str, Any]) -> list[str]:
        """Tell what is found, what the ablations miss, and what LightGBM finds."""
        if REFERENCE not in rows.index:
            return []
        best = about["sizes"]["best possible AUC"]
        won = (rows["expected AUC"] - 0.5) / (best - 0.5)
        shares = "Share won of what is to win: " + "; ".join(
            f"{contender} {share:.0%}" for contender, share in won.items()
        )
        found = won[REFERENCE] >= IN_PART
        text = [f"{shares}. **HUIHEN {_grade(won[REFERENCE])}.**"]
        for ablation in (TIME, USER_ITEM, MEAN):
            if ablation not in rows.index:
                continue
            lost = won[REFERENCE] - won[ablation]
            sure = rows.loc[ablation, "p"] < 0.05
            if not found:
                verdict = "so nothing can be said of the part that it lacks"
            elif sure and won[ablation] < won[REFERENCE] / 2:
                verdict = "so the mechanism is missed without this part"
            elif sure and lost > 0:
                verdict = "so a part of it is lost without this part"
            else:
                verdict = "no clear loss, so this part is not shown to find the mechanism"
            text.append(f'"{ablation}" wins {won[ablation]:.0%}: {verdict}.')
        named = {
            TOPICS: "HUIHEN with topics",
            TREES: "LightGBM on window statistics",
            TREES_OF_TOPICS: "LightGBM on window statistics and topics",
        }
        text += [f"{name} {_grade(won[one])}." for one, name in named.items() if one in won]
        return [" ".join(text)]


def _grade(share: float) -> str:
    if share >= FOUND:
        return f"finds it ({share:.0%})"
    if share >= IN_PART:
        return f"finds it in part ({share:.0%})"
    return f"does not find it ({share:.0%})"


TABLE = Mechanisms(
    "mechanisms",
    __doc__,
    {
        mechanism: [
            *(REFERENCE, part, *([MEAN] if mechanism in SPREAD else [])),
            *([TOPICS, TREES_OF_TOPICS] if mechanism == "habit" else []),
            *(TREES, "LightGBM, profile"),
        ]
        for mechanism, part in PART.items()
    },
    metric="expected_auc",
)

if __name__ == "__main__":
    TABLE.main()
