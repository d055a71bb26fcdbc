"""Check-in: counted once a local day with its streak; told in private, silent in a group."""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy.orm import Session

from handlers.talk.turn import Say, Scene, Silent, Turn, Write
from loyalty import activities
from loyalty.activities import ActivityOutcome
from loyalty.behaviours import Behaviour

KIND: Final = "check_in"
_SPEAKS: Final = re.compile(r"打卡|签|簽|dk|day|报到|打个卡|断|补|第.{1,4}天", re.IGNORECASE)
_ASKS: Final = re.compile(
    r"[?？吗么]|怎么|咋|如何|哪|什么|啥|多少|几(?:天|分|点|次|号)|补签|补卡|补打|忘|断签|断了|没记录|失败|不了|"
    r"不上|截止|规则|入口|昨天|前天|明天|"
    r"能不能|可以|有奖|送不|有没有|连续.{0,3}天数"
)


def tell(turn: Turn) -> Scene:
    """打卡第3天: the check-in of today; a question about it is answered in private and counts nothing."""
    behaviours = [each for each in turn.brand.programme.behaviours if each.kind == KIND]
    if _ASKS.search(_about_it(turn.text)):
        if turn.is_automatic:
            yield Say(_rules(turn, behaviours))
        else:
            yield Silent("check_in: a question, a person answers in this chat")
        return
    if not behaviours:
        if turn.is_automatic:
            yield Say(turn.reply("check_in_none"))
        else:
            yield Silent("check_in: no such activity in the programme")
        return
    outcomes: list[ActivityOutcome] = yield Write("checked in", _record(turn))
    turn.facts.forget_points()
    if turn.is_automatic:
        yield Say(_told(turn, behaviours, outcomes))


def _about_it(text: str) -> str:
    """The clauses that speak of the check-in; another need in the same message is no question about it."""
    clauses = re.split(r"[,，。;；!！\s]+", text)
    return " ".join(clause for clause in clauses if _SPEAKS.search(clause)) or text


def _record(turn: Turn) -> Any:
    programme, member = turn.brand.programme, turn.member_id
    # The day it was written counts, also when it is read a little after midnight.
    at = min(turn.message.at, turn.now)

    def work(session: Session, key: str) -> list[ActivityOutcome]:
        return activities.record_activity(session, programme, member, KIND, f"check-in:{key}", at)

    return work


def _told(turn: Turn, behaviours: list[Behaviour], outcomes: list[ActivityOutcome]) -> str:
    done = [one for one in outcomes if one.state != activities.REFUSED]
    gained = sum(one.gained.get(turn.member_id, {}).get("points", 0) for one in done)
    days = max((one.streak_days for one in done), default=0) or turn.facts.streak(turn.member_id)
    if not done:
        again = any(one.reason == "rule.times_per_day" for one in outcomes)
        return turn.reply("check_in_again" if again else "check_in_refused", days=days)
    return turn.reply("check_in_done", gained=gained, days=days, **_coming(behaviours, days))


def _coming(behaviours: list[Behaviour], days: int) -> dict[str, Any]:
    """The nearest bonus for a streak that is still to come."""
    coming = [
        (bonus.days * (days // bonus.days + 1) if bonus.again else bonus.days, bonus.gain.points)
        for each in behaviours
        for bonus in each.streaks
        if bonus.gain.points and (bonus.again or bonus.days > days)
    ]
    if not coming:
        return {"more_days": 0}
    at, points = min(coming)
    return {"more_days": at - days, "bonus": points, "bonus_at": at}


def _rules(turn: Turn, behaviours: list[Behaviour]) -> str:
    if not behaviours:
        return turn.reply("check_in_none")
    days = turn.facts.streak(turn.member_id)
    streaks = [
        {"days": bonus.days, "points": bonus.gain.points, "again": bonus.again}
        for each in behaviours
        for bonus in each.streaks
    ]
    missed = bool(re.search(r"补|忘|断", turn.text))
    return turn.reply(
        "check_in_rules", gain=max(each.gain.points for each in behaviours), streaks=streaks, days=days, missed=missed
    )
