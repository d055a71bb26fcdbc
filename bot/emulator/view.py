"""What every party sees now, as one JSON document: chats once, and per phone the keys of its chats."""

from __future__ import annotations

from bot.emulator.contact import ContactMemory
from bot.emulator.kf_state import kf_memory, session_of
from bot.emulator.mass import MassMemory
from bot.emulator.messages import AppLine, AppMemory
from bot.emulator.state import Json, Line, State

SHOWN_LINES = 300


def _line(state: State, line: Line) -> Json:
    shown: Json = {"number": line.number, "at": line.at, "from": line.sender, "name": state.name_of(line.sender)}
    if line.sender in kf_memory(state).accounts:
        shown["name"] = kf_memory(state).accounts[line.sender].name
    elif state.config.oa is not None and line.sender == state.config.oa.gh_id:
        shown["name"] = state.config.oa.name
    return shown | {"kind": line.kind, "text": line.text, **line.extra}


def _card(line: AppLine) -> Json:
    card = line.content
    title = card.get("main_title") or {}
    return {
        "card_type": card.get("card_type", ""),
        "title": title.get("title", ""),
        "desc": title.get("desc", ""),
        "sub_title": card.get("sub_title_text", ""),
        "source": (card.get("source") or {}).get("desc", ""),
        "quote_title": (card.get("quote_area") or {}).get("title", ""),
        "quote": (card.get("quote_area") or {}).get("quote_text", ""),
        "horizontal": [
            {"keyname": row.get("keyname", ""), "value": row.get("value") or row.get("userid", "")}
            for row in card.get("horizontal_content_list") or []
        ],
        "buttons": [
            {"text": item.get("text", ""), "key": item.get("key", ""), "style": item.get("style", 1)}
            for item in card.get("button_list") or []
        ],
    }


def app_line(line: AppLine) -> Json:
    """One app message as the phone shows it; a card has its present face under `card`."""
    shown: Json = {
        "number": line.number,
        "at": line.at,
        "msgid": line.msgid,
        "from": line.sender,
        "msgtype": line.msgtype,
        "recalled": line.recalled,
    }
    if line.msgtype != "template_card":
        keys = ("content", "description", "title")
        text = next((str(line.content[key]) for key in keys if line.content.get(key)), f"[{line.msgtype}]")
        return shown | {"text": text}
    state = {"task_id": line.task_id, "replaced": line.replaced, "updated": line.updated, "tapped": line.tapped}
    return shown | state | {"card": _card(line), "raw": line.content}


def _customers(state: State) -> list[Json]:
    rows = []
    for person in state.customers.values():
        external = person.external_userid
        contacts = [item for item in state.follows.values() if item.external_userid == external]
        rows.append(
            {
                "external_userid": external,
                "name": person.name,
                "unionid": person.unionid,
                "openid": person.openid,
                "subscribed": person.subscribed,
                "agreed": person.agreed,
                "groups": [group.chat_id for group in state.groups.values() if external in group.members],
                "contacts": [item.userid for item in contacts if not item.left_by_customer],
            }
        )
    return rows


def _staff(state: State, lines: int) -> list[Json]:
    phones, tasks = state.part(AppMemory).phones, state.part(MassMemory).tasks.values()
    return [
        {
            "userid": person.userid,
            "name": person.name,
            "title": person.title,
            "serving": person.serving,
            "groups": [group.chat_id for group in state.groups.values() if person.userid in group.members],
            "contacts": [item.external_userid for item in state.follows.values() if item.userid == person.userid],
            "app": [app_line(line) for line in phones.get(person.userid, [])[-lines:]],
            "mass": [
                {
                    "msgid": task.msgid,
                    "text": task.text,
                    "people": len(task.targets[person.userid]),
                    "confirmed": person.userid in task.sent_at,
                }
                for task in tasks
                if person.userid in task.targets and not task.cancelled
            ],
        }
        for person in state.staff.values()
    ]


def _groups(state: State) -> list[Json]:
    return [
        {
            "chat_id": group.chat_id,
            "name": group.name,
            "owner": group.owner,
            "members": [{"id": who, "name": state.name_of(who)} for who in group.members],
        }
        for group in state.groups.values()
    ]


def _kf(state: State) -> list[Json]:
    rows = []
    for account in kf_memory(state).accounts.values():
        sessions = {}
        for external in account.sessions:
            session = session_of(state, account, external)
            sessions[external] = {"state": session.state, "servicer": session.servicer, "sent": session.sent}
        shown = {"open_kfid": account.open_kfid, "name": account.name, "servicers": account.servicers}
        rows.append(shown | {"sessions": sessions})
    return rows


def etag(state: State) -> str:
    """Changes whenever something visible changes."""
    return f'"{state.boot}-{state.version}"'


def _ways(state: State) -> list[Json]:
    """The contact ways somebody may scan: whom they lead to, and what they carry."""
    return [
        {"user": way.get("user") or [], "state": way.get("state", "")}
        for way in state.part(ContactMemory).ways.values()
        if way.get("state")
    ]


def view(state: State, lines: int = SHOWN_LINES) -> Json:
    """The whole view with the last `lines` of each chat.

    Chat keys are group:ID, private:USERID:EXTERNAL, kf:KFID:EXTERNAL and oa:OPENID.
    """
    oa = state.config.oa
    return {
        "version": state.version,
        "boot": state.boot,
        "clock": {"now": state.clock.now(), "offset_s": state.clock.offset_s},
        "customers": _customers(state),
        "staff": _staff(state, lines),
        "groups": _groups(state),
        "kf": _kf(state),
        "ways": _ways(state),
        "oa": {"gh_id": oa.gh_id, "name": oa.name, "mode": oa.mode} if oa else None,
        "chats": {key: [_line(state, line) for line in said[-lines:]] for key, said in state.chats.items()},
    }
