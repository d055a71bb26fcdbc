"""A message taken back: what it has not done yet is not done; what is done stays done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from handlers.followup.caps import Decision
from handlers.followup.runs import Journal, read_runs
from handlers.followup.tables import RunRow
from handlers.stage import Stage
from handlers.talk import outbox
from handlers.talk.inbox import Claimed
from handlers.talk.messages import Incoming
from handlers.talk.tables import OutboxRow, VerdictRow

WHY: Final = "客户撤回了这条消息"
WITHDRAWN: Final = "taken back: what it had not done yet is not done"


def targets(message: Incoming) -> frozenset[str]:
    """The keys a recall may mean, in the words of each source; none where it is no recall (wecom.md §5.5, §6.3)."""
    if message.kind == "recall":
        pre = message.data.get("pre_msgid", "")
    elif message.data.get("event_type") == "user_recall_msg":
        pre = message.data.get("recall_msgid", "")
    else:
        return frozenset()
    return frozenset({pre, f"archive:{pre}", f"{message.chat}:{pre}"} if pre else ())


def taken_back(claimed: Sequence[Claimed]) -> list[Claimed]:
    """The messages of a batch that their sender took back before they were read."""
    wanted = {(item.message.sender, key) for item in claimed for key in targets(item.message)}
    return [item for item in claimed if (item.message.sender, item.message.key) in wanted]


def undo(stage: Stage, message: Incoming, member_id: int) -> str:
    """Take back what waits: answers and cards that have not left, follow-ups, and the prompt it had opened."""
    session = stage.session
    found = session.execute(
        select(VerdictRow.message_key, VerdictRow.chat, VerdictRow.scenarios, VerdictRow.id).where(
            VerdictRow.message_key.in_(targets(message)), VerdictRow.member_id == member_id
        )
    ).one_or_none()
    if found is None:
        return "a message that nothing is known of was taken back"
    tasks = _stop_runs(session, found.message_key, member_id, stage.now)
    _withdraw(session, found.message_key, tasks, stage.now)
    newer = select(VerdictRow.id).where(
        VerdictRow.member_id == member_id, VerdictRow.chat == found.chat, VerdictRow.id > found.id,
        VerdictRow.text != "",
    )  # fmt: skip
    if found.scenarios != "{}" and session.scalar(newer.limit(1)) is None:
        stage.close_dialog((member_id, found.chat))
    return WITHDRAWN


def _stop_runs(session: Session, key: str, member_id: int, now: datetime) -> list[str]:
    mark = sha256(key.encode()).hexdigest()[:16]
    live = session.scalars(select(RunRow.task).where(RunRow.member_id == member_id, RunRow.task.endswith(f"-{mark}")))
    runs = read_runs(session, list(live))
    journal = Journal(session, now)
    for run in runs.values():
        if run.state != "prompted":
            run.state = "stopped"
            journal.keep(run)
            journal.note(run, Decision("skipped", WHY))
    journal.flush()
    return list(runs)


def _withdraw(session: Session, key: str, tasks: Iterable[str], now: datetime) -> None:
    begins = [f"say:{key}:", f"handover-say:{key}:", f"handover:{key}", *(f"card:{task}@" for task in tasks)]
    waiting = select(OutboxRow.id).where(
        or_(*(OutboxRow.key.startswith(begin, autoescape=True) for begin in begins)),
        OutboxRow.state == outbox.WAITING,
        OutboxRow.leased_until.is_(None),
        OutboxRow.attempts == 0,
    )
    outbox.withdraw(session, list(session.scalars(waiting.with_for_update(skip_locked=True))), WHY, now)
