"""The bridge's own connections where names, passwords and certificates are asked for: MQTT, OPC UA and HTTPS."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from shakedown.bridge.config import NorthConfig, ReconnectConfig
from shakedown.bridge.config_base import SecretConfig, TlsConfig
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.north.cmms_http import CmmsHttp, CmmsUnavailable
from shakedown.bridge.north.enterprise import EnterpriseTarget
from shakedown.bridge.operations_config import CmmsConfig
from shakedown.bridge.south.config import OpcUaConfig, SecurityConfig
from shakedown.bridge.south.opcua import OpcUaSouth
from shakedown.bridge.yamlfile import ConfigError
from shakedown.twin.authority import Authority, Credentials
from shakedown.twin.clock import run
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.broker_access import User
from shakedown.twin.enterprise.cmms.server import Cmms
from shakedown.twin.enterprise.server_tls import serving_context
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.servers.opcua import OpcUaSecurity
from tests.bridge.north_rig import MODEL
from tests.bridge.south_rig import over_a_cut

PASSWORD = "correct horse"


def bridges_own(folder: Path) -> tuple[Authority, Credentials]:
    authority = Authority(folder / "secrets")
    credentials = authority.credentials("bridge", application_uri="urn:shakedown:bridge")
    credentials.password_file.write_text(f"{PASSWORD}\n")
    return authority, credentials


def tls_of(own: Credentials) -> TlsConfig:
    return TlsConfig(ca=str(own.ca), certificate=str(own.certificate), key=str(own.key))


def test_mqtt_with_certificate_and_password_that_is_wrong_at_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority, own = bridges_own(tmp_path)
    pair = authority.issue("broker")
    users = {"bridge": User(PASSWORD, publish=("spBv1.0/#", "shakedown/#"), subscribe=("spBv1.0/#",))}
    config = NorthConfig(
        broker="mqtts://broker", tls=tls_of(own), username="bridge",
        password=SecretConfig(file=str(own.password_file)), reconnect_s=ReconnectConfig(min=1, max=1),
    )  # fmt: skip

    async def main() -> None:
        with MemoryNetwork() as network:
            network.add_conduit("wan", ("site", "enterprise"))
            tls = serving_context(pair.certificate, pair.key, clients=authority.ca)
            broker = EmbeddedBroker("broker", 8883, tls=tls, users=users)
            await network.add_host("broker", "enterprise").spawn(broker.start())
            await network.add_host("bridge", "site").spawn(as_bridge(broker))
            await broker.stop()

    async def as_bridge(broker: EmbeddedBroker) -> None:
        journal = await Journal.open(tmp_path / "j", targets=["a"], rows_max=1000, metrics=MODEL.metrics)
        own.password_file.write_text("wrong horse\n")
        target = EnterpriseTarget("a", config, MODEL, journal)
        task = asyncio.create_task(target.run())
        await asyncio.sleep(5)
        assert not target.session.is_online
        assert broker.counters.refused["user"] >= 3
        own.password_file.write_text(f"{PASSWORD}\n")  # renewed on the disk
        await asyncio.sleep(5)
        assert target.session.is_online
        task.cancel()
        await asyncio.wait([task])
        await journal.close()

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert "the broker refuses the connection: Not authorized" in caplog.text
    assert "horse" not in caplog.text


def test_opc_ua_with_certificate_and_password_over_a_cut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority, own = bridges_own(tmp_path)
    plc = authority.issue("plc", application_uri="urn:shakedown:line1")
    security = SecurityConfig(
        certificate=str(own.certificate), key=str(own.key), server_certificate=str(plc.certificate)
    )
    config = OpcUaConfig(
        endpoint="opc.tcp://plc:4840/line1", security=security, username="bridge",
        password=SecretConfig(file=str(own.password_file)),
    )  # fmt: skip
    trust = OpcUaSecurity(
        plc.certificate.read_bytes(),
        plc.key.read_bytes(),
        (own.certificate.read_bytes(),),
        {"bridge": PASSWORD},
    )
    with caplog.at_level(logging.INFO):
        values, events, server = over_a_cut(tmp_path, config, trust)
    assert server.counters.refused_users == 0
    assert values == [float(number) for number in range(int(values[0]), 10)]
    assert events.count("south_connected") == 2
    assert PASSWORD not in caplog.text


def test_a_password_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    password = SecretConfig(file=str(tmp_path / "absent"))
    config = OpcUaConfig(endpoint="opc.tcp://plc:4840", username="bridge", password=password)
    with pytest.raises(ConfigError, match=r"south\.plc1\.password\.file: .*absent cannot be read"):
        OpcUaSouth("plc1", config, [], lambda key: None, on_readings=None)  # type: ignore[arg-type]


def test_https_to_a_cmms_of_the_authority_and_to_another(tmp_path: Path) -> None:
    authority, own = bridges_own(tmp_path)
    pair = authority.issue("cmms")
    impostor = Authority(tmp_path / "foreign").issue("cmms")

    async def ask(config: CmmsConfig) -> Any:
        http = CmmsHttp(config, None)
        try:
            return await http.ask("GET", "/assets")
        finally:
            await http.close()

    async def main() -> None:
        with MemoryNetwork() as network:
            cmms_host, bridge = (
                network.add_host("cmms", "enterprise"),
                network.add_host("bridge", "enterprise"),
            )
            config = CmmsConfig(url="https://cmms:8443", tls=TlsConfig(ca=str(own.ca)))
            for shown, accepted in ((pair, True), (impostor, False)):
                tls = serving_context(shown.certificate, shown.key)
                cmms = Cmms("cmms", 8443, database=tmp_path / "cmms.sqlite", name="cmms", tls=tls)
                await cmms_host.spawn(cmms.start())
                if accepted:
                    assert await bridge.spawn(ask(config)) == []
                else:
                    with pytest.raises(CmmsUnavailable, match="certificate verify failed"):
                        await bridge.spawn(ask(config))
                await cmms.stop()

    run(main())
