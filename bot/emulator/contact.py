"""客户联系: who follows whom, remarks, tags, contact ways and the welcome message."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from bot.emulator.api import Call, Endpoint, page
from bot.emulator.errors import ApiError
from bot.emulator.state import Customer, Follow, Json, State

BATCH_USERS = 100
BATCH_LIMIT = 100


@dataclass
class WelcomeCode:
    """The right to greet one new customer once, for a few seconds."""

    userid: str
    external_userid: str
    expires_at: float
    used: bool = False
    talked: bool = False


@dataclass
class ContactMemory:
    """Welcome codes and contact ways."""

    codes: dict[str, WelcomeCode] = field(default_factory=dict)
    ways: dict[str, Json] = field(default_factory=dict)


def issue_welcome(state: State, userid: str, external_userid: str) -> str:
    """A new welcome code for the pair."""
    code = f"WC-{secrets.token_urlsafe(12)}"
    expires_at = state.clock.now() + state.limits.welcome_s
    state.part(ContactMemory).codes[code] = WelcomeCode(userid, external_userid, expires_at)
    return code


def note_talk(state: State, userid: str, external_userid: str) -> None:
    """The two have begun to talk: their welcome codes are void."""
    for code in state.part(ContactMemory).codes.values():
        if (code.userid, code.external_userid) == (userid, external_userid):
            code.talked = True


def member_of(state: State, userid: str) -> str:
    """The userid as registered; ApiError 60111 when nobody has it."""
    if not userid:
        raise ApiError(41009, "userid missing")
    if not state.is_staff(userid):
        raise ApiError(60111, "userid not found")
    return state.member(userid).userid


def relation(state: State, call: Call) -> Follow:
    """The relation named by userid and external_userid; ApiError 60111, 40096 or 84061."""
    userid = member_of(state, call.text("userid", 41009))
    external = call.text("external_userid", 41035)
    if external not in state.customers:
        raise ApiError(40096, "invalid external_userid")
    follow = state.follow(userid, external)
    if follow is None:
        raise ApiError(84061, "no relation between this member and this external user")
    return follow


def external_contact(customer: Customer) -> Json:
    """The customer as the API shows him; optional keys are missing rather than null."""
    shown: Json = {
        "external_userid": customer.external_userid,
        "name": customer.name,
        "type": 1,
        "gender": customer.gender,
        "avatar": "https://wx.example.invalid/avatar.jpg",
    }
    return shown | ({"unionid": customer.unionid} if customer.unionid else {})


def _follow_base(follow: Follow) -> Json:
    shown: Json = {
        "userid": follow.userid,
        "remark": follow.remark,
        "description": follow.description,
        "createtime": follow.createtime,
        "remark_corp_name": "",
        "remark_mobiles": follow.remark_mobiles,
        "oper_userid": follow.external_userid if follow.state else follow.userid,
        "add_way": follow.add_way,
    }
    return shown | ({"state": follow.state} if follow.state else {})


def _tag(state: State, tag_id: str) -> Json:
    tag = state.tags[tag_id]
    return {"group_name": tag.group_name, "tag_name": tag.name, "tag_id": tag_id, "type": 1}


def get(state: State, call: Call) -> Json:
    """externalcontact/get: the customer and everybody who follows him."""
    external = call.query.get("external_userid", "")
    if not external:
        raise ApiError(41035, "external_userid missing")
    customer = state.customers.get(external)
    if customer is None:
        raise ApiError(40096, "invalid external_userid")
    follows = [follow for follow in state.follows.values() if follow.external_userid == external]
    if not follows:
        raise ApiError(84061, "no member of the corp follows this external user")
    shown = [_follow_base(item) | {"tags": [_tag(state, tag) for tag in item.tags]} for item in follows]
    return {"external_contact": external_contact(customer), "follow_user": shown}


def list_customers(state: State, call: Call) -> Json:
    """externalcontact/list: the customers of one member; 84061 when there are none."""
    userid = member_of(state, call.query.get("userid", ""))
    found = [follow.external_userid for follow in state.follows.values() if follow.userid == userid]
    if not found:
        raise ApiError(84061, "the member has no external contact")
    return {"external_userid": found}


def follow_users(state: State, call: Call) -> Json:
    """externalcontact/get_follow_user_list: staff with the customer-contact right."""
    return {"follow_user": [person.userid for person in state.staff.values()]}


def batch_by_user(state: State, call: Call) -> Json:
    """externalcontact/batch/get_by_user: customers of several members, page by page."""
    users = {member_of(state, user) for user in call.texts("userid_list", BATCH_USERS)}
    if not users:
        raise ApiError(40063, "userid_list is empty")
    follows = [follow for follow in state.follows.values() if follow.userid in users]
    limit = call.number("limit", 50, 1, BATCH_LIMIT)
    shown, cursor = page(follows, call.text("cursor", empty=True), limit)
    rows = [
        {
            "external_contact": external_contact(state.customers[follow.external_userid]),
            "follow_info": _follow_base(follow) | {"tag_id": follow.tags},
        }
        for follow in shown
    ]
    return {"external_contact_list": rows, "next_cursor": cursor}


def remark(state: State, call: Call) -> Json:
    """externalcontact/remark: change what the member notes about the customer."""
    follow = relation(state, call)
    if not any(name in call.body for name in ("remark", "description", "remark_mobiles", "remark_company")):
        raise ApiError(40063, "at least one of remark, description, remark_mobiles is required")
    if len(call.text("remark", empty=True)) > state.limits.remark_chars:
        raise ApiError(45002, "remark too long")
    if len(call.text("description", empty=True)) > state.limits.description_chars:
        raise ApiError(45002, "description too long")
    follow.remark = call.body.get("remark", follow.remark)
    follow.description = call.body.get("description", follow.description)
    if "remark_mobiles" in call.body:
        follow.remark_mobiles = [phone for phone in call.texts("remark_mobiles", 5) if phone]
    state.touch()
    return {}


def tag_list(state: State, call: Call) -> Json:
    """externalcontact/get_corp_tag_list: all tags, or those of the given tags or groups."""
    tag_ids, group_ids = set(call.texts("tag_id", 1000)), set(call.texts("group_id", 1000))
    groups: dict[str, Json] = {}
    for order, tag in enumerate(state.tags.values()):
        wanted = tag.group_id in group_ids if group_ids else not tag_ids or tag.tag_id in tag_ids
        if not wanted:
            continue
        head = {"group_id": tag.group_id, "group_name": tag.group_name, "create_time": 1699000000}
        group = groups.setdefault(tag.group_id, {**head, "order": 0, "deleted": False, "tag": []})
        row = {"id": tag.tag_id, "name": tag.name, "create_time": 1699000000, "order": order}
        group["tag"].append(row | {"deleted": False})
    return {"tag_group": list(groups.values())}


def mark_tag(state: State, call: Call) -> Json:
    """externalcontact/mark_tag: tags of the (member, customer) pair; no callback follows."""
    follow = relation(state, call)
    add, remove = call.texts("add_tag", 100), call.texts("remove_tag", 100)
    if not add and not remove:
        raise ApiError(40063, "add_tag or remove_tag is required")
    if any(tag not in state.tags for tag in [*add, *remove]):
        raise ApiError(40068, "invalid tag id")
    kept = [tag for tag in follow.tags if tag not in remove]
    follow.tags = kept + [tag for tag in dict.fromkeys(add) if tag not in kept]
    state.touch()
    return {}


def add_way(state: State, call: Call) -> Json:
    """externalcontact/add_contact_way: a QR code whose scans carry `state`."""
    kind, scene = call.number("type", 0), call.number("scene", 0)
    if kind not in (1, 2):
        raise ApiError(41039, "type must be 1 or 2")
    if scene not in (1, 2):
        raise ApiError(41040, "scene must be 1 or 2")
    users = [member_of(state, user) for user in call.texts("user", 100)]
    if kind == 1 and len(users) != 1:
        raise ApiError(41041, "type 1 needs exactly one user")
    if len(call.text("state", empty=True)) > state.limits.state_chars:
        raise ApiError(40058, "state too long")
    config_id = secrets.token_hex(16)
    way = {**call.body, "config_id": config_id, "qr_code": f"https://wework.example.invalid/qr/{config_id}"}
    state.part(ContactMemory).ways[config_id] = way
    return {"config_id": config_id} | ({"qr_code": way["qr_code"]} if scene == 2 else {})


def get_way(state: State, call: Call) -> Json:
    """externalcontact/get_contact_way: one contact way by its config_id."""
    way = state.part(ContactMemory).ways.get(call.text("config_id", 41043))
    if way is None:
        raise ApiError(41044, "invalid config_id")
    return {"contact_way": way}


def _welcome_code(state: State, code: str) -> WelcomeCode:
    found = state.part(ContactMemory).codes.get(code)
    if found is None or found.expires_at <= state.clock.now():
        raise ApiError(41050, "welcome_code invalid or expired")
    if found.used or found.talked:
        raise ApiError(41051, "the conversation has begun or a welcome was delivered")
    if not state.customers[found.external_userid].agreed:
        raise ApiError(41053, "the customer has not agreed to archiving")
    return found


def send_welcome(state: State, call: Call) -> Json:
    """externalcontact/send_welcome_msg: once per code, within its seconds."""
    code = _welcome_code(state, call.text("welcome_code", 41049))
    text = str((call.body.get("text") or {}).get("content", ""))
    attachments = call.body.get("attachments") or []
    if not text and not attachments:
        raise ApiError(40063, "text or attachments required")
    if len(text.encode()) > state.limits.welcome_bytes:
        raise ApiError(45002, "welcome text too long")
    if len(attachments) > state.limits.welcome_attachments:
        raise ApiError(41064, "more than 9 attachments")
    code.used = True
    for other in state.part(ContactMemory).codes.values():
        if (other.userid, other.external_userid) == (code.userid, code.external_userid):
            other.used = True
    chat = f"private:{code.userid}:{code.external_userid}"
    state.write(chat, code.userid, "welcome", text, {"attachments": attachments})
    return {}


ENDPOINTS = (
    Endpoint("externalcontact/get", get, "contact", ("GET",)),
    Endpoint("externalcontact/list", list_customers, "contact", ("GET",)),
    Endpoint("externalcontact/get_follow_user_list", follow_users, "contact", ("GET",)),
    Endpoint("externalcontact/batch/get_by_user", batch_by_user, "contact"),
    Endpoint("externalcontact/remark", remark, "contact"),
    Endpoint("externalcontact/get_corp_tag_list", tag_list, "contact"),
    Endpoint("externalcontact/mark_tag", mark_tag, "contact"),
    Endpoint("externalcontact/add_contact_way", add_way, "contact"),
    Endpoint("externalcontact/get_contact_way", get_way, "contact"),
    Endpoint("externalcontact/send_welcome_msg", send_welcome, "contact"),
)
