"""The command `huitou`. Exit status: 0 fine, 1 findings, 2 wrong use.

What only one command needs (scikit-learn, Alembic, the emulator) is imported by that command: `serve` starts in half
the time and a third less memory without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot import checks, running
from bot.app import PARTS, Service
from bot.brands import read_programme
from bot.clock import system_clock
from bot.command import (
    FINDINGS,
    FINE,
    WRONG_USE,
    command,
    database_of,
    err,
    out,
    ready_database,
    say,
    settings_in_force,
)
from bot.evaluation_cli import evaluate
from bot.fraud_cli import fraud_app
from bot.handovers_cli import packets_app, pools_app
from bot.imports_cli import imports_app
from bot.keys_cli import keys_app
from bot.logs import mask, set_up_logging
from bot.members_cli import members_app
from bot.models_cli import models_app
from bot.offers_cli import lottery_app, plans_app
from bot.report_cli import report_app
from bot.settings import load_settings
from bot.sop_cli import sop_app
from bot.tiers_cli import tiers_app
from bot.understanding_cli import classify, train
from handlers.talk import inbox
from loyalty import audit as ledger_audit

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="回头: a conversational private-domain bot service for brands on WeCom and WeChat.",
)  # fmt: skip
inbox_app = typer.Typer(no_args_is_help=True, help="Messages that were set aside because they fail.")
app.command("train")(train)
app.command("classify")(classify)
app.command("evaluate")(evaluate)
app.add_typer(models_app, name="models")
app.add_typer(inbox_app, name="inbox")
app.add_typer(sop_app, name="sop")
app.add_typer(report_app, name="report")
app.add_typer(imports_app, name="import")
app.add_typer(keys_app, name="keys")
app.add_typer(fraud_app, name="fraud")
app.add_typer(members_app, name="members")
app.add_typer(tiers_app, name="tiers")
app.add_typer(lottery_app, name="lottery")
app.add_typer(plans_app, name="plans")
app.add_typer(packets_app, name="packets")
app.add_typer(pools_app, name="pools")


def main() -> None:
    """Run the command."""
    app()


@app.command("serve")
@command
def serve(
    only: Annotated[str, typer.Option(help="Parts to run, joined by commas: web, work, deliver, tick.")] = "",
) -> int:
    """Run the service: web, workers, delivery and ticker in one process, or some of them."""
    parts = [part.strip() for part in only.split(",") if part.strip()] or list(PARTS)
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        err.print(f"no such part: {', '.join(unknown)}; choose from {', '.join(PARTS)}")
        return WRONG_USE
    settings = settings_in_force()
    try:
        return running.run_async(lambda: running.serve_until_stopped(Service(settings, parts)))
    except OSError as error:
        err.print(f"cannot listen on {settings.web.host}:{settings.web.port}: {error}; set HUITOU_WEB__PORT")
        return WRONG_USE


@app.command("demo")
@command
def run_demo(
    tour: Annotated[bool, typer.Option("--tour", help="Play the story without a browser and print it.")] = False,
    port: Annotated[int, typer.Option(help="Where the page with the phones listens.")] = 8080,
) -> int:
    """Run the service with a WeCom of its own on this machine, sample data and a page of phones."""
    from bot import demo

    try:
        return running.run_async(lambda: demo.run(tour=tour, port=port, say=say))
    except OSError as error:
        err.print(f"cannot listen on port {port}: {error}; choose another with --port", markup=False)
        return WRONG_USE


@app.command("emulate")
@command
def emulate(
    port: Annotated[int, typer.Option(help="Where the platform listens.")] = 8080,
    target: Annotated[str, typer.Option(help="Where the service listens.")] = "http://127.0.0.1:8000",
    folder: Annotated[Path, typer.Option(help="Where its keys and the settings for the service are kept.")] = Path(
        "var/emulator"
    ),
) -> int:
    """Run the WeCom of this machine alone; prints the environment a service needs to talk to it."""
    from bot import demo

    if not target.rpartition(":")[2].isdigit():
        err.print(f"no port in {target}; write it as http://127.0.0.1:8000", markup=False)
        return WRONG_USE
    try:
        return running.run_async(lambda: demo.emulate(port, target, folder, say))
    except OSError as error:
        err.print(f"cannot listen on port {port}: {error}; choose another with --port", markup=False)
        return WRONG_USE


@app.command("check")
@command
def check() -> int:
    """Name everything in the configuration that is missing, misspelt or contradicts; with the place and the mend."""
    found = checks.findings()
    for finding in found:
        out.print(finding, markup=False)
    out.print(f"{len(found)} findings" if found else "configuration is fine")
    for notice in checks.notices():
        err.print(f"notice: {notice}", markup=False)
    return FINDINGS if found else FINE


@app.command("migrate")
@command
def run_migrations() -> int:
    """Bring the database to the schema of this version."""
    from bot.migrations import migrate

    settings = settings_in_force()
    out.print(f"the database is at revision {migrate(database_of(settings))}")
    return FINE


@app.command("talk")
@command
def talk(
    files: Annotated[list[Path], typer.Argument(help="Transcripts; see tests/conversations.")],
    twice: Annotated[bool, typer.Option("--twice", help="Play again with every message delivered twice.")] = False,
    killed: Annotated[bool, typer.Option("--killed", help="Play again, killed before every commit.")] = False,
) -> int:
    """Play conversations from files against the worker and show where they did not go as written."""
    from bot.player import Way
    from bot.transcripts_cli import play_files

    settings = load_settings()
    set_up_logging(settings.log.model_copy(update={"level": "WARNING"}))  # the conversation is to be read
    ways = [Way.AS_IT_IS, *([Way.TWICE] if twice else []), *([Way.KILLED] if killed else [])]
    stories = play_files(settings, files, ways)
    for story in stories:
        out.print(story, markup=False)
    in_ways = f"in {len(ways)} ways" if len(ways) > 1 else "in one way"
    out.print(f"{len(files)} played {in_ways}, {len(stories)} went wrong")
    return FINDINGS if stories else FINE


@app.command("audit")
@command
def audit(
    tiers: Annotated[bool, typer.Option("--tiers", help="Find each member's tier again too, from the rows.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Set balances, lots, holds and tiers right, from the rows alone.")
    ] = False,
) -> int:
    """Check the ledger: sums, lots, holds and balances; findings are printed, all of them."""
    settings = settings_in_force()
    database = ready_database(settings)
    if rebuild:
        from bot.rebuilding import rebuild_all

        for name, count in rebuild_all(database, read_programme(settings.paths.config), system_clock()).items():
            out.print(f"{name}: {count} set right", markup=False)
    with database.reading() as session:
        found = ledger_audit.findings(session)
    if tiers:
        from bot.rebuilding import tier_findings

        found += tier_findings(database, read_programme(settings.paths.config), system_clock())
    for finding in found:
        out.print(str(finding), markup=False)
    out.print(f"{len(found)} findings" if found else "the ledger is sound")
    return FINDINGS if found else FINE


@inbox_app.command("list")
@command
def list_set_aside() -> int:
    """The messages that were set aside, with the last line of their error."""
    database = ready_database(settings_in_force())
    with database.reading() as session:
        rows = inbox.set_aside(session)
    for row in rows:
        reason = (row.error or "").strip().splitlines()[-1:] or [""]
        out.print(
            f"{row.id} {row.received_at:%Y-%m-%d %H:%M} tried {row.attempts} times: {mask(reason[0])}", markup=False
        )
    out.print(f"{len(rows)} set aside")
    return FINDINGS if rows else FINE


@inbox_app.command("retry")
@command
def retry_set_aside(message_id: int) -> int:
    """Take a message up again that was set aside."""
    database = ready_database(settings_in_force())
    with database.transaction() as session:
        found = inbox.retry_aside(session, message_id)
    out.print(f"message {message_id} waits again" if found else f"no message {message_id} is set aside")
    return FINE if found else FINDINGS
