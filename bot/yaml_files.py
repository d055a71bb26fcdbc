"""Strict reading of the files in config/: YAML 1.2, no doubled keys, and errors that name file, line and mend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

HAS_LIBYAML = find_spec("_ruamel_yaml") is not None
"""Whether ruamel.yaml's C part is installed; without it reading is slower and means the same."""
ModelT = TypeVar("ModelT", bound=BaseModel)

MENDS = {
    "extra_forbidden": "no such key here; check its spelling or remove it",
    "missing": "add this key",
}


class ConfigError(Exception):
    """A configuration file is wrong; the message names the file, the line and the mend."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def read(path: Path, model: type[ModelT]) -> ModelT:
    """The file as a checked model; raises `ConfigError` with every problem at once.

    A good file is read by libyaml, five times as fast; only a faulty one is read again by the parser that keeps lines.
    """
    try:
        return model.model_validate(_parse_fast(path))
    except (YAMLError, ValidationError, OSError, UnicodeDecodeError):
        tree = _parse(path)
    try:
        return model.model_validate(_plain(tree))
    except ValidationError as error:
        raise ConfigError([_describe(path, tree, item) for item in error.errors()]) from error


def read_folder(folder: Path, model: type[ModelT], without: str = "") -> dict[str, ModelT]:
    """Every *.yaml of a folder but `without` by its stem; raises `ConfigError` with the problems of all files."""
    found: dict[str, ModelT] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        if path.stem == without:
            continue
        try:
            found[path.stem] = read(path, model)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return found


def _parse_fast(path: Path) -> Any:
    yaml = YAML(typ="safe", pure=not HAS_LIBYAML)
    yaml.version = (1, 2)
    yaml.allow_duplicate_keys = False
    return yaml.load(path.read_text(encoding="utf-8"))


def _parse(path: Path) -> Any:
    yaml = YAML(typ="rt", pure=True)
    yaml.version = (1, 2)
    yaml.allow_duplicate_keys = False
    try:
        return yaml.load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError([f"{path}: no such file"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8"]) from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError([f"{path}:{line}: {error.problem}"]) from error
    except YAMLError as error:
        raise ConfigError([f"{path}: {error}"]) from error


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_plain(value) for value in tree]
    if isinstance(tree, bool) or tree is None:
        return tree
    if isinstance(tree, datetime):
        return datetime.combine(tree.date(), tree.time(), tree.tzinfo)
    for kind in (int, float, str):
        if isinstance(tree, kind):
            return kind(tree)
    return tree


def _describe(path: Path, tree: Any, item: Any) -> str:
    where, line = tree, 1
    trail: list[str] = []
    for step in item["loc"]:
        line = _line_of(where, step) or line
        trail.append(str(step))
        where = where[step] if isinstance(where, dict | list) and _has(where, step) else None
    mend = MENDS.get(item["type"], item["msg"])
    return f"{path}:{line}: {'.'.join(trail) or 'file'}: {mend}"


def _has(where: Any, step: Any) -> bool:
    return step in where if isinstance(where, dict) else isinstance(step, int) and step < len(where)


def _line_of(where: Any, step: Any) -> int | None:
    marks = getattr(where, "lc", None)
    if marks is None:
        return None
    if marks.data and step in marks.data:
        return int(marks.data[step][0]) + 1
    return int(marks.line) + 1
