"""What the platform tells of a follow-up's effects: links that were made, 企业群发 that were confirmed or not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from handlers.followup.caps import Decision
from handlers.followup.entries import Happening, note
from handlers.followup.steps import INVITE_READY
from handlers.followup.tables import InviteRow, TouchRow
from handlers.talk import effects, outbox
from handlers.talk.outbox import Leased
from loyalty.writing import write_rows

WORDS: Final = {
    "unsent": Decision("undelivered", "导购还没有确认群发"),
    "sent": Decision("delivered", "导购已确认, 群发已送达"),
    "no_contact": Decision("undelivered", "客户已不是好友, 群发未送达"),
    "over_quota": Decision("undelivered", "客户本月群发已达平台上限, 未送达"),
}


def note_link(session: Session, code: str, link: str, config_id: str, now: datetime) -> None:
    """A contact-way link was made: the follow-up that waits for it goes on."""
    session.execute(update(InviteRow).where(InviteRow.code == code).values(link=link, config_id=config_id))
    member_id = session.scalar(select(InviteRow.member_id).where(InviteRow.code == code))
    if member_id is not None:
        note(session, [Happening(INVITE_READY, member_id, f"invite:{code}", now, {"link": link})], now)


def ask_for_result(session: Session, row: Leased, msgid: str, now: datetime) -> None:
    """A 企业群发 task was taken by the platform: ask later what became of it."""
    payload = row.payload
    later = now + timedelta(hours=payload["result_after_h"])
    ask = effects.mass_result(f"{row.key}:result", payload["sop"], msgid, payload["sender"], payload["people"], later)
    outbox.add(session, [ask], now)


def note_mass(session: Session, payload: Mapping[str, Any], results: Mapping[str, str], now: datetime) -> None:
    """Write down for each person what became of a 企业群发."""
    rows = []
    for external, member_id in payload["people"].items():
        decision = WORDS[results.get(external, "unsent")]
        rows.append({
            "task": f"mass:{payload['msgid']}"[:80], "sop": payload["sop"], "member_id": member_id,
            "rep": payload["sender"], "decision": decision.outcome, "reason": decision.reason, "at": now,
            "channel": "mass",
        })  # fmt: skip
    write_rows(session, TouchRow, rows)
