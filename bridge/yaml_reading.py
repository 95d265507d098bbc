"""How a file becomes a model, with everything that is wrong with it told at once.

A file is judged in stages: fields one by one, what their model says of them together, then whoever reads the file. A
later stage needs a model. So that a mistake in an earlier one does not hide it, what is wrong is left out and the rest
goes on; what a later stage says only because of that is not told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Generic, TypeVar, get_origin

from pydantic import BaseModel, ValidationError

from shakedown.bridge.yaml_problems import (
    ConfigError,
    Marks,
    Path_,
    bounded,
    entry_of,
    in_file,
    kind_of,
    path_in_file,
    problem,
)

ROUNDS_MAX = 12  # what is left out may leave its owner incomplete, which is then left out too

M = TypeVar("M", bound=BaseModel)

_WORD = re.compile(r"[A-Za-z_]\w*")
_QUOTED = re.compile(r"'([^']*)'")


class Reading(Generic[M]):
    """What could be made of a file: `model` from what is sound in it (None when too little is), and every problem."""

    def __init__(self, value: Any, marks: Marks, model: type[M], problems: list[str] | None = None) -> None:
        self.marks = marks
        self.problems = problems or []
        self.model: M | None = None
        self._names: set[str] = set()  # of what was left out
        self._words: set[str] = set()  # in what was left out
        if isinstance(value, dict):
            self._make(value, model)
        elif not self.problems:
            self.problems.append(f"{marks.where(())}: is {kind_of(value)}, expected keys and values")

    def check(self, check: Callable[[M], None], *others: Reading[Any]) -> None:
        """Add what a check of the model, with those of `others`, finds; it raises ConfigError with its problems."""
        if self.model is None:
            return
        try:
            check(self.model)
        except ConfigError as error:
            told = [line for line in error.problems if self._is_told(line)]
            self.problems += [line for line in told if not any(one._is_quoted(line) for one in others)]

    def settled(self, *others: Reading[Any]) -> M:
        """The model of a file without a problem. Raises ConfigError with all problems, those of `others` too."""
        problems = [line for one in (self, *others) for line in one.problems]
        if problems or self.model is None:
            raise ConfigError(bounded(list(dict.fromkeys(problems))))
        return self.model

    def _make(self, value: Any, model: type[M]) -> None:
        kept: dict[Path_, list[int]] = {}
        left_out: set[Path_] = set()
        for _ in range(ROUNDS_MAX):
            try:
                self.model = model.model_validate(value)
                self.marks = replace(self.marks, kept=kept)  # the model counts the items that it has
                return
            except ValidationError as error:
                items = error.errors(include_url=False)
            wrong = set()
            for item in items:
                here = path_in_file(item["loc"], value)
                path = in_file(here, kept)
                line = problem(item, path, self.marks, model)
                if not left_out or not self._is_consequence(item, path, line, left_out, model):
                    self.problems.append(line)
                wrong.add(here if item["type"] == "extra_forbidden" else entry_of(model, here))
            if any(not path or _is_section(path, model) for path in wrong):
                return  # too little is left
            for path in wrong:
                left_out |= {in_file(path[:length], kept) for length in range(1, len(path) + 1)}
                self._names |= set(_WORD.findall(str(path[-1])))
                self._words |= set(_words(path, value))
            value = _without(value, wrong, (), kept)

    def _is_consequence(
        self, item: Any, path: Path_, line: str, left_out: set[Path_], model: type[M]
    ) -> bool:
        """Whether a problem may be there only because something was left out."""
        has_become_empty = path in left_out
        is_missing_now = (*path, *item["loc"][-1:]) in left_out
        has_fewer_than_another = _is_section(path, model)
        return has_become_empty or is_missing_now or has_fewer_than_another or not self._is_told(line)

    def _is_told(self, line: str) -> bool:
        """Whether a problem stands for itself: it names nothing that was left out."""
        _, _, text = line.partition(": ")
        return self._names.isdisjoint(_WORD.findall(text)) and not self._is_quoted(line)

    def _is_quoted(self, line: str) -> bool:
        """Whether a problem quotes something that was left out, or that stands in it."""
        quoted = _WORD.findall(" ".join(_QUOTED.findall(line)))
        return not (self._names | self._words).isdisjoint(quoted)


def _is_section(path: Path_, model: type[BaseModel]) -> bool:
    """Whether a path is that of a whole section of a file, whose loss would be seen everywhere."""
    field = model.model_fields.get(str(path[0])) if len(path) == 1 else None
    return field is not None and get_origin(field.annotation) in (dict, list, tuple)


def _words(path: Path_, value: Any) -> Iterator[str]:
    """Every word in what stands at `path`: other parts of the file may name it by one of them."""
    for step in path:
        value = value[step]
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and " " not in value:
            yield from _WORD.findall(value)


def _without(value: Any, wrong: set[Path_], path: Path_, kept: dict[Path_, list[int]]) -> Any:
    """A copy of `value` without what stands at the paths `wrong`; `kept` learns which items of lists remain."""
    if isinstance(value, dict):
        return {
            key: _without(inner, wrong, (*path, key), kept)
            for key, inner in value.items()
            if (*path, key) not in wrong
        }
    if isinstance(value, list):
        remaining = [index for index in range(len(value)) if (*path, index) not in wrong]
        result = [_without(value[index], wrong, (*path, index), kept) for index in remaining]
        if len(remaining) < len(value):
            place = in_file(path, kept)
            before = kept.get(place, range(len(value)))
            kept[place] = [before[index] for index in remaining]
        return result
    return value
