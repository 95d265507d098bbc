"""The operations of the HTTP interface as a table, and their OpenAPI 3.1 description, which is made from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shakedown.twin.enterprise.http_query import Query
from shakedown.twin.web.overview import Told

Schema = dict[str, Any]


class Problem(Told):
    """Why a request is refused (RFC 9457); `detail` says what is wrong and the remedy."""

    title: str
    status: int
    detail: str


@dataclass(frozen=True)
class Operation:
    """One method of one path; `answer` is the model of what it gives (`is_list`: a list of them), else `gives`."""

    method: str
    path: str
    summary: str
    handle: Callable[..., Any]
    answer: type[BaseModel] | None = None
    is_list: bool = False
    gives: str = "application/json"
    status: int = 200
    query: tuple[Query, ...] = ()

    @property
    def refusals(self) -> tuple[int, ...]:
        """The statuses with which it may be refused."""
        found = {400} if self.query else set()
        found |= {404} if "{" in self.path else set()
        found |= {403, 408, 413} if self.method == "POST" else set()
        found |= {503} if self.path not in ("/openapi.json", "/drawing.svg") else set()
        return tuple(sorted(found))


_REFUSALS = {
    400: "A parameter cannot be",
    403: "Asked by a page of another origin",
    404: "There is no such thing",
    408: "The body did not come in time",
    413: "The body is too large",
    503: "The line is not set up yet",
}


def describe(operations: tuple[Operation, ...], plant: str, version: str) -> Schema:
    """The OpenAPI document of these operations."""
    models = sorted(
        {operation.answer for operation in operations if operation.answer} | {Problem},
        key=lambda model: model.__name__,
    )
    _, definitions = models_json_schema(
        [(model, "serialization") for model in models], ref_template="#/components/schemas/{model}"
    )
    paths: Schema = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    told = "The truth about the line, and its upsets. Times are milliseconds since the Unix epoch."
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Shakedown plant {plant}", "version": version, "description": told},
        "paths": paths,
        "components": {"schemas": definitions["$defs"]},
    }


def _operation(operation: Operation) -> Schema:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    in_query = [
        {"name": query.name, "in": "query", "description": query.description, "schema": query.schema()}
        for query in operation.query
    ]
    answers: Mapping[str, Schema] = {
        str(operation.status): _answer(operation),
        **{str(status): _refusal(status) for status in operation.refusals},
    }
    return {
        "summary": operation.summary,
        "operationId": operation.handle.__name__,
        "parameters": in_path + in_query,
        "responses": answers,
    }


def _answer(operation: Operation) -> Schema:
    schema: Schema = {}
    if operation.answer is not None:
        schema = _reference(operation.answer)
        schema = {"type": "array", "items": schema} if operation.is_list else schema
    return {"description": "The answer", "content": {operation.gives: {"schema": schema}}}


def _refusal(status: int) -> Schema:
    content = {"application/problem+json": {"schema": _reference(Problem)}}
    return {"description": _REFUSALS[status], "content": content}


def _reference(model: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
