"""Product questions: only what the brand has written is said; the rest goes to a person with the question."""

from __future__ import annotations

from typing import Final

from handlers import knowledge
from handlers.talk.answers import Answer, read_answer, read_number
from handlers.talk.turn import Ask, Close, Prompt, Say, Scene, Turn
from loyalty.programme import Product

SHOWN: Final = 6
LATELY: Final = "product"


def answer(turn: Turn) -> Scene:
    """挂耳咖啡因高吗: the product is named, the words are the brand's."""
    named = knowledge.products_named(turn.text, turn.brand.programme)
    if not turn.is_automatic:
        yield from _prepare(turn, named)
    elif len(named) == 1:
        yield from _answer_about(turn, named[0], turn.text)
    else:
        yield from _find_product(turn, named)


def choose(turn: Turn) -> Scene:
    """Which product was meant: a name or a place in the list."""
    assert turn.dialog is not None
    shown: list[str] = turn.dialog.state["shown"]
    product = _picked(turn, shown)
    if product is not None:
        yield Close()
        yield from _answer_about(turn, product, turn.dialog.state["asked"] + " " + turn.text)
    elif read_answer(turn.text) is Answer.NO:
        yield Close()
        yield Say(turn.reply("product_never_mind"))
    elif turn.dialog.state.get("again"):
        yield Close()
        yield from _hand_over(turn, None, turn.dialog.state["asked"])
    else:
        yield Ask("product", turn.dialog.state | {"again": True})
        yield Say(turn.reply("product_which", products=_names(turn, shown)), _menu(turn, shown))


def is_about(turn: Turn) -> bool:
    """Whether a message says which product was meant."""
    assert turn.dialog is not None
    return _picked(turn, turn.dialog.state["shown"]) is not None or read_answer(turn.text) is Answer.NO


def follow(turn: Turn) -> Scene:
    """Another question about the product just spoken of, which is not named again."""
    assert turn.dialog is not None
    product = turn.brand.programme.product(turn.dialog.state["sku"])
    named = knowledge.products_named(turn.text, turn.brand.programme)
    if len(named) == 1:
        last = turn.dialog.state.get("asked", "")
        has_own = knowledge.find(turn.text, _written(turn, named[0])) if _is_written(turn, named[0]) else []
        yield from _answer_about(turn, named[0], turn.text if has_own else f"{last} {turn.text}")
    elif product is not None:
        yield from _answer_about(turn, product, turn.text)


def is_follow_up(turn: Turn) -> bool:
    """Whether a message goes on about the product just spoken of: 那保质期呢, or 燕麦奶呢."""
    assert turn.dialog is not None
    named = knowledge.products_named(turn.text, turn.brand.programme)
    if named:
        return len(named) == 1 and len(turn.text) <= 12 and turn.text.rstrip("?？~ ").endswith(("呢", "那", "嘞"))
    product = turn.brand.programme.product(turn.dialog.state["sku"])
    is_asked = any(scored.id == "product_question" for scored in turn.verdict.scenarios)
    looks = is_asked or (len(turn.text) <= 14 and turn.text.rstrip("~ ").endswith(("呢", "?", "？", "吗", "不", "么")))
    others = {scored.id for scored in turn.verdict.scenarios} - {"product_question"}
    if product is None or not looks or others or not _is_written(turn, product):
        return False
    touches_health = bool(knowledge.CAREFUL.search(turn.text))
    return is_asked or touches_health or bool(knowledge.find(turn.text, _written(turn, product)))


def _find_product(turn: Turn, named: list[Product]) -> Scene:
    """Several are named or none: what was bought settles it where that is one thing, else it is asked."""
    if not named and turn.dialog is not None and turn.dialog.step == LATELY + "_lately":
        product = turn.brand.programme.product(turn.dialog.state["sku"])
        if product is not None:
            yield from _answer_about(turn, product, turn.text)
            return
    candidates = named or _bought(turn)
    if len(candidates) == 1:
        yield from _answer_about(turn, candidates[0], turn.text)
        return
    shown = [product.sku for product in candidates or turn.brand.programme.products if _is_written(turn, product)]
    if not shown:
        yield from _hand_over(turn, None, turn.text)
        return
    shown = shown[:SHOWN]
    yield Ask("product", {"shown": shown, "asked": turn.text})
    yield Say(turn.reply("product_which", products=_names(turn, shown)), _menu(turn, shown))


def _bought(turn: Turn) -> list[Product]:
    skus = [item.sku for purchase in turn.facts.purchases(turn.member_id) for item in purchase.items]
    found = [turn.brand.programme.product(sku) for sku in dict.fromkeys(skus)]
    return [product for product in found if product is not None]


def _answer_about(turn: Turn, product: Product, asked: str) -> Scene:
    found = knowledge.find(asked, _written(turn, product)) if _is_written(turn, product) else []
    yield Ask("product_lately", {"sku": product.sku, "asked": asked[:200]})
    if not found:
        yield from _hand_over(turn, product, asked)
        return
    yield Say(turn.reply("product_answer", product=product.name, answers=[answer.say for answer in found]))


def _hand_over(turn: Turn, product: Product | None, asked: str) -> Scene:
    name = product.name if product else ""
    is_careful = bool(knowledge.CAREFUL.search(asked))
    yield Say(turn.reply("product_careful" if is_careful else "product_unknown", product=name))
    why = "客户问了资料里没有写的产品问题" + ("(涉及健康, 请谨慎回答)" if is_careful else "")
    rows = (("产品", name),) if name else ()
    yield Prompt("product_question", why, turn.reply("rep_product_question", product=name), rows)


def _prepare(turn: Turn, named: list[Product]) -> Scene:
    """In a group or a private chat the rep answers; what is written is laid ready."""
    one = named[0] if len(named) == 1 else None
    found = knowledge.find(turn.text, _written(turn, one)) if one is not None and _is_written(turn, one) else []
    name = one.name if one is not None else ""
    if found:
        text = turn.reply("product_answer", product=name, answers=[answer.say for answer in found])
        yield Prompt("product_question", "资料里有现成的答案, 核对后可直接发", text, (("产品", name),))
    else:
        rows = (("产品", name),) if name else ()
        yield Prompt("product_question", "客户有产品问题", turn.reply("rep_product_question", product=name), rows)


def _picked(turn: Turn, shown: list[str]) -> Product | None:
    number = read_number(turn.text)
    if number is not None:
        return turn.brand.programme.product(shown[number - 1]) if 1 <= number <= len(shown) else None
    named = knowledge.products_named(turn.text, turn.brand.programme)
    return named[0] if len(named) == 1 else None


def _is_written(turn: Turn, product: Product) -> bool:
    return product.sku in turn.brand.knowledge


def _written(turn: Turn, product: Product) -> knowledge.Knowledge:
    return turn.brand.knowledge[product.sku]


def _names(turn: Turn, shown: list[str]) -> list[str]:
    found = [turn.brand.programme.product(sku) for sku in shown]
    return [product.name for product in found if product is not None]


def _menu(turn: Turn, shown: list[str]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(shown, _names(turn, shown), strict=True))
