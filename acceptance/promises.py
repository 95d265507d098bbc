"""What the bridge under test promises of itself, as `manifest.json` says: what it does not promise is not judged.

A manifest without `bridge` is of our own bridge, which promises everything.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shakedown.acceptance.files import RERUN, Problem


class Promises(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bridge promises; the defaults are those of our own.

    `store_and_forward` names what holds what waits: `memory` is empty after a kill of the process, `disk` is not.
    `identity` names what tells one sample from another: its source timestamp, or a value that no other sample of its
    signal has (polled sources, bridges that stamp the arrival). `operations`: it derives alarms, OEE and work orders.
    """

    protocol: Literal["sparkplug", "json"] = "sparkplug"
    store_and_forward: Literal["none", "memory", "disk"] = "disk"
    identity: Literal["source_timestamps", "values"] = "source_timestamps"
    primary_host: bool = True
    operations: bool = True


class Bridge(msgspec.Struct, frozen=True, kw_only=True):
    """Who is judged. `watched`: the lab runs its process, and sees when it ends."""

    name: str = "shakedown"
    title: str = ""
    version: str = ""
    promises: Promises = Promises()
    watched: bool = True


def read_bridge(manifest: dict[str, Any], problems: list[Problem]) -> Bridge:
    """The bridge that a manifest names; our own, with a problem noted, when that cannot be understood."""
    try:
        return msgspec.convert(manifest.get("bridge") or {}, Bridge)
    except msgspec.ValidationError as error:
        problems.append(
            Problem(f"the bridge's promises cannot be understood: {error}", "manifest.json, bridge", RERUN)
        )
        return Bridge()
