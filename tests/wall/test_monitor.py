"""`shakedown monitor` as a process, at real brokers: what it shows, how it ends, and who it does not talk to."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import pwd
import signal
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

from shakedown.twin.enterprise.mosquitto import _binary, mosquitto_missing
from tests.scenarios.cli_rig import CommandLine

pytestmark = [
    pytest.mark.wall,
    pytest.mark.skipif(bool(mosquitto_missing()), reason=mosquitto_missing() or "-"),
]
ADDRESS = "127.0.0.1"
WAIT_S = 30
USER = pwd.getpwuid(os.getuid()).pw_name
NBIRTH, NDATA, NDEATH = (f"spBv1.0/plant/{kind}/edge" for kind in ("NBIRTH", "NDATA", "NDEATH"))
BIRTH = (
    b"\x08\xe8\x07"  # timestamp 1000
    b"\x12\x0e\x0a\x05bdSeq\x18\xe8\x07\x20\x04\x58\x00"
    b"\x12\x1d\x0a\x14Node Control/Rebirth\x18\xe8\x07\x20\x0b\x70\x00"
    b"\x18\x00"  # seq 0
)
DEATH = b"\x12\x0e\x0a\x05bdSeq\x18\xe8\x07\x20\x04\x58\x00"


def data(seq: int) -> bytes:
    return b"\x08\xe8\x07\x18" + bytes([seq])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path):
    """Starts a Mosquitto with lines of its configuration; gives its port."""
    started: list[subprocess.Popen] = []

    def start(*lines: str, port: int | None = None) -> int:
        port = port or free_port()
        file = tmp_path / f"mosquitto-{len(started)}.conf"
        file.write_text(
            "\n".join([f"listener {port} {ADDRESS}", "log_dest stderr", f"user {USER}", *lines]) + "\n"
        )
        process = subprocess.Popen([_binary(), "-c", str(file)], stderr=subprocess.PIPE, text=True)
        started.append(process)
        for line in process.stderr:
            if "running" in line:
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        return port

    start.processes = started
    yield start
    for process in started:
        process.terminate()
        process.wait(WAIT_S)


@pytest.fixture
def command(tmp_path):
    line = CommandLine(tmp_path)
    yield line
    line.end()


def publish(
    port: int, *messages: tuple[str, bytes], tls: ssl.SSLContext | None = None, user: str = ""
) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "edge")
    if tls:
        client.tls_set_context(tls)
        client.username_pw_set(user, "secret")
    client.connect(ADDRESS, port)
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, 1 if topic == NDEATH else 0).wait_for_publish(WAIT_S)
    client.publish("marker", b"", 1).wait_for_publish(WAIT_S)  # the broker has read everything before it
    client.disconnect()
    client.loop_stop()


def until(stream, text: str) -> str:
    for line in stream:
        if text in line:
            return line
    raise AssertionError(f"ended without {text!r}")


def ended(process: subprocess.Popen) -> tuple[str, int]:
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=WAIT_S)
    return out, process.returncode


def test_a_breach_is_shown_when_it_happens_and_ctrl_c_gives_the_summary(start, command):
    port = start("allow_anonymous true")
    process = command.start("monitor", f"mqtt://{ADDRESS}:{port}", env={"PYTHONUNBUFFERED": "1"})
    until(process.stderr, "listening")
    publish(port, (NBIRTH, BIRTH), (NDATA, data(1)), (NDATA, data(7)))
    assert "plant/edge: seq: seq 7 instead of 2" in until(process.stdout, "breach")
    out, code = ended(process)
    assert code == 1
    assert "1 x seq: MUST" in out
    assert out.rstrip().endswith("breaches")


def test_a_clean_session_is_clean_whatever_else_is_published(start, command):
    port = start("allow_anonymous true")
    process = command.start("monitor", f"mqtt://{ADDRESS}:{port}", env={"PYTHONUNBUFFERED": "1"})
    until(process.stderr, "listening")
    hostile = [(f"spBv1.0/{'x' * 2000}", b"\xff" * 1000), ("spBv1.0/a/b/c/d/e", b""), ("other", b"{}")]
    publish(port, *hostile, (NBIRTH, BIRTH), (NDATA, data(1)), (NDEATH, DEATH + b"\x18\x02"))
    assert "death_metrics" in until(process.stdout, "note")
    out, code = ended(process)
    assert code == 0
    assert out.rstrip().endswith("clean")
    assert ["plant/edge", "offline", "0", "1", "1", "0", "0", "0"] in [
        line.split() for line in out.splitlines()
    ]


def test_names_from_the_wire_do_not_reach_the_terminal_as_they_are(start, command):
    port = start("allow_anonymous true")
    process = command.start("monitor", f"mqtt://{ADDRESS}:{port}", env={"PYTHONUNBUFFERED": "1"})
    until(process.stderr, "listening")
    publish(port, ("spBv1.0/[red]/NBIRTH/\u202eedge", b"\xff\xff"))
    line = until(process.stdout, "breach")
    assert r"[red]/\u202eedge" in line
    assert "\u202e" not in line
    ended(process)


def test_a_broker_that_comes_back_is_listened_to_again(start, command):
    port = start("allow_anonymous true")
    process = command.start("monitor", f"mqtt://{ADDRESS}:{port}", env={"PYTHONUNBUFFERED": "1"})
    until(process.stderr, "listening")
    start.processes[0].kill()
    until(process.stderr, "lost")
    start("allow_anonymous true", port=port)
    until(process.stderr, "listening")
    publish(port, (NDATA, data(1)), (NDATA, data(7)))
    until(process.stdout, "seq 7 instead of 2")
    out, code = ended(process)
    assert code == 1
    assert "The broker was lost once" in out


def test_nothing_seen_is_neither_clean_nor_a_breach(start, command):
    port = start("allow_anonymous true")
    found = command.run("monitor", f"mqtt://{ADDRESS}:{port}", "--for", "0.5", "--json")
    assert found.returncode == 3
    assert json.loads(found.stdout)["verdict"] == "nothing seen"


@pytest.fixture
def authority(tmp_path):
    """Certificates of an authority, and of a broker on loopback."""
    now = datetime.datetime.now(datetime.UTC)

    def certificate(name, key, issuer, issuer_key, *, is_ca):
        builder = (
            x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
        )
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))])
        return builder.add_extension(names, critical=False).sign(issuer_key, hashes.SHA256())

    keys = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("authority", "broker")]
    pem = serialization.Encoding.PEM
    for name, key, own in (("ca", keys[0], names[0]), ("broker", keys[1], names[1])):
        made = certificate(own, key, names[0], keys[0], is_ca=name == "ca")
        (tmp_path / f"{name}.pem").write_bytes(made.public_bytes(pem))
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (tmp_path / f"{name}.key").write_bytes(private)
    return tmp_path


def test_tls_and_a_password_from_the_environment_or_a_file(start, command, authority):
    users = authority / "users"
    subprocess.run(
        ["mosquitto_passwd", "-c", "-b", str(users), "reader", "secret"], check=True, capture_output=True
    )
    (authority / "password").write_text("secret\n")
    port = start(
        f"cafile {authority}/ca.pem", f"certfile {authority}/broker.pem", f"keyfile {authority}/broker.key",
        "allow_anonymous false", f"password_file {users}",
    )  # fmt: skip
    url, ca = f"mqtts://{ADDRESS}:{port}", ["--ca", str(authority / "ca.pem")]
    refused = command.run("monitor", url, *ca, "--for", "1")
    assert refused.returncode == 2
    assert "refuses the connection" in refused.stderr
    untrusted = command.run("monitor", url, "--user", "reader", "--for", "1")
    assert untrusted.returncode == 2
    assert "certificate verify failed" in untrusted.stderr
    file = command.run(
        "monitor",
        url,
        *ca,
        "--user",
        "reader",
        "--password-file",
        str(authority / "password"),
        "--for",
        "0.5",
    )
    assert file.returncode == 3
    process = command.start(
        "monitor", url, *ca, "--user", "reader", "--password-env", "SECRET",
        env={"SECRET": "secret", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    until(process.stderr, "listening")
    context = ssl.create_default_context(cafile=Path(authority / "ca.pem"))
    publish(port, (NDATA, data(1)), (NDATA, data(7)), tls=context, user="reader")
    until(process.stdout, "seq 7 instead of 2")
    assert ended(process)[1] == 1
