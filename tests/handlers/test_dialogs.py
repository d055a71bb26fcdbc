"""Open dialogs, pauses and corrections: one row a place, the last word stands, nothing leaks to another chat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.database import Database
from handlers.talk import corrections
from handlers.talk.dialogs import end_pause, read_dialogs, read_pauses, write_dialogs, write_pauses
from handlers.talk.turn import OpenDialog
from intents.scenarios import Labelled

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
SOON = NOW + timedelta(minutes=30)
KF, OA = "kf:wk1", "oa:gh_1"


def test_a_dialog_comes_back_with_its_memory(database: Database) -> None:
    """Step, memory (Chinese, lists, numbers) and the end of its time are what was written."""
    dialog = OpenDialog("choose", {"shown": ["travel_cup"], "quantity": 2, "wanted": "杯子"}, SOON)
    with database.transaction() as session:
        write_dialogs(session, {(1, KF): dialog})
    with database.reading() as session:
        assert read_dialogs(session, [1, 2]) == {(1, KF): dialog}


def test_the_last_step_of_a_place_stands(database: Database) -> None:
    """A person in a chat has one dialog; other chats and other people keep theirs."""
    first, second = OpenDialog("choose", {}, NOW), OpenDialog("confirm", {"reward": "mug"}, SOON)
    with database.transaction() as session:
        write_dialogs(session, {(1, KF): first, (1, OA): first, (2, KF): first})
    with database.transaction() as session:
        write_dialogs(session, {(1, KF): second, (2, KF): None, (3, KF): None})
    with database.reading() as session:
        assert read_dialogs(session, [1, 2, 3]) == {(1, KF): second, (1, OA): first}
        assert read_dialogs(session, [2]) == {}
        assert read_dialogs(session, []) == {}


def test_a_dialog_whose_time_is_over_is_still_read(database: Database) -> None:
    """So that a late answer can be told so, once."""
    with database.transaction() as session:
        write_dialogs(session, {(1, KF): OpenDialog("confirm", {}, NOW - timedelta(days=1))})
    with database.reading() as session:
        assert (1, KF) in read_dialogs(session, [1])


def test_a_pause_holds_until_its_moment(database: Database) -> None:
    """A later pause of the same place replaces the earlier one; at its moment it is over; it can be ended early."""
    with database.transaction() as session:
        write_pauses(session, [((1, KF), NOW, "a"), ((1, KF), SOON, "a rep writes here"), ((1, OA), SOON, "b")])
    with database.reading() as session:
        assert read_pauses(session, [1], NOW) == {(1, KF): SOON, (1, OA): SOON}
        assert read_pauses(session, [1], SOON) == {}
    with database.transaction() as session:
        end_pause(session, 1, KF)
    with database.reading() as session:
        assert read_pauses(session, [1], NOW) == {(1, OA): SOON}


def test_corrections_become_training_messages(database: Database) -> None:
    """Wrong says the message is none of it; right says it is; both of one text come together; said twice is once."""
    with database.transaction() as session:
        corrections.note(session, "m1", "手机快没电了", "running_out", False, "liuyang", NOW)
        corrections.note(session, "m1", "手机快没电了", "running_out", False, "liuyang", NOW)
        corrections.note(session, "m2", "见底了再来两盒", "running_out", True, "liuyang", NOW)
        corrections.note(session, "m2", "见底了再来两盒", "purchase_intent", True, "wangli", NOW)
        corrections.note(session, "m2", "见底了再来两盒", "complaint", False, "wangli", NOW)
    with database.reading() as session:
        found = {one.text: one for one in corrections.for_training(session)}
    assert found == {
        "手机快没电了": Labelled("手机快没电了", frozenset()),
        "见底了再来两盒": Labelled("见底了再来两盒", frozenset({"running_out", "purchase_intent"})),
    }
