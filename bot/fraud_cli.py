"""`huitou fraud`: what looks like abuse, on what evidence, and what to do about it."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer
from rich.table import Table

from bot.brands import read_programme
from bot.clock import system_clock
from bot.command import FINDINGS, FINE, command, err, out, ready_database, say, settings_in_force
from loyalty import fraud
from loyalty.errors import FraudError

fraud_app = typer.Typer(no_args_is_help=True, help="What looks like abuse: findings with their evidence.")
Number = Annotated[int, typer.Argument(min=1, help="The finding's number, from huitou fraud list.")]
Note = Annotated[str, typer.Option(help="Why, for those who read it later.")]


@fraud_app.command("list")
@command
def list_findings(
    every: Annotated[bool, typer.Option("--all", help="Those that were decided too.")] = False,
    last: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
) -> int:
    """Findings that wait for a decision, the most certain first. Status 1 where there is one."""
    states = (fraud.OPEN, fraud.HELD, *((fraud.DISMISSED, fraud.RELEASED, fraud.CONFISCATED) if every else ()))
    with ready_database(settings_in_force()).reading() as session:
        found = fraud.findings(session, states, last)
    table = Table(box=None, pad_edge=False)
    for head in ("number", "score", "state", "rule", "what"):
        table.add_column(head)
    for each in found:
        table.add_row(str(each.id), str(each.score), each.state, each.rule, each.said)
    if found:
        out.print(table)
    waiting = sum(each.state in (fraud.OPEN, fraud.HELD) for each in found)
    say(f"{waiting} waiting for a decision")
    return FINDINGS if waiting else FINE


@fraud_app.command("show")
@command
def show(number: Number) -> int:
    """One finding: who, how many points, on which rows it rests, and what to do."""
    try:
        with ready_database(settings_in_force()).reading() as session:
            case = fraud.case_of(session, number)
    except FraudError as error:
        return _refused(error)
    finding = case.finding
    say(f"{finding.id} {finding.rule}, score {finding.score}, {finding.state}, found {finding.found_at:%Y-%m-%d %H:%M}")
    say(finding.said)
    say(f"mend: {finding.mend}")
    for each in case.suspects:
        say(f"member {each.member_id}: {each.points} points at stake, {each.held} held")
    for proof in case.evidence:
        say(f"  {proof.table_name} {proof.row_id}" + (f" {proof.at:%Y-%m-%d %H:%M:%S}" if proof.at else "")
            + f" {proof.said}")
    if finding.decided_at:
        say(f"{finding.state} by {finding.decided_by}, {finding.decided_at:%Y-%m-%d %H:%M}"
            + (f": {finding.note}" if finding.note else ""))
    return FINE


@fraud_app.command("look")
@command
def look_now() -> int:
    """Let every rule look now; the ticker does it once an hour. Status 1 where something new was found."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    with ready_database(settings).transaction() as session:
        made = fraud.look(session, programme, system_clock())
    say(f"{len(made)} new findings")
    return FINDINGS if made else FINE


@fraud_app.command("hold")
@command
def hold(number: Number) -> int:
    """Hold the points at stake until somebody decides, or `fraud.hold_days` are over."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    try:
        with ready_database(settings).transaction() as session:
            points = fraud.hold(session, number, programme, by=getpass.getuser(), at=system_clock())
    except FraudError as error:
        return _refused(error)
    say(f"{points} points held for finding {number}")
    return FINE


@fraud_app.command("dismiss")
@command
def dismiss(number: Number, note: Note = "") -> int:
    """Nothing of it: close the finding; held points go back."""
    try:
        with ready_database(settings_in_force()).transaction() as session:
            points = fraud.dismiss(session, number, by=getpass.getuser(), at=system_clock(), note=note)
    except FraudError as error:
        return _refused(error)
    say(f"finding {number} is dismissed, {points} points went back")
    return FINE


@fraud_app.command("release")
@command
def release(number: Number, note: Note = "") -> int:
    """Give held points back after the review."""
    try:
        with ready_database(settings_in_force()).transaction() as session:
            points = fraud.release(session, number, by=getpass.getuser(), at=system_clock(), note=note)
    except FraudError as error:
        return _refused(error)
    say(f"{points} points of finding {number} went back")
    return FINE


@fraud_app.command("confiscate")
@command
def confiscate(number: Number, note: Note = "") -> int:
    """Take held points for good."""
    try:
        with ready_database(settings_in_force()).transaction() as session:
            points = fraud.confiscate(session, number, by=getpass.getuser(), at=system_clock(), note=note)
    except FraudError as error:
        return _refused(error)
    say(f"{points} points of finding {number} were taken")
    return FINE


def _refused(error: FraudError) -> int:
    err.print(str(error), markup=False)
    return FINDINGS
