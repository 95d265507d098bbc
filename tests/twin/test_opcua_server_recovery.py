"""Republish, TransferSubscriptions and what an outage leaves behind (Part 4, 5.14.6, 5.14.7, 6.7)."""

from __future__ import annotations

import asyncio

from asyncua import ua

from shakedown.twin.servers.limits import OpcUaLimits
from tests.twin.opcua_rig import (
    Lab,
    Peer,
    code_of,
    contrast,
    data_values,
    on_both_servers,
    plain,
    play,
    status_of,
)


@contrast(bare=("Good", "Good"), corrected=("BadMessageNotAvailable", "BadSubscriptionIdInvalid"))
def test_republish_refuses_what_it_does_not_have(kind: str, expected: tuple[str, str]) -> None:
    async def scenario(lab: Lab) -> tuple[str, str]:
        peer = await lab.connect()
        await peer.subscribe()
        unknown_message = await code_of(peer.republish(4711))
        peer.subscription_id += 1
        return unknown_message, await code_of(peer.republish(1))

    assert play(kind, scenario) == expected


@contrast(bare=[[1.0], [], []], corrected=[[1.0], [1.0], []])
def test_republish_keeps_a_message_until_it_is_acknowledged(kind: str, expected: list[list[float]]) -> None:
    """The answer to a Republish may be lost as well: only the acknowledgement removes the message."""

    async def scenario(lab: Lab) -> list[list[float]]:
        peer = await lab.connect()
        await peer.subscribe()
        await lab.write(1.0)
        await peer.monitor(0)
        message = (await peer.publish()).NotificationMessage
        assert plain(data_values(message)) == [1.0]
        again = [await peer.republish(message.SequenceNumber), await peer.republish(message.SequenceNumber)]
        acknowledged = peer.publishing(message.SequenceNumber)
        await lab.write(2.0)
        await acknowledged
        try:
            again.append(await peer.republish(message.SequenceNumber))
        except ua.uaerrors.BadMessageNotAvailable:
            again.append(ua.NotificationMessage())
        return [plain(data_values(m)) for m in again]

    assert play(kind, scenario) == expected


@contrast(bare=[True, True], corrected=[True, False])
def test_publish_tells_when_an_acknowledged_number_is_unknown(kind: str, expected: list[bool]) -> None:
    async def scenario(lab: Lab) -> list[bool]:
        peer = await lab.connect()
        await peer.subscribe()
        await peer.monitor(0)
        first = await peer.publish()
        await lab.write(2.0)
        second = await peer.publish(first.NotificationMessage.SequenceNumber, 4711)
        return [status.is_good() for status in second.Results]

    assert play(kind, scenario) == expected


def test_retransmission_queue_is_bounded() -> None:
    async def scenario(lab: Lab) -> tuple[list[int], str, int]:
        peer = await lab.connect()
        await peer.subscribe()
        await lab.write(0.0)
        await peer.monitor(0)
        result = await peer.publish()
        for number in range(4):
            await lab.write(float(number + 1))
            result = await peer.publish()
        return (
            result.AvailableSequenceNumbers,
            await code_of(peer.republish(1)),
            lab.server.counters.unacknowledged,
        )

    limits = OpcUaLimits(retransmission_messages=3)
    assert play("corrected", scenario, limits=limits) == ([3, 4, 5], "BadMessageNotAvailable", 2)


async def outage(lab: Lab, peer: Peer, values: list[float]) -> tuple[Peer, list[float]]:
    """Lose the connection with a message on its way, change meanwhile, come back as Part 4, 6.7 says."""
    in_flight = peer.publishing()
    await asyncio.sleep(0.2)
    cable = lab.network.cable("client")
    await cable.blackhole()
    for value in values:
        await lab.write(value)
        await asyncio.sleep(0.3)
    await cable.heal()
    await asyncio.gather(in_flight, return_exceptions=True)
    back = Peer(lab.url)
    await back.open()
    await back.reactivate(peer)
    recovered = []
    while True:
        try:
            message = await asyncio.wait_for(back.republish(back.last_sequence_number + 1), 5)
        except ua.uaerrors.BadMessageNotAvailable:
            break
        if not message.NotificationData:  # what the bare server says instead
            break
        back.last_sequence_number = message.SequenceNumber
        recovered += plain(data_values(message))
    return back, recovered + plain(await back.drain())


@on_both_servers
def test_two_outages_in_a_row_lose_nothing(kind: str) -> None:
    """The bare server passes this one, as long as every answer to a Republish arrives."""

    async def scenario(lab: Lab) -> list[list[float]]:
        peer = await lab.connect()
        await peer.subscribe()
        await lab.write(0.0)
        await peer.monitor(0)
        await peer.drain()
        peer, first = await outage(lab, peer, [1.0, 2.0, 3.0])
        peer, second = await outage(lab, peer, [4.0, 5.0, 6.0])
        return [first, second]

    assert play(kind, scenario) == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


@contrast(bare=([], [], "dropped"), corrected=([1], [2.0], "alive"))
def test_transfer_to_a_new_session_after_the_client_was_killed(kind: str, expected: tuple) -> None:
    """Publish goes on with the new session's requests, and what was sent in vain is still available."""

    async def scenario(lab: Lab) -> tuple[list[int], list[float], str]:
        killed = await lab.connect()
        await killed.subscribe()
        await lab.write(1.0)
        await killed.monitor(0)
        await killed.publish()  # message 1 arrives and is never acknowledged
        in_flight = killed.publishing()
        await asyncio.sleep(0.05)
        killed.kill()
        await asyncio.gather(in_flight, return_exceptions=True)
        heir = await lab.connect()
        result = await heir.transfer(killed.subscription_id, initial=False)
        await lab.write(2.0)
        try:
            values = plain(data_values(await heir.publish(timeout_s=2)))
            await heir.read("ns=2;s=T0")
        except (ConnectionError, TimeoutError, ua.UaError):
            return [], [], "dropped"
        return result.AvailableSequenceNumbers, values, "alive"

    assert play(kind, scenario) == expected


@contrast(bare=None, corrected="GoodSubscriptionTransferred")
def test_transfer_tells_the_old_session(kind: str, expected: str | None) -> None:
    async def scenario(lab: Lab) -> str | None:
        old, new = await lab.connect(), await lab.connect()
        await old.subscribe()
        await old.publish()  # the first message of a subscription is a keep-alive
        waiting = old.publishing()
        await asyncio.sleep(0.05)
        await new.transfer(old.subscription_id, initial=False)
        done, _ = await asyncio.wait([waiting], timeout=3)
        waiting.cancel()
        return status_of(waiting.result()) if done and waiting.exception() is None else None

    assert play(kind, scenario) == expected


def test_transfer_sends_initial_values_only_when_asked() -> None:
    async def scenario(lab: Lab) -> list[list[float]]:
        seen = []
        for initial in (False, True):
            old = await lab.connect()
            await old.subscribe()
            await lab.write(7.0)
            await old.monitor(0)
            await old.drain()
            old.kill()
            new = await lab.connect()
            await new.transfer(old.subscription_id, initial=initial)
            seen.append(plain(await new.drain()))
        return seen

    assert play("corrected", scenario) == [[], [7.0]]


@contrast(bare="Good", corrected="BadUserAccessDenied")
def test_transfer_is_refused_to_another_client(kind: str, expected: str) -> None:
    async def scenario(lab: Lab) -> str:
        owner = await lab.connect()
        await owner.subscribe()
        thief = await lab.connect(application_uri="urn:somebody:else")
        return (await thief.transfer(owner.subscription_id, initial=False)).StatusCode.name

    assert play(kind, scenario) == expected


@contrast(bare="Good", corrected="BadSubscriptionIdInvalid")
def test_items_can_only_be_added_to_the_own_subscription(kind: str, expected: str) -> None:
    async def scenario(lab: Lab) -> str:
        owner, other = await lab.connect(), await lab.connect()
        other.subscription_id = (await owner.subscribe()).SubscriptionId
        return await code_of(other.monitor(0))

    assert play(kind, scenario) == expected


@contrast(bare="in", corrected="out")
def test_failed_activation_does_not_give_the_session_away(kind: str, expected: str) -> None:
    """ActivateSession with a token that was heard, but as somebody else: refused, and nothing served afterwards."""

    async def scenario(lab: Lab) -> str:
        owner = await lab.connect()
        await owner.subscribe()
        thief = Peer(lab.url)
        await thief.open()
        thief.session.restore_authentication_token(owner.session.authentication_token)
        thief.client._server_nonce = owner.client._server_nonce
        params = ua.ActivateSessionParameters()
        params.UserIdentityToken = ua.IssuedIdentityToken()  # of a kind that the server does not accept
        request = ua.ActivateSessionRequest()
        request.Parameters = params
        assert await code_of(thief.request(request, ua.ActivateSessionResponse)) == "BadIdentityTokenRejected"
        try:
            await thief.read("ns=2;s=T0")
        except (ua.UaError, ConnectionError):
            return "out"
        return "in"

    assert play(kind, scenario) == expected
