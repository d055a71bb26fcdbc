"""An independent library opens what the emulator seals, and the other way round."""

from __future__ import annotations

from typing import Any

import pytest
from wechatpy.crypto import WeChatCrypto as OfficialCrypto
from wechatpy.enterprise.crypto import WeChatCrypto as CorpCrypto
from wechatpy.exceptions import InvalidSignatureException

from bot.emulator.callbacks import Callback, judge, open_reply, wrap
from bot.emulator.config import Receiver
from bot.emulator.crypto import PacketCrypto
from bot.emulator.markup import document, read_flat

TOKEN, KEY = "testToken01", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
CORP, APPID = "ww0000000000000001", "wx0000000000000001"
HELLO = document([("MsgType", "text"), ("Content", "快吃完了 ]]> 吗")])
ORACLES: list[tuple[Any, str, str]] = [(CorpCrypto, CORP, "app"), (OfficialCrypto, APPID, "oa")]


@pytest.mark.parametrize(("oracle", "receive_id", "name"), ORACLES)
def test_oracle_opens_a_delivery(oracle: Any, receive_id: str, name: str) -> None:
    """Query and body of a delivery pass the library's signature check and give the inner XML."""
    receiver = Receiver("http://127.0.0.1:9/cb", TOKEN, KEY, receive_id)
    query, body = wrap(Callback(name, "text", HELLO, receive_id), receiver, "1700000000", "n1")
    crypto = oracle(TOKEN, KEY, receive_id)
    opened = crypto.decrypt_message(body, query["msg_signature"], query["timestamp"], query["nonce"])
    assert (opened.decode() if isinstance(opened, bytes) else opened) == HELLO
    with pytest.raises(InvalidSignatureException):
        crypto.decrypt_message(body, "0" * 40, query["timestamp"], query["nonce"])


@pytest.mark.parametrize(("oracle", "receive_id", "name"), ORACLES)
def test_reply_of_the_oracle_is_opened(oracle: Any, receive_id: str, name: str) -> None:
    """An encrypted passive reply written by the library is a good reply; changed by one letter it is odd."""
    receiver = Receiver("http://127.0.0.1:9/cb", TOKEN, KEY, receive_id)
    reply = oracle(TOKEN, KEY, receive_id).encrypt_message(HELLO, "n1", "1700000000")
    assert open_reply(reply, receiver) == HELLO
    assert judge(200, reply, receiver) == "reply"
    nonce = read_flat(reply)["Nonce"]
    assert judge(200, reply.replace(f"[{nonce}]", "[n2]"), receiver) == "odd"


def test_compatible_mode_has_both() -> None:
    """In compatible mode the 公众号's message stands in clear and as a packet with the same content."""
    receiver = Receiver("http://127.0.0.1:9/cb", TOKEN, KEY, APPID)
    callback = Callback("oa", "text", HELLO, "gh_000000000001", None, "compatible", "oOPENID0001")
    query, body = wrap(callback, receiver, "1700000000", "n1")
    found = read_flat(body)
    assert found["Content"] == "快吃完了 ]]> 吗"
    assert PacketCrypto(TOKEN, KEY, APPID).decrypt(found["Encrypt"]) == HELLO
    assert {"signature", "msg_signature", "encrypt_type", "openid"} <= set(query)


@pytest.mark.parametrize(
    ("status", "text", "verdict"),
    [
        (200, "", "ok"),
        (200, "success", "ok"),
        (200, "SUCCESS!", "odd"),
        (403, "", "http 403"),
        (200, "<xml></xml>", "reply"),
    ],
)
def test_what_the_platform_makes_of_an_answer(status: int, text: str, verdict: str) -> None:
    """Empty and success are accepted, XML is a reply, the rest is odd, other statuses fail."""
    assert judge(status, text, Receiver("http://127.0.0.1:9/cb", TOKEN, KEY, CORP)) == verdict
