"""Strict YAML: file, line and mend for whatever is wrong, and none of YAML 1.1's surprises."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from bot.yaml_files import ConfigError, read, read_folder


class Cup(BaseModel):
    """Something to sell."""

    model_config = ConfigDict(extra="forbid")
    name: str
    cost: int = 0
    tags: list[str] = []
    inner: dict[str, int] = {}


def refused(path: Path, text: str) -> list[str]:
    """The problems of a text."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(path, Cup)
    return caught.value.problems


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file stands."""
    return tmp_path / "cup.yaml"


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("name: 杯\nnmae: 杯\n", 2, "nmae: no such key here; check its spelling or remove it"),
        ("cost: 3\n", 1, "name: add this key"),
        ("name: 杯\n\n# note\ncost: viel\n", 4, "cost: "),
        ("name: 杯\ntags:\n  - 一\n  - [二]\n", 4, "tags.1: "),
        ("name: 杯\ninner:\n  a: 1\n  b: x\n", 4, "inner.b: "),
        ("name: 杯\nname: 壶\n", 2, "duplicate key"),
        ("name: 杯\n  cost: 3\n", 2, ""),
        ("name: [杯\ncost: 3\n", 2, ""),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(text: str, line: int, part: str, path: Path) -> None:
    """A misspelt, missing, wrong or doubled key and broken YAML: one line each, to click on."""
    (problem,) = refused(path, text)
    assert problem.startswith(f"{path}:{line}: ") and part in problem


def test_everything_wrong_is_told_at_once(path: Path) -> None:
    """Three mistakes are three lines."""
    assert len(refused(path, "nmae: 杯\ncost: viel\n")) == 3


@pytest.mark.parametrize("text", ["", "# nothing\n", "- 杯\n", "杯\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str, path: Path) -> None:
    """Empty, a list or a word is not what the file should be."""
    (problem,) = refused(path, text)
    assert problem.startswith(f"{path}:1: ")


def test_yes_no_on_and_times_are_words(path: Path) -> None:
    """YAML 1.2: yes, no, on, off and 10:00 are text as written, not true, false or 600."""
    path.write_text("name: no\ntags: [yes, on, off, 10:00, y]\n")
    assert read(path, Cup) == Cup(name="no", tags=["yes", "on", "off", "10:00", "y"])


def test_a_number_is_not_taken_for_text(path: Path) -> None:
    """name: 2 is a number; quotes make it text."""
    assert len(refused(path, "name: 2\n")) == 1


def test_a_file_that_is_not_there_or_not_utf8_says_so(path: Path) -> None:
    """Each with the path."""
    with pytest.raises(ConfigError, match=r"cup.yaml: no such file"):
        read(path, Cup)
    path.write_bytes("name: 杯".encode("gbk"))
    with pytest.raises(ConfigError, match=r"cup.yaml: not UTF-8 .*save it as UTF-8"):
        read(path, Cup)


def test_a_folder_tells_the_problems_of_all_its_files(tmp_path: Path) -> None:
    """Every file by its stem; the problems of two files come together, the left-out one is not read."""
    (tmp_path / "a.yaml").write_text("name: 杯\n")
    (tmp_path / "none.yaml").write_text("- x\n")
    assert read_folder(tmp_path, Cup, without="none") == {"a": Cup(name="杯")}
    (tmp_path / "b.yaml").write_text("nmae: x\nname: y\n")
    (tmp_path / "c.yaml").write_text("cost: 1\n")
    with pytest.raises(ConfigError) as caught:
        read_folder(tmp_path, Cup, without="none")
    assert [Path(line.split(":")[0]).name for line in caught.value.problems] == ["b.yaml", "c.yaml"]
