"""The operations of the CMMS as a table, and their OpenAPI 3.1 description, which is made from it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shakedown.twin.enterprise.cmms.model import Problem
from shakedown.twin.enterprise.http_query import Query

Schema = dict[str, Any]
_ORDER_ID = {"type": "string", "pattern": "^WO-[0-9]{6,12}$"}


@dataclass(frozen=True)
class Operation:
    """One method of one path: what it takes, what it answers, and the function that does it.

    `body` and `answer` are models; `is_list` means a list of answers; without an answer it is 204 or a file.
    """

    method: str
    path: str
    summary: str
    handle: Callable[..., Any]
    answer: type[BaseModel] | None = None
    is_list: bool = False
    body: type[BaseModel] | None = None
    takes_file: bool = False
    gives: str = ""  # media type of an answer that is no JSON
    status: int = 200
    query: tuple[Query, ...] = ()
    refusals: tuple[int, ...] = ()

    @property
    def is_idempotent_by_key(self) -> bool:
        return self.method == "POST"


_REFUSALS = {
    400: "The request cannot be read",
    403: "Asked by a page of another origin",
    404: "There is no such thing",
    408: "The body did not come in time",
    409: "It contradicts what is there, or the Idempotency-Key was used for another request",
    413: "The body is too large",
    415: "The body is of another media type",
    422: "The request says something that cannot be",
    507: "There is no room for more",
}


def describe(operations: tuple[Operation, ...], version: str) -> Schema:
    """The OpenAPI document of these operations."""
    models = {model for operation in operations for model in (operation.body, operation.answer) if model} | {
        Problem
    }
    named = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema(
        [(model, "validation") for model in named], ref_template="#/components/schemas/{model}"
    )
    paths: Schema = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Shakedown CMMS",
            "version": version,
            "description": "Assets, assignments and work orders. Times are milliseconds since the Unix epoch.",
        },
        "paths": paths,
        "components": {"schemas": definitions["$defs"]},
    }


def _operation(operation: Operation) -> Schema:
    described: Schema = {
        "summary": operation.summary,
        "operationId": operation.handle.__name__.strip("_"),
        "parameters": _parameters(operation),
        "responses": {str(operation.status): _answer(operation)}
        | {
            str(status): _refusal(status)
            for status in sorted({400, 403, *_body_refusals(operation), *operation.refusals})
        },
    }
    if operation.body:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
    elif operation.takes_file:
        described["requestBody"] = {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    return described


def _body_refusals(operation: Operation) -> tuple[int, ...]:
    if operation.body:
        return (408, 413, 415, 422) + ((409, 507) if operation.is_idempotent_by_key else ())
    return (408, 409, 413, 507) if operation.takes_file else ()


def _parameters(operation: Operation) -> list[Schema]:
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _ORDER_ID if name == "id" else {"type": "integer", "minimum": 1},
        }
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    in_query = [
        {
            "name": query.name,
            "in": "query",
            "required": query.is_required,
            "description": query.description,
            "schema": query.schema(),
        }
        for query in operation.query
    ]
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key and request give the same answer once more; another request gives 409",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    }
    return in_path + in_query + ([key] if operation.is_idempotent_by_key else [])


def _answer(operation: Operation) -> Schema:
    if operation.gives:
        return {"description": "The answer", "content": {operation.gives: {"schema": {}}}}
    if operation.answer is None:
        return {"description": "Done; no content"}
    schema = _reference(operation.answer)
    if operation.is_list:
        schema = {"type": "array", "items": schema}
    return {"description": "The answer", "content": {"application/json": {"schema": schema}}}


def _refusal(status: int) -> Schema:
    content = {"application/problem+json": {"schema": _reference(Problem)}}
    return {"description": _REFUSALS[status], "content": content}


def _reference(model: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
