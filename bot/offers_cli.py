"""`huitou lottery` and `huitou plans`: draws with their proof, and memberships that are bought."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer
from rich.table import Table

from bot.brands import read_programme
from bot.clock import system_clock
from bot.command import FINDINGS, FINE, command, new_key, out, ready_database, say, settings_in_force
from bot.members_cli import Who, member_named
from bot.settings import links_of
from loyalty import lottery, plans
from loyalty.lottery_audit import fairness, replay
from loyalty.reward_parts import MILLION

lottery_app = typer.Typer(no_args_is_help=True, help="Lotteries: prizes and odds, draws, and the proof of them.")
plans_app = typer.Typer(no_args_is_help=True, help="Paid plans: sold, renewed, ended.")
LotteryId = Annotated[str, typer.Argument(metavar="LOTTERY", help="The lottery's id in the programme.")]
PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id in the programme.")]
Key = Annotated[str, typer.Option(help="The same key again does it no second time; none: each command is a new one.")]
MOST_FINDINGS = 100


@lottery_app.command("list")
@command
def list_lotteries() -> int:
    """Every lottery with its prizes and odds, and the hash that binds its next draws."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    now = system_clock()
    with ready_database(settings).reading() as session:
        for one in programme.lotteries:
            bound = lottery.committed(session, one.id) or "not yet"
            say(f"{one.id} {one.name}: {'open' if one.is_open(now) else 'closed'}; next draws bound to {bound}")
            left = MILLION - sum(prize.odds for prize in one.prizes)
            for prize in one.prizes:
                odds = prize.odds + (left if prize.id == one.consolation else 0)
                say(f"  {odds / MILLION:8.4%} {prize.id} {prize.name}")
    say(f"{len(programme.lotteries)} lotteries")
    return FINE


@lottery_app.command("give")
@command
def give(
    who: Who,
    count: Annotated[int, typer.Argument(min=1, max=10_000, help="How many chances.")],
    reason: Annotated[str, typer.Option(help="Why, as the statement shows it.")] = "gift",
    key: Key = "",
) -> int:
    """Let a member draw so many times more."""
    settings = settings_in_force()
    with ready_database(settings).transaction() as session:
        member_id = member_named(session, settings, who)
        left = lottery.give_chances(session, member_id, count, key or new_key(), reason, system_clock())
    say(f"member {member_id} has {left} chances")
    return FINE


@lottery_app.command("draw")
@command
def draw(lottery_id: LotteryId, who: Who, key: Key = "") -> int:
    """Draw for a member; it costs one chance."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    with ready_database(settings).transaction() as session:
        got = lottery.draw(session, member_named(session, settings, who), lottery_id, key or new_key(), programme,
                           system_clock(), links_of(settings))
    say(f"draw {got.id}: {got.name}" + (f", code {got.given}" if got.given else "")
        + (f" (landed on {got.landed}: {got.why})" if got.why else ""))
    say(f"roll {got.roll} under seed {got.seed_hash}; {got.chances} chances left")
    return FINE


@lottery_app.command("audit")
@command
def audit(lottery_id: LotteryId) -> int:
    """Roll every draw again and compare, and tell whether the prizes fell as the odds say. Status 1 where not."""
    settings = settings_in_force()
    known = read_programme(settings.paths.config).lottery(lottery_id).id
    with ready_database(settings).reading() as session:
        found = list(islice(replay(session, known), MOST_FINDINGS))
        tables = fairness(session, known)
    for finding in found:
        say(finding)
    for one in tables:
        say(f"odds {one.odds_hash[:12]}: {one.draws} draws, p {one.p_value:.4f}")
        for prize_id, expected in one.expected.items():
            say(f"  {prize_id}: {one.landed.get(prize_id, 0)}, {expected:.1f} expected")
    say(f"{len(found)} findings" if found else "every draw comes out as it is stored")
    return FINDINGS if found else FINE


@lottery_app.command("reveal")
@command
def reveal(lottery_id: LotteryId) -> int:
    """Show the seed of all draws so far, so that everybody can roll them again; the next ones are bound to another."""
    settings = settings_in_force()
    known = read_programme(settings.paths.config).lottery(lottery_id).id
    with ready_database(settings).transaction() as session:
        shown = lottery.reveal_seed(session, known, system_clock())
    say(f"{shown.seed_hash} was {shown.seed}")
    return FINE


@plans_app.command("list")
@command
def list_plans() -> int:
    """The plans that can be bought."""
    programme = read_programme(settings_in_force().paths.config)
    table = Table(box=None, pad_edge=False)
    for head in ("id", "name", "months", "price", "off every order"):
        table.add_column(head)
    for plan in programme.plans:
        off = f"{plan.percent_off} %" if plan.percent_off is not None else "-"
        table.add_row(plan.id, plan.name, str(plan.months), f"¥{plan.price_fen / 100:.2f}", off)
    out.print(table)
    return FINE


@plans_app.command("show")
@command
def show(who: Who) -> int:
    """The plans a member has now, and until when."""
    settings = settings_in_force()
    with ready_database(settings).reading() as session:
        found = plans.standing(session, member_named(session, settings, who), system_clock())
    zone = read_programme(settings.paths.config).zone
    for one in found:
        since, until = one.since.astimezone(zone), one.until.astimezone(zone)
        say(f"{one.plan.id} {one.plan.name}: {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}")
    say(f"{len(found)} plans")
    return FINE


@plans_app.command("buy")
@command
def buy(
    plan_id: PlanId,
    who: Who,
    paid_fen: Annotated[int, typer.Option(min=0, help="What was paid, in fen; 0 for a gift.")],
    key: Key = "",
) -> int:
    """Sell a plan to a member, or renew it behind its last term."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    with ready_database(settings).transaction() as session:
        term = plans.buy(session, member_named(session, settings, who), plan_id, paid_fen, key or new_key(), programme,
                         system_clock())
    starts, ends = term.starts_at.astimezone(programme.zone), term.ends_at.astimezone(programme.zone)
    say(f"term {term.id} of {term.name}: {starts:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M}")
    return FINE


@plans_app.command("cancel")
@command
def cancel(plan_id: PlanId, who: Who, key: Key = "") -> int:
    """End a member's plan now, renewals included; says what to pay back."""
    settings = settings_in_force()
    with ready_database(settings).transaction() as session:
        member_id = member_named(session, settings, who)
        done = plans.cancel(session, member_id, plan_id, key or new_key(), system_clock())
    say(f"{plan_id} of member {done.member_id} is over; pay back ¥{done.refund_fen / 100:.2f}")
    return FINE
