"""Callback XML to plain values: lenient about elements, strict about everything that can harm.

A leaf is its text with white space kept, an element with children a dict, repeated elements a list. Document types
and entity declarations are refused before they can do anything, and size, depth and the number of elements are bounded.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn, TypeAlias
from xml.parsers import expat

from bot.wecom.crypto import BadXml, TooLarge

MAX_BYTES = 128 * 1024
MAX_DEPTH = 12
MAX_ELEMENTS = 2000

Tree: TypeAlias = "dict[str, Any]"
"""Values are str, Tree or a list of these."""

_CONTROL = r"\x00-\x08\x0b-\x1f\ufffe\uffff"
_TEXT = rf"[^<&\]{_CONTROL}]*+"
_CDATA = rf"[^\]{_CONTROL}]*+(?:\](?!\]>)[^\]{_CONTROL}]*+)*+"
_leaves = re.compile(rf"<([A-Za-z_][A-Za-z0-9_]*+)>(?:<!\[CDATA\[({_CDATA})\]\]>|({_TEXT}))</\1>").findall
_is_flat = re.compile(
    rf"<xml>[ \t\n]*+(?:<([A-Za-z_][A-Za-z0-9_]*+)>(?:<!\[CDATA\[{_CDATA}\]\]>|{_TEXT})</\1>[ \t\n]*+)*+</xml>"
).fullmatch


def parse(data: bytes) -> Tree:
    """What stands inside the root element; raises `BadXml` or `TooLarge`."""
    if len(data) > MAX_BYTES:
        raise TooLarge(f"XML of more than {MAX_BYTES} bytes")
    tree = _flat(data)
    return _nested(data) if tree is None else tree


def _flat(data: bytes) -> Tree | None:
    """The same for <xml> with nothing but leaves in it, several times faster; None where that is not so."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadXml("not UTF-8") from error
    if not _is_flat(text):
        return None
    leaves = _leaves(text, 5)
    tree: Tree = {name: quoted or plain for name, quoted, plain in leaves}
    return tree if 0 < len(tree) == len(leaves) <= MAX_ELEMENTS else None


def _nested(data: bytes) -> Tree:
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise BadXml(expat.ErrorString(error.code)) from error
    return reader.root


class _Reader:
    """Builds the tree while expat reads."""

    def __init__(self) -> None:
        self.root: Tree = {}
        self._open: list[Tree] = []
        self._text: list[str] = []
        self._elements = 0
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text.append
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse

    def _start(self, _name: str, _attributes: object) -> None:
        self._elements += 1
        if len(self._open) >= MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise TooLarge(f"XML deeper than {MAX_DEPTH} or of more than {MAX_ELEMENTS} elements")
        self._open.append({})
        self._text.clear()

    def _end(self, name: str) -> None:
        tree = self._open.pop()
        value: Tree | str = tree or "".join(self._text)
        self._text.clear()
        if not self._open:
            self.root = tree
            return
        parent = self._open[-1]
        if name not in parent:
            parent[name] = value
        elif isinstance(known := parent[name], list):
            known.append(value)
        else:
            parent[name] = [known, value]

    def _refuse(self, *_: object) -> NoReturn:
        raise BadXml("a document type or an entity is declared")
