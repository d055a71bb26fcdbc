"""Findings of fraud: looked for by the ticker, kept with their evidence, their points held, released or confiscated.

A finding accuses nobody by itself: somebody decides. Points at stake are what the programme gave a suspect within the
time a look goes back, and no more than they still have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, cast, func, select, update
from sqlalchemy.orm import Session, aliased

from loyalty import ledger
from loyalty.accounts import AVAILABLE, ISSUED, POINTS
from loyalty.balances import available
from loyalty.errors import FindingDecided, HoldClosed, NotEnough, UnknownFinding
from loyalty.fraud_rules import RULES, Look, Suspicion
from loyalty.insight_tables import FraudEvidence, FraudFinding, FraudSuspect
from loyalty.movements import Posted
from loyalty.programme import Programme
from loyalty.rhythms import move_mark, take_mark
from loyalty.storage import among
from loyalty.tables import Account, Transfer, table_of
from loyalty.writing import insert_new, insert_rows

OPEN, HELD, DISMISSED, RELEASED, CONFISCATED = "open", "held", "dismissed", "released", "confiscated"
EVERY: Final = timedelta(hours=1)
"""How often the ticker lets the rules look."""
_FINDINGS, _SUSPECTS = table_of(FraudFinding), table_of(FraudSuspect)


@dataclass(frozen=True, slots=True)
class Case:
    """A finding with all that belongs to it."""

    finding: FraudFinding
    suspects: tuple[FraudSuspect, ...]
    evidence: tuple[FraudEvidence, ...]


def look_when_due(session: Session, programme: Programme, now: datetime) -> list[int]:
    """Look once in a while, however often it is called and by however many; numbers of new findings."""
    upto = take_mark(session, "fraud", now)
    if upto is None or now.timestamp() < upto + EVERY.total_seconds():
        return []
    move_mark(session, "fraud", int(now.timestamp()), now)
    back = timedelta(days=programme.fraud.look_back_days)
    last = datetime.fromtimestamp(upto, now.tzinfo) if upto else now - back
    return look(session, programme, now, fresh_since=max(last - EVERY, now - back))


def look(session: Session, programme: Programme, now: datetime, fresh_since: datetime | None = None) -> list[int]:
    """Let every rule look and keep what is new; numbers of new findings. What is known is not found again while the
    look still sees it. Holds points at once where the programme says so."""
    policy = programme.fraud
    back = now - timedelta(days=policy.look_back_days)
    seen = Look(session, policy, now, fresh_since or back)
    known = {key.rpartition(":")[0] for key in session.scalars(
        select(FraudFinding.key).where(FraudFinding.found_at > back))}
    fresh: dict[str, Suspicion] = {}
    for rule in RULES:
        for each in rule(seen):
            if each.score >= policy.least_score and f"{each.rule}:{each.subject}" not in known:
                fresh[f"{each.rule}:{each.subject}:{each.first_at:%Y%m%d}"] = each
    made = _write(session, fresh, now, back)
    if policy.hold_from_score is not None:
        for finding_id, key in made:
            if fresh[key].score >= policy.hold_from_score:
                hold(session, finding_id, programme, by="rule", at=now)
    return [finding_id for finding_id, _ in made]


def findings(session: Session, states: Collection[str] = (OPEN, HELD), limit: int = 100) -> list[FraudFinding]:
    """Findings in these states, the highest score first, then the oldest."""
    return list(session.scalars(select(FraudFinding).where(FraudFinding.state.in_(states))
                                .order_by(FraudFinding.score.desc(), FraudFinding.id).limit(limit)))


def case_of(session: Session, finding_id: int) -> Case:
    """A finding with suspects and evidence; raises UnknownFinding."""
    finding = session.get(FraudFinding, finding_id, populate_existing=True)
    if finding is None:
        raise UnknownFinding(finding_id)
    return Case(finding, tuple(_suspects(session, finding_id)),
                tuple(session.scalars(select(FraudEvidence).where(FraudEvidence.finding_id == finding_id)
                                      .order_by(FraudEvidence.place))))


def hold(session: Session, finding_id: int, programme: Programme, *, by: str, at: datetime) -> int:
    """Hold the points at stake for review, until `fraud.hold_days` are over; how many points.

    Raises UnknownFinding, FindingDecided.
    """
    _decide(session, finding_id, (OPEN,), HELD, by, at)
    suspects = _suspects(session, finding_id)
    free = available(session, [each.member_id for each in suspects], at)
    until, total = at + timedelta(days=programme.fraud.hold_days), 0
    for each in suspects:
        amount = min(each.points, max(0, free.get(each.member_id, 0)))
        if amount == 0:
            continue
        key = f"fraud:{finding_id}:{each.member_id}"
        try:
            ledger.hold(session, each.member_id, amount, key=key, reason="fraud review", until=until, at=at,
                        ref=str(finding_id))
        except NotEnough:
            continue  # spent in this very moment: nothing is left to hold
        session.execute(update(_SUSPECTS).where(_SUSPECTS.c.id == each.id).values(hold_key=key, held=amount))
        total += amount
    return total


def release(session: Session, finding_id: int, *, by: str, at: datetime, note: str = "") -> int:
    """The suspicion was wrong: held points go back to their lots; how many. Raises UnknownFinding, FindingDecided."""
    _decide(session, finding_id, (HELD,), RELEASED, by, at, note)
    return _end_holds(session, finding_id, ledger.release, "released", at)


def confiscate(session: Session, finding_id: int, *, by: str, at: datetime, note: str = "") -> int:
    """The suspicion was right: held points are taken; how many, less what timed out. Raises UnknownFinding,
    FindingDecided."""
    _decide(session, finding_id, (HELD,), CONFISCATED, by, at, note)
    return _end_holds(session, finding_id, ledger.settle, "confiscated", at)


def dismiss(session: Session, finding_id: int, *, by: str, at: datetime, note: str = "") -> int:
    """Nothing of it: the finding is closed, held points go back; how many. Raises UnknownFinding, FindingDecided."""
    _decide(session, finding_id, (OPEN, HELD), DISMISSED, by, at, note)
    return _end_holds(session, finding_id, ledger.release, "released", at)


def _write(session: Session, fresh: dict[str, Suspicion], now: datetime, back: datetime) -> list[tuple[int, str]]:
    rows = [{"key": key, "rule": each.rule, "score": each.score, "said": each.said, "mend": each.mend, "state": OPEN,
             "found_at": now} for key, each in fresh.items()]
    made = [(row.id, row.key) for row in insert_new(session, FraudFinding, rows, ["id", "key"])]
    gained = _gained(session, {member for _, key in made for member in fresh[key].members}, back, now)
    insert_rows(session, FraudSuspect, [
        {"finding_id": id, "member_id": member, "points": gained.get(member, 0), "held": 0}
        for id, key in made for member in fresh[key].members])
    insert_rows(session, FraudEvidence, [
        {"finding_id": id, "place": place, "table_name": proof.table, "row_id": proof.row_id, "said": proof.said,
         "at": proof.at} for id, key in made for place, proof in enumerate(fresh[key].evidence, 1)])
    return made


def _gained(session: Session, members: Collection[int], since: datetime, now: datetime) -> dict[int, int]:
    """Points the programme gave each member since then."""
    giver, taker = aliased(Account), aliased(Account)
    rows = session.execute(
        select(taker.owner, cast(func.sum(Transfer.amount), BigInteger))
        .join(taker, taker.id == Transfer.credit_id).join(giver, giver.id == Transfer.debit_id)
        .where(among(taker.owner, list(members)), taker.asset == POINTS, taker.kind == AVAILABLE, giver.kind == ISSUED,
               Transfer.at > since, Transfer.at <= now).group_by(taker.owner))
    found: dict[int, int] = defaultdict(int)
    for member, amount in rows:
        found[member] = int(amount)
    return found


def _suspects(session: Session, finding_id: int) -> Sequence[FraudSuspect]:
    return session.scalars(select(FraudSuspect).where(FraudSuspect.finding_id == finding_id)
                           .order_by(FraudSuspect.member_id).execution_options(populate_existing=True)).all()


def _decide(session: Session, finding_id: int, states: Collection[str], state: str, by: str, at: datetime,
            note: str = "") -> None:
    found = session.execute(select(_FINDINGS.c.state).where(_FINDINGS.c.id == finding_id).with_for_update()).first()
    if found is None:
        raise UnknownFinding(finding_id)
    if found.state not in states:
        raise FindingDecided(finding_id, found.state, " or ".join(states))
    session.execute(update(_FINDINGS).where(_FINDINGS.c.id == finding_id)
                    .values(state=state, decided_by=by, decided_at=at, note=note or None))


def _end_holds(session: Session, finding_id: int, end: Callable[..., Posted], word: str, at: datetime) -> int:
    total = 0
    for each in _suspects(session, finding_id):
        if each.hold_key is None:
            continue
        try:
            total += end(session, each.hold_key, key=f"{each.hold_key}:{word}", at=at,
                         reason=f"fraud {word}", ref=str(finding_id)).amount
        except HoldClosed:
            continue  # its time was over: the points went back by themselves
    return total
