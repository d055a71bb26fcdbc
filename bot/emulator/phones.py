"""What people do on their phones; every act has the consequences the platform gives it."""

from __future__ import annotations

from bot.emulator import kf_state, oa
from bot.emulator.archive import keep_said
from bot.emulator.contact import issue_welcome, note_talk
from bot.emulator.errors import ApiError, PhoneError
from bot.emulator.events import send_app_text, send_contact_change, send_group_change
from bot.emulator.kf_table import ENDED, HUMAN, ORIGIN_CUSTOMER, ORIGIN_SERVICER, POOL
from bot.emulator.messages import AppLine, put_line
from bot.emulator.state import Customer, Follow, Group, Json, State

PLACES = ("group", "private", "kf", "oa", "app")
MEDIA_MD5 = "00000000000000000000000000000000"


def say(state: State, body: Json) -> Json:
    """Somebody writes: `as` who, `in` where (group, private, kf, oa, app), `text` what."""
    who, place, text = str(body.get("as", "")), body.get("in"), str(body.get("text", ""))
    if place not in PLACES or not text:
        raise PhoneError(f'"in" is one of {", ".join(PLACES)} and "text" is not empty')
    chat = str(body.get("chat") or body.get("with") or "")
    if place == "group":
        return say_in_group(state, who, chat or _only_group(state, who), text)
    if place == "private":
        return say_in_private(state, who, chat, text)
    if place == "kf":
        return say_in_kf(state, who, chat, text, str(body.get("menu_id", "")))
    if place == "oa":
        customer = state.customers.get(who) or _by_openid(state, who)
        return {"msgid": oa.say(state, customer, text, str(body.get("menu_id", "")))}
    return say_to_app(state, who, text)


def _by_openid(state: State, openid: str) -> Customer:
    try:
        return oa.follower(state, openid)
    except ApiError:
        raise PhoneError(f"no customer with openid {openid!r}") from None


def _only_group(state: State, who: str) -> str:
    found = [group.chat_id for group in state.groups.values() if who in group.members]
    if len(found) != 1:
        raise PhoneError(f'{who!r} is in {len(found)} groups: name one as "chat"')
    return found[0]


def _speaker(state: State, who: str) -> str:
    return state.member(who).userid if state.is_staff(who) else state.customer(who).external_userid


def say_in_group(state: State, who: str, chat_id: str, text: str) -> Json:
    """A member of a customer group writes; the archive hears it."""
    group, speaker = state.group(chat_id), _speaker(state, who)
    if speaker not in group.members:
        raise PhoneError(f"{state.name_of(speaker)} is not in {group.name}")
    others = [person for person in group.members if person != speaker]
    msgid = keep_said(state, speaker, others, chat_id, "text", {"content": text})
    state.write(f"group:{chat_id}", speaker, "text", text, {"msgid": msgid})
    return {"msgid": msgid}


def _pair(state: State, who: str, peer: str) -> tuple[str, str, Follow]:
    speaker = _speaker(state, who)
    if not peer:
        sides = ("userid", "external_userid") if state.is_staff(speaker) else ("external_userid", "userid")
        found = [getattr(item, sides[1]) for item in state.follows.values() if getattr(item, sides[0]) == speaker]
        if len(found) != 1:
            raise PhoneError(f'{speaker!r} has {len(found)} contacts: name one as "with"')
        peer = found[0]
    other = _speaker(state, peer)
    userid, external = (speaker, other) if state.is_staff(speaker) else (other, speaker)
    follow = state.follow(userid, external)
    if follow is None or follow.left_by_customer:
        raise PhoneError(f"{state.name_of(userid)} and {state.name_of(external)} are not contacts")
    return speaker, other, follow


def say_in_private(state: State, who: str, peer: str, text: str) -> Json:
    """Staff and customer talk one to one; the archive hears it."""
    speaker, other, follow = _pair(state, who, peer)
    note_talk(state, follow.userid, follow.external_userid)
    msgid = keep_said(state, speaker, [other], "", "text", {"content": text})
    chat = f"private:{follow.userid}:{follow.external_userid}"
    state.write(chat, speaker, "text", text, {"msgid": msgid})
    return {"msgid": msgid}


def _kf_account(state: State, open_kfid: str) -> kf_state.Account:
    accounts = kf_state.kf_memory(state).accounts
    account = accounts.get(open_kfid or next(iter(accounts), ""))
    if account is None:
        raise PhoneError(f"no kf account {open_kfid!r}; known: {', '.join(accounts)}")
    return account


def say_in_kf(state: State, who: str, open_kfid: str, text: str, menu_id: str = "") -> Json:
    """A customer writes to a kf account, or taps a menu item (`menu_id`)."""
    content = {"content": text} | ({"menu_id": menu_id} if menu_id else {})
    return _put_in_kf(state, who, open_kfid, "text", content, text)


def _put_in_kf(state: State, who: str, open_kfid: str, kind: str, content: Json, shown: str) -> Json:
    account, customer = _kf_account(state, open_kfid), state.customer(who)
    kf_state.customer_wrote(state, account, who)
    state.write(kf_state.chat_key(account.open_kfid, who), who, kind, shown)
    message = {
        "open_kfid": account.open_kfid,
        "external_userid": customer.external_userid,
        "origin": ORIGIN_CUSTOMER,
        "msgtype": kind,
        kind: content,
    }
    return {"msgid": kf_state.append(state, account, message)}


def say_to_app(state: State, who: str, text: str) -> Json:
    """A member of staff writes to the app."""
    person = state.member(who)
    put_line(state, person.userid, AppLine(0, "", state.clock.now(), person.userid, "text", {"content": text}))
    return {"msgid": send_app_text(state, person.userid, text)}


def sidebar_send(state: State, body: Json) -> Json:
    """The rep sends a prepared text into the chat with one tap; it is the rep who speaks."""
    staff, text = state.member(str(body.get("staff", ""))).userid, str(body.get("text", ""))
    if body.get("in") not in ("group", "private") or not text:
        raise PhoneError('the sidebar sends a "text" with "in" group or private')
    return say(state, {**body, "as": staff})


def recall_said(state: State, body: Json) -> Json:
    """The speaker takes a group or private message back: the archive gets a revoke record."""
    who, pre = _speaker(state, str(body.get("as", ""))), str(body.get("msgid", ""))
    for chat, lines in state.chats.items():
        for line in lines:
            if pre and line.extra.get("msgid") == pre and line.sender == who:
                line.kind, line.text = "note", "撤回了一条消息"
                place, _, rest = chat.partition(":")
                roomid = rest if place == "group" else ""
                members = list(state.group(roomid).members) if roomid else rest.split(":")
                others = [person for person in members if person != who]
                state.touch()
                return {"msgid": keep_said(state, who, others, roomid, "revoke", {"pre_msgid": pre})}
    raise PhoneError(f"{state.name_of(who)} wrote no message {pre!r}")


def send_image(state: State, body: Json) -> Json:
    """Somebody sends a picture into a group, a private or a kf chat (no media is kept)."""
    who, chat = _speaker(state, str(body.get("as", ""))), str(body.get("chat") or body.get("with") or "")
    if body.get("in") == "kf":
        return _put_in_kf(state, who, chat, "image", {"media_id": f"emulator-{state.next_number()}"}, "[图片]")
    image = {"md5sum": MEDIA_MD5, "filesize": 0, "sdkfileid": f"emulator-{state.next_number()}"}
    if body.get("in") == "group":
        group = state.group(chat or _only_group(state, who))
        others, roomid, key = [one for one in group.members if one != who], group.chat_id, f"group:{group.chat_id}"
    else:
        _, other, follow = _pair(state, who, chat)
        others, roomid, key = [other], "", f"private:{follow.userid}:{follow.external_userid}"
    msgid = keep_said(state, who, others, roomid, "image", image)
    state.write(key, who, "image", "[图片]", {"msgid": msgid})
    return {"msgid": msgid}


def enter_kf(state: State, body: Json) -> Json:
    """A customer opens the kf chat through an entry link; a welcome code when the platform gives one."""
    account = _kf_account(state, str(body.get("open_kfid") or body.get("chat") or ""))
    who = state.customer(str(body.get("customer") or body.get("as") or "")).external_userid
    session, now = kf_state.session_of(state, account, who), state.clock.now()
    scene = {"scene": str(body.get("scene", "")), "scene_param": str(body.get("scene_param", ""))}
    session.entered = scene | {"at": now}
    greeted = session.welcome_sent_at is not None and now - session.welcome_sent_at < state.limits.kf_window_s
    wrote = session.last_customer_at is not None and now - session.last_customer_at < state.limits.kf_window_s
    code = "" if greeted or wrote else kf_state.issue_code(state, account, who, "welcome")
    extra = scene | ({"welcome_code": code} if code else {})
    state.write(kf_state.chat_key(account.open_kfid, who), who, "note", "进入了会话")
    return {"msgid": kf_state.append_event(state, account, "enter_session", who, **extra), "welcome_code": code}


def serve_kf(state: State, body: Json) -> Json:
    """A servicer acts in the client: pick (2→3), say, end (3→4), reopen (4→3), start or stop serving."""
    account = _kf_account(state, str(body.get("open_kfid") or body.get("chat") or ""))
    person, action = state.member(str(body.get("staff", ""))), body.get("action")
    if person.userid not in account.servicers:
        raise PhoneError(f"{person.name} is not a servicer of {account.name}")
    if action in ("start", "stop"):
        person.serving = action == "start"
        status = {"servicer_userid": person.userid, "status": 1 if person.serving else 2, "stop_type": 0}
        return {"msgid": kf_state.append_event(state, account, "servicer_status_change", "", **status)}
    customer = state.customer(str(body.get("customer", "")))
    if action == "say":
        return _servicer_says(state, account, person.userid, customer.external_userid, str(body.get("text", "")))
    moves = {"pick": (POOL, HUMAN, 1, "taken"), "end": (HUMAN, ENDED, 3, "ended"), "reopen": (ENDED, HUMAN, 4, "")}
    if action not in moves:
        raise PhoneError("a servicer can pick, say, end, reopen, start or stop")
    before, after, change, _ = moves[str(action)]
    session = kf_state.session_of(state, account, customer.external_userid)
    if session.state != before:
        raise PhoneError(f"the session is in state {session.state}; {action} needs {before}")
    old = session.servicer
    code = kf_state.move(state, account, customer.external_userid, after, person.userid)
    session.last_at = state.clock.now()
    extra: Json = {"change_type": change, "old_servicer_userid": old}
    extra |= {"new_servicer_userid": person.userid if after == HUMAN else ""}
    extra |= {"msg_code": code} if change in (1, 3) else {}
    return {"msgid": kf_state.append_event(state, account, "session_status_change", customer.external_userid, **extra)}


def _servicer_says(state: State, account: kf_state.Account, userid: str, external: str, text: str) -> Json:
    session = kf_state.session_of(state, account, external)
    if session.state != HUMAN or not text:
        raise PhoneError("a servicer writes in state 3 only, and a text")
    session.last_at = state.clock.now()
    state.write(kf_state.chat_key(account.open_kfid, external), userid, "text", text)
    head = {"open_kfid": account.open_kfid, "external_userid": external, "origin": ORIGIN_SERVICER}
    body = {"servicer_userid": userid, "msgtype": "text", "text": {"content": text}}
    return {"msgid": kf_state.append(state, account, head | body)}


def block_kf(state: State, body: Json) -> Json:
    """The customer blocks or unblocks pushes of the kf account."""
    account = _kf_account(state, str(body.get("open_kfid") or body.get("chat") or ""))
    customer = state.customer(str(body.get("customer", "")))
    customer.rejects_kf = bool(body.get("on", True))
    switch = {"reject_switch": int(customer.rejects_kf)}
    event = "reject_customer_msg_switch_change"
    return {"msgid": kf_state.append_event(state, account, event, customer.external_userid, **switch)}


def change_contact(state: State, body: Json) -> Json:
    """Add a contact (add, half), delete on one side (delete_by_customer, delete_by_staff), or edit."""
    staff = state.member(str(body.get("staff", "")))
    customer = state.customer(str(body.get("customer", "")))
    userid, external, action = staff.userid, customer.external_userid, body.get("action")
    key, follow = (userid.lower(), external), state.follow(userid, external)
    if action in ("add", "half"):
        return _add_contact(state, userid, external, action == "half", str(body.get("state", "")))
    if follow is None:
        raise PhoneError(f"{staff.name} and {customer.name} are not contacts")
    if action == "delete_by_customer":
        follow.left_by_customer = True
        send_contact_change(state, "del_follow_user", userid, external)
    elif action == "delete_by_staff":
        del state.follows[key]
        send_contact_change(state, "del_external_contact", userid, external)
    elif action == "edit":
        follow.remark = str(body.get("remark", follow.remark))
        follow.tags = [tag for tag in body.get("tags", follow.tags) if tag in state.tags]
        send_contact_change(state, "edit_external_contact", userid, external)
    else:
        raise PhoneError("action is add, half, delete_by_customer, delete_by_staff or edit")
    state.touch()
    return {}


def _add_contact(state: State, userid: str, external: str, half: bool, way: str) -> Json:
    code = issue_welcome(state, userid, external)
    kind = "add_half_external_contact" if half else "add_external_contact"
    if not half:
        created = int(state.clock.now())
        state.follows[userid.lower(), external] = Follow(userid, external, created, state=way)
        state.write(f"private:{userid}:{external}", external, "note", "已成为联系人")
    send_contact_change(state, kind, userid, external, State=way, WelcomeCode=code)
    state.touch()
    return {"welcome_code": code}


def change_group(state: State, body: Json) -> Json:
    """Somebody joins or leaves a group: `action` join or leave, `chat`, `people` or `customer`."""
    group, action = state.group(str(body.get("chat", ""))), body.get("action")
    people = [_speaker(state, str(who)) for who in body.get("people") or [body.get("customer", "")]]
    if action not in ("join", "leave"):
        raise PhoneError("action is join or leave")
    moving = [who for who in people if (who in group.members) == (action == "leave")]
    if not moving:
        raise PhoneError(f"nobody of {people} can {action} {group.name}")
    last = group.member_version
    _move_members(state, group, moving, str(action))
    scene = ("JoinScene", int(body.get("scene", 3))) if action == "join" else ("QuitScene", int(body.get("scene", 0)))
    detail = "add_member" if action == "join" else "del_member"
    send_group_change(state, group, detail, moving, scene, last, str(body.get("list_shape", "items")))
    return {"member_version": group.member_version}


def _move_members(state: State, group: Group, people: list[str], action: str) -> None:
    group.version += 1
    for who in people:
        if action == "join":
            group.members[who] = int(state.clock.now())
        else:
            del group.members[who]
        state.write(f"group:{group.chat_id}", who, "note", "加入了群聊" if action == "join" else "退出了群聊")
