"""asyncua's server with the bounds that every part of ours keeps."""

from __future__ import annotations

from asyncua.server.internal_server import InternalServer

from shakedown.twin.servers.limits import OpcUaCounters, OpcUaLimits


class BoundedServer(InternalServer):
    """A server as its sessions, its connections and its history know it."""

    limits: OpcUaLimits
    counters: OpcUaCounters
