"""How much of what can be repeated at will the run repeats: `make test` some of it, `make thorough` all."""

from __future__ import annotations

import os

IS_THOROUGH = os.environ.get("HUITOU_TEST_THOROUGH", "") not in ("", "0")


def of(many: int, some: int) -> int:
    """How many examples or steps: `many` in the thorough run, `some` in that of every day."""
    return many if IS_THOROUGH else some
