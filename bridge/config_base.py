"""What every model of `site.yaml` is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

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


Path_ = tuple[Any, ...]
