"""A long file is read by a process of its own: the same rows, the same refusals, and it never outlives the import."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from bot import file_rows
from bot.database import Database
from bot.file_imports import ORDERS, Import, Report
from loyalty.identities import Identifier
from loyalty.programme import Programme
from loyalty.tables import Order

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
PROGRAMME = Programme.model_validate({
    "name": "青禾", "earning": {"points_per_yuan": "1"}, "expiry": {"rule": "after_days", "days": 30}})
ROWS = [f"B{number},2026-03-01 10:00:00,{number}.50,1380013{number:04},挂耳咖啡" for number in range(1, 12)]
ROWS[6] = "B7,gestern,7.50,13800130007,挂耳咖啡"


def bring_in(database: Database, path: Path) -> Report:
    """The file, three rows a transaction."""
    return Import(ORDERS, path, database, PROGRAMME, Identifier("a secret"), lambda: NOON, "tmall", chunk=3).run()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as Excel writes it, that counts as long."""
    monkeypatch.setattr(file_rows, "LONG_BYTES", 0)
    path = tmp_path / "long.csv"
    path.write_text("\n".join(["订单号,付款时间,实付金额,手机号,商品名称", *ROWS, ""]), encoding="gb18030")
    return path


def test_another_process_reads_the_same_rows(database: Database, path: Path) -> None:
    """Ten orders in, in their order, the eleventh refused with its line; brought in again nothing is new."""
    report = bring_in(database, path)
    assert (report.rows, report.new, report.rejected) == (11, 10, 1)
    assert [str(error) for error in report.errors] == [
        "line 8, 付款时间: 'gestern' is no date and time; write it like 2026-03-10 12:00:00"]
    with database.reading() as session:
        kept = session.execute(select(Order.external_id, Order.earned, Order.items).order_by(Order.id)).all()
    assert [row.external_id for row in kept] == [f"B{number}" for number in range(1, 12) if number != 7]
    assert kept[-1].items == [{"sku": "挂耳咖啡", "name": "挂耳咖啡", "quantity": 1, "amount_fen": 1150}]
    assert kept[-1].earned == 11
    assert bring_in(database, path).finished_before == NOON


def test_a_reader_that_dies_is_told_and_the_import_goes_on_later(
        database: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed stays; the next start takes the rest."""
    with monkeypatch.context() as patched:
        patched.setattr(file_rows.sys, "executable", "/bin/true")
        with pytest.raises(OSError, match="has died; start the import again"):
            bring_in(database, path)
    report = bring_in(database, path)
    assert (report.rows, report.new, report.rejected) == (11, 10, 1)
