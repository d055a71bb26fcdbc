"""The seeds of trouble: restarts, nights, two at once, second thoughts, quotas, people who left, faulty files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.wecom import parse
from bot.yaml_files import ConfigError, read
from handlers import contacts
from handlers.followup import entries, picture, references, sop, sweeps, why
from handlers.followup.conditions import FACTS
from handlers.followup.definition import Sop, Sops
from handlers.followup.entries import Happening
from handlers.followup.words import check, render
from handlers.talk import effects, inbox, outbox
from handlers.talk.messages import Incoming
from handlers.talk.outbox import Leased
from handlers.talk.tables import InboxRow, RepRow
from handlers.talk.windows import Windows
from loyalty import customers

Play = Callable[..., Any]
HELLO = {"text": "{{ name or '您' }}好"}


def file(name: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A follow-up of the test, set off by the event of its own name."""
    return {"id": name, "triggers": [{"event": name}], "steps": list(steps)} | more


def test_a_restart_in_the_middle_of_a_step_does_it_once(play: Play) -> None:
    """The process dies after it has decided and before it commits: nothing happened; the next one does it once."""
    stage = play(also=[file("a", {"wait": {"hours": 1}}, {"points": {"amount": 5}}, {"prompt": HELLO})])
    member = stage.member("阿青")
    stage.happen("api:a", member)
    stage.now += timedelta(hours=1)
    with pytest.raises(KeyboardInterrupt), stage.database.transaction() as session:
        sop.fire_due(session, stage.brand, stage.now, 100)
        raise KeyboardInterrupt
    assert stage.points(member) == 0
    assert [row.kind for row in stage.tick()] == ["card"] and stage.tick() == []
    assert stage.points(member) == 5


def test_two_workers_at_once_fire_each_timer_once(play: Play) -> None:
    """Fifty people are due and two workers look at the same moment: fifty cards, none twice."""
    stage = play(also=[file("a", {"wait": {"hours": 1}}, {"prompt": HELLO})])
    for number in range(50):
        stage.happen("api:a", stage.member(f"客{number}"))
    stage.now += timedelta(hours=1)
    start = threading.Barrier(2)

    def work() -> None:
        start.wait()
        for _ in range(8):
            with stage.database.transaction() as session:
                _, outgoing = sop.fire_due(session, stage.brand, stage.now, 10)
                outbox.add(session, outgoing, stage.now)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = stage.take_out()
    assert len(rows) == 50 and len({row.member_id for row in rows}) == 50


def test_a_night_over_midnight_puts_it_off_to_the_morning(play: Play) -> None:
    """Due at 23:00: nothing until nine, then once; the reason says until when."""
    stage = play(also=[file("a", {"wait": {"hours": 11}}, {"prompt": HELLO})])
    member = stage.member("阿青")
    stage.happen("api:a", member)
    assert stage.push(hours=20, minutes=59) == []
    assert "推迟到 11-19 09:00" in stage.reasons(member)[0][1]
    assert len(stage.push(minutes=1)) == 1 and stage.push(days=2) == []


def test_a_clock_set_back_fires_nothing_twice(play: Play) -> None:
    """Nine o'clock comes twice: the card does not."""
    stage = play(also=[file("a", {"wait": {"hours": 1}}, {"prompt": HELLO})])
    stage.happen("api:a", stage.member("阿青"))
    assert len(stage.push(hours=1)) == 1
    stage.now -= timedelta(hours=3)
    assert stage.push(hours=5) == []


def test_of_two_at_once_the_more_important_goes_and_the_other_says_so(play: Play) -> None:
    """Both are due in the same moment: priority decides, and the loser's row names the winner."""
    step = [{"wait": {"hours": 1}}, {"prompt": HELLO}]
    stage = play(also=[file("low", *step, priority=10), file("high", *step, priority=90, title="要紧的")])
    member = stage.member("阿青")
    for name in ("low", "high"):
        stage.happen(f"api:{name}", member)
    (card,) = stage.push(hours=1)
    assert "要紧的" in msgspec.json.decode(card.payload)["title"]
    assert ("skipped", "同一时间有更重要的“要紧的”, 这次让位") in stage.reasons(member)
    assert sorted(stage.states(member)) == [("high", "prompted"), ("low", "skipped")]


def test_one_budget_over_all_follow_ups_and_channels(play: Play) -> None:
    """Two a day, five a week: whatever the follow-up and the channel; the refusal counts aloud."""
    names = [f"s{number}" for number in range(8)]
    stage = play(also=[file(name, {"message": HELLO}) for name in names], kf_per_window=5)
    member = stage.member("阿青")
    sent = 0
    for day in range(4):
        stage.talks("阿青", member)
        for name in names[2 * day : 2 * day + 2]:
            stage.happen(f"api:{name}", member)
            stage.now += timedelta(minutes=5)
        sent += len(stage.take_out())
        stage.now += timedelta(days=1) - timedelta(minutes=10)
    assert sent == 5 and stage.reasons(member)[-1][1] == "本周已提醒 5 次, 达到每周上限 5"


def test_the_mass_quota_of_a_customer_is_kept(play: Play) -> None:
    """The second 群发 of a month is not asked for where one is the quota; next month it is."""
    stage = play(also=[file("a", {"mass": HELLO}), file("b", {"mass": HELLO})], mass_per_month=1)
    member = stage.member("阿青")
    for name in ("a", "b"):
        stage.happen(f"api:{name}", member)
        stage.now += timedelta(days=2)
    assert len(stage.take_out()) == 1 and "达到平台上限 1" in stage.reasons(member)[-1][1]
    stage.now += timedelta(days=20)
    stage.happen("api:b", member)
    assert len(stage.take_out()) == 1


def answer(stage: Any, count: int, name: str = "阿青") -> None:
    """The dialogs answer the customer in 微信客服 so many times."""
    stage.serial += 1
    rows = [effects.kf_text(f"answer{stage.serial}:{n}", f"wm{name}", "wkA", "您有 120 积分") for n in range(count)]
    with stage.database.transaction() as session:
        outbox.add(session, rows, stage.now)
    stage.take_out()


def test_answers_and_follow_ups_share_the_five_messages(play: Play) -> None:
    """Two answers and a follow-up are gone: the next goes to the rep, who is told why; a new word makes room again."""
    stage = play(also=[file(name, {"message": HELLO}) for name in ("a", "b", "c")], per_day=9)
    member = stage.member("阿青")
    stage.talks("阿青", member)
    answer(stage, 2)
    for name in ("a", "b"):
        stage.now += timedelta(minutes=5)
        stage.happen(f"api:{name}", member)
    assert [row.kind for row in stage.take_out()] == ["kf_text", "card"]
    full = "客户上次说话后客服会话已发 3 条 (平台最多 5), 余下的留给回答"
    assert ("skipped", full) in stage.reasons(member)
    stage.now += timedelta(minutes=5)
    stage.talks("阿青", member)
    stage.happen("api:c", member)
    assert [row.kind for row in stage.take_out()] == ["kf_text"]


def test_several_follow_ups_of_one_moment_count_each_other(play: Play) -> None:
    """Five fire in the same batch: no more than three go, and what answers nothing and may not be prompted stays."""
    step: tuple[dict[str, Any], ...] = ({"wait": {"hours": 1}}, {"message": HELLO | {"otherwise": "skip"}})
    stage = play(also=[file(f"s{number}", *step, kind="service") for number in range(5)])
    member = stage.member("阿青")
    stage.talks("阿青", member)
    for number in range(5):
        stage.happen(f"api:s{number}", member)
    assert [row.kind for row in stage.push(hours=1)] == ["kf_text"] * 3
    assert [one for one, _ in stage.reasons(member)].count("skipped") == 2


def test_a_follow_up_leaves_less_room_for_what_is_answered_alone(play: Play) -> None:
    """What a follow-up wrote is not there any more for answers; what is kept for handing over stays kept."""
    stage = play(also=[file("a", {"message": HELLO})])
    member = stage.member("阿青")
    stage.talks("阿青", member)
    with stage.database.transaction() as session:
        row = {"key": f"talk{stage.serial}", "sender": "wm阿青", "body": "{}", "shard": 0, "state": inbox.DONE}
        session.add(InboxRow(**row, received_at=stage.now))
    stage.happen("api:a", member)
    with stage.database.reading() as session:
        window = Windows(session, [member], stage.now).of(member)
        assert window is not None and window.left == 3


def test_allow_and_deny_lists_and_weekends(play: Play) -> None:
    """A pilot touches its own people only; who is denied never; a quiet weekend ends on Monday at nine."""
    stage = play(also=[file("a", {"prompt": HELLO})], allow=frozenset({"wm阿青", "wm小满"}), deny=frozenset({"wm小满"}),
                 quiet_weekends=True, now=datetime(2026, 11, 21, 4, 0, tzinfo=UTC))  # fmt: skip
    people = [stage.member(name) for name in ("阿青", "小满", "路人")]
    for member in people:
        stage.happen("api:a", member)
    assert [stage.reasons(member)[0][0] for member in people] == ["deferred", "skipped", "skipped"]
    assert stage.push(hours=44, minutes=59) == [] and len(stage.push(minutes=1)) == 1


def test_second_thoughts_between_decision_and_sending(play: Play) -> None:
    """Who opts out while a 群发 waits in the outbox is taken off it; a task without anybody is withdrawn."""
    stage = play(also=[file("a", {"mass": {"text": "周五上新"}})])
    members = [stage.member(name) for name in ("阿青", "小满")]
    with stage.database.transaction() as session:
        happened = [Happening("api:a", member, f"k{member}", stage.now) for member in members]
        outbox.add(session, entries.handle(session, stage.brand, happened, stage.now), stage.now)
    with stage.database.transaction() as session:
        customers.opt_out(session, members[0], stage.now)
        (row,) = outbox.lease(session, 10, stage.now, 60)
        assert sop.prune_masses(session, [row]) == {} and list(row.payload["people"].values()) == [members[1]]
        customers.opt_out(session, members[1], stage.now)
        assert list(sop.prune_masses(session, [row])) == [row.id] and isinstance(row, Leased)


def test_a_rep_who_left_hands_over_to_the_default(play: Play) -> None:
    """The rep leaves while it waits: the card goes to who is set in the settings."""
    stage = play(also=[file("a", {"wait": {"hours": 1}}, {"prompt": HELLO})])
    stage.happen("api:a", stage.member("阿青", rep="chenjie"))
    with stage.database.transaction() as session:
        session.execute(RepRow.__table__.update().values(left_at=stage.now))  # type: ignore[attr-defined]
    assert [row.recipient for row in stage.push(hours=1)] == ["app:liuyang"]


def test_paused_waits_and_resumed_goes_on_with_the_facts_of_then(play: Play) -> None:
    """While it is on hold nobody enters and what is due waits; afterwards the facts are looked at anew."""
    stage = play("cycle_refill")
    stopped, due = stage.member("阿青"), stage.member("小满")
    for name in ("阿青", "小满"):
        stage.order(name, "QH-DRIP-30", days_ago=33)
    stage.now -= timedelta(hours=6)  # six in the morning: entered at nine, prompted at nine
    with stage.database.transaction() as session:
        assert why.pause(session, "cycle_refill", stage.now, "wangli")
        assert not why.pause(session, "cycle_refill", stage.now, "wangli")
    assert stage.push(hours=12) == []
    with stage.database.transaction() as session:
        assert why.resume(session, "cycle_refill") and not why.resume(session, "cycle_refill")
    stage.order("阿青", "QH-DRIP-30")
    (card,) = stage.push(days=1)
    assert card.member_id == due and stage.states(stopped) == []


def test_once_again_and_never_twice_at_the_same_time(play: Play) -> None:
    """Entry rules: busy keeps out, `once` keeps out for ever, each with its reason."""
    stage = play(also=[file("a", {"wait": {"days": 1}}, {"tag": {"add": ["x"]}}, entry={"once": True})])
    member = stage.member("阿青")
    for _ in range(2):
        stage.happen("api:a", member)
    stage.push(days=2)
    stage.happen("api:a", member)
    assert [reason for _, reason in stage.reasons(member)] == ["同一 SOP 正在进行中", "每人只进入一次"]


def test_go_leads_on_and_a_circle_ends(play: Play) -> None:
    """a goes to b and b to a: each is entered once more at most, and the service lives."""
    stage = play(also=[file("a", {"tag": {"add": ["x"]}}, {"go": "b"}), file("b", {"go": "a"})])
    member = stage.member("阿青")
    stage.happen("api:a", member)
    assert {name for name, _ in stage.states(member)} == {"a", "b"}


def test_why_says_it_in_words(play: Play) -> None:
    """What came, what not and what is still to come, found by name, number or id."""
    stage = play(also=[file("a", {"wait": {"hours": 11}}, {"prompt": HELLO}, title="晚安")])
    member = stage.member("阿青")
    stage.happen("api:a", member)
    stage.push(hours=12)
    with stage.database.reading() as session:
        assert why.find_person(session, "阿青") == why.find_person(session, "wm阿青") == [member]
        told = "\n".join(why.explain(session, stage.brand, member))
    assert "阿青" in told and "推迟" in told and "进行中: 晚安" in told


BROKEN = [
    ("audience: pionts > 3", "no fact 'pionts'"),
    ("steps: [{prompt: {text: '{{ nmae }}好'}}]", "no such variable: nmae"),
    ("steps: [{message: {text: '{{ name }}, 您好'}}]", "reads badly when nothing is known"),
    ("steps: [{message: {text: '" + "长" * 800 + "'}}]", "the platform takes 2048"),
    ("steps: [{wait: {}}]", "say how long"),
    ("steps: [{tag: {add: [x]}, end: done}]", "exactly one"),
    ("triggers: [{calendar: 13-40}]", "is no day"),
    ("steps: [{wait: {days: 1}}, {welcome: {text: 您好}}]", "before any wait"),
    ("prioritty: 3", "no such key"),
]


@pytest.mark.parametrize(("line", "words"), BROKEN)
def test_a_faulty_file_is_refused_with_line_and_mend(tmp_path: Path, line: str, words: str) -> None:
    """Whatever is wrong: the file, the line and what to write instead."""
    known = {"triggers": "triggers: [{event: x}]", "steps": "steps: [{end: done}]"}
    kept = [text for name, text in known.items() if not line.startswith(name)]
    path = tmp_path / "a.yaml"
    path.write_text("\n".join(["id: a", "title: 甲", *kept, line, ""]), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        read(path, Sop)
    assert words in str(refused.value) and f"{path}:" in str(refused.value)


def test_names_that_lead_nowhere_are_problems() -> None:
    """go, coupon, scenario and adapter must exist; the file's name is its id."""
    gifts = ({"coupon": {"reward": "gone"}}, {"coupon": {"type": "gone"}})
    raw = file("b", {"go": "c"}, *gifts, {"call": {"adapter": "fax"} | HELLO}, title="乙")
    broken = Sop.model_validate(raw | {"triggers": [{"scenario": "singing"}]})
    found = list(references.problems(Sops({"a": broken}), *[frozenset[str]()] * 4))
    assert len(found) == 6 and all(problem.startswith("a.yaml: ") for problem in found)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FACTS)), st.one_of(st.none(), st.text(), st.integers(), st.floats())))
def test_a_text_always_reads(facts: dict[str, Any]) -> None:
    """Whatever stands in the facts, a checked text renders and never shows a brace."""
    source = check("{{ name or '您' }}, 有 {{ points }} 分{% if points > 3 %}, 很多{% endif %}", 500)
    assert "{{" not in render(source, FACTS | facts) or "{{" in str(facts)


def test_every_flow_has_a_picture(shop_brand: Any) -> None:
    """A well-formed SVG with one box a step and the title in it."""
    from xml.dom.minidom import parseString

    for one in shop_brand.sops.by_id.values():
        drawn = parseString(picture.svg(one))
        boxes = drawn.getElementsByTagName("rect")
        assert len(boxes) == len(shop_brand.sops.programs[one.id]) + len(one.triggers)
        assert one.title in picture.svg(one) and list(picture.lines(one))


def test_an_hour_that_passed_before_the_first_look_is_not_missed(play: Play) -> None:
    """Entered at nine for ten o'clock, looked at five past ten: it goes then, not a day later."""
    stage = play("birthday", now=datetime(2026, 11, 18, 1, 0, tzinfo=UTC))
    member = stage.member("阿青", birthday=(11, 18))
    with stage.database.transaction() as session:
        for sweep in sweeps.due(stage.brand, stage.now):
            sweeps.make(session, stage.brand, sweep, stage.now)
    stage.now += timedelta(minutes=65)
    assert [row.kind for row in stage.push(seconds=2)] == ["card"] and stage.points(member) == 88


def test_the_address_book_tells_that_a_rep_left() -> None:
    """The callback as the platform sends it is read as a leaving; other changes of staff are not."""
    def told(change: str) -> bytes:
        fields = {"FromUserName": "sys", "CreateTime": "1760000000", "MsgType": "event", "Event": "change_contact",
                  "ChangeType": change, "UserID": "liuyang"}  # fmt: skip
        inside = "".join(f"<{name}>{text}</{name}>" for name, text in fields.items())
        return f"<xml>{inside}</xml>".encode()

    now = datetime(2026, 11, 18, tzinfo=UTC)
    (left,), (changed,) = (parse.read(told(change), "app", now, "") for change in ("delete_user", "update_user"))
    assert isinstance(left, Incoming) and contacts.is_leaving(left)
    assert isinstance(changed, Incoming) and not contacts.is_leaving(changed)
