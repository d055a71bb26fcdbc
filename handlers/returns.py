"""Returns and exchanges: order, reason and photo are collected, then a case with everything goes to the rep."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy.orm import Session

from handlers import cases, logistics
from handlers.talk.answers import Answer, is_courtesy, read_answer
from handlers.talk.turn import Ask, Close, Prompt, Say, Scene, Turn, Write

KIND: Final = "return"
TITLE: Final = "退换货"
SHOWN: Final = 5
MOST_QUESTIONS: Final = 3
"""Of what a customer asks on the way, the last go along to the rep."""
RESUME_WITHIN: Final = timedelta(days=7)
_DEFECT: Final = re.compile(
    r"碎|破|坏|裂|漏|洒|瘪|凹|变形|错发|发错|少发|少了|少一|漏发|缺|异味|怪味|馊|霉|虫|过期|临期|脏|划痕|磕|胀|化了|没反应|故障|不能用|"
    r"拉肚子|过敏|红疹|不对|不一样|质量|受潮|结块|掉色|色差|味道怪|变质|空的|湿|压扁"
)
_UNWANTED: Final = re.compile(
    r"不想要|不喜欢|买错|拍错|买多|买重|不合适|太大|太小|不好喝|喝不惯|用不上|无理由|后悔|重复"
)
_DROP: Final = re.compile(
    r"^(?:算了[吧啦]?|不退了?|不换了?|不办了?|不弄了|不用了?|取消吧?)|(?:不用|不要|不想|先不|不)(?:再)?(?:退换?|换货?|弄|办)了?|"
    r"撤销|撤回|取消(?:退|换|申请|售后)|自己处理"
)
_RESUME: Final = re.compile(r"继续|接着|刚才(?:的|那个)|上次(?:的|那个)")
_PARCEL: Final = re.compile(r"到哪|发货|物流|快递|什么时候到|积分|多少钱")
_PROGRESS: Final = re.compile(
    r"怎么样了|进度|哪一?步|处理(?:好|了|到|得)|多久|几天|有消息|什么时候(?:处理|退|到账|给)|到账|咋样了"
)
_NO_PHOTO: Final = re.compile(
    r"没有?(?:照片|图|拍)|拍不了|发不了|不方便|扔了|丢了|没法拍|传不上|没图|不会发|^没有?[了啊呀]?$|^无$"
)
_NONE_OF_THEM: Final = re.compile(r"都不是|不在(?:里面|上面)|没有(?:这|我)|别的")
_WISHES: Final = {
    "换货": r"换货|换一|换个|换新|换成新|给换|能换|想换|要换|换吧|换掉|可以换|我换|换$|调换|换(?=[吗不嘛么])|还是换",
    "补发": r"补发|补寄|重发|重新发|再发一|补一|补给|补上",
    "退货退款": r"退货|退款|退钱|退掉|能退|想退|要退|退吧|退了|给退|可以退|^退$|退(?=[吗不嘛么])|还是退|怎么退|赔|退一",
}
_POLICY: Final = re.compile(
    r"(?:支持|有没有|是不是|是否|可以|能|有).{0,6}(?:无理由|[七7]天).*[吗么嘛不?？]|"
    r"(?:退换?货?|退款|售后|换货)的?(?:政策|规则|规定|流程|条件)"
)
"""Asks what the rules are, which opens nothing yet."""
_TAKE_BACK: Final = re.compile(r"不是(?:这|那)|选错|说错|搞错|^不对")
_ASKS: Final = re.compile(
    r"[?？]|[吗么嘛呢]$|谁|多少|几[天号个点]|怎么(?!都|也)|咋|多久|什么时候|哪[里儿个天]|能不能|可不可以|要不要|是不是|会不会|有没有|行不行"
)
_WHILE_NAMING: Final = frozenset(
    {"return_exchange", "order_logistics", "product_question", "purchase_intent", "switch_product", "running_out"}
)
"""What the name of an order or of goods may sound like; anything else is asked in between."""
_LATER: Final = re.compile(r"等(?:我|一)*(?:下|会|等)|稍后|稍等|一会儿?|晚点|晚上|回家|回头|待会|马上|到家")


def start(turn: Turn) -> Scene:
    """收到碎了能换吗: what the message says already is not asked again."""
    opened, dropped = _case_of(turn, "open"), _case_of(turn, "dropped")
    if not turn.is_automatic:
        yield from _prepare(turn)
    elif _POLICY.search(turn.text) and not _DEFECT.search(turn.text):
        yield Say(turn.reply("return_policy"))
    elif opened is not None and _DROP.search(turn.text) and not _wants_other(turn.text):
        yield from _withdraw(turn, opened.id, dict(opened.facts))
    elif opened is not None and _PROGRESS.search(turn.text):
        yield Say(turn.reply("return_progress", number=opened.id))
    elif dropped is not None and _RESUME.search(turn.text):
        yield from _go_on(turn, _read(turn, dict(dropped.facts) | {"case": dropped.id}))
    else:
        yield from _go_on(turn, _read(turn, {}), is_first=True)


def collect(turn: Turn) -> Scene:
    """The next piece: any of order, wish, reason or photo, in any order, also another than before."""
    assert turn.dialog is not None
    state = turn.dialog.state
    if turn.message.kind == "image":
        yield from _go_on(turn, _with_photo(turn, state))
    elif _puts_off(turn, state):
        yield Ask("return", state)
        yield Say(turn.reply("take_your_time"))
    elif _wants_out(turn, state):
        facts = _facts(state)
        yield Close()
        yield Write("return dropped", partial(_put, turn, "dropped", facts, state.get("case")))
        turn.facts.forget(cases.FACTS)
        yield Say(turn.reply("return_dropped"))
    else:
        found = _read(turn, state)
        if found == state and _asks(turn.text):
            asked = [*state.get("questions", ()), turn.text[:60]][-MOST_QUESTIONS:]
            yield Ask("return", state | {"questions": asked})
            yield Say(turn.reply("return_question"))
            yield from remind(turn)
        else:
            yield from _go_on(turn, found, is_stuck=found == state)


def after(turn: Turn) -> Scene:
    """The case is with the rep: a photo more, another wish, how far it is, or it is withdrawn."""
    assert turn.dialog is not None
    state = turn.dialog.state
    if turn.message.kind == "image":
        yield from _change(turn, _with_photo(turn, state), "return_photo_added", "客户补了照片")
    elif _DROP.search(turn.text) and not _wants_other(turn.text):
        yield from _withdraw(turn, state["case"], state)
    elif _read_wish(turn.text) in {state.get("wish"), ""} or _PROGRESS.search(turn.text):
        yield Ask("return_open", state)
        yield Say(turn.reply("return_progress", number=state["case"]))
    else:
        yield from _change(turn, _read(turn, state), "return_changed", "客户改了退换的要求")


def is_about(turn: Turn) -> bool:
    """Whether a message brings a piece of what is collected, or ends it."""
    assert turn.dialog is not None
    state = turn.dialog.state
    if turn.message.kind == "image" or _wants_out(turn, state) or _RESUME.search(turn.text):
        return True
    if _puts_off(turn, state):
        return True
    heard = {scored.id for scored in turn.verdict.scenarios}
    own = heard <= {"return_exchange"}
    found = _read(turn, state)
    names_order = state.get("needs") == "order" and heard <= _WHILE_NAMING
    is_other_order = found.get("order") != state.get("order") and not _PARCEL.search(turn.text)
    return found != state and (own or is_other_order or _read_wish(turn.text) != "" or names_order)


def is_about_open(turn: Turn) -> bool:
    """Whether a message speaks of the case that was just handed in."""
    if turn.message.kind == "image":
        return True
    assert turn.dialog is not None
    wish = _read_wish(turn.text)
    is_other = wish not in {"", turn.dialog.state.get("wish")}
    is_change = is_other and bool(re.search(r"改|还是|换成|算了|想|要", turn.text))
    is_same = wish != "" and not is_other and len(turn.text) <= 6
    asks_progress = len(turn.text) <= 16 and bool(_PROGRESS.search(turn.text))
    return is_same or is_change or asks_progress or bool(_DROP.search(turn.text))


def remind(turn: Turn) -> Scene:
    """Something else went first: what the return still needs is recalled."""
    assert turn.dialog is not None
    yield Say(turn.reply("return_still_open", needs=_NEEDS.get(turn.dialog.state.get("needs", ""), "")))


def late(turn: Turn) -> Scene | None:
    """After the silence: what belongs to the return goes on where it stood."""
    assert turn.dialog is not None
    heard = any(scored.id == "return_exchange" for scored in turn.verdict.scenarios)
    return collect(turn) if heard or is_about(turn) else None


def rows_of(state: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Everything that was collected, for the rep."""
    order = state.get("order")
    rows = [tuple(row) for row in order["rows"]] if order else []
    if state.get("order_said"):
        rows.append(("订单", str(state["order_said"])))
    rows += [("诉求", str(state["wish"]))] if state.get("wish") else []
    rows += [("原因", str(state["reason"]))] if state.get("reason") else []
    photos = len(state.get("photos", ()))
    rows += [("客户还问", "; ".join(state["questions"]))] if state.get("questions") else []
    rows.append(("照片", f"{photos} 张, 在聊天里" if photos else "没有"))
    return tuple((str(name), str(value)) for name, value in rows)


_NEEDS: Final = {"order": "是哪一单", "wish": "想退还是想换", "reason": "出了什么问题", "photo": "一张照片"}


def _go_on(turn: Turn, state: dict[str, Any], is_first: bool = False, is_stuck: bool = False) -> Scene:
    orders = logistics.known_orders(turn)
    if not state.get("order") and not state.get("order_said"):
        shown = orders[:SHOWN]
        lines = [logistics.title_of(order, turn) for order in shown]
        yield Ask("return", state | {"needs": "order", "shown": [order.id for order in shown]})
        menu = tuple((str(order.id), line) for order, line in zip(shown, lines, strict=True))
        yield Say(turn.reply("return_order", lines=lines, is_first=is_first, is_stuck=is_stuck), menu)
    elif not state.get("reason"):
        yield from _ask(turn, state, "reason", is_first)
    elif not state.get("wish"):
        yield from _ask(turn, state, "wish", is_first)
    elif _DEFECT.search(state["reason"]) and not state.get("photos") and not state.get("no_photo"):
        yield from _ask(turn, state, "photo", is_first)
    else:
        yield from _hand_in(turn, state)


def _ask(turn: Turn, state: dict[str, Any], needs: str, is_first: bool) -> Scene:
    title = state["order"]["title"] if state.get("order") else state.get("order_said", "")
    yield Ask("return", state | {"needs": needs})
    menu = (("exchange", "换货"), ("refund", "退货退款")) if needs == "wish" else ()
    yield Say(turn.reply(f"return_{needs}", order=title, is_first=is_first), menu)


def _hand_in(turn: Turn, state: dict[str, Any]) -> Scene:
    facts = _facts(state)
    case: cases.Case = yield Write("return case opened", partial(_put, turn, "open", facts, state.get("case")))
    turn.facts.forget(cases.FACTS)
    yield Ask("return_open", facts | {"case": case.id})
    title = state["order"]["title"] if state.get("order") else state.get("order_said", "")
    photos = len(state.get("photos", ()))
    yield Say(turn.reply("return_taken", number=case.id, order=title, wish=state["wish"], photos=photos))
    why, quote = "退换货资料已收齐, 请处理", turn.reply("rep_return", number=case.id)
    yield Prompt(f"case:{case.id}", why, quote, rows_of(state), private=True, title=TITLE)


def _change(turn: Turn, state: dict[str, Any], reply: str, why: str) -> Scene:
    facts = _facts(state)
    yield Write("return case changed", partial(_put, turn, "open", facts, state["case"]))
    turn.facts.forget(cases.FACTS)
    yield Ask("return_open", facts | {"case": state["case"]})
    yield Say(turn.reply(reply, number=state["case"], wish=state.get("wish", "")))
    yield Prompt(f"case:{state['case']}:{len(state.get('photos', ()))}{state.get('wish', '')}", why,
                 turn.reply("rep_return", number=state["case"]), rows_of(state), private=True, title=TITLE)  # fmt: skip


def _withdraw(turn: Turn, case_id: int, state: dict[str, Any]) -> Scene:
    yield Close()
    yield Write("return withdrawn", partial(_put, turn, "withdrawn", _facts(state), case_id))
    turn.facts.forget(cases.FACTS)
    yield Say(turn.reply("return_withdrawn", number=case_id))
    yield Prompt(f"case:{case_id}:out", "客户撤销了退换货", turn.reply("rep_return", number=case_id), rows_of(state),
                 private=True, title=TITLE)  # fmt: skip


def _put(
    turn: Turn, state: str, facts: dict[str, Any], case_id: int | None, session: Session, key: str
) -> cases.Case:  # fmt: skip
    return cases.put(session, f"{KIND}:{key}", KIND, turn.member_id, turn.message.chat, state, facts, turn.now, case_id)


def _facts(state: dict[str, Any]) -> dict[str, Any]:
    kept = ("order", "order_said", "wish", "reason", "photos", "no_photo", "questions")
    return {name: state[name] for name in kept if state.get(name)}


def _case_of(turn: Turn, state: str) -> cases.Case | None:
    found: dict[int, tuple[cases.Case, ...]] = turn.facts.look_up(cases.FACTS, cases.recent)
    mine = [case for case in found.get(turn.member_id, ()) if case.kind == KIND and case.state == state]
    return next((case for case in mine if turn.now - case.changed_at < RESUME_WITHIN), None)


def _wants_out(turn: Turn, state: dict[str, Any]) -> bool:
    if state.get("needs") == "photo" and _NO_PHOTO.search(turn.text):
        return False
    wish = _read_wish(turn.text)
    if wish and _wants_other(turn.text):
        return False
    return read_answer(turn.text) is Answer.NO or bool(_DROP.search(turn.text))


def _wants_other(text: str) -> bool:
    """不退了换一个吧 gives up one wish for another, not the whole."""
    return bool(re.search(r"不(?:退|换)了?.{0,3}(?:换|退)", text))


def _puts_off(turn: Turn, state: dict[str, Any]) -> bool:
    """The photo comes later: nothing is given up."""
    return state.get("needs") == "photo" and len(turn.text) <= 14 and bool(_LATER.search(turn.text))


def _with_photo(turn: Turn, state: dict[str, Any]) -> dict[str, Any]:
    photo = turn.message.data.get("media_id") or turn.message.key
    photos = [*state.get("photos", ()), photo]
    return state | {"photos": list(dict.fromkeys(photos))[:9]}


def _read_wish(text: str) -> str:
    """What the customer would have: the wish named last stands."""
    if re.search(r"退换|退还是换|能退能换|退或换", text):
        return ""
    places = {wish: [found.start() for found in re.finditer(pattern, text)] for wish, pattern in _WISHES.items()}
    last, wish = max((max(starts, default=-1), wish) for wish, starts in places.items())
    return wish if last >= 0 else ""


def _read(turn: Turn, state: dict[str, Any]) -> dict[str, Any]:
    """The state with everything a message says."""
    found, text, needs = dict(state), turn.text, state.get("needs", "")
    known, shown = logistics.known_orders(turn), state.get("shown", ()) if needs == "order" else ()
    order = logistics.meant(text, known, turn, shown)
    if order is not None and (not state.get("order") or len(known) > 1):
        rows = [list(row) for row in logistics.rows_of(order, turn)]
        found |= {"order": {"id": order.id, "title": logistics.title_of(order, turn), "rows": rows}}
        found.pop("order_said", None)
    elif needs == "order" and _is_words(text) and not _asks(text) and (not known or _NONE_OF_THEM.search(text)):
        found["order_said"] = text[:100]
    wish = _read_wish(text)
    if wish and not _TAKE_BACK.search(text):
        found["wish"] = wish
    if _DEFECT.search(text) or _UNWANTED.search(text):
        if not _TAKE_BACK.search(text) or needs == "reason":
            found["reason"] = text[:200]
    elif needs == "reason" and _is_words(text) and not (_asks(text) or wish or order or _NO_PHOTO.search(text)):
        found["reason"] = text[:200]
    if needs == "photo" and _NO_PHOTO.search(text):
        found["no_photo"] = True
    if not found.get("wish") and found.get("reason") and re.search(r"少发|少了|漏发|缺|少一", found["reason"]):
        found["wish"] = "补发"
    return found


def _is_words(text: str) -> bool:
    return len(text) >= 2 and not is_courtesy(text) and read_answer(text) is Answer.NEITHER


def _asks(text: str) -> bool:
    """Whether words ask something; they are then no order's name and no reason."""
    return bool(_ASKS.search(text)) and not _DEFECT.search(text)


def _prepare(turn: Turn) -> Scene:
    """In groups nothing of an order is said: the rep gets what was understood, for the private chat."""
    state = _read(turn, {})
    rows = rows_of(state) if state else ()
    yield Prompt("return_exchange", "客户要退换, 请私聊处理", turn.reply("rep_return"), rows, private=True)
