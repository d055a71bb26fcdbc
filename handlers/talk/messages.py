"""What came in, as one value: the same shape for every channel and every kind of event."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zlib import crc32

import msgspec

SHARDS: Final = 64
"""How many lanes the inbox has; one sender always walks in the same lane."""

CUSTOMER_CHANNELS: Final = frozenset({"group", "private", "kf", "oa"})
AUTOMATIC_CHANNELS: Final = frozenset({"kf", "oa"})
"""Where a program may answer a customer by itself (wecom.md §11)."""

TEXTUAL: Final = frozenset({"text", "mixed"})
"""Kinds that carry words; the pictures of a mixed message are left aside."""


class Incoming(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that happened on the platform, verified, decrypted and parsed.

    `key` is the full de-duplication key. `channel` is one of group, private, kf, oa (customers), staff (app
    messages and card taps), contact (customer-contact events), other. `kind` is text, image, voice, …, event, tap,
    recall or unknown. `identity` names the kind of the sender's id: external_userid, openid, userid or none.
    `staff` are the staff who see the chat, the best one to prompt first. `data` holds the event's own fields;
    of an unknown event it holds everything, and `raw` the text as it came.
    """

    key: str
    channel: str
    kind: str
    sender: str
    at: datetime
    chat: str = ""
    text: str = ""
    identity: str = "external_userid"
    is_staff: bool = False
    staff: tuple[str, ...] = ()
    data: dict[str, str] = {}
    raw: str = ""
    trace: str = ""

    @property
    def shard(self) -> int:
        """The lane of this sender."""
        return crc32(self.sender.encode()) % SHARDS


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Incoming).decode


def decode(body: str | bytes) -> Incoming:
    """A message as it was stored; the NUL character, which PostgreSQL keeps in no text, is left out of its words."""
    message = _decode(body)
    if "\x00" not in message.text:
        return message
    return msgspec.structs.replace(message, text=message.text.replace("\x00", ""))
