"""The 公众号: its token and its customer-service messages (wecom.md §9.2, §9.4)."""

from __future__ import annotations

from typing import Final

from bot.cache import Cache
from bot.clock import Clock
from bot.delivery_metrics import DeliveryMetrics
from bot.settings import Settings
from bot.wecom.gateway import Gateway, Line, Transport, token_in
from bot.wecom.tokens import Tokens

TEXT_BYTES: Final = 2048


def wechat_gateway(
    settings: Settings, transport: Transport, cache: Cache, clock: Clock, metrics: DeliveryMetrics
) -> Gateway:
    """The gateway of the 公众号, on its stable token: asked for again it is the same, so nobody's token dies."""
    wechat = settings.wechat
    line = Line(wechat.base_url, transport, metrics)
    secret = wechat.secret.get_secret_value()

    async def fetch() -> tuple[str, int]:
        body = {"grant_type": "client_credential", "appid": wechat.app_id, "secret": secret}
        return token_in(await line.ask("POST", "cgi-bin/stable_token", {}, body), "stable_token")

    tokens = Tokens(cache, clock, f"wechat:{wechat.app_id}", secret, fetch)
    return Gateway("wechat", line, tokens, cache, settings.deliver.api_per_min)


async def send_text(gateway: Gateway, touser: str, content: str, trace: str = "") -> None:
    """A customer-service text of at most TEXT_BYTES; 45015 and 45047 when the window is over or used up."""
    body = {"touser": touser, "msgtype": "text", "text": {"content": content}}
    await gateway.call("POST", "message/custom/send", body, trace=trace)
