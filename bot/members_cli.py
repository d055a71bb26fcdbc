"""`huitou members`: who may be one person, a person's data to take along, and forgetting them."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy.orm import Session

from bot.api.people import OWN_ID, MemberRef, member_of
from bot.brands import read_programme
from bot.clock import system_clock
from bot.command import FINE, WRONG_USE, command, err, new_key, out, ready_database, say, settings_in_force
from bot.settings import Settings
from loyalty import matching, merging
from loyalty.erasure import erase
from loyalty.exports import export
from loyalty.identities import Identifier

members_app = typer.Typer(no_args_is_help=True, help="Members: one person or two, their data, forgetting them.")
Who = Annotated[str, typer.Argument(help="kind:value, such as phone:13800138000, or the member's number.")]


def member_named(session: Session, settings: Settings, who: str) -> int:
    """The member somebody typed; raises UnknownMember, BadIdentity."""
    kind, _, value = who.rpartition(":") if who.isdecimal() else who.partition(":")
    if who.isdecimal() or kind == OWN_ID:
        return member_of(session, MemberRef(kind=OWN_ID, value=value))
    named = Identifier(settings.identity.secret.get_secret_value()).identity(kind, value)
    return member_of(session, MemberRef.model_construct(kind=named.kind, value=named.value))


@members_app.command("export")
@command
def export_member(
    who: Who, to: Annotated[Path | None, typer.Option(help="Write it to this file, not to standard output.")] = None
) -> int:
    """All that is kept of a person, as JSON."""
    settings = settings_in_force()
    with ready_database(settings).reading() as session:
        found = export(session, member_named(session, settings, who), system_clock())
    text = json.dumps(found, ensure_ascii=False, indent=1)
    if to is None:
        say(text)
    else:
        to.write_text(text + "\n", encoding="utf-8")
        err.print(f"written to {to}", markup=False)
    return FINE


@members_app.command("erase")
@command
def erase_member(
    who: Who, yes: Annotated[bool, typer.Option("--yes", help="Do it; there is no way back.")] = False
) -> int:
    """Forget a person for good; the ledger stays balanced, points that are left lapse."""
    settings = settings_in_force()
    with ready_database(settings).transaction() as session:
        member_id = member_named(session, settings, who)
        if not yes:
            err.print(f"member {member_id} would be forgotten, without a way back; add --yes", markup=False)
            return WRONG_USE
        gone = erase(session, member_id, key=new_key(), at=system_clock())
    members = ", ".join(str(id) for id in gone.member_ids)
    say(f"forgotten: member {members}; {len(gone.identities)} names gone, {gone.points} points lapsed")
    return FINE


@members_app.command("hint")
@command
def note_hint(
    who: Who,
    kind: Annotated[str, typer.Argument(help="What it is: device, name_address, unverified_phone …")],
    value: Annotated[str, typer.Argument(help="The device's number, the address, the phone.")],
) -> int:
    """Note what a person stands by and may share with others: rules of fraud look at it, some kinds propose a merge."""
    settings = settings_in_force()
    matching_rules = read_programme(settings.paths.config).matching
    hint = Identifier(settings.identity.secret.get_secret_value()).identity(kind, value)
    with ready_database(settings).transaction() as session:
        member_id = member_named(session, settings, who)
        matching.note_hints(session, [(member_id, hint, getpass.getuser())], system_clock(), matching_rules)
        together = matching.sharing(session, hint)
    say(f"{together} members share this {kind}")
    return FINE


@members_app.command("proposals")
@command
def list_proposals(last: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100) -> int:
    """Who may be one person and waits for a decision, oldest first."""
    with ready_database(settings_in_force()).reading() as session:
        found = matching.proposals(session, last)
    table = Table(box=None, pad_edge=False)
    for head in ("number", "members", "share", "seen by", "since"):
        table.add_column(head)
    for one in found:
        table.add_row(str(one.id), f"{one.member_id} and {one.other_id}", one.kind, one.evidence,
                      f"{one.at:%Y-%m-%d}")
    if found:
        out.print(table)
    say(f"{len(found)} waiting for a decision")
    return FINE


@members_app.command("accept")
@command
def accept(number: Annotated[int, typer.Argument(min=1, help="The proposal's number.")]) -> int:
    """They are one person: merge them; the older member lives on."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    with ready_database(settings).transaction() as session:
        done = matching.accept(session, number, by=getpass.getuser(), at=system_clock(), programme=programme)
    say(f"merge {done.id}: member {done.other_id} is member {done.keep_id} now")
    return FINE


@members_app.command("reject")
@command
def reject(number: Annotated[int, typer.Argument(min=1, help="The proposal's number.")]) -> int:
    """They are two: propose them no more by what they share."""
    with ready_database(settings_in_force()).transaction() as session:
        matching.reject(session, number, by=getpass.getuser(), at=system_clock())
    say(f"proposal {number} is turned down")
    return FINE


@members_app.command("merge")
@command
def merge(
    keep: Who, other: Who, evidence: Annotated[str, typer.Option(help="How it is known that they are one.")]
) -> int:
    """Make two members one, with everything they have; the first lives on."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    with ready_database(settings).transaction() as session:
        pair = (member_named(session, settings, keep), member_named(session, settings, other))
        done = merging.merge(session, *pair, evidence=evidence, key=new_key(), at=system_clock(), programme=programme)
    say(f"merge {done.id}: member {done.other_id} is member {done.keep_id} now")
    return FINE


@members_app.command("merges")
@command
def list_merges(who: Who) -> int:
    """The merges a member took part in, newest first."""
    settings = settings_in_force()
    with ready_database(settings).reading() as session:
        found = merging.merges_of(session, member_named(session, settings, who))
    for one in found:
        undone = f", undone {one.undone_at:%Y-%m-%d}" if one.undone_at else ""
        say(f"{one.id} {one.at:%Y-%m-%d} {one.other_id} into {one.keep_id}: {one.evidence}{undone}")
    say(f"{len(found)} merges")
    return FINE


@members_app.command("undo-merge")
@command
def undo_merge(number: Annotated[int, typer.Argument(min=1, help="The merge's number.")]) -> int:
    """Take a merge back: each has again what they brought, less what was spent."""
    with ready_database(settings_in_force()).transaction() as session:
        done = merging.unmerge(session, number, key=new_key(), at=system_clock())
    say(f"merge {done.id} is undone: {done.keep_id} and {done.other_id} are two again")
    return FINE
