"""Balances, lots and holds come back from the ledger's rows alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, text

from bot.database import Database
from loyalty import ledger
from loyalty.audit import findings
from loyalty.balances import balance_of
from loyalty.customers import resolve
from loyalty.rebuild import Derived, Difference, differences, rebuild
from loyalty.tables import AccountBalance, Hold, Lot


def test_what_is_derived_comes_back_from_the_rows(database: Database, noon: datetime) -> None:
    """Wiped and falsified balances, lots and holds are told one by one and stand again as before."""
    with database.transaction() as session:
        who = resolve(session, [("openid", "a")], noon)["openid", "a"]
        ledger.earn(session, who, 100, key="e", reason="order", at=noon)
        ledger.spend(session, who, 20, key="s", reason="redeem", at=noon)
        for number, end in enumerate((ledger.settle, ledger.release, None)):
            until = noon + timedelta(hours=1)
            ledger.hold(session, who, 5, key=f"h{number}", reason="draw", until=until, at=noon)
            if end:
                end(session, f"h{number}", key=f"end{number}", at=noon)
        before = balance_of(session, who, noon)

        def stored() -> list[object]:
            return [session.execute(select(*entity.__table__.columns).order_by(*entity.__table__.primary_key)).all()
                    for entity in (AccountBalance, Lot, Hold)]

        right = stored()
        session.execute(text("UPDATE balances SET balance = 7"))
        session.execute(text("DELETE FROM balances WHERE account_id = (SELECT min(account_id) FROM balances)"))
        session.execute(text("UPDATE lots SET remaining = 0"))
        session.execute(text("UPDATE holds SET state = 'pending'"))
        assert {each.what for each in differences(session)} == {"balance", "lot", "hold"}
        assert rebuild(session) == {"balances": 2, "lots": 1, "holds": 2}
        assert stored() == right
        assert balance_of(session, who, noon) == before and before.available == 70
        assert findings(session) == [] == list(differences(session))


def test_others_join_the_rebuild(database: Database) -> None:
    """Whatever else follows from the ledger is looked at and mended the same way."""
    wrong = [Difference("tier", 1, "seed", "leaf")]
    tiers = Derived("tiers", lambda _session, most: iter(wrong[:most]), lambda _session, found: wrong.clear())
    with database.transaction() as session:
        assert list(differences(session, [tiers])) == wrong
        assert rebuild(session, [tiers]) == {"tiers": 1}
        assert list(differences(session, [tiers])) == []
