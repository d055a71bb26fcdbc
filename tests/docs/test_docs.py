"""Docs are tested: what exists stands in the reference, what the docs name exists, and every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import pytest
import typer.main
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from bot.cli import app
from bot.delivery_metrics import DeliveryMetrics
from bot.metrics import CallbackMetrics
from bot.sending import KINDS
from bot.settings import Settings
from bot.tables import METADATA
from bot.wecom.errors import ErrorClass
from bot.work_metrics import WorkMetrics
from intents.scenarios import SCENARIO_IDS

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FORBIDDEN = re.compile(
    r"(?<![\w>}/])/(?:work|tmp|root|home|Users)\b|\bsession ids?\b|\bagents?\b|\bLLMs?\b|\bAI\b", re.IGNORECASE
)
HOSTS = {"127.0.0.1", "work.weixin.qq.com", "mp.weixin.qq.com", "qyapi.weixin.qq.com", "api.weixin.qq.com"}
"""Whom the docs may name: this machine and the platform. Package registries and mirrors are each reader's own."""
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def text_of(page: Path) -> str:
    """A page as it stands."""
    return page.read_text(encoding="utf-8")


def commands() -> dict[str, Any]:
    """Every command by the words a person types: "models promote" and its definition."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        yield " ".join(words), command
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*words, name))

    return dict(walk(typer.main.get_command(app), ()))


def options_of(command: Any) -> set[str]:
    """Every option of a command, switches in both forms; --help belongs to all."""
    found = {option for item in command.params for option in (*item.opts, *item.secondary_opts)}
    return {option for option in found if option.startswith("--")} | {"--help"}


def settings_keys(model: type[BaseModel], trail: tuple[str, ...] = ()) -> Iterator[str]:
    """Every key as the reference writes it: section.key, with * for a name that the brand chooses."""
    for name, field in model.model_fields.items():
        inner = [field.annotation, *get_args(field.annotation)]
        kind = next((one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)), None)
        if kind is None:
            yield ".".join((*trail, name))
        elif get_origin(field.annotation) in (None, UnionType):
            yield from settings_keys(kind, (*trail, name))
        else:
            yield ".".join((*trail, name))
            yield from settings_keys(kind, (*trail, name, "*"))


def metric_names() -> list[str]:
    """Every metric of every part, named as /metrics shows it."""
    registry = CollectorRegistry()
    CallbackMetrics(registry)
    WorkMetrics(registry, DeliveryMetrics(registry).alarm)
    return [item.name + ("_total" if item.type == "counter" else "") for item in registry.collect()]


def sections(page: Path) -> dict[str, str]:
    """The text below each second-level heading."""
    parts = re.split(r"^## (.+)$", text_of(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchors_of(page: Path) -> set[str]:
    """The anchors that headings of a page get when it is shown."""
    outside = FENCE.sub("", text_of(page))
    headings = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows_of(page: Path) -> set[str]:
    """What stands as code in the first cell of each table row."""
    return set(re.findall(r"^\| `([^`]+)`", text_of(page), re.MULTILINE))


def test_every_command_and_option_stands_in_the_reference() -> None:
    """`huitou --help` shows nothing that the reference does not explain, and the other way round."""
    told = sections(REFERENCE / "commands.md")
    for words, command in commands().items():
        if not words or hasattr(command, "commands"):
            continue
        section = told[f"huitou {words.split()[0]}"]
        assert f"huitou {words}" in section or " " not in words, f"huitou {words} is missing in commands.md"
        for option in options_of(command) - {"--help"}:
            assert f"`{option}`" in section, f"{option} of huitou {words} is missing in commands.md"
    assert {name.removeprefix("huitou ") for name in told} == {words.split()[0] for words in commands() if words}


def test_the_reference_invents_no_option() -> None:
    """An option that was taken out leaves the reference too."""
    for title, section in sections(REFERENCE / "commands.md").items():
        name = title.removeprefix("huitou ")
        known = {o for words, command in commands().items() if words.split()[:1] == [name] for o in options_of(command)}
        assert set(re.findall(r"^\| `(--[a-z-]+)`", section, re.MULTILINE)) <= known, title


def test_every_setting_stands_in_the_reference_and_no_other() -> None:
    """Each key has its row; a row for a key that is gone would mislead."""
    assert rows_of(REFERENCE / "settings.md") == set(settings_keys(Settings))


def test_the_reference_tells_the_default_of_each_setting() -> None:
    """A number or text that is the default in code is the default in the row."""
    rows = dict(re.findall(r"^\| `([^`]+)` \| ([^|]*) \|", text_of(REFERENCE / "settings.md"), re.MULTILINE))
    for section, field in Settings.model_fields.items():
        for name, inner in field.annotation.model_fields.items():  # type: ignore[union-attr]
            default = inner.get_default(call_default_factory=True)
            told = rows[f"{section}.{name}"].strip().strip("`")
            if isinstance(default, int | float | str | Path) and str(default):
                assert told == str(default), f"{section}.{name} is {default}, told as {told}"


def test_every_scenario_stands_in_the_reference_and_no_other() -> None:
    """Scripts may rely on these names."""
    assert rows_of(REFERENCE / "scenarios.md") == set(SCENARIO_IDS)


def test_every_metric_stands_in_the_reference() -> None:
    """What is scraped is explained, and nothing is explained that is not there."""
    told = {row for row in rows_of(REFERENCE / "metrics.md") if re.fullmatch(r"[a-z_]+", row)}
    assert told - {"worker"} == set(metric_names())


def test_every_outbox_kind_and_error_class_stands_in_the_reference() -> None:
    """Whoever reads a row of the outbox finds what its words mean."""
    assert rows_of(REFERENCE / "outbox.md") == set(KINDS) | {str(group) for group in ErrorClass}


def test_every_table_stands_in_the_reference_and_no_other() -> None:
    """The database holds nothing that is not explained."""
    assert rows_of(REFERENCE / "tables.md") == set(METADATA.tables)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file that is there and, behind #, a heading of it."""
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page.name}: {link} leads nowhere"
        assert not anchor or anchor in anchors_of(target), f"{page.name}: {link} has no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    """A page nobody links to is a page nobody reads."""
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = [link.partition("#")[0] for link in LINK.findall(text_of(page)) if not link.startswith("http")]
        waiting += [(page.parent / link).resolve() for link in links if link]
    assert set(PAGES) <= seen


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_in_the_docs_exist(page: Path) -> None:
    """What a reader copies is a command with options it has."""
    known = commands()
    code = [line for _, block in FENCE.findall(text_of(page)) for line in block.splitlines()]
    code += re.findall(r"`([^`\n]+)`", FENCE.sub("", text_of(page)))
    for line in code:
        for call in re.findall(r"(?:^|[;&(|/] ?|\d: |`|=\S+ )huitou ([a-z]+[^;&|)]*)", line.strip()):
            words = call.split()
            name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
            assert name in known, f"{page.name}: there is no huitou {name}"
            inner = getattr(known[name], "commands", None)
            assert not inner or len(words) == 1, f"{page.name}: there is no huitou {call}"
            assert set(OPTION.findall(call)) <= options_of(known[name]), f"{page.name}: huitou {call}"


def test_the_readme_begins_with_the_two_commands() -> None:
    """A newcomer sees the demo with the first line they copy, and the tests with the second."""
    language, block = FENCE.findall(text_of(ROOT / "README.md"))[0]
    assert (language, block.split("\n")) == ("bash", ["make demo", "make test", ""])
    targets = text_of(ROOT / "Makefile")
    assert re.search(r"^demo:", targets, re.MULTILINE) and re.search(r"^test:", targets, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_make_targets_in_the_docs_exist(page: Path) -> None:
    """`make bench` in a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text_of(page), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_in_the_docs_exist(page: Path) -> None:
    """A path of ours named as code is there; one a reader is told to write is named in the same page's block."""
    told = re.findall(r"`((?:bot|handlers|intents|loyalty|config|tests|benchmarks|docs)/[\w./]+\.\w+)`", text_of(page))
    to_write = {"config/scenarios/reseller.yaml", "config/heldout/reseller.yaml"}
    missing = [path for path in told if path not in to_write and not (ROOT / path).is_file()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_environment_names_in_the_docs_are_settings(page: Path) -> None:
    """A variable a reader sets has an effect."""
    keys = {"HUITOU_" + key.upper().replace(".", "__").replace("*", "[A-Z0-9]+") for key in settings_keys(Settings)}
    keys |= {"HUITOU_API__API_KEYS__[A-Z]+", "HUITOU_ARCHIVE__PRIVATE_KEYS__1"}
    keys |= {"HUITOU_SETTINGS", "HUITOU_TEST_POSTGRES", "HUITOU_SECTION__KEY"}
    found = set(re.findall(r"\bHUITOU_[A-Z0-9_]*[A-Z0-9]\b", text_of(page)))
    assert [name for name in sorted(found) if not any(re.fullmatch(key, name) for key in keys)] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_pages_hold_no_word_that_belongs_elsewhere(page: Path) -> None:
    """No path of somebody's machine, no host beside the platform's, no word of how the page came to be."""
    assert FORBIDDEN.findall(text_of(page)) == []
    named = re.findall(r"https?://([\w.-]+)", text_of(page)) + re.findall(r"\b[\w-]+\.(?:io|org|net)\b", text_of(page))
    assert set(named) <= HOSTS


def test_decisions_are_numbered_and_listed() -> None:
    """docs/why: one page a decision, numbers without a gap, each in the list."""
    pages = sorted((ROOT / "docs" / "why").glob("0*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    listed = LINK.findall(text_of(ROOT / "docs" / "why" / "README.md"))
    assert listed == [page.name for page in pages]
    for page in pages:
        assert text_of(page).startswith(f"# {page.name[:4]} "), page.name
        assert "**Why.**" in text_of(page) and "**What it costs.**" in text_of(page), page.name
