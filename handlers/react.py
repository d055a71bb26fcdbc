"""One batch of messages, one transaction: understood in one call, decided in order, written set-based."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from sqlalchemy.orm import Session

from handlers import contacts, elsewhere, recalls, registry, supplies
from handlers.brand import Brand
from handlers.complaints import overheard
from handlers.conversation import respond
from handlers.facts import Facts
from handlers.followup import entries, sop
from handlers.followup.sop import FollowUps
from handlers.stage import Stage
from handlers.talk import bursts, corrections, effects, inbox
from handlers.talk.bursts import Burst
from handlers.talk.dialogs import Place, end_pause, read_dialogs, read_pauses
from handlers.talk.inbox import Claimed
from handlers.talk.messages import AUTOMATIC_CHANNELS, Incoming
from handlers.talk.outbox import Outgoing
from handlers.talk.turn import OpenDialog, Turn
from handlers.talk.windows import Windows
from handlers.utterances import (
    NOTHING,
    Talk,
    apart,
    is_early,
    is_from_customer,
    leave_unfinished,
    stands_for_itself,
    understand,
)
from intents.classifier import PRIVATE_CHATS, Verdict
from intents.text import simplified
from loyalty import customers

MOST_UNSETTLED = 16
"""So many messages of one batch may wait for a second opinion; the others are handled as they were understood."""
LEASED = "waits for a second opinion"


class Decided(NamedTuple):
    """What was decided of one message: acted, deferred, silent or noted, and why."""

    trace: str
    channel: str
    decision: str
    why: str


class Unsettled(NamedTuple):
    """A message that leaves the classifier unsure, left for a second opinion; `names` are who its sender may be."""

    message: Incoming
    parts: tuple[Claimed, ...]
    verdict: Verdict
    names: tuple[str, ...]


class Reaction(NamedTuple):
    """What came of a batch; a message that waits for its companions is left, to be looked at again `not_before`.

    `unsettled` are left as well, leased to the caller: with their verdicts they are handled in another call.
    `degraded` counts those that were judged without a model.
    """

    decided: list[Decided]
    not_before: datetime | None = None
    unsettled: tuple[Unsettled, ...] = ()
    degraded: int = 0


def react(
    session: Session,
    claimed: Sequence[Claimed],
    brand: Brand,
    now: datetime,
    verdicts: Mapping[str, Verdict] | None = None,
    lease: timedelta | None = None,
) -> Reaction:
    """Handle claimed messages in order and mark them done; everything they cause is written with that mark.

    `verdicts`, by message key, are taken as they are; with a `lease` the unsure ones of private chats are left.
    """
    members = customers.resolve(session, _identities([item.message for item in claimed]), now)
    everybody = set(members.values())
    dialogs = read_dialogs(session, everybody) if everybody else {}
    talk = Talk(members, dialogs, now)
    early = {item.message.key for item in claimed if is_early(session, talk.dialog_of(item.message), item, brand)}
    talk = talk._replace(early=frozenset(early))
    unsaid = recalls.taken_back(claimed)
    read = bursts.join([item for item in claimed if item not in unsaid], talk.stands_alone, brand.dialog.burst)
    read = [part for burst in read for part in apart(burst, brand)]
    given = verdicts or {}
    verdicts = {**understand([burst.message for burst in read if burst.message.key not in given], brand), **given}
    read, not_before = leave_unfinished(session, read, verdicts, talk, brand)
    unsettled: list[Unsettled] = []
    if lease is not None:
        read, unsettled = _leave_unsettled(session, read, verdicts, given, talk, now + lease)
    stage = _set_stage(session, [burst.message for burst in read], members, dialogs, verdicts, brand, now)
    decided: list[Decided] = []
    for burst in read:
        message = burst.message
        member_id = members.get((message.identity, message.sender))
        verdict = verdicts.get(message.key, NOTHING)
        if is_from_customer(message) and member_id is not None:
            verdict = _settled(stage, message, member_id, verdict, brand)
            decision, why = _hear(stage, burst, member_id, verdict, brand)
        else:
            decision, why = _note(stage, message, members, brand)
        decided.append(Decided(message.trace, message.channel, decision, why))
        stage.verdicts.append(_verdict_values(message, member_id, verdict, decision, why, now))
        for part in burst.parts[1:]:
            why = f"read together with {message.key}"
            decided.append(Decided(part.message.trace, part.message.channel, "noted", why))
            stage.verdicts.append(_verdict_values(part.message, member_id, NOTHING, "noted", why, now))
    for item in unsaid:
        why = "taken back before it was read"
        decided.append(Decided(item.message.trace, item.message.channel, "silent", why))
        member_id = members.get((item.message.identity, item.message.sender))
        stage.verdicts.append(_verdict_values(item.message, member_id, NOTHING, "silent", why, now))
    stage.flush()
    inbox.finish(session, [part.id for burst in read for part in burst.parts] + [item.id for item in unsaid], now)
    degraded = sum(verdicts[burst.message.key].degraded for burst in read if burst.message.key in verdicts)
    return Reaction(decided, not_before, tuple(unsettled), degraded)


def _leave_unsettled(
    session: Session,
    read: list[Burst],
    verdicts: Mapping[str, Verdict],
    given: Mapping[str, Verdict],
    talk: Talk,
    until: datetime,
) -> tuple[list[Burst], list[Unsettled]]:
    """Lease the unsure messages of private chats, and leave whatever their senders said after them."""
    found: dict[str, Burst] = {}
    kept = []
    for burst in read:
        message = burst.message
        verdict = verdicts.get(message.key, NOTHING)
        if message.sender in found:
            continue
        if message.key not in given and verdict.unsure and len(found) < MOST_UNSETTLED and _may_ask(burst, talk):
            found[message.sender] = burst
        else:
            kept.append(burst)
    who = {sender: talk.members.get((burst.message.identity, sender)) for sender, burst in found.items()}
    known = customers.profiles(session, [member for member in who.values() if member is not None]) if found else {}
    unsettled = []
    for sender, burst in found.items():
        inbox.lease(session, burst.parts[0].id, LEASED, until)
        member = who[sender]
        names = (known[member].name,) if member in known and known[member].name else ()
        unsettled.append(Unsettled(burst.message, burst.parts, verdicts[burst.message.key], (*names, sender)))
    return kept, unsettled


def _may_ask(burst: Burst, talk: Talk) -> bool:
    message = burst.message
    is_private = message.channel in PRIVATE_CHATS and is_from_customer(message)
    is_first_time = all(part.is_fresh for part in burst.parts) and not message.data.get("stale")
    return is_private and is_first_time and not talk.is_asked(message) and not stands_for_itself(message.text)


def _set_stage(
    session: Session,
    messages: Sequence[Incoming],
    members: Mapping[tuple[str, str], int],
    dialogs: dict[Place, OpenDialog],
    verdicts: Mapping[str, Verdict],
    brand: Brand,
    now: datetime,
) -> Stage:
    everybody = set(members.values())
    pauses = read_pauses(session, everybody, now) if everybody else {}
    stirred = [message for message in messages if _may_stir(message, verdicts.get(message.key, NOTHING))]
    active = {members[name] for message in stirred if (name := (message.identity, message.sender)) in members}
    active |= {member for member, _chat in dialogs}
    chats = {message.chat for message in stirred if message.channel == "group"}
    facts = Facts(session, everybody, active, brand.programme, now, chats)
    windows = Windows(session, active, now)
    return Stage(session, facts, FollowUps(session, active, brand, now), dialogs, pauses, windows, now)


def _may_stir(message: Incoming, verdict: Verdict) -> bool:
    """Whether facts may be needed: chatter in a group, most of all messages, needs none."""
    is_settled = bool(verdict.scenarios) or message.channel in AUTOMATIC_CHANNELS or _tells_of(message)
    is_settled = is_settled or bool(overheard(verdict, message.channel))
    return is_settled or supplies.is_open(verdict, message.text, message.channel)


def _settled(stage: Stage, message: Incoming, member_id: int, verdict: Verdict, brand: Brand) -> Verdict:
    return supplies.settle(
        verdict, brand.understanding, stage.facts, brand.programme, member_id, message.text, message.channel, stage.now
    )


def _identities(messages: Sequence[Incoming]) -> set[tuple[str, str]]:
    found = {(m.identity, m.sender) for m in messages if is_from_customer(m) or _tells_of(m)}
    found |= {
        ("external_userid", m.data["to"]) for m in messages if m.channel == "kf" and m.is_staff and "to" in m.data
    }
    found |= {("external_userid", _customer_of(m)) for m in messages if m.channel == "private" and m.is_staff}
    return {(kind, value) for kind, value in found if value and kind in {"external_userid", "openid"}}


def _tells_of(message: Incoming) -> bool:
    """Whether the platform speaks of a customer."""
    return message.channel == "contact" or message.kind == elsewhere.UNREACHED


def _customer_of(message: Incoming) -> str:
    return message.chat.partition("|")[2]


def _hear(stage: Stage, burst: Burst, member_id: int, verdict: Verdict, brand: Brand) -> tuple[str, str]:
    message = burst.message
    if message.kind in {"event", "recall", "unknown"}:
        return _hear_event(stage, message, member_id)
    if message.data.get("stale"):
        return "silent", "too old when it was first read"
    if not stage.facts.name(member_id) and message.identity == "external_userid":
        stage.outgoing.append(_ask_name(message))
    text, received_at = simplified(message.text.strip()), burst.newest.received_at
    turn = Turn(message, member_id, verdict, brand, stage.facts, stage.now, None, text, received_at)
    dialog = stage.dialogs.get((member_id, message.chat))
    turn = replace(turn, is_early=is_early(stage.session, dialog, burst.parts[0], brand))
    decided = _answer_alone(stage, turn) or _play(stage, turn)
    for scored in verdict.scenarios:
        if scored.id not in registry.SCENARIOS:
            stage.hear(turn, scored.id)
    return decided


def _play(stage: Stage, turn: Turn, intro: str = "") -> tuple[str, str]:
    member_id, chat = turn.member_id, turn.message.chat
    is_paused = stage.is_paused((member_id, chat))
    hushed = frozenset(
        place.partition(":")[0] for (member, place) in stage.pauses if member == member_id and place.endswith(chat)
    )
    here = replace(turn, dialog=stage.dialogs.get((member_id, chat)))
    return stage.play(here, respond(here, hushed, is_paused), intro)


def _answer_alone(stage: Stage, turn: Turn) -> tuple[str, str] | None:
    """A private question in a group is answered where the person can be reached alone; None where that is nowhere."""
    if not elsewhere.concerns_self(turn) or stage.is_paused((turn.member_id, turn.message.chat)):
        return None
    window = stage.windows.of(turn.member_id)
    if window is None or stage.is_paused((turn.member_id, window.chat)):
        return None
    parted = elsewhere.part(turn, window)
    decision, why = _play(stage, parted.alone, turn.reply("from_group"))
    if decision != "acted":
        return None
    stage.windows.take(turn.member_id)
    if parted.rest is not None:
        why += "; " + _play(stage, parted.rest)[1]
    return decision, why


def _hear_event(stage: Stage, message: Incoming, member_id: int) -> tuple[str, str]:
    if recalls.targets(message):
        return "noted", recalls.undo(stage, message, member_id)
    if message.data.get("event_type") == "session_status_change" and message.data.get("change_type") == "3":
        end_pause(stage.session, member_id, message.chat)
        stage.pauses.pop((member_id, message.chat), None)
        return "noted", "the person who had taken over is done"
    return "noted", f"{message.kind}: {message.data.get('event_type') or message.data.get('event') or 'no reaction'}"


def _ask_name(message: Incoming) -> Outgoing:
    # Asked once a customer: the outbox key is the customer's, not the message's.
    channel = "kf" if message.channel == "kf" else "contact"
    return effects.profile(f"profile:{channel}:{message.sender}", message.sender, channel, message.trace)


def _note(stage: Stage, message: Incoming, members: dict[tuple[str, str], int], brand: Brand) -> tuple[str, str]:
    """What staff wrote or tapped, and what the platform tells: never classified."""
    if message.kind == "tap":
        return _tap(stage, message, brand)
    if message.kind == elsewhere.UNREACHED:
        question = msgspec.structs.replace(message, channel="group", text=message.data["said"])
        member = members[(message.identity, message.sender)]
        turn = Turn(question, member, NOTHING, brand, stage.facts, stage.now)
        return stage.play(turn, elsewhere.leave_to_rep(turn))
    if message.channel == "contact":
        why, asked = contacts.note_event(stage.session, message, stage.now)
        happened = contacts.happenings_of(stage.session, message, members)
        if any(brand.sops.set_off_by(one.kind) or one.kind in brand.sops.waits_for() for one in happened):
            # At once and not by the ticker: a welcome has twenty seconds.
            entries.note(stage.session, happened, stage.now, is_taken=True)
            asked += entries.handle(stage.session, brand, happened, stage.now)
        stage.outgoing += asked
        return "noted", why
    if contacts.is_leaving(message):
        contacts.leave(stage.session, message.data.get("UserID", ""), message.at)
        return "noted", "a rep has left"
    customer = message.data.get("to", "") if message.channel == "kf" else _customer_of(message)
    member_id = members.get(("external_userid", customer))
    if message.is_staff and message.channel in {"kf", "private"} and member_id is not None:
        until = stage.now + brand.dialog.human_pause
        stage.pause((member_id, message.chat), until, "a rep writes here")
        return "noted", "a rep writes: the bot keeps still here for a while"
    return "noted", f"{message.channel} {message.kind}: kept"


def _tap(stage: Stage, message: Incoming, brand: Brand) -> tuple[str, str]:
    data = message.data
    state, asked, occasion = sop.tap(
        stage.session, data["task_id"], data["button"], message.sender, data.get("response_code", ""), brand, stage.now
    )
    stage.outgoing += asked
    if occasion is not None and state == "done":
        stage.settled(occasion, brand)
    if occasion is not None and state == "dismissed" and occasion.sop in brand.scenarios:
        corrections.note(
            stage.session, occasion.message_key, occasion.said, occasion.sop, False, message.sender, stage.now
        )
    return "noted", f"tapped {data['button']}: {state}"


def _verdict_values(
    message: Incoming, member_id: int | None, verdict: Verdict, decision: str, why: str, now: datetime
) -> dict[str, Any]:
    scored = {scenario.id: round(scenario.score, 4) for scenario in verdict.scenarios}
    return {
        "message_key": message.key, "member_id": member_id, "channel": message.channel, "chat": message.chat,
        "text": message.text, "scenarios": msgspec.json.encode(scored).decode(),
        "reasons": msgspec.json.encode(verdict.reasons).decode(), "decision": decision, "why": why[:200],
        "model": verdict.model, "at": now, "trace": message.trace,
    }  # fmt: skip
