"""JUnit XML for CI servers: a test case a criterion; INCONCLUSIVE is a failure (skipped where the scenario announced
it), NOT_APPLICABLE skipped, a harness fault an error. Valid by the schemas of Ant and of Jenkins (tests/reports).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml

from shakedown.acceptance.files import Problem
from shakedown.reports import text
from shakedown.reports.facts import RunFacts

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def render_junit(facts: RunFacts) -> str:
    """The run as one JUnit test suite."""
    return as_text(suite_of(facts))


def classname(scenario: str) -> str:
    """What a scenario is called in JUnit."""
    return f"shakedown.{scenario}"


def suite_of(facts: RunFacts) -> Xml.Element:
    """The run as a `testsuite` element, to stand alone or among others; times are those that it really took."""
    verdict, manifest, took_s = facts.verdict, facts.manifest, facts.took_s
    name = classname(manifest["scenario"])
    began = datetime.fromtimestamp(manifest["start_ns"] // 1_000_000_000, UTC)
    suite = empty_suite(name, began, float(took_s.get("run", 0)) + float(took_s.get("judge", 0)))
    properties = suite[0]
    asked = {key: str(manifest[key]) for key in ("seed", "clock", "broker", "strict")}
    for key, value in (asked | ({"chain": facts.head} if facts.head else {})).items():
        Xml.SubElement(properties, "property", name=key, value=value)
    passed = []
    for criterion in verdict.criteria:
        outcome = criterion.verdict
        case = _case(suite, name, criterion.name, float(took_s.get("criteria", {}).get(criterion.name, 0)))
        said = f"{criterion.title}: {criterion.threshold}; measured {criterion.measured}. {criterion.in_full}"
        if outcome == "PASS":
            passed.append(said)
        elif criterion.excused or outcome == "NOT_APPLICABLE":
            Xml.SubElement(case, "skipped", message=said)
        else:
            kind = "error" if outcome == "HARNESS_FAULT" else "failure"
            failure = Xml.SubElement(case, kind, type=outcome, message=criterion.measured)
            failure.text = "\n".join([said, *text.wrong(criterion)])
    for number, fault in enumerate(verdict.harness, 1):
        fault_case(suite, name, number, fault)
    return finished(suite, "\n".join(passed))


def empty_suite(name: str, began: datetime, took_s: float) -> Xml.Element:
    """A `testsuite` without cases, which comes first what the schemas of Ant and Jenkins want first."""
    suite = Xml.Element(
        "testsuite", name=name, timestamp=began.strftime("%Y-%m-%dT%H:%M:%S"), hostname="localhost"
    )
    suite.set("time", f"{took_s:.3f}")
    Xml.SubElement(suite, "properties")
    return suite


def finished(suite: Xml.Element, out: str = "") -> Xml.Element:
    """The suite with its counts, and what Ant's schema wants last."""
    suite.set("tests", str(len(suite.findall("testcase"))))
    for count, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(len(suite.findall(f"testcase/{kind}"))))
    Xml.SubElement(suite, "system-out").text = out
    Xml.SubElement(suite, "system-err").text = ""
    return suite


def _case(suite: Xml.Element, classname: str, name: str, took_s: float = 0.0) -> Xml.Element:
    return Xml.SubElement(suite, "testcase", classname=classname, name=name, time=f"{took_s:.3f}")


def fault_case(suite: Xml.Element, name: str, number: int, fault: Problem) -> None:
    """Add a fault of the lab to `suite` as a test case with an error."""
    case = _case(suite, name, f"harness fault {number}")
    error = Xml.SubElement(case, "error", type="HARNESS_FAULT", message=fault.what)
    error.text = f"{fault.where}. {fault.remedy}"


def as_text(root: Xml.Element) -> str:
    """A whole JUnit file."""
    Xml.indent(root)
    text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", Xml.tostring(root, encoding="unicode"))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'
