"""Settings: from the file and the environment, secrets never from the file, errors that name what to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.settings import SettingsError, load_settings


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file of the test's own; the environment knows nothing else of ours."""
    path = tmp_path / "settings.toml"
    path.write_text("")
    monkeypatch.setenv("HUITOU_SETTINGS", str(path))
    return path


def refusal() -> str:
    """What the settings are refused with."""
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value)


def test_defaults_hold_where_nothing_is_said(file: Path) -> None:
    """An empty file is a service on SQLite at this machine's port 8000."""
    settings = load_settings()
    assert settings.storage.url.get_secret_value() == "sqlite:///var/huitou.db"
    assert (settings.web.host, settings.web.port) == ("127.0.0.1", 8000)


def test_the_environment_goes_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may differ without a change in git; the other keys of the section stay the file's."""
    file.write_text('[web]\nport = 9000\nhost = "0.0.0.0"\n')
    monkeypatch.setenv("HUITOU_WEB__PORT", "9100")
    assert (load_settings().web.port, load_settings().web.host) == (9100, "0.0.0.0")


def test_receivers_come_from_the_environment_by_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each callback address has its own token and key, three levels deep; its mode may stand in the file."""
    file.write_text('[wechat.receivers.shop]\nmode = "plain"\n')
    for name, value in {
        "HUITOU_WECOM__RECEIVERS__APP__TOKEN": "t1", "HUITOU_WECOM__RECEIVERS__APP__AES_KEY": "A" * 43,
        "HUITOU_WECOM__RECEIVERS__KF__TOKEN": "t2", "HUITOU_WECHAT__RECEIVERS__SHOP__TOKEN": "t3",
        "HUITOU_API__API_KEYS__TILL": "k1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert {name: one.token.get_secret_value() for name, one in settings.wecom.receivers.items()} == {
        "app": "t1",
        "kf": "t2",
    }
    assert settings.wechat.receivers["shop"].mode == "plain"
    assert settings.wechat.receivers["shop"].token.get_secret_value() == "t3"
    assert settings.api.api_keys["till"].get_secret_value() == "k1"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[wecom]\nsecret = "s3cr3t"', "HUITOU_WECOM__SECRET"),
        ('[wecom.receivers.app]\ntoken = "s3cr3t"', "HUITOU_WECOM__RECEIVERS__APP__TOKEN"),
        ('[wecom.receivers.app]\naes_key = "s3cr3t"', "HUITOU_WECOM__RECEIVERS__APP__AES_KEY"),
        ('[api.api_keys]\ntill = "s3cr3t"', "HUITOU_API__API_KEYS"),
        ('[archive.private_keys]\n1 = "s3cr3t"', "HUITOU_ARCHIVE__PRIVATE_KEYS"),
        ('[wechat]\nsecret = "s3cr3t"', "HUITOU_WECHAT__SECRET"),
    ],
)
def test_a_secret_in_the_file_is_refused(text: str, name: str, file: Path) -> None:
    """It names the file and the variable to set instead, and does not repeat the secret."""
    file.write_text(text)
    said = refusal()
    assert str(file) in said and name in said and "s3cr3t" not in said


def test_no_password_in_the_file_either(file: Path) -> None:
    """A database address with a password is a secret."""
    file.write_text('[storage]\nurl = "postgresql://huitou:s3cr3t@db/huitou"')
    said = refusal()
    assert "HUITOU_STORAGE__URL" in said and "s3cr3t" not in said


def test_a_database_address_without_a_password_may_stand_in_the_file(file: Path) -> None:
    """Where no password is in it, it is no secret."""
    file.write_text('[storage]\nurl = "postgresql://huitou@db/huitou"\nredis_url = "redis://cache:6379/0"')
    assert load_settings().storage.url.get_secret_value().endswith("@db/huitou")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[web]\nprot = 1", "web.prot"),
        ("[wbe]\nport = 1", "wbe"),
        ('[web]\nport = "many"', "web.port"),
        ("[followup]\nquiet_from_h = 24", "followup.quiet_from_h"),
    ],
)
def test_a_misspelt_or_wrong_key_is_named(text: str, place: str, file: Path) -> None:
    """The key, the file it stands in, and the variable that would set it."""
    file.write_text(text)
    said = refusal()
    assert place in said and str(file) in said and "HUITOU_" + place.upper().replace(".", "__") in said


def test_all_that_is_wrong_is_said_at_once(file: Path) -> None:
    """Two mistakes, two lines."""
    file.write_text('[web]\nport = "many"\n[work]\nbatch = "few"\n')
    assert len(refusal().splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HUITOU_WEB__PORT", "many"),
        ("HUITOU_WEB__PROT", "1"),
        ("HUITOU_WECOM__KF_ACCOUNTS", "wk1,wk2"),
        ("HUITOU_FOLLOWUP__TIMEZONE", "Asia/Shangai"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person typed in the environment is told back by its own name."""
    monkeypatch.setenv(name, value)
    assert name in refusal().upper()


def test_a_broken_file_names_its_line(file: Path) -> None:
    """Not TOML: the file and the line, as one of our errors."""
    file.write_text("[web]\nport = = 1\n")
    said = refusal()
    assert str(file) in said and "line 2" in said


def test_a_file_that_is_asked_for_and_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip in HUITOU_SETTINGS does not start the service on defaults."""
    monkeypatch.setenv("HUITOU_SETTINGS", str(tmp_path / "settigns.toml"))
    assert "settigns.toml" in refusal()


def test_equal_quiet_hours_are_refused(file: Path) -> None:
    """From nine to nine is no hour or every hour: choose two."""
    file.write_text("[followup]\nquiet_from_h = 9\nquiet_to_h = 9\n")
    assert "choose two" in refusal()


def test_a_notice_that_would_be_sent_again_is_refused(file: Path) -> None:
    """What was told of a lapse is kept until the points have lapsed."""
    file.write_text("[api]\nlapse_notice_days = 60\n")
    assert "keep_events_days" in refusal()


def test_secrets_do_not_print(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings may land in a traceback: the secret does not."""
    monkeypatch.setenv("HUITOU_WECOM__SECRET", "s3cr3t")
    assert "s3cr3t" not in repr(load_settings())
