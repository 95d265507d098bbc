"""The models of the entries of `south:` in `site.yaml`; the scheme of the endpoint says which (`kinds.py`)."""

from __future__ import annotations

import re
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from shakedown.bridge.config_base import Strict, UserConfig


class SouthConfig(Strict):
    """One source below the bridge; what else there is to say of it depends on its kind."""

    standard_port: ClassVar[int] = 0
    endpoint: str

    @property
    def scheme(self) -> str:
        return self.endpoint.partition("://")[0]

    @property
    def endpoint_host(self) -> str:
        """Name of the host that serves it."""
        return re.split("[:/]", self.endpoint.partition("://")[2], maxsplit=1)[0]

    @property
    def endpoint_port(self) -> int:
        """Its port, the standard one of its kind if none is given."""
        return urlsplit(self.endpoint).port or self.standard_port

    def node_problem(self, node: str) -> str:
        """What a `node:` of this source should look like, or "" if it does; what a source really has only it knows."""
        return ""


class SecurityConfig(Strict):
    """OPC UA message security with an application certificate."""

    policy: Literal["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = "Basic256Sha256"
    certificate: str
    key: str
    server_certificate: str


class OpcUaConfig(SouthConfig, UserConfig):
    """One OPC UA server."""

    standard_port: ClassVar[int] = 4840

    publishing_interval_ms: int = Field(500, ge=10, le=60_000)
    sampling_interval_ms: int = Field(100, ge=0, le=60_000)
    queue_size: int = Field(
        1000, ge=1, le=100_000, description="samples kept per item while the bridge is away"
    )
    session_timeout_s: float = Field(120.0, ge=5, le=3600)
    security: Literal["none"] | SecurityConfig = "none"

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, text: str) -> str:
        if not re.fullmatch(r"opc\.tcp://[^/:\s]+(:\d{1,5})?(/\S*)?", text):
            raise ValueError("is not an OPC UA endpoint - write it as opc.tcp://host:4840")
        return text

    def node_problem(self, node: str) -> str:
        """OPC UA Part 6, 5.3.1.10, without what it says of other servers."""
        if re.fullmatch(r"(ns=\d{1,5};)?(i=\d+|[sgb]=.+)", node, re.DOTALL):
            return ""
        return "write it as ns=2;s=NAME or ns=2;i=NUMBER"

    @property
    def in_clear(self) -> str:
        return (
            "write security: {policy, certificate, key, server_certificate}"
            if self.security == "none"
            else ""
        )
