"""What lapses when, of every asset."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.database import Database
from loyalty import ledger
from loyalty.balances import Expiry, coming_expiries, holdings
from loyalty.customers import resolve


def test_coming_expiries_are_listed_by_asset(database: Database, noon: datetime) -> None:
    """Every asset's lots that lapse within the window, soonest first; spent, lapsed, later and endless ones are not."""
    with database.transaction() as session:
        [one, two] = resolve(session, [("openid", "a"), ("openid", "b")], noon).values()
        for number, (who, asset, days) in enumerate([(one, "points", 3), (two, "points", 1), (one, "chances", 2),
                                                     (one, "growth", None), (one, "points", 40)]):
            end = noon + timedelta(days=days) if days else None
            ledger.earn(session, who, 10, key=f"e{number}", reason="order", at=noon, expires_at=end, asset=asset)
        ledger.spend(session, one, 4, key="s", reason="redeem", at=noon)
        found = list(coming_expiries(session, noon, noon + timedelta(days=30)))
        assert found == [Expiry(one, "chances", noon + timedelta(days=2), 10),
                         Expiry(two, "points", noon + timedelta(days=1), 10),
                         Expiry(one, "points", noon + timedelta(days=3), 6)]
        assert list(coming_expiries(session, noon, noon + timedelta(days=30), member_ids=[two], asset="points")) == [
            found[1]]
        has = holdings(session, one, noon)
        assert (has["points"].available, has["growth"].available, has["chances"].available) == (16, 10, 10)
