"""Who may do what at a broker of the lab: users with passwords, and for each the topics it may publish and subscribe.

The lists are topic filters. What is asked for is compared level by level (MQTT 3.1.1, 4.7), so that no wildcard of a
client's reaches further than what it was granted.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

ANSWERS_MAX = 10_000
"""Answers about topics that are remembered; then all are forgotten."""


@dataclass(frozen=True)
class User:
    """One user: its password, and what it may do (nothing, unless it is listed)."""

    password: str = field(repr=False)
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()


class Access:
    """Answers for the embedded broker; without `users` everybody may do everything."""

    def __init__(self, users: Mapping[str, User] | None) -> None:
        self._users = users
        self._known: dict[tuple[str, str], bool] = {}

    def admits(self, username: str | None, password: str | None) -> bool:
        """Whether this is a user with its password; takes the same time for a wrong one."""
        if self._users is None:
            return True
        user = self._users.get(username or "")
        expected = user.password if user is not None else ""
        return hmac.compare_digest(expected.encode(), (password or "").encode()) and bool(expected)

    def is_same(self, username: str | None, other: str | None) -> bool:
        """Whether the session of one may be taken over by the other."""
        return self._users is None or (username or "") == (other or "")

    def may_publish(self, username: str | None, topic: str) -> bool:
        """Whether a PUBLISH or a will of this user may go to `topic`."""
        if self._users is None:
            return True
        key = username or "", topic
        answer = self._known.get(key)
        if answer is None:
            user = self._users.get(key[0])
            answer = user is not None and any(covers(granted, topic) for granted in user.publish)
            if len(self._known) >= ANSWERS_MAX:
                self._known.clear()
            self._known[key] = answer
        return answer

    def may_subscribe(self, username: str | None, topic_filter: str) -> bool:
        """Whether everything that `topic_filter` matches may be read by this user."""
        if self._users is None:
            return True
        user = self._users.get(username or "")
        return user is not None and any(covers(granted, topic_filter) for granted in user.subscribe)


def covers(granted: str, wanted: str) -> bool:
    """Whether `granted` matches every topic that the filter (or topic) `wanted` matches."""
    ours, theirs = granted.split("/"), wanted.split("/")
    if theirs[0].startswith("$") and ours[0] in ("+", "#"):
        return False  # [MQTT-4.7.2-1]
    for index, level in enumerate(ours):
        if level == "#":
            return True  # of the level above too (4.7.1.2)
        if index >= len(theirs) or theirs[index] == "#" or level not in ("+", theirs[index]):
            return False
    return len(ours) == len(theirs)
