"""会话内容存档: a log of what archived staff and consenting customers wrote, sealed as envelopes.

The symmetric step of the envelope is the emulator's own (AES-256-CBC, key = the 32 ASCII characters of
the random key, IV = their first 16, PKCS#7). It is NOT Tencent's, which is not published.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import secrets
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bot.emulator.api import Call, Endpoint
from bot.emulator.errors import ApiError
from bot.emulator.events import send_archive_notice
from bot.emulator.state import Json, State


@dataclass
class Kept:
    """One sealed record and the time it was written."""

    seq: int
    at: float
    envelope: Json
    plain: Json


@dataclass
class Archive:
    """The corp's archive: records in order, the last notice, the key version in use (0 = highest)."""

    records: list[Kept] = field(default_factory=list)
    noticed_at: float = 0.0
    waiting: bool = False
    key_version: int = 0
    consents: dict[str, int] = field(default_factory=dict)
    gaps: random.Random = field(default_factory=lambda: random.Random(7))


def _public_key(state: State) -> tuple[int, rsa.RSAPublicKey]:
    keys = state.config.archive_public_keys
    if not keys:
        raise ApiError(301053, "chat archive is not enabled: no public key was uploaded")
    version = state.part(Archive).key_version or max(keys)
    key = load_pem_public_key(keys[version].encode())
    if not isinstance(key, rsa.RSAPublicKey):
        raise ApiError(301053, f"public key {version} is not an RSA key")
    return version, key


def seal(key: str, plain: bytes) -> str:
    """The emulator's symmetric step over one record (see the module's note)."""
    padder = block_padding.PKCS7(128).padder()
    padded = padder.update(plain) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key.encode()), modes.CBC(key[:16].encode())).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def _envelope(state: State, seq: int, plain: Json) -> Json:
    version, public_key = _public_key(state)
    key = secrets.token_hex(16)
    locked = public_key.encrypt(key.encode(), padding.PKCS1v15())
    return {
        "seq": seq,
        "msgid": plain["msgid"],
        "publickey_ver": version,
        "encrypt_random_key": base64.b64encode(locked).decode(),
        "encrypt_chat_msg": seal(key, json.dumps(plain, ensure_ascii=False).encode()),
    }


def keep(state: State, plain: Json) -> str:
    """Seal one plain record, put it behind a gap of seqs and notify; returns its msgid ("" without keys)."""
    if not state.config.archive_public_keys:
        return ""
    archive = state.part(Archive)
    plain = {"msgid": f"{secrets.token_hex(10)}_{state.next_number()}_external", **plain}
    for _ in range(archive.gaps.randrange(max(1, int(state.limits.archive_seq_gap)))):
        state.next_number()
    seq = state.next_number()
    archive.records.append(Kept(seq, state.clock.now(), _envelope(state, seq, plain), plain))
    _notify(state, archive)
    return str(plain["msgid"])


def _notify(state: State, archive: Archive) -> None:
    wait_s = archive.noticed_at + state.limits.archive_notify_s - state.clock.now()
    if wait_s <= 0:
        _notify_now(state, archive)
    elif not archive.waiting:
        archive.waiting = True
        asyncio.get_running_loop().call_later(wait_s, _notify_now, state, archive)


def _notify_now(state: State, archive: Archive) -> None:
    archive.waiting = False
    archive.noticed_at = state.clock.now()
    send_archive_notice(state)


def is_archived(state: State, staff: list[str], sender: str) -> bool:
    """Whether a message is stored: archived staff is in the chat and an outside sender agreed."""
    seats = any(state.is_staff(person) and state.member(person).archived for person in staff)
    return seats and (sender not in state.customers or state.customers[sender].agreed)


def keep_said(state: State, sender: str, to: list[str], roomid: str, msgtype: str, body: Json) -> str:
    """Store what somebody said, if it is stored at all; returns the msgid or ""."""
    if not is_archived(state, [sender, *to], sender):
        return ""
    action = "recall" if msgtype == "revoke" else "send"
    return keep(
        state,
        {
            "action": action,
            "from": sender,
            "tolist": to,
            "roomid": roomid,
            "msgtime": int(state.clock.now() * 1000),
            "msgtype": msgtype,
            msgtype: body,
        },
    )


def keep_consent(state: State, customer: str, userid: str, agree: bool) -> str:
    """Store the customer's yes or no to archiving; later texts follow it."""
    state.customer(customer).agreed = agree
    now_ms = int(state.clock.now() * 1000)
    state.part(Archive).consents[customer] = now_ms // 1000
    word = "agree" if agree else "disagree"
    body = {"userid": customer, f"{word}_time": now_ms}
    head = {"action": "send", "from": customer, "tolist": [userid], "roomid": "", "msgtime": now_ms}
    return keep(state, {**head, "msgtype": word, word: body})


def keep_switch(state: State, userid: str) -> str:
    """Store that a member switched corps: a record without msgtype."""
    return keep(state, {"action": "switch", "time": int(state.clock.now() * 1000), "user": userid})


def pull(state: State, body: Json) -> Json:
    """GetChatData over HTTP: records with a seq above the given one, of the last five days."""
    if body.get("corpid") != state.config.corp_id:
        raise ApiError(40013, "invalid corpid")
    if not state.config.archive_secret or body.get("secret") != state.config.archive_secret:
        raise ApiError(40001, "invalid archive secret")
    seq, limit = body.get("seq", 0), body.get("limit", state.limits.archive_page)
    if not isinstance(seq, int) or not isinstance(limit, int) or seq < 0 or limit < 1:
        raise ApiError(40058, "seq and limit must be integers")
    if limit > state.limits.archive_page:
        raise ApiError(301058, f"limit is over {state.limits.archive_page}")
    oldest = state.clock.now() - state.limits.archive_window_s
    records = state.part(Archive).records
    start = bisect_right(records, seq, key=lambda kept: kept.seq)
    start = max(start, bisect_left(records, oldest, key=lambda kept: kept.at))
    return {"chatdata": [kept.envelope for kept in records[start : start + limit]]}


def permit_users(state: State, call: Call) -> Json:
    """msgaudit/get_permit_user_list: who is archived."""
    return {"ids": [person.userid for person in state.staff.values() if person.archived]}


def single_agree(state: State, call: Call) -> Json:
    """msgaudit/check_single_agree, with the platform's misspelt key."""
    asked = call.body.get("info")
    if not isinstance(asked, list) or len(asked) > 100:
        raise ApiError(301060, "info must hold at most 100 entries")
    return {"agreeinfo": [_agreed(state, item) for item in asked]}


def _agreed(state: State, item: Json) -> Json:
    external = str(item.get("exteranalopenid", ""))
    if external not in state.customers or not state.is_staff(str(item.get("userid", ""))):
        raise ApiError(301061, "member or external id unknown")
    return {
        "status_change_time": state.part(Archive).consents.get(external, 0),
        "userid": item["userid"],
        "exteranalopenid": external,
        "agree_status": "Agree" if state.customers[external].agreed else "Disagree",
    }


def room_agree(state: State, call: Call) -> Json:
    """msgaudit/check_room_agree: the consent of every outside member of a group."""
    group = state.groups.get(call.text("roomid"))
    if group is None:
        raise ApiError(301059, "unknown room")
    return {
        "agreeinfo": [
            {
                "status_change_time": state.part(Archive).consents.get(person, 0),
                "agree_status": "Agree" if state.customers[person].agreed else "Disagree",
                "exteranalopenid": person,
            }
            for person in group.members
            if person in state.customers
        ]
    }


def inner_group(state: State, call: Call) -> Json:
    """msgaudit/groupchat/get: internal groups only, so a customer group is 301059."""
    call.text("roomid")
    raise ApiError(301059, "roomid is not an internal group")


ENDPOINTS = (
    Endpoint("msgaudit/get_permit_user_list", permit_users, "archive", ("GET", "POST")),
    Endpoint("msgaudit/check_single_agree", single_agree, "archive"),
    Endpoint("msgaudit/check_room_agree", room_agree, "archive"),
    Endpoint("msgaudit/groupchat/get", inner_group, "archive"),
)
