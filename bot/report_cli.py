"""`huitou report`: what the conversations of a time tell, and what campaigns cost, in tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

import typer
from rich.table import Table

from bot.brands import read_programme
from bot.clock import system_clock
from bot.command import FINE, WRONG_USE, command, err, out, ready_database, say, settings_in_force
from handlers import effort
from loyalty.budgets import budget_states
from loyalty.costs import campaign_cost

report_app = typer.Typer(no_args_is_help=True, help="Reports on what was said and done.")
REACH: Final = effort.BACK_WITHIN
"""Conversations before the asked time that are measured too, so that who comes back is known."""


@report_app.callback()
def reports() -> None:
    """Reports on what was said and done."""


@report_app.command("effort")
@command
def report_effort(
    days: Annotated[int, typer.Option(min=1, max=400, help="How many days to look back.")] = 30,
) -> int:
    """What each service step costs the customers: the effort score, its parts, and how much these customers spend."""
    database, now = ready_database(settings_in_force()), system_clock()
    since = now - timedelta(days=days)
    with database.transaction() as session:
        measured = effort.measure(session, since - REACH, now)
    with database.reading() as session:
        found = effort.by_step(session, since, now)
    table = Table(box=None, pad_edge=False)
    for head in ("step", "conversations", "effort", "median", "by spend", "spend share", *effort.WEIGHTS):
        table.add_column(head)
    for one in found:
        shown = (f"{one.mean:.1f}", f"{one.median:.1f}", f"{one.spend_weighted:.1f}", f"{one.spend_share:.0%}")
        parts = (f"{one.parts[name]:.1f}" for name in effort.WEIGHTS)
        table.add_row(one.step, str(one.conversations), *shown, *parts)
    out.print(table)
    say(f"{measured} conversations measured; lower is better")
    return FINE


@report_app.command("campaigns")
@command
def report_campaigns(
    campaign: Annotated[str, typer.Argument(help="One campaign by its id; without: all of them.")] = "",
) -> int:
    """What each campaign gave, cost and brought: cost per new customer, return, and how much of its budget is used."""
    settings = settings_in_force()
    programme, now = read_programme(settings.paths.config), system_clock()
    wanted = [one for one in programme.campaigns if campaign in ("", one.id)]
    if campaign and not wanted:
        known = ", ".join(one.id for one in programme.campaigns) or "none"
        err.print(f"no campaign {campaign}; there are: {known}", markup=False)
        return WRONG_USE
    with ready_database(settings).reading() as session:
        costs = [campaign_cost(session, programme, one.id, now) for one in wanted]
        states = budget_states(session, programme)
    for one, cost in zip(wanted, costs, strict=True):
        say(f"{one.id} {one.name}: {cost.grants} times to {cost.members} members, {cost.points} points")
        say(f"  cost {_yuan(cost.cost_fen)}; {cost.new_customers} new customers, "
            f"{_yuan(cost.per_new_customer_fen)} each")
        roi = "-" if cost.roi is None else str(cost.roi)
        say(f"  {cost.orders} orders, revenue {_yuan(cost.revenue_fen)}, ROI {roi}")
        for state in states:
            if state.campaign_id == one.id:
                say(f"  budget: {state.used / state.most:.0%} of {state.most} {state.unit} used")
    say(f"{len(costs)} campaigns; ROI is (margin of the revenue - cost) / cost")
    return FINE


def _yuan(fen: int | None) -> str:
    return "-" if fen is None else f"¥{fen / 100:.2f}"
