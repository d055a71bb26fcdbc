"""Every refusal of the platform by class, and what the class asks for (wecom.md §2.3, §6.9, §9.4).

PlatformError
├── ApiRefused       an errcode; its class stands in CLASSES
├── TokenRefused     the secret is wrong, or a fresh token was refused too
├── LimitReached     we held the call back ourselves, so as not to be blocked
├── Unreachable      no answer: time-out, connection cut, no route; it may have taken effect
├── BadAnswer        an answer that is not the platform's: HTTP 5xx, no JSON, cut off
└── NotSendable      the platform would never take this; found before or after asking
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ErrorClass(StrEnum):
    """What to do about an error; stored with the outbox row and shown to people."""

    DONE = "done"  # the platform has had it already
    RETRY = "retry"  # again, later and later
    REFRESH = "refresh"  # a new token, then once more
    QUOTA = "quota"  # when the window is over
    CONFIG = "config"  # a person must change something; it waits
    PERMANENT = "permanent"  # never for this item
    UNKNOWN = "unknown"  # in no list: a few tries, then as permanent


LISTED: Final[dict[ErrorClass, str]] = {
    ErrorClass.DONE: "42022",
    ErrorClass.RETRY: "-1 41063 41078 41096 45033",
    ErrorClass.REFRESH: "40001 40014 41001 42001",
    ErrorClass.QUOTA: "41079 41094 45009 45011",
    ErrorClass.CONFIG: """
        40013 40056 40093 40125 40164 41002 41004 41011 41057 41095 42012 43009 43012 45031
        48001 48002 48003 48004 48005 48006 48007 48009 50001 50002 50003 60011 60020 60031
        61023 61024 84074 84083 84084 89503 89506 89507 93000 93004 93006 93008
        95000 95003 95004 95011 95012 95014 95015 95017 95019 95023 95026 95027 95032
        301002 301042 301052 301053 701008 853006
    """,
    ErrorClass.PERMANENT: """
        40003-40009 40029 40031-40033 40035 40037 40050 40054 40055 40058 40063 40066 40068 40071 40073 40094
        40096-40100 40123 40126-40131 41006 41008-41010 41016-41019 41033 41035 41037-41056 41058-41062
        41064 41065 41072 41080-41082 41088-41091 41093 42003 42014-42020 42027-42052 43004 43101 44001 44004
        45001 45002 45007 45008 45015 45024 45029 45034 45047 46003 46004 47003 60021 60030 60111 60123
        81013 81017 82001-82004 84014 84015 84061 90500-90511 95001 95002 95005-95009 95013 95016 95018
        95021 95022 95030 95031 301048 301058-301061 610003 610014-610018 830002 846605
    """,
}


def codes_in(listed: str) -> list[int]:
    """The codes of a list such as "40001 40003-40009"."""
    codes: list[int] = []
    for item in listed.split():
        first, _, last = item.partition("-") if not item.startswith("-") else (item, "", "")
        codes += range(int(first), int(last or first) + 1)
    return codes


CLASSES: Final = MappingProxyType({code: group for group, listed in LISTED.items() for code in codes_in(listed)})
"""The class of every errcode we know of; a code that is in no list is UNKNOWN."""

SYNC_TOKEN_REFUSED: Final = 95007
SESSION_ENDED: Final = 95013
NOT_A_SERVICER: Final = 95014
MOVE_REFUSED: Final = 95016
STATE_FORBIDS: Final = 95018
SERVICER_STOPPED: Final = 95019
TASK_ID_USED: Final = 42014
CONVERSATION_BEGUN: Final = 41051
ARCHIVE_TOO_LARGE: Final = 301058
PARAMETERS: Final = frozenset({40035, 40058})

DAY_QUOTAS: Final = frozenset({"media/uploadimg", "appchat/create", "token", "stable_token"})
"""Endpoints whose quota is counted by the natural day in Beijing; all others wait a growing number of minutes."""


def class_of(errcode: int) -> ErrorClass:
    """The class of an errcode; UNKNOWN for one that is in no list."""
    return CLASSES.get(errcode, ErrorClass.UNKNOWN)


class PlatformError(Exception):
    """A call to the platform did not do what it was asked; `group` says what helps."""

    group: ErrorClass = ErrorClass.RETRY
    wait_s: float | None = None
    """How long to wait at least, where that is known."""


class ApiRefused(PlatformError):
    """The platform answered with an errcode; `errmsg` is kept whole because its hint is what support asks for."""

    def __init__(self, errcode: int, errmsg: str, endpoint: str, group: ErrorClass | None = None) -> None:
        self.errcode, self.errmsg, self.endpoint = errcode, errmsg, endpoint
        self.group = group or class_of(errcode)
        super().__init__(f"{errcode} from {endpoint}: {errmsg}")


class TokenRefused(PlatformError):
    """No usable access token: check the corp id, the secret and whether the app is still enabled."""

    group = ErrorClass.CONFIG

    def __init__(self, errcode: int, errmsg: str, endpoint: str) -> None:
        self.errcode, self.endpoint = errcode, endpoint
        super().__init__(f"{errcode} from {endpoint}: {errmsg}; check corp id, secret and that the app is enabled")


class LimitReached(PlatformError):
    """One more call would have been over our own limit; `wait_s` is the rest of the window."""

    group = ErrorClass.QUOTA

    def __init__(self, what: str, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(f"limit of {what} reached; it opens in {wait_s:.0f} s")


class Unreachable(PlatformError):
    """No answer came; whether the call took effect is not known."""

    def __init__(self, endpoint: str, why: str) -> None:
        self.endpoint = endpoint
        super().__init__(f"no answer from {endpoint}: {why}")


class BadAnswer(PlatformError):
    """Something answered that does not speak as the platform does."""

    def __init__(self, endpoint: str, status: int, body: bytes) -> None:
        self.endpoint, self.status = endpoint, status
        super().__init__(f"{endpoint} answered HTTP {status} with {len(body)} bytes that are not a JSON object")


class NotSendable(PlatformError):
    """The platform will never take this; the message says why."""

    group = ErrorClass.PERMANENT
