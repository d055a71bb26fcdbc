"""The callback packet against the vectors of the fact sheet."""

from __future__ import annotations

import pytest

from bot.emulator.crypto import PacketCrypto, sign
from bot.emulator.errors import CryptoError
from bot.emulator.markup import cdata, document, read_flat

TOKEN, KEY, CORP = "testToken01", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "ww0000000000000001"
STAMP, NONCE, RANDOM = "1700000000", "nonce123", b"0123456789abcdef"
HELLO = "<xml><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[你好]]></Content></xml>"
VECTORS = [
    (
        CORP,
        "8213647192837465",
        "4j/AuRx71kQlxVlzbpsMWB8HkalvGAecw3Fgs+re1lzq2rAeIlThD86NWh6D6TXXOR/H1oVHTcgwrkwYgJZgDw==",
        "cb3660bbc2c98165f0ecae499489a426a9c09168",
    ),
    (
        CORP,
        HELLO,
        "4j/AuRx71kQlxVlzbpsMWO1biilYUzVyxGMQcnaA2vWyPFIlaFlsCcE0ggmSdheU2S4VE1n4OfFb1RDOg69ehJl+fLMjRMNyM4jr"
        "+ISWsmctS+dgUyvB8iVYqzk8xeIUCYKFJZZHV8MoIKyeKvi+k8Pkpo4v13V/PKaUeDx6YdE=",
        "792d676096ccbf80da3923b2190d650e872e3f11",
    ),
    (
        "",
        '{"msgid":"m1","msgtype":"text","text":{"content":"hi"}}',
        "4j/AuRx71kQlxVlzbpsMWBwmKQ5xsnwAQsEVFRJazCHaGZ9X6gU3o5N8YqBTu6O852dAT6E8aps1slLTL7yNIx4U04kguEBiKTRP"
        "sLEgLyrJhvnY1Fhhb+el32ZGm1Hu",
        "644fd5330e654a18224c963d04f041a267c19e97",
    ),
    (
        CORP,
        "a" * 26,
        "4j/AuRx71kQlxVlzbpsMWH+LhQVPFMqoHivVcDVik+zo47Q9e3Q+Hh1yfjFC1JW/MEA82Rt1AQMHwGozV1l6upACre5aiGCTHgK3"
        "AWwA3L2oBrhCuS9XVdNoOVb6dE6Y",
        "0c1a1ec787d9e737bfc6c9b642244ad7e2bf9bb5",
    ),
]


@pytest.mark.parametrize(("receive_id", "message", "packet", "signature"), VECTORS)
def test_vectors(receive_id: str, message: str, packet: str, signature: str) -> None:
    """Packets and signatures are those of the fact sheet, in both directions, also at the pad boundary."""
    crypto = PacketCrypto(TOKEN, KEY, receive_id)
    assert crypto.encrypt(message, RANDOM) == packet
    assert crypto.decrypt(packet) == message
    assert crypto.signature(STAMP, NONCE, packet) == signature
    assert crypto.matches(signature, STAMP, NONCE, packet)


def test_plain_signature() -> None:
    """The 公众号's plain signature is vector E."""
    assert sign(TOKEN, STAMP, NONCE) == "fa36198ca725abf4db55e1a91483df8b4f3b86b8"


def test_lengths_round_trip() -> None:
    """Every message length comes back whole, whatever the padding."""
    crypto = PacketCrypto(TOKEN, KEY, CORP)
    assert all(crypto.decrypt(crypto.encrypt("喵" * size)) == "喵" * size for size in range(40))


def test_same_message_makes_another_packet() -> None:
    """Each delivery has its own random head, so a retry's packet differs."""
    crypto = PacketCrypto(TOKEN, KEY, CORP)
    assert crypto.encrypt("快吃完了") != crypto.encrypt("快吃完了")


@pytest.mark.parametrize("packet", ["", "AAAA", "not base64!", VECTORS[2][2]])
def test_damage_is_named(packet: str) -> None:
    """A damaged packet or one for another receive id is a CryptoError, never another exception."""
    with pytest.raises(CryptoError):
        PacketCrypto(TOKEN, KEY, CORP).decrypt(packet)


def test_cdata_end_is_split() -> None:
    """A text with ]]> survives the way through XML."""
    xml = document([("Content", "a]]>b"), ("Number", 3)])
    assert "]]]]><![CDATA[>" in cdata("a]]>b")
    assert read_flat(xml) == {"Content": "a]]>b", "Number": "3"}
