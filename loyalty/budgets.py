"""What caps and budgets still allow: counted from rows that are locked, so that nobody gives the last points twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, bindparam, case, cast, func, select, update
from sqlalchemy.orm import Session

from loyalty.accounts import POINTS
from loyalty.campaign_tables import BudgetEvent, BudgetUse, Grant
from loyalty.campaigns import Budget, Campaign, Caps
from loyalty.costs import point_value_fen
from loyalty.programme import Programme
from loyalty.storage import among
from loyalty.tables import table_of
from loyalty.writing import insert_new, insert_rows

ALERT, STOP = "alert", "stop"
_NONE: Mapping[int, int] = {}
_USES, _GRANTS = table_of(BudgetUse), table_of(Grant)
_LOCKED = (select(BudgetUse).where(among(BudgetUse.campaign_id, "campaigns")).order_by(BudgetUse.campaign_id)
           .with_for_update().execution_options(populate_existing=True))
_SET_USE = (update(_USES).where(_USES.c.campaign_id == bindparam("campaign"))
            .values(points=bindparam("new_points"), direct_fen=bindparam("new_fen"), grants=bindparam("new_grants")))
_TIMES = func.count(func.distinct(func.coalesce(Grant.order_id, -Grant.activity_id)))
_POINTS = cast(func.coalesce(func.sum(case((Grant.asset == POINTS, Grant.amount), else_=0)), 0), BigInteger)
_TAKEN = (select(Grant.member_id, Grant.rule_id, Grant.campaign_id, Grant.day, _TIMES.label("times"),
                 _POINTS.label("points"))
          .where(among(Grant.member_id, "members"))
          .group_by(Grant.member_id, Grant.rule_id, Grant.campaign_id, Grant.day))


@dataclass(frozen=True, slots=True)
class BudgetState:
    """How much of a limit is used; `unit` is points, money_fen or grants."""

    campaign_id: str
    unit: str
    used: int
    most: int


@dataclass(slots=True)
class _Use:
    points: int
    direct_fen: int
    grants: int
    changed: bool = False


@dataclass(slots=True)
class _Taken:
    times: int = 0
    points: int = 0


@dataclass
class Allowance:
    """What one transaction may still give; the members it is for must be locked, budget rows are locked here.

    `give` decides in memory, `write` stores what was decided.
    """

    session: Session
    programme: Programme
    at: datetime
    _taken: dict[tuple[Any, ...], _Taken] = field(default_factory=lambda: defaultdict(_Taken))
    _uses: dict[str, _Use] = field(default_factory=dict)
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _events: list[dict[str, Any]] = field(default_factory=list)

    def load(self, member_ids: Collection[int], campaign_ids: Collection[str], capped: bool) -> Allowance:
        """Read what the members took, and lock the budgets of these campaigns."""
        if capped:
            for row in self.session.execute(_TAKEN, {"members": sorted(member_ids)}):
                self._note(row.member_id, row.rule_id, row.campaign_id, row.day, row.times, row.points)
        wanted = sorted(id for id in campaign_ids if (it := self.programme.campaign(id)) and it.budget)
        if wanted:
            insert_new(self.session, BudgetUse, [
                {"campaign_id": id, "points": 0, "direct_fen": 0, "grants": 0} for id in wanted], ["campaign_id"])
            for use in self.session.scalars(_LOCKED, {"campaigns": wanted}):
                self._uses[use.campaign_id] = _Use(use.points, use.direct_fen, use.grants)
        return self

    def give(self, member_id: int, rule_id: str, campaign_id: str | None, caps: Caps,
             gains: Sequence[tuple[str, int]], day: date, cost_fen: int = 0, **source: int | None,
             ) -> tuple[list[tuple[str, int]], str]:
        """What of the gains may be given now, and where it is less, which limit stands against it.

        Points are cut to what a cap leaves; a budget gives the whole or nothing.
        """
        campaign = self.programme.campaign(campaign_id)
        left, reason = self._left(member_id, rule_id, campaign, caps, day)
        if left == 0:
            return [], reason
        allowed = [(asset, amount if left is None or asset != POINTS else min(amount, left))
                   for asset, amount in gains]
        points = sum(amount for asset, amount in allowed if asset == POINTS)
        if not self._fits(campaign, points, cost_fen):
            return [], "budget"
        self._note(member_id, rule_id, campaign_id, day, 1, points)
        for place, (asset, amount) in enumerate(allowed):
            self._rows.append({"member_id": member_id, "rule_id": rule_id, "campaign_id": campaign_id, "asset": asset,
                               "amount": amount, "cost_fen": 0 if place else cost_fen, "day": day, "at": self.at,
                               "order_id": None, "activity_id": None} | source)
        return allowed, reason if points < sum(amount for asset, amount in gains if asset == POINTS) else ""

    def write(self, order_ids: Mapping[int, int] = _NONE) -> None:
        """Store the grants, what the budgets have used, and alerts and stops that were reached.

        `order_ids` has the orders that `order_key` stood for; what was given for one that is not there is taken back.
        """
        kept = []
        for row in self._rows:
            key = row.pop("order_key", None)
            if key is None or key in order_ids:
                kept.append(row if key is None else row | {"order_id": order_ids[key]})
            elif row["campaign_id"] in self._uses:
                use = self._uses[row["campaign_id"]]
                use.points, use.grants = use.points - row["amount"], use.grants - 1
        insert_rows(self.session, Grant, kept)
        changed = [{"campaign": id, "new_points": use.points, "new_fen": use.direct_fen, "new_grants": use.grants}
                   for id, use in self._uses.items() if use.changed]
        if changed:
            self.session.execute(_SET_USE, changed)
        insert_new(self.session, BudgetEvent, self._events, ["id"])

    def _left(self, member_id: int, rule_id: str, campaign: Campaign | None, caps: Caps,
              day: date) -> tuple[int | None, str]:
        """Points the caps leave (none: any number), 0 where they leave nothing, and the tightest of them."""
        scopes = [(("rule", rule_id), caps)]
        if campaign is not None:
            scopes.append((("campaign", campaign.id), campaign.caps))
        left, reason = None, ""
        for scope, limits in scopes:
            ever, today = self._taken[member_id, *scope], self._taken[member_id, *scope, day]
            for name, most, used in (("times_per_day", limits.times_per_day, today.times),
                                     ("times_per_member", limits.times_per_member, ever.times)):
                if most is not None and used >= most:
                    return 0, f"{scope[0]}.{name}"
            for name, most, used in (("points_per_day", limits.points_per_day, today.points),
                                     ("points_per_member", limits.points_per_member, ever.points)):
                if most is not None and (left is None or most - used < left):
                    left, reason = max(0, most - used), f"{scope[0]}.{name}"
        return left, reason

    def _note(self, member_id: int, rule_id: str, campaign_id: str | None, day: date, times: int, points: int) -> None:
        scopes: list[tuple[Any, ...]] = [("rule", rule_id)]
        if campaign_id is not None:
            scopes.append(("campaign", campaign_id))
        for scope in scopes:
            for key in ((member_id, *scope), (member_id, *scope, day)):
                taken = self._taken[key]
                taken.times, taken.points = taken.times + times, taken.points + points

    def _fits(self, campaign: Campaign | None, points: int, cost_fen: int) -> bool:
        """Take it from the budget, or note that the budget stopped it."""
        use = self._uses.get(campaign.id) if campaign else None
        if campaign is None or campaign.budget is None or use is None:
            return True
        after = _Use(use.points + points, use.direct_fen + cost_fen, use.grants + 1)
        states = _states(self.programme, campaign.id, campaign.budget, after)
        over = [state for state in states if state.used > state.most]
        if over:
            self._events += [self._event(STOP, state, used) for state in over
                             for used in [_used(self.programme, state.unit, use)]]
            return False
        self._uses[campaign.id] = after
        after.changed = True
        for state in states:
            if state.used >= state.most:
                self._events.append(self._event(STOP, state, state.used))
            if state.used >= state.most * campaign.budget.alert_at:
                self._events.append(self._event(ALERT, state, state.used))
        return True

    def _event(self, kind: str, state: BudgetState, used: int) -> dict[str, Any]:
        return {"campaign_id": state.campaign_id, "kind": kind, "unit": state.unit, "used": used, "most": state.most,
                "at": self.at}


def budget_states(session: Session, programme: Programme) -> list[BudgetState]:
    """Every limit of every campaign with a budget, with what is used of it."""
    uses = {use.campaign_id: _Use(use.points, use.direct_fen, use.grants) for use in session.scalars(
        select(BudgetUse).execution_options(populate_existing=True))}
    return [state for campaign in programme.campaigns if campaign.budget
            for state in _states(programme, campaign.id, campaign.budget, uses.get(campaign.id, _Use(0, 0, 0)))]


def budget_events(session: Session, after_id: int = 0, limit: int = 100) -> Sequence[BudgetEvent]:
    """Alerts and stops after the one with this id, oldest first: for a notice to whoever looks after the campaign."""
    return session.scalars(select(BudgetEvent).where(BudgetEvent.id > after_id).order_by(BudgetEvent.id)
                           .limit(limit)).all()


def return_grants(session: Session, order_id: int, of_fen: int, left_before_fen: int, left_fen: int,
                  at: datetime) -> None:
    """Take back from caps and budgets what a refund takes back from an order, pro rata; the order must be locked."""
    rows = session.execute(
        select(Grant.member_id, Grant.rule_id, Grant.campaign_id, Grant.asset, Grant.day, Grant.amount)
        .where(Grant.order_id == order_id, Grant.amount > 0)).all()
    back = [row._asdict() | {"order_id": order_id, "activity_id": None, "cost_fen": 0, "at": at, "amount": -part}
            for row in rows if (part := row.amount * left_before_fen // of_fen - row.amount * left_fen // of_fen)]
    insert_rows(session, Grant, back)
    points: dict[str, int] = defaultdict(int)
    for row in back:
        if row["campaign_id"] is not None and row["asset"] == POINTS:
            points[row["campaign_id"]] -= row["amount"]
    for campaign_id, amount in sorted(points.items()):
        left = case((_USES.c.points > amount, _USES.c.points - amount), else_=0)
        session.execute(update(_USES).where(_USES.c.campaign_id == campaign_id).values(points=left))


def _states(programme: Programme, campaign_id: str, budget: Budget, use: _Use) -> list[BudgetState]:
    limits = (("points", budget.points), ("money_fen", budget.money_fen), ("grants", budget.grants))
    return [BudgetState(campaign_id, unit, _used(programme, unit, use), most) for unit, most in limits
            if most is not None]


def _used(programme: Programme, unit: str, use: _Use) -> int:
    if unit == "money_fen":
        return -(-use.points * point_value_fen(programme) // 1) + use.direct_fen
    return use.points if unit == "points" else use.grants
