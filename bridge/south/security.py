"""OPC UA message security from certificate files: signed and encrypted, with a server that is known beforehand."""

from __future__ import annotations

import contextlib
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto import security_policies
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from shakedown.bridge.south.config import SecurityConfig


class SecurityFileError(Exception):
    """A certificate or key cannot be used: says which, where, and what to do."""


def secure(client: Client, files: SecurityConfig, where: str) -> None:
    """Have `client` sign and encrypt; `where` is the place in the configuration. Raises SecurityFileError."""
    certificate = _certificate(f"{where}.certificate", files.certificate)
    server_certificate = _certificate(f"{where}.server_certificate", files.server_certificate)
    key = _key(f"{where}.key", files.key)
    if key.public_key() != certificate.public_key():
        raise SecurityFileError(
            f"{where}.key: {files.key} is not the key of {files.certificate} - name its own key"
        )
    client.application_uri = _application_uri(certificate) or client.application_uri
    policy = getattr(security_policies, f"SecurityPolicy{files.policy}")
    client.security_policy = policy(
        server_certificate, certificate, key, ua.MessageSecurityMode.SignAndEncrypt
    )
    client.uaclient.set_security(client.security_policy)


def _content(where: str, path: str) -> tuple[bytes, bool]:
    """Return the content of a file and whether it is PEM."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SecurityFileError(
            f"{where}: {path} cannot be read ({error.strerror}) - put the file there, or correct the path"
        ) from error
    return content, content.lstrip().startswith(b"-----")


def _certificate(where: str, path: str) -> x509.Certificate:
    content, is_pem = _content(where, path)
    try:
        return (x509.load_pem_x509_certificate if is_pem else x509.load_der_x509_certificate)(content)
    except ValueError as error:
        raise SecurityFileError(
            f"{where}: {path} is no X.509 certificate - export it as PEM or DER"
        ) from error


def _key(where: str, path: str) -> RSAPrivateKey:
    content, is_pem = _content(where, path)
    with contextlib.suppress(ValueError, TypeError):  # the latter when it has a password
        key = (load_pem_private_key if is_pem else load_der_private_key)(content, password=None)
        if isinstance(key, RSAPrivateKey):
            return key
    raise SecurityFileError(f"{where}: {path} is no RSA key without a password - export it as PEM or DER")


def _application_uri(certificate: x509.Certificate) -> str | None:
    """The URI that an OPC UA application certificate names (Part 6, 6.2.2)."""
    with contextlib.suppress(x509.ExtensionNotFound):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
            return uri
    return None
