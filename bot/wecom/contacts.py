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


async def get_group(gateway: Gateway, chat_id: str, trace: str = "") -> Json:
    """The platform's answer about a customer group and its members (externalcontact/groupchat/get)."""
    body = {"chat_id": chat_id, "need_name": 1}
    return await gateway.call("POST", "externalcontact/groupchat/get", body, trace=trace)
