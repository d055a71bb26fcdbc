"""Labelled messages from JSONL files: one object a line, bad lines named and passed over."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.yaml_files import ConfigError
from intents.assessment import Message
from intents.general import Sentence

NONE = "none"
LineT = TypeVar("LineT", bound=BaseModel)


class MessageLine(BaseModel):
    """`{"text", "labels", "chat"?}`: scenario ids, none of them or the word none for no scenario."""

    model_config = ConfigDict(extra="ignore", strict=True)
    text: str
    labels: list[str]
    chat: Literal["group", "private", "kf", "oa"] | None = None


class SentenceLine(BaseModel):
    """`{"text", "label"}`: one label, whatever it is."""

    model_config = ConfigDict(extra="ignore", strict=True)
    text: str
    label: Annotated[str, Field(min_length=1)]


def read_messages(path: Path, known: Collection[str], chat: str) -> tuple[list[Message], list[str]]:
    """The good lines, and a problem for each bad one; a line without a chat of its own gets `chat`."""
    messages: list[Message] = []
    problems: list[str] = []
    for number, line in _lines(path, MessageLine, problems):
        labels = frozenset(line.labels) - {NONE}
        if strange := sorted(labels - set(known)):
            problems.append(f"{path}:{number}: labels: no such scenario: {', '.join(strange)}; correct the id")
        else:
            messages.append(Message(_whole(line.text), labels, line.chat or chat))
    return messages, sorted(problems, key=_line_number)


def read_sentences(path: Path) -> tuple[list[Sentence], list[str]]:
    """The good lines, and a problem for each bad one."""
    problems: list[str] = []
    return [Sentence(_whole(line.text), line.label) for _, line in _lines(path, SentenceLine, problems)], problems


def _lines(path: Path, model: type[LineT], problems: list[str]) -> Iterator[tuple[int, LineT]]:
    for number, line in enumerate(_text_of(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, model.model_validate(_object(line))
        except ValidationError as error:
            problems.append(f"{path}:{number}: {_said(error.errors()[0])}")
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}; write one JSON object a line")


def _whole(text: str) -> str:
    """Without halves of characters, which nobody reads and no terminal writes."""
    return text.encode(errors="ignore").decode()


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8"]) from error
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}; name a file that can be read"]) from error


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _said(item: Any) -> str:
    place = ".".join(map(str, item["loc"])) or "line"
    return f"{place}: {item['msg'][:1].lower()}{item['msg'][1:]}"


def _line_number(problem: str) -> int:
    return int(problem.split(": ", 1)[0].rsplit(":", 1)[1])
