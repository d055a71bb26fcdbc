"""What may be asked of the platform, one function a kind; each gives an outbox row with its whole payload.

Kinds and payloads (delivery knows these and no others):
  kf_text      touser, open_kfid, content
  kf_menu      touser, open_kfid, head, items [[id, content], …], tail
  kf_transfer  open_kfid, external_userid, state, servicer, say      (hand over; `say` goes out on the code, may be "")
  oa_text      touser, content
  app_text     touser, content
  card         touser, task_id, title, desc, quote, rows [[key, value], …], buttons [[text, style, key], …]
  card_update  touser, response_code, replace_name
  profile      external_userid, channel ("contact" | "kf")            (fetch name and unionid of a customer)
  chat_profile  chat                                                (fetch name and owner of a customer group)
  welcome      welcome_code, content                                (once, within 20 s of the contact)
  mass_task    sop, sender, people {external_userid: member}, content, link {title, url}, result_after_h
  mass_result  sop, msgid, sender, people                            (what became of a mass_task)
  mark_tag     userid, external_userid, add [name, …], remove [name, …]
  contact_way  userid, code                                         (a link whose contacts carry the code)
  adapter      name, body                                           (a signed request to a system of the brand)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from handlers.talk.outbox import Outgoing


def kf_text(key: str, touser: str, open_kfid: str, content: str, trace: str = "") -> Outgoing:
    """A text in 微信客服."""
    payload = {"touser": touser, "open_kfid": open_kfid, "content": content}
    return Outgoing(key, "kf_text", f"kf:{open_kfid}:{touser}", payload, trace=trace)


def kf_menu(
    key: str, touser: str, open_kfid: str, head: str, items: Sequence[tuple[str, str]], tail: str = "", trace: str = ""
) -> Outgoing:
    """A text with entries to tap in 微信客服; `items` are (id, what the customer will have said)."""
    payload = {"touser": touser, "open_kfid": open_kfid, "head": head, "items": [list(i) for i in items], "tail": tail}
    return Outgoing(key, "kf_menu", f"kf:{open_kfid}:{touser}", payload, trace=trace)


def kf_transfer(
    key: str, open_kfid: str, external_userid: str, state: int, servicer: str, say: str, trace: str = ""
) -> Outgoing:
    """Hand a 微信客服 session over: state 2 to the waiting pool, 3 to `servicer` (wecom.md §6.4)."""
    payload = {
        "open_kfid": open_kfid,
        "external_userid": external_userid,
        "state": state,
        "servicer": servicer,
        "say": say,
    }
    return Outgoing(key, "kf_transfer", f"kf:{open_kfid}:{external_userid}", payload, trace=trace)


def oa_text(key: str, touser: str, content: str, trace: str = "") -> Outgoing:
    """A customer-service text in the 公众号."""
    return Outgoing(key, "oa_text", f"oa:{touser}", {"touser": touser, "content": content}, trace=trace)


def app_text(key: str, touser: str, content: str, trace: str = "") -> Outgoing:
    """A text to a member of staff."""
    return Outgoing(key, "app_text", f"app:{touser}", {"touser": touser, "content": content}, trace=trace)


def card(
    key: str,
    touser: str,
    task_id: str,
    title: str,
    desc: str,
    quote: str,
    rows: Sequence[tuple[str, str]],
    buttons: Sequence[tuple[str, int, str]],
    member_id: int | None = None,
    is_follow_up: bool = True,
    trace: str = "",
) -> Outgoing:
    """A card with buttons to a member of staff; `quote` is the text to send, `buttons` are (text, style, key)."""
    payload = {
        "touser": touser,
        "task_id": task_id,
        "title": title,
        "desc": desc,
        "quote": quote,
        "rows": [list(r) for r in rows],
        "buttons": [list(b) for b in buttons],
    }
    return Outgoing(key, "card", f"app:{touser}", payload, member_id, is_follow_up, trace)


def card_update(key: str, touser: str, response_code: str, replace_name: str, trace: str = "") -> Outgoing:
    """Grey the buttons of a card and show what was chosen; the code works once within 72 h."""
    payload = {"touser": touser, "response_code": response_code, "replace_name": replace_name}
    return Outgoing(key, "card_update", f"card:{response_code}", payload, trace=trace)


def profile(key: str, external_userid: str, channel: str, trace: str = "") -> Outgoing:
    """Ask the platform for a customer's name and unionid."""
    payload = {"external_userid": external_userid, "channel": channel}
    return Outgoing(key, "profile", f"profile:{external_userid}", payload, trace=trace)


def chat_profile(key: str, chat: str, trace: str = "") -> Outgoing:
    """Ask the platform for a customer group's name and owner."""
    return Outgoing(key, "chat_profile", f"profile:{chat}", {"chat": chat}, trace=trace)


def welcome(key: str, welcome_code: str, content: str, member_id: int, trace: str = "") -> Outgoing:
    """The greeting of a new contact; the code takes one within 20 seconds."""
    payload = {"welcome_code": welcome_code, "content": content}
    return Outgoing(key, "welcome", f"welcome:{welcome_code}", payload, member_id, False, trace)


def mass_task(
    key: str,
    sop: str,
    sender: str,
    people: Mapping[str, int],
    content: str,
    link: Mapping[str, str],
    result_after_h: int,
) -> Outgoing:
    """A 企业群发 task for `sender` to confirm; `people` are external_userids with their member ids."""
    payload = {"sop": sop, "sender": sender, "people": dict(people), "content": content, "link": dict(link),
               "result_after_h": result_after_h}  # fmt: skip
    return Outgoing(key, "mass_task", f"mass:{sender}", payload, None, True)


def mass_result(
    key: str, sop: str, msgid: str, sender: str, people: Mapping[str, int], due_at: datetime
) -> Outgoing:
    """Ask what became of a 企业群发 task."""
    payload = {"sop": sop, "msgid": msgid, "sender": sender, "people": dict(people)}
    return Outgoing(key, "mass_result", f"mass:{msgid}", payload, due_at=due_at)


def mark_tag(key: str, userid: str, external_userid: str, add: Sequence[str], remove: Sequence[str]) -> Outgoing:
    """Set and take away corp tags of a customer, by their names."""
    payload = {"userid": userid, "external_userid": external_userid, "add": list(add), "remove": list(remove)}
    return Outgoing(key, "mark_tag", f"tag:{external_userid}", payload)


def contact_way(key: str, userid: str, code: str) -> Outgoing:
    """Make a contact-way link of a rep whose new contacts carry `code` as their state."""
    return Outgoing(key, "contact_way", f"way:{code}", {"userid": userid, "code": code})


def adapter(key: str, name: str, body: Mapping[str, Any], member_id: int) -> Outgoing:
    """A signed request to a system of the brand, such as one that calls or sends SMS."""
    return Outgoing(key, "adapter", f"adapter:{name}:{member_id}", {"name": name, "body": dict(body)}, member_id, True)
