"""The certificate authority of one run: certificates and passwords for its parts, in a folder that ends with it."""

from __future__ import annotations

import ipaddress
import os
import secrets
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOT_BEFORE, NOT_AFTER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)
"""OpenSSL judges validity by the real clock and OPC UA by the run's, and these may be years apart; what bounds the life
of a certificate here is that its authority and its key end with the run."""

RSA_BITS = 2048
"""What Basic256Sha256 asks for at least (OPC UA Part 7)."""

KEYS_MAX = 64
"""Keys of certificates that a process keeps for its next run: a new RSA key costs up to 0.3 s."""

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its key, both PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Credentials:
    """All that a client needs to be admitted by the lab's broker and OPC UA servers."""

    username: str
    password_file: Path  # one line
    ca: Path  # whose certificates the servers show
    certificate: Path
    key: Path
    application_uri: str = ""  # of the certificate, if it is for OPC UA too
    revocations: Path = Path()  # of whom the authority has withdrawn, which is nobody

    def at(self, folder: Path) -> Credentials:
        """The same of copies in another folder."""
        files = ("password_file", "ca", "certificate", "key", "revocations")
        return replace(self, **{name: folder / getattr(self, name).name for name in files})

    def tls(self) -> ssl.SSLContext:
        """What a client dials the lab with: it shows this certificate, and trusts the authority alone."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.certificate, self.key)
        return context

    @property
    def user(self) -> tuple[str, str]:
        """User name and password."""
        return self.username, self.password()

    def password(self) -> str:
        """The password, for whoever cannot be given a file."""
        return self.password_file.read_text(encoding="utf-8").strip()


class Authority:
    """Issues into `folder`, which is made, for its owner alone; never a run folder, for nothing secret is evidence."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._key = rsa.generate_private_key(65537, RSA_BITS)  # never shared: it is what tells two runs apart
        self._name = _name("Shakedown run authority")
        public = self._key.public_key()
        self._certificate = (
            x509.CertificateBuilder(self._name, self._name, public, x509.random_serial_number())
            .not_valid_before(NOT_BEFORE)
            .not_valid_after(NOT_AFTER)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = self._write("ca.pem", self._certificate.public_bytes(Encoding.PEM))
        self.revocations = self._write("ca.crl", self._withdrawn().public_bytes(Encoding.PEM))

    def issue(self, name: str, *, hosts: Iterable[str] = (), application_uri: str = "") -> KeyPair:
        """A certificate for `name`, as client and as server on `hosts` (names or addresses).

        With `application_uri` it is an OPC UA application instance certificate as well (Part 6, 6.2.2), and RSA.
        """
        key = _key_of(name, is_rsa=bool(application_uri))
        public = key.public_key()
        names: list[x509.GeneralName] = (
            [x509.UniformResourceIdentifier(application_uri)] if application_uri else []
        )
        names += [_host(host) for host in hosts] or [x509.DNSName(name)]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            x509.CertificateBuilder(self._name, _name(name), public, x509.random_serial_number())
            .not_valid_before(NOT_BEFORE)
            .not_valid_after(NOT_AFTER)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return KeyPair(
            self._write(f"{name}.pem", certificate.public_bytes(Encoding.PEM)),
            self._write(f"{name}.key", private),
        )

    def credentials(self, username: str, *, application_uri: str = "") -> Credentials:
        """A certificate and a new password for a client of that name."""
        pair = self.issue(username, application_uri=application_uri)
        password_file = self._write(f"{username}.password", f"{secrets.token_urlsafe(24)}\n".encode())
        own = (password_file, self.ca, pair.certificate, pair.key)
        return Credentials(username, *own, application_uri, self.revocations)

    def _withdrawn(self) -> x509.CertificateRevocationList:
        """An empty list: OPC UA asks for one of every authority (Part 4, 6.1.3), and some clients insist."""
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateRevocationListBuilder(self._name, NOT_BEFORE, NOT_AFTER)
            .add_extension(issuer, critical=False)
            .add_extension(x509.CRLNumber(1), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        return path


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """KeyUsage as Part 6, 6.2.2 wants it of an application, or that of an authority."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=not signs_certificates,
        key_encipherment=not signs_certificates,
        data_encipherment=not signs_certificates,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


@lru_cache(maxsize=KEYS_MAX)
def _key_of(name: str, *, is_rsa: bool) -> _Key:
    """The key of that name in this process."""
    return rsa.generate_private_key(65537, RSA_BITS) if is_rsa else ec.generate_private_key(ec.SECP256R1())
