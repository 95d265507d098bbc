"""Secrets by file and by environment: read, renewed, and in no error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shakedown.bridge.config_base import SecretConfig
from shakedown.bridge.secret import Secret, read_secret
from shakedown.bridge.yamlfile import ConfigError


def test_a_file_and_a_variable_hold_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p").write_text("pass wörd\n", encoding="utf-8")
    monkeypatch.setenv("SHAKEDOWN_TEST_SECRET", "pass wörd")
    assert read_secret(SecretConfig(file=str(tmp_path / "p")), "w") == "pass wörd"
    assert read_secret(SecretConfig(env="SHAKEDOWN_TEST_SECRET"), "w") == "pass wörd"


@pytest.mark.parametrize("content", [b"", b"\n", b"hunter\n2", b"\xff\xfe", b"hunter\x00", b"h" * 4097])
def test_what_is_not_one_line_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"north\.a\.password\.file: .*p holds no secret - write one line"
    ) as caught:
        read_secret(SecretConfig(file=str(tmp_path / "p")), "north.a.password")
    assert "hunter" not in str(caught.value)


def test_what_is_absent_is_named(tmp_path: Path) -> None:
    assert "SHAKEDOWN_ABSENT" not in os.environ
    with pytest.raises(ConfigError, match=r"w\.env: SHAKEDOWN_ABSENT is not set - set it"):
        read_secret(SecretConfig(env="SHAKEDOWN_ABSENT"), "w")
    with pytest.raises(
        ConfigError, match=r"w\.file: .*absent cannot be read: No such file .* - put the file there"
    ):
        read_secret(SecretConfig(file=str(tmp_path / "absent")), "w")
    with pytest.raises(ConfigError, match=r"w\.file: .* cannot be read"):
        read_secret(SecretConfig(file="a\0b"), "w")


def test_a_renewed_file_is_taken_up_and_a_vanished_one_keeps_the_last(tmp_path: Path) -> None:
    file = tmp_path / "p"
    file.write_text("first\n")
    secret = Secret(SecretConfig(file=str(file)), "w")
    file.write_text("second\n")
    assert secret.value() == "second"
    file.unlink()
    assert secret.value() == "second"
    assert "second" not in repr(secret)
