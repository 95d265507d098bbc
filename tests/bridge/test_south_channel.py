"""The channel to an OPC UA server: who stops the bridge while it connects is heard."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from shakedown.bridge.south.channel import Channel
from shakedown.bridge.south.config import OpcUaConfig


def test_a_stop_wins_over_a_failure_of_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python 3.12 `wait_for` gives the failure, and the cancellation is lost; the one not heard of is logged."""
    unheard: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: unheard.append(context))

        async def resolve(*_: Any, **__: Any) -> Any:
            opening.cancel()
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        config = OpcUaConfig(endpoint="opc.tcp://nowhere.invalid:4840")
        opening = asyncio.create_task(Channel("line1", config, None).open())
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert opening.cancelled()

    asyncio.run(main())
    assert not unheard
