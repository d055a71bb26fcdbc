"""`huitou train` and `huitou classify`: a model made, and asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress
from sqlalchemy.exc import OperationalError

from bot.brands import load_classifier, read_lexicon, read_programme, read_scenarios
from bot.command import FINDINGS, FINE, WRONG_USE, command, err, ready_database, say, settings_in_force
from bot.models_cli import card_lines
from bot.schema import SchemaError
from bot.settings import Settings
from bot.yaml_files import ConfigError
from handlers.talk import corrections
from intents import shelf
from intents.errors import PublishRefused

Answer = Callable[[str, str], str]
CHATS: Final = ("group", "private", "kf", "oa")


@command
def train(
    promote: Annotated[bool, typer.Option(help="Put the new model in force at once.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Also where it does worse at what is protected.")] = False,
    seed: Annotated[int | None, typer.Option(help="Another seed than the usual one.")] = None,
) -> int:
    """Train a model from config/scenarios and people's corrections, judge it on config/heldout, shelve it."""
    from bot.trainings import put_in_force, train_model

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
    for line in card_lines(shelf.card(settings.paths.models, number)):
        say(line)
    if not promote:
        say(f"model {number} is on the shelf; huitou models promote {number}")
        return FINE
    try:
        put_in_force(settings, number, force)
    except PublishRefused as error:
        err.print(f"{error}; it stays on the shelf. Mend the examples, or: huitou models promote {number} --force")
        return FINDINGS
    say(f"model {number} is in force")
    return FINE


@command
def classify(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Messages; without any, one a line on standard input.")
    ] = None,
    chat: Annotated[str, typer.Option(help="In which kind of chat: group, private, kf or oa.")] = "private",
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Standard input holds objects with text and chat.")] = False,
    why: Annotated[bool, typer.Option("--why", help="Tell the grounds in words instead of JSON.")] = False,
) -> int:
    """Write one JSON object a message: {"text", "scenarios": [{"id", "score"}], "unsure", "reasons"}."""
    settings = settings_in_force()
    programme = read_programme(settings.paths.config)
    lexicon = read_lexicon(settings.paths.config, programme)
    answer = _explainer(settings, lexicon) if why else _answerer(settings, lexicon)
    for text, place in _asked(texts or [], chat, jsonl):
        if place not in CHATS:
            err.print(f"no such chat: {place}; choose from {', '.join(CHATS)}", markup=False)
            return WRONG_USE
        # Half a character, as some clients send it, has no UTF-8.
        sys.stdout.write(answer(text, place).encode(errors="replace").decode() + "\n")
    return FINE


def _answerer(settings: Settings, lexicon: tuple[str, ...]) -> Answer:
    classifier = load_classifier(settings.paths.models, lexicon)

    def answer(text: str, chat: str) -> str:
        [verdict] = classifier.classify([text], [chat])
        scenarios = [{"id": scored.id, "score": round(scored.score, 4)} for scored in verdict.scenarios]
        told = {"text": text, "scenarios": scenarios, "unsure": verdict.unsure, "reasons": list(verdict.reasons)}
        return json.dumps(told, ensure_ascii=False)

    return answer


def _explainer(settings: Settings, lexicon: tuple[str, ...]) -> Answer:
    from intents.classifier import Classifier
    from intents.explanation import explain
    from intents.model import LinearModel

    folder = shelf.current(settings.paths.models)
    titles = {name: scenario.title for name, scenario in read_scenarios(settings.paths.config).items()}
    model = None if folder is None else LinearModel.load(folder, lexicon)

    def answer(text: str, chat: str) -> str:
        if model is None or folder is None:
            [verdict] = Classifier.fallback().classify([text], [chat])
            head = f"{text}  ({chat}, by keywords: no model is in force)"
            return "\n".join([head, *map("  {}".format, verdict.reasons)])
        return "\n".join(_grounds(text, chat, explain(model, folder.name, text, chat), titles))

    return answer


def _grounds(text: str, chat: str, told: Any, titles: dict[str, str]) -> Iterator[str]:
    yield f"{text}  ({chat}, model {int(told.verdict.model)})"
    if not told.verdict.scenarios:
        yield "  nothing told"
    for one in told.weighed:
        sign = "+" if one.told else "-"
        measure = "≥" if one.told else "<"
        yield f"  {sign} {one.id} {titles.get(one.id, '')}: score {one.score:.2f} {measure} {one.threshold:.2f}"
        for title, words in (("for", one.speaking_for), ("against", one.speaking_against)):
            if words:
                yield f"      {title}: {' '.join(words)}"
    for cue in told.cues:
        yield f"  cue {cue.kind}: {cue.words}"
    if told.verdict.unsure:
        yield "  unsure: in a private chat a question is worth more than an answer"


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
