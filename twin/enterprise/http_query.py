"""The parameters of a query string, as an operation declares them and as a request gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request


class BadQueryError(ValueError):
    """What is wrong with a query string, and what it may hold."""


@dataclass(frozen=True)
class Query:
    """A parameter of the query string; `kind` is string or integer."""

    name: str
    kind: str
    description: str
    minimum: int = 0
    maximum: int = 2**53
    letters_max: int = 200
    choices: tuple[str, ...] = ()
    default: int | None = None
    is_required: bool = False

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        if self.kind == "integer":
            default = {} if self.default is None else {"default": self.default}
            return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum} | default
        return {"type": "string", "maxLength": self.letters_max} | (
            {"enum": list(self.choices)} if self.choices else {}
        )

    def read(self, text: str) -> int | str:
        """The value that a text gives. Raises BadQueryError."""
        if self.kind == "integer":
            is_number = text.isascii() and text.isdigit() and len(text) <= 16
            if not is_number or not self.minimum <= int(text) <= self.maximum:
                bounds = f"{self.minimum} to {self.maximum}"
                raise BadQueryError(f"{self.name} is {text[:40]!r}; give a whole number from {bounds}")
            return int(text)
        if len(text) > self.letters_max or (self.choices and text not in self.choices):
            remedy = " or ".join(self.choices) or f"at most {self.letters_max} characters"
            raise BadQueryError(f"{self.name} is {text[:40]!r}; give {remedy}")
        return text


def given(queries: Sequence[Query], request: Request) -> dict[str, Any]:
    """The parameters of a request by name, defaults where it gives none. Raises BadQueryError."""
    known = {query.name: query for query in queries}
    found: dict[str, Any] = {
        name: query.default for name, query in known.items() if query.default is not None
    }
    for name, text in request.query_params.multi_items():
        query = known.get(name)
        if query is None:
            raise BadQueryError(f"unknown parameter {name[:40]!r}; known here: {', '.join(known) or 'none'}")
        found[name] = query.read(text)
    for query in queries:
        if query.is_required and not found.get(query.name):
            raise BadQueryError(f"parameter {query.name!r} is missing: {query.description}")
    return found
