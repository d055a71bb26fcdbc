"""A long file is read by a process of its own: the same rows, the same refusals, and it never outlives the import."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from bot import file_rows
from bot.database import Database
from bot.file_imports import MEMBERS, ORDERS, Import, Kind, Report
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


MEMBER_LINES = ("phone,openid,name,joined_at,birthday,source,tags,opted_out,points,points_until\n"
                "13800138000,o1,王芳,2025-03-01 09:30:00.5,05-01,till,咖啡;老客,是,120,2026-12-31\n"
                ",o2,,,,,,,,\n1380013,o3,李雷,,,,,,,\n").encode()
ORDER_LINES = ("external_id,paid_at,amount,openid,shop,items\n"
               'A1,2026-03-01T10:00:00+08:00,12.5,o1,南京东路,"[{""sku"":""OAT"",""name"":""燕麦奶"",""category"":""milk""}]"\n'
               "A2,2026-03-01,-1,o1,,\nA3,2026-03-01,1,o3,,\n").encode()


@pytest.mark.parametrize(("kind", "text"), [
    (MEMBERS, MEMBER_LINES), (ORDERS, ORDER_LINES + b"A4,2026-03-01,1,\xff\xff,,\n")])
def test_rows_cross_the_border_of_the_process_as_they_are(kind: Kind, text: bytes, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell, moment, day, tag and refusal is what a thread would have read, also where a byte is no text."""
    path = tmp_path / "rows.csv"
    path.write_bytes(text)
    read = []
    for long_bytes in (10**9, 0):
        monkeypatch.setattr(file_rows, "LONG_BYTES", long_bytes)
        with path.open("rb") as raw, file_rows.decoded(raw, "utf-8") as lines:
            source = file_rows.Source(path, "utf-8", kind.read, kind.value, Identifier("a secret"), PROGRAMME.zone,
                                      "pos")
            read.append([row for rows, _ in file_rows.chunks(source, source.sheet(lines), raw, 0, 1) for row in rows])
    assert read[0] == read[1]
    assert len(read[1]) == text.count(b"\n") - 1
    assert read[1][0].error is None
