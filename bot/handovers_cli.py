"""`huitou packets` and `huitou pools`: red packets that wait or failed, and exchange codes that run low."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.table import Table

from bot.brands import read_programme
from bot.clock import system_clock
from bot.command import FINDINGS, FINE, command, out, ready_database, say, settings_in_force
from loyalty import codes, red_packets

packets_app = typer.Typer(no_args_is_help=True, help="Red packets: what waits to be paid, and what failed.")
pools_app = typer.Typer(no_args_is_help=True, help="Pools of exchange codes of other shops.")


@packets_app.callback()
def packets() -> None:
    """Red packets: what waits to be paid, and what failed."""


@pools_app.callback()
def pools() -> None:
    """Pools of exchange codes of other shops."""


@packets_app.command("list")
@command
def list_packets(
    days: Annotated[int, typer.Option(min=1, max=3650, help="How many days back failed ones are shown.")] = 30,
) -> int:
    """Red packets that wait, and those that failed. Status 1 where one failed, or nobody pays those that wait."""
    settings = settings_in_force()
    now = system_clock()
    with ready_database(settings).reading() as session:
        waiting = red_packets.listed(session, ("pending", "claimed"), 1000)
        failed = red_packets.unpaid(session, now - timedelta(days=days))
    table = Table(box=None, pad_edge=False)
    for head in ("number", "member", "amount", "state", "tries", "last error"):
        table.add_column(head)
    for one in waiting:
        table.add_row(str(one.id), str(one.member_id), f"¥{one.amount_fen / 100:.2f}", one.state, str(one.tries),
                      one.error)
    for lost in failed:
        table.add_row(str(lost.id), str(lost.member_id), f"¥{lost.amount_fen / 100:.2f}", "failed", "", lost.error)
    if waiting or failed:
        out.print(table)
    payer = settings.rewards.red_packet_adapter
    say(f"{len(waiting)} waiting, {len(failed)} failed; paid by {payer or 'nobody (rewards.red_packet_adapter)'}")
    return FINDINGS if failed or (waiting and not payer) else FINE


@pools_app.command("list")
@command
def list_pools() -> int:
    """How many codes each pool has left, low ones first. Status 1 where one is low (`low_pool` of a reward)."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    with ready_database(settings).reading() as session:
        levels = codes.pool_levels(session, programme.rewards, system_clock())
    for level in levels:
        say(f"{level.pool}: {level.free} left{', low: import more' if level.low else ''}")
    low = sum(level.low for level in levels)
    say(f"{len(levels)} pools, {low} low")
    return FINDINGS if low else FINE
