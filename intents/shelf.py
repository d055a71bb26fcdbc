"""Numbered model folders with a card each, and one pointer that is swapped whole.

A root holds `0001/`, `0002/` … and `current.json`; a folder never changes once it has its number, but for notes that
its card gains.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from intents.errors import ModelBroken, ModelMissing
from intents.model import LinearModel

CARD_FILE = "card.json"
POINTER_FILE = "current.json"
_UNFINISHED = ".unfinished-"


def publish(root: Path, model: LinearModel, card: Mapping[str, Any]) -> int:
    """Store a model with its card under the next number; promotes nothing. Safe beside other publishers."""
    root.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=root))
    try:
        model.save(unfinished)
        _write(unfinished / CARD_FILE, dict(card))
        unfinished.chmod(0o755)
        return _number(root, unfinished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _number(root: Path, unfinished: Path) -> int:
    number = max(numbers(root), default=0) + 1
    while True:
        try:
            unfinished.rename(root / f"{number:04d}")
        except OSError:
            # Another publisher took this number; a full folder cannot be renamed over.
            if not (root / f"{number:04d}").is_dir():
                raise
            number += 1
        else:
            return number


def numbers(root: Path) -> list[int]:
    """Every published number, rising."""
    if not root.is_dir():
        return []
    return sorted(int(entry.name) for entry in root.iterdir() if entry.is_dir() and entry.name.isdecimal())


def card(root: Path, number: int) -> dict[str, Any]:
    """The card of a published model. Raises ModelMissing, ModelBroken."""
    found = _read(folder(root, number) / CARD_FILE)
    if found is None:
        raise ModelBroken(f"{folder(root, number)} has no {CARD_FILE}; publish the model again")
    return found


def annotate(root: Path, number: int, note: str) -> None:
    """Add a note to the card of a published model. Raises ModelMissing, ModelBroken."""
    content = card(root, number)
    _write(folder(root, number) / CARD_FILE, content | {"notes": [*content.get("notes", ()), note]})


def current(root: Path) -> Path | None:
    """The folder of the promoted model; None where nothing was promoted. Raises ModelBroken, ModelMissing."""
    pointer = _pointer(root)
    return folder(root, pointer[-1]) if pointer else None


def folder(root: Path, number: int) -> Path:
    """The folder of a published model. Raises ModelMissing."""
    found = root / f"{number:04d}"
    if not found.is_dir():
        have = ", ".join(map(str, numbers(root))) or "none"
        raise ModelMissing(f"no model {number} in {root} (there: {have})")
    return found


def promote(root: Path, number: int) -> None:
    """Make a published model the current one, in one step. Raises ModelMissing."""
    folder(root, number)
    pointer = _pointer(root)
    if not pointer or pointer[-1] != number:
        _write(root / POINTER_FILE, {"promoted": [*pointer, number]})


def rollback(root: Path) -> int:
    """Go back to the model promoted before the current one; returns its number. Raises ModelMissing."""
    pointer = _pointer(root)
    if len(pointer) < 2:
        raise ModelMissing(f"no model was promoted before the current one in {root}; promote one by number")
    folder(root, pointer[-2])
    _write(root / POINTER_FILE, {"promoted": pointer[:-1]})
    return pointer[-2]


def _pointer(root: Path) -> list[int]:
    found = _read(root / POINTER_FILE)
    if found is None:
        return []
    promoted = found.get("promoted")
    if not isinstance(promoted, list) or not all(type(number) is int for number in promoted):
        raise ModelBroken(f"{root / POINTER_FILE} names no models; promote one by number after removing it")
    return promoted


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ModelBroken(f"{path} is not JSON ({error}); remove it and promote a model by number") from error
    if not isinstance(found, dict):
        raise ModelBroken(f"{path} is no object; remove it and promote a model by number")
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(0o644)
    # A reader sees the old pointer or the new one, never half of one.
    Path(name).replace(path)
