"""Tokens: the same inside their life, the right code for each way to be wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.emulator.limits import Frequency
from bot.emulator.seed import APP_SECRET, CORP_ID

Platform = Any


def test_same_token_inside_its_life(platform: Platform) -> None:
    """Asking again gives the same token with the seconds that remain; after 7200 s a new one."""
    ask = {"corpid": CORP_ID, "corpsecret": APP_SECRET}
    first = platform.raw("GET", "gettoken", ask)
    platform.clock.push(1000)
    second = platform.raw("GET", "gettoken", ask)
    assert second["access_token"] == first["access_token"]
    assert 6190 <= second["expires_in"] <= 6200
    platform.clock.push(6300)
    assert platform.token() != first["access_token"]


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({"corpid": CORP_ID, "corpsecret": "wrong"}, 40001),
        ({"corpid": "ww9", "corpsecret": APP_SECRET}, 40013),
        ({"corpsecret": APP_SECRET}, 41002),
        ({"corpid": CORP_ID}, 41004),
    ],
)
def test_gettoken_refusals(platform: Platform, query: dict[str, str], errcode: int) -> None:
    """A wrong secret, a wrong corp and missing words each have their code."""
    assert platform.raw("GET", "gettoken", query)["errcode"] == errcode


def test_missing_unknown_expired(platform: Platform) -> None:
    """No token is 41001, an unknown one 40014, an expired one 42001."""
    token = platform.token()
    assert platform.raw("GET", "getcallbackip", {})["errcode"] == 41001
    assert platform.raw("GET", "getcallbackip", {"access_token": "tok-x"})["errcode"] == 40014
    assert platform.raw("GET", "getcallbackip", {"access_token": token})["errcode"] == 0
    assert platform.act("expire_token") == {"expired": 1}
    assert platform.raw("GET", "getcallbackip", {"access_token": token})["errcode"] == 42001
    assert platform.token() != token


def test_scope_of_a_secret(platform: Platform, archive_secret: str) -> None:
    """An app token may not read the archive's side, nor the archive's token the customers: 48002."""
    assert platform.call("msgaudit/get_permit_user_list")["errcode"] == 48002
    assert platform.call("msgaudit/get_permit_user_list", archive_secret)["ids"] == ["liuyang", "wangli"]
    assert platform.get("externalcontact/get_follow_user_list", archive_secret)["errcode"] == 48002


def test_trusted_ip(platform: Platform) -> None:
    """A caller outside the trusted IPs gets 60020."""
    platform.act("trusted_ips", ips=["203.0.113.9"])
    assert platform.get("getcallbackip")["errcode"] == 60020


def test_stable_and_classic_tokens_differ(platform: Platform) -> None:
    """The stable token stays, the classic one is new on each call and the old one dies in five minutes."""
    oa = platform.state.config.oa
    ask = {"grant_type": "client_credential", "appid": oa.appid, "secret": oa.secret}
    stable = [platform.raw("POST", "stable_token", {}, json.dumps(ask).encode(), True) for _ in range(2)]
    assert stable[0]["access_token"] == stable[1]["access_token"]
    first, second = (platform.raw("GET", "token", ask, is_oa=True)["access_token"] for _ in range(2))
    assert first != second
    person = {"access_token": first, "openid": "oOPENID0001"}
    assert platform.raw("GET", "user/info", person, is_oa=True)["unionid"] == "oUNION0001"
    platform.clock.push(301)
    assert platform.raw("GET", "user/info", person, is_oa=True)["errcode"] == 42001
    assert platform.raw("GET", "user/info", person | {"access_token": second}, is_oa=True)["errcode"] == 0


def test_frequency_blocks_for_one_window(platform: Platform) -> None:
    """Over the minute's limit an API answers 45009 for a minute, then works again."""
    token = {"access_token": platform.token()}
    platform.wait_for_the_minute()
    platform.act("limits", api_per_min=2)
    assert [platform.raw("GET", "getcallbackip", token)["errcode"] for _ in range(3)] == [0, 0, 45009]
    platform.clock.push(30)
    assert platform.raw("GET", "getcallbackip", token)["errcode"] == 45009
    platform.clock.push(31)
    assert platform.raw("GET", "getcallbackip", token)["errcode"] == 0


def test_frequency_keys_are_apart() -> None:
    """One key's flood does not block another."""
    frequency = Frequency()
    assert [frequency.allow("a", 1, 60, 0.0) for _ in range(2)] == [True, False]
    assert frequency.allow("b", 1, 60, 0.0)


def test_body_that_is_not_json(platform: Platform) -> None:
    """Broken JSON and a wrong method are 40058, an API the emulator lacks 48004; never an exception."""
    token = {"access_token": platform.token()}
    assert platform.raw("POST", "kf/sync_msg", token, b"{")["errcode"] == 40058
    assert platform.raw("GET", "kf/sync_msg", token)["errcode"] == 40058
    assert platform.raw("POST", "kf/no_such", token, b"{}")["errcode"] == 48004
    assert platform.call("externalcontact/add_msg_template", text="not an object")["errcode"] == 40058
