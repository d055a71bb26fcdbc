"""One refresher per secret, one repeat per call, never a loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog

from bot.cache import LocalCache
from bot.delivery_metrics import DeliveryMetrics
from bot.settings import Settings
from bot.wechat.gateway import wechat_gateway
from bot.wecom.errors import ApiRefused, BadAnswer, LimitReached, TokenRefused, Unreachable
from bot.wecom.gateway import Gateway, wecom_gateway
from bot.wecom.tokens import Tokens


@pytest.fixture
def gateway(settings: Settings, platform: Any, clock: Any, metrics_registry: Any) -> Gateway:
    """The app's gateway over the double."""
    return wecom_gateway(settings, platform, LocalCache(clock), clock, DeliveryMetrics(metrics_registry))


async def _many(gateway: Gateway, count: int) -> list[Any]:
    return await asyncio.gather(*(gateway.call("POST", "kf/send_msg", {}) for _ in range(count)))


def test_twenty_calls_fetch_one_token(gateway: Gateway, platform: Any, run: Any) -> None:
    """Twenty calls at once on an empty cache ask for one token and all use it."""
    platform.delay_s = 0.01
    run(_many(gateway, 20))
    assert platform.tokens == 1
    assert {call.params["access_token"] for call in platform.called("kf/send_msg")} == {"tok-1"}


@pytest.mark.parametrize("errcode", [40014, 42001, 40001])
def test_a_dead_token_is_replaced_once_under_twenty_calls(
    gateway: Gateway, platform: Any, run: Any, errcode: int
) -> None:
    """When the token dies under twenty calls, one new one is fetched and each call is repeated once and succeeds."""

    async def go() -> None:
        await gateway.call("GET", "externalcontact/get")
        platform.delay_s = 0.01
        dead = {"errcode": errcode, "errmsg": "invalid access_token"}
        platform.will_answer("kf/send_msg", *[dead] * 20)
        await _many(gateway, 20)

    run(go())
    assert platform.tokens == 2
    used = [call.params["access_token"] for call in platform.called("kf/send_msg")]
    assert used == ["tok-1"] * 20 + ["tok-2"] * 20


def test_a_fresh_token_refused_too_is_configuration(gateway: Gateway, platform: Any, run: Any) -> None:
    """42001 once more with the new token ends the call as a matter of configuration, after exactly two tries."""
    platform.will_answer("kf/send_msg", *[{"errcode": 42001, "errmsg": "expired"}] * 9)
    with pytest.raises(TokenRefused, match="42001"):
        run(gateway.call("POST", "kf/send_msg", {}))
    assert len(platform.called("kf/send_msg")) == 2
    assert platform.tokens == 2


def test_a_token_another_process_has_replaced_is_used(clock: Any, run: Any) -> None:
    """Whoever lost its token finds the new one in the cache; the same value fetched again counts as new."""
    fetched: list[str] = []

    async def fetch() -> tuple[str, int]:
        fetched.append("tok-1")
        return "tok-1", 7200

    async def go() -> None:
        cache = LocalCache(clock)
        one, other = (Tokens(cache, clock, "wecom:ww1", "s", fetch) for _ in range(2))
        old = await one.get()
        assert await other.get() == old
        new = await one.renew(old)
        assert new.version != old.version
        assert await other.renew(old) == new

    run(go())
    assert len(fetched) == 2


def test_a_token_is_renewed_before_it_ends(gateway: Gateway, platform: Any, clock: Any, run: Any) -> None:
    """With 300 s left the token is still used; with less a new one is fetched."""

    async def go() -> None:
        await gateway.call("GET", "externalcontact/get")
        clock.push(seconds=6900)
        await gateway.call("GET", "externalcontact/get")
        assert platform.tokens == 1
        clock.push(seconds=1)
        await gateway.call("GET", "externalcontact/get")

    run(go())
    assert platform.tokens == 2


def test_a_short_lived_token_is_not_fetched_for_each_call(
    gateway: Gateway, platform: Any, clock: Any, run: Any
) -> None:
    """The platform may give the same token again with seconds left: it is asked once in half a minute."""
    platform.lives_s = 100

    async def go() -> None:
        for _ in range(10):
            await gateway.call("GET", "externalcontact/get")
        assert platform.tokens == 1
        clock.push(seconds=31)
        await gateway.call("GET", "externalcontact/get")

    run(go())
    assert platform.tokens == 2


def test_a_wrong_secret_is_not_asked_with_again_at_once(gateway: Gateway, platform: Any, clock: Any, run: Any) -> None:
    """Repeated wrong secrets get the caller blocked, so the refusal is remembered for a minute."""
    platform.will_answer("gettoken", *[{"errcode": 40001, "errmsg": "invalid credential"}] * 2)

    async def go() -> None:
        for _ in range(5):
            with pytest.raises(TokenRefused, match="40001"):
                await gateway.call("GET", "externalcontact/get")
        clock.push(seconds=61)
        with pytest.raises(TokenRefused):
            await gateway.call("GET", "externalcontact/get")

    run(go())
    assert len(platform.called("gettoken")) == 2
    assert not platform.called("externalcontact/get")


def test_a_busy_token_endpoint_is_no_wrong_secret(gateway: Gateway, platform: Any, run: Any) -> None:
    """-1 and a time-out at gettoken are tried again with the next call."""
    platform.will_answer("gettoken", {"errcode": -1, "errmsg": "system busy"}, TimeoutError(), b'{"errcode":0}')

    async def go() -> None:
        for error in (ApiRefused, Unreachable, BadAnswer):
            with pytest.raises(error):
                await gateway.call("GET", "externalcontact/get")
        await gateway.call("GET", "externalcontact/get")

    run(go())


def test_the_official_account_uses_its_stable_token(
    settings: Settings, platform: Any, clock: Any, metrics_registry: Any, run: Any
) -> None:
    """The 公众号 asks stable_token by POST, so that nobody else's token dies of it."""
    gateway = wechat_gateway(settings, platform, LocalCache(clock), clock, DeliveryMetrics(metrics_registry))
    run(gateway.call("POST", "message/custom/send", {"touser": "o1"}))
    asked = platform.called("stable_token")[0]
    assert asked.body == {"grant_type": "client_credential", "appid": "wx1", "secret": "oa-secret"}
    assert asked.params == {}


def test_we_stop_before_the_platform_does(
    settings: Settings, platform: Any, clock: Any, metrics_registry: Any, run: Any
) -> None:
    """Calls of one API beyond our limit a minute are not made; the error knows when the window opens."""
    settings.deliver.api_per_min = 3
    gateway = wecom_gateway(settings, platform, LocalCache(clock), clock, DeliveryMetrics(metrics_registry))

    async def go() -> None:
        for _ in range(3):
            await gateway.call("POST", "kf/send_msg", {})
        clock.push(seconds=20)
        with pytest.raises(LimitReached) as caught:
            await gateway.call("POST", "kf/send_msg", {})
        assert caught.value.wait_s == 40
        await gateway.call("POST", "message/send", {})
        clock.push(seconds=40)
        await gateway.call("POST", "kf/send_msg", {})

    run(go())
    assert len(platform.called("kf/send_msg")) == 4


def test_neither_token_nor_secret_nor_person_is_logged(gateway: Gateway, platform: Any, run: Any) -> None:
    """A log line tells endpoint, errcode, time and trace, and nothing that opens a door or names a person."""
    platform.will_answer("kf/send_msg", ConnectionError("http://x/?access_token=tok-1"))

    async def go() -> None:
        await gateway.call("POST", "message/send", {"touser": "liuyang", "text": {"content": "李雷 13800000000"}})
        with pytest.raises(Unreachable):
            await gateway.call("POST", "kf/send_msg", {"touser": "wmAAAA0001"}, trace="t-7")

    with structlog.testing.capture_logs() as lines:
        run(go())
    said = str(lines)
    assert "kf/send_msg" in said and "t-7" in said and "'ms'" in said
    assert not [word for word in ("tok-1", "app-secret", "liuyang", "13800000000", "wmAAAA0001") if word in said]
