"""The chat archive 会话内容存档: the seam it is pulled through, its envelopes and what stands in them (wecom.md §5).

ArchiveError
└── Undecryptable     no key of this version, or the record does not open with it
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bot.settings import Settings
from bot.wecom.gateway import Json, Line, flat, read_json, text_of
from bot.wecom.kf import trace_of
from handlers.talk.messages import Incoming

OUTSIDE: Final = ("wm", "wo")
ROBOT: Final = "wb"
RANDOM_KEY_CHARS: Final = 32
BODY_KEYS: Final = {
    "external_redpacket": "redpacket",
    "docmsg": "doc",
    **dict.fromkeys(
        ("markdown", "news", "meeting_notification", "voiptext", "qydiskfile", "solitaire", "note"), "info"
    ),
}
"""Where the body of a message type stands under another name than its own (§5.5)."""
KINDS: Final = frozenset(
    "text image voice video card location emotion file link weapp chatrecord mixed todo vote collect redpacket "
    "meeting calendar external_redpacket docmsg markdown news meeting_notification voiptext qydiskfile solitaire "
    "note meeting_voice_call voip_doc_share sphfeed".split()
)


class ArchiveError(Exception):
    """A record of the archive cannot be used."""


class Undecryptable(ArchiveError):
    """A record does not open; set HUITOU_ARCHIVE__PRIVATE_KEYS for its publickey_ver."""


class Envelope(msgspec.Struct, frozen=True):
    """One sealed record: `seq` orders, `msgid` names, `publickey_ver` says which key opens it."""

    seq: int
    msgid: str
    publickey_ver: int
    encrypt_random_key: str
    encrypt_chat_msg: str


class ArchiveSource(Protocol):
    """Where the archive is pulled from; the native library or an HTTP form stands behind it."""

    async def pull(self, after_seq: int, limit: int) -> Sequence[Envelope]:
        """Records with a higher seq, ascending; none when all were seen. Raises PlatformError."""
        ...

    def decrypt(self, envelope: Envelope) -> Json:
        """The plain record; raises Undecryptable. Costs a private-key operation: call it off the event loop."""
        ...


class HttpArchiveSource:
    """The seam over HTTP; its symmetric step is the emulator's own, Tencent's is inside the native library."""

    def __init__(self, line: Line, corp_id: str, secret: str, private_keys: Mapping[int, RSAPrivateKey]) -> None:
        self._line = line
        self._corp_id = corp_id
        self._secret = secret
        self._private_keys = private_keys

    async def pull(self, after_seq: int, limit: int) -> Sequence[Envelope]:
        """Records with a higher seq, ascending."""
        body = {"seq": after_seq, "limit": limit, "corpid": self._corp_id, "secret": self._secret}
        answer = await self._line.ask("POST", "archive/pull", {}, body)
        return [envelope_of(item) for item in answer.get("chatdata") or ()]

    def decrypt(self, envelope: Envelope) -> Json:
        """The plain record; raises Undecryptable."""
        private_key = self._private_keys.get(envelope.publickey_ver)
        if private_key is None:
            raise Undecryptable(
                f"record {envelope.seq}: no private key of version {envelope.publickey_ver}; "
                f"set HUITOU_ARCHIVE__PRIVATE_KEYS to hold it"
            )
        try:
            random_key = private_key.decrypt(base64.b64decode(envelope.encrypt_random_key), PKCS1v15())
            # With a wrong key recent OpenSSL gives random bytes and no error, so the shape is looked at.
            if len(random_key) != RANDOM_KEY_CHARS or not random_key.isascii():
                raise Undecryptable(f"record {envelope.seq}: private key {envelope.publickey_ver} does not fit")
            plain = read_json(open_sealed(random_key, envelope.encrypt_chat_msg))
        except (ValueError, InvalidKey) as error:
            raise Undecryptable(f"record {envelope.seq}: {error}") from error
        if not isinstance(plain, dict):
            raise Undecryptable(f"record {envelope.seq}: what is inside is no JSON object")
        return plain


def http_archive(settings: Settings, line: Line) -> HttpArchiveSource:
    """The archive over HTTP as the settings say; raises ValueError for a private key that cannot be read."""
    archive = settings.archive
    keys = {int(version): read_private_key(pem.get_secret_value()) for version, pem in archive.private_keys.items()}
    return HttpArchiveSource(line, settings.wecom.corp_id, archive.secret.get_secret_value(), keys)


def read_private_key(pem: str) -> RSAPrivateKey:
    """An RSA private key from PEM; raises ValueError."""
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("the archive needs an RSA private key in PEM form")
    return key


def open_sealed(random_key: bytes, sealed: str) -> bytes:
    """The symmetric step of the HTTP form: AES-256-CBC, iv = the key's first 16 bytes; raises ValueError."""
    decryptor = Cipher(algorithms.AES(random_key), modes.CBC(random_key[:16])).decryptor()
    padded = decryptor.update(base64.b64decode(sealed)) + decryptor.finalize()
    unpadder = block_padding.PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def envelope_of(item: object) -> Envelope:
    """An entry of chatdata, as far as it can be read; only `seq` must be there. Raises ValueError."""
    if not isinstance(item, dict) or not isinstance(item.get("seq"), int):
        raise ValueError(f"an archive record without seq: {str(item)[:80]}")
    version = item.get("publickey_ver")
    return Envelope(
        item["seq"],
        text_of(item.get("msgid")),
        version if isinstance(version, int) else 0,
        text_of(item.get("encrypt_random_key")),
        text_of(item.get("encrypt_chat_msg")),
    )


def sealed_message(envelope: Envelope, now: datetime) -> Incoming:
    """What is stored of a record that does not open: everything, so that it can be opened when the key is found."""
    raw = msgspec.json.encode(envelope).decode()
    return _unknown(_key(envelope.msgid or str(envelope.seq)), raw, now)


def read_record(plain: Mapping[str, Any], envelope: Envelope, now: datetime) -> Incoming:
    """A plain record as a message; what cannot be understood becomes kind "unknown" with everything in `raw`."""
    key = _key(text_of(plain.get("msgid")) or envelope.msgid or str(envelope.seq))
    try:
        return _switch(plain, key) if plain.get("action") == "switch" else _said(plain, key)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
        return _unknown(key, text_of(dict(plain)), now)


def _said(plain: Mapping[str, Any], key: str) -> Incoming:
    sender = text_of(plain["from"])
    people = [sender, *(text_of(person) for person in plain.get("tolist") or ())]
    outside = [person for person in people if person.startswith(OUTSIDE)]
    staff = tuple(dict.fromkeys(person for person in people if not person.startswith((*OUTSIDE, ROBOT))))
    kind, data, text = _body(plain)
    channel, chat = _place(text_of(plain.get("roomid")), outside, staff)
    is_person = not sender.startswith(ROBOT)
    return Incoming(
        key=key,
        channel=channel,
        kind=kind,
        sender=sender[:128],
        at=datetime.fromtimestamp(int(plain["msgtime"]) / 1000, UTC),
        chat=chat,
        text=text,
        identity=("userid" if sender in staff else "external_userid") if is_person else "none",
        is_staff=sender in staff,
        staff=staff,
        data=data,
        raw=text_of(dict(plain)) if kind == "unknown" else "",
        trace=trace_of(key),
    )


def _place(roomid: str, outside: Sequence[str], staff: Sequence[str]) -> tuple[str, str]:
    if not outside:
        return "other", roomid
    if roomid:
        return "group", roomid
    return "private", f"{staff[0] if staff else ''}|{outside[0]}"


def _body(plain: Mapping[str, Any]) -> tuple[str, dict[str, str], str]:
    kind = text_of(plain.get("msgtype"))
    body = plain.get(BODY_KEYS.get(kind, kind)) or {}
    if plain.get("action") == "recall" or kind == "revoke":
        return "recall", {"pre_msgid": text_of(body["pre_msgid"])}, ""
    if kind in ("agree", "disagree"):
        return "event", {"event_type": kind, **flat(body)}, ""
    if kind not in KINDS:
        return "unknown", {"msgtype": kind}, ""
    if kind == "mixed":
        return kind, {}, "\n".join(filter(None, (_mixed_text(item) for item in body.get("item") or ())))
    data = flat(body) if isinstance(body, Mapping) else {"body": text_of(body)}
    text = data.pop("content", "") if kind in ("text", "markdown") else ""
    return kind, data, text


def _mixed_text(item: Mapping[str, Any]) -> str:
    if item.get("type") != "text":
        return ""
    inner = read_json(text_of(item.get("content")).encode())
    return text_of(inner.get("content")) if isinstance(inner, dict) else text_of(item.get("content"))


def _switch(plain: Mapping[str, Any], key: str) -> Incoming:
    return Incoming(
        key=key,
        channel="other",
        kind="event",
        sender=text_of(plain["user"])[:128],
        at=datetime.fromtimestamp(int(plain["time"]) / 1000, UTC),
        identity="userid",
        is_staff=True,
        data={"event_type": "switch"},
        trace=trace_of(key),
    )


def _unknown(key: str, raw: str, now: datetime) -> Incoming:
    return Incoming(
        key=key,
        channel="other",
        kind="unknown",
        sender="archive",
        at=now,
        identity="none",
        raw=raw,
        trace=trace_of(key),
    )


def _key(msgid: str) -> str:
    return f"archive:{msgid if len(msgid) <= 180 else hashlib.sha256(msgid.encode()).hexdigest()}"
