"""JUnit XML for CI servers: a test case a criterion; INCONCLUSIVE is a failure (skipped where the scenario announced
it), NOT_APPLICABLE skipped, a harness fault an error.
"""

from __future__ import annotations

import re
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
    """The run as a `testsuite` element, to stand alone or among others. It has the time: no test case has its own."""
    verdict, manifest = facts.verdict, facts.manifest
    name = classname(manifest["scenario"])
    seconds = f"{facts.seconds:.3f}"
    criteria = [(c, c.verdict) for c in verdict.criteria]
    failures = sum(v in ("FAIL", "INCONCLUSIVE") and not c.excused for c, v in criteria)
    errors = sum(v == "HARNESS_FAULT" for _, v in criteria) + len(verdict.harness)
    suite = Xml.Element(
        "testsuite", name=name, tests=str(len(criteria) + len(verdict.harness)), failures=str(failures)
    )
    skipped = str(sum(c.excused or v == "NOT_APPLICABLE" for c, v in criteria))
    suite.attrib |= {"errors": str(errors), "skipped": skipped, "time": seconds}
    properties = Xml.SubElement(suite, "properties")
    for key in ("seed", "clock", "broker", "strict"):
        Xml.SubElement(properties, "property", name=key, value=str(manifest[key]))
    for criterion, outcome in criteria:
        case = Xml.SubElement(suite, "testcase", classname=name, name=criterion.name)
        said = f"{criterion.title}: {criterion.threshold}; measured {criterion.measured}. {criterion.in_full}"
        if outcome == "PASS":
            Xml.SubElement(case, "system-out").text = said
        elif criterion.excused or outcome == "NOT_APPLICABLE":
            Xml.SubElement(case, "skipped", message=said)
        else:
            kind = "error" if outcome == "HARNESS_FAULT" else "failure"
            failure = Xml.SubElement(case, kind, type=outcome, message=criterion.measured)
            failure.text = "\n".join([said, *text.wrong(criterion)])
    for number, fault in enumerate(verdict.harness, 1):
        fault_case(suite, name, number, fault)
    return suite


def fault_case(suite: Xml.Element, name: str, number: int, fault: Problem) -> None:
    """Add a fault of the lab to `suite` as a test case with an error."""
    case = Xml.SubElement(suite, "testcase", classname=name, name=f"harness fault {number}")
    error = Xml.SubElement(case, "error", type="HARNESS_FAULT", message=fault.what)
    error.text = f"{fault.where}. {fault.remedy}"


def as_text(root: Xml.Element) -> str:
    """A whole JUnit file."""
    Xml.indent(root)
    text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", Xml.tostring(root, encoding="unicode"))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'
