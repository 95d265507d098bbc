"""Secrets that site.yaml names and never holds: each in a file, or in an environment variable."""

from __future__ import annotations

import contextlib
import os
from typing import Protocol

from shakedown.bridge.yamlfile import ConfigError

SECRET_BYTES_MAX = 4096


class SecretPlace(Protocol):
    """What is needed of `password:` in `site.yaml`: one of both is given."""

    @property
    def file(self) -> str: ...
    @property
    def env(self) -> str: ...


class Secret:
    """A secret that may be renewed on the disk: each use reads it again, and keeps the last one when that fails.

    `where` is the key of site.yaml that errors name; no error and no representation holds the secret. Raises
    ConfigError when there is none at first.
    """

    def __init__(self, place: SecretPlace, where: str) -> None:
        self._place, self._where = place, where
        self._value = read_secret(place, where)

    def value(self) -> str:
        """The secret as it is now."""
        with contextlib.suppress(ConfigError):
            self._value = read_secret(self._place, self._where)
        return self._value


def read_secret(place: SecretPlace, where: str) -> str:
    """The one line of UTF-8 that is there, without its end; errors name the place alone. Raises ConfigError."""
    if place.env:
        source, text = f"{where}.env: {place.env}", os.environ.get(place.env)
        if text is None:
            raise ConfigError([f"{source} is not set - set it in the environment of the bridge"])
        content = os.fsencode(text)
    else:
        source = f"{where}.file: {place.file}"
        try:
            with open(place.file, "rb") as file:
                content = file.read(SECRET_BYTES_MAX + 1)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "no such path"
            raise ConfigError(
                [f"{source} cannot be read: {why} - put the file there or mend the path"]
            ) from None
    with contextlib.suppress(UnicodeDecodeError):
        lines = content.decode().splitlines()
        if len(lines) == 1 and len(content) <= SECRET_BYTES_MAX and lines[0].isprintable() and lines[0]:
            return lines[0]
    raise ConfigError(
        [f"{source} holds no secret - write one line of at most {SECRET_BYTES_MAX:,} bytes of UTF-8"]
    )
