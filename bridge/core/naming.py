"""Names of the namespace: ISA-95 levels as Sparkplug ids, and what a name may be made of.

group_id = `<site>.<area>`, edge_node_id = `<line>`, device_id = `<cell>.<asset>`; a metric has its path in the
asset. Lower-case words without dots keep the mapping reversible and no two ids differ only by case.
"""

from __future__ import annotations

import re

NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
NAME_MAX = 64


def fault_of(name: str) -> str | None:
    """What is wrong with a name, and the remedy; None for a good one."""
    if len(name) > NAME_MAX:
        return f"is longer than {NAME_MAX} characters - shorten it"
    if NAME.match(name):
        return None
    suggestion = re.sub(r"_+", "_", re.sub(r"[^a-z0-9_]+", "_", name.lower())).strip("_")
    hint = f" - for instance {suggestion!r}" if NAME.match(suggestion) else ""
    return f"is not a name: lower-case letters, digits and underscores, a letter first{hint}"


def group_id(site: str, area: str) -> str:
    return f"{site}.{area}"


def device_id(cell: str, asset: str) -> str:
    return f"{cell}.{asset}"


def topic(group: str, message_type: str, edge: str, device: str = "") -> str:
    """Sparkplug topic of an edge node's message, or of one of its devices."""
    base = f"spBv1.0/{group}/{message_type}/{edge}"
    return f"{base}/{device}" if device else base


def state_topic(host_id: str) -> str:
    return f"spBv1.0/STATE/{host_id}"


def barrier_topic(group: str, edge: str) -> str:
    """Topic of the QoS 1 barrier. It lies outside of spBv1.0 so that no Sparkplug host ever sees it."""
    return f"shakedown/barrier/{group}/{edge}"
