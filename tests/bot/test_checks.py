"""`huitou check` and the brand's swap: each mistake is found with file, line and mend, and none takes effect."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bot import checks
from bot.brands import BrandHolder, Corpus, load_brand, read_corpus, read_programme
from bot.settings import Settings, SettingsError, load_settings
from bot.yaml_files import ConfigError

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """All examples of the sample configuration."""
    return read_corpus(CONFIG, read_programme(CONFIG))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Path:
    """The sample configuration with no more examples than a check asks for: reading all of them takes its time."""
    return shortened(corpus, tmp_path_factory.mktemp("short") / "config", 25)


@pytest.fixture(scope="module")
def shortest(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Path:
    """The sample configuration with one example each: a running brand does not look at them."""
    return shortened(corpus, tmp_path_factory.mktemp("shortest") / "config", 1)


def shortened(corpus: Corpus, folder: Path, count: int) -> Path:
    """A copy with so many examples a scenario."""
    for name in ("scenarios", "heldout"):
        (folder / name).mkdir(parents=True)
    for name in ("programme.yaml", "replies.yaml"):
        shutil.copy(CONFIG / name, folder)
    for one in corpus.scenarios:
        lines = [f"id: {one.id}", f"title: {one.title}", f"stage: {one.stage}", "examples:"]
        lines += [f"  - {quoted(example.text)}" for example in one.examples if not example.also][:count]
        lines += ["says:", *(f"  {channel}: {quoted(text)}" for channel, text in one.says.items())] if one.says else []
        (folder / f"scenarios/{one.id}.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    none = "".join(f"  - {quoted(text)}\n" for text in corpus.none[:310])
    (folder / "scenarios/none.yaml").write_text(f"id: none\ntitle: 无场景\nexamples:\n{none}", encoding="utf-8")
    (folder / "heldout/running_out.yaml").write_text("id: running_out\nmessages:\n  - 就剩个瓶底了\n", encoding="utf-8")
    return folder


@pytest.fixture
def running(tmp_path: Path, shortest: Path) -> Path:
    """A copy for a running brand to read again and again."""
    shutil.copytree(shortest, tmp_path / "config")
    return tmp_path / "config"


def quoted(text: str) -> str:
    """A text as YAML and JSON both write it."""
    return json.dumps(text, ensure_ascii=False)


@pytest.fixture
def config(tmp_path: Path, short: Path) -> Path:
    """A copy of the sample configuration to spoil."""
    shutil.copytree(short, tmp_path / "config")
    return tmp_path / "config"


@pytest.fixture
def found(config: Path) -> Callable[[], list[str]]:
    """What a check of the copy finds."""
    return lambda: checks.findings(lambda: settings_of(config))


def settings_of(config: Path) -> Settings:
    """Settings that point at the copy."""
    return load_settings(paths={"config": config, "models": config.parent / "models"})


def change(path: Path, old: str, new: str) -> int:
    """Put `new` for the first `old`; gives the line where that stands."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def test_a_shortened_copy_of_the_sample_is_clean(found: Callable[[], list[str]]) -> None:
    """What the tests below change has no findings before; `huitou check` itself is held to the whole sample."""
    assert found() == []


def test_a_misspelt_key_is_found(config: Path, found: Callable[[], list[str]]) -> None:
    """File, line, the key and what to do about it."""
    line = change(config / "programme.yaml", "    per_member: 2", "    per_memeber: 2")
    assert found() == [
        f"{config}/programme.yaml:{line}: rewards.0.per_memeber: no such key here; check its spelling or remove it"
    ]


def test_a_doubled_key_is_found(config: Path, found: Callable[[], list[str]]) -> None:
    """The second of two is not silently taken."""
    line = change(config / "replies.yaml", "opt_in:", 'opt_in: "一"\nopt_in:')
    (finding,) = found()
    assert finding.startswith(f"{config}/replies.yaml:{line + 1}: ") and "opt_in" in finding


def test_a_missing_and_an_unused_reply_are_found(config: Path, found: Callable[[], list[str]]) -> None:
    """A reply whose name has a slip is missing under one name and unused under the other."""
    change(config / "replies.yaml", "opt_in:", "opt_inn:")
    assert found() == [
        f"{config}/replies.yaml: reply opt_in is missing; add it",
        f"{config}/replies.yaml: reply opt_inn is used nowhere; remove it",
    ]


def test_a_broken_reply_is_found(config: Path, found: Callable[[], list[str]]) -> None:
    """A template that cannot be read names the reply."""
    change(config / "replies.yaml", "{{ quantity|default(1) }} 份", "{{ quantity|defualt(1) }} 份")
    (finding,) = found()
    assert "replies.yaml: reply redeem_" in finding and "mend the template" in finding


def test_an_unknown_and_a_missing_scenario_are_found(config: Path, found: Callable[[], list[str]]) -> None:
    """A file under a wrong name is told from both sides."""
    (config / "scenarios/complaint.yaml").rename(config / "scenarios/complain.yaml")
    told = "\n".join(found())
    assert f"{config}/scenarios/complaint.yaml: no such file; add the scenario" in told
    assert f"{config}/scenarios/complain.yaml:1: id: complaint is not the file's name" in told


def test_a_brand_adds_a_scenario_as_a_file(config: Path, found: Callable[[], list[str]]) -> None:
    """No code: one more file with enough examples and its answers is no finding; without answers it is one."""
    names = "东南西北中春夏秋冬天地玄黄宇宙洪荒日月星辰"
    texts = [f"想做{one}的代理{chr(ord(one) + 1)}" for one in names]
    lines = ["id: reseller", "title: 招商代理", "stage: conversion", "examples:", *(f"  - {text}" for text in texts)]
    path = config / "scenarios/reseller.yaml"
    path.write_text("\n".join([*lines, "says:", "  kf: 请留下城市", "  oa: 请留下城市", ""]), encoding="utf-8")
    assert found() == []
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    assert found() == [f"{path}: says: nothing for {channel}; add a reply" for channel in ("kf", "oa")]


def test_a_protected_scenario_must_be_there(config: Path) -> None:
    """A misspelt id would protect nothing."""
    settings = load_settings(
        paths={"config": config, "models": config.parent}, training={"protected": ["complaint", "complain"]}
    )
    [finding] = checks.findings(lambda: settings)
    assert finding == "training.protected: complain is no scenario; correct the id or remove it"


def test_a_held_out_message_among_the_examples_is_found(config: Path, found: Callable[[], list[str]]) -> None:
    """A sentence to be judged by is not learnt from."""
    change(config / "scenarios/running_out.yaml", "examples:\n", "examples:\n  - 就剩个瓶底了\n")
    (finding,) = found()
    assert "就剩个瓶底了" in finding and "take it out of the held-out file" in finding


def test_a_program_may_not_write_into_a_group(config: Path, found: Callable[[], list[str]]) -> None:
    """says.group is refused with the channels that are allowed, and a broken text with its place."""
    change(config / "scenarios/switch_product.yaml", "\nsays:\n", '\nsays:\n  group: "好"\n')
    change(config / "scenarios/praise_share.yaml", '\nsays:\n  kf: "', '\nsays:\n  kf: "{% if %}')
    told = "\n".join(found())
    assert "switch_product.yaml: says.group: no program may write there; use kf or oa" in told
    assert "praise_share.yaml: says.kf: " in told and "mend the template" in told


def test_a_product_with_a_cycle_and_no_offer_is_found(config: Path, found: Callable[[], list[str]]) -> None:
    """Somebody runs out of it and we would have nothing to say."""
    change(config / "programme.yaml", "    bundle: 燕麦奶1升×6瓶整箱,省18元\n", "")
    assert found() == [f"{config}/programme.yaml: product QH-OAT-1L has a cycle and no bundle; say what to offer"]


def test_mistakes_of_several_files_come_at_once(config: Path, found: Callable[[], list[str]]) -> None:
    """Whoever mends goes through one list."""
    change(config / "programme.yaml", "undo_within_min: 60", "undo_within_min: soon")
    change(config / "replies.yaml", "opt_in:", "opt_inn:")
    change(config / "scenarios/running_out.yaml", "title:", "titel:")
    told = "\n".join(found())
    assert all(part in told for part in ("undo_within_min", "opt_inn", "titel"))


def test_a_receiver_without_token_or_key_is_found(config: Path) -> None:
    """Each with the variable to set."""
    settings = load_settings(
        paths={"config": config, "models": config.parent}, wecom={"receivers": {"kf": {"aes_key": "short"}}}
    )
    assert checks.findings(lambda: settings) == [
        "wecom.receivers.kf: no token; set HUITOU_WECOM__RECEIVERS__KF__TOKEN",
        "wecom.receivers.kf: AES key of 5 characters, not 43; set HUITOU_WECOM__RECEIVERS__KF__AES_KEY",
        "wecom.corp_id is empty; set HUITOU_WECOM__CORP_ID",
    ]


def test_settings_that_cannot_be_read_are_a_finding() -> None:
    """The check does not fail, it tells."""

    def broken() -> Settings:
        raise SettingsError("web.port: not a number\nweb.prot: no such key")

    assert checks.findings(broken) == ["web.port: not a number", "web.prot: no such key"]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("programme.yaml", "cost_points: 800", "cost_points: many"),
        ("programme.yaml", "per_member:", "per_memeber:"),
        ("replies.yaml", "opt_in:", "opt_inn:"),
        ("replies.yaml", 'hint: "', 'hint: "{{ '),
        ("scenarios/running_out.yaml", "title:", "titel:"),
        ("scenarios/praise_share.yaml", '\nsays:\n  kf: "', '\nsays:\n  kf: "{% if %}'),
        ("scenarios/praise_share.yaml", '\nsays:\n  kf: "', '\nsays:\n  group: "'),
        ("scenarios/check_in.yaml", "id: check_in", "id: checkin"),
    ],
)
def test_a_faulty_change_is_refused_and_the_old_one_stays(file: str, old: str, new: str, running: Path) -> None:
    """The running brand is the same object as before, the log names the file; mended, the new one is taken."""
    holder = BrandHolder(settings_of(running))
    before = holder()
    kept = (running / file).read_text(encoding="utf-8")
    change(running / file, old, new)
    with capture_logs() as lines:
        assert not holder.reload()
    assert holder() is before
    assert any(Path(file).name in str(line.get("problems")) for line in lines)
    (running / file).write_text(kept.replace("name: 青禾\n", "name: 青禾二店\n"), encoding="utf-8")
    assert holder.reload() and holder() is not before


def test_a_configuration_that_is_half_there_is_refused(running: Path) -> None:
    """A deployment that has not copied the scenarios yet does not take them away from the running brand."""
    holder = BrandHolder(settings_of(running))
    shutil.rmtree(running / "scenarios")
    assert not holder.reload()
    assert holder().title("running_out") == "食用周期结束"


def test_a_start_with_a_faulty_configuration_says_where(running: Path) -> None:
    """No brand without all of its files in order."""
    line = change(running / "programme.yaml", "points_name: 积分", "point_name: 积分")
    with pytest.raises(ConfigError, match=rf"programme.yaml:{line}: point_name"):
        load_brand(settings_of(running))


def test_a_broken_model_leaves_keywords_and_an_alarm(running: Path) -> None:
    """Understanding degrades, the service runs, the log says what to do."""
    folder = running.parent / "models/0001"
    folder.mkdir(parents=True)
    (folder.parent / "current.json").write_text('{"promoted": [1]}')
    with capture_logs() as lines:
        brand = load_brand(settings_of(running))
    assert brand.understanding.classify(["快吃完了"], ["group"])[0].degraded
    assert any(line.get("mend") == "huitou train" for line in lines)


@pytest.mark.parametrize("pointer", ["{", "[]", '{"promoted": [7]}'])
def test_a_broken_pointer_is_no_end(pointer: str, running: Path) -> None:
    """A damaged or dangling pointer to the model degrades understanding as well."""
    folder = running.parent / "models"
    folder.mkdir()
    (folder / "current.json").write_text(pointer)
    with capture_logs() as lines:
        holder = BrandHolder(settings_of(running))
        holder.follow()
    assert holder().understanding.classify(["快吃完了"], ["group"])[0].degraded
    assert any(line["log_level"] == "error" for line in lines)


def with_rewards(folder: Path, *rewards: str) -> Path:
    """The sample's programme with these rewards behind its own."""
    path = folder / "programme.yaml"
    lines = "".join(f"  - {reward}\n" for reward in rewards)
    path.write_text(path.read_text(encoding="utf-8") + lines, encoding="utf-8")
    return folder


def test_a_link_or_page_without_its_key_is_found(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reward that jumps with a token, or to a page of ours, says which setting it lacks; set, all is fine."""
    folder = with_rewards(
        running,
        "{id: film, name: 电影票, cost_points: 50, way: link, link: 'https://shop.example/claim?t={token}'}",
        "{id: tour, name: 参观券, cost_points: 50, way: page}",
    )

    def said() -> list[str]:
        return [line for line in checks.findings(lambda: load_settings(paths={"config": folder})) if "rewards" in line]

    film, tour = said()
    assert "'film'" in film and "'tour'" in tour and all("HUITOU_REWARDS__SECRET" in line for line in (film, tour))
    monkeypatch.setenv("HUITOU_REWARDS__SECRET", "k" * 32)
    monkeypatch.setenv("HUITOU_REWARDS__PAGE_URL", "https://shop.example/mine?t=")
    assert said() == []
    links = load_brand(load_settings(paths={"config": folder})).links
    assert links is not None and links.page_url == "https://shop.example/mine?t="
    monkeypatch.setenv("HUITOU_REWARDS__RED_PACKET_ADAPTER", "pay")
    assert "HUITOU_FOLLOWUP__ADAPTERS__PAY__URL" in said()[0]
    monkeypatch.setenv("HUITOU_REWARDS__SECRET", "short")
    with pytest.raises(SettingsError, match="32 random bytes"):
        load_settings()


def test_red_packets_that_nobody_pays_are_noticed(running: Path) -> None:
    """No finding, as they can be fetched by the API; but said."""
    folder = with_rewards(running, "{id: packet, name: 红包, cost_points: 50, way: red_packet, value_fen: 100}")
    told = checks.notices(lambda: load_settings(paths={"config": folder}))
    assert [line for line in told if "red_packet_adapter" in line]


def test_what_the_service_would_refuse_is_found(running: Path) -> None:
    """Knowledge of a product that is gone, a gift that is gone, a faulty plan: the check says so before the start."""
    for folder in ("knowledge", "followups"):
        (running / folder).mkdir()
    shutil.copy(CONFIG / "knowledge/QH-TEA-20.yaml", running / "knowledge")
    shutil.copy(CONFIG / "followups/inactive_recall.yaml", running / "followups")
    programme = running / "programme.yaml"
    written = programme.read_text(encoding="utf-8")
    programme.write_text(written.replace("QH-TEA-20", "QH-TEA-21").replace("id: ten_off", "id: five_off"), "utf-8")
    (running / "appointments.yaml").write_text("place: 青禾\nslots: 30\n", encoding="utf-8")
    found = checks.findings(lambda: load_settings(paths={"config": running}))
    for words in ("knowledge/QH-TEA-20.yaml:1: sku", "no coupon 'ten_off'", "appointments.yaml:2"):
        assert any(words in line for line in found), words
