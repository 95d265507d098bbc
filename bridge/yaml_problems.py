"""What is wrong with a file that somebody wrote: where it stands, what is there, and what to do about it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, PlainValidator

PROBLEMS_MAX = 50
_WORD = re.compile(r"\w+")
_USER_IN_ADDRESS = re.compile(r"//[^/\s]*@")
SECRET_KEYS = frozenset({"password"})
"""Keys whose value is never repeated, whatever somebody wrote there."""

Path_ = tuple[str | int, ...]


class ConfigError(Exception):
    """A file cannot be used; `problems` are lines `file:line:column: key.path: what (value) - remedy`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass
class Marks:
    """Where each key and each value of a file stands; lines and columns count from 1.

    Other files may be laid over this one: `layers` are their marks, and the path under which they hold its keys.
    """

    file: str
    keys: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    layers: list[tuple[Marks, Path_]] = field(default_factory=list)
    kept: dict[Path_, list[int]] = field(default_factory=dict)
    """Of a model from which items of lists were left out: the places, in the file, of those that it has."""

    def where(self, path: Path_, *, key: bool = False) -> str:
        """`file:line:column` of a key path, or of the nearest parent that stands in the file."""
        path = in_file(path, self.kept)
        for length in range(len(path), -1, -1):
            layers = [*reversed(self.layers), (self, ())] if length else [(self, ())]
            for marks, prefix in layers:
                table, full = marks.keys if key else marks.values, (*prefix, *path[:length])
                if mark := table.get(full) or marks.values.get(full):
                    return f"{marks.file}:{mark[0]}:{mark[1]}"
        return self.file

    def problem(self, path: Path_, text: str, *, key: bool = False) -> str:
        """One line of a ConfigError about the value (or the key itself) at `path`."""
        name = ".".join(map(str, in_file(path, self.kept)))
        return f"{self.where(path, key=key)}: {name + ': ' if name else ''}{text}"


def in_file(path: Path_, kept: dict[Path_, list[int]]) -> Path_:
    """A path of what is left, as it is in the file: the places in lists from which something was left out."""
    found: Path_ = ()
    for step in path:
        found = (*found, kept[found][step] if isinstance(step, int) and found in kept else step)
    return found


def did_you_mean(name: str, known: list[str]) -> str:
    """A remedy for an unknown name: the nearest known one, or the list of them."""
    if near := get_close_matches(name, known, n=1, cutoff=0.6):
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}" if known else "remove it"


def bounded(problems: list[str]) -> list[str]:
    """So many problems as a person reads."""
    if len(problems) <= PROBLEMS_MAX:
        return problems
    return [*problems[:PROBLEMS_MAX], f"... and {len(problems) - PROBLEMS_MAX} more - mend these first"]


NAME_PATTERN = r"^[a-z][a-z0-9_]*$"

_MESSAGES = {
    "missing": "is missing - add it",
    "string_type": "is {kind}, expected a text - put it in quotes",
    "int_type": "is {kind}, expected a whole number",
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is {kind}, expected a number",
    "float_parsing": "is not a number",
    "finite_number": "is not a finite number",
    "bool_type": "is {kind}, expected true or false",
    "bool_parsing": "is neither true nor false - YAML 1.2 knows only true and false",
    "dict_type": "is {kind}, expected keys and values",
    "model_type": "is {kind}, expected keys and values",
    "model_attributes_type": "is {kind}, expected keys and values",
    "list_type": "is {kind}, expected a list",
    "tuple_type": "is {kind}, expected a list",
    "too_short": "has {actual_length} entries - give at least {min_length}",
    "too_long": "has {actual_length} entries - give at most {max_length}",
    "string_too_short": "is shorter than {min_length} characters",
    "string_too_long": "is longer than {max_length} characters",
    "string_pattern_mismatch": "does not match {pattern}",
    "literal_error": "is none of {expected}",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
}


def problem(item: Any, path: Path_, marks: Marks, model: type[BaseModel]) -> str:
    """One pydantic error as one line of a ConfigError; `path` is that of the value, or of what misses one."""
    kind, value = item["type"], item["input"]
    if kind == "extra_forbidden":
        models = _models_at(model, path[:-1])
        told_apart = [one for one in models if _has_tag(one, item["loc"][-2:-1])]  # of a union, by its `kind`
        what = f"{item['loc'][-2]} has no such field" if told_apart else "unknown field"
        remedy = did_you_mean(str(path[-1]), _fields_of(told_apart or models))
        return marks.problem(path, f"{what} - {remedy}", key=True)
    if kind == "union_tag_invalid":
        name, known = item["ctx"]["discriminator"].strip("'"), _WORD.findall(item["ctx"]["expected_tags"])
        near = did_you_mean(item["ctx"]["tag"], known)
        every = f" There are: {', '.join(known)}" if near.startswith("did you mean") else ""
        return marks.problem((*path, name), f"unknown {name} {_short(item['ctx']['tag'])} - {near}{every}")
    if isinstance(value, float) and math.isnan(value):
        kind = "finite_number"  # and beyond no bound, whatever is said of it
    text = _MESSAGES.get(kind, "")
    if kind == "missing":
        return marks.problem((*path, item["loc"][-1]), text)
    template = text or item["msg"].removeprefix("Value error, ")
    text = template.format(kind=kind_of(value), **item.get("ctx", {})) if text else template
    what, dash, remedy = text.partition(" - ")
    if item.get("ctx", {}).get("pattern") == NAME_PATTERN:
        what, dash, remedy = (
            "is not a name",
            " - ",
            "begin with a small letter; small letters, digits and _ follow",
        )
    is_key = item["loc"][-1:] == ("[key]",)
    shown = "" if SECRET_KEYS.intersection(path) else f" ({_short(_masked(value))})"
    return marks.problem(path, f"{what}{shown}{dash}{remedy}", key=is_key)


def path_in_file(loc: tuple[Any, ...], root: Any) -> Path_:
    """The part of a pydantic location that really names keys and indices of the file."""
    path: list[str | int] = []
    here = root
    for step in loc:
        if isinstance(here, dict):
            key = step if step in here else next((k for k in here if str(k) == str(step)), None)
            if key is not None:
                path.append(key)
                here = here[key]
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            path.append(step)
            here = here[step]
    return tuple(path)


def _models_at(model: Any, path: Path_) -> list[type[BaseModel]]:
    """The models that a key path leads to, walked through dict, list, union and nested models."""
    found = [model]
    for step in path:
        found = [inner for outer in found for inner in _inner(outer, step)]
    return [kind for outer in found for kind in _flat(outer) if _is_model(kind)]


def _has_tag(model: type[BaseModel], tag: tuple[Any, ...]) -> bool:
    """Whether a field of the model can only be that: the models of a union are told apart by it."""
    kinds = [field.annotation for field in model.model_fields.values()]
    return any(get_origin(kind) is Literal and get_args(kind) == tag for kind in kinds)


def _fields_of(models: list[type[BaseModel]]) -> list[str]:
    """Names that these models accept."""
    names = [spec.alias or name for model in models for name, spec in model.model_fields.items()]
    return list(dict.fromkeys(names))


def entry_of(model: type[BaseModel], path: Path_) -> Path_:
    """The path of what can be left out so that the rest goes on; the whole path where there is none.

    That is the innermost model, named or listed, that a path leads into, or a plain value in it that may be missing.
    """
    found: list[Any] = [model]
    end = 0
    for number, step in enumerate(path, 1):
        kinds = [kind for outer in found for kind in _flat(outer)]
        is_entry = any(get_origin(kind) in (dict, list, tuple) for kind in kinds)
        may_be_missing = end and bool(kinds) and all(_is_optional(kind, step) for kind in kinds)
        found = [inner for outer in found for inner in _inner(outer, step)]
        if may_be_missing or (is_entry and any(_is_model(kind) for outer in found for kind in _flat(outer))):
            end = number
    return path[:end] or path


def _is_optional(kind: Any, step: str | int) -> bool:
    """Whether a kind is a model that goes on without its field of that name, a plain value to which nothing refers."""
    fields = kind.model_fields.items() if _is_model(kind) else ()
    own = [field for name, field in fields if step in (name, field.alias)]
    plain = (bool, int, float, str, type(None))
    return any(not field.is_required() and set(_flat(field.annotation)) <= set(plain) for field in own)


def _flat(annotation: Any) -> list[Any]:
    """An annotation without its unions and Annotated wrappers."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return [flat for argument in get_args(annotation) for flat in _flat(argument)]
    if hasattr(annotation, "__metadata__"):
        read_as = [m.json_schema_input_type for m in annotation.__metadata__ if isinstance(m, PlainValidator)]
        return _flat((*read_as, *get_args(annotation))[0])
    return [annotation]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _inner(annotation: Any, step: str | int) -> list[Any]:
    result = []
    for kind in _flat(annotation):
        if _is_model(kind):
            result += [f.annotation for name, f in kind.model_fields.items() if step in (name, f.alias)]
        elif get_origin(kind) is dict:
            result.append(get_args(kind)[1])
        elif get_origin(kind) in (list, tuple):
            result.append(get_args(kind)[0])
    return result


_KINDS: dict[type, str] = {
    type(None): "empty",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "keys and values",
}


def kind_of(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _masked(value: Any) -> Any:
    """The value without the secrets in it."""
    if isinstance(value, dict):
        return {key: "***" if key in SECRET_KEYS else _masked(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return _USER_IN_ADDRESS.sub("//***@", value)
    return [_masked(inner) for inner in value] if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
