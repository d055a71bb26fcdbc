"""`huitou report`: what the conversations of a time tell, in tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

import typer
from rich.table import Table

from bot.clock import system_clock
from bot.command import FINE, command, out, ready_database, say, settings_in_force
from handlers import effort

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
