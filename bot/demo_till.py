"""What the demo's till can post: the sales and events by which a newcomer sets the follow-ups off."""

from __future__ import annotations

from typing import Any, Final

from bot.emulator.config import Till, TillButton

ME: Final = {"kind": "external_userid", "value": "$customer"}
GOODS: Final = (("挂耳咖啡30包", "QH-DRIP-30", 129), ("燕麦奶1升", "QH-OAT-1L", 39), ("礼盒", "QH-GIFT-A", 1288))


def till(url: str, api_key: str) -> Till:
    """The till of a demo whose service listens at this address."""
    return Till(url, api_key, (*(_sale(*one) for one in GOODS), *_others()))


def _sale(name: str, sku: str, yuan: int) -> TillButton:
    fen = yuan * 100
    order = {
        "source": "till", "external_id": "$number", "paid_at": "$now", "amount_fen": fen, "identities": [ME],
        "items": [{"sku": sku, "name": name, "amount_fen": fen}],
    }  # fmt: skip
    return TillButton(f"买{name} {yuan} 元", "POST", "/api/v1/orders", order, is_sale=True)


def _others() -> tuple[TillButton, ...]:
    def event(label: str, kind: str, **facts: Any) -> TillButton:
        return TillButton(label, "POST", "/api/v1/events", {"member": ME, "kind": kind, "facts": facts})

    points = {"member": ME, "amount": 300, "reason": "till", "expires_at": "$in_10_days"}
    return (
        TillButton("退最后一单 39 元", "POST", "/api/v1/orders/till/$last/refunds", {"amount_fen": 3900}),
        TillButton("充值 100 元", "POST", "/api/v1/stored-value/top-ups", {"member": ME, "amount_fen": 10_000}),
        TillButton("买年卡 199 元", "POST", "/api/v1/plans/coffee_year/terms", {"member": ME, "paid_fen": 19_900}),
        TillButton("送 300 积分, 10 天后到期", "POST", "/api/v1/points/earn", points),
        TillButton("记下生日: 后天", "PUT", "/api/v1/members/external_userid/$customer/birthday",
                   {"month": "$soon_month", "day": "$soon_day"}),
        event("咖啡机跑满 5000 杯", "service_due", event_name="咖啡机", url="https://work.weixin.qq.com/"),
        event("约好了来保养", "appointment_made"),
    )  # fmt: skip
