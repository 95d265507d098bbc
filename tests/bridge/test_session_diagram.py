"""The diagram in docs/bridge.md is the session's table of transitions, drawn."""

from __future__ import annotations

from pathlib import Path

from shakedown.bridge.core.transitions import TABLE, Signal, State

DOCS = Path(__file__).parents[2] / "docs" / "bridge.md"


def drawn() -> str:
    """Mermaid: an arrow from state to state, with the signals that lead there and what came of them."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, signal), row in TABLE.items():
        after = {f"{name(signal)} [{outcome.value}]": then for outcome, then in row.by.items()}
        if row.then is not None:
            after[name(signal)] = row.then
        for label, then in after.items():
            if then is not state:
                arrows.setdefault((state, then), []).append(label)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> OFFLINE"]
    lines += [
        f"    {state.name} --> {then.name} : {', '.join(labels)}" for (state, then), labels in arrows.items()
    ]
    return "\n".join([*lines, "    STOPPED --> [*]", "```"])


def name(signal: Signal) -> str:
    return signal.__name__ if isinstance(signal, type) else f"{signal.value} timer"


def test_the_documentation_draws_the_table() -> None:
    assert drawn() in DOCS.read_text(), f"put this into {DOCS.name}:\n{drawn()}"


def test_every_state_is_reached_and_all_but_the_last_are_left() -> None:
    left = {state for (state, _), row in TABLE.items() if {row.then, *row.by.values()} - {None, state}}
    reached = {then for row in TABLE.values() for then in (row.then, *row.by.values())}
    assert reached | {State.OFFLINE} == {*State, None}
    assert left == {*State} - {State.STOPPED}
