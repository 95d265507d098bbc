"""What installed packages add to a table: entry points, each a class of a kind that is asked for."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from shakedown.scenarios.errors import UsageError


def beside(ours: dict[str, str], group: str) -> dict[str, str]:
    """A table of names and classes (`module:Class`), and what the entry points of `group` add to it.

    Raises UsageError for a name that is there already.
    """
    found = dict(ours)
    for entry in sorted(metadata.entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        if entry.name in found:
            raise UsageError(f"Entry point {entry.name!r} of {group} ({entry.value}) has the name of "
                             f"{found[entry.name]}. Rename it, or uninstall its package.")  # fmt: skip
        found[entry.name] = entry.value
    return found


def load(place: str, base: type, group: str, name: str) -> Any:
    """The class at `module:Class`. Raises UsageError when it cannot be imported, or is no `base` of that name."""
    module, _, attribute = place.partition(":")
    where = f"Entry point {name!r} of {group} ({place})"
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # whatever a package raises while it is imported
        raise UsageError(f"{where} cannot be loaded: {type(error).__name__}: {error}. Repair its package, or uninstall "
                         "it.") from error  # fmt: skip
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UsageError(f"{where} is not a subclass of {base.__module__}.{base.__name__}. Repair its package, or "
                         "uninstall it.")  # fmt: skip
    return found
