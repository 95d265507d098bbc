"""Upsets: what befalls sensors by schedule. For now one: a drop-out, while which signals are Bad."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import simpy

from shakedown.twin.line.machine import Process, Record
from shakedown.twin.line.plant import Dropout
from shakedown.twin.line.randomness import MS_PER_S

STATUS = {
    "BadNotConnected": 0x808A0000,
    "BadDeviceFailure": 0x808B0000,
    "BadSensorFailure": 0x808C0000,
    "BadOutOfService": 0x808D0000,
}
"""OPC UA StatusCodes (Part 6, A.2) of a drop-out."""


def drop_out(
    dropout: Dropout, indices: Mapping[str, int], statuses: list[int], env: simpy.Environment, record: Record
) -> Process:
    """Make the signals of a drop-out Bad for its time, in `statuses` by signal index; one event for each machine."""
    owners: dict[str, list[str]] = {}
    for name in dropout.signals:
        owners.setdefault(name.partition(".")[0], []).append(name)

    def apply(phase: str, status: int) -> None:
        for name in dropout.signals:
            statuses[indices[name]] = status
        for owner, names in owners.items():
            data: dict[str, Any] = {"phase": phase, "upset": "dropout", "signals": names}
            record("upset", owner, {**data, "status": dropout.status})

    yield env.timeout(round(dropout.at_s * MS_PER_S))
    apply("start", STATUS[dropout.status])
    yield env.timeout(round(dropout.lasts_s * MS_PER_S))
    apply("end", 0)
