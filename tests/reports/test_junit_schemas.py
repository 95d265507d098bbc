"""junit.xml by the rules of two schemas: JUnit.xsd of Ant's JUnitReport, and junit-10.xsd of Jenkins' xUnit plugin.

What the schemas demand of each element is written down here as tables: which attributes must and may be, of which form,
and which children, in which order. Ant wants an order and more attributes, Jenkins forbids what it does not know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.etree import ElementTree as Xml

import pytest

from shakedown.acceptance.files import Problem
from shakedown.reports.facts import read_facts
from shakedown.reports.junit import render_junit
from shakedown.reports.suite import Suite, faulty, render_suite_junit
from tests.reports.test_reports import finished, rewrite, run  # noqa: F401 (fixtures)

ANY = r"[\s\S]*"
WHOLE, DECIMAL = r"[-+]?\d+", r"[-+]?(\d+(\.\d*)?|\.\d+)"
SOME = r"[\s\S]*\S[\s\S]*"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"  # Ant: without a time zone
SUREFIRE = r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?"


@dataclass(frozen=True)
class Element:
    """Attributes by name (a `!` in front: required) and form; the names of the children, one behind the other."""

    attributes: dict[str, str] = field(default_factory=dict)
    children: str = ""
    text: bool = False


MESSAGE = {"message": ANY, "type": ANY}
PROPERTY = {"!name": SOME, "!value": ANY}
ANT_SUITE = {
    "!name": SOME, "!timestamp": MOMENT, "!hostname": SOME, "!tests": WHOLE, "!failures": WHOLE, "!errors": WHOLE,
    "skipped": WHOLE, "!time": DECIMAL,
}  # fmt: skip
ANT = {
    "testsuites": Element({}, r"(testsuite,)*"),
    "testsuites/testsuite": Element(
        ANT_SUITE | {"!package": ANY, "!id": WHOLE}, r"properties,(testcase,)*system-out,system-err,"
    ),
    "testsuite": Element(ANT_SUITE, r"properties,(testcase,)*system-out,system-err,"),
    "properties": Element({}, r"(property,)*"),
    "property": Element(PROPERTY),
    "testcase": Element({"!name": ANY, "!classname": ANY, "!time": DECIMAL}, r"(skipped,|error,|failure,)?"),
    "skipped": Element(MESSAGE, text=True),  # of any type
    "error": Element({"message": ANY, "!type": ANY}, text=True),
    "failure": Element({"message": ANY, "!type": ANY}, text=True),
    "system-out": Element(text=True),
    "system-err": Element(text=True),
}
JENKINS = {
    "testsuites": Element(
        {"name": ANY, "time": SUREFIRE, "tests": ANY, "failures": ANY, "errors": ANY}, r"(testsuite,)*"
    ),
    "testsuite": Element(
        {"!name": ANY, "!tests": ANY, "!failures": ANY, "!errors": ANY, "group": ANY, "time": SUREFIRE, "skipped": ANY,
         "timestamp": ANY, "hostname": ANY, "id": ANY, "package": ANY, "file": ANY, "log": ANY, "url": ANY},
        r"(testsuite,|properties,|testcase,|system-out,|system-err,)*",
    ),
    "properties": Element({}, r"(property,)*"),
    "property": Element({"!name": ANY, "!value": ANY}),
    "testcase": Element(
        {"!name": ANY, "time": ANY, "classname": ANY, "group": ANY},
        r"(skipped,|error,|failure,|rerunFailure,|rerunError,|flakyFailure,|flakyError,|system-out,|system-err,)*",
    ),
    "skipped": Element(MESSAGE, text=True),
    "error": Element(MESSAGE, text=True),
    "failure": Element(MESSAGE, text=True),
    "system-out": Element(text=True),
    "system-err": Element(text=True),
}  # fmt: skip


def breaches(text: str, schema: dict[str, Element]) -> list[str]:
    """What of a document the schema does not allow."""
    return list(_breaches(Xml.fromstring(text.encode()), schema, ""))


def _breaches(element, schema, parent):
    rule = schema.get(f"{parent}/{element.tag}") or schema.get(element.tag)
    if rule is None:
        yield f"{element.tag} is not known"
        return
    known = {name.removeprefix("!"): form for name, form in rule.attributes.items()}
    for name in rule.attributes:
        if name.startswith("!") and name[1:] not in element.attrib:
            yield f"{element.tag} has no {name[1:]}"
    for name, value in element.attrib.items():
        if name not in known:
            yield f"{element.tag} may not have {name}"
        elif not re.fullmatch(known[name], value):
            yield f"{element.tag}, {name}: {value!r}"
    children = "".join(f"{child.tag}," for child in element)
    if not re.fullmatch(rule.children, children):
        yield f"{element.tag} holds {children}"
    if not rule.text and (element.text or "").strip():
        yield f"{element.tag} holds text"
    for child in element:
        yield from _breaches(child, schema, element.tag)


@pytest.mark.parametrize("schema", [ANT, JENKINS], ids=["ant", "jenkins"])
@pytest.mark.parametrize(
    "outcomes",
    [
        {},
        {"loss": "FAIL", "session": "INCONCLUSIVE"},
        {"integrity": "HARNESS_FAULT", "bridge_ran": "NOT_APPLICABLE"},
    ],
)
def test_a_run_is_valid_whatever_it_says(run, schema, outcomes):  # noqa: F811 (the fixture)
    rewrite(run, **outcomes)
    facts = read_facts(run)
    facts.verdict.harness.append(Problem("the echo was deaf", "timeline.jsonl", "mend it"))
    assert breaches(render_junit(facts), schema) == []


@pytest.mark.parametrize("schema", [ANT, JENKINS], ids=["ant", "jenkins"])
def test_a_suite_is_valid_with_a_run_that_came_to_no_verdict(run, schema):  # noqa: F811 (the fixture)
    whole = faulty("run", "A run", Problem("", "", ""))
    whole.folder, whole.harness = run.name, []
    deaf = faulty("other", "Another", Problem("the lab could not be started", "other", "run it again"))
    facts = {"seed": 0, "clock": "virtual", "broker": "embedded", "strict": False}
    suite = Suite(suite="two", verdict="HARNESS_FAULT", runs=[whole, deaf], **facts)
    assert breaches(render_suite_junit(suite, run.parent), schema) == []


def test_the_rules_find_what_is_not_valid():
    case = '<testcase name="a"><system-out/></testcase>'
    before = f'<testsuite name="a" tests="1" failures="0" errors="0" time="1">{case}</testsuite>'
    found = breaches(before, ANT)
    for breach in (
        "no timestamp",
        "no hostname",
        "testsuite holds testcase,",
        "testcase has no time",
        "holds system-out,",
    ):
        assert any(breach in one for one in found), (breach, found)
    assert breaches(before, JENKINS) == []
    assert breaches('<testsuites skipped="0"/>', JENKINS) == ["testsuites may not have skipped"]
    assert breaches('<testsuites name="a"/>', ANT) == ["testsuites may not have name"]
