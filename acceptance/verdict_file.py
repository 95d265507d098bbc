"""`verdict.json` read back, with the figures of each criterion as its own type, and the file's JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from shakedown.acceptance.criteria import all_criteria
from shakedown.acceptance.verdict import FORMAT, Verdict


class UnknownFormat(ValueError):
    """The file is of another version of Shakedown."""


def read_verdict(path: Path) -> Verdict:
    """Read `verdict.json`; figures of a criterion that is not installed stay plain data.

    Raises UnknownFormat for another format, msgspec.ValidationError or msgspec.DecodeError for what is no verdict.
    """
    data = path.read_bytes()
    found = msgspec.json.decode(data, type=_Format).format
    if found != FORMAT:
        raise UnknownFormat(
            f"{path} has format {found}, this version reads {FORMAT}. Use the version of Shakedown that wrote it: "
            f"`versions` of the manifest.json beside it names it."
        )
    verdict = msgspec.json.decode(data, type=Verdict)
    types = {criterion.name: criterion.figures for criterion in all_criteria()[0]}
    for result in verdict.criteria:
        if result.figures is not None and result.name in types:
            result.figures = msgspec.convert(result.figures, types[result.name])
    return verdict


class _Format(msgspec.Struct):
    format: int = FORMAT


def verdict_schema() -> dict[str, Any]:
    """The JSON Schema of `verdict.json`: the figures follow from the criterion's name."""
    criteria = all_criteria()[0]
    refs, found = msgspec.json.schema_components(
        [Verdict, *(criterion.figures for criterion in criteria)], ref_template="#/$defs/{name}"
    )
    found["CriterionResult"]["allOf"] = [
        {
            "if": {"properties": {"name": {"const": criterion.name}}},
            "then": {"properties": {"figures": {"anyOf": [ref, {"type": "null"}]}}},
        }
        for criterion, ref in zip(criteria, refs[1:], strict=True)
    ]
    found["Verdict"]["properties"]["format"] = {"const": FORMAT}
    schema = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": schema, "title": "verdict.json", **refs[0], "$defs": found}
