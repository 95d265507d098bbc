"""Users of a secured server: a name, and a password encrypted with the server's certificate (Part 4, 7.40.4)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto import uacrypto
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager

_RSA_OAEP = "http://www.w3.org/2001/04/xmlenc#rsa-oaep"  # of Basic256Sha256 (Part 7)


class Users(UserManager):
    """Knows everybody who may activate a session, and nobody anonymous."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = passwords

    def get_user(
        self,
        iserver: Any,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> User | None:
        """The user of that name and password, or None; it takes the same time for a wrong one."""
        expected = self._passwords.get(username or "", "")
        is_right = hmac.compare_digest(expected.encode(), (password or "").encode())
        return User(role=UserRole.User, name=username) if is_right and expected else None


def decrypted(key: Any, token: ua.UserNameIdentityToken, nonce: bytes) -> tuple[str, str]:
    """Name and password of a token; BadIdentityTokenInvalid unless it is encrypted as announced, for this session.

    asyncua does not compare the nonce behind the password, so that a token could be used again, and takes a password
    that is not encrypted at all.
    """
    if token.EncryptionAlgorithm == _RSA_OAEP:
        content = uacrypto.decrypt_rsa_oaep(key, token.Password)
        length, secret, behind = int.from_bytes(content[:4], "little"), content[4:], len(nonce)
        if length == len(secret) >= behind and hmac.compare_digest(secret[length - behind :], nonce):
            return token.UserName or "", secret[: length - behind].decode()
    raise ServiceError(ua.StatusCodes.BadIdentityTokenInvalid)
