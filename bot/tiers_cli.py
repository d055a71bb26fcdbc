"""`huitou tiers`: why somebody has a tier, and designs of tiers that tend to disappoint."""

from __future__ import annotations

import typer

from bot.brands import read_programme
from bot.clock import system_clock
from bot.command import FINDINGS, FINE, command, ready_database, say, settings_in_force
from bot.members_cli import Who, member_named
from loyalty import designs
from loyalty.tier_history import explain as explained

tiers_app = typer.Typer(no_args_is_help=True, help="Tiers: why somebody has one, and how well they are designed.")


@tiers_app.command("explain")
@command
def explain(who: Who) -> int:
    """Every step of a member's tier with its figures, and what is missing to the next. Status 1 where rows disagree."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    with ready_database(settings).reading() as session:
        why = explained(session, programme, member_named(session, settings, who), system_clock())
    names = {tier.id: tier.name for tier in programme.tiers}
    say(f"tier: {names.get(why.tier or '', why.tier or '-')}; paid ¥{why.now.amount_fen / 100:.2f}, "
        f"growth {why.now.growth}")
    for line in why.lines:
        say(f"  {line}")
    if why.next is not None:
        growth = "" if why.next.missing_growth is None else f" or growth {why.next.missing_growth}"
        say(f"to {why.next.tier.name}: ¥{why.next.missing_fen / 100:.2f}{growth} missing")
    if not why.agrees:
        say("the rows alone lead to another tier; huitou audit --rebuild sets it right")
    return FINE if why.agrees else FINDINGS


@tiers_app.command("lint")
@command
def lint() -> int:
    """Designs of the programme that are likely to disappoint, each with what is better. Status 1 where there is one."""
    found = designs.lint(read_programme(settings_in_force().paths.config))
    for finding in found:
        say(str(finding))
    say(f"{len(found)} designs to think about" if found else "the design is sound")
    return FINDINGS if found else FINE
