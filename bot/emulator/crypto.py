"""The callback packet: AES-256-CBC with 32-byte padding and a SHA-1 signature (fact sheet 1.1)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bot.emulator.errors import CryptoError

BLOCK_BYTES = 32


def sign(*parts: str) -> str:
    """Lower-case hex SHA-1 over the sorted parts, joined without a separator."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


class PacketCrypto:
    """Encrypts and opens packets of one receiver (token, EncodingAESKey, receive id)."""

    def __init__(self, token: str, aes_key: str, receive_id: str) -> None:
        self.token = token
        self.receive_id = receive_id
        self._key = base64.b64decode(aes_key + "=")
        if len(self._key) != BLOCK_BYTES:
            raise CryptoError(f"EncodingAESKey must be 43 characters, got {len(aes_key)}")

    def _cipher(self) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16]))

    def encrypt(self, message: str, random16: bytes | None = None) -> str:
        """The base64 packet of a message; `random16` is fresh unless a test fixes it."""
        body = message.encode()
        head = random16 if random16 is not None else secrets.token_hex(8).encode()
        plain = head + struct.pack(">I", len(body)) + body + self.receive_id.encode()
        pad = BLOCK_BYTES - len(plain) % BLOCK_BYTES
        encryptor = self._cipher().encryptor()
        return base64.b64encode(encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()).decode()

    def decrypt(self, packet: str) -> str:
        """The message of a packet; CryptoError when damaged or meant for another receive id."""
        try:
            sealed = base64.b64decode(packet, validate=True)
            decryptor = self._cipher().decryptor()
            padded = decryptor.update(sealed) + decryptor.finalize()
        except (binascii.Error, ValueError) as error:
            raise CryptoError(f"packet cannot be decrypted: {error}") from error
        return self._open(padded)

    def _open(self, padded: bytes) -> str:
        pad = padded[-1] if padded else 0
        plain = padded[:-pad] if 1 <= pad <= BLOCK_BYTES else padded
        if len(plain) < 20:
            raise CryptoError("packet is too short")
        length = struct.unpack(">I", plain[16:20])[0]
        if length > len(plain) - 20:
            raise CryptoError("packet's length field is larger than the packet")
        if plain[20 + length :] != self.receive_id.encode():
            raise CryptoError("packet is for another receive id")
        return plain[20 : 20 + length].decode(errors="replace")

    def signature(self, timestamp: str, nonce: str, packet: str) -> str:
        """The msg_signature of a packet."""
        return sign(self.token, timestamp, nonce, packet)

    def matches(self, signature: str, timestamp: str, nonce: str, packet: str) -> bool:
        """Whether a signature belongs to the packet."""
        return hmac.compare_digest(self.signature(timestamp, nonce, packet), signature)
