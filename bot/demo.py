"""The demo: the service beside a WeCom of its own on this machine, with sample customers and their orders."""

from __future__ import annotations

import json
import secrets
import socket
import string
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot import demo_till, demo_tour, running
from bot.app import Service
from bot.clock import clock_of
from bot.database import Database
from bot.emulator import seed
from bot.emulator.app import RunningEmulator, start_emulator
from bot.emulator.clock import VirtualClock
from bot.emulator.config import Receiver
from bot.logs import set_up_logging
from bot.migrations import migrate
from bot.settings import Log, Settings, load_settings
from bot.trainings import train_model
from intents import shelf

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
OPENS_H, CLOSES_H = 10, 20
API_KEY_NAME: Final = "demo"
AES_KEY_CHARS: Final = 43
RECEIVERS: Final = ("app", "contact", "kf", "archive")
ORDERS: Final = (
    ("wmAAAA0001", "oOPENID0001", "QH-DRIP-30", "挂耳咖啡30包", 12900, 27),
    ("wmAAAA0001", "oOPENID0001", "QH-BEAN-500", "云南精品咖啡豆500克", 88800, 60),
    ("wmAAAA0002", "oOPENID0002", "QH-COLD-10", "冷萃咖啡液10颗", 9900, 9),
    ("wmAAAA0003", "oOPENID0003", "QH-TEA-20", "茉莉冷泡茶20包", 26800, 19),
)
"""Sample orders: customer, openid, sku, name, fen, days ago. The points come from the programme's own rules."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets one platform and one service share (tokens, AES keys, the archive's key pair), and its own."""

    receivers: dict[str, tuple[str, str]]
    private_pem: str
    api_key: str
    identity_secret: str

    @property
    def public_pem(self) -> str:
        """What the platform encrypts with."""
        private = serialization.load_pem_private_key(self.private_pem.encode(), password=None)
        encoding, kind = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return private.public_key().public_bytes(encoding, kind).decode()


async def run(*, tour: bool, port: int, say: Say) -> int:
    """Start everything on a database that is thrown away afterwards; play the tour or wait for a browser."""
    set_up_logging(Log(level="ERROR" if tour else "WARNING"))
    async with opened(0 if tour else port, say) as (service, emulator, keys):
        return await _play(service, emulator, keys, tour, say)


@asynccontextmanager
async def opened(port: int, say: Say) -> AsyncIterator[tuple[Service, RunningEmulator, Keys]]:
    """A platform that runs, and a service beside it that is ready to start, on a database of its own."""
    keys = new_keys()
    clock = VirtualClock(_until_open_s())
    with TemporaryDirectory(prefix="huitou-demo-") as folder:
        service_port = free_port()
        emulator = await start_emulator(
            platform_config(keys, f"http://127.0.0.1:{service_port}"), port=port, clock=clock
        )
        try:
            values = service_values(keys, emulator.base_url, f"sqlite:///{folder}/demo.db", service_port)
            settings = load_settings(**values)
            ensure_model(settings, say)
            prepare(settings)
            yield Service(settings, clock=clock_of(clock.now)), emulator, keys
        finally:
            await emulator.stop()


async def _play(service: Service, emulator: RunningEmulator, keys: Keys, tour: bool, say: Say) -> int:
    base_url = f"http://127.0.0.1:{service.settings.web.port}"

    async def post_samples() -> None:
        await post_orders(base_url, keys.api_key, service.clock())

    if tour:
        await service.start()
        try:
            await post_samples()
            return await demo_tour.play(emulator.base_url, base_url, keys.api_key, say)
        finally:
            await service.stop()
    return await running.serve_until_stopped(service, post_samples, lambda: _greet(emulator.base_url, base_url, say))


async def emulate(port: int, target: str, folder: Path, say: Say) -> int:
    """Run the platform alone; its keys are kept in `folder`, with the environment for a service beside them."""
    keys = kept_keys(folder / "keys.json")
    config = platform_config(keys, target)
    config.is_clock_shared = False
    emulator = await start_emulator(config, port=port, clock=VirtualClock())
    try:
        service_port = int(target.rpartition(":")[2])
        values = service_values(keys, emulator.base_url, "", service_port)
        environment = folder / "service.env"
        environment.write_text("".join(f"{name}={_quoted(value)}\n" for name, value in as_environment(values)))
        environment.chmod(0o600)
        say(f"platform and phones: {emulator.base_url}")
        say(f"environment of the service: {environment} (set -a; . {environment}; set +a; huitou serve)")
        return await running.wait_until_stopped()
    finally:
        await emulator.stop()


def new_keys() -> Keys:
    """Fresh random secrets."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pairs = {name: (secrets.token_hex(12), _aes_key()) for name in (*RECEIVERS, "oa")}
    return Keys(pairs, pem.decode(), secrets.token_urlsafe(24), secrets.token_urlsafe(24))


def kept_keys(path: Path) -> Keys:
    """The secrets of a file of this machine, made on first use and readable by its owner alone."""
    if path.exists():
        read = json.loads(path.read_text())
        pairs = {name: (token, aes_key) for name, (token, aes_key) in read["receivers"].items()}
        # A file of before phones could be bound has no secret for them; its API key is as secret and as lasting.
        return Keys(pairs, read["private_pem"], read["api_key"], read.get("identity_secret") or read["api_key"])
    keys = new_keys()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(keys)))
    return keys


def platform_config(keys: Keys, target: str) -> Any:
    """The emulator's configuration: where callbacks go and with which secrets."""
    oa = seed.default_config().oa
    assert oa is not None
    receivers = {
        name: Receiver(f"{target}/wecom/{name}", *keys.receivers[name], seed.CORP_ID) for name in RECEIVERS
    } | {"oa": Receiver(f"{target}/wechat/oa", *keys.receivers["oa"], oa.appid)}
    config = seed.default_config(receivers, {1: keys.public_pem})
    config.till = demo_till.till(target, keys.api_key) if target else None
    config.oa = type(oa)(oa.appid, oa.secret, oa.gh_id, oa.name, "safe")
    return config


def service_values(keys: Keys, platform_url: str, database_url: str, port: int) -> dict[str, Any]:
    """The settings of a service that talks to this platform."""
    config = platform_config(keys, "")
    receivers = {name: {"token": pair[0], "aes_key": pair[1]} for name, pair in keys.receivers.items()}
    oa = receivers.pop("oa")
    return {
        "web": {"port": port},
        **({"storage": {"url": database_url}} if database_url else {}),
        "wecom": {
            "base_url": platform_url, "corp_id": config.corp_id, "agent_id": config.agent_id,
            "secret": config.app_secret, "receivers": receivers, "default_rep": "wangli", "supervisor": "wangli",
            "kf_accounts": [account.open_kfid for account in config.kf_accounts],
        },
        "archive": {
            "source": "http", "base_url": platform_url, "secret": config.archive_secret,
            "private_keys": {"1": keys.private_pem}, "poll_s": 5.0,
        },
        "wechat": {
            "base_url": f"{platform_url}/oa", "app_id": config.oa.appid, "secret": config.oa.secret,
            "receivers": {"oa": oa},
        },
        "api": {"api_keys": {API_KEY_NAME: keys.api_key}},
        "identity": {"secret": keys.identity_secret},
    }  # fmt: skip


def as_environment(values: dict[str, Any], prefix: str = "HUITOU") -> list[tuple[str, str]]:
    """Settings as environment variables: HUITOU_SECTION__KEY."""
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{'_' if prefix == 'HUITOU' else '__'}{key.upper()}"
        if isinstance(value, dict):
            found += as_environment(value, name)
        else:
            found.append((name, json.dumps(value) if isinstance(value, list) else str(value)))
    return found


def ensure_model(settings: Settings, say: Say) -> None:
    """Train a model where none is in force yet."""
    if shelf.current(settings.paths.models) is None:
        say("no model yet: training one from config/scenarios (once, under a minute) ...")
        shelf.promote(settings.paths.models, train_model(settings, lambda _done, _steps: None))


def prepare(settings: Settings) -> None:
    """Bring the database to this version's schema."""
    database = Database(settings.storage.url.get_secret_value())
    migrate(database)
    database.dispose()


async def post_orders(base_url: str, api_key: str, now: datetime) -> None:
    """Post the sample orders as a shop would, by the API with its key."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {api_key}"}) as session:
        for number, (external, openid, sku, name, fen, days) in enumerate(ORDERS, 1):
            order = {
                "source": "shop", "external_id": f"demo-{number}", "amount_fen": fen,
                "paid_at": (now - timedelta(days=days)).isoformat(),
                "identities": [["external_userid", external], ["openid", openid]],
                "items": [{"sku": sku, "name": name, "amount_fen": fen}],
            }  # fmt: skip
            async with session.post(
                f"{base_url}/api/v1/orders", json=order, headers={"Idempotency-Key": f"demo-{number}"}
            ) as answer:
                if answer.status >= 300:
                    raise RuntimeError(f"sample order refused: {answer.status} {await answer.text()}")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _greet(platform_url: str, service_url: str, say: Say) -> None:
    say("")
    say(f"  Open {platform_url} and play: left the customer's phone, right the rep's.")
    say("  Try 快吃完了 in the group, 我有多少积分 in 微信客服, 积分换个杯子 and 确认.")
    say(f"  The service itself: {service_url}/readyz and {service_url}/metrics. Stop with Ctrl-C.")
    say("")


def _until_open_s() -> float:
    """How far to push the clock so that the story begins in opening hours, whenever it is played."""
    local = clock_of(VirtualClock().now)().astimezone(SHANGHAI)
    if OPENS_H <= local.hour < CLOSES_H:
        return 0.0
    opening = local.replace(hour=OPENS_H, minute=0, second=0, microsecond=0)
    if local.hour >= CLOSES_H:
        opening += timedelta(days=1)
    return (opening - local).total_seconds()


def _aes_key() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(AES_KEY_CHARS))


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"
