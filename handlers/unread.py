"""What is no text: each kind of message has its answer where a program may answer, and elsewhere its silence."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from handlers.talk.turn import Hush, Say, Scene, Silent, Turn

AGAIN: Final = timedelta(minutes=10)
"""Nine pictures in a row are one thing to speak of."""
REPLIES: Final = {
    "text": "not_text",
    "voice": "not_text_voice",
    "image": "not_text_image",
    "video": "not_text",
    "shortvideo": "not_text",
    "file": "not_text",
    "location": "not_text_location",
    "link": "not_text_card",
    "miniprogram": "not_text_card",
    "channels_shop_product": "not_text_card",
    "channels_shop_order": "not_text_card",
    "business_card": "not_text",
    "channels": "not_text",
    "merged_msg": "not_text",
    "meeting": "not_text",
    "schedule": "not_text",
    "calendar": "not_text",
    "note": "not_text",
    "msgmenu": "not_text",
}
"""What is answered to each kind in 微信客服 and the 公众号; a kind that is not named here is kept in silence."""
PLACEHOLDERS: Final = ("收到不支持的消息类型", "未知消息类型")
"""What the platform writes in place of what it cannot hand over, such as a sticker."""
_TITLES: Final = ("title", "Title", "product_titles", "name", "Label", "address")


def respond(turn: Turn, hushed: frozenset[str]) -> Scene:
    """Say kindly what can be done with it, once in a while; a group hears nothing."""
    kind = turn.message.kind
    name, topic = REPLIES.get(kind, ""), f"unread-{kind}"
    if not turn.is_automatic or not name:
        yield Silent(f"not text: {kind}")
    elif topic in hushed:
        yield Silent(f"not text: {kind}, spoken of a moment ago")
    else:
        yield Hush(topic, turn.now + AGAIN)
        yield Say(turn.reply(name, title=title_of(turn)))


def title_of(turn: Turn) -> str:
    """What a card, a link or a place is called, where it says so."""
    data = turn.message.data
    return next((data[name].strip()[:40] for name in _TITLES if data.get(name, "").strip()), "")


def is_placeholder(text: str) -> bool:
    """Whether a text is only the platform's word for something it cannot show."""
    return text.strip("[]【】 ").startswith(PLACEHOLDERS)
