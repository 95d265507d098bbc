"""What a mutant is: a bridge that is whole but for one small change, and the criteria that must catch it."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass

from shakedown.bridge.app import Bridge, Parts


@dataclass(frozen=True)
class Mutant:
    """A broken bridge and the criteria of which at least one must say FAIL; `quick`: in every run of the tests."""

    name: str
    caught_by: tuple[str, ...]
    parts: Parts | None = None
    bridge: type[Bridge] = Bridge
    drill: str = "drill.yaml"
    quick: bool = False

    @property
    def does(self) -> str:
        """What is broken in it: the first paragraph of its broken part's docstring."""
        if not (broken := self._broken()):
            return "Nothing."
        (part,) = broken.values()
        return " ".join((inspect.cleandoc(part.__doc__ or "")).split("\n\n")[0].split())

    @property
    def kind(self) -> tuple[str, ...]:
        """The criterion that must catch it, and the name of the part that is broken in it."""
        return (*self.caught_by[:1], *self._broken())

    def _broken(self) -> dict[str, object]:
        healthy = Parts()
        broken: dict[str, object] = {} if self.bridge is Bridge else {"bridge": self.bridge}
        return broken | {
            field.name: part
            for field in dataclasses.fields(Parts)
            if self.parts is not None
            and (part := getattr(self.parts, field.name)) is not getattr(healthy, field.name)
        }
