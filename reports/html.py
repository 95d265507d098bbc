"""The HTML report: one file that needs no network, for the plant manager first and the engineer below."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from shakedown.acceptance.wording import counted
from shakedown.reports import drawing
from shakedown.reports.facts import WORDS, RunFacts

COUNTS = {
    "offered": "offered by the line",
    "eligible": "eligible (judged)",
    "ok": "arrived as they should",
    "late": "arrived too late",
    "pending": "still had time to arrive when the run ended",
    "lost": "never arrived",
    "declared": "of these declared lost by the bridge",
    "wrong": "arrived with a wrong value",
    "unexpected": "arrived without having been offered",
    "duplicated": "arrived twice",
    "out_of_order": "arrived live after a newer one",
}

_FOLDER = resources.files("shakedown.reports") / "templates"
_environment = Environment(
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    loader=FunctionLoader(lambda name: (_FOLDER / name).read_text(encoding="utf-8")),
)


def render_html(facts: RunFacts) -> str:
    """The report of one run as one HTML page."""
    verdict = facts.verdict
    return page(
        "report.html.j2",
        manifest={"trace_sha256": None, "bridge": None} | facts.manifest,
        verdict=verdict,
        headline=facts.headline,
        description=facts.description,
        tally=_tally(facts),
        draw=drawing,
        counts=[(words, verdict.counts[name]) for name, words in COUNTS.items() if name in verdict.counts],
        attribution=[
            (f"by the {n}" if n != "unattributed" else n, v) for n, v in verdict.attribution.items()
        ],
        malformed=list(verdict.malformed.items()),
        command=facts.command,
    )


def page(template: str, **facts: Any) -> str:
    """One of the templates filled in, in the reports' own style."""
    css = Markup((_FOLDER / "report.css").read_text(encoding="utf-8"))
    return _environment.get_template(template).render(words=WORDS, css=css, **facts)


def _tally(facts: RunFacts) -> list[str]:
    """What was met and what was not, in a sentence each, the worst first."""
    criteria = facts.verdict.criteria
    if facts.verdict.verdict == "HARNESS_FAULT" or not criteria:
        return []  # nothing follows for the bridge
    titles = {
        (outcome, excused): "; ".join(
            c.title for c in criteria if (c.verdict, c.excused) == (outcome, excused)
        )
        for outcome in WORDS
        for excused in (False, True)
    }
    met = sum(c.verdict == "PASS" for c in criteria)
    found = [
        f"{words}: {titles[key]}."
        for key, words in (
            (("FAIL", False), "Not met"),
            (("INCONCLUSIVE", False), "Not decided"),
            (("INCONCLUSIVE", True), "Not decided, as the scenario announced, and not counted"),
            (
                ("NOT_APPLICABLE", False),
                "Not promised by this bridge, or never put to the test, and so not judged",
            ),
        )
        if titles[key]
    ]
    whole = counted(len(criteria), "criterion", "criteria")
    return [*found, f"{'All' if met == len(criteria) > 1 else f'{met} of'} {whole} met."]
