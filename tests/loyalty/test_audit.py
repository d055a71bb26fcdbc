"""Whatever is changed behind the ledger's back, the audit tells."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text

from bot.database import Database
from loyalty import ledger
from loyalty.audit import findings
from loyalty.customers import resolve

TAMPERINGS = [
    ("UPDATE balances SET balance = balance + 5 WHERE balance > 0", "balance"),
    ("UPDATE lots SET remaining = remaining - 1 WHERE remaining > 0", "uses leave"),
    ("UPDATE transfers SET amount = amount + 1 WHERE reason = 'order'", "transfers give"),
    ("UPDATE transfers SET amount = amount - 1 WHERE reason = 'redeem'", "uses sum to"),
    ("UPDATE holds SET state = 'released'", "0 transfers ended it"),
    ("DELETE FROM lot_uses", "uses leave"),
    ("DELETE FROM lots", "there is no such lot"),
    ("UPDATE lots SET transfer_id = 99", "no such transfer"),
    ("UPDATE transfers SET credit_id = 99 WHERE reason = 'redeem'", "no such account"),
    ("UPDATE transfers SET asset = 'growth' WHERE reason = 'order'", "moves growth"),
    ("UPDATE balances SET balance = balance + 1 WHERE balance = 10", "not 0"),
]


def test_tampering_is_told(database: Database, noon: datetime) -> None:
    """Clean before; after rows were changed by hand, a finding says where and what."""
    with database.transaction() as session:
        member = resolve(session, [("openid", "a")], noon)["openid", "a"]
        ledger.earn(session, member, 100, key="e", reason="order", at=noon)
        ledger.spend(session, member, 20, key="s", reason="redeem", at=noon)
        ledger.hold(session, member, 10, key="h", reason="draw", until=noon + timedelta(hours=1), at=noon)
        assert findings(session) == []
        for tampering, told in TAMPERINGS:
            with session.begin_nested() as savepoint:
                session.execute(text(tampering))
                found = findings(session)
                assert any(told in finding for finding in found), (tampering, found)
                savepoint.rollback()
        assert findings(session) == []
