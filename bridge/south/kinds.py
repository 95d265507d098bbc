"""The kinds of south, by the scheme of their endpoint: a new one is a file of its own and a row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Union

from pydantic import PlainValidator, field_validator

from shakedown.bridge.south.config import OpcUaConfig, SouthConfig
from shakedown.bridge.south.south import MakeSouth


@dataclass(frozen=True, slots=True)
class Kind:
    """How an entry of `south:` is read, and what makes a south of it.

    `load` imports the latter: who only checks a file does not wait for the libraries of a protocol.
    """

    config: type[SouthConfig]
    load: Callable[[], MakeSouth]


def _opc_ua() -> MakeSouth:
    from shakedown.bridge.south.opcua import OpcUaSouth

    return OpcUaSouth


KINDS: dict[str, Kind] = {
    "opc.tcp": Kind(OpcUaConfig, _opc_ua),
}


class _OfSomeKind(SouthConfig):
    """What must be right before the kind of an entry is known."""

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, text: str) -> str:
        if text.partition("://")[0] not in KINDS:
            known = " or ".join(f"{scheme}://host:port" for scheme in KINDS)
            raise ValueError(f"is not an endpoint of a known kind - write it as {known}")
        return text


def _read(entry: Any) -> SouthConfig:
    """Validate an entry of `south:` by the model of its kind."""
    is_dict = isinstance(entry, dict)
    known = _OfSomeKind.model_validate({k: entry[k] for k in entry if k == "endpoint"} if is_dict else entry)
    return KINDS[known.scheme].config.model_validate(entry)


AnySouthConfig = Annotated[
    SouthConfig,
    PlainValidator(_read, json_schema_input_type=Union[tuple(kind.config for kind in KINDS.values())]),  # noqa: UP007
]
"""An entry of `south:`, read by its kind."""
