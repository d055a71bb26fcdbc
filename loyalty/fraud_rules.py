"""What looks like abuse: each rule reads rows set-based and gives suspicions with their evidence.

A rule's score is what it saw beyond what the policy allows, from 0 to 100; docs/howto/know_your_members.md tells each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from math import log2
from typing import Any, Final

from sqlalchemy import BigInteger, cast, extract, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from loyalty.campaign_tables import Activity, Referral
from loyalty.fraud_links import Tie, groups_of, ties
from loyalty.fraud_parts import FraudPolicy, Pace
from loyalty.storage import among
from loyalty.tables import Order, PurchaseSummary, Redemption, Refund

MOST_EVIDENCE: Final = 50
"""Rows of evidence a finding keeps; the first ones are enough to look further."""
GROWN: Final = timedelta(days=7)
"""A friend that is younger may still buy."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A row that a suspicion rests on, said in words."""

    table: str
    row_id: int
    said: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What a rule saw of whom; `subject` names it again when it is seen again."""

    rule: str
    subject: str
    first_at: datetime
    score: int
    said: str
    mend: str
    members: tuple[int, ...]
    evidence: tuple[Proof, ...]


@dataclass(frozen=True)
class Look:
    """One look at everything since a moment; what several rules need is read once."""

    session: Session
    policy: FraudPolicy
    now: datetime
    fresh_since: datetime

    @property
    def since(self) -> datetime:
        """How far rules look back."""
        return self.now - timedelta(days=self.policy.look_back_days)

    @cached_property
    def shared(self) -> dict[tuple[str, str], list[Tie]]:
        """What several members stand by."""
        return ties(self.session, {*self.policy.shared_kinds, *self.policy.one_person_kinds})

    @cached_property
    def groups(self) -> list[list[int]]:
        """Members in groups by what they share."""
        named = {name: held for name, held in self.shared.items() if name[0] in self.policy.shared_kinds}
        return list(groups_of(named, self.policy).many())

    @cached_property
    def referrals(self) -> Sequence[Any]:
        """Who brought whom of late."""
        return self.session.execute(
            select(Referral.activity_id, Referral.friend_id, Referral.member_id, Referral.at)
            .where(Referral.at > self.since, Referral.at <= self.now).order_by(Referral.at, Referral.friend_id)).all()

    def buyers(self, members: Collection[int]) -> set[int]:
        """Who of these ever bought and kept something."""
        return set(self.session.scalars(select(PurchaseSummary.member_id).where(
            among(PurchaseSummary.member_id, list(members)), PurchaseSummary.amount_fen > 0)))


def fast_orders(look: Look) -> Iterator[Suspicion]:
    """More orders within hours than somebody makes who buys for themselves."""
    return _too_fast(look, "velocity_orders", "笔订单", look.policy.orders, Order, Order.paid_at, Order.state == "paid",
                     "核对订单是否真实（刷单、员工代下）；先冻结所得积分，再决定释放或没收")


def fast_activities(look: Look) -> Iterator[Suspicion]:
    """More acts that earn within an hour than hands can do."""
    return _too_fast(look, "velocity_activities", "次行为", look.policy.activities, Activity, Activity.at,
                     Activity.state.in_(["counted", "granted", "pending"]),
                     "检查是否脚本操作；给该行为加每日上限 caps.times_per_day")


def fast_redemptions(look: Look) -> Iterator[Suspicion]:
    """More redemptions within an hour than one person has use for."""
    return _too_fast(look, "burst_redemptions", "次兑换", look.policy.redemptions, Redemption, Redemption.at,
                     Redemption.state != "undone", "暂停核销和发货，核对账号是否被盗；给礼品加 per_member 上限")


def group_redemptions(look: Look) -> Iterator[Suspicion]:
    """Members who share a phone, device or address redeem at one time, each of them little."""
    pace = look.policy.redemptions
    of_group = {member: members for members in look.groups for member in members}
    rows = look.session.execute(
        select(Redemption.id, Redemption.member_id, Redemption.at, Redemption.name)
        .where(Redemption.at > look.since, Redemption.at <= look.now, Redemption.state != "undone",
               among(Redemption.member_id, list(of_group))).order_by(Redemption.at, Redemption.id)).all()
    by_group: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        by_group[of_group[row.member_id][0]].append(row)
    for head, made in by_group.items():
        burst = _densest(made, timedelta(hours=pace.within_h))
        members = sorted({row.member_id for row in burst})
        if len(burst) >= pace.times and len(members) > 2:
            proofs = _ties_among(look, members) + [
                Proof("redemptions", row.id, f"会员 {row.member_id} 兑换 {row.name}", row.at) for row in burst]
            yield Suspicion("burst_group", str(head), burst[0].at, _pace_score(len(burst), pace) + 10,
                            f"{len(members)} 个关联账号在 {pace.within_h:g} 小时内兑换 {len(burst)} 次",
                            "暂停这些账号的发货，核对收货人；给礼品加 per_member 上限", tuple(members),
                            tuple(proofs[:MOST_EVIDENCE]))


def many_accounts(look: Look) -> Iterator[Suspicion]:
    """Many accounts on one phone or device, most of which never bought."""
    limit = look.policy.accounts_on_one
    many = {name: held for name, held in look.shared.items()
            if name[0] in look.policy.one_person_kinds and len(held) >= limit}
    bought = look.buyers({tie.member_id for held in many.values() for tie in held})
    for (kind, _), held in many.items():
        members = sorted(tie.member_id for tie in held)
        empty = sum(member not in bought for member in members) / len(members)
        if len(members) > look.policy.crowd and empty < 0.5:
            continue  # a till's tablet or a shop's own phone: many customers of flesh and blood
        proofs = tuple(Proof(tie.table, tie.row_id, f"会员 {tie.member_id} 使用同一 {kind}", tie.at) for tie in held)
        yield Suspicion("many_accounts", f"{kind}:{members[0]}", min(tie.at for tie in held),
                        min(100, round(5 + 5 * (len(members) - limit) + 65 * empty)),
                        f"{len(members)} 个账号共用一个 {kind}，{empty:.0%} 从未购买",
                        "是同一个人就合并账号；不是就停用其余账号的新人礼", tuple(members), proofs[:MOST_EVIDENCE])


def self_referrals(look: Look) -> Iterator[Suspicion]:
    """Rings: who brought whom within a group that shares phones, devices or addresses."""
    head = {member: members[0] for members in look.groups for member in members}
    inside: dict[int, list[Any]] = defaultdict(list)
    for row in look.referrals:
        if row.member_id in head and head.get(row.friend_id) == head[row.member_id]:
            inside[head[row.member_id]].append(row)
    bought = look.buyers({row.friend_id for rows in inside.values() for row in rows})
    for group, rows in inside.items():
        if len(rows) < look.policy.ring_referrals:
            continue
        members = sorted({member for row in rows for member in (row.member_id, row.friend_id)})
        empty = sum(row.friend_id not in bought for row in rows) / len(rows)
        proofs = [*_ties_among(look, members), *_brought(rows)]
        yield Suspicion("self_referral", str(group), rows[0].at, min(100, round(5 + 6 * len(rows) + 60 * empty)),
                        f"{len(members)} 个关联账号互相邀请 {len(rows)} 次，{empty:.0%} 的好友从未购买",
                        "没收邀请奖励；要求好友首单后才发奖（when: friend_orders > 0）", tuple(members),
                        tuple(proofs[:MOST_EVIDENCE]))


def referral_circles(look: Look) -> Iterator[Suspicion]:
    """A brought B, B brought C, C brought A: nobody was brought from outside."""
    by = {row.friend_id: row for row in look.referrals}
    done: set[int] = set()
    for start in sorted(by):
        trail: dict[int, None] = {}
        member = start
        while member in by and member not in done and member not in trail:
            trail[member] = None
            member = by[member].member_id
        if member in trail:
            circle = list(trail)[list(trail).index(member):]
            rows = sorted((by[each] for each in circle), key=lambda row: row.at)
            yield Suspicion("referral_circle", str(min(circle)), rows[0].at, 90, f"{len(circle)} 个会员互相邀请成环",
                            "没收环上的邀请奖励", tuple(sorted(circle)), tuple(_brought(rows)[:MOST_EVIDENCE]))
        done.update(trail)


def empty_referrals(look: Look) -> Iterator[Suspicion]:
    """Somebody brings many friends, and hardly one of them buys."""
    brought: dict[int, list[Any]] = defaultdict(list)
    for row in look.referrals:
        if row.at <= look.now - GROWN:
            brought[row.member_id].append(row)
    many = {member: rows for member, rows in brought.items() if len(rows) >= look.policy.empty_referrals}
    bought = look.buyers({row.friend_id for rows in many.values() for row in rows})
    for member, rows in many.items():
        empty = sum(row.friend_id not in bought for row in rows) / len(rows)
        if empty >= 0.8:
            score = min(100, round(40 + 30 * (empty - 0.8) / 0.2 + 3 * (len(rows) - look.policy.empty_referrals)))
            yield Suspicion("empty_referrals", str(member), rows[0].at, score,
                            f"邀请 {len(rows)} 位好友，{empty:.0%} 一周后仍未购买",
                            "核对好友是否真人；要求好友首单后才发奖（when: friend_orders > 0）", (member,),
                            tuple(_brought(rows)[:MOST_EVIDENCE]))


def refund_loops(look: Look) -> Iterator[Suspicion]:
    """Buys, gains, gives back, again and again; worse where the points were spent before."""
    paid = (select(Order.member_id, cast(func.sum(Order.amount_fen), BigInteger).label("fen"))
            .where(Order.paid_at > look.since, Order.paid_at <= look.now).group_by(Order.member_id).subquery())
    back = (select(Order.member_id, func.count(func.distinct(Refund.order_id)).label("times"),
                   cast(func.sum(Refund.amount_fen), BigInteger).label("fen"),
                   cast(func.sum(Refund.waived + Refund.owed), BigInteger).label("spent"))
            .join(Order, Order.id == Refund.order_id)
            .where(Refund.at > look.since, Refund.at <= look.now, Order.paid_at > look.since)
            .group_by(Order.member_id).subquery())
    policy = look.policy
    rows = look.session.execute(
        select(back.c.member_id, back.c.times, back.c.fen, back.c.spent, paid.c.fen.label("paid"))
        .join(paid, paid.c.member_id == back.c.member_id)
        .where(back.c.times >= policy.refunds, back.c.fen >= paid.c.fen * policy.refunded_share)
        .order_by(back.c.member_id)).all()
    proofs = _refunds_of(look, [row.member_id for row in rows])
    for row in rows:
        share = float(row.fen) / float(row.paid)
        score = 35 + 8 * (row.times - policy.refunds) + 25 * (share - policy.refunded_share) + 25 * (row.spent > 0)
        evidence = proofs[row.member_id]
        yield Suspicion("refund_loop", str(row.member_id), evidence[0].at or look.now, min(100, round(score)),
                        f"{row.times} 笔订单退款，占金额 {share:.0%}，{row.spent} 积分退款前已花掉",
                        "退货期内积分先不可用（earning.pending_days）；冻结剩余积分后人工核对", (row.member_id,),
                        tuple(evidence[:MOST_EVIDENCE]))


def _too_fast(look: Look, rule: str, words: str, pace: Pace, entity: Any, when: InstrumentedAttribute[datetime],
              counts: Any, mend: str) -> Iterator[Suspicion]:
    """Members of whom `times` rows lie within `within_h` hours, found by looking so many rows back."""
    begin = look.fresh_since - timedelta(hours=pace.within_h)
    back = func.lag(when, pace.times - 1).over(partition_by=entity.member_id, order_by=(when, entity.id))
    seen = select(entity.member_id.label("member_id"), when.label("at"), back.label("back")).where(
        when > begin, when <= look.now, counts).subquery()
    fast = extract("epoch", seen.c.at) - extract("epoch", seen.c.back) <= pace.within_h * 3600
    quick = sorted(set(look.session.scalars(select(seen.c.member_id).where(seen.c.back.is_not(None), fast))))
    rows = look.session.execute(
        select(entity.id, entity.member_id, when.label("at"))
        .where(among(entity.member_id, quick), when > begin, when <= look.now, counts)
        .order_by(entity.member_id, when, entity.id)).all()
    by_member: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        by_member[row.member_id].append(row)
    for member, theirs in by_member.items():
        burst = _densest(theirs, timedelta(hours=pace.within_h))
        yield Suspicion(rule, str(member), burst[0].at, _pace_score(len(burst), pace),
                        f"{pace.within_h:g} 小时内 {len(burst)} {words}（上限 {pace.times - 1}）", mend, (member,),
                        tuple(Proof(entity.__tablename__, row.id, f"第 {place} {words[0]}", row.at)
                              for place, row in enumerate(burst[:MOST_EVIDENCE], 1)))


def _densest(rows: Sequence[Any], within: timedelta) -> Sequence[Any]:
    """The longest run of rows, in order of time, that lies within a span."""
    best, first = (0, 0), 0
    for last, row in enumerate(rows):
        while row.at - rows[first].at > within:
            first += 1
        if last + 1 - first > best[1] - best[0]:
            best = (first, last + 1)
    return rows[slice(*best)]


def _pace_score(times: int, pace: Pace) -> int:
    return min(100, round(55 + 30 * log2(times / pace.times)))


def _ties_among(look: Look, members: Sequence[int]) -> list[Proof]:
    inside = set(members)
    found = []
    for (kind, _), held in look.shared.items():
        together = [tie for tie in held if tie.member_id in inside]
        if len(together) > 1 and len(held) <= look.policy.crowd:
            found += [Proof(tie.table, tie.row_id, f"会员 {tie.member_id} 共用 {kind}", tie.at) for tie in together]
    return found[:MOST_EVIDENCE // 2]


def _brought(rows: Sequence[Any]) -> list[Proof]:
    return [Proof("activities", row.activity_id, f"会员 {row.member_id} 邀请会员 {row.friend_id}", row.at)
            for row in rows]


def _refunds_of(look: Look, members: Sequence[int]) -> dict[int, list[Proof]]:
    rows = look.session.execute(
        select(Refund.id, Refund.at, Refund.amount_fen, Order.member_id, Order.external_id)
        .join(Order, Order.id == Refund.order_id)
        .where(among(Order.member_id, list(members)), Refund.at > look.since, Refund.at <= look.now)
        .order_by(Refund.at, Refund.id))
    found: dict[int, list[Proof]] = defaultdict(list)
    for row in rows:
        found[row.member_id].append(
            Proof("refunds", row.id, f"订单 {row.external_id} 退款 {row.amount_fen / 100:.2f} 元", row.at))
    return found


RULES: Final[tuple[Callable[[Look], Iterator[Suspicion]], ...]] = (
    fast_orders, fast_activities, fast_redemptions, group_redemptions, many_accounts, self_referrals,
    referral_circles, empty_referrals, refund_loops)
"""Every rule, in the order they look."""
