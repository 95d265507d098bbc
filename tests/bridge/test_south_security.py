"""Basic256Sha256 against the twin's server, and files that are not what the configuration says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asyncua import Client

from shakedown.bridge.south.security import SecurityFileError, secure
from shakedown.twin.authority import Authority
from shakedown.twin.servers.opcua import OpcUaSecurity
from tests.bridge.south_rig import over_a_cut


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Application certificates and their keys, as PEM files."""
    authority = Authority(tmp_path_factory.mktemp("certificates") / "secrets")
    names = ("plc", "bridge", "stranger")
    issued = {name: authority.issue(name, application_uri=f"urn:test:{name}") for name in names}
    return {name: (pair.certificate, pair.key) for name, pair in issued.items()}


def test_values_arrive_signed_and_encrypted(tmp_path: Path, pairs: dict[str, tuple[Path, Path]]) -> None:
    trust = OpcUaSecurity(
        *(file.read_bytes() for file in pairs["plc"]), trusted=(pairs["bridge"][0].read_bytes(),)
    )
    config = SimpleNamespace(
        endpoint="opc.tcp://plc:4840/line1", publishing_interval_ms=500, sampling_interval_ms=100,
        queue_size=100, session_timeout_s=60.0, security=files_of(pairs, "bridge"),
        username="", password=None,
    )  # fmt: skip
    values, events, _ = over_a_cut(tmp_path, config, trust)
    assert values == [float(number) for number in range(int(values[0]), 10)]
    assert events.count("south_connected") == 2


def files_of(pairs: dict[str, tuple[Path, Path]], name: str) -> Any:
    return SimpleNamespace(
        policy="Basic256Sha256",
        certificate=str(pairs[name][0]),
        key=str(pairs[name][1]),
        server_certificate=str(pairs["plc"][0]),
    )


@pytest.mark.parametrize("key", ["certificate", "key", "server_certificate"])
@pytest.mark.parametrize("fault", ["missing", "damaged", "foreign"])
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, pairs: dict[str, tuple[Path, Path]], key: str, fault: str
) -> None:
    files = files_of(pairs, "bridge")
    path = tmp_path / "file.pem"
    if fault == "damaged":
        path.write_bytes(b"-----BEGIN NOTHING-----")
    elif fault == "foreign":
        path.write_bytes(pairs["stranger"][0 if key == "key" else 1].read_bytes())  # a certificate for a key
    setattr(files, key, str(path))
    with pytest.raises(SecurityFileError, match=rf"south\.plc1\.security\.{key}: .*file\.pem .* - "):
        secure(Client("opc.tcp://plc:4840"), files, "south.plc1.security")


def test_a_key_of_another_certificate_is_refused(pairs: dict[str, tuple[Path, Path]]) -> None:
    files = files_of(pairs, "bridge")
    files.key = str(pairs["stranger"][1])
    with pytest.raises(SecurityFileError, match=r"stranger\.key is not the key of .*bridge\.pem"):
        secure(Client("opc.tcp://plc:4840"), files, "south.plc1.security")
