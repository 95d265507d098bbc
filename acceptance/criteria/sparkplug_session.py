"""Session: the grammar of a Sparkplug B 3.0 edge node, as it shows at the enterprise broker.

A breach of a MUST (grammar.py, `RULES`) is a FAIL, of a SHOULD a note.
"""

from __future__ import annotations

import msgspec

from shakedown.acceptance.blocks import Row, Table, numbers, text
from shakedown.acceptance.criterion import Criterion, Finding
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.grammar import Example, Grammar
from shakedown.acceptance.reconciliation import Passed
from shakedown.acceptance.rules import RULES
from shakedown.acceptance.run import Run
from shakedown.acceptance.session import Absence, HostState, Replay
from shakedown.acceptance.session_claims import SessionClaims
from shakedown.acceptance.spans import S
from shakedown.acceptance.wording import clock, counted, number


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """What passed on the wire by kind of message, and the rules broken: how often, with the first of each."""

    source: str | None
    messages: dict[str, int]
    sessions: int
    rebirth_commands: int
    messages_of_strangers: int
    historical_samples: int
    breaches: dict[str, int]
    examples: dict[str, list[Example]]


def judge(evidence: Evidence) -> Finding:
    """Replay the messages of the edge node and its commands; any breach of a MUST is a FAIL."""
    run = evidence.run
    grammar = Grammar(run.site.keep_alive_s, run.site.reconnect_min_s, run.timeline)
    claims = SessionClaims(run, grammar)
    foreign = ""
    if run.wire is not None:
        replay, passed = Replay(log=run.wire), Passed(run)
        for message in replay:
            if isinstance(message, Absence):
                grammar.absent()
                claims.absent()
                continue
            if isinstance(message, HostState):
                claims.host_state(message)
                continue
            passed.see(message)
            if message.edge == run.site.edge:
                claims.see(message)
                grammar.see(message)
        grammar.finish(run.end_ns)
        claims.finish()
        passed.end(replay)
        evidence.passed = passed
        evidence.malformed.update(replay.malformed)
        grammar.strangers = replay.strangers
        if replay.foreign:
            them = counted(replay.foreign, "message")
            foreign = f" {them} on topics outside of spBv1.0/ reached that broker, the first on {replay.first_foreign}."
    return _result(evidence, grammar, foreign)


def _result(evidence: Evidence, grammar: Grammar, foreign: str) -> Finding:
    must = {rule: count for rule, count in grammar.breaches.items() if RULES[rule][0] == "MUST"}
    seen = sum(grammar.messages.values())
    if must:
        worst = max(must, key=lambda rule: (must[rule], rule))
        example = grammar.examples[worst][0]
        statement = f"{counted(sum(must.values()), 'breach', 'breaches')} of {counted(len(must), 'rule')};"
        statement += f" {'most often' if len(must) > 1 else 'it is'}: {RULES[worst][1]}"
        statement += f" ({example.topic}: {example.what})."
    elif grammar.messages["NBIRTH"]:
        statement = (
            f"{counted(seen, 'message')} in {counted(grammar.sessions, 'session')} keep the rules of a"
            " Sparkplug B 3.0 session."
        )
    else:
        statement = f"Edge node {evidence.run.site.edge} was never born at the enterprise broker." + foreign
    wire = evidence.run.wire
    born = grammar.messages["NBIRTH"] > 0
    breaches = f"{counted(sum(must.values()), 'breach', 'breaches')} in {counted(seen, 'message')}"
    return Finding(
        verdict="INCONCLUSIVE" if wire is None else "FAIL" if must or not born else "PASS",
        measured=breaches if born or must or wire is None else f"no NBIRTH in {counted(seen, 'message')}",
        statement=statement,
        needs="a recording of the messages at the broker" if wire is None else None,
        figures=Figures(
            source=wire.path.name if wire else None,
            messages=dict(sorted(grammar.messages.items())),
            sessions=grammar.sessions,
            rebirth_commands=grammar.rebirth_commands,
            messages_of_strangers=grammar.strangers,
            historical_samples=grammar.historical,
            breaches={rule: grammar.breaches[rule] for rule in RULES if grammar.breaches[rule]},
            examples=grammar.examples,
        ),
        blocks=[_messages(grammar), *_broken(evidence.run, grammar)],
    )


def _messages(grammar: Grammar) -> Table:
    counts = {
        **dict(sorted(grammar.messages.items())),
        "sessions": grammar.sessions,
        "rebirth commands": grammar.rebirth_commands,
        "historical samples": grammar.historical,
        "messages of strangers": grammar.strangers,
    }
    rows = [Row([name, number(count)]) for name, count in counts.items()]
    return Table(title="What passed on the wire", columns=[*text(""), *numbers("")], rows=rows, folded=True)


def _broken(run: Run, grammar: Grammar) -> list[Table]:
    """The rules that were broken, those of a MUST marked, with the first message that broke each."""
    rows = []
    for rule in (name for name in RULES if grammar.breaches[name]):
        level, words, source = RULES[rule]
        first = grammar.examples[rule][0]
        at = clock((first.ns - run.ledger.start_ns) / S)
        said, by = f"{level}: {words} ({source})", f"{first.topic}: {first.what}"
        rows.append(Row([said, number(grammar.breaches[rule]), at, by], "bad" if level == "MUST" else ""))
    columns = [*text("rule"), *numbers("broken", "first at"), *text("by")]
    return [Table(title="Rules that were broken", columns=columns, rows=rows)] if rows else []


def unpromised(run: Run) -> str:
    """A bridge that speaks plain JSON has no Sparkplug session."""
    return "the bridge promises plain JSON" if run.bridge.promises.protocol == "json" else ""


CRITERION = Criterion(
    name="session",
    title="Sparkplug session",
    question="Does the bridge keep the rules of its protocol?",
    threshold="no breach of a MUST of the Sparkplug B 3.0 session",
    judge=judge,
    figures=Figures,
    unpromised=unpromised,
    takes_time=False,
)
