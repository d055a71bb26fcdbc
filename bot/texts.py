"""Texts in the sizes a channel takes: cut by bytes, never inside what a reader sees as one character."""

from __future__ import annotations

from typing import Final

import regex

_CLUSTER: Final = regex.compile(r"\X")
_ENDS: Final = (
    regex.compile(r"\n+"),
    regex.compile(r"[。！？!?；;…~～]+[”’」』）)\]]*\s*|(?<=[a-z])\.\s+"),
    regex.compile(r"[，,、：:]\s*|\s+"),
)
"""Where a text is cut rather: at the end of a line, of a sentence, of a clause."""
LONGEST_CLUSTER_CHARS: Final = 64


def split_text(text: str, limit_bytes: int) -> list[str]:
    """The text in parts of at most so many UTF-8 bytes, which joined give the text again.

    Cut at the end of a line, a sentence or a clause where one is in the second half of a part; otherwise between two
    characters as a reader sees them, so that emoji, flags and accents stay whole.
    """
    parts, rest = [], text
    while len(rest.encode()) > limit_bytes:
        whole = _fitting(rest, limit_bytes)
        parts.append(whole[: _end(whole)])
        rest = rest[len(parts[-1]) :]
    return [*parts, rest] if rest or not parts else parts


def cut(text: str, limit_bytes: int) -> str:
    """The text, shortened to so many bytes with an ellipsis where it is longer."""
    return text if len(text.encode()) <= limit_bytes else _fitting(text, limit_bytes - len("…".encode())) + "…"


def _fitting(text: str, limit_bytes: int) -> str:
    """The longest beginning that fits and ends between two characters."""
    fits = len(text.encode()[:limit_bytes].decode(errors="ignore"))
    end = 0
    for cluster in _CLUSTER.finditer(text, 0, fits + LONGEST_CLUSTER_CHARS):
        if cluster.end() > fits:
            break
        end = cluster.end()
    return text[: end or fits or 1]  # one heap of marks longer than a message is cut where it must be


def _end(whole: str) -> int:
    for ends in _ENDS:
        last = max((found.end() for found in ends.finditer(whole)), default=0)
        if last > len(whole) // 2:
            return last
    return len(whole)
