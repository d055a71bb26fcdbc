"""Consent: fewer messages when asked, at once and everywhere; and back again when asked."""

from __future__ import annotations

import re
from typing import Final

from handlers.talk.turn import OptIn, OptOut, Prompt, Say, Scene, Turn

_OPT_IN: Final = re.compile(r"^(恢复|重新|继续)(接收|开启|订阅)?(提醒|消息|通知|推送|订阅)$|^开启提醒$")


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
    """Whether a message takes an opt-out back in the words the confirmation offered."""
    return bool(_OPT_IN.match(re.sub(r"[\s,，。!！]", "", text)))
