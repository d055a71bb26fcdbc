from __future__ import annotations

import threading
from pathlib import Path

import pytest

from intents import shelf
from intents.errors import ModelBroken, ModelMissing
from intents.model import LinearModel


def test_published_promoted_and_back(model: LinearModel, tmp_path: Path) -> None:
    """A model is stored, made current, followed by another and come back to."""
    assert shelf.current(tmp_path) is None
    first = shelf.publish(tmp_path, model, {"seed": 7, "note": "首个"})
    second = shelf.publish(tmp_path, model, {"seed": 8})
    assert shelf.current(tmp_path) is None
    shelf.promote(tmp_path, first)
    shelf.promote(tmp_path, second)
    shelf.promote(tmp_path, second)
    assert shelf.current(tmp_path) == tmp_path / "0002"
    assert shelf.rollback(tmp_path) == first
    assert shelf.current(tmp_path) == tmp_path / "0001"
    assert shelf.card(tmp_path, first) == {"seed": 7, "note": "首个"}
    assert LinearModel.load(tmp_path / "0001").labels == model.labels
    with pytest.raises(ModelMissing, match="before the current one"):
        shelf.rollback(tmp_path)


def test_an_unknown_number_changes_nothing(model: LinearModel, tmp_path: Path) -> None:
    """Promoting what is not there is refused, names what is there, and the pointer stays."""
    shelf.promote(tmp_path, shelf.publish(tmp_path, model, {}))
    with pytest.raises(ModelMissing, match=r"there: 1"):
        shelf.promote(tmp_path, 9)
    assert shelf.current(tmp_path) == tmp_path / "0001"


def test_a_card_that_cannot_be_written_leaves_no_model(model: LinearModel, tmp_path: Path) -> None:
    """A publishing that fails half-way leaves neither a number nor rubbish."""
    with pytest.raises(TypeError):
        shelf.publish(tmp_path, model, {"report": object()})
    assert list(tmp_path.iterdir()) == []


def test_readers_never_see_half_a_pointer(model: LinearModel, tmp_path: Path) -> None:
    """While one thread promotes back and forth, every reading gives one model or the other."""
    for _ in range(2):
        shelf.publish(tmp_path, model, {})
    shelf.promote(tmp_path, 1)
    stop, seen, failed = threading.Event(), set[str](), list[Exception]()

    def read() -> None:
        while not stop.is_set():
            try:
                folder = shelf.current(tmp_path)
                seen.add(folder.name if folder else "none")
            except Exception as error:
                failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(60):
        shelf.promote(tmp_path, 2)
        shelf.rollback(tmp_path)
    stop.set()
    reader.join()
    assert failed == []
    assert seen <= {"0001", "0002"}


def test_two_publishers_take_two_numbers(model: LinearModel, tmp_path: Path) -> None:
    """Publishers at the same moment do not overwrite one another."""
    taken: list[int] = []
    threads = [
        threading.Thread(target=lambda: taken.append(shelf.publish(tmp_path, model, {}))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == shelf.numbers(tmp_path) == [1, 2, 3, 4]


@pytest.mark.parametrize("pointer", ["", "[]", '{"promoted": "1"}', '{"promoted": [true]}', "{"])
def test_a_broken_pointer_is_named(tmp_path: Path, pointer: str) -> None:
    """A pointer edited by hand into nonsense is refused with the way out, not followed."""
    (tmp_path / shelf.POINTER_FILE).write_text(pointer)
    with pytest.raises(ModelBroken, match="promote"):
        shelf.current(tmp_path)
