"""The page of a report: what its tables say, in sentences, and the tables to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skhuihen.reporting._page import Page
from skhuihen.reporting._pictures import KIND_NAMES

if TYPE_CHECKING:
    from skhuihen.reporting._report import RiskReport

#: Months of a page; more are in the table of the report.
MOST_MONTHS = 24
_WHOSE = "Mean probability and intervals are those of {}; of challengers only the AUC is shown."


def number(value: Any, digits: int = 3) -> str:
    """Return a number as text, and nothing if it is not known."""
    return "" if value is None or np.isnan(value) else f"{value:.{digits}f}"


def percent(value: Any, digits: int = 1) -> str:
    """Return a share as text."""
    return "" if value is None or np.isnan(value) else f"{value:.{digits}%}"


def between(value: Any, low: Any, high: Any, write: Callable[[Any], str] = number) -> str:
    """Return a number with its interval."""
    if np.isnan(value):
        return ""
    return write(value) if np.isnan(low) else f"{write(value)} ({write(low)} to {write(high)})"


def p_value(value: Any) -> str:
    """Return a p-value as text."""
    return "" if np.isnan(value) else "below 0.001" if value < 0.001 else f"{value:.3f}"


def findings(report: RiskReport) -> list[str]:
    """Return the main findings of a report."""
    found = []
    level = f"{report.confidence_level:.0%}"
    champion, row = report.champion, report.performance.iloc[0]
    auc = between(row["auc"], row["auc_low"], row["auc_high"])
    # Scores that separate the classes have no interval.
    interval = "" if np.isnan(row["auc_low"]) else f", with the {level} interval"
    found.append(f"Ranking: {champion} has an AUC of {auc}{interval}.")
    for name, test in report.comparison.iterrows():
        if test["difference"] == 0:
            found.append(f"{name}: the same AUC as {champion}.")
            continue
        side = "higher" if test["difference"] > 0 else "lower"
        is_clear = test["pvalue"] < 1 - report.confidence_level
        found.append(
            f"{name}: AUC {side} by {abs(test['difference']):.3f} than that of {champion}, which "
            f"is {'significant' if is_clear else 'not significant'} ({p_text(test['pvalue'])})."
        )
    for name, row in report.calibration.iterrows():
        mean, rate = percent(row["mean_probability"]), percent(row["overdue_rate"])
        inside = row["rate_low"] <= row["mean_probability"] <= row["rate_high"]
        side = "low" if row["mean_probability"] < row["rate_low"] else "high"
        verdict = "which chance explains" if inside else f"so its probabilities are too {side}"
        slope = between(row["slope"], row["slope_low"], row["slope_high"], lambda v: number(v, 2))
        if row["slope_high"] < 1:
            extremes = f" Its probabilities are too extreme: slope {slope}."
        elif row["slope_low"] > 1:
            extremes = f" Its probabilities are too close to one another: slope {slope}."
        else:
            extremes = ""
        found.append(
            f"Calibration: {name} predicts {mean} overdue; {rate} were, {verdict}.{extremes}"
        )
    moved = report.stability[report.stability["psi"] >= 0.1]
    of_scores = report.stability[report.stability["kind"] == "score"]
    shifted = [n for n, psi in zip(of_scores["name"], of_scores["psi"], strict=True) if psi >= 0.1]
    if len(of_scores):
        found.append(
            f"Stability of scores: {'changed for ' + ', '.join(shifted) if shifted else 'stable'} "
            f"(stability index {number(of_scores['psi'].min(), 2)} to "
            f"{number(of_scores['psi'].max(), 2)})."
            if len(of_scores) > 1
            else f"Stability of the score: {'changed' if shifted else 'stable'} (stability index "
            f"{number(of_scores['psi'].iloc[0], 2)})."
        )
    inputs = [n for n, k in zip(moved["name"], moved["kind"], strict=True) if k != "score"]
    n_inputs = int((report.stability["kind"] != "score").sum())
    if inputs:
        names = ", ".join(inputs[:6]) + (", ..." if len(inputs) > 6 else "")
        found.append(f"Stability of input: {len(inputs)} of {n_inputs} measures changed: {names}.")
    else:
        found.append(f"Stability of input: none of {n_inputs} measures changed.")
    return found


def p_text(value: Any) -> str:
    """Return a p-value in a sentence."""
    return "p below 0.001" if value < 0.001 else f"p = {value:.3f}"


def lay_out(report: RiskReport, note: str = "") -> Page:
    """Return the page of a report."""
    page = Page()
    sample = report.sample
    page.heading(report.title, 1)
    page.text(
        f"{sample['rows']:,} applications from {sample['first']} to {sample['last']}; "
        f"{sample['overdue']:,} ({sample['overdue'] / sample['rows']:.1%}) became overdue. "
        f"Champion: {report.champion}."
    )
    if note:
        page.note(note)
    page.heading("Summary")
    page.items(report.summary)
    drawn = _add_pictures_or_sentence(page)
    _add_ranking(page, report, drawn)
    _add_deciles(page, report, drawn)
    _add_calibration(page, report, drawn)
    _add_months(page, report, drawn)
    _add_segments(page, report)
    _add_stability(page, report, drawn)
    _add_behaviors(page, report)
    _add_words(page, report)
    return page


def _add_pictures_or_sentence(page: Page) -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        page.note(
            "Pictures are left out because matplotlib is not installed. Install it with "
            "pip install skhuihen[plots]."
        )
        return False
    return True


def _add_ranking(page: Page, report: RiskReport, drawn: bool) -> None:
    level = f"{report.confidence_level:.0%}"
    page.heading("Ranking")
    page.text(
        "How well the scores put overdue applications above the others. An AUC of 0.5 is chance "
        f"and 1 is perfect. Intervals of {level} are in parentheses."
    )
    rows = [
        {
            "Model": name,
            "AUC": between(row["auc"], row["auc_low"], row["auc_high"]),
            "Gini": between(row["gini"], row["gini_low"], row["gini_high"]),
            "KS": between(row["ks"], row["ks_low"], row["ks_high"]),
        }
        for name, row in report.performance.iterrows()
    ]
    page.table(pd.DataFrame(rows), ["Model"])
    if drawn and len(rows) > 1:
        from skhuihen.reporting._pictures import draw_auc

        page.picture(draw_auc(report.performance), "AUC of each model with its interval")
    if not len(report.comparison):
        return
    page.heading(f"Challengers against {report.champion}", 3)
    page.text(
        "DeLong's test on the same applications. Overlapping intervals above do not mean that "
        "there is no difference; this table tells."
    )
    tests = [
        {
            "Challenger": name,
            "AUC gained": between(row["difference"], row["low"], row["high"], _signed),
            "p-value": p_value(row["pvalue"]),
            "Verdict": _verdict(row, report),
        }
        for name, row in report.comparison.iterrows()
    ]
    page.table(pd.DataFrame(tests), ["Challenger", "Verdict"])


def _signed(value: Any) -> str:
    return f"{value:+.3f}"


def _verdict(row: Any, report: RiskReport) -> str:
    if not row["pvalue"] < 1 - report.confidence_level:
        return "no significant difference"
    return f"{'better' if row['difference'] > 0 else 'worse'} than {report.champion}"


def _add_deciles(page: Page, report: RiskReport, drawn: bool) -> None:
    page.heading("Lift and deciles")
    table = pd.DataFrame(report.deciles.xs(report.champion))
    table = table[table["count"] > 0]  # equal scores may leave groups empty
    first = table.iloc[0]
    page.text(
        f"Applications in {len(table)} groups of equal size by the score of {report.champion}, the "
        f"riskiest first. The riskiest group holds {percent(first['cumulative_capture'])} of all "
        f"overdue applications, {first['lift']:.1f} times its share."
    )
    if drawn:
        from skhuihen.reporting._pictures import draw_separation

        figure = draw_separation(report.curves, report.deciles, report.champion)
        page.picture(figure, f"KS chart and lift chart of {report.champion}")
    # Rare overdue means small probabilities.
    form = ".3f" if table["score_max"].abs().max() >= 0.1 else ".3g"
    rows = [
        {
            "Group": group,
            "Applications": int(row["count"]),
            "Scores": f"{row['score_min']:{form}} to {row['score_max']:{form}}",
            "Overdue": int(row["overdue"]),
            "Overdue rate": between(row["rate"], row["rate_low"], row["rate_high"], percent),
            "Lift": number(row["lift"], 2),
            "Overdue so far": percent(row["cumulative_capture"]),
            "KS": number(row["ks"]),
        }
        for group, row in zip(table.index.tolist(), table.to_dict("records"), strict=True)
    ]
    page.table(pd.DataFrame(rows).astype(object))
    page.note(
        'Lift is the overdue rate of the group over the overall rate. "Overdue so far" is the '
        "share of all overdue applications in this and all riskier groups."
    )


def _add_calibration(page: Page, report: RiskReport, drawn: bool) -> None:
    if not len(report.calibration):
        return
    page.heading("Calibration")
    first = report.calibration.iloc[0]
    rate = between(first["overdue_rate"], first["rate_low"], first["rate_high"], percent)
    page.text(
        f"Whether probabilities agree with the observed rate, which is {rate}. In the large is the "
        "amount to add to all log-odds; above 0, probabilities are too low overall. A slope "
        "below 1 means that they are too extreme, above 1 too close to one another."
    )
    rows = [
        {
            "Model": name,
            "Mean probability": percent(row["mean_probability"]),
            "In the large": between(
                row["in_the_large"], row["in_the_large_low"], row["in_the_large_high"], _signed
            ),
            "Slope": between(
                row["slope"], row["slope_low"], row["slope_high"], lambda v: number(v, 2)
            ),
            "Expected error": percent(row["expected_error"]),
            "Brier score": number(row["brier"]),
            "Brier skill": percent(row["brier_skill"]),
        }
        for name, row in report.calibration.iterrows()
    ]
    page.table(pd.DataFrame(rows), ["Model"])
    if drawn:
        from skhuihen.reporting._pictures import draw_calibration

        figure = draw_calibration(report.deciles, list(report.calibration.index))
        page.picture(figure, "Overdue rates of deciles against their mean probabilities")
        page.note("On the dotted line, probabilities are right. Bars are intervals.")


def _groups(table: pd.DataFrame, column: str, heading: str) -> pd.DataFrame:
    """Return the figures of the champion, and the AUCs of challengers, ready to read."""
    champion, *others = table["model"].unique()
    first = table[table["model"] == champion]
    shown = pd.DataFrame(
        {
            heading: first[column].str.replace("/", " to ").to_numpy(),
            "Applications": first["rows"].astype(int).to_numpy(),
            "Overdue rate": _between_columns(first, "rate", percent),
        }
    ).astype(object)
    if first["mean_probability"].notna().any():
        shown["Mean probability"] = list(map(percent, first["mean_probability"]))
    shown[f"AUC, {champion}"] = _between_columns(first, "auc", lambda v: number(v, 2))
    for model in others:
        shown[f"AUC, {model}"] = [number(v, 2) for v in table.loc[table["model"] == model, "auc"]]
    return shown


def _between_columns(table: pd.DataFrame, name: str, write: Callable[[Any], str]) -> list[str]:
    rows = table[[name, f"{name}_low", f"{name}_high"]].to_numpy()
    return [between(row[0], row[1], row[2], write) for row in rows]


def _add_months(page: Page, report: RiskReport, drawn: bool) -> None:
    months = report.by_month["month"].unique()
    page.heading("By time of application")
    if len(months) > MOST_MONTHS:
        page.note(f"The last {MOST_MONTHS} of {len(months)} periods are shown.")
    shown = report.by_month[report.by_month["month"].isin(months[-MOST_MONTHS:])]
    if drawn and len(months) > 1:
        from skhuihen.reporting._pictures import draw_months

        page.picture(draw_months(shown), "Applications, overdue rate and AUC by period")
    page.table(_groups(shown, "month", "Applied"), ["Applied"])
    page.note(_WHOSE.format(report.champion))


def _add_segments(page: Page, report: RiskReport) -> None:
    if not len(report.by_segment):
        return
    page.heading("By segment")
    page.text(
        "The AUC within a segment is often lower than overall, because the segment itself no "
        "longer helps to rank. Groups of few rows are put together, and no figures are shown for "
        "fewer than 30 rows. " + _WHOSE.format(report.champion)
    )
    for name, table in report.by_segment.groupby("segment", sort=False):
        page.heading(str(name), 3)
        page.table(_groups(table, "group", "Group"), ["Group"])


def _add_stability(page: Page, report: RiskReport, drawn: bool) -> None:
    page.heading("Stability")
    page.text(
        f"Before: {report.sample['before']}. After: {report.sample['after']}.",
        "The stability index says how far a distribution has moved: below 0.1 it is stable, above "
        "0.25 the change is large. A small p-value means that chance does not explain the change. "
        "Outside are later values outside the earlier range, or in no frequent category.",
    )
    table = report.stability
    if drawn and table["psi"].notna().any():
        from skhuihen.reporting._pictures import draw_stability

        page.picture(draw_stability(table), "The largest stability indices")
    rows = [
        {
            "Measure": row["name"],
            "Kind": KIND_NAMES.get(row["kind"], row["kind"]),
            "Stability index": number(row["psi"]),
            "Verdict": row["size"],
            "p-value": p_value(row["p_value"]),
            "Missing before": percent(row["missing_before"]),
            "Missing after": percent(row["missing_after"]),
            "Outside": int(row["outside"]),
        }
        for row in table.to_dict("records")
    ]
    if rows:
        page.table(pd.DataFrame(rows).astype(object), ["Measure", "Kind", "Verdict"])


def _add_behaviors(page: Page, report: RiskReport) -> None:
    if not len(report.behaviors):
        return
    page.heading("Behaviors")
    page.text("Share of applicants with a history who have each of the most frequent behaviors.")
    rows = [
        {
            "Behavior": row["behavior"],
            "Before": percent(row["before"]),
            "After": percent(row["after"]),
            "p-value": p_value(row["p_value"]),
        }
        for row in report.behaviors.to_dict("records")
    ]
    page.table(pd.DataFrame(rows), ["Behavior"])


def _add_words(page: Page, report: RiskReport) -> None:
    level = f"{report.confidence_level:.0%}"
    page.heading("How to read the figures")
    page.items(
        [
            f"Intervals of {level} say what other applications of the same kind might have shown. "
            "They do not cover what another training sample would change. Of a hundred such "
            "intervals, some miss by chance, so do not judge by a single month or segment.",
            "AUC: the probability that an overdue application has a higher score than another one. "
            "Gini is 2 AUC - 1. KS is the largest distance between the two groups over all "
            "thresholds. The largest of many distances is too large by chance, and the interval of "
            "KS is corrected for this: it reaches further down than up.",
            "Expected error: the mean distance between overdue rate and mean probability of a "
            "decile. Brier skill: how much smaller the squared error is than that of one "
            "probability for all.",
            "p-values of stability are for one measure each. With many measures, some are below "
            "0.05 by chance.",
        ]
    )
