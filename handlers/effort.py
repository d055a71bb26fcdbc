"""费力度: what a service step cost the customer, less what the company did for them; lower is better.

The Customer Effort Score (Dixon, Freeman and Toman, Stop Trying to Delight Your Customers, Harvard Business Review,
July 2010) asks customers how much effort they had to put forth, and names what drives it: contacting again, repeating
oneself, being transferred, waiting. Here the drivers are counted in the stored conversations, so everybody is heard and
not only those who answer a survey:

    score = messages + 2 repeats + waiting/10 min + 3 transfers + 3 re-entries
            - 0.5 pre-filled - 1 proactive - 2 solved at once

One message that is answered at once scores -1; three messages, a quarter of an hour and a transfer score 7.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from itertools import groupby
from statistics import mean, median
from typing import Any, Final

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from handlers.effort_tables import EffortRow
from handlers.followup.runs import task_of
from handlers.followup.tables import TouchRow
from handlers.talk.messages import CUSTOMER_CHANNELS
from handlers.talk.outbox import SENT
from handlers.talk.tables import OutboxRow, VerdictRow
from loyalty.storage import among
from loyalty.tables import PurchaseSummary
from loyalty.writing import write_rows

STEPS: Final = {
    "membership": "join", "points_query": "query", "points_rules": "query", "stored_value": "query",
    "promotion_query": "query", "product_question": "query", "order_logistics": "parcel", "points_redeem": "redeem",
    "return_exchange": "return", "complaint": "complaint", "appointment": "appointment", "human_agent": "person",
    "purchase_intent": "buy", "running_out": "buy", "buying_for_friend": "buy", "switch_product": "buy",
    "opt_out": "opt_out", "check_in": "check_in",
}  # fmt: skip
"""Which service step a scenario belongs to; a brand's own scenario is a step of its own."""
WEIGHTS: Final = {
    "messages": 1.0, "repeats": 2.0, "wait_min": 0.1, "transfers": 3.0, "reentries": 3.0,
    "prefilled": -0.5, "proactive": -1.0, "at_once": -2.0,
}  # fmt: skip
"""What each thing counts; those below 0 the company did."""
APART: Final = timedelta(hours=2)
"""So long without a word ends a conversation."""
BACK_WITHIN: Final = timedelta(days=7)
"""Who comes again so soon with the same step was not done."""
BEFORE: Final = timedelta(hours=48)
"""A follow-up so long before counts as having come to meet the customer."""
LONGEST_WAIT_MIN: Final = 120
AT_ONCE: Final = timedelta(minutes=1)
SAME: Final = 0.85
"""From this likeness on two texts say the same."""
_SCENARIOS: Final = msgspec.json.Decoder(dict[str, float])


@dataclass(slots=True)
class Said:
    """One message of a customer and what came of it."""

    key: str
    text: str
    at: datetime
    decision: str
    scenarios: Sequence[str]
    answered_at: datetime | None = None
    with_menu: bool = False
    handed_over: bool = False


@dataclass(slots=True)
class Episode:
    """A service step of one customer in one chat."""

    member_id: int
    chat: str
    channel: str
    step: str
    said: list[Said] = field(default_factory=list)

    @property
    def began_at(self) -> datetime:
        """The first message."""
        return self.said[0].at

    @property
    def ended_at(self) -> datetime:
        """The last message."""
        return self.said[-1].at


def measure(session: Session, since: datetime, until: datetime) -> int:
    """Score every conversation that began in this time and is over; what was scored before stays. Gives how many."""
    count = 0
    for found in _in_pages(_episodes(_messages(session, since, until), until)):
        _look_up_answers(session, [said for episode in found for said in episode.said])
        met, earlier = _met(session, found, since), _earlier(session, found, since)
        rows = []
        for episode in found:
            before = earlier.setdefault((episode.member_id, episode.step), [])
            rows.append(_row(episode, met.get(episode.member_id, []), before))
            before.append(episode.ended_at)
        write_rows(session, EffortRow, rows)
        count += len(rows)
    return count


@dataclass(frozen=True, slots=True)
class StepEffort:
    """A service step over many conversations: the scores, what they are made of, and how much its customers spend."""

    step: str
    conversations: int
    mean: float
    median: float
    spend_share: float
    spend_weighted: float
    parts: dict[str, float]


def by_step(session: Session, since: datetime, until: datetime) -> list[StepEffort]:
    """Every step, the one that costs most effort per yuan of its customers first.

    `spend_share` is the part of all spending that comes from the customers who went through the step;
    `spend_weighted` is the mean score where each customer counts by what they spend.
    """
    total = int(session.scalar(select(func.sum(PurchaseSummary.amount_fen))) or 0)
    rows = session.execute(
        select(EffortRow.step, EffortRow.member_id, EffortRow.score, PurchaseSummary.amount_fen,
               *(getattr(EffortRow, name) for name in WEIGHTS))
        .join(PurchaseSummary, PurchaseSummary.member_id == EffortRow.member_id, isouter=True)
        .where(EffortRow.began_at >= since, EffortRow.began_at < until).order_by(EffortRow.step)
    ).all()  # fmt: skip
    found = []
    for step, group in groupby(rows, key=lambda row: row.step):
        each = list(group)
        spent = {row.member_id: row.amount_fen or 0 for row in each}
        weight = sum(row.amount_fen or 0 for row in each)
        weighted = sum(row.score * (row.amount_fen or 0) for row in each) / weight if weight else 0.0
        scores = [row.score for row in each]
        found.append(StepEffort(
            step, len(each), mean(scores), median(scores), sum(spent.values()) / total if total else 0.0, weighted,
            {name: mean(getattr(row, name) for row in each) for name in WEIGHTS},
        ))  # fmt: skip
    return sorted(found, key=lambda one: (-one.spend_share * max(one.mean, 0.0), -one.mean))


def score_of(counts: dict[str, int]) -> float:
    """The formula."""
    return round(sum(WEIGHTS[name] * count for name, count in counts.items()), 2)


def _messages(session: Session, since: datetime, until: datetime) -> Iterator[Any]:
    kept = select(
        VerdictRow.message_key, VerdictRow.member_id, VerdictRow.channel, VerdictRow.chat, VerdictRow.text,
        VerdictRow.at, VerdictRow.decision, VerdictRow.scenarios,
    ).where(
        VerdictRow.at >= since, VerdictRow.at < until, VerdictRow.member_id.is_not(None),
        VerdictRow.channel.in_(sorted(CUSTOMER_CHANNELS)),
    )  # fmt: skip
    in_order = kept.order_by(VerdictRow.member_id, VerdictRow.chat, VerdictRow.at, VerdictRow.id)
    return iter(session.execute(in_order, execution_options={"yield_per": 5000}))


def _episodes(rows: Iterator[Any], until: datetime) -> Iterator[Episode]:
    """Cut into conversations by silence, and these where another service step begins; small talk is none."""
    for (member_id, chat), group in groupby(rows, key=lambda row: (row.member_id, row.chat)):
        now: Episode | None = None
        for row in group:
            if row.decision == "noted" and not row.text:
                continue
            scenarios = sorted(found := _SCENARIOS.decode(row.scenarios), key=lambda name: -found[name])
            step = next((STEPS.get(name, name) for name in scenarios), "")
            is_over = now is not None and (row.at - now.ended_at > APART or step not in ("", now.step))
            if now is not None and is_over:
                yield now
                now = None
            if now is None and step:
                now = Episode(member_id, chat, row.channel, step)
            # In a group only what was heard as a need belongs to it; the rest is talk among customers.
            if now is not None and (step or row.channel != "group"):
                now.said.append(Said(row.message_key, row.text, row.at, row.decision, scenarios))
        if now is not None and until - now.ended_at > APART:
            yield now


def _look_up_answers(session: Session, said: Sequence[Said]) -> None:
    """When each message was answered: by the service, or by a rep who tapped the card."""
    by_key = {one.key: one for one in said}
    keys = [f"{prefix}:{key}{end}" for key in by_key
            for prefix, end in (("say", ":0"), ("handover-say", ":0"), ("handover", ""))]  # fmt: skip
    rows = session.execute(
        select(OutboxRow.key, OutboxRow.kind, OutboxRow.state, OutboxRow.sent_at).where(among(OutboxRow.key, keys))
    )
    for row in rows:
        prefix, _, rest = row.key.partition(":")
        one = by_key[rest if prefix == "handover" else rest.rpartition(":")[0]]
        one.handed_over |= prefix.startswith("handover")
        one.with_menu |= row.kind == "kf_menu"
        if row.state == SENT and prefix == "say":
            one.answered_at = row.sent_at
    tasks = {task_of(name, one.key): one for one in said for name in one.scenarios}
    done = session.execute(
        select(TouchRow.task, func.min(TouchRow.at).label("at"))
        .where(among(TouchRow.task, sorted(tasks)), TouchRow.decision == "done").group_by(TouchRow.task)
    )  # fmt: skip
    for task, at in done:
        one = tasks[task]
        one.answered_at = min(one.answered_at or at, at)


def _met(session: Session, episodes: Sequence[Episode], since: datetime) -> dict[int, list[datetime]]:
    members = sorted({episode.member_id for episode in episodes})
    rows = session.execute(
        select(TouchRow.member_id, TouchRow.at).where(
            among(TouchRow.member_id, members), TouchRow.decision == "sent", TouchRow.weighs == 1,
            TouchRow.at > since - BEFORE,
        )
    )  # fmt: skip
    met: dict[int, list[datetime]] = {}
    for member_id, at in rows:
        met.setdefault(member_id, []).append(at)
    return met


def _earlier(
    session: Session, episodes: Sequence[Episode], since: datetime
) -> dict[tuple[int, str], list[datetime]]:
    members = sorted({episode.member_id for episode in episodes})
    rows = session.execute(
        select(EffortRow.member_id, EffortRow.step, EffortRow.ended_at).where(
            among(EffortRow.member_id, members), EffortRow.ended_at > since - BACK_WITHIN
        )
    )
    earlier: dict[tuple[int, str], list[datetime]] = {}
    for member_id, step, ended_at in rows:
        earlier.setdefault((member_id, step), []).append(ended_at)
    return earlier


def _row(episode: Episode, met: Sequence[datetime], before: Sequence[datetime]) -> dict[str, Any]:
    said, began_at = episode.said, episode.began_at
    counts = {
        "messages": len(said),
        "repeats": sum(_says_again(one.text, [other.text for other in said[:place]]) for place, one in enumerate(said)),
        "wait_min": sum(_wait_min(one, episode.ended_at) for one in said),
        "transfers": sum(one.handed_over for one in said),
        "reentries": sum(timedelta() < began_at - ended_at <= BACK_WITHIN for ended_at in before),
        "prefilled": sum(one.with_menu for one in said),
        "proactive": int(any(timedelta() <= began_at - at <= BEFORE for at in met)),
        "at_once": 0,
    }
    first = said[0].answered_at
    is_quick = first is not None and first - began_at <= AT_ONCE
    counts["at_once"] = int(is_quick and not (counts["repeats"] or counts["transfers"] or counts["reentries"]))
    return {
        "message_key": said[0].key, "member_id": episode.member_id, "chat": episode.chat, "channel": episode.channel,
        "step": episode.step[:40], "began_at": began_at, "ended_at": episode.ended_at, **counts,
        "score": score_of(counts),
    }  # fmt: skip


def _wait_min(one: Said, ended_at: datetime) -> int:
    """Whole minutes until the answer; what was promised and never came counts until the customer's last word."""
    if one.answered_at is not None:
        waited = one.answered_at - one.at
    elif one.decision in ("acted", "deferred"):
        waited = ended_at - one.at
    else:
        return 0
    return min(max(0, int(waited.total_seconds() // 60)), LONGEST_WAIT_MIN)


def _says_again(text: str, earlier: Sequence[str]) -> bool:
    """Whether a text says what was said before; a bare yes or number is an answer and never a repetition."""
    return len(text) > 3 and any(SequenceMatcher(None, text, other).ratio() >= SAME for other in earlier)


def _in_pages(episodes: Iterator[Episode], size: int = 500) -> Iterator[list[Episode]]:
    page: list[Episode] = []
    for episode in episodes:
        # Whoever comes back must be looked at in order, so a customer's episodes stay on one page.
        if len(page) >= size and page[-1].member_id != episode.member_id:
            yield sorted(page, key=lambda one: one.began_at)
            page = []
        page.append(episode)
    if page:
        yield sorted(page, key=lambda one: one.began_at)
