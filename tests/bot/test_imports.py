"""Files as other systems export them: every row once, every fault by line and column, whatever ends the run."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from bot.database import Database
from bot.file_imports import MEMBERS, ORDERS, Import, Kind, Report
from loyalty.audit import findings
from loyalty.balances import balance_of, lapses
from loyalty.birthdays import birthdays
from loyalty.customers import find, identities_of, profiles
from loyalty.erasure import erase
from loyalty.identities import Identifier
from loyalty.import_columns import HeaderError
from loyalty.imports import ImportInterrupted
from loyalty.matching import proposals
from loyalty.orders import Item, purchases
from loyalty.people_tables import ImportRun
from loyalty.programme import Programme
from loyalty.sources import acquired
from loyalty.tables import Member, Order, Transfer
from loyalty.tags import tags_of

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
NAMES = Identifier("a secret of this test")
PROGRAMME = Programme.model_validate({
    "name": "青禾", "earning": {"points_per_yuan": "1"}, "expiry": {"rule": "after_days", "days": 30}})
ORDER_FILE = """订单号,付款时间,实付金额,手机号,买家昵称,商品编码,商品名称,数量,备注
A1,2026-03-01 10:00:00,128.50,138 0013 8000,王小芳,QH-30,挂耳咖啡30包,2,请快点
A2,2026/3/2 9:05,"¥1,200",+8613800138000,,OAT,"燕麦奶,大",1,
A3,2026-03-03T08:00:00+00:00,59,,李雷,,,,
"""
MEMBER_FILE = """姓名,手机号,unionid,入会时间,来源,渠道码,标签,积分,积分有效期,生日,地址,勿扰,id:card
王芳,13800138000,oU1,2025-01-05,门店,xuhui-01,老客|咖啡控,1200,2026-12-31,1990-05-01,漕溪路1号,,C1
李雷,13900139000,,2025-02-06 08:00,天猫,,,0,,,,是,C2
"""


@pytest.fixture
def bring_in(database: Database, tmp_path: Path) -> Callable[..., Report]:
    """Imports a text as a file of orders or members, in chunks of two rows."""

    def run(text: str | bytes, kind: Kind = ORDERS, name: str = "old.csv", **options: Any) -> Report:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        source = options.pop("source", "tmall" if kind.name == "orders" else "")
        return Import(kind, path, database, PROGRAMME, NAMES, lambda: NOON, source, chunk=2).run(**options)

    return run


def refused(folder: Path, name: str = "old.rejected.csv") -> list[dict[str, str]]:
    """The rows of the file of refused rows."""
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def count(database: Database, table: Any) -> int:
    """Rows of a table."""
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


@pytest.mark.parametrize("encode", ["utf-8", "utf-8-sig", "gb18030"])
def test_orders_of_another_system_come_in(database: Database, bring_in: Callable[..., Report], encode: str) -> None:
    """Chinese headers, yuan with sign and comma, phones as people write them, in the encodings Excel writes."""
    report = bring_in(ORDER_FILE.encode(encode))
    assert (report.rows, report.new, report.known, report.rejected, report.points) == (3, 3, 0, 0, 1387)
    assert report.ignored == ["备注"]
    with database.reading() as session:
        wang = find(session, *NAMES.identity("phone", "13800138000"))
        assert wang is not None and wang == find(session, "tmall_buyer", "王小芳")
        assert find(session, "phone", "13800138000") is None
        bought = purchases(session, [wang])[wang]
        assert [(one.at, one.items) for one in bought] == [
            (datetime(2026, 3, 2, 1, 5, tzinfo=UTC), (Item(sku="OAT", name="燕麦奶,大", amount_fen=120_000),)),
            (datetime(2026, 3, 1, 2, tzinfo=UTC),
             (Item(sku="QH-30", name="挂耳咖啡30包", quantity=2, amount_fen=12_850),)),
        ]
        assert balance_of(session, wang, NOON).available == 1328
        assert findings(session) == []


def test_the_same_file_twice_changes_nothing(database: Database, bring_in: Callable[..., Report]) -> None:
    """It is known by its content whatever it is called; read again on demand, every row is known."""
    bring_in(ORDER_FILE)
    transfers = count(database, Transfer)
    again = bring_in(ORDER_FILE, name="renamed.csv")
    assert again.finished_before == NOON and (again.new, again.rows) == (3, 3)
    forced = bring_in(ORDER_FILE, again=True)
    assert (forced.new, forced.known, forced.points) == (0, 3, 0)
    assert (count(database, Order), count(database, Transfer)) == (3, transfers)


def test_a_broken_row_never_loses_the_others(database: Database, bring_in: Callable[..., Report],
                                             tmp_path: Path) -> None:
    """Every fault is told by line and column with its mend; corrected in the file of refused rows, they come in."""
    text = """external_id,paid_at,amount,phone,items
B1,2026-03-01 10:00,12.00,13800138000,
B2,gestern,12.00,13800138000,
B3,2026-03-01 10:00,-5,13800138000,
B4,2026-03-01 10:00,12.00,1380013800,
B5,2026-03-01 10:00,12.00,,
"B6",2026-03-01 10:00,12.00,13800138000,"[{""sku"": ""A1"",
""name"": ""two lines"", ""quantity"": 0}]"
B7,2026-03-01 10:00,12.00,13800138000,{oops
B8,2026-03-01 10:00,12.00,13800138000
,2026-03-01 10:00,12.00,13800138000,
B1,2026-03-01 10:00,99.00,13800138000,

B9,1999-03-01 10:00,12.00,13800138000,
B10,2026-03-01 10:00,12.00,13800138000,"[{""sku"": ""A1"", ""name"": ""杯子"", ""amount_fen"": 1200}]"
"""
    report = bring_in(text)
    assert (report.rows, report.new, report.rejected) == (12, 2, 10)
    rows = refused(tmp_path)
    assert [(row["_line"], row["_column"]) for row in rows] == [
        ("3", "paid_at"), ("4", "amount"), ("5", "phone"), ("6", "phone"), ("7", "items"), ("9", "items"),
        ("10", "row"), ("11", "external_id"), ("12", "external_id"), ("14", "paid_at")]
    assert str(report.errors[0]) == (
        "line 3, paid_at: 'gestern' is no date and time; write it like 2026-03-10 12:00:00")
    assert rows[4]["items"].startswith('[{"sku": "A1",\n"name"') and "quantity" in rows[4]["_what"]
    assert all(row["_mend"] for row in rows)
    mended = (tmp_path / "old.rejected.csv").read_text(encoding="utf-8").replace("gestern", "2026-03-02 10:00")
    after = bring_in(mended, name="mended.csv")
    assert (after.new, after.rejected, after.ignored) == (1, 9, [])
    assert count(database, Order) == 3
    with database.reading() as session:
        assert findings(session) == []


def test_bytes_that_are_no_text_refuse_their_row_alone(bring_in: Callable[..., Report], tmp_path: Path) -> None:
    """Neither UTF-8 nor GB18030 in one line; a zero byte in another."""
    text = b"external_id,paid_at,amount,openid\nC1,2026-03-01,1,\xff\xff\nC2,2026-03-01,1,a\x00b\nC3,2026-03-01,1,ok\n"
    report = bring_in(text)
    assert (report.new, report.rejected) == (1, 2)
    assert [row["_line"] for row in refused(tmp_path)] == ["2", "3"]


@pytest.mark.parametrize(("text", "mend"), [
    ("", "the file is empty"), ("a,b\n1,2\n", "no column says who it is"),
    ("phone,amount,paid_at\n", "external_id is missing"), ("external_id,订单号,phone\n", "both external_id"),
    ("external_id,paid_at,phone\n", "amount or amount_fen is missing"),
])
def test_a_header_that_does_not_do_is_refused_whole(database: Database, bring_in: Callable[..., Report], text: str,
                                                    mend: str) -> None:
    """Nothing is read where the first line does not name what is needed."""
    with pytest.raises(HeaderError, match=mend):
        bring_in(text)
    assert count(database, Member) == 0


def test_an_import_that_was_cut_off_goes_on(database: Database, bring_in: Callable[..., Report],
                                            tmp_path: Path) -> None:
    """Killed while it wrote a chunk: what was committed stays, what was not comes again, no refused row twice."""
    rows = [f"D{n},2026-03-01,{'x' if n % 3 == 0 else n},13800138{n:03}" for n in range(1, 10)]
    text = "external_id,paid_at,amount,phone\n" + "\n".join(rows) + "\n"

    def dies_in_the_third_chunk(session: Any, chunk: Any, *rest: Any) -> Any:
        taken = ORDERS.write(session, chunk, *rest)
        if chunk[0].line == 6:
            with (tmp_path / "old.rejected.csv").open("ab") as file:
                file.write(b"half a row")
            raise KeyboardInterrupt
        return taken

    with pytest.raises(KeyboardInterrupt):
        bring_in(text, replace(ORDERS, write=dies_in_the_third_chunk))
    assert count(database, Order) == 3
    report = bring_in(text)
    assert (report.rows, report.new, report.known, report.rejected, report.points) == (9, 6, 0, 3, 27)
    assert [row["external_id"] for row in refused(tmp_path)] == ["D3", "D6", "D9"]
    assert count(database, Order) == 6


def test_two_processes_do_not_bring_in_one_file(database: Database, bring_in: Callable[..., Report]) -> None:
    """The second finds that somebody went on meanwhile and stops; no row counts twice."""

    def overtaken(session: Any, rows: Any, *rest: Any) -> Any:
        session.execute(update(ImportRun).values(rows=ImportRun.rows + 2))
        return ORDERS.write(session, rows, *rest)

    with pytest.raises(ImportInterrupted, match="another process"):
        bring_in(ORDER_FILE, replace(ORDERS, write=overtaken))
    assert count(database, Order) == 0


def test_a_dry_run_tells_and_writes_nothing(database: Database, bring_in: Callable[..., Report],
                                            tmp_path: Path) -> None:
    """The same figures and faults as in earnest; no row, no file, and the real run after it starts from nothing."""
    text = ORDER_FILE + "A4,morgen,1,13800138000,,,,,\n"
    told = bring_in(text, dry_run=True)
    assert (told.rows, told.new, told.rejected, told.points) == (4, 3, 1, 1387)
    assert [error.line for error in told.errors] == [5]
    assert count(database, Order) == count(database, Member) == 0
    assert not (tmp_path / "old.rejected.csv").exists()
    real = bring_in(text)
    assert (real.new, real.rejected) == (3, 1)


def test_members_come_in_with_all_they_bring(database: Database, bring_in: Callable[..., Report]) -> None:
    """Names, tags, consent, birthday, where they came from and an opening balance with its last day; twice is once."""
    first = bring_in(MEMBER_FILE, MEMBERS)
    assert (first.new, first.known, first.rejected, first.points) == (2, 0, 0, 1200)
    again = bring_in(MEMBER_FILE, MEMBERS, again=True)
    assert (again.new, again.known, again.points) == (0, 2, 0)
    with database.reading() as session:
        wang, lei = find(session, "unionid", "oU1"), find(session, "id_card", "C2") or find(session, "card", "C2")
        assert wang is not None and lei is not None
        people = profiles(session, [wang, lei])
        assert (people[wang].name, people[wang].opted_out_at, people[lei].opted_out_at) == ("王芳", None, NOON)
        assert people[wang].joined_at == datetime(2025, 1, 4, 16, tzinfo=UTC)
        assert [tag.tag for tag in tags_of(session, [wang], NOON)[wang]] == ["咖啡控", "老客"]
        [came] = [acquired(session, [wang])[wang]]
        assert (came.first.source, came.first.channel_code, came.first == came.last) == ("门店", "xuhui-01", True)
        assert birthdays(session, [wang]) == {wang: (5, 1)}
        assert balance_of(session, wang, NOON).available == 1200
        assert lapses(session, wang, NOON).days[0].on.isoformat() == "2026-12-31"
        assert identities_of(session, [wang], "phone")[wang] == NAMES.identity("phone", "13800138000").value
        assert findings(session) == []


def test_members_who_share_a_home_are_proposed(database: Database, bring_in: Callable[..., Report]) -> None:
    """Same name and address under two phones: somebody decides; another balance for somebody known is refused."""
    text = "name,phone,address,points\n王芳,13800138000,漕溪路1号,5\n王 芳,13700137000,漕溪路１号,7\n"
    bring_in(text, MEMBERS)
    with database.reading() as session:
        assert [one.kind for one in proposals(session)] == ["name_address"]
    other = bring_in(text.replace("号,5", "号,6"), MEMBERS)
    assert (other.known, other.points, other.rejected) == (2, 0, 1)
    assert "of 5 was imported before" in other.errors[0].what


def test_no_old_file_brings_back_who_was_forgotten(database: Database, bring_in: Callable[..., Report]) -> None:
    """Their row is refused by line, in files of members and of orders; the others come in."""
    bring_in(MEMBER_FILE, MEMBERS)
    with database.transaction() as session:
        wang = find(session, "unionid", "oU1")
        assert wang is not None
        erase(session, wang, key="e1", at=NOON)
    again = bring_in(MEMBER_FILE, MEMBERS, again=True)
    assert (again.new, again.known, [error.line for error in again.errors]) == (0, 1, [2])
    orders = bring_in(ORDER_FILE)
    assert (orders.new, orders.rejected) == (1, 2)
    with database.reading() as session:
        assert find(session, "unionid", "oU1") is None and findings(session) == []
