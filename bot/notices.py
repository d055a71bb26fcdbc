"""What a brand must look at soon: pools of codes that run low, budgets at their alert; each told once by a process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from loyalty.budgets import budget_events
from loyalty.codes import pool_levels
from loyalty.programme import Programme

log = structlog.get_logger("bot.notices")


class Notices:
    """Remembers what it told; a process that starts tells of every low pool, and of budgets from then on."""

    def __init__(self, alarm: Callable[[str], None]) -> None:
        self._alarm = alarm
        self._low: frozenset[str] = frozenset()
        self._told_event: int | None = None

    def look(self, session: Session, programme: Programme, now: datetime) -> None:
        """Tell what is new since the last look."""
        low = {level.pool: level.free for level in pool_levels(session, programme.rewards, now) if level.low}
        for pool in sorted(low.keys() - self._low):
            self._alarm("code pool low")
            log.warning("a pool of exchange codes runs low", pool=pool, left=low[pool], mend="huitou import codes")
        self._low = frozenset(low)
        seen = self._told_event
        while events := budget_events(session, seen or 0):
            seen = events[-1].id
            for event in events if self._told_event is not None else ():
                self._alarm("campaign budget")
                log.warning("a budget has reached its alert" if event.kind == "alert" else "a budget has stopped",
                            campaign=event.campaign_id, unit=event.unit, used=event.used, most=event.most)
        self._told_event = seen or 0
