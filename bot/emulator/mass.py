"""企业群发: a task goes to staff and nothing is delivered until each of them confirms."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from bot.emulator.api import Call, Endpoint, page
from bot.emulator.archive import keep_said
from bot.emulator.errors import ApiError, PhoneError
from bot.emulator.limits import DAY_S
from bot.emulator.state import Json, State

UNSENT, SENT, NO_CONTACT, SURPLUS = 0, 1, 2, 3


@dataclass
class Mass:
    """One mass message: who must confirm it, for whom, and what became of each."""

    msgid: str
    chat_type: str
    creator: str
    created_at: float
    text: str
    attachments: list[Json]
    targets: dict[str, list[str]]
    sent_at: dict[str, int] = field(default_factory=dict)
    results: dict[tuple[str, str], int] = field(default_factory=dict)
    cancelled: bool = False
    reminded_at: list[float] = field(default_factory=list)


@dataclass
class MassMemory:
    """All mass messages and how many each customer or group received per natural month."""

    tasks: dict[str, Mass] = field(default_factory=dict)
    received: dict[tuple[str, int], int] = field(default_factory=dict)


def _single_targets(state: State, call: Call) -> tuple[dict[str, list[str]], list[str]]:
    wanted = call.texts("external_userid", int(state.limits.mass_recipients))
    sender = call.text("sender", empty=True)
    if not wanted and not sender:
        raise ApiError(40063, "external_userid or sender is required")
    wanted = wanted or [
        item.external_userid for item in state.follows.values() if item.userid.lower() == sender.lower()
    ]
    targets: dict[str, list[str]] = {}
    failed = []
    for external in dict.fromkeys(wanted):
        followers = [item for item in state.follows.values() if item.external_userid == external]
        followers = [item for item in followers if not sender or item.userid.lower() == sender.lower()]
        if not followers:
            failed.append(external)
            continue
        targets.setdefault(_last_talker(state, external, [item.userid for item in followers]), []).append(external)
    return targets, failed


def _last_talker(state: State, external: str, userids: list[str]) -> str:
    def last(userid: str) -> float:
        lines = state.chats.get(f"private:{userid}:{external}")
        return lines[-1].at if lines else 0.0

    return max(userids, key=last)


def _group_targets(state: State, call: Call) -> tuple[dict[str, list[str]], list[str]]:
    sender = call.text("sender", 41009)
    wanted = call.texts("chat_id_list", int(state.limits.mass_groups))
    own = [group.chat_id for group in state.groups.values() if group.owner.lower() == sender.lower()]
    chosen = [chat_id for chat_id in wanted if chat_id in own] if wanted else own
    failed = [chat_id for chat_id in wanted if chat_id not in own]
    return ({state.member(sender).userid: chosen} if chosen and state.is_staff(sender) else {}), failed


def add(state: State, call: Call) -> Json:
    """externalcontact/add_msg_template: make the tasks; partial success lists the unreachable."""
    kind = call.text("chat_type", empty=True) or "single"
    if kind not in ("single", "group"):
        raise ApiError(40058, "chat_type must be single or group")
    text = str((call.body.get("text") or {}).get("content", ""))
    attachments = call.body.get("attachments") or []
    if not text and not attachments:
        raise ApiError(40063, "text or attachments required")
    if len(attachments) > state.limits.welcome_attachments:
        raise ApiError(41064, "more than 9 attachments")
    targets, failed = _single_targets(state, call) if kind == "single" else _group_targets(state, call)
    if not targets:
        raise ApiError(41048, "no customer to whom it may be sent")
    msgid, creator = f"mass-{secrets.token_hex(12)}", call.text("sender", empty=True)
    task = Mass(msgid, kind, creator, state.clock.now(), text, attachments, targets)
    state.part(MassMemory).tasks[msgid] = task
    state.touch()
    return {"fail_list": failed, "msgid": msgid}


def _task(state: State, call: Call, dispatched: bool = True) -> Mass:
    msgid = call.text("msgid", 41046)
    task = state.part(MassMemory).tasks.get(msgid)
    if task is None:
        raise ApiError(41047, "invalid msgid")
    if dispatched and state.clock.now() - task.created_at < state.limits.mass_dispatch_s:
        raise ApiError(41063, "the message is still being dispatched")
    return task


def list_tasks(state: State, call: Call) -> Json:
    """externalcontact/get_groupmsg_list_v2: mass messages of a time span."""
    kind, start = call.text("chat_type"), call.number("start_time", 0, 0, 1 << 40)
    end = call.number("end_time", 1 << 40, 0, 1 << 40)
    found = [
        {
            "msgid": task.msgid,
            "creator": task.creator,
            "create_time": str(int(task.created_at)),
            "create_type": 0,
            "text": {"content": task.text},
            "attachments": task.attachments,
        }
        for task in state.part(MassMemory).tasks.values()
        if task.chat_type == kind and start <= task.created_at <= end
    ]
    shown, cursor = page(found, call.text("cursor", empty=True), call.number("limit", 50, 1, 100))
    return {"group_msg_list": shown, "next_cursor": cursor}


def get_task(state: State, call: Call) -> Json:
    """externalcontact/get_groupmsg_task: who has confirmed (2) and who not (0)."""
    task = _task(state, call)
    rows = [
        {"userid": userid, "status": 2, "send_time": task.sent_at[userid]}
        if userid in task.sent_at
        else {"userid": userid, "status": 0}
        for userid in task.targets
    ]
    shown, cursor = page(rows, call.text("cursor", empty=True), call.number("limit", 500, 1, 1000))
    return {"task_list": shown, "next_cursor": cursor}


def get_result(state: State, call: Call) -> Json:
    """externalcontact/get_groupmsg_send_result: 0 unsent, 1 sent, 2 no longer a contact, 3 over the quota."""
    task, userid = _task(state, call), call.text("userid", 41009)
    key = "external_userid" if task.chat_type == "single" else "chat_id"
    rows: list[Json] = []
    for target in task.targets.get(userid, []):
        status = task.results.get((userid, target), UNSENT)
        row: Json = {key: target, "userid": userid, "status": status}
        rows.append(row | ({"send_time": task.sent_at[userid]} if status == SENT else {}))
    shown, cursor = page(rows, call.text("cursor", empty=True), call.number("limit", 500, 1, 1000))
    return {"send_list": shown, "next_cursor": cursor}


def remind(state: State, call: Call) -> Json:
    """externalcontact/remind_groupmsg_send: at most three times in 24 hours."""
    task, now = _task(state, call, dispatched=False), state.clock.now()
    task.reminded_at = [at for at in task.reminded_at if now - at < DAY_S]
    if task.cancelled:
        raise ApiError(41093, "the task was cancelled")
    if len(task.reminded_at) >= state.limits.mass_reminders:
        raise ApiError(41094, "reminded too often")
    task.reminded_at.append(now)
    return {}


def cancel(state: State, call: Call) -> Json:
    """externalcontact/cancel_groupmsg_send: stops what is not sent yet."""
    _task(state, call, dispatched=False).cancelled = True
    state.touch()
    return {}


def confirm(state: State, userid: str, msgid: str) -> int:
    """A member confirms a task in the client; returns how many chats received it."""
    person = state.member(userid)
    task = state.part(MassMemory).tasks.get(msgid)
    if task is None or person.userid not in task.targets or task.cancelled:
        raise PhoneError(f"{person.name} has no mass message {msgid!r} to confirm")
    if person.userid in task.sent_at:
        raise PhoneError(f"{person.name} has confirmed {msgid!r} before")
    task.sent_at[person.userid] = int(state.clock.now())
    for target in task.targets[person.userid]:
        task.results[person.userid, target] = _deliver(state, task, person.userid, target)
    state.touch()
    return sum(1 for (sender, _), status in task.results.items() if sender == person.userid and status == SENT)


def _deliver(state: State, task: Mass, userid: str, target: str) -> int:
    memory, month = state.part(MassMemory), int(state.clock.now() // (30 * DAY_S))
    single = task.chat_type == "single"
    follow = state.follow(userid, target) if single else None
    if single and (follow is None or follow.left_by_customer):
        return NO_CONTACT
    count = memory.received.get((target, month), 0)
    if count >= state.limits.mass_per_month:
        return SURPLUS
    memory.received[target, month] = count + 1
    chat = f"private:{userid}:{target}" if single else f"group:{target}"
    state.write(chat, userid, "mass", task.text, {"attachments": task.attachments})
    others = [target] if single else [one for one in state.group(target).members if one != userid]
    if task.text:
        keep_said(state, userid, others, "" if single else target, "text", {"content": task.text})
    return SENT


ENDPOINTS = (
    Endpoint("externalcontact/add_msg_template", add, "contact"),
    Endpoint("externalcontact/get_groupmsg_list_v2", list_tasks, "contact"),
    Endpoint("externalcontact/get_groupmsg_task", get_task, "contact"),
    Endpoint("externalcontact/get_groupmsg_send_result", get_result, "contact"),
    Endpoint("externalcontact/remind_groupmsg_send", remind, "contact"),
    Endpoint("externalcontact/cancel_groupmsg_send", cancel, "contact"),
)
