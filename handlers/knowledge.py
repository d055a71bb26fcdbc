"""What the brand has written about its products: a question finds an answer that stands there, or none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from loyalty.parts import Part, Slug, Text, refuse_doubles
from loyalty.programme import Product, Programme

CAREFUL: Final = re.compile(
    r"孕|哺乳|喂奶|备孕|经期|姨妈|月子|过敏|敏感|吃药|药|阿司匹林|头孢|手术|化疗|糖尿|血糖|血压|高血|三高|尿酸|痛风|心脏|心慌|心悸|"
    r"胃病|胃溃疡|胃炎|胃不好|肠胃|肝|肾|癌|结石|甲状腺|甲亢|贫血|哮喘|抑郁|失眠症|病|宝宝|婴|幼儿|小孩|孩子|儿童|小朋友|娃|"
    r"老人|[两一二三四五六七八九十\d]岁|乳糖不耐|副作用|中毒|医生"
)
"""Words after which only a text that the brand marked as careful is said."""
_ALLERGENS: Final = re.compile(
    r"花生|坚果|核桃|杏仁|腰果|榛子|开心果|大豆|黄豆|豆类|鸡蛋|蛋类|海鲜|虾|蟹|鱼|芝麻|芒果|小麦|麸质|乳糖|牛奶|奶制品|燕麦|椰子|蜂蜜|酒精"
)
"""What people are allergic to: a text that does not name it answers nothing about it."""
_CLAUSES: Final = re.compile(r"[,，。;；?？!！\n]+|(?:另外|还有|顺便|以及)")
_NOISE: Final = re.compile(r"[\s~～…]+")
MOST_ANSWERS: Final = 2


class Answer(Part):
    """One answer in the brand's words; `ask` are words one of which stands in a question for it, 开封+多久 where both
    parts do; the longest decides.

    `careful` marks what is said about allergies, pregnancy, children, illness or medicine: only such a text answers
    such a question, word for word.
    """

    id: Slug
    ask: Annotated[tuple[Text, ...], Field(min_length=1)]
    say: Text
    careful: bool = False


class Knowledge(Part):
    """config/knowledge/<sku>.yaml: what may be said of one product."""

    sku: Text
    answers: Annotated[tuple[Answer, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_once(self) -> Self:
        refuse_doubles("answers", "id", (answer.id for answer in self.answers))
        return self


def find(text: str, knowledge: Knowledge) -> list[Answer]:
    """The answers to what a message asks, one a clause; empty where one of the clauses that ask has none.

    A question that touches health is answered by a careful text only; half an answer to it would be worse than none.
    """
    clauses = [clause for clause in _CLAUSES.split(_NOISE.sub("", text.lower())) if clause]
    if CAREFUL.search(text):
        found = [best for clause in clauses if (best := _best(clause, knowledge.answers, careful=True))]
        touchy = [clause for clause in clauses if CAREFUL.search(clause)]
        if any(_best(clause, knowledge.answers, careful=True) is None for clause in touchy):
            return []
        asked, said = set(_ALLERGENS.findall(text)), "".join(answer.say for answer in found)
        if "过敏" in text and any(allergen not in said for allergen in asked):
            return []
        found += [best for clause in clauses if clause not in touchy and (best := _best(clause, knowledge.answers))]
    else:
        found = [best for clause in clauses if (best := _best(clause, knowledge.answers))]
    return list(dict.fromkeys(found))[:MOST_ANSWERS]


def products_named(text: str, programme: Programme) -> list[Product]:
    """The products a message names; the longest name that stands in it wins."""
    bare = _NOISE.sub("", text.lower())
    hits = [(_longest(bare, (product.name, *product.aliases)), product) for product in programme.products]
    found = [(length, product) for length, product in hits if length]
    kept: list[Product] = []
    for length, product in sorted(found, key=lambda hit: -hit[0]):
        names = [name.lower() for name in (product.name, *product.aliases) if name.lower() in bare]
        covered = any(all(any(name in other.lower() for other in (k.name, *k.aliases) if other.lower() in bare)
                          for name in names) for k in kept)  # fmt: skip
        if not covered and length:
            kept.append(product)
    return kept


def problems(files: Mapping[str, Knowledge], programme: Programme) -> Iterable[str]:
    """What is wrong with knowledge files as seen from the programme."""
    for stem, knowledge in files.items():
        if knowledge.sku != stem:
            yield f"{stem}.yaml:1: sku: {knowledge.sku} is not the file's name; rename one of them"
        if programme.product(knowledge.sku) is None:
            yield f"{stem}.yaml:1: sku: no product {knowledge.sku} in programme.yaml; add it or remove the file"
        for answer in knowledge.answers:
            if not answer.careful and any(CAREFUL.search(word) for word in answer.ask):
                yield f"{stem}.yaml: answers: {answer.id} asks about health; set careful: true"


def _best(clause: str, answers: Sequence[Answer], careful: bool = False) -> Answer | None:
    scored = [(_longest(clause, answer.ask), answer) for answer in answers if answer.careful or not careful]
    length, best = max(scored, key=lambda hit: hit[0], default=(0, None))
    return best if length else None


def _longest(text: str, words: Iterable[str]) -> int:
    """How much of the text the longest word that stands in it covers; 开封+多久 asks for both of its parts."""
    return max((len(word) for word in words if all(part in text for part in word.lower().split("+"))), default=0)
