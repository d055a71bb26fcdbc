"""Tables of the service dialogs: parcels, cases, appointments with their slots, and surveys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Index, SmallInteger, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from loyalty.storage import PERSONAL, Base, Id


class ShipmentRow(Base):
    """A parcel of an order; `state` is packed, shipped, moving, delivering, delivered, problem or returned.

    `told_at` is the moment the carrier spoke of, `note` what it said last.
    """

    __tablename__ = "shipments"
    id: Mapped[Id]
    order_id: Mapped[int] = mapped_column(index=True)
    number: Mapped[str] = mapped_column(String(64))
    carrier: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    note: Mapped[str] = mapped_column(String(200), server_default="", info=PERSONAL)
    told_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("order_id", "number"),)


class CaseRow(Base):
    """Something a person of the brand has to settle; `kind` is return, address or invoice.

    `state` is open, done, withdrawn (by the customer) or dropped (never handed in). `facts` is what was collected.
    """

    __tablename__ = "cases"
    id: Mapped[Id]
    key: Mapped[str] = mapped_column(String(200), unique=True)
    kind: Mapped[str] = mapped_column(String(24))
    member_id: Mapped[int]
    chat: Mapped[str] = mapped_column(String(160))
    state: Mapped[str] = mapped_column(String(16))
    facts: Mapped[dict[str, Any]] = mapped_column(JSON, info=PERSONAL)
    opened_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    __table_args__ = (Index("ix_cases_member", "member_id", "id"),)


class SlotRow(Base):
    """How many people come to a service in one slot; its row is what two bookings at once compete for."""

    __tablename__ = "appointment_slots"
    service: Mapped[str] = mapped_column(String(40), primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(primary_key=True)
    taken: Mapped[int] = mapped_column(SmallInteger)
    __table_args__ = (CheckConstraint("taken >= 0", name="taken_not_negative"),)


class AppointmentRow(Base):
    """A visit that was booked; `state` is booked or cancelled, `remind_at` the next moment to remind of it."""

    __tablename__ = "appointments"
    id: Mapped[Id]
    key: Mapped[str] = mapped_column(String(200), unique=True)
    member_id: Mapped[int]
    service: Mapped[str] = mapped_column(String(40))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    people: Mapped[int] = mapped_column(SmallInteger)
    chat: Mapped[str] = mapped_column(String(160))
    state: Mapped[str] = mapped_column(String(16))
    moves: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    remind_at: Mapped[datetime | None]
    booked_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    __table_args__ = (
        Index("ix_appointments_member", "member_id", "starts_at"),
        Index("ix_appointments_due", "remind_at",
              sqlite_where=text("remind_at IS NOT NULL"), postgresql_where=text("remind_at IS NOT NULL")),
    )  # fmt: skip


class SurveyRow(Base):
    """A customer was asked how content they are; `score` runs from 0 to 10, `about` says what it was asked for."""

    __tablename__ = "surveys"
    id: Mapped[Id]
    key: Mapped[str] = mapped_column(String(200), unique=True)
    member_id: Mapped[int]
    about: Mapped[str] = mapped_column(String(40))
    chat: Mapped[str] = mapped_column(String(160))
    asked_at: Mapped[datetime]
    score: Mapped[int | None] = mapped_column(SmallInteger)
    reason: Mapped[str | None] = mapped_column(Text, info=PERSONAL)
    answered_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_surveys_member", "member_id", "asked_at"),)
