"""What every model of `site.yaml` is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shakedown.bridge.core import naming

Report = Callable[..., None]
"""`report(path, value, remedy, what)`: one problem of the file, collected with all others."""


def _name(text: str) -> str:
    if fault := naming.fault_of(text):
        raise ValueError(fault)
    return text


Name = Annotated[str, AfterValidator(_name)]


class Strict(BaseModel):
    """Unknown keys and silent conversions are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


class TlsConfig(Strict):
    """Certificates of a TLS connection; without `certificate` the bridge does not identify itself."""

    ca: str
    certificate: str = ""
    key: str = ""


class SecretConfig(Strict):
    """Where a secret is, which never stands here: in a file of one line, or in an environment variable."""

    file: str = ""
    env: str = ""

    @model_validator(mode="before")
    @classmethod
    def _is_named(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"must not stand here - {_SECRET_REMEDY}")
        if set(value) <= {"file", "env"} and [bool(held) for held in value.values()] != [True]:
            raise ValueError(f"names no secret, or two - {_SECRET_REMEDY}")
        return value


_SECRET_REMEDY = "put it into a file that only the bridge may read and give {file: PATH}, or give {env: NAME}"


class UserConfig(Strict):
    """A connection that may say who it is; anonymous without a user name."""

    username: str = Field("", max_length=200, description="anonymous if not given")
    password: SecretConfig | None = None

    @property
    def in_clear(self) -> str:
        """How to keep a password from being sent in the clear, "" where it is not."""
        return ""


Path_ = tuple[Any, ...]
