"""Reply texts: every one is fit to be read with everything known and with nothing known."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from jinja2.exceptions import SecurityError

from handlers.brand import Brand
from handlers.talk.replies import NAMES, Replies, ReplyError

KNOWN = {
    "name": "阿青", "points_name": "积分", "brand": "青禾", "balance": 5000, "cost": 800, "quantity": 2,
    "item": "保温杯", "missing": 450, "minutes": 60, "stock": 3, "limit": 2, "tier": "青林会员", "code": "QH-ABCD-1234",
    "cheapest": 20, "handover": "三个工作日内寄出", "others": ["随行杯", "贴纸"], "wanted": "杯子",
    "answer": "您现在有 520 积分。",
    "product": "挂耳咖啡30包", "bundle": "两盒立减20元", "lots": [{"amount": 520, "on": "2026年12月31日"}],
    "number": "T-1042", "when": "明天上午10点", "starts": "明天上午10点", "day": "明天", "hour": "上午10点",
    "title": "青禾商城", "service": "手冲体验", "place": "徐汇店",
    "lines": [{"number": 1, "name": "随行杯", "cost": 500, "is_out": True}],
}  # fmt: skip
ODD = re.compile(r"None|Undefined|\{\{|\}\}|\{%|%\}|\[\]|\(\)|「」|“”|  +\S|\n\n\n")
NAMED = {"points_balance": "5000", "redeem_confirm": "800", "redeem_done": "QH-ABCD-1234", "redeem_missing": "450"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_reply_reads_well_with_everything_known(name: str, sample: Brand) -> None:
    """All data at hand: text comes out, with no trace of the template."""
    text = sample.replies.render(name, **KNOWN)
    assert text and not ODD.search(text)
    assert NAMED.get(name, "") in text


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_reply_does_not_fail_with_nothing_known(name: str, sample: Brand) -> None:
    """No data at all: text still comes out, and no word of the machine's."""
    text = sample.replies.render(name)
    assert text
    assert not re.search(r"None|Undefined|\{\{|\}\}|\{%|%\}", text)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_reply_bears_empty_and_none(name: str, sample: Brand) -> None:
    """A customer without a name, a reward without a handover: nothing is written as None."""
    empty = dict.fromkeys(KNOWN, "") | {"lots": [], "lines": [], "others": [], "balance": 0, "cost": 0}
    assert "None" not in sample.replies.render(name, **empty)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_reply_fits_one_message(name: str, sample: Brand) -> None:
    """The head of a menu takes 1,024 bytes (wecom.md §6.5): no reply is cut in two, with all known or nothing."""
    for known in (KNOWN, {}):
        assert len(sample.replies.render(name, **known).encode()) <= 1024


def test_a_price_prompt_names_item_quantity_cost_and_what_remains(sample: Brand) -> None:
    """Nothing is deducted without these four."""
    text = sample.replies.render("redeem_confirm", **(KNOWN | {"cost": 1600}))
    assert all(part in text for part in ("保温杯", "2 份", "1600", "3400"))


@pytest.mark.parametrize("channel", ["kf", "oa"])
def test_the_words_of_every_scenario_file_read_well(channel: str, sample: Brand) -> None:
    """Scenarios without code say something in both automatic channels, with and without a name."""
    for scenario in sample.scenarios.values():
        if channel in scenario.says:
            for known in ({}, {"name": "", "points_name": "积分"}, KNOWN):
                text = sample.replies.render_text(scenario.says[channel], **known)
                assert text and not re.search(r"None|Undefined|\{\{|\{%", text), scenario.id


def test_what_is_missing_unknown_or_empty_is_found() -> None:
    """A file is told all at once what it lacks, has too many, and what says nothing to a stranger."""
    texts = dict.fromkeys(NAMES, "您好") | {"hint": "{{ name }}", "helo": "您好"}
    del texts["opt_in"]
    assert Replies(texts).findings() == [
        "reply opt_in is missing; add it",
        "reply helo is used nowhere; remove it",
        "reply hint renders as nothing when nothing is known; give it a default",
    ]


def test_a_broken_template_is_refused_by_name() -> None:
    """A brace too few is refused when read, not when a customer waits."""
    with pytest.raises(ReplyError, match=r"reply hint: .*mend the template"):
        Replies({"hint": "{% if name %}您好"})


def test_a_reply_that_is_not_there_says_so() -> None:
    """The message names the reply, the file and the mend."""
    with pytest.raises(ReplyError, match=r"reply opt_in is missing in config/replies.yaml; add it"):
        Replies({"hint": "您好"}).render("opt_in")


@pytest.mark.parametrize("text", ["{{ ''.__class__.__mro__ }}", "{{ lots.append(1) }}"])
def test_templates_cannot_reach_out(text: str) -> None:
    """A reply is text from a person who writes texts: it reaches no attribute of Python's and changes no data."""
    lots = [1]
    with suppress(SecurityError):
        assert Replies({"hint": text}).render("hint", lots=lots) == ""
    assert lots == [1]
