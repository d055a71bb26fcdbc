"""Tags and where members came from."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from bot.database import Database
from loyalty.customers import resolve
from loyalty.merging import merge, unmerge
from loyalty.sources import Acquired, Arrival, acquired, count_by_source, note_arrivals
from loyalty.tags import Tag, drop_expired, members_with, remove_tags, set_tags, tags_of

DAY = timedelta(days=1)


def test_a_tag_has_a_source_a_time_and_an_end(database: Database, noon: datetime) -> None:
    """Two sources may say the same; setting again renews the end; what has expired is gone, and may begin anew."""
    with database.transaction() as session:
        one, two = resolve(session, [("openid", "a"), ("openid", "b")], noon).values()
        set_tags(session, [(one, "咖啡控"), (two, "咖啡控")], "import", noon)
        set_tags(session, [(one, "咖啡控")], "rep:wangli", noon + DAY, expires_at=noon + 2 * DAY)
        set_tags(session, [(one, "咖啡控")], "rep:wangli", noon + DAY, expires_at=noon + 3 * DAY)
        later = noon + 2 * DAY
        assert tags_of(session, [one, two, 99], later) == {
            one: (Tag("咖啡控", "import", noon, None), Tag("咖啡控", "rep:wangli", noon + DAY, noon + 3 * DAY)),
            two: (Tag("咖啡控", "import", noon, None),)}
        assert remove_tags(session, [one, two], ["咖啡控"], source="import") == 2
        assert members_with(session, "咖啡控", later) == [one]
        assert members_with(session, "咖啡控", noon + 3 * DAY) == [] == list(tags_of(session, [one], noon + 3 * DAY))
        set_tags(session, [(one, "咖啡控")], "rep:wangli", noon + 4 * DAY)
        assert tags_of(session, [one], noon + 4 * DAY)[one][0].set_at == noon + 4 * DAY
        assert remove_tags(session, [one], ["咖啡控", "茶客"]) == 1
        with pytest.raises(ValueError, match="later moment"):
            set_tags(session, [(one, "咖啡控")], "import", noon, expires_at=noon)


def test_members_with_a_tag_come_page_by_page(database: Database, noon: datetime) -> None:
    """By id, without doubles; what has expired is swept away once."""
    with database.transaction() as session:
        people = sorted(resolve(session, [("openid", f"p{n}") for n in range(5)], noon).values())
        for source in ("import", "rep:wangli"):
            set_tags(session, [(member, "老客") for member in people], source, noon, expires_at=noon + DAY)
        assert members_with(session, "老客", noon, limit=2) == people[:2]
        assert members_with(session, "老客", noon, limit=9, after_id=people[1]) == people[2:]
        assert (drop_expired(session, noon + DAY), drop_expired(session, noon + DAY)) == (10, 0)


def test_first_and_last_source_are_kept(database: Database, noon: datetime) -> None:
    """Whatever order they are told in; a merge counts both histories, its undoing takes them apart."""
    with database.transaction() as session:
        one, two = resolve(session, [("openid", "a"), ("openid", "b")], noon).values()
        shop, code = Arrival(one, "shop_xuhui", "", noon), Arrival(one, "wecom", "xuhui-01", noon + DAY)
        early = Arrival(two, "tmall", "618", noon - DAY)
        note_arrivals(session, [code, shop, shop])
        note_arrivals(session, [shop, early])
        before = acquired(session, [one, two, 99])
        assert before == {one: Acquired(shop, code), two: Acquired(early, early)}
        assert count_by_source(session, noon, noon + DAY) == {("shop_xuhui", ""): 1}
        made = merge(session, one, two, evidence="same unionid", key="m1", at=noon)
        assert acquired(session, [one, two]) == {one: Acquired(early._replace(member_id=one), code)}
        unmerge(session, made.id, key="u1", at=noon)
        assert acquired(session, [one, two]) == before
