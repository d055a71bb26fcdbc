"""Reaching customers through staff: welcome words, 企业群发 tasks, corp tags, contact ways (wecom.md §4.2–4.7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from bot.wecom.errors import NotSendable
from bot.wecom.gateway import Gateway, Json, text_of

RESULTS: Final = {0: "unsent", 1: "sent", 2: "no_contact", 3: "over_quota"}
PAGE: Final = 1000


async def send_welcome(gateway: Gateway, welcome_code: str, content: str, trace: str = "") -> None:
    """The one greeting of a new contact; 41050 when its seconds are over."""
    body = {"welcome_code": welcome_code, "text": {"content": content}}
    await gateway.call("POST", "externalcontact/send_welcome_msg", body, trace=trace)


async def add_mass_task(
    gateway: Gateway, sender: str, people: Collection[str], content: str, link: Mapping[str, str], trace: str = ""
) -> str:
    """A 企业群发 task that `sender` confirms on the phone; gives its msgid."""
    body: Json = {
        "chat_type": "single", "external_userid": sorted(people), "sender": sender, "text": {"content": content},
    }  # fmt: skip
    if link:
        body["attachments"] = [{"msgtype": "link", "link": {"title": link["title"], "url": link["url"]}}]
    answer = await gateway.call("POST", "externalcontact/add_msg_template", body, trace=trace)
    return text_of(answer.get("msgid"))


async def mass_results(gateway: Gateway, msgid: str, userid: str, trace: str = "") -> dict[str, str]:
    """What became of a task for each external_userid: unsent, sent, no_contact or over_quota."""
    found: dict[str, str] = {}
    cursor = ""
    while True:
        body = {"msgid": msgid, "userid": userid, "limit": PAGE, "cursor": cursor}
        answer = await gateway.call("POST", "externalcontact/get_groupmsg_send_result", body, trace=trace)
        for row in answer.get("send_list") or ():
            found[text_of(row.get("external_userid"))] = RESULTS.get(int(row.get("status") or 0), "unsent")
        cursor = text_of(answer.get("next_cursor"))
        if not cursor:
            return found


async def mark_tags(
    gateway: Gateway, userid: str, external_userid: str, add: Sequence[str], remove: Sequence[str], trace: str = ""
) -> None:
    """Set and take away corp tags by their names; raises NotSendable where the corp has no such tag."""
    answer = await gateway.call("POST", "externalcontact/get_corp_tag_list", {}, trace=trace)
    ids = {
        text_of(tag.get("name")): text_of(tag.get("id"))
        for group in answer.get("tag_group") or ()
        for tag in group.get("tag") or ()
        if not tag.get("deleted")
    }
    missing = [name for name in (*add, *remove) if name not in ids]
    if missing:
        raise NotSendable(f"no corp tag named {'、'.join(missing)}; make it in the WeCom console")
    body = {
        "userid": userid, "external_userid": external_userid,
        "add_tag": [ids[name] for name in add], "remove_tag": [ids[name] for name in remove],
    }  # fmt: skip
    await gateway.call("POST", "externalcontact/mark_tag", body, trace=trace)


async def add_contact_way(gateway: Gateway, userid: str, code: str, trace: str = "") -> tuple[str, str]:
    """A link of one member whose new contacts carry `code` as their state; gives its address and config_id."""
    body = {"type": 1, "scene": 2, "state": code, "user": [userid], "skip_verify": True}
    answer = await gateway.call("POST", "externalcontact/add_contact_way", body, trace=trace)
    return text_of(answer.get("qr_code")), text_of(answer.get("config_id"))
