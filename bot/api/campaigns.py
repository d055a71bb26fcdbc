"""/campaigns: what each gave, cost and brought, and how much of its budget is left."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field
from sqlalchemy.orm import Session

from bot.api.cursors import cursor_of, read_cursor
from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from loyalty.budgets import budget_events, budget_states
from loyalty.costs import CampaignCost, campaign_cost
from loyalty.errors import UnknownOffer
from loyalty.programme import Slug


class CampaignAddress(Asked):
    """Which campaign."""

    campaign_id: Slug


class EventsQuery(Asked):
    """Alerts and stops behind a cursor."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=60, description="next_cursor of the page before")] | None = None


class LimitShown(Told):
    """A limit of a campaign's budget; `unit` is points, money_fen or grants."""

    unit: str
    used: int
    most: int


class CostShown(Told):
    """A campaign in figures. `per_new_customer_fen` and `roi` are null where nothing can be divided.

    `cost_fen` is points, what they are worth, and `direct_fen`; `revenue_fen` is what its orders brought less refunds;
    `roi` is (margin of that revenue - cost) / cost.
    """

    campaign_id: str
    grants: int
    members: int
    points: int
    points_fen: int
    direct_fen: int
    cost_fen: int
    new_customers: int
    per_new_customer_fen: int | None
    orders: int
    revenue_fen: int
    roi: float | None


class CampaignShown(Told):
    """A campaign, its dates, its budget and its figures."""

    id: str
    name: str
    open_from: datetime | None
    open_to: datetime | None
    budget: list[LimitShown]
    cost: CostShown


class CampaignsShown(Told):
    """The programme's campaigns."""

    campaigns: list[CampaignShown]


class BudgetEventShown(Told):
    """A budget that reached its alert, or stopped; once for each limit it was given."""

    id: int
    campaign_id: str
    kind: str
    unit: str
    used: int
    most: int
    at: datetime


class BudgetEventsPage(Told):
    """Oldest first; ask again with `next_cursor` for what comes later."""

    events: list[BudgetEventShown]
    next_cursor: str | None


def show_campaigns(session: Session, call: Call[Nothing, Nothing, None]) -> tuple[int, Told]:
    """Every campaign."""
    return 200, CampaignsShown(campaigns=[_shown(session, call, campaign.id) for campaign in call.programme.campaigns])


def show(session: Session, call: Call[CampaignAddress, Nothing, None]) -> tuple[int, Told]:
    """One campaign."""
    return 200, _shown(session, call, call.path.campaign_id)


def show_events(session: Session, call: Call[Nothing, EventsQuery, None]) -> tuple[int, Told]:
    """Alerts and stops of budgets."""
    found = budget_events(session, read_cursor(call.query.cursor) or 0, call.query.limit)
    return 200, BudgetEventsPage(events=[BudgetEventShown.model_validate(one) for one in found],
                                 next_cursor=cursor_of(found[-1].id) if found else call.query.cursor)


def _shown(session: Session, call: Call[CampaignAddress, Nothing, None] | Call[Nothing, Nothing, None],
           campaign_id: str) -> CampaignShown:
    campaign = call.programme.campaign(campaign_id)
    if campaign is None:
        raise UnknownOffer("campaign", campaign_id)
    limits = [LimitShown.model_validate(state) for state in budget_states(session, call.programme)
              if state.campaign_id == campaign_id]
    return CampaignShown(id=campaign.id, name=campaign.name, open_from=campaign.open_from, open_to=campaign.open_to,
                         budget=limits, cost=_cost(campaign_cost(session, call.programme, campaign_id, call.at)))


def _cost(cost: CampaignCost) -> CostShown:
    roi: Decimal | None = cost.roi
    figures = {name: getattr(cost, name) for name in cost.__slots__}
    return CostShown(**figures | {"roi": None if roi is None else float(roi)})


ENDPOINTS = (
    Endpoint("GET", "/api/v1/campaigns", "campaigns:read", "Campaigns: budget, cost, return", show_campaigns,
             CampaignsShown),
    Endpoint("GET", "/api/v1/budget-events", "campaigns:read", "Budgets that reached their alert, or stopped",
             show_events, BudgetEventsPage, query=EventsQuery),
    Endpoint("GET", "/api/v1/campaigns/{campaign_id}", "campaigns:read", "One campaign: budget, cost, return", show,
             CampaignShown, params=CampaignAddress, part="campaign_id"),
)
