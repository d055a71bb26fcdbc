"""What each step does: one function an action, each giving an effect for the outbox or a reason for none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from handlers.followup import words
from handlers.followup.caps import Decision
from handlers.followup.cards import NO_REP, ask_rep, judge, refuse, undone
from handlers.followup.conditions import condition
from handlers.followup.definition import WEEKDAYS, Library, Place, Prompt, Until
from handlers.followup.desk import NEXT, REFUSED, Desk, MassText, Went
from handlers.followup.runs import Run
from handlers.followup.tables import InviteRow
from handlers.talk import effects
from handlers.talk.outbox import Outgoing
from loyalty import coupons, ledger, redemptions
from loyalty.errors import LoyaltyError
from loyalty.expiry import expires_at
from loyalty.movements import earning
from loyalty.people_tables import MemberTag
from loyalty.storage import among
from loyalty.tables import table_of
from loyalty.writing import insert_into, write_rows

WELCOME_S: Final = 20
LINK_WITHIN: Final = timedelta(hours=1)
INVITE_READY: Final = "invite_ready"


def wait(desk: Desk, run: Run, place: Place) -> Went:
    """Stand still for a time, until a moment of the week, or until something happens."""
    asked = place.step.wait
    assert asked is not None
    if run.state == "waiting" or run.again:  # its time has come, or what it waited for has
        if asked.event and not run.occasion.event.get("woken_by"):
            run.know(woken_by="time")
        return NEXT
    run.again = 1
    if asked.event:
        run.waits_for = asked.event
        run.know(woken_by="")
        return desk.wait(run, desk.now + timedelta(days=asked.at_most_days), "waiting")
    # Between entering and the first look an hour may pass: it is not missed for a day.
    begun_at = run.started_at if run.step == "0" else desk.now
    due_at = begun_at + timedelta(days=asked.days, hours=asked.hours, minutes=asked.minutes)
    return desk.wait(run, _next_moment(asked.until, due_at, desk) if asked.until else due_at)


def prompt(desk: Desk, run: Run, place: Place) -> Went:
    """A card for the rep; the run stands still until it is tapped, is escalated, or goes on by itself."""
    asked = place.step.prompt
    assert asked is not None
    if run.state == "prompted":
        return undone(desk, run, asked)
    text = words.choose(asked.text, desk.facts(run)) if asked.text else run.occasion.quote
    return ask_rep(desk, run, asked, text)


def message(desk: Desk, run: Run, place: Place) -> Went:
    """The service writes itself where a channel is open; else the rep is prompted, or it stays with the reason."""
    asked = place.step.message
    assert asked is not None
    if run.state == "prompted":
        return undone(desk, run, Prompt())
    text = words.choose(asked.text, desk.facts(run))
    channel, full = _open_channel(desk, run, asked.channels, text)
    if not channel:
        if asked.otherwise == "prompt":
            return ask_rep(desk, run, Prompt(why=f"{full or '客服会话和公众号现在都发不出去'}, 请您代发"), text)
        if full:
            return REFUSED
        return refuse(desk, run, "客服会话和公众号 48 小时内都没有互动, 平台不允许主动发", asked.channels[0])
    went = judge(desk, run, desk.may(run, channel), channel)
    if went is not None:
        return went
    row = _text_row(desk, run, channel, text)
    desk.speak(replace(row, member_id=run.member_id, is_follow_up=True, trace=run.occasion.trace))
    return NEXT


def mass(desk: Desk, run: Run, place: Place) -> Went:
    """A 企业群发 task for the rep to confirm; the same text of one batch to several people is one task."""
    asked = place.step.mass
    assert asked is not None
    serving, external = desk.crowd.serving(run.member_id), desk.crowd.identity(run.member_id, "external_userid")
    if serving is None or not external:
        return refuse(desk, run, "没有导购加着这位客户的好友 (已删除, 或导购离职), 群发到不了", "mass")
    went = judge(desk, run, desk.may(run, "mass"), "mass")
    if went is not None:
        return went
    text = words.choose(asked.text, desk.facts(run))
    link = words.render(asked.link_url, desk.facts(run)) if asked.link_url else ""
    same = MassText(run.sop, run.step, serving.rep, text, asked.link_title, link, asked.result_after_h)
    desk.masses.setdefault(same, {})[external] = run.member_id
    return NEXT


def welcome(desk: Desk, run: Run, place: Place) -> Went:
    """The greeting that only the first twenty seconds allow; it was asked for by adding, so no budget is looked at."""
    asked = place.step.welcome
    assert asked is not None
    code = str(run.occasion.event.get("welcome_code", ""))
    if not code:
        return refuse(desk, run, "平台没有给欢迎语口令 (后台可能已配置欢迎语)", "welcome")
    if desk.now - run.started_at >= timedelta(seconds=WELCOME_S):
        return refuse(desk, run, f"加好友已超过 {WELCOME_S} 秒, 欢迎语口令失效", "welcome")
    text = words.choose(asked.text, desk.facts(run))
    desk.outgoing.append(effects.welcome(_key(run), code, text, run.member_id, run.occasion.trace))
    desk.journal.note(run, Decision("sent", "加好友 20 秒内的欢迎语"), "welcome")
    run.effects += 1
    return NEXT


def tag(desk: Desk, run: Run, place: Place) -> Went:
    """Tags of our own: what was set by a follow-up is taken away by one."""
    asked = place.step.tag
    assert asked is not None
    if asked.add:
        rows = [{"member_id": run.member_id, "tag": name, "source": f"sop:{run.sop}"[:64], "set_at": desk.now}
                for name in asked.add]  # fmt: skip
        desk.session.execute(insert_into(desk.session, MemberTag).on_conflict_do_nothing(), rows)
    if asked.remove:
        tags = table_of(MemberTag)
        desk.session.execute(tags.delete().where(tags.c.member_id == run.member_id, among(tags.c.tag, asked.remove)))
    desk.crowd.forget("tags")
    serving, external = desk.crowd.serving(run.member_id), desk.crowd.identity(run.member_id, "external_userid")
    if asked.wecom and serving is not None and external:
        desk.outgoing.append(effects.mark_tag(_key(run), serving.rep, external, asked.add, asked.remove))
    run.effects += 1
    return NEXT


def points(desk: Desk, run: Run, place: Place) -> Went:
    """Points under the run's own key: however often this step is made, they are given once."""
    asked = place.step.points
    assert asked is not None
    member = run.member_id if asked.to == "member" else int(run.occasion.event.get("friend_id", 0))
    if not member:
        return refuse(desk, run, "没有查到被邀请的朋友, 积分未发", "points")
    lapses_at = expires_at(desk.brand.programme, desk.now)
    desk.movements.append(earning(member, asked.amount, _key(run), "sop", run.sop, expires_at=lapses_at))
    desk.journal.note(run, Decision("sent", f"送 {asked.amount} 积分"), "points")
    run.effects += 1
    return NEXT


def coupon(desk: Desk, run: Run, place: Place) -> Went:
    """A coupon of the programme as a gift, or a reward: its cost is given and settled in one breath, so limits hold."""
    asked = place.step.coupon
    assert asked is not None
    if asked.type is None:
        return _reward(desk, run, asked.named)
    try:
        got = coupons.issue(desk.session, run.member_id, asked.type, _key(run), desk.brand.programme, desk.now,
                            f"sop:{run.sop}")  # fmt: skip
    except LoyaltyError as error:
        return refuse(desk, run, f"“{asked.type}”没有发出: {error}", "coupon")
    return _given(desk, run, got.code, got.name)


def _reward(desk: Desk, run: Run, reward_id: str) -> Went:
    key, programme = _key(run), desk.brand.programme
    try:
        reward = programme.reward(reward_id)
        cost = reward.cost_points
        ledger.earn(desk.session, run.member_id, cost, key=f"{key}:cost", reason="sop", ref=run.sop, at=desk.now)
    except LoyaltyError as error:
        return refuse(desk, run, f"“{reward_id}”没有发出: {error}", "coupon")
    try:
        got = redemptions.redeem(desk.session, run.member_id, reward_id, 1, key, programme, desk.now, desk.brand.links)
    except LoyaltyError as error:
        ledger.spend(desk.session, run.member_id, cost, key=f"{key}:back", reason="sop", ref=run.sop, at=desk.now)
        return refuse(desk, run, f"“{reward_id}”没有发出: {error}", "coupon")
    issued = coupons.of_source(desk.session, f"redemption:{key}")
    return _given(desk, run, issued[0].code if issued else got.code, reward.name)


def _given(desk: Desk, run: Run, code: str, name: str) -> Went:
    run.know(event_code=code, event_name=name)
    desk.journal.note(run, Decision("sent", f"送“{name}”"), "coupon")
    run.effects += 1
    return NEXT


def invite(desk: Desk, run: Run, place: Place) -> Went:
    """First a link of the rep's own that knows who invites, then a card with it."""
    asked = place.step.invite
    assert asked is not None
    if run.state == "prompted":
        return undone(desk, run, Prompt())
    if run.occasion.event.get("link"):
        return ask_rep(desk, run, Prompt(why="请把专属邀请链接发给客户"), words.choose(asked.text, desk.facts(run)))
    if run.again:
        return refuse(desk, run, "邀请链接没有生成", "rep")
    rep, code = desk.rep_of(run), f"i{sha256(run.task.encode()).hexdigest()[:20]}"
    if not rep:
        return refuse(desk, run, NO_REP, "rep")
    row = {"code": code, "member_id": run.member_id, "task": run.task, "rep": rep, "made_at": desk.now}
    write_rows(desk.session, InviteRow, [row])
    desk.outgoing.append(effects.contact_way(f"way:{code}", rep, code))
    run.again, run.waits_for = 1, INVITE_READY
    return desk.wait(run, desk.now + LINK_WITHIN, "waiting")


def appointment(desk: Desk, run: Run, place: Place) -> Went:
    """An invitation to come, by the rep's hand, with the address to book at."""
    asked = place.step.appointment
    assert asked is not None
    if run.state == "prompted":
        return undone(desk, run, Prompt())
    if asked.url:
        run.know(link=words.render(asked.url, desk.facts(run)))
    return ask_rep(desk, run, Prompt(why="到了该来店的时候, 请邀请预约"), words.choose(asked.text, desk.facts(run)))


def call(desk: Desk, run: Run, place: Place) -> Went:
    """The brand's own system is asked to call or to send an SMS; what comes of it comes back by the API."""
    asked = place.step.call
    assert asked is not None
    went = judge(desk, run, desk.may(run, asked.way), asked.way)
    if went is not None:
        return went
    body = {
        "key": _key(run), "way": asked.way, "member_id": run.member_id, "sop": run.sop, "task": run.task,
        "phone_hash": desk.crowd.identity(run.member_id, "phone_hash"), "name": desk.crowd.profile(run.member_id).name,
        "text": words.choose(asked.text, desk.facts(run)),
    }  # fmt: skip
    desk.outgoing.append(effects.adapter(_key(run), asked.adapter, body, run.member_id))
    return NEXT


def branch(desk: Desk, run: Run, place: Place) -> Went:
    """One way or the other, by a fact as it is now."""
    asked = place.step.branch
    assert asked is not None
    name = "then" if condition(asked.when).holds(desk.facts(run)) else "otherwise"
    return Went(to=f"{place.path}.{name}.0") if getattr(asked, name) else NEXT


def go(desk: Desk, run: Run, place: Place) -> Went:
    """Enter another follow-up, by its own rules; this one is over."""
    assert place.step.go is not None
    desk.gone_to.append((place.step.go, run))
    run.effects += 1
    return Went(is_end=True, why=f"转入 {place.step.go}")


def end(desk: Desk, run: Run, place: Place) -> Went:
    """Over, for the reason that stands in the file."""
    return Went(is_end=True, why=place.step.end or "")


def mass_tasks(desk: Desk) -> list[Outgoing]:
    """The 企业群发 tasks a batch has gathered, one a text and rep."""
    return [
        effects.mass_task(
            f"mass:{same.sop}:{same.step}:{sha256(_stable(people, desk.now).encode()).hexdigest()[:24]}",
            same.sop, same.rep, people, same.text,
            {"title": same.link_title, "url": same.link_url} if same.link_url else {}, same.result_after_h,
        )
        for same, people in desk.masses.items()
    ]  # fmt: skip


def _open_channel(desk: Desk, run: Run, channels: Sequence[str], text: str) -> tuple[str, str]:
    """The first channel that is open and has room for a text; "" and why, where those that are open are used up."""
    why = ""
    for channel in channels:
        if desk.facts(run)[f"{channel}_open"]:
            refused = desk.refuse_window(run, channel, text)
            if refused is None:
                return channel, ""
            desk.touched(run, refused, channel)
            why = refused.reason
    return "", why


def _text_row(desk: Desk, run: Run, channel: str, text: str) -> Outgoing:
    talked = desk.crowd.talked(run.member_id, channel)
    if channel == "kf" and talked is not None:
        external = desk.crowd.identity(run.member_id, "external_userid")
        return effects.kf_text(_key(run), external, talked.chat.removeprefix("kf:"), text)
    return effects.oa_text(_key(run), desk.crowd.identity(run.member_id, "openid"), text)


def _next_moment(until: Until, earliest: datetime, desk: Desk) -> datetime:
    """The first such local hour (of such a weekday) that is not before `earliest`; a clock change moves it along."""
    zone = desk.brand.restraint.zone
    day = earliest.astimezone(zone).date()
    for ahead in range(15):
        moment = datetime.combine(day + timedelta(days=ahead), until.at, zone)
        is_day = until.weekday is None or moment.weekday() == WEEKDAYS.index(until.weekday)
        if is_day and moment >= earliest:
            return moment.astimezone(desk.now.tzinfo)
    raise AssertionError("every weekday comes within a fortnight")


def _stable(people: Mapping[str, Any], now: datetime) -> str:
    return ",".join(sorted(people)) + now.isoformat()


def _key(run: Run) -> str:
    return f"sop:{run.task}:{run.step}"


def library_of(place: Place) -> Library | None:
    """The words of a step, where it has any."""
    return getattr(getattr(place.step, place.step.action), "text", None)
