"""A platform without sockets: API calls and phone acts straight on the emulator's memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bot.emulator.api import Call
from bot.emulator.clock import VirtualClock
from bot.emulator.config import EmulatorConfig, Receiver
from bot.emulator.control import ACTS
from bot.emulator.seed import APP_SECRET, ARCHIVE_SECRET, CORP_ID, default_config
from bot.emulator.server import answer_call
from bot.emulator.state import State

AES_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


class Platform:
    """Speaks to the emulator as the service (call, oa) and as people (act)."""

    def __init__(self, config: EmulatorConfig) -> None:
        self.state = State(config, VirtualClock())
        self.clock = self.state.clock

    def token(self, secret: str = APP_SECRET) -> str:
        """A fresh or standing token of the secret."""
        found = self.raw("GET", "gettoken", {"corpid": CORP_ID, "corpsecret": secret})
        return str(found["access_token"])

    def raw(
        self, method: str, path: str, query: dict[str, str], body: bytes = b"", is_oa: bool = False
    ) -> dict[str, Any]:
        """One call exactly as given."""
        call = Call(query, {}, remote="127.0.0.1")
        return answer_call(self.state, method, path, call, body, is_oa)

    def call(self, path: str, secret: str = APP_SECRET, **body: Any) -> dict[str, Any]:
        """A POST with a good token."""
        return self.raw("POST", path, {"access_token": self.token(secret)}, json.dumps(body).encode())

    def get(self, path: str, secret: str = APP_SECRET, **query: str) -> dict[str, Any]:
        """A GET with a good token."""
        return self.raw("GET", path, {"access_token": self.token(secret), **query})

    def oa(self, path: str, **body: Any) -> dict[str, Any]:
        """A 公众号 POST with a good stable token."""
        oa = self.state.config.oa
        assert oa is not None
        ask = {"grant_type": "client_credential", "appid": oa.appid, "secret": oa.secret}
        token = self.raw("POST", "stable_token", {}, json.dumps(ask).encode(), True)["access_token"]
        return self.raw("POST", path, {"access_token": token}, json.dumps(body).encode(), True)

    def act(self, name: str, **body: Any) -> dict[str, Any]:
        """Somebody does something on a phone; PhoneError when it is not possible."""
        return ACTS[name](self.state, body)

    def wait_for_the_minute(self) -> None:
        """Push the clock to the start of a minute, so that a window of a minute is not cut in two."""
        self.clock.push(61 - self.clock.now() % 60)

    def events(self, kind: str) -> list[str]:
        """The inner XML of the callbacks of one kind, oldest first."""
        return [record.inner for record in self.state.callbacks.log if record.kind.startswith(kind)]

    def chat(self, key: str) -> list[str]:
        """The texts of a chat."""
        return [line.text for line in self.state.chats.get(key, [])]


@pytest.fixture
def platform() -> Platform:
    """The seed corp; no receiver answers, so callbacks are only recorded."""
    return Platform(default_config())


@pytest.fixture
def receiver() -> Callable[[str], Receiver]:
    """Makes a receiver with the key of the fact sheet's vectors for a URL."""
    return lambda url: Receiver(url, "testToken01", AES_KEY, CORP_ID)


@pytest.fixture(scope="session")
def archive_keys() -> dict[int, rsa.RSAPrivateKey]:
    """Two versions of the archive's private key."""
    return {version: rsa.generate_private_key(public_exponent=65537, key_size=2048) for version in (1, 2)}


@pytest.fixture
def archived_platform(archive_keys: dict[int, rsa.RSAPrivateKey]) -> Platform:
    """The seed corp with both public keys uploaded."""
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    pems = {version: key.public_key().public_bytes(*form).decode() for version, key in archive_keys.items()}
    return Platform(default_config(archive_public_keys=pems))


@pytest.fixture
def archive_secret() -> str:
    """The archive's own secret."""
    return ARCHIVE_SECRET
