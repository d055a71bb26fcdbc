"""`huitou sop`: what the follow-ups are, what they would do, what they did and why, and holding one back."""

from __future__ import annotations

import getpass
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy import func, select

from bot.brands import load_brand
from bot.clock import system_clock
from bot.command import FINDINGS, FINE, WRONG_USE, command, err, out, ready_database, say, settings_in_force
from bot.database import Database
from bot.past_lives import Life, lives_of
from bot.rehearsal import DryRun
from handlers.brand import Brand
from handlers.followup import experiments, picture, why
from handlers.followup.definition import Sop
from handlers.followup.runs import LIVE
from handlers.followup.tables import PauseSopRow, RunRow
from loyalty.storage import Base

sop_app = typer.Typer(no_args_is_help=True, help="Follow-ups: the files in config/followups and what they do.")
KINDS = {"selling": "推荐", "care": "关怀", "service": "服务", "urgent": "紧急"}


@sop_app.command("list")
@command
def list_sops() -> int:
    """Every follow-up with what sets it off, whether it is on, and how many are under way."""
    settings = settings_in_force()
    brand, database = load_brand(settings), ready_database(settings)
    with database.reading() as session:
        paused = set(session.scalars(select(PauseSopRow.sop)))
        live = select(RunRow.sop, func.count()).where(RunRow.state.in_(LIVE)).group_by(RunRow.sop)
        running = {row[0]: row[1] for row in session.execute(live)}
    table = Table(box=None, pad_edge=False)
    for head in ("id", "title", "kind", "priority", "state", "under way", "set off by"):
        table.add_column(head)
    for sop in sorted(brand.sops.by_id.values(), key=lambda one: (-one.priority, one.id)):
        state = "off" if not sop.enabled else "paused" if sop.id in paused else "on"
        triggers = "; ".join(picture.say_trigger(trigger) for trigger in sop.triggers)
        row = (sop.id, sop.title, KINDS[sop.kind], str(sop.priority), state, str(running.get(sop.id, 0)), triggers)
        table.add_row(*row)
    out.print(table)
    return FINE


@sop_app.command("show")
@command
def show(
    name: str, svg: Annotated[Path | None, typer.Option(help="Write the flow as a picture to this file.")] = None
) -> int:
    """The flow of one follow-up, step by step."""
    sop = _known(load_brand(settings_in_force()), name)
    if sop is None:
        return WRONG_USE
    say(f"{sop.title} ({sop.id}), {KINDS[sop.kind]}, 优先级 {sop.priority}")
    for line in picture.lines(sop):
        say(line)
    if svg is not None:
        svg.write_text(picture.svg(sop), encoding="utf-8")
        say(f"picture written to {svg}")
    return FINE


@sop_app.command("dry-run")
@command
def dry_run(
    name: str,
    days: Annotated[int, typer.Option(min=1, max=400, help="How long to play.")] = 31,
    ghosts: Annotated[int, typer.Option(min=1, max=500, help="How many members to make up.")] = 20,
    seed: Annotated[int, typer.Option(help="Another seed gives other lives.")] = 7,
    begin: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")] = None,
    past: Annotated[int, typer.Option(min=0, max=5000, help="Play again what so many real members did then.")] = 0,
) -> int:
    """Play one follow-up over a simulated or a past time; nothing is sent and nothing is stored."""
    settings = settings_in_force()
    brand = load_brand(settings)
    sop = _known(brand, name)
    if sop is None:
        return WRONG_USE
    start = begin.replace(tzinfo=brand.restraint.zone).astimezone(UTC) if begin else system_clock()
    if past and begin is None:
        start -= timedelta(days=days)
    lives: Sequence[Life] = ()
    if past:
        with ready_database(settings).reading() as session:
            lives = lives_of(session, start, start + timedelta(days=days), past)
        if not lives:
            err.print("nobody was known then; leave --past out to play with ghosts", markup=False)
            return FINDINGS
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/dry-run.db", sqlite_synchronous="OFF")
        Base.metadata.create_all(database.engine)
        for line in DryRun(database, brand, sop, start, days, ghosts, seed, lives).play():
            say(line)
        database.dispose()
    return FINE


@sop_app.command("why")
@command
def explain(
    person: Annotated[str, typer.Argument(help="A member's number, any id they go by, or a name.")],
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many decisions to show.")] = 50,
) -> int:
    """What a person got, what not, and why; and what is still to come."""
    settings = settings_in_force()
    brand, database = load_brand(settings), ready_database(settings)
    with database.reading() as session:
        found = why.find_person(session, person)
        for member_id in found:
            for line in why.explain(session, brand, member_id, last):
                say(line)
    if not found:
        err.print(f"nobody is known as {person}; try the external_userid or the member's number", markup=False)
        return FINDINGS
    return FINE


@sop_app.command("report")
@command
def report(name: Annotated[str, typer.Argument(help="One follow-up; all of them without.")] = "") -> int:
    """What came of a follow-up: entries, touches, refusals with their reasons, and the verdict of its experiment."""
    settings = settings_in_force()
    brand = load_brand(settings)
    if name and _known(brand, name) is None:
        return WRONG_USE
    with ready_database(settings).reading() as session:
        for sop in brand.sops.by_id.values():
            if name in ("", sop.id):
                for line in experiments.report(session, sop, system_clock()):
                    say(line)
    return FINE


@sop_app.command("pause")
@command
def pause(name: str) -> int:
    """Hold a follow-up back: nobody enters, and what is due waits."""
    settings = settings_in_force()
    if _known(load_brand(settings), name) is None:
        return WRONG_USE
    with ready_database(settings).transaction() as session:
        is_new = why.pause(session, name, system_clock(), getpass.getuser())
    say(f"{name} is paused" if is_new else f"{name} was paused before")
    return FINE


@sop_app.command("resume")
@command
def resume(name: str) -> int:
    """Let a follow-up go on; what became due meanwhile is decided anew, with the facts as they are then."""
    settings = settings_in_force()
    if _known(load_brand(settings), name) is None:
        return WRONG_USE
    with ready_database(settings).transaction() as session:
        was = why.resume(session, name)
    say(f"{name} goes on" if was else f"{name} was not paused")
    return FINE


def _known(brand: Brand, name: str) -> Sop | None:
    sop = brand.sops.by_id.get(name)
    if sop is None:
        err.print(f"no follow-up {name}; there are: {', '.join(sorted(brand.sops.by_id))}", markup=False)
    return sop
