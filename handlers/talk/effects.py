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
"""

from __future__ import annotations

from collections.abc import Sequence

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
