"""The archive: who is heard, what an envelope holds, its window, its keys."""

from __future__ import annotations

import asyncio
import base64
import json
from itertools import pairwise
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bot.emulator.archive import pull
from bot.emulator.errors import ApiError
from bot.emulator.seed import CORP_ID

Platform = Any
GROUP, QING = "wrGROUP0001", "wmAAAA0001"


def fetch(platform: Platform, secret: str, seq: int = 0, limit: int = 100, corp: str = CORP_ID) -> Any:
    """Pull, or the errcode of the refusal."""
    try:
        return pull(platform.state, {"seq": seq, "limit": limit, "corpid": corp, "secret": secret})["chatdata"]
    except ApiError as error:
        return error.errcode


def open_envelope(envelope: dict[str, Any], keys: dict[int, Any]) -> dict[str, Any]:
    """What the service does: RSA for the key, then the emulator's own AES step."""
    private = keys[envelope["publickey_ver"]]
    key = private.decrypt(base64.b64decode(envelope["encrypt_random_key"]), padding.PKCS1v15())
    decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
    padded = decryptor.update(base64.b64decode(envelope["encrypt_chat_msg"])) + decryptor.finalize()
    plain: dict[str, Any] = json.loads(padded[: -padded[-1]])
    return plain


def play(acts: Any) -> None:
    """Play acts with a running loop, as in the server (the notice may wait for its second)."""

    async def run() -> None:
        acts()

    asyncio.run(run())


def test_group_text_can_be_opened(archived_platform: Platform, archive_keys: Any, archive_secret: str) -> None:
    """快吃完了 in the group comes out of the envelope with sender, room, time in ms and the same msgid."""
    archived_platform.act("say", **{"as": QING, "in": "group", "chat": GROUP, "text": "快吃完了"})
    (envelope,) = fetch(archived_platform, archive_secret)
    plain = open_envelope(envelope, archive_keys)
    assert (plain["from"], plain["roomid"], plain["text"]) == (QING, GROUP, {"content": "快吃完了"})
    assert plain["msgid"] == envelope["msgid"]
    assert envelope["msgid"].endswith("_external")
    assert abs(plain["msgtime"] / 1000 - archived_platform.clock.now()) < 5
    assert "liuyang" in plain["tolist"]
    assert QING not in plain["tolist"]
    assert len(archived_platform.events("msgaudit_notify")) == 1


def test_seqs_grow_with_gaps(archived_platform: Platform, archive_secret: str) -> None:
    """Seqs rise and leave gaps; a pull gives only what is behind the seq, at most the limit."""

    def acts() -> None:
        for number in range(12):
            archived_platform.act("say", **{"as": QING, "in": "group", "text": f"第{number}句"})

    play(acts)
    seqs = [item["seq"] for item in fetch(archived_platform, archive_secret)]
    assert seqs == sorted(set(seqs))
    assert any(after - before > 2 for before, after in pairwise(seqs))
    assert [item["seq"] for item in fetch(archived_platform, archive_secret, seqs[4], 3)] == seqs[5:8]
    assert fetch(archived_platform, archive_secret, seqs[-1]) == []


def test_refusals(archived_platform: Platform, platform: Platform, archive_secret: str) -> None:
    """A wrong secret, a wrong corp, more than 1000 at once each have their code; without keys nothing is kept."""
    assert fetch(archived_platform, "wrong") == 40001
    assert fetch(archived_platform, archive_secret, corp="ww9") == 40013
    assert fetch(archived_platform, archive_secret, limit=1001) == 301058
    assert platform.act("say", **{"as": QING, "in": "group", "text": "快吃完了"}) == {"msgid": ""}
    assert fetch(platform, archive_secret) == []


def test_window_of_five_days(archived_platform: Platform, archive_secret: str) -> None:
    """What is older than five days is silently gone."""
    archived_platform.act("say", **{"as": QING, "in": "group", "text": "旧的"})
    archived_platform.clock.push(5 * 86400 + 1)
    archived_platform.act("say", **{"as": QING, "in": "group", "text": "新的"})
    assert len(fetch(archived_platform, archive_secret)) == 1


def test_key_rotation(archived_platform: Platform, archive_keys: Any, archive_secret: str) -> None:
    """After a rotation old records keep their version and both open with their own key."""

    def acts() -> None:
        archived_platform.act("archive", key_version=1)
        archived_platform.act("say", **{"as": QING, "in": "group", "text": "旧钥匙"})
        archived_platform.act("archive", key_version=2)
        archived_platform.act("say", **{"as": QING, "in": "group", "text": "新钥匙"})

    play(acts)
    envelopes = fetch(archived_platform, archive_secret)
    assert [item["publickey_ver"] for item in envelopes] == [1, 2]
    texts = [open_envelope(item, archive_keys)["text"]["content"] for item in envelopes]
    assert texts == ["旧钥匙", "新钥匙"]


def test_other_kinds_of_record(archived_platform: Platform, archive_keys: Any, archive_secret: str) -> None:
    """Picture, recall, consent and switch records have the shapes of the fact sheet."""

    def acts() -> None:
        said = archived_platform.act("say", **{"as": QING, "in": "private", "with": "liuyang", "text": "错了"})
        archived_platform.act("image", **{"as": QING, "in": "private", "with": "liuyang"})
        archived_platform.act("recall", **{"as": QING, "msgid": said["msgid"]})
        archived_platform.act("consent", customer=QING, staff="liuyang", agree=True)
        archived_platform.act("switch", staff="liuyang")

    play(acts)
    plain = [open_envelope(item, archive_keys) for item in fetch(archived_platform, archive_secret)]
    assert [item.get("msgtype") for item in plain] == ["text", "image", "revoke", "agree", None]
    assert (plain[2]["action"], plain[2]["revoke"]["pre_msgid"]) == ("recall", plain[0]["msgid"])
    assert plain[2]["tolist"] == ["liuyang"]
    assert plain[3]["agree"]["userid"] == QING
    assert (plain[4]["action"], plain[4]["user"]) == ("switch", "liuyang")


def test_no_consent_no_record(archived_platform: Platform, archive_secret: str) -> None:
    """After a customer disagreed his texts are not stored; the rep's still are; the HTTP side says so."""

    def acts() -> None:
        archived_platform.act("consent", customer=QING, staff="liuyang", agree=False)
        archived_platform.act("say", **{"as": QING, "in": "group", "text": "别存我"})
        archived_platform.act("sidebar_send", staff="liuyang", chat=GROUP, text="好的", **{"in": "group"})

    play(acts)
    assert len(fetch(archived_platform, archive_secret)) == 2
    info = [{"userid": "liuyang", "exteranalopenid": QING}]
    found = archived_platform.call("msgaudit/check_single_agree", archive_secret, info=info)
    assert found["agreeinfo"][0]["agree_status"] == "Disagree"
    assert archived_platform.call("msgaudit/groupchat/get", archive_secret, roomid=GROUP)["errcode"] == 301059


def test_one_notice_per_interval(archived_platform: Platform) -> None:
    """Many messages within the interval make one notice at once and one when it is over."""

    async def run() -> None:
        archived_platform.act("limits", archive_notify_s=0.4)
        for _ in range(5):
            archived_platform.act("say", **{"as": QING, "in": "group", "text": "快吃完了"})
        assert len(archived_platform.events("msgaudit_notify")) == 1
        await asyncio.sleep(0.6)
        assert len(archived_platform.events("msgaudit_notify")) == 2

    asyncio.run(run())
