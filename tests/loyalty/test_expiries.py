"""What lapses when, of every asset."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from bot.database import Database
from loyalty import ledger
from loyalty.balances import Expiry, Lapse, coming_expiries, holdings, lapses
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


def test_the_coming_days_are_whole_however_many_lots_there_are(database: Database, noon: datetime) -> None:
    """Who has more lots than are looked at is told whole days, never a part of one; pending points are left out."""
    midnight = noon.replace(hour=16)
    with database.transaction() as session:
        many, crowded = resolve(session, [("pos", "m"), ("pos", "c")], noon).values()
        for number in range(6):
            ledger.earn(session, many, 10, key=f"m{number}", reason="order", at=noon,
                 expires_at=midnight + timedelta(days=number // 2))
            ledger.earn(session, crowded, 5, key=f"c{number}", reason="order", at=noon, expires_at=midnight)
        ledger.earn(session, many, 99, key="later", reason="order", at=noon, expires_at=midnight,
             available_from=noon + timedelta(hours=1))
        days = [date(2026, 3, 10), date(2026, 3, 11), date(2026, 3, 12)]
        whole = lapses(session, many, noon)
        assert whole == (tuple(Lapse(day, 20) for day in days), True)
        assert lapses(session, many, noon, most_lots=6) == (whole.days[:2], False)
        assert lapses(session, many, noon, most_lots=1) == (whole.days[:1], False)
        assert lapses(session, crowded, noon, most_lots=4) == ((Lapse(days[0], 30),), False)
        assert lapses(session, crowded + 1, noon) == ((), True)
