"""Conditions turned into SQL: the tree of a rule, a leaf a comparison; what SQL does not say is named."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Final

from rule_engine import ast
from sqlalchemy import ColumnElement, and_, cast, false, func, literal, not_, or_, true
from sqlalchemy import Float as SqlFloat

from loyalty.conditions import Condition
from loyalty.segment_facts import Facts
from loyalty.segment_parts import FACTS, TYPES

_NAME: Final = re.compile(r"[a-z_]+")
_SIGNS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}
_OPPOSITE: Final = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}
_MIRRORED: Final = {"eq": "eq", "ne": "ne", "lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}


class NotExpressible(Exception):
    """A part of a condition that SQL is not asked; the message names it."""


def compiled(condition: str, facts: Facts) -> tuple[ColumnElement[bool], set[str]]:
    """The condition as a clause, and the facts it names. Raises ConditionError, NotExpressible."""
    reader = _Reader(facts)
    return reader.clause(_tree(condition), True), reader.used


def named_in(condition: str) -> set[str]:
    """The facts a condition names, and perhaps some that only its texts do. Raises ConditionError."""
    _tree(condition)
    return {name for name in _NAME.findall(condition) if name in FACTS}


def _tree(condition: str) -> Any:
    return Condition(condition, TYPES).expression


class _Reader:
    """Goes down a tree; `want` is False below a not, so that a leaf is asked its opposite and an empty column stays
    two-valued."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.used: set[str] = set()

    def clause(self, node: Any, want: bool) -> ColumnElement[bool]:
        """A yes-no node as a clause that is never unknown where it matters."""
        match node:
            case ast.BooleanExpression():
                return true() if node.value is want else false()
            case ast.LogicExpression():
                both = (self.clause(node.left, want), self.clause(node.right, want))
                return and_(*both) if (node.type == "and") is want else or_(*both)
            case ast.UnaryExpression() if node.type == "not":
                return self.clause(node.right, not want)
            case ast.ContainsExpression():
                return self._contains(node, want)
            case ast.ComparisonExpression():  # those of numbers are a kind of it
                return self._compare(node.type if want else _OPPOSITE[node.type], node.left, node.right)
            case ast.SymbolExpression() if isinstance(FACTS[node.name], bool):
                self.used.add(node.name)
                column = self.facts.fact(node.name).column
                return column if want else not_(column)
        raise NotExpressible(_name_of(node))

    def _compare(self, sign: str, left: Any, right: Any) -> ColumnElement[bool]:
        if isinstance(right, ast.SymbolExpression) and _is_literal(left):
            sign, left, right = _MIRRORED[sign], right, left
        if isinstance(left, ast.SymbolExpression) and _is_literal(right):
            return self._against(sign, left.name, _value(right))
        if any(isinstance(side, ast.BooleanExpression | ast.LogicExpression | ast.ComparisonExpression
                          | ast.NullExpression) for side in (left, right)):
            raise NotExpressible(_name_of(left))
        return _operate(sign, self._number(left), self._number(right))

    def _against(self, sign: str, name: str, value: Any) -> ColumnElement[bool]:
        """A fact against a value; who has no row is decided here, so that the column may use its index."""
        empty = FACTS[name]
        if isinstance(empty, tuple) or isinstance(empty, str) != isinstance(value, str) or isinstance(value, bool):
            if isinstance(empty, bool) and isinstance(value, bool) and sign in ("eq", "ne"):
                self.used.add(name)
                column = self.facts.fact(name).column
                return column if value is (sign == "eq") else not_(column)
            raise NotExpressible(f"{name} compared with {value!r}")
        self.used.add(name)
        fact = self.facts.fact(name)
        if fact.moment is not None:
            clause, nothing = self.facts.compare_days(name, sign, float(value)), fact.moment.is_(None)
        else:
            told = literal(value if isinstance(value, str) else _plain(value))
            clause, nothing = _operate(sign, fact.column, told), fact.column.is_(None)
        return or_(clause, nothing) if _holds(sign, empty, value) else clause

    def _contains(self, node: Any, want: bool) -> ColumnElement[bool]:
        box, thing = node.container, node.member
        if isinstance(box, ast.SymbolExpression) and isinstance(FACTS[box.name], tuple) and _is_literal(thing):
            self.used.add(box.name)
            has = self.facts.has(box.name, str(_value(thing)))
            return has if want else not_(has)
        if isinstance(box, ast.ArrayExpression | ast.SetExpression) and isinstance(thing, ast.SymbolExpression) and all(
                _is_literal(each) for each in box.value):
            sign, join = ("eq", or_) if want else ("ne", and_)
            each = [self._against(sign, thing.name, _value(value)) for value in box.value]
            return join(false() if want else true(), *each)
        raise NotExpressible(_name_of(node))

    def _number(self, node: Any) -> ColumnElement[Any]:
        match node:
            case ast.FloatExpression():
                return literal(float(node.value), SqlFloat)
            case ast.StringExpression():
                return literal(node.value)
            case ast.SymbolExpression() if not isinstance(FACTS[node.name], tuple | bool):
                self.used.add(node.name)
                column = func.coalesce(self.facts.fact(node.name).column, FACTS[node.name])
                return column if isinstance(FACTS[node.name], str) else cast(column, SqlFloat)
            case ast.UnaryExpression() if node.type == "uminus":
                return -self._number(node.right)
            case ast.AddExpression():
                return self._number(node.left) + self._number(node.right)
            case ast.SubtractExpression():
                return self._number(node.left) - self._number(node.right)
            case ast.ArithmeticExpression() if node.type == "mul":
                return self._number(node.left) * self._number(node.right)
            case ast.ArithmeticExpression() if node.type in ("div", "tdiv") and isinstance(
                    node.right, ast.FloatExpression) and node.right.value:
                return self._number(node.left) / self._number(node.right)
        raise NotExpressible(_name_of(node))


def _is_literal(node: Any) -> bool:
    return isinstance(node, ast.FloatExpression | ast.StringExpression | ast.BooleanExpression)


def _value(node: Any) -> Any:
    return float(node.value) if isinstance(node, ast.FloatExpression) else node.value


def _plain(number: float) -> int | float:
    return int(number) if number == int(number) else number


def _holds(sign: str, left: Any, right: Any) -> bool:
    return bool(_SIGNS[sign](left, right))


def _operate(sign: str, left: ColumnElement[Any], right: ColumnElement[Any]) -> ColumnElement[bool]:
    clause: ColumnElement[bool] = _SIGNS[sign](left, right)
    return clause


def _name_of(node: Any) -> str:
    return type(node).__name__.removesuffix("Expression").lower()
