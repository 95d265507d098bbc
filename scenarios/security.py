"""`secure: true`: the site as it is then, the authority of the run, and what each part may do at a broker."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shakedown.bridge.config import Site
from shakedown.scenarios.bridges.model import Topics
from shakedown.scenarios.parts.plan import Plan
from shakedown.scenarios.setups import Setup
from shakedown.twin.authority import Authority, Credentials, KeyPair
from shakedown.twin.enterprise.broker_access import User
from shakedown.twin.enterprise.json_mapping import JsonMapping
from shakedown.twin.enterprise.server_tls import serving_context

SECRETS = "secrets"
"""Where the secrets of a bridge are in its own scratch folder; its site.yaml names them relative to that."""

AUTHORITY = "run-authority"
"""Where all of a run are in its scratch folder; no bridge has a name with a hyphen."""

PROBE = "asks"
"""Who asks a part whether it serves: it may connect, and nothing else."""


def secured(document: Any, bridge: str, folder: str = SECRETS) -> Any:
    """The site.yaml of `bridge` with each connection secured by the files in `folder`, whatever it said of that before.

    A site.yaml that is secured already, with files of a plant, comes out with those of the run.
    """
    if not isinstance(document, dict):
        return document
    own = {"certificate": f"{folder}/{bridge}.pem", "key": f"{folder}/{bridge}.key"}
    secret = f"{folder}/{bridge}.password"
    ca = f"{folder}/ca.pem"

    def north(target: dict[str, Any]) -> dict[str, Any]:
        broker = str(target.get("broker", "")).replace("mqtt://", "mqtts://")
        return target | {
            "broker": broker.removesuffix(":1883"),
            "tls": {"ca": ca, **own},
            "username": bridge,
            "password": {"file": secret},
        }

    def south(server: dict[str, Any]) -> dict[str, Any]:
        host = str(server.get("endpoint", "")).partition("://")[2].partition("/")[0].partition(":")[0]
        policy = {
            "policy": "Basic256Sha256",
            **own,
            "server_certificate": f"{folder}/{server_name(host)}.pem",
        }
        return server | {"security": policy, "username": bridge, "password": {"file": secret}}

    changed = dict(document)
    for key, change in (("north", north), ("south", south)):
        if isinstance(document.get(key), dict):
            changed[key] = {
                name: change(entry) if isinstance(entry, dict) else entry
                for name, entry in document[key].items()
            }
    if isinstance(cmms := document.get("cmms"), dict):
        changed["cmms"] = cmms | {
            "url": str(cmms.get("url", "")).replace("http://", "https://"),
            "tls": {"ca": ca},
        }
    return changed


def server_name(host: str) -> str:
    """What the certificate of a server on that host is called."""
    return f"server-{host}"


class Security:
    """The certificates, keys and passwords of one run, in `scratch`; what is asked for is made when it is asked for."""

    def __init__(self, scratch: Path) -> None:
        self._authority = Authority(scratch / AUTHORITY)
        self._clients: dict[str, Credentials] = {}
        self._servers: dict[str, KeyPair] = {}

    def client(self, name: str) -> Credentials:
        """Whatever a part of that name needs to be admitted by brokers and PLCs."""
        if name not in self._clients:
            self._clients[name] = self._authority.credentials(name, application_uri=f"urn:shakedown:{name}")
        return self._clients[name]

    def server(self, host: str, names: Iterable[str], *, application_uri: str = "") -> KeyPair:
        """The certificate of a server on that host, which may be dialled by `names`."""
        if host not in self._servers:
            self._servers[host] = self._authority.issue(
                server_name(host), hosts=names, application_uri=application_uri
            )
        return self._servers[host]

    def serving(self, host: str, names: Iterable[str], *, clients_too: bool) -> ssl.SSLContext:
        """TLS of a server on that host; with `clients_too` it asks for a certificate of the run."""
        pair = self.server(host, names)
        return serving_context(pair.certificate, pair.key, clients=self.ca if clients_too else None)

    def trusting(self) -> ssl.SSLContext:
        """TLS of a client that shows no certificate."""
        return ssl.create_default_context(cafile=str(self.ca))

    @property
    def ca(self) -> Path:
        """The authority's own certificate."""
        return self._authority.ca

    def site(self, setup: Setup, scratch: Path) -> Site:
        """The site of a bridge with files that are put into its scratch folder: its own, and no other's."""
        own, folder = self.client(setup.name), scratch / SECRETS
        folder.mkdir(mode=0o700)
        servers = [self._servers[south.endpoint_host].certificate for south in setup.site.south.values()]
        for file in {own.ca, own.revocations, own.certificate, own.key, own.password_file, *servers}:
            shutil.copy(file, folder)  # with its mode
        return Site.model_validate(secured(setup.documents["site"], setup.name, str(folder)))


def users_of(
    broker: Plan,
    plans: Iterable[Plan],
    setups: Mapping[str, Setup],
    security: Security,
    json: JsonMapping | None,
    besides: Topics,
) -> dict[str, User]:
    """Everybody who dials that broker, each with the topics that its work takes and no more (Sparkplug B 3.0, 7)."""
    users = {PROBE: User(security.client(PROBE).password())}
    for plan in plans:
        if broker.name in plan.dials:
            publish, subscribe = _topics(plan, setups[(plan.lines or tuple(setups))[0]], json)
            if plan.kind == "bridge":
                publish, subscribe = publish + besides.publish, subscribe + besides.subscribe
            users[plan.name] = User(security.client(plan.name).password(), publish, subscribe)
    return users


def _topics(plan: Plan, setup: Setup, json: JsonMapping | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a part publishes, and what it subscribes to."""
    site = setup.site
    group, edge = site.group_id, site.line
    everything = "spBv1.0/#" if json is None else "#"
    if plan.kind == "primary_host":
        commands = ("spBv1.0/+/NCMD/+", "spBv1.0/+/DCMD/+/+")
        return (f"spBv1.0/STATE/{plan.name}", *commands), (everything,)
    if plan.kind != "bridge":
        return (), (everything,)
    if json is not None:
        return ("/".join("+" if "{" in level else level for level in json.topic.split("/")),), ()
    node = (f"spBv1.0/{group}/{kind}/{edge}" for kind in ("NBIRTH", "NDATA", "NDEATH"))
    devices = (f"spBv1.0/{group}/{kind}/{edge}/+" for kind in ("DBIRTH", "DDATA", "DDEATH"))
    commands = (f"spBv1.0/{group}/NCMD/{edge}/#", f"spBv1.0/{group}/DCMD/{edge}/#")
    barrier = f"shakedown/barrier/{group}/{edge}"
    return (*node, *devices, barrier), (*commands, "spBv1.0/STATE/+", barrier)
