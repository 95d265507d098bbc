"""Session: the grammar of a Sparkplug B 3.0 edge node, as it shows at the enterprise broker.

A breach of a MUST (grammar.py, `RULES`) is a FAIL, of a SHOULD a note.
"""

from __future__ import annotations

from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.grammar import RULES, Grammar
from shakedown.acceptance.session import BIRTHS, Absence, Replay
from shakedown.acceptance.verdict import CriterionResult

NAME, TITLE = "session", "Sparkplug session"
THRESHOLD = "no breach of a MUST of the Sparkplug B 3.0 session"


def judge(evidence: Evidence) -> CriterionResult:
    """Replay the messages of the edge node and its commands; any breach of a MUST is a FAIL."""
    run = evidence.run
    grammar = Grammar(run.site.keep_alive_s, run.site.reconnect_min_s, run.timeline)
    if run.wire is not None:
        replay = Replay(log=run.wire)
        for message in replay:
            if isinstance(message, Absence):
                grammar.absent()
            elif message.edge == run.site.edge:
                grammar.see(message)
        grammar.finish(run.end_ns)
        evidence.malformed.update(replay.malformed)
        grammar.strangers = replay.strangers
    return _result(evidence, grammar)


def _result(evidence: Evidence, grammar: Grammar) -> CriterionResult:
    must = {rule: count for rule, count in grammar.breaches.items() if RULES[rule][0] == "MUST"}
    seen = sum(grammar.messages.values())
    births = sum(grammar.messages[kind] for kind in BIRTHS)
    if must:
        worst = max(must, key=lambda rule: (must[rule], rule))
        example = grammar.examples[worst][0]
        statement = f"{sum(must.values()):,} breaches of {len(must)} rules; most often: {RULES[worst][1]}"
        statement += f" ({example['topic']}: {example['what']})."
    elif grammar.messages["NBIRTH"]:
        statement = (
            f"{seen:,} messages in {grammar.sessions} session{'s'[: grammar.sessions != 1]} keep the rules of a"
            " Sparkplug B 3.0 session."
        )
    else:
        statement = f"Edge node {evidence.run.site.edge} was never born at the enterprise broker."
    wire = evidence.run.wire
    born = grammar.messages["NBIRTH"] > 0
    return CriterionResult(
        name=NAME,
        title=TITLE,
        verdict="INCONCLUSIVE" if wire is None else "FAIL" if must or not born else "PASS",
        threshold=THRESHOLD,
        measured=f"{sum(must.values()):,} breaches in {seen:,} messages",
        statement=statement,
        needs="a recording of the messages at the broker" if wire is None else None,
        details={
            "source": wire.path.name if wire else None,
            "messages": dict(sorted(grammar.messages.items())),
            "births": births,
            "sessions": grammar.sessions,
            "rebirth_commands": grammar.rebirth_commands,
            "messages_of_strangers": grammar.strangers,
            "historical_samples": grammar.historical,
            "breaches": {rule: grammar.breaches[rule] for rule in RULES if grammar.breaches[rule]},
            "rules": {
                rule: f"{RULES[rule][0]}: {RULES[rule][1]} ({RULES[rule][2]})" for rule in grammar.breaches
            },
            "examples": grammar.examples,
        },
    )
