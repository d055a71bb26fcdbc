"""`huitou check`: everything that is missing, contradicts or is misspelt in configuration, all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from bot.brands import (
    read_corpus,
    read_knowledge,
    read_plan,
    read_programme,
    read_replies,
    read_scenarios,
    read_sops,
    scenario_problems,
)
from bot.settings import Settings, SettingsError, links_of, load_settings
from bot.yaml_files import ConfigError
from handlers import registry
from handlers.talk.messages import AUTOMATIC_CHANNELS
from intents import lint
from loyalty import designs
from loyalty.errors import ProgrammeError
from loyalty.handover import check_link
from loyalty.red_packets import gives_red_packets


def findings(load: Callable[[], Settings] = load_settings) -> list[str]:
    """Every finding as a line that names the place and the mend; an empty list is a clean configuration."""
    try:
        settings = load()
    except SettingsError as error:
        return str(error).splitlines()
    config = settings.paths.config
    found: list[str] = []
    checks: tuple[Callable[[], Iterable[str]], ...] = (
        lambda: _programme(config), lambda: _replies(config), lambda: _scenarios(config), lambda: _corpus(config),
        lambda: _rewards(settings), lambda: _followups(settings), lambda: _knowledge(config), lambda: _plan(config),
    )  # fmt: skip
    for check in checks:
        try:
            found += check()
        except ConfigError as error:
            found += error.problems
    return [*dict.fromkeys(found), *_training(settings), *_receivers(settings), *_connection(settings)]


def notices(load: Callable[[], Settings] = load_settings) -> list[str]:
    """Where more would help though nothing is wrong; empty where the configuration cannot be read."""
    try:
        settings = load()
        programme = read_programme(settings.paths.config)
        corpus = read_corpus(settings.paths.config, programme)
    except (SettingsError, ConfigError):
        return []
    place = settings.paths.config / "programme.yaml"
    poor = [f"{place}: {finding}" for finding in designs.lint(programme)]
    if gives_red_packets(programme) and not settings.rewards.red_packet_adapter:
        poor.append("rewards.red_packet_adapter: nobody pays red packets by himself; name an adapter, or fetch them by "
                    "the API (huitou packets list shows what waits)")
    return poor + lint.notices(corpus.scenarios, corpus.none)


def _programme(config: Path) -> Iterable[str]:
    programme = read_programme(config)
    for product in programme.products:
        if product.cycle_days is not None and not product.bundle:
            yield f"{config}/programme.yaml: product {product.sku} has a cycle and no bundle; say what to offer"


def _replies(config: Path) -> Iterable[str]:
    read_replies(config)
    return ()


def _scenarios(config: Path) -> Iterable[str]:
    files = read_scenarios(config)
    yield from scenario_problems(config, files)
    for stem, scenario in files.items():
        place = f"{config}/scenarios/{stem}.yaml"
        if stem in registry.SCENARIOS and scenario.says:
            yield f"{place}: says: this scenario is answered by code; remove the texts"
        if stem not in registry.SCENARIOS:
            yield from (
                f"{place}: says: nothing for {channel}; add a reply"
                for channel in sorted(AUTOMATIC_CHANNELS - scenario.says.keys())
            )


def _followups(settings: Settings) -> Iterable[str]:
    config = settings.paths.config
    scenarios, adapters = frozenset(read_scenarios(config)), frozenset(settings.followup.adapters)
    read_sops(config, read_programme(config), scenarios, adapters)
    return ()


def _knowledge(config: Path) -> Iterable[str]:
    read_knowledge(config, read_programme(config))
    return ()


def _plan(config: Path) -> Iterable[str]:
    read_plan(config)
    return ()


def _corpus(config: Path) -> Iterable[str]:
    corpus = read_corpus(config, read_programme(config))
    for finding in lint.conflicts(corpus.scenarios, corpus.none, corpus.heldout):
        yield f"{config}: {finding.place}: {finding.what}; {finding.mend}"


def _rewards(settings: Settings) -> Iterable[str]:
    """What rewards need of the settings so that a member gets them."""
    place, links = settings.paths.config / "programme.yaml", links_of(settings)
    programme = read_programme(settings.paths.config)
    for reward in programme.rewards:
        try:
            check_link(reward, links)
        except ProgrammeError as error:
            yield f"{place}: {error} as HUITOU_REWARDS__SECRET"
        if reward.way == "page" and (links is None or not links.page_url):
            yield (f"{place}: rewards: {reward.id!r}: way: there is no page to send members to; "
                   "set HUITOU_REWARDS__SECRET and HUITOU_REWARDS__PAGE_URL")
    adapter = settings.rewards.red_packet_adapter
    if adapter and adapter not in settings.followup.adapters:
        yield (f"rewards.red_packet_adapter: no adapter {adapter!r}; "
               f"set HUITOU_FOLLOWUP__ADAPTERS__{adapter.upper()}__URL")


def _training(settings: Settings) -> Iterable[str]:
    for name in settings.training.protected:
        if not (settings.paths.config / "scenarios" / f"{name}.yaml").is_file():
            yield f"training.protected: {name} is no scenario; correct the id or remove it"


def _receivers(settings: Settings) -> list[str]:
    found = []
    for section, receivers in (("wecom", settings.wecom.receivers), ("wechat", settings.wechat.receivers)):
        for name, receiver in receivers.items():
            where = f"HUITOU_{section.upper()}__RECEIVERS__{name.upper()}"
            if not receiver.token.get_secret_value():
                found.append(f"{section}.receivers.{name}: no token; set {where}__TOKEN")
            key = receiver.aes_key.get_secret_value()
            if receiver.mode == "safe" and len(key) != 43:
                found.append(
                    f"{section}.receivers.{name}: AES key of {len(key)} characters, not 43; set {where}__AES_KEY"
                )
    if settings.wecom.receivers and not settings.wecom.corp_id:
        found.append("wecom.corp_id is empty; set HUITOU_WECOM__CORP_ID")
    return found


def _connection(settings: Settings) -> Iterable[str]:
    """What a corp that is named in the settings still lacks; nothing where none is named."""
    wecom, archive, wechat = settings.wecom, settings.archive, settings.wechat
    if wecom.corp_id:
        if not wecom.secret.get_secret_value():
            yield "wecom.secret is empty: nothing can be sent; set HUITOU_WECOM__SECRET"
        if not wecom.agent_id:
            yield "wecom.agent_id is empty: no card reaches a rep; set HUITOU_WECOM__AGENT_ID"
        if not wecom.default_rep:
            yield "wecom.default_rep is empty: customers nobody serves prompt nobody; set HUITOU_WECOM__DEFAULT_REP"
        if "kf" in wecom.receivers and not wecom.kf_accounts:
            yield "wecom.kf_accounts is empty: no 微信客服 account is read; set HUITOU_WECOM__KF_ACCOUNTS"
    if archive.source == "http":
        if not archive.base_url or not archive.secret.get_secret_value():
            yield "archive.source is http without address or secret; set HUITOU_ARCHIVE__BASE_URL and __SECRET"
        if not archive.private_keys:
            yield "archive.private_keys is empty: no record can be opened; set HUITOU_ARCHIVE__PRIVATE_KEYS__1"
    if wechat.app_id and not wechat.secret.get_secret_value():
        yield "wechat.secret is empty: the 公众号 cannot answer; set HUITOU_WECHAT__SECRET"
