"""`huitou import`: members, orders and exchange codes from CSV files, with a word on every refused row."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bot.brands import read_programme
from bot.clock import system_clock
from bot.command import FINDINGS, FINE, WRONG_USE, command, err, new_key, out, ready_database, settings_in_force
from bot.file_imports import MEMBERS, ORDERS, Import, Kind, Report
from loyalty import codes
from loyalty.identities import Identifier
from loyalty.import_columns import HeaderError
from loyalty.imports import ImportInterrupted

imports_app = typer.Typer(no_args_is_help=True, help="Members, orders and exchange codes from CSV files.")

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


@imports_app.command("codes")
@command
def import_codes(
    pool: Annotated[str, typer.Argument(help="The pool, as rewards of the programme name it.")],
    file: Annotated[Path, typer.Argument(help="CSV with the columns code and, where codes lapse, last_day.")],
    dry_run: DryRun = False,
) -> int:
    """Fill a pool up with exchange codes of another shop: all of the file, or none. The same file again is refused."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    pools = sorted({reward.pool for reward in programme.rewards if reward.pool is not None})
    if pool not in pools:
        known = f"there are {', '.join(pools)}" if pools else "give a reward way: exchange and a pool"
        err.print(f"no reward hands out from pool {pool}; {known}", markup=False)
        return WRONG_USE
    try:
        lines = _lines_of(file)
    except OSError as error:
        err.print(str(error), markup=False)
        return WRONG_USE
    database, now = ready_database(settings), system_clock()
    try:
        if dry_run:
            with database.reading() as session:
                errors: Sequence[codes.RowError] = codes.check_codes(session, pool, lines, now, programme.zone)
            added = max(0, len(lines) - 1)
        else:
            with database.transaction() as session:
                added, errors = codes.import_codes(session, pool, lines, new_key(), now, programme.zone).added, ()
    except codes.BadRows as bad:
        errors = bad.errors
    for wrong in errors:
        out.print(f"line {wrong.line}, {wrong.field}: {wrong.mend}", markup=False)
    if errors:
        out.print(f"{len(errors)} errors; nothing was imported", markup=False)
        return FINDINGS
    out.print(f"{added} codes {'would go' if dry_run else 'went'} into pool {pool}", markup=False)
    return FINE


def _lines_of(file: Path) -> list[str]:
    """The lines of a file in UTF-8 or GB18030, their ends kept; what is neither comes as signs no code has."""
    raw = file.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("gb18030", "replace")
    return list(StringIO(text, newline=""))


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
