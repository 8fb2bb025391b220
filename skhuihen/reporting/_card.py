"""model_card: the document of a model, with blanks for what only the bank knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skhuihen.monitoring import Monitor
from skhuihen.persistence import read_manifest
from skhuihen.persistence._model_file import summarize_model, versions_here
from skhuihen.reporting._layout import between, number, p_value, percent
from skhuihen.reporting._page import Page
from skhuihen.reporting._report import RiskReport

#: What only the bank knows, by section: the key of `about`, and what to write there.
BLANKS = {
    "purpose": "what the model decides or supports, for which products and applicants, and what it "
    "must not be used for",
    "owner": "who owns the model, who developed it and who validated it",
    "approval": "who approved the model, when, and until when",
    "label": "what counts as overdue (days past due, amount, observation period) and why",
    "sources": "the source systems of applications and events, and who is responsible for them",
    "exclusions": "which applications were left out of training and validation, and why",
    "rejected": "how rejected applications, whose outcome is not known, were treated",
    "use": "cut-offs, limits and prices that depend on the score, and when a person may overrule "
    "it",
    "fairness": "which groups of applicants were compared, and what was found",
    "law": "the legal basis, what applicants are told, and how they can object",
    "actions": "who looks at the monitoring and how often, and what is done after an alarm",
    "fallback": "what is used if the model cannot score or is withdrawn",
}
#: Limits that hold for every model of this kind.
LIMITS = [
    "The figures hold for applications like those of the report. Intervals do not cover changes of "
    "economy, products or applicants.",
    "Only accepted applications have an outcome. How well the model ranks applications that used "
    "to be rejected is not known from these figures.",
    "A score says how applicants with such data have behaved on average, not why.",
]
_LONGEST = 80


class ModelCard:
    """The document of a model, see `model_card`.

    Parameters
    ----------
    page : Page
        Its parts.
    blanks : list of str
        The keys of `about` that are still blank.

    Examples
    --------
    See `model_card`.
    """

    def __init__(self, page: Page, blanks: list[str]) -> None:
        self._page = page
        self.blanks = blanks

    def to_markdown(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the document as Markdown, and write it if a path is given.

        Parameters
        ----------
        path : path, default=None

        Returns
        -------
        str
        """
        return _written(self._page.to_markdown(), path)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the document as one HTML page, and write it if a path is given.

        Parameters
        ----------
        path : path, default=None

        Returns
        -------
        str
        """
        return _written(self._page.to_html(), path)

    def _repr_html_(self) -> str:
        return self._page.to_fragment()

    def __repr__(self) -> str:
        return f"ModelCard({len(self.blanks)} blanks to fill in)"


def _written(text: str, path: str | os.PathLike[str] | None) -> str:
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def model_card(
    model: Any,
    report: RiskReport,
    *,
    monitor: Monitor | None = None,
    about: Mapping[str, str] | None = None,
    title: str = "Model document",
) -> ModelCard:
    """Write the document of a model: what is known filled in, what the bank must add marked.

    Parameters
    ----------
    model : fitted classifier or Pipeline, or path
        The model, or its file written by `save_model`, which also says what it was trained on.
    report : RiskReport
        Its performance on later applications. The first model of the report is the one described.
    monitor : Monitor, default=None
        The fitted monitor; its settings become the monitoring plan.
    about : mapping of str to str, default=None
        Text for the blanks: ``purpose``, ``owner``, ``approval``, ``label``, ``sources``,
        ``exclusions``, ``rejected``, ``use``, ``fairness``, ``law``, ``actions`` and ``fallback``.
    title : str, default="Model document"
        Title of the document.

    Returns
    -------
    card : ModelCard
        With `to_markdown` and `to_html`; ``blanks`` names what is still missing.

    Raises
    ------
    ValueError
        If ``about`` has a key that is none of these.

    See Also
    --------
    risk_report : Makes the report.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import ProfileEncoder, risk_report
    >>> from skhuihen.datasets import make_loan_data
    >>> from skhuihen import model_card
    >>> bank = make_loan_data(n_new=2, n_old=1500, overdue_rate=0.3, random_state=0)
    >>> X, y = bank.old_applications, bank.old_y
    >>> model = make_pipeline(ProfileEncoder(), LogisticRegression()).fit(X[:750], y[:750])
    >>> report = risk_report(model, X[750:], y[750:])
    >>> card = model_card(model, report, about={"owner": "Retail risk"})
    >>> card
    ModelCard(11 blanks to fill in)
    >>> print(card.to_markdown()[:16])
    # Model document
    """
    about = dict(about or {})
    unknown = sorted(set(about) - set(BLANKS))
    if unknown:
        raise ValueError(
            f"about has the key {unknown[0]!r}, which the document does not have. Use some of "
            f"{list(BLANKS)}."
        )
    if not isinstance(report, RiskReport):
        raise TypeError(
            f"report is a {type(report).__name__}. Pass what skhuihen.risk_report returned."
        )
    known = _known_of(model)
    page = Page()
    page.heading(title, 1)
    page.text(
        f"Model {report.champion}, described by its own settings and by its report on "
        f"{report.sample['rows']:,} applications from {report.sample['first']} to "
        f"{report.sample['last']}. What only the bank knows is marked."
    )
    _purpose(page, about)
    _data(page, about, known, report)
    _method(page, known)
    _performance(page, report)
    _stability(page, report)
    page.heading("Limits")
    page.items([*LIMITS, *_limits_of(report)])
    _ask(page, about, "fairness", "Fairness")
    _ask(page, about, "law", "Law")
    _monitoring(page, about, monitor)
    return ModelCard(page, [key for key in BLANKS if key not in about])


def _known_of(model: Any) -> dict[str, Any]:
    """Return what a model or its file says of itself."""
    if isinstance(model, str | os.PathLike):
        return read_manifest(model)
    if not callable(getattr(model, "predict_proba", None)):
        raise TypeError(
            f"model is a {type(model).__name__} without predict_proba. Pass a fitted classifier, a "
            "Pipeline that ends in one, or the path of a model file."
        )
    check_is_fitted(model)
    return {"model": summarize_model(model), "versions": versions_here()}


def _ask(page: Page, about: Mapping[str, str], key: str, heading: str, level: int = 2) -> None:
    page.heading(heading, level)
    if key in about:
        page.text(about[key])
    else:
        page.blank(BLANKS[key])


def _purpose(page: Page, about: Mapping[str, str]) -> None:
    _ask(page, about, "purpose", "Purpose")
    _ask(page, about, "owner", "Responsible", 3)
    _ask(page, about, "approval", "Approval", 3)
    _ask(page, about, "use", "Use of the score", 3)


def _data(
    page: Page, about: Mapping[str, str], known: Mapping[str, Any], report: RiskReport
) -> None:
    page.heading("Data")
    rows = []
    training = known.get("training")
    if training:
        rows.append(("Training", _training(training)))
    sample = report.sample
    rows.append(
        (
            "Validation",
            f"{sample['rows']:,} applications, {sample['first']} to {sample['last']}, "
            f"{sample['overdue']:,} overdue ({sample['overdue'] / sample['rows']:.1%})",
        )
    )
    page.table(pd.DataFrame(rows, columns=["Sample", "What it is"]), ["Sample", "What it is"])
    if not training:
        page.blank("number, period and overdue rate of the training applications")
    for key, heading in (
        ("label", "Definition of overdue"),
        ("sources", "Sources"),
        ("exclusions", "Exclusions"),
        ("rejected", "Rejected applications"),
    ):
        _ask(page, about, key, heading, 3)
    columns = known.get("schema", {}).get("columns")
    if columns:
        page.heading("Columns", 3)
        described = [
            {
                "Column": column["name"],
                "Role": column["role"],
                "Type": column.get("type", "events"),
                "Unit": column.get("unit", ""),
                "May be missing": "yes" if column.get("missing") else "no",
            }
            for column in columns
        ]
        page.table(pd.DataFrame(described), ["Column", "Role", "Type", "Unit", "May be missing"])


def _training(training: Mapping[str, Any]) -> str:
    parts = [f"{training['rows']:,} applications"]
    if "applied" in training:
        parts.append(" to ".join(training["applied"]))
    if "events" in training:
        parts.append(f"{training['events']:,} events")
    labels = [f"{of['rows']:,} with label {of['label']}" for of in training.get("labels", [])]
    return ", ".join([*parts, *labels])


def _method(page: Page, known: Mapping[str, Any]) -> None:
    page.heading("Method")
    steps = known["model"] if isinstance(known["model"], list) else [known["model"]]
    names = ", then ".join(step["class"] for step in steps)
    page.text(f"The model is {names}.")
    rows = [
        (step["class"], name, value if len(value) <= _LONGEST else f"{value[: _LONGEST - 3]}...")
        for step in steps
        for name, value in step["parameters"].items()
    ]
    page.heading("Parameters", 3)
    columns = ["Step", "Parameter", "Value"]
    page.table(pd.DataFrame(rows, columns=columns), columns)
    page.heading("Versions", 3)
    versions = [(name, version) for name, version in known["versions"].items()]
    page.table(pd.DataFrame(versions, columns=["Software", "Version"]), ["Software", "Version"])
    if "sha256" in known:
        page.text(f"Hash (SHA-256) of the model file: {known['sha256']}.")


def _performance(page: Page, report: RiskReport) -> None:
    level = f"{report.confidence_level:.0%}"
    page.heading("Performance")
    page.items(report.summary)
    row = report.performance.iloc[0]
    figures = [
        ("AUC", between(row["auc"], row["auc_low"], row["auc_high"])),
        ("Gini", between(row["gini"], row["gini_low"], row["gini_high"])),
        ("KS", between(row["ks"], row["ks_low"], row["ks_high"])),
    ]
    if report.champion in report.calibration.index:
        found = report.calibration.loc[report.champion]
        rate = (found["overdue_rate"], found["rate_low"], found["rate_high"])
        slope = (found["slope"], found["slope_low"], found["slope_high"])
        figures += [
            ("Mean probability", percent(found["mean_probability"])),
            ("Overdue rate", between(*rate, percent)),
            ("Calibration slope", between(*slope)),
            ("Brier score", number(found["brier"])),
        ]
    columns = ["Figure", f"Value ({level} interval)"]
    page.table(pd.DataFrame(figures, columns=columns), columns)
    if len(report.comparison):
        rows = [
            {
                "Challenger": name,
                "AUC gained": between(test["difference"], test["low"], test["high"]),
                "p-value": p_value(test["pvalue"]),
            }
            for name, test in report.comparison.iterrows()
        ]
        page.heading("Challengers", 3)
        page.table(pd.DataFrame(rows), ["Challenger"])


def _stability(page: Page, report: RiskReport) -> None:
    page.heading("Stability")
    page.text(f"Before: {report.sample['before']}. After: {report.sample['after']}.")
    rows = [
        {
            "Measure": row["name"],
            "Stability index": number(row["psi"], 2),
            "Verdict": row["size"],
            "p-value": p_value(row["p_value"]),
        }
        for row in report.stability.head(10).to_dict("records")
    ]
    page.table(pd.DataFrame(rows), ["Measure", "Verdict"])
    rest = len(report.stability) - len(rows)
    if rest > 0:
        page.text(f"{rest} further measures have smaller indices.")


def _limits_of(report: RiskReport) -> list[str]:
    """Return limits that the report shows."""
    found = []
    n_overdue = report.sample["overdue"]
    if n_overdue < 200:
        found.append(
            f"The report has only {n_overdue} overdue applications, so its intervals are wide."
        )
    groups = report.by_segment
    if len(groups):
        mine = groups[groups["model"] == report.champion]
        weak = mine[mine["auc_low"] < 0.5]
        if len(weak):
            names = [f"{s}: {g}" for s, g in zip(weak["segment"], weak["group"], strict=True)]
            found.append(f"It is not certain that the model ranks at all in: {'; '.join(names)}.")
    large = report.stability.loc[report.stability["psi"] >= 0.25, "name"].tolist()
    if large:
        found.append(f"The distribution of these has changed much: {', '.join(large)}.")
    return found


def _monitoring(page: Page, about: Mapping[str, str], monitor: Monitor | None) -> None:
    page.heading("Monitoring")
    if monitor is None:
        page.blank("what is watched, how often, and which changes sound an alarm")
    else:
        check_is_fitted(monitor, "level_")
        kinds = monitor.measures_["kind"].value_counts(sort=False)
        watched = ", ".join(f"{kind} ({n})" for kind, n in kinds.items())
        page.items(
            [
                f"Reference: {monitor.n_rows_:,} applications that the model was not trained on.",
                f"Watched in each period ({monitor.freq}): {watched}; once labels are known, AUC "
                "and calibration; before that, the expected AUC.",
                f"With nothing changed, the probability of any alarm in {monitor.n_months} periods "
                f"is at most {monitor.false_alarm_rate:.0%}: each of {monitor.n_checks_} tests "
                f"sounds at a p-value below {monitor.level_:.2g}, and at a stability index of at "
                f"least {monitor.min_psi}.",
            ]
        )
    _ask(page, about, "actions", "After an alarm", 3)
    _ask(page, about, "fallback", "If the model fails", 3)
