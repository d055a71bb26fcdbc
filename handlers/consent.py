"""Consent: fewer messages when asked, at once and everywhere; and back again when asked."""

from __future__ import annotations

import re
from typing import Final

from handlers.talk.turn import OptIn, OptOut, Prompt, Say, Scene, Turn

_OPT_IN: Final = re.compile(
    r"(?:那|我|还是|想|要|请|麻烦|帮我|给我|你们?|可以|又|现在|能不能|能)*(?:恢复|重新|继续|开启|打开|再)"
    r"(?:接收|接受|收|开启|打开|订阅|发|推送|给我|发给我|一下|我的)*(?:(?:消息|活动)?(?:提醒|消息|通知|推送|订阅))"
    r"(?:给我)?(?:吧|了|吗|一下|啊|呀)*"
)


def stop(turn: Turn) -> Scene:
    """别再群发了: effective at once, confirmed once, and the rep is told to keep to it."""
    yield OptOut()
    if turn.is_automatic:
        yield Say(turn.reply("opt_out"))
    else:
        yield Prompt("opt_out", "客户不希望再被打扰", turn.reply("rep_opt_out"))


def resume(turn: Turn) -> Scene:
    """恢复提醒: the person wants follow-ups again."""
    yield OptIn()
    yield Say(turn.reply("opt_in"))


def asks_to_resume(text: str) -> bool:
    """Whether a message takes an opt-out back: 恢复提醒, 还是恢复消息提醒吧; never where it holds a no."""
    return bool(_OPT_IN.fullmatch(re.sub(r"[\s,，。!！]", "", text)))
