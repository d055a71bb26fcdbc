"""Customer-contact events: who serves whom and who sits in which group follows what the platform tells."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from handlers import contacts
from handlers.facts import Facts
from handlers.talk.tables import ChatMemberRow, RepRow, ServingRow

pytestmark = pytest.mark.either_engine

AQING, GROUP = "wmAAAA0001", "wrGROUP0001"


def added(counter: Any, userid: str = "liuyang", change: str = "add_external_contact", **more: str) -> Any:
    """The event that a rep and 阿青 are contacts now."""
    return counter.event(
        sender=AQING, event="change_external_contact", change=change, userid=userid, external_userid=AQING, **more
    )


def rep_of(counter: Any) -> str:
    """Who serves 阿青 now."""
    member = counter.member(AQING)
    with counter.database.reading() as session:
        facts = Facts(session, [member], [member], counter.brand.programme, counter.now)
        return facts.rep_of(member)


def servings(counter: Any) -> dict[str, tuple[bool, str, str]]:
    """Whether each rep still serves 阿青, who ended it, and the code they came by."""
    with counter.database.reading() as session:
        return {
            row.userid: (row.ended_at is None, row.ended_by, row.channel_code)
            for row in session.scalars(select(ServingRow))
        }


def sitting(counter: Any) -> dict[str, bool]:
    """Who sits, or sat, in the group."""
    with counter.database.reading() as session:
        return {row.person: row.left_at is None for row in session.scalars(select(ChatMemberRow))}


@pytest.mark.parametrize("change", ["add_external_contact", "add_half_external_contact"])
def test_an_added_contact_is_served_and_asked_for(counter: Any, change: str) -> None:
    """From the event on the rep serves the customer, and the platform is asked for name and unionid."""
    (asked,) = counter.handle(added(counter, change=change, state="poster-07"))
    assert (asked.kind, asked.recipient) == ("profile", f"profile:{AQING}")
    assert rep_of(counter) == "liuyang"
    assert servings(counter) == {"liuyang": (True, "", "poster-07")}
    with counter.database.reading() as session:
        assert session.scalars(select(RepRow.userid)).all() == ["liuyang"]


@pytest.mark.parametrize(("change", "by"), [("del_external_contact", "rep"), ("del_follow_user", "customer")])
def test_a_deleted_contact_is_served_no_more(counter: Any, change: str, by: str) -> None:
    """Whoever of the two deletes the other: it is over, and who ended it is kept."""
    counter.handle(added(counter))
    counter.handle(added(counter, change=change))
    assert rep_of(counter) == ""
    assert servings(counter)["liuyang"] == (False, by, "")


def test_added_again_serves_again(counter: Any) -> None:
    """After a deletion the contact may begin anew, with the new code."""
    for change, code in (("add_external_contact", "a"), ("del_follow_user", ""), ("add_external_contact", "b")):
        counter.handle(added(counter, change=change, state=code))
        counter.push(minutes=1)
    assert servings(counter)["liuyang"] == (True, "", "b")


def test_the_newest_contact_that_stands_serves(counter: Any) -> None:
    """Two reps know the customer: the later one is asked, and the earlier one again when that contact ends."""
    counter.handle(added(counter, "liuyang"))
    counter.push(days=1)
    counter.handle(added(counter, "wangli"))
    assert rep_of(counter) == "wangli"
    counter.handle(added(counter, "wangli", change="del_follow_user"))
    assert rep_of(counter) == "liuyang"


def test_deleting_one_contact_leaves_the_other_customers(counter: Any) -> None:
    """The deletion is of this pair alone."""
    counter.handle(added(counter))
    with counter.database.transaction() as session:
        contacts.serve(session, "liuyang", "wmB", counter.now)
    counter.handle(added(counter, change="del_external_contact"))
    with counter.database.reading() as session:
        standing = session.scalars(select(ServingRow.external_userid).where(ServingRow.ended_at.is_(None))).all()
    assert standing == ["wmB"]


def group(counter: Any, detail: str, members: str) -> Any:
    """The event that people joined or left the group."""
    return counter.event(
        sender=GROUP, event="change_external_chat", change="update", detail=detail, chat=GROUP, members=members
    )


def test_people_join_and_leave_a_group(counter: Any) -> None:
    """Who joined sits in it, who left does not, who comes back does; the platform is asked for the group's name."""
    (asked,) = counter.handle(group(counter, "add_member", f"{AQING},wmB,wmC"))
    assert (asked.kind, asked.recipient) == ("chat_profile", f"profile:{GROUP}")
    counter.handle(group(counter, "del_member", f"{AQING},wmC"))
    assert sitting(counter) == {AQING: False, "wmB": True, "wmC": False}
    counter.handle(group(counter, "add_member", AQING))
    assert sitting(counter)[AQING]


def test_leaving_one_group_is_not_leaving_another(counter: Any) -> None:
    """The same person sits in two groups."""
    for chat in (GROUP, "wrOTHER"):
        counter.handle(
            counter.event(
                sender=chat,
                event="change_external_chat",
                change="update",
                detail="add_member",
                chat=chat,
                members=AQING,
            )
        )
    counter.handle(group(counter, "del_member", AQING))
    with counter.database.reading() as session:
        rows = session.execute(select(ChatMemberRow.chat).where(ChatMemberRow.left_at.is_(None))).scalars().all()
    assert rows == ["wrOTHER"]


def test_an_event_nobody_knows_is_noted(counter: Any) -> None:
    """A change of tags, a transfer that failed, something new: kept as noted, with no error and no effect."""
    assert counter.handle(added(counter, change="edit_external_contact")) == []
    assert counter.handle(counter.event(sender="sys", event="customer_acquisition", change="balance_low")) == []
    assert [verdict.decision for verdict in counter.verdicts()] == ["noted", "noted"]


def test_the_same_event_twice_asks_once(counter: Any) -> None:
    """Delivered again after a timeout: nothing more is asked of the platform."""
    event = added(counter)
    assert len(counter.handle(event)) == 1
    assert counter.handle(event) == []
