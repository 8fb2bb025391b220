"""Each mechanism of behavior planted alone, and the part of the network that should find it.

The effect of the profile and all mechanisms but one are switched off in the simulator, and 30% of
6,000 applications are overdue, so that only behavior determines the risk. HUIHEN is compared with
the ablation that should miss the mechanism: without the time-aware GRU for impulsive and hesitant
behavior and behavior late in the month, and without the user-item-aware GRU for the habit, whose
effect depends on the credit applied for. If a mechanism is a share of the whole history, HUIHEN
without the mean intention is measured too. The habit shows in which of dozens of products a user
views, so it is also measured with topics. LightGBM on window statistics is measured as well, and
LightGBM on the profile as a control, which cannot know anything here. The metric is the expected
AUC from the true probabilities, and the share of the attainable AUC gain:
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
#: For each mechanism, the ablation without the part that should find it according to the paper.
PART = {"impulsive": TIME, "hesitant": TIME, "month_end": TIME, "habit": USER_ITEM}
#: Mechanisms that are a share of the whole history, not of the last session.
SPREAD = ("month_end", "habit")
#: Smallest share of the attainable AUC gain for "found", and for "found in part".
FOUND, IN_PART = 0.5, 0.2


class Mechanisms(Table):
    """A table of the expected AUC, with the share of the attainable AUC gain."""

    def conclude(self, rows: pd.DataFrame, about: dict[str, Any]) -> list[str]:
        """Say whether HUIHEN, its ablations and LightGBM find the mechanism."""
        if REFERENCE not in rows.index:
            return []
        best = about["sizes"]["best possible AUC"]
        won = (rows["expected AUC"] - 0.5) / (best - 0.5)
        shares = "Share of the attainable AUC gain: " + "; ".join(
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
                verdict = "HUIHEN misses it too, so this says nothing about the missing part"
            elif sure and won[ablation] < won[REFERENCE] / 2:
                verdict = "without this part, the mechanism is missed"
            elif sure and lost > 0:
                verdict = "without this part, the mechanism is found only in part"
            else:
                verdict = (
                    "no clear loss, so there is no evidence that this part finds the mechanism"
                )
            text.append(f'"{ablation}" reaches {won[ablation]:.0%}: {verdict}.')
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
