"""A contradiction in a plant file, and a remedy for a name that is not known."""

from __future__ import annotations

from difflib import get_close_matches

Place = tuple[str | int, ...]
Problem = tuple[Place, object, str]
"""Where in the file, the value there, and `what - remedy`."""


def did_you_mean(name: str, known: list[str]) -> str:
    """A remedy for an unknown name."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
