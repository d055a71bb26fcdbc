"""The words of a follow-up: sandboxed templates with known variables, that read well when nothing is known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from jinja2 import ChainableUndefined, Template, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from handlers.followup.conditions import FACTS, condition

_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(
    undefined=ChainableUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
)
LONG: Final[dict[str, Any]] = dict(FACTS) | {
    "name": "名" * 20, "product": "品" * 30, "bundle": "套" * 60, "tier_name": "级" * 12, "rep_name": "姓" * 10,
    "points": 9_999_999, "points_lapsing": 9_999_999, "points_lapse_on": "2026-12-31", "spent_yuan": 999_999.99,
    "link": "https://work.weixin.qq.com/" + "x" * 60, "quote": "话" * 120, "said": "话" * 60, "brand": "牌" * 10,
    "points_name": "积分",
}  # fmt: skip
"""The longest values a text must still fit with."""
_BAD_START: Final = re.compile(r"^[,，。、;；:：!！?？~～]")
_BAD_PAIR: Final = re.compile(r"[,，、;；:：][,，。、;；:：!！?？]|“”|「」|【】")


@cache
def compiled(source: str) -> Template:
    """The template of a text; raises jinja2.TemplateError."""
    return _ENVIRONMENT.from_string(source)


@cache
def variables(source: str) -> frozenset[str]:
    """The variables a text names; raises jinja2.TemplateError."""
    return frozenset(meta.find_undeclared_variables(_ENVIRONMENT.parse(source)))


def render(source: str, facts: Mapping[str, Any]) -> str:
    """The text with these facts in it; a text that breaks on them renders as with nothing known."""
    try:
        return compiled(source).render({name: facts[name] for name in variables(source) if name in facts}).strip()
    except (TemplateError, TypeError, ValueError, ArithmeticError):
        return compiled(source).render(FACTS).strip()


def check(source: str, limit_bytes: int) -> str:
    """The text itself when it can be used; raises ValueError naming what is wrong and the mend."""
    try:
        named = variables(source)
        unknown = sorted(named - FACTS.keys() - {"event"})
        if unknown:
            raise ValueError(f"no such variable: {', '.join(unknown)}; use one of: {', '.join(sorted(FACTS))}")
        bare, longest = compiled(source).render(FACTS).strip(), compiled(source).render(LONG).strip()
    except (TemplateError, TypeError, ArithmeticError) as error:
        raise ValueError(f"the text fails when nothing is known: {error}; use default() or if") from error
    if not bare and named != {"quote"}:
        raise ValueError("the text is empty when nothing is known; give a default")
    if _BAD_START.search(bare) or _BAD_PAIR.search(bare):
        raise ValueError(f"reads badly when nothing is known: “{bare[:40]}”; write for example {{{{ name or '您' }}}}")
    size = len(longest.encode())
    if size > limit_bytes:
        raise ValueError(f"may grow to {size} bytes, the platform takes {limit_bytes}; shorten it")
    return source


def choose(library: Sequence[Any], facts: Mapping[str, Any]) -> str:
    """The first text of a library whose condition holds, rendered; "" where none does."""
    for entry in library:
        if entry.when is None or condition(entry.when).holds(facts):
            return render(entry.text, facts)
    return ""
