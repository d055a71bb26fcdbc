"""Coupons: issued once, locked for an order, used or unlocked, returned with the order, lapsed in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from loyalty.accounts import lock_member
from loyalty.answers import answer_once
from loyalty.baskets import Basket, discount
from loyalty.codes import new_code, plain_code
from loyalty.days import local_day, midnight_after
from loyalty.errors import CouponRefused, KeyReused, LimitReached, OutOfStock, RewardClosed, UnknownOffer
from loyalty.programme import Programme
from loyalty.reward_parts import CouponType
from loyalty.reward_tables import Coupon, CouponIssue
from loyalty.storage import among
from loyalty.tables import table_of
from loyalty.writing import body_hash, insert_new

_COUPONS, _ISSUES = table_of(Coupon), table_of(CouponIssue)
LOCK_FOR = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class CouponEntry:
    """A coupon as its member sees it; `order_ref` and `discount_fen` are set while it is locked or used."""

    id: int
    code: str
    member_id: int
    type_id: str
    name: str
    state: str
    issued_at: datetime
    expires_at: datetime
    order_ref: str | None
    discount_fen: int | None


@dataclass(frozen=True, slots=True)
class Fit:
    """A coupon against a basket: what it would take off, or `why` it cannot be used."""

    coupon: CouponEntry
    discount_fen: int
    why: str

    @property
    def usable(self) -> bool:
        """Whether it takes something off."""
        return not self.why


def issue(session: Session, member_id: int, type_id: str, key: str, programme: Programme, at: datetime,
          source: str = "") -> CouponEntry:
    """Give a member a coupon of a type, under the terms of now; the same key again gives the same coupon.

    Raises UnknownOffer, RewardClosed, LimitReached, OutOfStock, CouponRefused (it would be over), UnknownMember,
    KeyReused.
    """
    lock_member(session, member_id, "points")
    body = body_hash([member_id, type_id, source])
    known = _one(session, Coupon.key == key)
    if known is not None:
        return _known(known, key, body)
    kind = programme.coupon(type_id)
    expires_at = _may_issue(session, member_id, kind, programme, at)
    _count(session, kind)
    row = {
        "key": key, "body_hash": body, "member_id": member_id, "type_id": type_id,
        "terms": kind.model_dump(mode="json"), "source": source, "state": "issued", "issued_at": at,
        "expires_at": expires_at,
    }
    for _ in range(5):
        made = insert_new(session, Coupon, [row | {"code": new_code()}], ["id"])
        if made:
            return _entry(_by_id(session, made[0].id))
        raced = _one(session, Coupon.key == key)
        if raced is not None:
            _uncount(session, [raced])
            return _known(raced, key, body)
    raise RuntimeError("five random codes in a row were taken: the random source is broken")


def of_member(session: Session, member_id: int, now: datetime, states: Collection[str] = ("issued", "locked"),
              limit: int = 100) -> list[CouponEntry]:
    """The member's coupons in these states, soonest to lapse first; one that waits for the sweep is out."""
    rows = session.execute(select(_COUPONS).where(Coupon.member_id == member_id, among(Coupon.state, states),
                                                  or_(Coupon.state != "issued", Coupon.expires_at > now))
                           .order_by(Coupon.expires_at, Coupon.id).limit(limit))
    return [_entry(row) for row in rows]


def usable(session: Session, member_id: int, basket: Basket, now: datetime) -> list[Fit]:
    """The member's coupons against a basket: usable ones first, best discount first, then those that do not fit."""
    rows = session.execute(
        select(_COUPONS).where(Coupon.member_id == member_id, among(Coupon.state, ["issued", "locked"]),
                               or_(Coupon.state == "locked", Coupon.expires_at > now)))
    fits = [_fit(row, basket, now) for row in rows]
    return sorted(fits, key=lambda fit: (bool(fit.why), -fit.discount_fen, fit.coupon.expires_at, fit.coupon.id))


def lock(session: Session, code: str, member_id: int, order_ref: str, basket: Basket, key: str, at: datetime,
         hold_for: timedelta = LOCK_FOR) -> CouponEntry:
    """Set a coupon aside for an order that is being paid; nobody else can use it until it is used or unlocked.

    Raises UnknownOffer, CouponRefused, KeyReused.
    """
    def work() -> CouponEntry:
        row = _mine(session, code, member_id)
        taken = _discount(session, row, order_ref, basket, at)
        return _move(session, row, _held_by_nobody(order_ref, at), "it was taken for another order", {
            "state": "locked", "order_ref": order_ref, "discount_fen": taken, "locked_until": at + hold_for})

    body = ["lock", plain_code(code), member_id, order_ref, basket.body]
    return answer_once(session, f"coupon:{key}", body, CouponEntry, work, at)


def use(session: Session, code: str, member_id: int, order_ref: str, basket: Basket, key: str,
        at: datetime) -> CouponEntry:
    """Use a coupon for a paid order, locked for it before or not; `discount_fen` is what it took off.

    A coupon locked in time stays good until its lock ends, even when it lapses meanwhile.
    Raises UnknownOffer, CouponRefused, KeyReused.
    """
    def work() -> CouponEntry:
        row = _mine(session, code, member_id)
        taken = _discount(session, row, order_ref, basket, at)
        return _move(session, row, _held_by_nobody(order_ref, at), "it was taken for another order", {
            "state": "used", "order_ref": order_ref, "discount_fen": taken, "locked_until": None, "ended_at": at})

    body = ["use", plain_code(code), member_id, order_ref, basket.body]
    return answer_once(session, f"coupon:{key}", body, CouponEntry, work, at)


def unlock(session: Session, code: str, member_id: int, order_ref: str, key: str, at: datetime) -> CouponEntry:
    """Let a locked coupon go: the order was not paid. Raises UnknownOffer, CouponRefused, KeyReused."""
    def work() -> CouponEntry:
        row = _mine(session, code, member_id)
        return _move(session, row, and_(Coupon.state == "locked", Coupon.order_ref == order_ref),
                     f"it is not locked for order {order_ref!r}", _freed(row, at))

    return answer_once(session, f"coupon:{key}", ["unlock", plain_code(code), member_id, order_ref], CouponEntry, work,
                       at)


def give_back(session: Session, code: str, member_id: int, order_ref: str, key: str, at: datetime) -> CouponEntry:
    """Return a used coupon because its order was refunded whole; it keeps its first expiry, so it may be over.

    Raises UnknownOffer, CouponRefused, KeyReused.
    """
    def work() -> CouponEntry:
        row = _mine(session, code, member_id)
        return _move(session, row, and_(Coupon.state == "used", Coupon.order_ref == order_ref),
                     f"it was not used for order {order_ref!r}", _freed(row, at))

    return answer_once(session, f"coupon:{key}", ["return", plain_code(code), member_id, order_ref], CouponEntry,
                       work, at)


def void(session: Session, source: str, at: datetime) -> bool:
    """Take away every coupon that came from one place, as `redemption:7`; False where one is not free any more."""
    owners = set(session.scalars(select(Coupon.member_id).where(Coupon.source == source)))
    for member_id in sorted(owners):
        lock_member(session, member_id, "points")
    if any(coupon.state != "issued" for coupon in of_source(session, source)):
        return False
    gone = session.execute(update(_COUPONS).where(Coupon.source == source).values(state="void", ended_at=at)
                           .returning(Coupon.type_id)).all()
    _uncount(session, gone)
    return True


def retract(session: Session, source: str) -> None:
    """Forget coupons that were issued in this very transaction, because what they belong to was refused."""
    _uncount(session, session.execute(delete(_COUPONS).where(Coupon.source == source).returning(Coupon.type_id)).all())


def of_source(session: Session, source: str) -> list[CouponEntry]:
    """The coupons that came from one place, as `redemption:7`."""
    return [_entry(row) for row in session.execute(
        select(_COUPONS).where(Coupon.source == source).order_by(Coupon.id))]


def sweep(session: Session, now: datetime, limit: int = 1000) -> int:
    """Free locks that timed out and lapse coupons that are over, at most `limit` of each; how many changed."""
    locks = _due(session, Coupon.state == "locked", Coupon.locked_until <= now, Coupon.locked_until, limit)
    freed = session.execute(update(_COUPONS).where(among(Coupon.id, locks), Coupon.state == "locked").values(
        state="issued", order_ref=None, discount_fen=None, locked_until=None).returning(Coupon.id)).all()
    over = _due(session, Coupon.state == "issued", Coupon.expires_at <= now, Coupon.expires_at, limit)
    lapsed = session.execute(update(_COUPONS).where(among(Coupon.id, over), Coupon.state == "issued").values(
        state="lapsed", ended_at=now).returning(Coupon.id)).all()
    return len(freed) + len(lapsed)


def lapsing(session: Session, since: datetime, until: datetime, limit: int = 10_000) -> list[CouponEntry]:
    """Unused coupons whose time is over in [since, until): whom to remind."""
    rows = session.execute(
        select(_COUPONS).where(Coupon.state == "issued", Coupon.expires_at >= since, Coupon.expires_at < until)
        .order_by(Coupon.expires_at, Coupon.id).limit(limit))
    return [_entry(row) for row in rows]


def _may_issue(session: Session, member_id: int, kind: CouponType, programme: Programme, at: datetime) -> datetime:
    if not kind.is_open(at):
        raise RewardClosed(kind.id, kind.open_from, kind.open_to)
    if kind.per_member is not None:
        had = session.scalar(select(func.count()).where(Coupon.member_id == member_id, Coupon.type_id == kind.id,
                                                        Coupon.state != "void")) or 0
        if had >= kind.per_member:
            raise LimitReached(kind.id, kind.per_member, had)
    ends = [] if kind.valid_to is None else [kind.valid_to]
    if kind.valid_days is not None:
        ends.append(midnight_after(local_day(at, programme.zone) + timedelta(days=kind.valid_days), programme.zone))
    if min(ends) <= at:
        raise CouponRefused(kind.id, f"its time is over since {min(ends)}; change valid_to in the programme")
    return min(ends)


def _count(session: Session, kind: CouponType) -> None:
    """Count one more where the type is limited, in one guarded statement; raises OutOfStock."""
    if kind.stock is None:
        return
    insert_new(session, CouponIssue, [{"type_id": kind.id, "issued": 0}], ["type_id"])
    done = session.execute(
        update(_ISSUES).where(CouponIssue.type_id == kind.id, CouponIssue.issued < kind.stock)
        .values(issued=_ISSUES.c.issued + 1).returning(CouponIssue.type_id)).first()
    if done is None:
        raise OutOfStock(kind.id, 0)


def _uncount(session: Session, gone: Sequence[Row[Any]]) -> None:
    for type_id, times in sorted(Counter(row.type_id for row in gone).items()):
        session.execute(update(_ISSUES).where(CouponIssue.type_id == type_id, CouponIssue.issued >= times)
                        .values(issued=_ISSUES.c.issued - times))


def _mine(session: Session, code: str, member_id: int) -> Row[Any]:
    """The member's coupon; whoever uses coupons of the same member waits, so that two orders see each other."""
    lock_member(session, member_id, "points")
    row = _one(session, Coupon.code == plain_code(code))
    if row is None or row.member_id != member_id:
        raise UnknownOffer("coupon", code)
    return row


def _discount(session: Session, row: Row[Any], order_ref: str, basket: Basket, at: datetime) -> int:
    fit = _fit(row, basket, at, order_ref)
    if fit.why:
        raise CouponRefused(row.code, fit.why)
    kind = CouponType.model_validate(row.terms)
    others = session.scalars(
        select(Coupon.terms).where(Coupon.member_id == row.member_id, Coupon.order_ref == order_ref,
                                   among(Coupon.state, ["locked", "used"]), Coupon.id != row.id)).all()
    if others and not (kind.stackable and all(terms["stackable"] for terms in others)):
        raise CouponRefused(row.code, f"order {order_ref!r} has a coupon that does not go with it")
    return fit.discount_fen


def _fit(row: Row[Any], basket: Basket, at: datetime, order_ref: str | None = None) -> Fit:
    kind = CouponType.model_validate(row.terms)
    locked = row.state == "locked" and row.locked_until > at
    if row.state not in ("issued", "locked"):
        why = f"it is {row.state}"
    elif locked and row.order_ref != order_ref:
        why = f"it is locked for order {row.order_ref!r}"
    elif not locked and row.expires_at <= at:
        why = f"it lapsed at {row.expires_at}"
    else:
        taken, why = discount(kind, basket)
        return Fit(_entry(row), taken, why)
    return Fit(_entry(row), 0, why)


def _held_by_nobody(order_ref: str, at: datetime) -> ColumnElement[bool]:
    ours = and_(Coupon.state == "locked", or_(Coupon.order_ref == order_ref, Coupon.locked_until <= at))
    return or_(Coupon.state == "issued", ours)


def _freed(row: Row[Any], at: datetime) -> dict[str, Any]:
    over = row.expires_at <= at
    return {"state": "lapsed" if over else "issued", "order_ref": None, "discount_fen": None, "locked_until": None,
            "ended_at": at if over else None}


def _move(session: Session, row: Row[Any], guard: ColumnElement[bool], why: str,
          values: dict[str, Any]) -> CouponEntry:
    """Change a coupon where it still is as the guard says; of any number at once, one succeeds."""
    statement = update(_COUPONS).where(Coupon.id == row.id, guard).values(**values).returning(*_COUPONS.c)
    moved = session.execute(statement).first()
    if moved is None:
        raise CouponRefused(row.code, why)
    return _entry(moved)


def _due(session: Session, state: ColumnElement[bool], over: ColumnElement[bool], when: InstrumentedAttribute[Any],
         limit: int) -> list[int]:
    """Ids read before the update: inside it PostgreSQL may run a limited subquery twice and take more."""
    return list(session.scalars(select(Coupon.id).where(state, over).order_by(when, Coupon.id).limit(limit)
                                .with_for_update(skip_locked=True)))


def _known(row: Row[Any], key: str, body: str) -> CouponEntry:
    if row.body_hash != body:
        raise KeyReused(key, row.body_hash, body)
    return _entry(row)


def _one(session: Session, which: ColumnElement[bool]) -> Row[Any] | None:
    return session.execute(select(_COUPONS).where(which)).first()


def _by_id(session: Session, coupon_id: int) -> Row[Any]:
    return session.execute(select(_COUPONS).where(Coupon.id == coupon_id)).one()


def _entry(row: Row[Any]) -> CouponEntry:
    return CouponEntry(row.id, row.code, row.member_id, row.type_id, row.terms["name"], row.state, row.issued_at,
                       row.expires_at, row.order_ref, row.discount_fen)
