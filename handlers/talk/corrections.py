"""Corrections: a person's word that a message was understood wrongly, kept for the next training."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from handlers.talk.tables import CorrectionRow
from intents.scenarios import Labelled
from loyalty.writing import insert_into


def note(session: Session, message_key: str, text: str, scenario: str, is_right: bool, by: str, now: datetime) -> None:
    """Keep one person's judgement of one scenario of one message; said twice it stands once."""
    values = {"message_key": message_key, "text": text, "scenario": scenario, "is_right": is_right, "by": by, "at": now}
    session.execute(insert_into(session, CorrectionRow).on_conflict_do_nothing(), [values])


def for_training(session: Session) -> list[Labelled]:
    """What people said, as training messages: a wrong verdict is an example of none of its scenario."""
    rows = session.execute(select(CorrectionRow.text, CorrectionRow.scenario, CorrectionRow.is_right))
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(row.text, set()).update([row.scenario] if row.is_right else [])
    return [Labelled(text, frozenset(right)) for text, right in labels.items()]
