"""Reminders of appointments: to the customer where a channel is open, else to the rep; each once, none too late."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from handlers.appointment_book import next_reminder
from handlers.appointment_words import day_words, service_words
from handlers.brand import Brand
from handlers.followup.caps import quiet_until
from handlers.followup.crowd import KF_OPEN, OA_OPEN, Crowd
from handlers.service_tables import AppointmentRow
from handlers.talk import effects
from handlers.talk.outbox import Outgoing

AT_ONCE: Final = 500


def due_reminders(session: Session, brand: Brand, now: datetime, limit: int = AT_ONCE) -> list[Outgoing]:
    """What goes to the outbox for visits whose reminder is due; the next reminder is set, so that none comes twice.

    Quiet hours put a reminder off; one that would come after the visit has begun, or to somebody who opted out, stays.
    """
    rows = session.scalars(
        select(AppointmentRow)
        .where(AppointmentRow.remind_at.is_not(None), AppointmentRow.remind_at <= now)
        .order_by(AppointmentRow.remind_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not rows:
        return []
    crowd = Crowd(session, {row.member_id for row in rows}, brand, now)
    outgoing: list[Outgoing] = []
    for row in rows:
        later = quiet_until(brand.restraint, now)
        if row.state != "booked" or row.starts_at <= now:
            row.remind_at = None
        elif later is not None and later < row.starts_at:
            row.remind_at = later
        else:
            outgoing += _remind(row, crowd, brand, now) if later is None else []
            row.remind_at = next_reminder(brand.appointments, row.starts_at, now)
    session.flush()
    return outgoing


def _remind(row: AppointmentRow, crowd: Crowd, brand: Brand, now: datetime) -> list[Outgoing]:
    member_id, profile = row.member_id, crowd.profile(row.member_id)
    if profile.opted_out_at is not None:
        return []
    zone = brand.programme.zone
    start = row.starts_at.astimezone(zone)
    service = brand.appointments.service(row.service)
    text = brand.replies.render(
        "appointment_reminder", name=profile.name, service=service_words(brand.appointments, row.service),
        day=day_words(start.date()), starts=f"{start:%H:%M}", place=brand.appointments.place,
        is_today=start.date() == now.astimezone(zone).date(), note=service.note if service else "",
    )  # fmt: skip
    key = f"remind:{row.id}:{row.moves}:{row.remind_at:%Y%m%d%H%M}"
    kf, oa = crowd.talked(member_id, "kf"), crowd.talked(member_id, "oa")
    if kf is not None and now - kf.at < KF_OPEN:
        touser = crowd.identity(member_id, "external_userid")
        return [effects.kf_text(key, touser, kf.chat.removeprefix("kf:"), text)]
    if oa is not None and now - oa.at < OA_OPEN:
        return [effects.oa_text(key, crowd.identity(member_id, "openid"), text)]
    serving = crowd.serving(member_id)
    rep = serving.rep if serving else brand.staff.default_rep or brand.staff.supervisor
    asked = brand.replies.render("rep_reminder", name=profile.name, text=text)
    return [effects.app_text(key, rep, asked)] if rep else []
