"""Commands of the office: members, tiers, draws, plans, pools, red packets, campaign figures, setting right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from typer.testing import CliRunner

from bot.cli import app
from bot.clock import system_clock
from bot.database import Database
from bot.schema import head
from loyalty import customers, ledger
from loyalty.customers import Identity
from loyalty.matching import propose
from loyalty.orders import OrderIn, record_many
from loyalty.programme import Programme
from loyalty.redemptions import redeem
from loyalty.tables import AccountBalance, table_of

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ROOT = Path(__file__).resolve().parents[2]
AGO = timedelta(minutes=9)
ANNA, SECOND = Identity("taobao", "anna"), Identity("openid", "oAnna")
PROGRAMME = """
name: 青禾
earning:
  points_per_yuan: 1
  rules:
    - {id: gift, name: 中秋加赠, points: 100, campaign: autumn}
costs: {point_value_fen: 1, margin: 0.6}
campaigns:
  - {id: autumn, name: 中秋, budget: {points: 400}, cost_fen: 50}
tiers:
  - {id: seed, name: 青芽, from_amount_fen: 0, benefits: [积分]}
  - {id: leaf, name: 青叶, from_amount_fen: 20000, benefits: [试饮]}
plans:
  - {id: black, name: 黑卡, months: 12, price_fen: 9900}
rewards:
  - {id: film, name: 电影票, cost_points: 50, way: exchange, pool: cinema, low_pool: 1}
  - {id: packet, name: 红包, cost_points: 50, way: red_packet, value_fen: 100}
lotteries:
  - id: wheel
    name: 转盘
    consolation: thanks
    prizes:
      - {id: win, name: 二十积分, odds: 400000, points: 20}
      - {id: thanks, name: 谢谢参与}
"""
Run = Callable[..., Any]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Database) -> Iterator[Database]:
    """A shop where Anna paid ¥300 in the campaign, and once more under a name nobody has tied to her.

    The commands share its engine, which knows their statements by then.
    """
    config = tmp_path / "config"
    config.mkdir()
    (config / "programme.yaml").write_text(PROGRAMME, encoding="utf-8")
    for name, value in {"HUITOU_SETTINGS": ROOT / "config/settings.toml", "HUITOU_PATHS__CONFIG": config}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("bot.command.database_of", lambda settings: database)
    configured = structlog.get_config()
    now = system_clock()
    with database.transaction() as session:
        session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        session.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": head()})
        for who, fen in ((ANNA, 30_000), (SECOND, 5_000)):
            paid = OrderIn(source="pos", external_id=f"T{fen}", identities=(who,), amount_fen=fen, paid_at=now - AGO)
            record_many(session, [paid], programme(tmp_path), now)
        propose(session, [(1, 2, Identity("name_address", "x"), "import")], now)
    yield database
    structlog.configure(**configured)


def programme(folder: Path) -> Programme:
    """The programme of this shop."""
    from bot.brands import read_programme

    return read_programme(folder / "config")


def run(*words: str, status: int = 0) -> str:
    """Type a command; what it says."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.output


def test_two_are_made_one_and_parted_again(shop: Database) -> None:
    """Proposals are listed, decided, and a merge can be undone; what does not exist is told with status 1."""
    assert "1 and 2" in run("members", "proposals")
    assert "merge 1: member 2 is member 1 now" in run("members", "accept", "1")
    assert "0 waiting" in run("members", "proposals")
    assert "accepted by" in run("members", "merges", "taobao:anna")
    assert "are two again" in run("members", "undo-merge", "1")
    assert "member 1 is member 2 now" in run("members", "merge", "2", "taobao:anna", "--evidence", "showed both cards")
    assert "no member" in run("members", "merges", "taobao:nobody", status=1)
    assert "77" in run("members", "undo-merge", "77", status=1)


def test_a_person_takes_their_data_along_and_is_forgotten(shop: Database, tmp_path: Path) -> None:
    """The file holds it all; forgetting asks for --yes, and afterwards nobody of that name is known."""
    run("members", "export", "taobao:anna", "--to", str(tmp_path / "anna.json"))
    told = json.loads((tmp_path / "anna.json").read_text(encoding="utf-8"))
    assert told["orders"][0]["amount_fen"] == 30_000 and told == json.loads(run("members", "export", "1")) | {
        "exported_at": told["exported_at"]}
    assert "add --yes" in run("members", "erase", "taobao:anna", status=2)
    assert "1 names gone, 400 points lapsed" in run("members", "erase", "taobao:anna", "--yes")
    assert "no member" in run("members", "export", "taobao:anna", status=1)


def test_accounts_on_one_device_are_found(shop: Database) -> None:
    """Who shares a device is noted, found from four on, and held."""
    with shop.transaction() as session:
        farm = list(customers.resolve(session, [("openid", f"farm{n}") for n in range(4)], system_clock()).values())
        for member in farm:
            ledger.earn(session, member, 30, key=f"f{member}", reason="welcome", at=system_clock())
    told = [run("members", "hint", str(member), "device", "IMEI-7") for member in farm]
    assert told[-1] == "4 members share this device\n"
    assert "1 new findings" in run("fraud", "look", status=1)
    assert "many_accounts" in run("fraud", "list", status=1) and "120 points held" in run("fraud", "hold", "1")


def test_a_tier_is_explained_and_the_design_looked_at(shop: Database) -> None:
    """Anna is 青叶 for her ¥300; two tiers are an even number."""
    told = run("tiers", "explain", "taobao:anna")
    assert "tier: 青叶; paid ¥300.00" in told and "达到青叶" in told
    assert "to 青叶: ¥150.00 missing" in run("tiers", "explain", "2")
    assert "an even number" in run("tiers", "lint", status=1)


def test_draws_are_made_and_proved(shop: Database) -> None:
    """The odds are listed with the rest for the consolation; the same key draws once; the audit finds nothing."""
    assert "40.0000% win" in run("lottery", "list") and "60.0000% thanks" in run("lottery", "list")
    assert "no lottery" in run("lottery", "draw", "roulette", "1", status=1)
    assert "2 chances" in run("lottery", "give", "1", "2")
    drawn = run("lottery", "draw", "wheel", "taobao:anna", "--key", "d1")
    assert "1 chances left" in drawn and run("lottery", "draw", "wheel", "1", "--key", "d1") == drawn
    assert "every draw comes out" in run("lottery", "audit", "wheel")
    assert " was " in run("lottery", "reveal", "wheel")
    with shop.transaction() as session:
        session.execute(text("UPDATE draws SET roll = (roll + 500000) % 1000000"))
    assert "its seed gives" in run("lottery", "audit", "wheel", status=1)


def test_a_plan_is_sold_renewed_and_ended(shop: Database) -> None:
    """Two years are one stretch; ended at once, both are paid back."""
    assert "black" in run("plans", "list")
    run("plans", "buy", "black", "taobao:anna", "--paid-fen", "9900")
    run("plans", "buy", "black", "1", "--paid-fen", "9900")
    year = system_clock().year
    assert f"to {year + 2}-" in run("plans", "show", "1")
    assert "pay back ¥19" in run("plans", "cancel", "black", "1")
    assert "0 plans" in run("plans", "show", "1")
    assert "does not have it" in run("plans", "cancel", "black", "1", status=1)


def test_codes_are_imported_whole_and_a_low_pool_calls(shop: Database, tmp_path: Path) -> None:
    """Each faulty line is named and none goes in; a dry run writes nothing; a pool that is empty is low."""
    assert "cinema: 0 left, low" in run("pools", "list", status=1)
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("code,last_day\nAA-1,2099-12-31\nAA-2,\n", encoding="utf-8-sig")
    bad.write_text("code,last_day\nAA-3,\nAA-3,\nAA-4,2020-01-01\n", encoding="utf-8")
    assert "2 codes would go" in run("import", "codes", "cinema", str(good), "--dry-run")
    told = run("import", "codes", "cinema", str(bad), status=1)
    assert "line 3, code: stands in line 2" in told and "line 4, last_day" in told and "nothing was imported" in told
    assert "cinema: 0 left" in run("pools", "list", status=1)
    assert "2 codes went" in run("import", "codes", "cinema", str(good))
    assert "cinema: 2 left\n" in run("pools", "list")
    assert "is in pool 'cinema' already" in run("import", "codes", "cinema", str(good), "--dry-run", status=1)
    assert "there are cinema" in run("import", "codes", "theatre", str(good), status=2)


def test_red_packets_that_nobody_pays_are_shown(shop: Database, tmp_path: Path) -> None:
    """A packet waits: status 1, as no setting names who pays."""
    assert "0 waiting" in run("packets", "list")
    with shop.transaction() as session:
        redeem(session, 1, "packet", 1, "wish", programme(tmp_path), system_clock())
    told = run("packets", "list", status=1)
    assert "¥1.00" in told and "1 waiting, 0 failed; paid by nobody" in told


def test_campaigns_tell_what_a_new_customer_costs(shop: Database) -> None:
    """200 points and the poster for two new customers; half of the budget is used."""
    told = run("report", "campaigns", "autumn")
    assert "cost ¥2.50; 2 new customers, ¥1.25 each" in told and "50% of 400 points" in told
    assert "there are: autumn" in run("report", "campaigns", "spring", status=2)


def test_what_follows_from_the_rows_is_set_right(shop: Database) -> None:
    """A balance and a tier that somebody changed by hand are found, set right from the rows, and sound again."""
    with shop.transaction() as session:
        customers.join(session, customers.resolve(session, [("openid", "new")], system_clock())["openid", "new"],
                       system_clock())
        ledger.earn(session, 2, 5, key="e", reason="gift", at=system_clock())
    assert "the ledger is sound" in run("audit", "--tiers")
    with shop.transaction() as session:
        balances = table_of(AccountBalance)
        session.execute(balances.update().where(balances.c.balance == 400).values(balance=500))
        session.execute(text("UPDATE members SET tier = 'leaf' WHERE id = 2"))
    told = run("audit", "--tiers", status=1)
    assert "balance 500, transfers give 400" in told and "member 2: tier leaf, the rows lead to seed" in told
    told = run("audit", "--tiers", "--rebuild")
    assert "balances: 1 set right" in told and "tiers: 1 set right" in told and "the ledger is sound" in told
