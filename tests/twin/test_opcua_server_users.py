"""A secured server: users with passwords over Basic256Sha256, and everybody else refused and counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from asyncua import Client, ua
from asyncua.crypto import security_policies

from shakedown.bridge.south.security import secure
from shakedown.twin import authority
from shakedown.twin.authority import Authority, KeyPair
from shakedown.twin.clock import run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.servers.opcua import OpcUaSecurity, OpcUaServer
from tests.twin.opcua_rig import TAGS, Peer

Case = Callable[[OpcUaServer, Callable[..., Peer]], Awaitable[None]]


def on_secured_server(folder: Path, case: Case) -> str:
    """Carry a case out with a server that knows the user `bridge`, and a way to make clients; returns the trace."""
    issuer = Authority(folder / "secrets")
    plc = issuer.issue("plc", application_uri="urn:shakedown:line1")
    pairs = {name: issuer.issue(name, application_uri=f"urn:test:{name}") for name in ("bridge", "stranger")}
    security = OpcUaSecurity(
        plc.certificate.read_bytes(),
        plc.key.read_bytes(),
        trusted=(pairs["bridge"].certificate.read_bytes(),),
        users={"bridge": "the bridge's"},
    )

    def peer(name: str = "bridge") -> Peer:
        client = Peer("opc.tcp://plc:4840/line1")
        secure(client.client, files_of(pairs[name], plc), "test")
        return client

    async def main() -> str:
        with MemoryNetwork() as network:
            plc_host, client_host = network.add_host("plc", "cell"), network.add_host("client", "cell")
            server = OpcUaServer("plc", 4840, TAGS, endpoint_name="line1", security=security)
            await plc_host.spawn(server.start())
            await client_host.spawn(case(server, peer))
            await server.stop()
            return network.trace_sha256()

    return run(main())


def files_of(pair: KeyPair, server: KeyPair) -> SimpleNamespace:
    return SimpleNamespace(
        policy="Basic256Sha256",
        certificate=str(pair.certificate),
        key=str(pair.key),
        server_certificate=str(server.certificate),
    )


async def sign_in(peer: Peer, username: str | None, password: str | None) -> None:
    await peer.open()
    await peer.client.create_session()
    await peer.client.activate_session(username, password)


def test_a_user_signs_in_and_the_password_is_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[ua.UserNameIdentityToken] = []
    add = Client._add_user_auth

    def keep(self: Client, params: ua.ActivateSessionParameters, username: str, password: str) -> None:
        add(self, params, username, password)
        sent.append(params.UserIdentityToken)

    monkeypatch.setattr(Client, "_add_user_auth", keep)

    async def case(server: OpcUaServer, peer: Callable[..., Peer]) -> None:
        client = peer()
        await sign_in(client, "bridge", "the bridge's")
        assert server.counters.sessions == 1
        assert [token.PolicyId for token in sent] == ["username"]
        assert sent[0].EncryptionAlgorithm == "http://www.w3.org/2001/04/xmlenc#rsa-oaep"
        assert b"bridge's" not in sent[0].Password
        client.kill()

    on_secured_server(tmp_path, case)


@pytest.mark.parametrize(
    ("username", "password"),
    [(None, None), ("bridge", "wrong"), ("bridge", None), ("nobody", "the bridge's"), ("admin", "admin")],
)
def test_who_is_not_a_user_is_refused(tmp_path: Path, username: str | None, password: str | None) -> None:
    async def case(server: OpcUaServer, peer: Callable[..., Peer]) -> None:
        good, bad = peer(), peer()
        await sign_in(good, "bridge", "the bridge's")
        with pytest.raises(ua.UaStatusCodeError):
            await sign_in(bad, username, password)
        assert server.counters.refused_users == 1
        bad.kill()
        node = good.client.get_node(TAGS[0].node_id)
        assert await node.read_data_type_as_variant_type() == ua.VariantType.Double  # nobody else suffers
        good.kill()

    on_secured_server(tmp_path, case)


def test_a_token_is_good_for_one_session_and_never_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def case(server: OpcUaServer, peer: Callable[..., Peer]) -> None:
        replayed, clear = peer(), peer()
        await replayed.open()
        await replayed.client.create_session()
        replayed.client._server_nonce, real = bytes(32), replayed.client._server_nonce
        encrypt = Client._encrypt_password
        stale = encrypt(replayed.client, "the bridge's", security_policies.SecurityPolicyBasic256Sha256.URI)
        replayed.client._server_nonce = real
        monkeypatch.setattr(Client, "_encrypt_password", lambda *_: stale)
        with pytest.raises(ua.uaerrors.BadIdentityTokenInvalid):
            await replayed.client.activate_session("bridge", "the bridge's")
        monkeypatch.setattr(Client, "_encrypt_password", lambda self, password, _: (password.encode(), None))
        with pytest.raises(ua.uaerrors.BadIdentityTokenInvalid):
            await sign_in(clear, "bridge", "the bridge's")
        assert server.counters.refused_users == 2
        replayed.kill()
        clear.kill()

    on_secured_server(tmp_path, case)


def test_an_unknown_certificate_and_a_channel_in_the_clear_are_refused(tmp_path: Path) -> None:
    async def case(server: OpcUaServer, peer: Callable[..., Peer]) -> None:
        stranger, clear = peer("stranger"), Peer("opc.tcp://plc:4840/line1")
        with pytest.raises(ua.uaerrors.BadCertificateUntrusted):
            await sign_in(stranger, "bridge", "the bridge's")
        await clear.open()  # for discovery
        (endpoint,) = await clear.client.get_endpoints()
        assert endpoint.SecurityMode == ua.MessageSecurityMode.SignAndEncrypt
        (policy,) = endpoint.UserIdentityTokens
        assert (policy.TokenType, policy.SecurityPolicyUri) == (
            ua.UserTokenType.UserName,
            endpoint.SecurityPolicyUri,
        )
        with pytest.raises(ua.uaerrors.BadSecurityPolicyRejected):
            await clear.session.create_session(ua.CreateSessionParameters(RequestedSessionTimeout=60_000))
        assert (server.counters.refused_certificates, server.counters.refused_in_clear) == (1, 1)
        assert server.counters.sessions == 0
        stranger.kill()
        clear.kill()

    on_secured_server(tmp_path, case)


def test_the_trace_is_of_the_plaintext_whatever_the_keys(tmp_path: Path) -> None:
    def trace(name: str, value: float) -> str:
        async def case(server: OpcUaServer, peer: Callable[..., Peer]) -> None:
            client = peer()
            await sign_in(client, "bridge", "the bridge's")
            await server.publish(0, [(0, value, 0)])
            assert await client.client.get_node(TAGS[0].node_id).read_value() == value
            await client.client.close_session()
            client.kill()

        authority._key_of.cache_clear()
        (tmp_path / name).mkdir()
        return on_secured_server(tmp_path / name, case)

    assert trace("a", 1.0) == trace("b", 1.0)
    assert trace("c", 1.0) != trace("d", 2.0)
