"""Settings: config/settings.toml, every key overridable as HUITOU_SECTION__KEY; secrets only from the environment."""

from __future__ import annotations

import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnreadableVariable

from loyalty.handover import LEAST_KEY_BYTES, Links

AesKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{43}$")]
SECRET_KEYS = ("secret", "token", "aes_key", "api_key", "api_keys", "private_keys")


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it, where it was looked for, and the mend."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Web(_Section):
    """Where the service listens, and what it refuses."""

    host: str = "127.0.0.1"
    port: int = 8000
    metrics_port: int = 0
    """Where a process without the web part shows /healthz, /readyz and /metrics; 0: nowhere."""
    body_max_bytes: int = 64 * 1024
    stale_after_s: int = 600
    """A signed callback older or newer than this is refused as a replay; 0 trusts no clock."""


class Storage(_Section):
    """Where everything is kept: sqlite:///var/huitou.db or postgresql://user@host/name."""

    url: SecretStr = SecretStr("sqlite:///var/huitou.db")
    redis_url: SecretStr | None = None
    pool_size: int = 8


class Receiver(_Section):
    """One callback address: /wecom/{name} or /wechat/{name}, with its own token and AES key."""

    token: SecretStr = SecretStr("")
    aes_key: SecretStr = SecretStr("")
    receive_id: str = ""
    """Empty: the corp id (WeCom) or the app id (公众号)."""
    mode: Literal["safe", "plain"] = "safe"
    """公众号 only: whether the platform encrypts; a WeCom receiver is always safe."""


class WeCom(_Section):
    """The corp: its app, its addresses, its receivers."""

    base_url: str = "https://qyapi.weixin.qq.com"
    corp_id: str = ""
    agent_id: int = 0
    secret: SecretStr = SecretStr("")
    receivers: dict[str, Receiver] = {}
    kf_accounts: list[str] = []
    default_rep: str = ""
    """Who is prompted when nobody serves the customer."""
    supervisor: str = ""
    """Who hears of a complaint besides the rep."""
    request_timeout_s: float = 10.0


class Archive(_Section):
    """The chat archive: `source` is off, or http (the emulator's form of the seam)."""

    source: Literal["off", "http"] = "off"
    base_url: str = ""
    secret: SecretStr = SecretStr("")
    private_keys: dict[str, SecretStr] = {}
    """PEM private keys by publickey_ver; old ones are kept for the window of five days."""
    poll_s: float = 30.0
    batch: int = 500


class WeChat(_Section):
    """The 公众号."""

    base_url: str = "https://api.weixin.qq.com"
    app_id: str = ""
    secret: SecretStr = SecretStr("")
    receivers: dict[str, Receiver] = {}


class Work(_Section):
    """Workers: how many messages a transaction, how often to look, how often to try."""

    batch: int = 100
    poll_s: float = 0.5
    attempts: int = 3
    retry_s: float = 2.0


class Deliver(_Section):
    """Delivery: how many at once, how long a lease, how often to try."""

    batch: int = 50
    poll_s: float = 0.5
    lease_s: float = 60.0
    attempts: int = 12
    retry_first_s: float = 1.0
    retry_max_s: float = 300.0
    api_per_min: int = 2000
    """Calls of one API a minute; the older, lower figure of wecom.md §2.2."""
    member_app_per_min: int = 30
    kf_poll_s: float = 60.0


class Dialog(_Section):
    """How long a dialog lives."""

    silence_min: int = 30
    human_pause_min: int = 30
    survey_every_days: int = 30
    burst_s: float = Field(default=1.5, ge=0, le=10)
    """Short messages one person sends in one chat within this time are read together; 0: each by itself."""


class Adapter(_Section):
    """A system of the brand that calls or sends SMS for follow-ups; every request to it is signed with the secret."""

    url: str
    secret: SecretStr = SecretStr("")


class FollowUp(_Section):
    """Restraint: when and how often a customer is touched; `adapters` are systems that call or send SMS."""

    quiet_from_h: int = Field(default=21, ge=0, le=23)
    quiet_to_h: int = Field(default=9, ge=0, le=23)
    per_day: int = 2
    per_week: int = 5
    per_month: int = 12
    mass_per_month: int = 4
    kf_per_window: int = Field(default=3, ge=0, le=5)
    quiet_weekends: bool = False
    allow: list[str] = []
    deny: list[str] = []
    same_within_days: int = 7
    later_min: int = 120
    no_selling_after_complaint_h: int = 72
    timezone: str = "Asia/Shanghai"
    adapters: dict[str, Adapter] = {}

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"no such time zone {value!r}; write one like Asia/Shanghai") from error
        return value


class Api(_Section):
    """The brand's own systems: bearer keys by name with every scope, and what a key may send unless it says itself."""

    api_keys: dict[str, SecretStr] = {}
    requests_per_s: int = Field(default=200, ge=1)
    """Counted over ten seconds, so that a till that was offline may catch up in a burst."""
    lapse_notice_days: int = Field(default=7, ge=1, le=365)
    """How long before points lapse the webhook points.about_to_lapse is sent."""
    keep_answers_days: int = Field(default=7, ge=1, le=3650)
    """How long the answer to a write is kept for those who send it again."""
    keep_events_days: int = Field(default=30, ge=7, le=3650)
    """How long webhook events and what became of them are kept."""

    @model_validator(mode="after")
    def _a_notice_is_kept_until_its_day(self) -> Api:
        if self.keep_events_days < self.lapse_notice_days:
            raise ValueError("keep_events_days is below lapse_notice_days: a notice would be sent again; raise it")
        return self


class Rewards(_Section):
    """How rewards reach members: the key that signs jump links and pages, where pages stand, who pays red packets."""

    secret: SecretStr = SecretStr("")
    page_url: str = Field(default="", pattern=r"^(https?://[^\s@]+)?$")
    """What the token of a member's own page is put behind, such as https://shop.example/claim?t="""
    link_days: int = Field(default=30, ge=1, le=3650)
    red_packet_adapter: str = ""
    """The name of the adapter under followup.adapters that pays red packets; empty: they wait to be fetched."""

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value().encode()) < LEAST_KEY_BYTES:
            raise ValueError(f"the key for links is too short; give at least {LEAST_KEY_BYTES} random bytes")
        return value


class Identity(_Section):
    """How people are recognised: phones are kept only as hashes keyed with this secret, which must never change."""

    secret: SecretStr = SecretStr("")


class Training(_Section):
    """When a newly trained model is held back: what may not fall against the model in force, and by how much."""

    protected: list[str] = ["running_out", "buying_for_friend", "opt_out", "complaint", "human_agent"]
    margin: float = Field(default=0.03, ge=0, le=1)
    """How far the F1 of a protected scenario may fall on the held-out messages."""
    false_triggers_margin: float = Field(default=5.0, ge=0)
    """How many more false triggers per 1,000 none-messages in groups are let pass."""


class SecondOpinion(_Section):
    """A second opinion on messages that leave the classifier unsure, in private chats; off without an address."""

    url: str = Field(default="", pattern=r"^(https?://[^\s@]+)?$")
    """An OpenAI-compatible service, such as http://127.0.0.1:11434/v1."""
    model: str = ""
    api_key: SecretStr = SecretStr("")
    timeout_s: float = Field(default=1.5, gt=0, le=10)
    """How long such a message may wait in all; nobody else waits for it."""
    per_day: int = Field(default=1000, ge=0)

    @model_validator(mode="after")
    def _names_a_model(self) -> SecondOpinion:
        if self.url and not self.model:
            raise ValueError("an address and no model; set HUITOU_SECOND_OPINION__MODEL")
        return self


class Paths(_Section):
    """Where configuration and models live."""

    config: Path = Path("config")
    models: Path = Path("var/models")


class Log(_Section):
    """Logging: json for machines, plain for people."""

    format: Literal["json", "plain"] = "plain"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class Settings(BaseSettings):
    """Every setting of the service."""

    model_config = SettingsConfigDict(env_prefix="HUITOU_", env_nested_delimiter="__", extra="forbid")

    web: Web = Web()
    storage: Storage = Storage()
    wecom: WeCom = WeCom()
    archive: Archive = Archive()
    wechat: WeChat = WeChat()
    work: Work = Work()
    deliver: Deliver = Deliver()
    dialog: Dialog = Dialog()
    followup: FollowUp = FollowUp()
    api: Api = Api()
    rewards: Rewards = Rewards()
    identity: Identity = Identity()
    training: Training = Training()
    second_opinion: SecondOpinion = SecondOpinion()
    paths: Paths = Paths()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file, so that a machine can differ without a change in git."""
        return init_settings, env_settings, _NoSecrets(settings_cls)

    @model_validator(mode="after")
    def _sane(self) -> Settings:
        if self.followup.quiet_from_h == self.followup.quiet_to_h:
            raise ValueError("followup.quiet_from_h equals quiet_to_h: no hour or every hour; choose two")
        return self


class _NoSecrets(TomlConfigSettingsSource):
    """The settings file, refused when a secret stands in it."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        if "HUITOU_SETTINGS" in os.environ and not settings_file().is_file():
            raise SettingsError(f"{settings_file()}: no such file; correct HUITOU_SETTINGS")
        try:
            super().__init__(settings_cls, toml_file=settings_file())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{settings_file()}: not TOML: {error}") from error

    def __call__(self) -> dict[str, Any]:
        found = super().__call__()
        for trail in _secrets_in(found, ()):
            name = "HUITOU_" + "__".join(part.upper() for part in trail)
            raise SettingsError(f"{settings_file()}: {'.'.join(trail)} is a secret; remove it and set {name}")
        return found


def links_of(settings: Settings) -> Links | None:
    """What signs jump links and pages, where there is a key for it."""
    secret = settings.rewards.secret.get_secret_value()
    if not secret:
        return None
    return Links(secret, settings.rewards.page_url, timedelta(days=settings.rewards.link_days))


def settings_file() -> Path:
    """The settings file: HUITOU_SETTINGS or config/settings.toml."""
    return Path(os.environ.get("HUITOU_SETTINGS", "config/settings.toml"))


def load_settings(**overrides: Any) -> Settings:
    """All settings, checked; raises `SettingsError` with every problem and the name to set."""
    try:
        return Settings(**overrides)
    except UnreadableVariable as error:
        section = str(error).partition('"')[2].partition('"')[0]
        names = ", ".join(sorted(name for name in os.environ if name.upper().startswith(f"HUITOU_{section.upper()}")))
        mend = 'a list or a table is written as JSON, such as ["a", "b"]'
        raise SettingsError(f"{section}: one of {names} cannot be read; {mend}") from error
    except ValidationError as error:
        lines = []
        for item in error.errors():
            trail = [str(step) for step in item["loc"]]
            name = "HUITOU_" + "__".join(part.upper() for part in trail)
            lines.append(f"{'.'.join(trail) or 'settings'}: {item['msg']} (in {settings_file()} or as {name})")
        raise SettingsError("\n".join(lines)) from error


def _secrets_in(tree: Any, trail: tuple[str, ...]) -> list[tuple[str, ...]]:
    if not isinstance(tree, dict):
        return []
    found = [(*trail, key) for key in tree if tree[key] and (key in SECRET_KEYS or _has_password(tree[key]))]
    for key, value in tree.items():
        found += _secrets_in(value, (*trail, key))
    return found


def _has_password(value: Any) -> bool:
    return isinstance(value, str) and "://" in value and bool(urlsplit(value).password)
