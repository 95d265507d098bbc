"""Brokers that are not ours: a Mosquitto of our own starting, and whatever broker a URL names."""

from __future__ import annotations

import asyncio
import base64
import ctypes
import hashlib
import os
import pwd
import re
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shakedown.twin.enterprise.broker_access import User
from shakedown.twin.enterprise.errors import LabServiceError

_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 5.0
_POLL_S = 0.02
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_PDEATHSIG = 1

_CONFIGURATION = """\
# Written by the lab at every start. Bounds as those of the embedded broker.
listener {port} {address}
allow_anonymous {anonymous}
user {user}
persistence true
persistence_location {folder}/
autosave_interval 5
max_inflight_messages 1000
max_queued_messages 100000
max_queued_bytes 268435456
max_packet_size 4194304
set_tcp_nodelay true
log_dest file {folder}/mosquitto.log
log_type error
log_type warning
log_type notice
"""

_SECURED = """\
certfile {certificate}
keyfile {key}
cafile {client_ca}
require_certificate true
password_file {passwords}
acl_file {rights}
"""
_DROPPED = re.compile(r"(\d+): Outgoing messages are being dropped for client (.+)\.")
_DROPPED_MAX = 1_000  # that are read of its log
_HASH_ROUNDS = 101  # as mosquitto_passwd


@dataclass(frozen=True)
class MosquittoSecurity:
    """Mutual TLS and users, as of the embedded broker; `folder` takes the hashed passwords and is not a run folder."""

    certificate: Path
    key: Path
    client_ca: Path
    users: Mapping[str, User]
    folder: Path

    def configuration(self) -> str:
        """The lines for mosquitto.conf; writes the two files that they name."""
        passwords = "".join(f"{name}:{_hashed(user.password)}\n" for name, user in self.users.items())
        rights = ""
        for name, user in self.users.items():
            rights += f"user {name}\n"
            rights += "".join(f"topic write {topic}\n" for topic in user.publish)
            rights += "".join(f"topic read {topic}\n" for topic in user.subscribe)
        files = {"passwords": passwords, "rights": rights}
        for name, text in files.items():
            with open(os.open(self._file(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
        return _SECURED.format(
            certificate=self.certificate,
            key=self.key,
            client_ca=self.client_ca,
            **{n: self._file(n) for n in files},
        )

    def _file(self, name: str) -> Path:
        return (self.folder / f"mosquitto.{name}").resolve()


def _hashed(password: str) -> str:
    """A password as Mosquitto 2 stores it: PBKDF2 with SHA-512."""
    salt = os.urandom(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _HASH_ROUNDS)
    return f"$7${_HASH_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def mosquitto_missing() -> str:
    """Why no Mosquitto can be started here, with the remedy; empty when one can."""
    if _binary() is None:
        return "mosquitto is not installed; apt install mosquitto (or brew install mosquitto)"
    return ""


def _binary() -> str | None:
    # Distributions put it into /usr/sbin, which an ordinary user's PATH may lack.
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    return shutil.which("mosquitto", path=path)


class MosquittoBroker:
    """A Mosquitto as a subprocess on the wall clock, listening on a loopback address; anonymous without `security`.

    Its configuration, log and database are in `folder`. Sessions, queues and retained messages survive `stop()`,
    and `crash()` too as far as the last save, at most 5 s before.
    """

    def __init__(
        self, address: str, port: int, folder: Path, *, security: MosquittoSecurity | None = None
    ) -> None:
        self.address = address
        self.port = port
        self.folder = folder
        self._security = security
        self._process: Process | None = None

    async def start(self) -> None:
        """Start it and return once it accepts connections. Raises LabServiceError if it does not."""
        binary = _binary()
        if binary is None:
            raise LabServiceError(mosquitto_missing())
        if self._process is not None:
            raise LabServiceError(
                f"mosquitto on {self.address}:{self.port} is running already; stop it first"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                address=self.address,
                port=self.port,
                folder=self.folder.resolve(),
                user=pwd.getpwuid(os.getuid()).pw_name,
                anonymous="false" if self._security else "true",
            )
            + (self._security.configuration() if self._security else ""),
            encoding="utf-8",
        )
        # A session of its own: Ctrl-C reaches the lab, which then stops its broker.
        self._process = process = await asyncio.create_subprocess_exec(
            binary,
            "-c",
            str(configuration),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
        accepts = False
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not (accepts := await self._accepts(process)):  # noqa: ASYNC110 (no event: another process)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise self._did_not_start(f"does not accept within {_START_TIMEOUT_S:.0f} s") from error
        finally:
            if not accepts:
                await self._end(process, signal.SIGKILL)

    async def _accepts(self, process: Process) -> bool:
        if process.returncode is not None:
            raise self._did_not_start(f"ended with exit code {process.returncode}")
        try:
            _, writer = await asyncio.open_connection(self.address, self.port)
        except OSError:
            return False
        writer.close()
        # Somebody else may have the port; then ours is about to end.
        return await _still_alive(process)

    def _did_not_start(self, what: str) -> LabServiceError:
        log = self.folder / "mosquitto.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:] if log.exists() else []
        return LabServiceError(
            f"mosquitto on {self.address}:{self.port} {what}; its log says: {' / '.join(lines) or 'nothing'}; "
            f"choose another port, or run it by hand: mosquitto -c {self.folder / 'mosquitto.conf'}"
        )

    @property
    def counters(self) -> dict[str, list[tuple[int, str]]]:
        """`dropped_for`: when (s since 1970) it began to drop messages for a client that does not take them in."""
        log = self.folder / "mosquitto.log"
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        found = (_DROPPED.fullmatch(line) for line in text.splitlines())
        return {"dropped_for": [(int(one[1]), one[2]) for one in found if one is not None][:_DROPPED_MAX]}

    async def stop(self) -> None:
        """Stop it politely (SIGTERM): it saves its database. Does nothing when not running."""
        if self._process is not None:
            await self._end(self._process, signal.SIGTERM)

    async def crash(self) -> None:
        """Kill it (SIGKILL)."""
        if self._process is None:
            raise LabServiceError(f"mosquitto on {self.address}:{self.port} cannot crash: it is not running")
        await self._end(self._process, signal.SIGKILL)

    def freeze(self) -> None:
        """Let it be alive and silent (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT); does nothing when it is not frozen."""
        self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(what)

    async def _end(self, process: Process, how: signal.Signals) -> None:
        self._process = None
        if process.returncode is None:
            process.send_signal(how)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _still_alive(process: Process) -> bool:
    """Whether the process outlives a moment."""
    try:
        async with asyncio.timeout(_POLL_S):
            await process.wait()
    except TimeoutError:
        return True
    return False


def connect_packet(user: tuple[str, str] | None = None) -> bytes:
    """CONNECT of MQTT 3.1.1: clean session, no client identifier, keep-alive 10 s."""
    texts = [b"", *(text.encode() for text in user or ())]
    payload = b"".join(len(text).to_bytes(2, "big") + text for text in texts)
    body = b"\x00\x04MQTT\x04" + (b"\xc2" if user else b"\x02") + b"\x00\x0a" + payload
    return b"\x10" + len(body).to_bytes(1, "big") + body


def die_with_parent() -> None:
    """Linux: the kernel kills this process when its parent dies, however that dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with_parent_and_adopt() -> None:
    """The same, and what its children leave behind becomes this process's child, where it can be found."""
    die_with_parent()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


class ForeignBroker:
    """A broker that somebody else runs: the lab only makes sure that it answers."""

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port

    async def start(self) -> None:
        """Check that an MQTT 3.1.1 broker answers and admits an anonymous client. LabServiceError if not."""
        where = f"MQTT broker at {self.address}:{self.port}"
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(self.address, self.port)
                try:
                    writer.write(connect_packet())
                    answer = await reader.readexactly(4)
                    writer.write(b"\xe0\x00")
                finally:
                    writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:  # TimeoutError is an OSError
            raise LabServiceError(
                f"{where} does not answer ({error or 'timed out'}); start it, or name another with --broker"
            ) from error
        if answer[:2] != b"\x20\x02":
            raise LabServiceError(f"{where}: what answers there does not speak MQTT 3.1.1; check the port")
        if answer[3]:
            raise LabServiceError(
                f"{where} refuses an anonymous client (return code {answer[3]}); allow it for the lab"
            )

    async def stop(self) -> None:
        """Nothing to stop."""

    async def crash(self) -> None:
        """Unsupported: raises LabServiceError."""
        raise LabServiceError(
            f"a broker at {self.address}:{self.port} that the lab did not start cannot be crashed; "
            "leave the broker restart out of the scenario, or use --broker embedded or mosquitto"
        )
