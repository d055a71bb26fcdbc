"""The command `huitou`. Exit status: 0 fine, 1 findings, 2 wrong use.

What only one command needs (scikit-learn, Alembic, the emulator) is imported by that command: `serve` starts in half
the time and a third less memory without it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress
from sqlalchemy.exc import OperationalError

from bot import checks, running
from bot.app import PARTS, Service
from bot.brands import load_classifier, read_corpus, read_lexicon, read_programme
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
from bot.imports_cli import imports_app
from bot.keys_cli import keys_app
from bot.logs import mask
from bot.schema import SchemaError
from bot.settings import Settings
from bot.yaml_files import ConfigError
from handlers.talk import corrections, inbox
from intents import shelf
from intents.model import LinearModel
from loyalty import audit as ledger_audit

CHATS: Final = ("group", "private", "kf", "oa")
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="回头: a conversational private-domain bot service for brands on WeCom and WeChat.",
)  # fmt: skip
models_app = typer.Typer(no_args_is_help=True, help="The numbered models on the shelf.")
inbox_app = typer.Typer(no_args_is_help=True, help="Messages that were set aside because they fail.")
app.add_typer(models_app, name="models")
app.add_typer(inbox_app, name="inbox")
app.add_typer(imports_app, name="import")
app.add_typer(keys_app, name="keys")


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
    return FINDINGS if found else FINE


@app.command("migrate")
@command
def run_migrations() -> int:
    """Bring the database to the schema of this version."""
    from bot.migrations import migrate

    settings = settings_in_force()
    out.print(f"the database is at revision {migrate(database_of(settings))}")
    return FINE


@app.command("train")
@command
def train(
    promote: Annotated[bool, typer.Option(help="Put the new model in force at once.")] = True,
    seed: Annotated[int | None, typer.Option(help="Another seed than the usual one.")] = None,
) -> int:
    """Train a model from config/scenarios and people's corrections, judge it on config/heldout, shelve it."""
    from bot.trainings import train_model

    settings = settings_in_force()
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("training", total=None)
        options: dict[str, Any] = {} if seed is None else {"seed": seed}
        number = train_model(
            settings,
            lambda done, steps: bar.update(task, completed=done, total=steps),
            _corrections(settings),
            **options,
        )
    for key, value in shelf.card(settings.paths.models, number).items():
        out.print(f"{key}: {value}", markup=False)
    if promote:
        shelf.promote(settings.paths.models, number)
    out.print(f"model {number} is {'in force' if promote else 'on the shelf; huitou models promote ' + str(number)}")
    return FINE


@app.command("classify")
@command
def classify(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Messages; without any, one a line on standard input.")
    ] = None,
    chat: Annotated[str, typer.Option(help="In which kind of chat: group, private, kf or oa.")] = "private",
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Standard input holds objects with text and chat.")] = False,
) -> int:
    """Write one JSON object a message: {"text", "scenarios": [{"id", "score"}], "unsure", "reasons"}."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    classifier = load_classifier(settings.paths.models, read_lexicon(settings.paths.config, programme))
    for text, place in _asked(texts or [], chat, jsonl):
        if place not in CHATS:
            err.print(f"no such chat: {place}; choose from {', '.join(CHATS)}", markup=False)
            return WRONG_USE
        verdict = classifier.classify([text], [place])[0]
        scenarios = [{"id": scored.id, "score": round(scored.score, 4)} for scored in verdict.scenarios]
        answer = {"text": text, "scenarios": scenarios, "unsure": verdict.unsure, "reasons": list(verdict.reasons)}
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    return FINE


@app.command("evaluate")
@command
def evaluate(chat: Annotated[str, typer.Option(help="group or private: which thresholds hold.")] = "group") -> int:
    """Judge the model in force on the held-out messages (synthetic) and print a table."""
    from bot.trainings import judge

    if chat not in CHATS:
        err.print(f"no such chat: {chat}; choose from {', '.join(CHATS)}", markup=False)
        return WRONG_USE
    settings = settings_in_force()
    folder = shelf.current(settings.paths.models)
    if folder is None:
        err.print("no model is in force; run huitou train")
        return FINDINGS
    corpus = read_corpus(settings.paths.config, read_programme(settings.paths.config))
    out.print(judge(LinearModel.load(folder), corpus.heldout, chat).table(), markup=False)
    return FINE


@app.command("talk")
@command
def talk(files: Annotated[list[Path], typer.Argument(help="Transcripts; see tests/conversations.")]) -> int:
    """Play conversations from files against the worker and show where they did not go as written."""
    from bot.transcripts_cli import play_files

    problems = play_files(settings_in_force(), files)
    for problem in problems:
        out.print(problem, markup=False)
    out.print(f"{len(files)} played, {len(problems)} problems")
    return FINDINGS if problems else FINE


@app.command("audit")
@command
def audit() -> int:
    """Check the ledger: sums, lots, holds and balances; findings are printed, all of them."""
    database = ready_database(settings_in_force())
    with database.reading() as session:
        found = ledger_audit.findings(session)
    for finding in found:
        out.print(str(finding), markup=False)
    out.print(f"{len(found)} findings" if found else "the ledger is sound")
    return FINDINGS if found else FINE


@models_app.command("list")
@command
def list_models() -> int:
    """Every model on the shelf; a star marks the one in force."""
    root = settings_in_force().paths.models
    current = shelf.current(root)
    for number in shelf.numbers(root):
        card = shelf.card(root, number)
        mark = "*" if current is not None and current.name.lstrip("0") == str(number) else " "
        out.print(f"{mark} {number} micro-F1 {card.get('heldout_micro_f1_group')} on synthetic held-out", markup=False)
    return FINE


@models_app.command("promote")
@command
def promote_model(number: int) -> int:
    """Put a model in force; running workers take it up between two batches."""
    shelf.promote(settings_in_force().paths.models, number)
    out.print(f"model {number} is in force")
    return FINE


@models_app.command("rollback")
@command
def roll_back_model() -> int:
    """Go back to the model that was in force before."""
    out.print(f"model {shelf.rollback(settings_in_force().paths.models)} is in force")
    return FINE


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


def _corrections(settings: Settings) -> list[Any]:
    try:
        with ready_database(settings).reading() as session:
            return corrections.for_training(session)
    except (SchemaError, OperationalError):
        err.print("no database with corrections: training from the examples alone")
        return []


def _asked(texts: list[str], chat: str, jsonl: bool) -> Iterator[tuple[str, str]]:
    if texts:
        yield from ((text, chat) for text in texts)
        return
    for number, line in enumerate(sys.stdin, 1):
        if jsonl and line.strip():
            try:
                item = json.loads(line)
                yield str(item["text"]), str(item.get("chat", chat))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ConfigError([f"standard input:{number}: {error}; one object with text a line"]) from error
        elif not jsonl and line.strip():
            yield line.rstrip("\n"), chat
