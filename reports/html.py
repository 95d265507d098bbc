"""The HTML report: one file that needs no network, for the plant manager first and the engineer below."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from shakedown.reports.facts import SHIFT, RunFacts
from shakedown.reports.formatting import counted, number, percent, seconds
from shakedown.reports.operations_alarms import alarms
from shakedown.reports.operations_oee import oee
from shakedown.reports.operations_people import acknowledgement, work_orders
from shakedown.reports.physical_events import Floor
from shakedown.reports.strip import axis, stretches, strips
from shakedown.reports.svg import Band, Line, chart, clock

WORDS = {"PASS": "PASS", "FAIL": "FAIL", "INCONCLUSIVE": "INCONCLUSIVE", "HARNESS_FAULT": "HARNESS FAULT"}
COUNTS = {
    "offered": "offered by the line",
    "eligible": "eligible (judged)",
    "ok": "arrived as they should",
    "late": "arrived too late",
    "lost": "never arrived",
    "declared": "of these declared lost by the bridge",
    "wrong": "arrived with a wrong value",
    "unexpected": "arrived without having been offered",
    "duplicated": "duplicated after dedupe",
}
QUESTIONS = {
    "freshness": "Is what the enterprise sees up to date?",
    "loss": "Does everything arrive, whatever is cut?",
    "integrity": "Is what arrives what the line said?",
    "session": "Does the bridge keep the rules of its protocol?",
    "oee": "Is the reported OEE what the line did?",
    "nuisance": "Are people called less often without need?",
    "false_alarms": "Is there a fault behind each call, and a call for each fault?",
    "acknowledgement": "Would somebody answer a fault sooner?",
    "work_orders": "Does each alarm that needs one get its work order?",
}
SAMPLES = {"offered_per_s": "offered by the line", "received_per_s": "kept by the host"}

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
        manifest={"bridge_ended": None, "trace_sha256": None} | facts.manifest,
        verdict=verdict,
        headline=facts.headline,
        description=facts.description,
        tally=_tally(facts),
        questions={c.name: QUESTIONS.get(c.name, "") for c in verdict.criteria},
        shown=SHIFT,
        floor=_floor(facts.floor) if facts.floor else None,
        oee=oee(facts),
        alarms=alarms(facts),
        acknowledgement=acknowledgement(facts),
        work_orders=work_orders(facts),
        clock=clock,
        counted=counted,
        number=number,
        percent=percent,
        seconds=seconds,
        figures=_figures(facts),
        faults=[_fault(facts, fault) for fault in facts.faults],
        counts=[(words, verdict.counts[name]) for name, words in COUNTS.items() if name in verdict.counts],
        attribution=[
            (f"by the {n}" if n != "unattributed" else n, v) for n, v in verdict.attribution.items()
        ],
        malformed=list(verdict.malformed.items()),
        command=facts.command,
        tree=_tree,
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
        )
        if titles[key]
    ]
    whole = counted(len(criteria), "criterion", "criteria")
    return [*found, f"{'All' if met == len(criteria) > 1 else f'{met} of'} {whole} met."]


def _floor(floor: Floor) -> dict[str, Any]:
    parts = [counted(len(floor.faults), "true fault"), counted(len(floor.upsets), "upset")]
    return {
        "shifts": stretches(floor.shifts, floor.end_s),
        "breaks": stretches(floor.breaks, floor.end_s),
        "strips": strips(floor),
        "axis": axis(floor.end_s),
        "words": f"In this run the line had {' and '.join(parts)}.",
    }


def _fault(facts: RunFacts, fault: dict[str, Any]) -> dict[str, Any]:
    at_s = facts.second(fault["start_ns"])
    return fault | {
        "at_s": at_s,
        "for_s": facts.second(fault["end_ns"]) - at_s,
        "evidence": _plain(fault["evidence"]),
    }


def _plain(value: Any) -> str:
    """Evidence in a line of plain words."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(entry)}" for key, entry in value.items())
    if isinstance(value, list):
        return "; ".join(map(_plain, value)) or "none"
    return _text(value)


def _figures(facts: RunFacts) -> list[dict[str, Any]]:
    series = facts.verdict.series
    if not series.get("offered_per_s"):
        return []
    bands = [Band(f["id"], facts.second(f["start_ns"]), facts.second(f["end_ns"])) for f in facts.faults]
    begin, step = facts.second(series["start_ns"]), series["step_s"]
    x = [begin + step * index for index in range(len(series["offered_per_s"]))]
    rates = [Line(words, x, series[name]) for name, words in SAMPLES.items()]
    ages = [
        Line(topic, x, [None if age is None else age / 1000 for age in age_ms])
        for topic, age_ms in list(series["age_ms"].items())[:1]
    ]
    figures = (
        ("Samples a second", "samples/s", rates),
        (
            "Backlog: offered, and not yet at the enterprise",
            "samples",
            [Line("backlog", x, series["backlog"])],
        ),
        ("Oldest change that had not arrived, of the topic that was stale the longest", "s", ages),
    )
    return [
        {"title": title, "svg": Markup(chart(lines, bands, y_label=unit, title=title, x_max=x[-1] + step))}
        for title, unit, lines in figures
        if lines
    ]


def _tree(value: Any) -> Markup:
    """Nested facts as nested definition lists, long lists cut with their length said."""
    if isinstance(value, dict):
        rows = [
            Markup("<dt>{}</dt><dd>{}</dd>").format(str(key).replace("_", " "), _tree(v))
            for key, v in value.items()
        ]
        return Markup("<dl>{}</dl>").format(Markup("").join(rows)) if rows else Markup("none")
    if isinstance(value, list | tuple):
        if all(not isinstance(item, dict | list | tuple) for item in value):
            return escape(", ".join(map(_text, value)) or "none")
        shown = [Markup("<li>{}</li>").format(_tree(item)) for item in value[:20]]
        if len(value) > len(shown):
            shown.append(Markup("<li>and {} more</li>").format(len(value) - len(shown)))
        return Markup("<ol>{}</ol>").format(Markup("").join(shown))
    return escape(_text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)
