"""TLS of the bridge's own connections upwards: who answers is verified against a CA file."""

from __future__ import annotations

import ssl

from shakedown.bridge.config_base import TlsConfig
from shakedown.bridge.yamlfile import ConfigError


def tls_context(config: TlsConfig, where: str) -> ssl.SSLContext:
    """TLS 1.2 or newer; the name that is dialled is verified against `ca`. `where` is the key of site.yaml that errors
    name. Raises ConfigError."""
    for key in ("ca", "certificate", "key"):
        path = getattr(config, key)
        try:
            if path:
                with open(path, "rb"):
                    pass
        except OSError as error:
            raise ConfigError(
                [
                    f"{where}.{key}: {path} cannot be read: {error.strerror} - put the file there or mend the path"
                ]
            ) from None
    try:
        context = ssl.create_default_context(cafile=config.ca)
        if config.certificate:
            context.load_cert_chain(config.certificate, config.key or None)
    except ssl.SSLError as error:
        remedy = "both must be PEM, and the key must belong to the certificate"
        raise ConfigError([f"{where}: cannot be used: {error.reason} - {remedy}"]) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
