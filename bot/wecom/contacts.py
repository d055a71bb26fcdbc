"""Who a customer is and who sits in a group, as the platform tells it (wecom.md §4.1, §4.4, §6.7)."""

from __future__ import annotations

from dataclasses import dataclass

from bot.wecom.errors import NotSendable
from bot.wecom.gateway import Gateway, Json, text_of


@dataclass(frozen=True, slots=True)
class Contact:
    """A customer's name and, where the corp has bound a developer account, unionid ("" otherwise)."""

    external_userid: str
    name: str
    unionid: str
    followers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """A customer group: its owner, its staff and its outside members."""

    chat_id: str
    name: str
    owner: str
    staff: tuple[str, ...]
    customers: tuple[str, ...]
    version: str


async def get_contact(gateway: Gateway, external_userid: str, trace: str = "") -> Contact:
    """A customer whom a member has added (externalcontact/get)."""
    params = {"external_userid": external_userid}
    answer = await gateway.call("GET", "externalcontact/get", params=params, trace=trace)
    person: Json = answer.get("external_contact") or {}
    followers = tuple(text_of(item.get("userid")) for item in answer.get("follow_user") or ())
    return Contact(external_userid, text_of(person.get("name")), text_of(person.get("unionid")), followers)


async def get_kf_customer(gateway: Gateway, external_userid: str, trace: str = "") -> Contact:
    """A customer who wrote in 微信客服 within 48 h (kf/customer/batchget)."""
    body = {"external_userid_list": [external_userid], "need_enter_session_context": 0}
    answer = await gateway.call("POST", "kf/customer/batchget", body, trace=trace)
    for person in answer.get("customer_list") or ():
        if person.get("external_userid") == external_userid:
            return Contact(external_userid, text_of(person.get("nickname")), text_of(person.get("unionid")))
    raise NotSendable("kf/customer/batchget knows no such customer of the last 48 h")


async def get_group(gateway: Gateway, chat_id: str, trace: str = "") -> Group:
    """A customer group with its members (externalcontact/groupchat/get)."""
    answer = await gateway.call(
        "POST", "externalcontact/groupchat/get", {"chat_id": chat_id, "need_name": 1}, trace=trace
    )
    group: Json = answer.get("group_chat") or {}
    members = [(text_of(item.get("userid")), item.get("type")) for item in group.get("member_list") or ()]
    return Group(
        chat_id,
        text_of(group.get("name")),
        text_of(group.get("owner")),
        tuple(userid for userid, kind in members if kind == 1),
        tuple(userid for userid, kind in members if kind == 2),
        text_of(group.get("member_version")),
    )
