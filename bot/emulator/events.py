"""The inner XML of every event the emulator sends, with the elements of the fact sheet."""

from __future__ import annotations

from bot.emulator.markup import Field, document
from bot.emulator.state import Group, Json, State

ARCHIVE_AGENT_ID = 2000004


def _head(state: State, sender: str | None) -> list[Field]:
    return [
        ("ToUserName", state.config.corp_id),
        ("FromUserName", sender),
        ("CreateTime", int(state.clock.now())),
    ]


def send_contact_change(state: State, change: str, userid: str, external_userid: str, **extra: str) -> None:
    """change_external_contact of one kind; `extra` may hold State, WelcomeCode, Source, FailReason."""
    fields: list[Field] = [
        *_head(state, "sys"),
        ("MsgType", "event"),
        ("Event", "change_external_contact"),
        ("ChangeType", change),
        ("UserID", userid),
        ("ExternalUserID", external_userid),
        *((name, value) for name, value in extra.items() if value),
    ]
    state.send("contact", f"change_external_contact.{change}", document(fields))


def send_group_change(
    state: State, group: Group, detail: str, people: list[str], scene: Field, last: str, shape: str
) -> None:
    """change_external_chat/update: joins or leaves; `shape` of MemChangeList is items, cdata or none."""
    changed: list[Field] = []
    if shape == "items":
        changed = [("MemChangeList", [("Item", person) for person in people])]
    elif shape == "cdata":
        changed = [("MemChangeList", ",".join(people))]
    fields: list[Field] = [
        *_head(state, "sys"),
        ("MsgType", "event"),
        ("Event", "change_external_chat"),
        ("ChatId", group.chat_id),
        ("ChangeType", "update"),
        ("UpdateDetail", detail),
        scene,
        ("MemChangeCnt", len(people)),
        *changed,
        ("LastMemVer", last),
        ("CurMemVer", group.member_version),
    ]
    state.send("contact", f"change_external_chat.{detail}", document(fields))


def send_kf_signal(state: State, open_kfid: str, token: str) -> None:
    """kf_msg_or_event: only a signal to call sync_msg."""
    fields: list[Field] = [
        *_head(state, None),
        ("MsgType", "event"),
        ("Event", "kf_msg_or_event"),
        ("Token", token),
        ("OpenKfId", open_kfid),
    ]
    state.send("kf", "kf_msg_or_event", document(fields))


def send_archive_notice(state: State) -> None:
    """msgaudit_notify: there are new records to pull."""
    fields: list[Field] = [
        *_head(state, "sys"),
        ("MsgType", "event"),
        ("AgentID", ARCHIVE_AGENT_ID),
        ("Event", "msgaudit_notify"),
    ]
    state.send("archive", "msgaudit_notify", document(fields), ARCHIVE_AGENT_ID)


def send_card_tap(state: State, userid: str, card: Json, key: str, code: str, picks: dict[str, list[str]]) -> None:
    """template_card_event: a member tapped a button; `picks` maps question keys to chosen option ids."""
    chosen: list[Field] = [
        ("SelectedItem", [("QuestionKey", question), ("OptionIds", [("OptionId", item) for item in ids])])
        for question, ids in picks.items()
    ]
    fields: list[Field] = [
        ("ToUserName", state.config.corp_id),
        ("FromUserName", userid),
        ("MsgType", "event"),
        ("Event", "template_card_event"),
        ("CreateTime", int(state.clock.now())),
        ("EventKey", key),
        ("TaskId", str(card.get("task_id", ""))),
        ("CardType", str(card.get("card_type", ""))),
        ("ResponseCode", code),
        ("AgentID", state.config.agent_id),
        *([("SelectedItems", chosen)] if chosen else []),
    ]
    state.send("app", "template_card_event", document(fields), state.config.agent_id)


def send_app_text(state: State, userid: str, text: str) -> str:
    """A text a member wrote to the app; returns the MsgId."""
    number = str(state.next_number())
    fields: list[Field] = [
        *_head(state, userid),
        ("MsgType", "text"),
        ("Content", text),
        ("MsgId", number),
        ("AgentID", state.config.agent_id),
    ]
    state.send("app", "text", document(fields), state.config.agent_id)
    return number


def oa_document(state: State, openid: str, fields: list[Field]) -> str:
    """The inner XML of a 公众号 message or event from one follower."""
    gh_id = state.config.oa.gh_id if state.config.oa else ""
    return document(
        [
            ("ToUserName", gh_id),
            ("FromUserName", openid),
            ("CreateTime", int(state.clock.now())),
            *fields,
        ]
    )
