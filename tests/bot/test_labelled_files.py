"""Labelled messages from files: what is good is read, what is bad is named by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.labelled_files import read_messages, read_sentences
from bot.yaml_files import ConfigError
from intents.assessment import Message
from intents.general import Sentence

KNOWN = ("running_out", "points_query")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A place for a file."""
    return tmp_path / "set.jsonl"


def test_good_lines_are_messages(file: Path) -> None:
    """Labels, none of them, the word none; a chat of its own or the given one; further keys and empty lines pass."""
    file.write_text(
        '\ufeff{"text": "快吃完了,查积分", "labels": ["running_out", "points_query"], "chat": "kf", "id": 7}\n\n'
        '{"text": "早上好", "labels": []}\r\n{"text": "嗯", "labels": ["none"], "chat": null}',
        encoding="utf-8",
    )
    assert read_messages(file, KNOWN, "group") == (
        [
            Message("快吃完了,查积分", frozenset(KNOWN), "kf"),
            Message("早上好", frozenset(), "group"),
            Message("嗯", frozenset(), "group"),
        ],
        [],
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("快吃完了", "Expecting value"),
        ("{", "Expecting property name"),
        ('["快吃完了"]', "line: "),
        ('{"labels": []}', "text: field required"),
        ('{"text": 3, "labels": []}', "text: input should be a valid string"),
        ('{"text": "完了", "labels": "running_out"}', "labels: input should be a valid list"),
        ('{"text": "完了", "labels": ["runing_out"]}', "labels: no such scenario: runing_out"),
        ('{"text": "完了", "labels": [], "chat": "wall"}', "chat: input should be 'group', 'private', 'kf' or 'oa'"),
        ("[" * 100_000, "write one JSON object a line"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(line: str, said: str, file: Path) -> None:
    """File, line and what is wrong; the lines before and behind count."""
    file.write_text(f'{{"text": "一", "labels": []}}\n{line}\n{{"text": "三", "labels": []}}\n', encoding="utf-8")
    messages, [problem] = read_messages(file, KNOWN, "group")
    assert [message.text for message in messages] == ["一", "三"]
    assert problem.startswith(f"{file}:2: ") and said in problem


def test_half_a_character_is_left_out(file: Path) -> None:
    """Some clients cut an emoji in two; what is left can be read and written."""
    file.write_text('{"text": "快完了\\ud83d", "labels": []}', encoding="utf-8")
    assert read_messages(file, KNOWN, "kf") == ([Message("快完了", frozenset(), "kf")], [])


def test_problems_stand_in_the_order_of_their_lines(file: Path) -> None:
    """Whoever mends goes from the top to the bottom."""
    file.write_text('{"text": "一", "labels": ["x"]}\n{\n{"text": "三", "labels": ["y"]}\n', encoding="utf-8")
    _, problems = read_messages(file, KNOWN, "group")
    assert [problem.split(":")[1] for problem in problems] == ["1", "2", "3"]


def test_sentences_have_one_label(file: Path) -> None:
    """Any label but an empty one."""
    file.write_text('{"text": "放首歌", "label": "音乐"}\n{"text": "喂", "label": ""}\n', encoding="utf-8")
    sentences, [problem] = read_sentences(file)
    assert sentences == [Sentence("放首歌", "音乐")] and f"{file}:2: label: " in problem


def test_a_file_that_cannot_be_read_is_an_error(file: Path) -> None:
    """One that is not there, and one that is no UTF-8."""
    with pytest.raises(ConfigError, match="No such file"):
        read_sentences(file)
    file.write_bytes('{"text": "完了"'.encode("gbk"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_sentences(file)
