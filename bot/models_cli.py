"""`huitou models`: the numbered models on the shelf, compared, put in force and taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bot.brands import read_corpus, read_programme
from bot.command import FINDINGS, FINE, command, err, say, settings_in_force
from bot.settings import Settings
from intents import shelf
from intents.errors import PublishRefused
from intents.model import LinearModel

models_app = typer.Typer(no_args_is_help=True, help="The numbered models on the shelf.")
_SHOWN = 40


@models_app.command("list")
@command
def list_models() -> int:
    """Every model on the shelf; a star marks the one in force, an exclamation mark those that were refused."""
    root = settings_in_force().paths.models
    current = shelf.current(root)
    for number in shelf.numbers(root):
        card = shelf.card(root, number)
        star = "*" if current is not None and int(current.name) == number else " "
        refused = " ! " + "; ".join(card["gate"]["refusals"]) if card.get("gate", {}).get("refusals") else ""
        say(f"{star} {number} micro-F1 {card.get('heldout_micro_f1_group')} on synthetic held-out{refused}")
    return FINE


@models_app.command("show")
@command
def show_model(
    number: Annotated[int | None, typer.Argument(help="Which; without one, the model in force.")] = None,
) -> int:
    """The card of a model: what it was made of, how it was judged, how it compares with the one before."""
    root = settings_in_force().paths.models
    folder = shelf.current(root) if number is None else shelf.folder(root, number)
    if folder is None:
        err.print("no model is in force; run huitou train")
        return FINDINGS
    say(f"model {int(folder.name)}, {_size_mb(folder):.1f} MB")
    for line in card_lines(shelf.card(root, int(folder.name))):
        say(line)
    return FINE


@models_app.command("diff")
@command
def compare_models(before: int, after: int) -> int:
    """Judge two models on config/heldout (synthetic): what changed a scenario, what is newly wrong and newly right."""
    from intents.assessment import CHATS, judge
    from intents.comparison import compare

    settings = settings_in_force()
    root, (lexicon, messages) = settings.paths.models, _held_out(settings)
    first, second = (judge(LinearModel.load(shelf.folder(root, one), lexicon), messages) for one in (before, after))
    for chat in CHATS:
        compared = compare(first, second, chat)
        say(f"{chat} chats, {len(messages)} messages: model {before} → model {after}")
        say(f"{'micro F1':<24}{_step(compared.before.micro_f1, compared.after.micro_f1)}")
        say(f"{'macro F1':<24}{_step(compared.before.macro_f1, compared.after.macro_f1)}")
        rates = compared.before.false_triggers_per_1000, compared.after.false_triggers_per_1000
        say(f"{'false triggers / 1,000':<24}{rates[0]:>6.1f} → {rates[1]:>6.1f}  {rates[1] - rates[0]:+.1f}")
        for name, (was, now) in sorted(compared.f1().items(), key=lambda item: (item[1][1] - item[1][0], item[0])):
            if was != now:
                say(f"  {name:<22}{_step(was, now)}")
        for title, changes in (("newly wrong", compared.newly_wrong), ("newly right", compared.newly_right)):
            say(f"{title}: {len(changes)}")
            for change in changes:
                say(f"  {change}")
        say("")
    return FINE


@models_app.command("promote")
@command
def promote_model(
    number: int,
    force: Annotated[bool, typer.Option("--force", help="Promote what was refused; the card keeps a note.")] = False,
) -> int:
    """Put a model in force; running workers take it up between two batches."""
    from bot.trainings import put_in_force

    try:
        put_in_force(settings_in_force(), number, force)
    except PublishRefused as error:
        err.print(f"{error}; mend the examples, or promote it with --force", markup=False)
        return FINDINGS
    say(f"model {number} is in force")
    return FINE


@models_app.command("rollback")
@command
def roll_back_model() -> int:
    """Go back to the model that was in force before."""
    say(f"model {shelf.rollback(settings_in_force().paths.models)} is in force")
    return FINE


def card_lines(card: dict[str, Any]) -> list[str]:
    """A card as a person reads it."""
    gate = card.get("gate")
    lines = [f"{key}: {value}" for key, value in card.items() if key not in ("gate", "notes")]
    lines += [f"note: {note}" for note in card.get("notes", ())]
    if gate is None:
        return [*lines, "gate: no model was in force to compare with"]
    lines.append(f"gate: {'refused' if gate['refusals'] else 'passed'}, compared with model {gate['compared_with']}")
    lines += [f"  {refusal}" for refusal in gate["refusals"]]
    lines += [f"  newly wrong: {sentence}" for sentence in gate["newly_wrong"][:_SHOWN]]
    if (more := len(gate["newly_wrong"]) - _SHOWN) > 0:
        lines.append(f"  and {more} more")
    return lines


def _held_out(settings: Settings) -> tuple[tuple[str, ...], list[Any]]:
    from bot.trainings import heldout

    corpus = read_corpus(settings.paths.config, read_programme(settings.paths.config))
    return corpus.lexicon, heldout(corpus)


def _step(was: float, now: float) -> str:
    return f"{was:>6.3f} → {now:>6.3f}  {now - was:+.3f}"


def _size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6
