"""Reading a brand's configuration whole: programme, scenarios, replies and model, checked before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Literal
from zoneinfo import ZoneInfo

import structlog
from jinja2 import TemplateError
from pydantic import BaseModel, ConfigDict, RootModel

from bot.settings import Settings, links_of
from bot.yaml_files import ConfigError, read, read_folder
from handlers import knowledge
from handlers.appointment_book import Plan
from handlers.brand import Brand, DialogRules, Restraint, Staff
from handlers.followup import references
from handlers.followup.definition import Sop, Sops
from handlers.knowledge import Knowledge
from handlers.talk.messages import AUTOMATIC_CHANNELS
from handlers.talk.replies import Replies, ReplyError
from intents import shelf
from intents.classifier import FALLBACK_MODEL, Classifier
from intents.errors import IntentsError
from intents.scenarios import SCENARIO_IDS, Example, Labelled, Scenario
from loyalty.identities import Identifier
from loyalty.programme import Programme

log = structlog.get_logger("brands")
NONE = "none"


class ReplyFile(RootModel[dict[str, str]]):
    """config/replies.yaml: a name and a template each."""


class NoneFile(BaseModel):
    """config/scenarios/none.yaml: messages that carry no scenario."""

    model_config = ConfigDict(extra="forbid")
    id: Literal["none"]
    title: str
    examples: tuple[str, ...]


class HeldOut(BaseModel):
    """A file of config/heldout: messages to be judged by, never to learn from."""

    model_config = ConfigDict(extra="forbid")
    id: str
    messages: list[str | Example]


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the classifier learns from and what it is judged by."""

    scenarios: tuple[Scenario, ...]
    none: tuple[str, ...]
    heldout: tuple[Labelled, ...]
    lexicon: tuple[str, ...]


def read_corpus(config: Path, programme: Programme) -> Corpus:
    """Scenarios, none-messages, held-out messages and the brand's own words; raises `ConfigError`."""
    files = read_scenarios(config)
    none = read(config / "scenarios" / f"{NONE}.yaml", NoneFile).examples
    heldout = tuple(
        labelled for file in read_folder(config / "heldout", HeldOut).values() for labelled in _labelled(file)
    )
    return Corpus(tuple(files.values()), none, heldout, read_lexicon(config, programme))


def read_scenarios(config: Path) -> dict[str, Scenario]:
    """Every scenario by its id; raises `ConfigError`."""
    return read_folder(config / "scenarios", Scenario, without=NONE)


def scenario_problems(config: Path, files: Mapping[str, Scenario]) -> list[str]:
    """What would make the service stumble over these scenarios, each with the file and the mend."""
    folder = config / "scenarios"
    found = [f"{folder}/{name}.yaml: no such file; add the scenario" for name in SCENARIO_IDS if name not in files]
    for stem, scenario in files.items():
        place = f"{folder}/{stem}.yaml"
        if scenario.id != stem:
            found.append(f"{place}:1: id: {scenario.id} is not the file's name; rename one of them")
        for channel, template in scenario.says.items():
            found += _says_problems(f"{place}: says.{channel}", channel, template)
    return found


def _says_problems(place: str, channel: str, template: str) -> list[str]:
    found = []
    if channel not in AUTOMATIC_CHANNELS:
        found.append(f"{place}: no program may write there; use {' or '.join(sorted(AUTOMATIC_CHANNELS))}")
    try:
        Replies({}).render_text(template)
    except TemplateError as error:
        found.append(f"{place}: {error}; mend the template")
    return found


def read_lexicon(config: Path, programme: Programme) -> tuple[str, ...]:
    """The brand's own words: lexicon/*.txt, one a line, and the names of products and rewards; raises `ConfigError`."""
    words = [
        line.strip()
        for path in _lexicon_files(config)
        for line in _text_of(path).splitlines()
        if line.strip() and not line.startswith("#")
    ]
    named = [word for product in programme.products for word in (product.name, *product.aliases)]
    named += [word for reward in programme.rewards for word in (reward.name, *reward.aliases)]
    return tuple(dict.fromkeys([*words, *named]))


def _lexicon_files(config: Path) -> list[Path]:
    return sorted((config / "lexicon").glob("*.txt"))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8"]) from error


def read_programme(config: Path) -> Programme:
    """The programme; raises `ConfigError`."""
    return read(config / "programme.yaml", Programme)


def read_replies(config: Path) -> Replies:
    """The reply texts; raises `ConfigError` when one is missing, unknown or faulty."""
    path = config / "replies.yaml"
    try:
        replies = Replies(read(path, ReplyFile).root)
    except ReplyError as error:
        raise ConfigError([f"{path}: {error}"]) from error
    findings = replies.findings()
    if findings:
        raise ConfigError([f"{path}: {finding}" for finding in findings])
    return replies


def read_sops(config: Path, programme: Programme, scenarios: frozenset[str], adapters: frozenset[str]) -> Sops:
    """Every follow-up, checked against what it names; raises `ConfigError`."""
    folder = config / "followups"
    sops = Sops(read_folder(folder, Sop))
    rewards, coupons = (frozenset(one.id for one in kind) for kind in (programme.rewards, programme.coupons))
    found = [f"{folder}/{problem}" for problem in references.problems(sops, scenarios, rewards, coupons, adapters)]
    if found:
        raise ConfigError(found)
    return sops


def read_knowledge(config: Path, programme: Programme) -> dict[str, Knowledge]:
    """What may be said of products, by sku; raises `ConfigError`."""
    folder = config / "knowledge"
    files = read_folder(folder, Knowledge)
    found = [f"{folder}/{problem}" for problem in knowledge.problems(files, programme)]
    if found:
        raise ConfigError(found)
    return files


def read_plan(config: Path) -> Plan:
    """What can be booked; an empty plan where there is no such file. Raises `ConfigError`."""
    path = config / "appointments.yaml"
    return read(path, Plan) if path.is_file() else Plan()


def load_classifier(models: Path, lexicon: tuple[str, ...]) -> Classifier:
    """The promoted model; where there is none or it is broken, cues and keywords with an alarm in the log."""
    try:
        folder = shelf.current(models)
    except IntentsError as error:
        log.error("no model to be found: cues and keywords only", error=str(error), mend="huitou train")
        return Classifier.fallback()
    if folder is None:
        log.error("no model promoted: cues and keywords only", models=str(models), mend="huitou train")
        return Classifier.fallback()
    try:
        return Classifier.load(folder, lexicon)
    except Exception as error:
        log.error("model broken: cues and keywords only", folder=str(folder), error=str(error), mend="huitou train")
        return Classifier.fallback()


def load_brand(settings: Settings) -> Brand:
    """Everything a brand configured, checked whole; raises `ConfigError` and changes nothing."""
    config = settings.paths.config
    programme = read_programme(config)
    scenarios = read_scenarios(config)
    problems = scenario_problems(config, scenarios)
    if problems:
        raise ConfigError(problems)
    rules = settings.followup
    return Brand(
        programme=programme,
        scenarios=scenarios,
        replies=read_replies(config),
        understanding=load_classifier(settings.paths.models, read_lexicon(config, programme)),
        staff=Staff(settings.wecom.default_rep, settings.wecom.supervisor),
        dialog=DialogRules(
            silence=timedelta(minutes=settings.dialog.silence_min),
            human_pause=timedelta(minutes=settings.dialog.human_pause_min),
            survey_every=timedelta(days=settings.dialog.survey_every_days),
            burst=timedelta(seconds=settings.dialog.burst_s),
        ),
        restraint=Restraint(
            quiet_from_h=rules.quiet_from_h,
            quiet_to_h=rules.quiet_to_h,
            per_day=rules.per_day,
            per_week=rules.per_week,
            per_month=rules.per_month,
            mass_per_month=rules.mass_per_month,
            kf_per_window=rules.kf_per_window,
            quiet_weekends=rules.quiet_weekends,
            allow=frozenset(rules.allow),
            deny=frozenset(rules.deny),
            same_within=timedelta(days=rules.same_within_days),
            later=timedelta(minutes=rules.later_min),
            no_selling_after_complaint=timedelta(hours=rules.no_selling_after_complaint_h),
            zone=ZoneInfo(rules.timezone),
        ),
        sops=read_sops(config, programme, frozenset(scenarios), frozenset(rules.adapters)),
        knowledge=read_knowledge(config, programme),
        appointments=read_plan(config),
        identifier=Identifier(settings.identity.secret.get_secret_value()),
        links=links_of(settings),
    )


class BrandHolder:
    """The brand in force; a faulty change is refused and the old one stays."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._swapping = Lock()
        self._seen = self._look()
        self._brand = load_brand(settings)

    def __call__(self) -> Brand:
        """The brand in force now."""
        return self._brand

    @property
    def is_degraded(self) -> bool:
        """Whether messages are judged by cues and keywords, because there was no model to load."""
        return _is_fallback(self._brand)

    def reload(self) -> bool:
        """Read everything again; False, with the problems in the log, when it is faulty."""
        with self._swapping:
            seen = self._look()
            try:
                brand = load_brand(self._settings)
            except ConfigError as error:
                log.error("configuration refused, the old one stays", problems=error.problems)
                return False
            self._brand, self._seen = self._with_a_model(brand), seen
            log.info("configuration swapped", model=str(seen[0]))
            return True

    def follow(self) -> str:
        """Take up another model or another lexicon, should there be one; the rest stays as it is.

        Gives what a person must look at (model refused, lexicon refused), once a change, or nothing.
        """
        with self._swapping:
            seen = self._look()
            if seen == self._seen:
                return ""
            self._seen = seen
            paths, brand = self._settings.paths, self._brand
            try:
                lexicon = read_lexicon(paths.config, brand.programme)
            except ConfigError as error:
                log.error("lexicon refused, the old one stays", problems=error.problems)
                return "lexicon refused"
            found = replace(brand, understanding=load_classifier(paths.models, lexicon))
            self._brand = self._with_a_model(found)
            log.info("classifier swapped", model=str(seen[0]), words=len(lexicon))
            return "model refused" if _is_fallback(found) else ""

    def _with_a_model(self, brand: Brand) -> Brand:
        """A model that cannot be read takes no model away that works."""
        if not _is_fallback(brand) or _is_fallback(self._brand):
            return brand
        log.error("the model that was in force stays", mend="huitou models rollback, or huitou train")
        return replace(brand, understanding=self._brand.understanding)

    def _look(self) -> tuple[Path | None, tuple[tuple[str, int, int], ...]]:
        """What tells that model or lexicon have changed: the promoted folder, and names, times and sizes of files."""
        stamps = []
        for path in _lexicon_files(self._settings.paths.config):
            with suppress(FileNotFoundError):  # gone between the two looks: the next one tells
                stat = path.stat()
                stamps.append((path.name, stat.st_mtime_ns, stat.st_size))
        return _promoted(self._settings.paths.models), tuple(stamps)


def _is_fallback(brand: Brand) -> bool:
    return getattr(brand.understanding, "version", "") == FALLBACK_MODEL


def _promoted(models: Path) -> Path | None:
    try:
        return shelf.current(models)
    except IntentsError:
        return None  # said aloud where the model is loaded


def _labelled(file: HeldOut) -> list[Labelled]:
    own = frozenset() if file.id == NONE else frozenset({file.id})
    return [
        Labelled(entry, own) if isinstance(entry, str) else Labelled(entry.text, own | set(entry.also))
        for entry in file.messages
    ]
