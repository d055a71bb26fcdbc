"""The crypto against the vectors of the fact sheet, an independent library, and damage of every kind."""

from __future__ import annotations

import binascii
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from wechatpy.enterprise.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidSignatureException

from bot.wecom.crypto import (
    BadCallback,
    BadEnvelope,
    BadPadding,
    BadSignature,
    CallbackCrypto,
    WrongReceiver,
    sign,
    verify,
)

TOKEN, AES_KEY, CORP_ID = "testToken01", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "ww0000000000000001"
STAMP, NONCE, RANDOM16 = "1700000000", "nonce123", b"0123456789abcdef"
VECTORS = {
    "A: echo": (
        CORP_ID,
        "8213647192837465",
        "4j/AuRx71kQlxVlzbpsMWB8HkalvGAecw3Fgs+re1lzq2rAeIlThD86NWh6D6TXXOR/H1oVHTcgwrkwYgJZgDw==",
        "cb3660bbc2c98165f0ecae499489a426a9c09168",
    ),
    "B: XML": (
        CORP_ID,
        "<xml><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[你好]]></Content></xml>",
        "4j/AuRx71kQlxVlzbpsMWO1biilYUzVyxGMQcnaA2vWyPFIlaFlsCcE0ggmSdheU2S4VE1n4OfFb1RDOg69ehJl+fLMjRMNyM4jr+ISWsm"
        "ctS+dgUyvB8iVYqzk8xeIUCYKFJZZHV8MoIKyeKvi+k8Pkpo4v13V/PKaUeDx6YdE=",
        "792d676096ccbf80da3923b2190d650e872e3f11",
    ),
    "C: robot, empty receive id": (
        "",
        '{"msgid":"m1","msgtype":"text","text":{"content":"hi"}}',
        "4j/AuRx71kQlxVlzbpsMWBwmKQ5xsnwAQsEVFRJazCHaGZ9X6gU3o5N8YqBTu6O852dAT6E8aps1slLTL7yNIx4U04kguEBiKTRPsLEgLy"
        "rJhvnY1Fhhb+el32ZGm1Hu",
        "644fd5330e654a18224c963d04f041a267c19e97",
    ),
    "D: a whole block of padding": (
        CORP_ID,
        "a" * 26,
        "4j/AuRx71kQlxVlzbpsMWH+LhQVPFMqoHivVcDVik+zo47Q9e3Q+Hh1yfjFC1JW/MEA82Rt1AQMHwGozV1l6upACre5aiGCTHgK3AWwA3L"
        "2oBrhCuS9XVdNoOVb6dE6Y",
        "0c1a1ec787d9e737bfc6c9b642244ad7e2bf9bb5",
    ),
}


def crypto(receive_id: str = CORP_ID) -> CallbackCrypto:
    """Ours, with the sheet's token and key."""
    return CallbackCrypto(TOKEN, AES_KEY, receive_id)


def raw(plain: bytes) -> bytes:
    """Any bytes under the key, for plain texts that no honest side would make."""
    encryptor = Cipher(algorithms.AES(bytes(range(32))), modes.CBC(bytes(range(16)))).encryptor()
    return binascii.b2a_base64(encryptor.update(plain) + encryptor.finalize(), newline=False)


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_open_and_seal(name: str) -> None:
    """Each vector of the sheet opens to its message, and sealing the message gives the vector."""
    receive_id, message, encrypted, signature = VECTORS[name]
    ours = crypto(receive_id)
    assert ours.open(signature, STAMP, NONCE, encrypted.encode()) == message.encode()
    assert ours.seal(message.encode(), STAMP, NONCE, RANDOM16) == (encrypted.encode(), signature)


def test_plain_signature_vector() -> None:
    """The signature of the 公众号 without encryption is that of vector E."""
    assert sign(TOKEN, STAMP, NONCE) == "fa36198ca725abf4db55e1a91483df8b4f3b86b8"
    verify("fa36198ca725abf4db55e1a91483df8b4f3b86b8", TOKEN, STAMP, NONCE)
    with pytest.raises(BadSignature):
        verify("fa36198ca725abf4db55e1a91483df8b4f3b86b9", TOKEN, STAMP, NONCE)


@pytest.mark.parametrize("length", range(70))
def test_round_trip_with_another_library(length: int) -> None:
    """What we seal wechatpy opens, and what it seals we open, at every place of the padding."""
    message = ("好" * length)[: length // 3] + "x" * (length % 3)
    theirs = WeChatCrypto(TOKEN, AES_KEY, CORP_ID)
    encrypted, signature = crypto().seal(message.encode(), STAMP, NONCE, RANDOM16)
    assert theirs.decrypt_message({"Encrypt": encrypted.decode()}, signature, STAMP, NONCE) == message
    packet = theirs.encrypt_message(message, NONCE, STAMP)
    sealed = packet.split("<Encrypt><![CDATA[")[1].split("]]>")[0]
    proof = packet.split("<MsgSignature><![CDATA[")[1].split("]]>")[0]
    assert crypto().open(proof, STAMP, NONCE, sealed.encode()) == message.encode()
    with pytest.raises(InvalidSignatureException):
        theirs.decrypt_message({"Encrypt": encrypted.decode()}, "0" * 40, STAMP, NONCE)


def test_wrong_signature_is_told_before_anything_is_decrypted() -> None:
    """A wrong signature is named as such even where the rest is garbage."""
    with pytest.raises(BadSignature):
        crypto().open("0" * 40, STAMP, NONCE, b"garbage")
    with pytest.raises(BadSignature):
        crypto().open("é", STAMP, NONCE, b"garbage")


def test_other_corp_is_refused() -> None:
    """A message for another corp, or with no corp at all, is refused."""
    for receive_id in ("ww0000000000000002", "", CORP_ID + "x"):
        encrypted, signature = crypto(receive_id).seal(b"hi", STAMP, NONCE, RANDOM16)
        with pytest.raises(WrongReceiver):
            crypto().open(signature, STAMP, NONCE, encrypted)


@pytest.mark.parametrize("tail", [b"\x00", b"\x21", b"\xff", b"\x01\x02", b"\x1f" * 30 + b"\x20", b"\x03\x03\x02\x03"])
def test_padding_is_verified_wholly(tail: bytes) -> None:
    """A padding out of range, or with one byte that differs, is refused."""
    body = RANDOM16 + (4).to_bytes(4, "big") + b"abcd" + CORP_ID.encode()
    plain = body + b"p" * ((-len(body) - len(tail)) % 32) + tail
    if tail == b"\x01\x02":
        plain = plain[:-2] + b"\x01\x02"
    with pytest.raises(BadPadding):
        crypto().decrypt(raw(plain))


@pytest.mark.parametrize("length", [5, 64, 2**31, 2**32 - 1])
def test_length_is_validated_before_it_is_used(length: int) -> None:
    """A length that reaches beyond the message never slices anything."""
    body = RANDOM16 + length.to_bytes(4, "big") + b"abcd" + CORP_ID.encode()
    pad = 32 - len(body) % 32
    with pytest.raises((BadEnvelope, WrongReceiver)):
        crypto().decrypt(raw(body + bytes([pad]) * pad))


@pytest.mark.parametrize(
    "encrypted", [b"", b"A", b"!!!!", b"AAAA", b"AAAA=AAA", "好".encode(), b"QUJD\nQUJD", b"=" * 24]
)
def test_what_is_not_base64_of_whole_blocks_is_refused(encrypted: bytes) -> None:
    """Base64 is checked strictly, and the number of bytes too."""
    with pytest.raises(BadEnvelope):
        crypto().decrypt(encrypted)


def test_any_flipped_bit_is_refused() -> None:
    """No single flipped bit of a sealed message opens under its old signature."""
    encrypted, signature = crypto().seal("快吃完了".encode(), STAMP, NONCE, RANDOM16)
    for place in range(len(encrypted)):
        damaged = bytearray(encrypted)
        damaged[place] ^= 1 << (place % 7)
        with pytest.raises(BadCallback):
            crypto().open(signature, STAMP, NONCE, bytes(damaged))


def test_random_bytes_never_raise_anything_else() -> None:
    """Correctly signed noise of whole blocks ends in a named refusal."""
    for seed in range(300):
        noise = b"".join(sha256(b"%d.%d" % (seed, part)).digest() for part in range(1 + seed % 4))
        encrypted = binascii.b2a_base64(noise, newline=False)
        with pytest.raises(BadCallback):
            crypto().open(sign(TOKEN, STAMP, NONCE, encrypted), STAMP, NONCE, encrypted)


def test_short_key_is_refused_with_its_mend() -> None:
    """A key of the wrong length says what is wanted."""
    with pytest.raises(ValueError, match="43 letters"):
        CallbackCrypto(TOKEN, "short", CORP_ID)
