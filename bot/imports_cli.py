"""`huitou import`: members and orders from CSV files, with a progress bar and a word on every refused row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bot.brands import read_programme
from bot.clock import system_clock
from bot.command import FINDINGS, FINE, WRONG_USE, command, err, out, ready_database, settings_in_force
from bot.file_imports import MEMBERS, ORDERS, Import, Kind, Report
from loyalty.identities import Identifier
from loyalty.import_columns import HeaderError
from loyalty.imports import ImportInterrupted

imports_app = typer.Typer(no_args_is_help=True, help="Members and orders from CSV files.")

File = Annotated[Path, typer.Argument(help="CSV with a header line; UTF-8 or GB18030.")]
Source = Annotated[str, typer.Option(help="Where the rows come from, where no column says it: pos, tmall …")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check every row and write nothing.")]
Again = Annotated[bool, typer.Option("--again", help="Read a file once more that was imported before.")]


@imports_app.command("members")
@command
def import_members(file: File, source: Source = "", dry_run: DryRun = False, again: Again = False) -> int:
    """Bring in members: who they are, where they came from, tags, an opening balance; each row once."""
    return _run(MEMBERS, file, source, dry_run, again)


@imports_app.command("orders")
@command
def import_orders(file: File, source: Source = "", dry_run: DryRun = False, again: Again = False) -> int:
    """Bring in paid orders and let them earn by the programme's rules; each order once."""
    return _run(ORDERS, file, source, dry_run, again)


def _run(kind: Kind, file: Path, source: str, dry_run: bool, again: bool) -> int:
    settings = settings_in_force()
    identifier = Identifier(settings.identity.secret.get_secret_value())
    work = Import(kind, file, ready_database(settings), read_programme(settings.paths.config), identifier,
                  system_clock, source)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task(file.name, total=file.stat().st_size)
            report = work.run(dry_run=dry_run, again=again, advance=lambda seen: bar.update(task, completed=seen))
    except (HeaderError, ImportInterrupted, OSError) as error:
        err.print(str(error) if isinstance(error, OSError) else f"{file}: {error}", markup=False)
        return WRONG_USE
    _tell(report, kind, dry_run)
    return FINDINGS if report.rejected else FINE


def _tell(report: Report, kind: Kind, dry_run: bool) -> None:
    if report.ignored:
        out.print(f"columns that mean nothing here: {', '.join(report.ignored)}", markup=False)
    for error in report.errors:
        out.print(str(error), markup=False)
    if report.rejected > len(report.errors):
        out.print(f"… {report.rejected - len(report.errors)} more refused rows", markup=False)
    if report.finished_before is not None:
        out.print(f"this file was imported on {report.finished_before:%Y-%m-%d %H:%M} UTC; nothing changed "
                  "(--again reads it once more)", markup=False)
    would = "would be " if dry_run else ""
    out.print(f"{report.rows} rows: {report.new} {kind.name} {would}new, {report.known} known, "
              f"{report.rejected} refused; {report.points} points; {report.elapsed_s:.1f} s", markup=False)
    if report.rejected_file is not None:
        out.print(f"refused rows: {report.rejected_file}; correct them there and import that file", markup=False)
