"""Callback crypto of WeCom and of the 公众号 in safe mode: signature, AES-256-CBC, padding to 32 bytes.

BadCallback                 refused, with a label for the counter and an HTTP status
├── BadSignature     403    the signature is not that of our token
├── WrongReceiver    403    encrypted for another corp or app
├── Stale            403    signed too long ago, or in the future
├── Replayed         403    this very request was seen before
├── UnknownReceiver  404    no receiver of that name
├── TooLarge         413    more bytes, elements or depth than any callback has
├── BadQuery         400    a parameter of the address is missing or malformed
├── BadEnvelope      400    no single well-formed Encrypt
├── BadPadding       400    the decrypted bytes do not end as they must
└── BadXml           400    not XML, or XML with a document type or entities
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from typing import ClassVar

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK_BYTES = 32
AES_BLOCK_BYTES = 16
HEAD_BYTES = 20
"""16 random bytes and the length of the message in 4."""
PADDINGS = (b"", *(bytes([size]) * size for size in range(1, BLOCK_BYTES + 1)))


class BadCallback(Exception):
    """The callback was refused."""

    label: ClassVar[str] = "bad"
    status: ClassVar[int] = 400


class BadSignature(BadCallback):
    """The signature is not that of this receiver's token; compare the token with the platform's console."""

    label = "signature"
    status = 403


class WrongReceiver(BadCallback):
    """The message was encrypted for another corp or app; compare the receive id with the platform's console."""

    label = "receiver"
    status = 403


class Stale(BadCallback):
    """The request was signed too long ago or in the future; look at the machine's clock."""

    label = "stale"
    status = 403


class Replayed(BadCallback):
    """A request with this signature, timestamp and nonce was accepted before."""

    label = "replayed"
    status = 403


class UnknownReceiver(BadCallback):
    """No receiver has this name; the settings list them under wecom.receivers and wechat.receivers."""

    label = "unknown_receiver"
    status = 404


class TooLarge(BadCallback):
    """More bytes, elements or depth than any callback has."""

    label = "too_large"
    status = 413


class BadQuery(BadCallback):
    """The signature, timestamp, nonce or echo is missing from the address or malformed."""

    label = "query"


class BadEnvelope(BadCallback):
    """The body does not hold one well-formed encrypted message."""

    label = "envelope"


class BadPadding(BadCallback):
    """The decrypted bytes do not end in a padding of 1 to 32; the AES key is wrong or bytes were damaged."""

    label = "padding"


class BadXml(BadCallback):
    """The message is not well-formed XML, or it declares a document type or entities."""

    label = "xml"


def sign(token: str, timestamp: str, nonce: str, encrypted: bytes = b"") -> str:
    """Lower-case hex SHA-1 over the sorted parts; without `encrypted` the plain signature of the 公众号."""
    parts = [token.encode(), timestamp.encode(), nonce.encode()]
    if encrypted:
        parts.append(encrypted)
    return hashlib.sha1(b"".join(sorted(parts)), usedforsecurity=False).hexdigest()


def verify(signature: str, token: str, timestamp: str, nonce: str, encrypted: bytes = b"") -> None:
    """Compare in constant time; raises `BadSignature`."""
    if not hmac.compare_digest(sign(token, timestamp, nonce, encrypted).encode(), signature.encode()):
        raise BadSignature


class CallbackCrypto:
    """Seals and opens the messages of one receiver; `receive_id` is a corp id, an app id, or empty (robots).

    For one thread: the event loop's.
    """

    def __init__(self, token: str, aes_key: str, receive_id: str) -> None:
        self._token = token
        self._receive_id = receive_id.encode()
        if not re.fullmatch("[A-Za-z0-9]{43}", aes_key):
            raise ValueError("the AES key of a receiver has 43 letters and digits; copy it from the platform's console")
        key = binascii.a2b_base64(aes_key + "=")
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(key[:AES_BLOCK_BYTES]))
        # One context for all messages, never finalised: in CBC what came before reaches only into the first block,
        # and that holds the 16 random bytes which nobody reads. Making a context costs more than the decryption.
        self._decrypt = self._cipher.decryptor().update

    def verify(self, signature: str, timestamp: str, nonce: str, encrypted: bytes) -> None:
        """Whether our token signed this; raises `BadSignature`."""
        verify(signature, self._token, timestamp, nonce, encrypted)

    def decrypt(self, encrypted: bytes) -> bytes:
        """The message inside base64 text; raises `BadEnvelope`, `BadPadding` or `WrongReceiver`."""
        try:
            sealed = binascii.a2b_base64(encrypted, strict_mode=True)
        except ValueError as error:
            raise BadEnvelope("the encrypted message is not base64") from error
        if not sealed or len(sealed) % AES_BLOCK_BYTES:
            raise BadEnvelope("the encrypted message is not whole blocks")
        return self._unpack(self._decrypt(sealed))

    def _unpack(self, plain: bytes) -> bytes:
        pad = plain[-1]
        if not 1 <= pad <= BLOCK_BYTES or not plain.endswith(PADDINGS[pad]) or len(plain) - pad < HEAD_BYTES:
            raise BadPadding
        end = HEAD_BYTES + int.from_bytes(plain[16:HEAD_BYTES], "big")
        if end > len(plain) - pad:
            raise BadEnvelope("the length of the message is more than there is")
        if not hmac.compare_digest(plain[end:-pad], self._receive_id):
            raise WrongReceiver
        return plain[HEAD_BYTES:end]

    def open(self, signature: str, timestamp: str, nonce: str, encrypted: bytes) -> bytes:
        """Verify, then decrypt; raises a `BadCallback`."""
        self.verify(signature, timestamp, nonce, encrypted)
        return self.decrypt(encrypted)

    def seal(self, message: bytes, timestamp: str, nonce: str, random16: bytes) -> tuple[bytes, str]:
        """Encrypt a message; returns the base64 text and its signature."""
        plain = random16 + len(message).to_bytes(4, "big") + message + self._receive_id
        plain += PADDINGS[BLOCK_BYTES - len(plain) % BLOCK_BYTES]
        encryptor = self._cipher.encryptor()
        encrypted = binascii.b2a_base64(encryptor.update(plain) + encryptor.finalize(), newline=False)
        return encrypted, sign(self._token, timestamp, nonce, encrypted)
