"""Conditions a marketer writes: a small safe language, compiled once, checked against the facts there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rule_engine import Context, DataType, Rule, resolve_item, type_resolver_from_dict
from rule_engine.errors import EngineError, SymbolResolutionError

_NUMBER, _TEXT, _YES = DataType.FLOAT, DataType.STRING, DataType.BOOLEAN
_TEXTS = DataType.ARRAY(DataType.STRING)

LONGEST = 500
"""Characters a condition may have; what is longer is a rule of its own."""

ORDER_FACTS: dict[str, Any] = {
    "amount_fen": _NUMBER, "amount_yuan": _NUMBER, "pieces": _NUMBER, "skus": _TEXTS, "categories": _TEXTS,
    "shop": _TEXT, "source": _TEXT, "tier": _TEXT, "orders_before": _NUMBER, "paid_before_fen": _NUMBER,
    "first_order": _YES, "birthday": _YES, "month": _NUMBER, "day": _NUMBER, "weekday": _NUMBER, "hour": _NUMBER,
}
"""What a condition on an order may name; weekday counts from 1 (Monday), times are local."""

ACTIVITY_FACTS: dict[str, Any] = {
    "topic": _TEXT, "link": _TEXT, "form": _TEXT, "quiz": _TEXT, "channel": _TEXT, "shop": _TEXT, "tier": _TEXT,
    "score": _NUMBER, "correct": _NUMBER, "questions": _NUMBER, "characters": _NUMBER, "pictures": _NUMBER,
    "streak_days": _NUMBER, "times_before": _NUMBER, "orders": _NUMBER, "friend_orders": _NUMBER,
    "friend_days": _NUMBER, "joined": _YES, "birthday": _YES,
    "month": _NUMBER, "day": _NUMBER, "weekday": _NUMBER, "hour": _NUMBER,
}
"""What a condition on a behaviour may name; what the caller does not tell is empty, 0 or false."""

# Powers, matching by pattern and building lists can be made to run for minutes or to eat the memory.
_FORBIDDEN = {"**": "powers", "=~": "patterns", "!~": "patterns", "=~~": "patterns", "!~~": "patterns",
              " for ": "loops"}


class ConditionError(ValueError):
    """A condition that cannot be used; the message says what to write instead."""


class Condition:
    """A condition ready to be asked; compile once, ask often."""

    def __init__(self, text: str, facts: Mapping[str, Any]) -> None:
        self.text = text
        self._rule = _compiled(text, facts)
        self._empty = {name: _EMPTY[kind] for name, kind in facts.items() if kind in _EMPTY}

    @property
    def expression(self) -> Any:
        """The tree of the condition, for those who say it in another language."""
        return self._rule.statement.expression

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether it holds for these facts; what is not among them is empty, and nonsense like 1/0 does not hold."""
        try:
            return bool(self._rule.matches(self._empty | {name: facts[name] for name in self._empty if name in facts}))
        except (EngineError, ArithmeticError, TypeError):
            return False


_EMPTY: dict[Any, Any] = {_NUMBER: 0, _TEXT: "", _YES: False, _TEXTS: ()}


def check(text: str, facts: Mapping[str, Any]) -> str:
    """The text itself where it is a usable condition; raises ConditionError with the mend."""
    _compiled(text, facts)
    return text


def _compiled(text: str, facts: Mapping[str, Any]) -> Rule:
    if len(text) > LONGEST:
        raise ConditionError(f"{len(text)} characters, at most {LONGEST}; split it into several rules")
    for sign, what in _FORBIDDEN.items():
        if sign in text:
            raise ConditionError(f"{what} ({sign.strip()}) are not allowed; compare with ==, !=, <, >, in, and, or")
    context = Context(resolver=resolve_item, type_resolver=type_resolver_from_dict(dict(facts)))
    try:
        rule = Rule(text, context=context)
    except SymbolResolutionError as error:
        near = f"; did you mean {error.suggestion}?" if error.suggestion else ""
        raise ConditionError(f"no fact {error.symbol_name!r}{near} Known: {', '.join(sorted(facts))}") from error
    except EngineError as error:
        raise ConditionError(f"{text!r}: {error.message}; write for example amount_fen >= 10000 and shop == \"SH01\""
                             ) from error
    kind = rule.statement.expression.result_type
    if kind is not DataType.BOOLEAN:
        raise ConditionError(f"{text!r} is not yes or no; compare it with something, like amount_fen >= 10000")
    return rule
