"""XML as the platform writes it, and a reader for what the service answers."""

from __future__ import annotations

import re
from collections.abc import Iterable

Field = tuple[str, "str | int | list[Field] | None"]

_TAG = re.compile(r"<(\w+)>\s*(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))\s*</\1>", re.DOTALL)


def cdata(text: str) -> str:
    """The text as a CDATA section; a `]]>` inside is split over two sections."""
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def element(name: str, value: str | int | list[Field] | None) -> str:
    """One element: strings as CDATA, integers bare, lists nested, None left out."""
    if value is None:
        return ""
    if isinstance(value, list):
        return f"<{name}>{''.join(element(*field) for field in value)}</{name}>"
    return f"<{name}>{value if isinstance(value, int) else cdata(value)}</{name}>"


def document(fields: Iterable[Field]) -> str:
    """A whole `<xml>` document of the fields, in their order."""
    return "<xml>" + "".join(element(*field) for field in fields) + "</xml>"


def read_flat(xml: str) -> dict[str, str]:
    """The leaf elements of an answer by name; the first of each name wins."""
    found: dict[str, str] = {}
    for name, quoted, bare in _TAG.findall(xml.replace("]]]]><![CDATA[>", "\x00")):
        found.setdefault(name, (quoted or bare).replace("\x00", "]]>"))
    return found
