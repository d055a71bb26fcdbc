"""The figures of an evaluation as one page with pictures: nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

NONE = "none"
_TEMPLATES = Environment(
    loader=PackageLoader("bot", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip


def page(figures: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """A whole HTML page; `titles` are the scenarios' Chinese names."""
    return _TEMPLATES.get_template("evaluation.html").render(
        figures=figures, titles={NONE: "无场景", **titles}, heat=_heat(figures) if figures["messages"] else None
    )


def _heat(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The confusion table: names of rows and columns, and the cells that are not 0, darkest at 1."""
    names = [*(line["id"] for line in figures["scenarios"]), NONE]
    counts = {(line["id"], line["id"]): line["right"] for line in figures["scenarios"]}
    counts[NONE, NONE] = figures["none"] - round(figures["none"] * figures["false_triggers_per_1000"] / 1000)
    counts |= {(one["truth"], one["told"]): one["count"] for one in figures["confusions"]}
    rows = {name: max(1, sum(count for (truth, _), count in counts.items() if truth == name)) for name in names}
    cells = [
        {
            "row": names.index(truth), "column": names.index(told), "count": count, "share": count / rows[truth],
            "truth": truth, "told": told, "right": truth == told,
        }
        for (truth, told), count in counts.items() if count
    ]  # fmt: skip
    return {"names": names, "cells": cells}

