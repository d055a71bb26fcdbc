"""Points become a reward once, and can be taken back within the hour."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import cash, coupons, errors
from loyalty.audit import findings
from loyalty.balances import balance_of, lapses
from loyalty.codes import (
    CODE_LENGTH,
    CODE_LETTERS,
    BadRows,
    check_codes,
    codes_of,
    import_codes,
    is_well_typed,
    new_code,
    pool_levels,
)
from loyalty.customers import resolve, set_tier
from loyalty.handover import Links, link_of, open_page
from loyalty.ledger import earn, spend
from loyalty.plans import standing
from loyalty.programme import Programme
from loyalty.red_packets import claim_due, mark_failed, mark_sent, unpaid
from loyalty.redemptions import grant, lapse_due, of_member, redeem, ship, undo, verify
from loyalty.rewards import affordable, availability, sync_stock
from loyalty.tables import Redemption, Stock, Transfer


def rich(session: Session, at: datetime, points: int = 250, name: str = "oWangFang") -> int:
    """Member id of somebody who has so many points, half of them lapsing in ten days."""
    member = resolve(session, [("openid", name)], at)["openid", name]
    soon = at + timedelta(days=10)
    earn(session, member, points - points // 2, key=f"first {name}", reason="order", at=at)
    if points // 2:
        earn(session, member, points // 2, key=f"second {name}", reason="order", at=at, expires_at=soon)
    return member


def pieces(session: Session, reward_id: str) -> int | None:
    """Pieces left of a reward."""
    return session.scalar(select(Stock.pieces).where(Stock.reward_id == reward_id))


def test_a_redemption_takes_points_and_a_piece_and_gives_a_code(database: Database, noon: datetime,
                                                                programme: Programme) -> None:
    """Two mugs: 200 points, two pieces, one readable code, and the sentence how to get it."""
    with database.transaction() as session:
        sync_stock(session, programme, noon)
        member = rich(session, noon)
        done = redeem(session, member, "mug", 2, "wish-1", programme, noon)
        assert (done.name, done.quantity, done.cost, done.balance) == ("陶瓷马克杯", 2, 200, 50)
        assert len(done.code) == CODE_LENGTH and set(done.code) <= set(CODE_LETTERS)
        assert not set("0O1ILU") & set(CODE_LETTERS)
        assert (pieces(session, "mug"), balance_of(session, member, noon).available) == (3, 50)
        assert redeem(session, member, "coupon", 1, "wish-2", programme, noon).handover == "到网店结账时填券码"
        assert [line.code for line in of_member(session, member)][1] == done.code
        assert of_member(session, member, limit=1)[0].reward_id == "coupon"
        assert findings(session) == []


def test_the_same_wish_is_granted_once(database: Database, noon: datetime, programme: Programme) -> None:
    """A repeated key gives the same code and takes nothing; another wish under the key is refused."""
    with database.transaction() as session:
        member = rich(session, noon)
        first = redeem(session, member, "mug", 1, "wish", programme, noon)
    with database.transaction() as session:
        assert redeem(session, member, "mug", 1, "wish", programme, noon) == first
        with pytest.raises(errors.KeyReused):
            redeem(session, member, "mug", 2, "wish", programme, noon)
        assert pieces(session, "mug") == 4
        assert session.scalar(select(func.count()).select_from(Redemption)) == 1


def test_everything_is_checked_again_and_a_refusal_leaves_no_trace(database: Database, noon: datetime,
                                                                   programme: Programme) -> None:
    """Reward, dates, tier, limit, points and stock each refuse by name; the session stays usable and clean."""
    with database.transaction() as session:
        sync_stock(session, programme, noon)
        member = rich(session, noon, points=400)
        before = session.scalar(select(func.count()).select_from(Transfer))

        def refused(error: type[errors.LoyaltyError], reward: str, quantity: int = 1, at: datetime = noon) -> None:
            with pytest.raises(error):
                redeem(session, member, reward, quantity, "wish", programme, at)

        refused(errors.UnknownReward, "teapot")
        refused(errors.RewardClosed, "spring")
        refused(errors.RewardClosed, "spring", at=noon.replace(month=5))
        refused(errors.TierTooLow, "kettle")
        refused(errors.LimitReached, "mug", 3)
        refused(errors.NotEnough, "coupon", 21)
        refused(errors.NotEnough, "coupon", 15, noon + timedelta(days=10))
        set_tier(session, member, "leaf")
        refused(errors.OutOfStock, "kettle", 4)
        assert session.scalar(select(func.count()).select_from(Transfer)) == before
        assert (pieces(session, "kettle"), balance_of(session, member, noon).available) == (3, 400)
        assert redeem(session, member, "kettle", 3, "wish", programme, noon).balance == 250
        refused(errors.KeyReused, "kettle", 1)


def test_the_limit_counts_what_was_taken_before(database: Database, noon: datetime, programme: Programme) -> None:
    """Two mugs a member, over all redemptions; an undone one does not count."""
    with database.transaction() as session:
        member = rich(session, noon, points=900)
        first = redeem(session, member, "mug", 1, "1", programme, noon)
        redeem(session, member, "mug", 1, "2", programme, noon)
        with pytest.raises(errors.LimitReached) as refusal:
            redeem(session, member, "mug", 1, "3", programme, noon)
        assert (refusal.value.limit, refusal.value.taken) == (2, 2)
        undo(session, first.id, member, "u", programme, noon)
        redeem(session, member, "mug", 1, "3", programme, noon)


def test_an_undo_restores_lots_with_their_first_expiry(database: Database, noon: datetime,
                                                       programme: Programme) -> None:
    """Within the hour points return to their lots, the piece to the stock; once more is the same answer."""
    with database.transaction() as session:
        member = rich(session, noon)
        before = balance_of(session, member, noon)
        done = redeem(session, member, "mug", 2, "wish", programme, noon)
        later = noon + timedelta(minutes=60)
        undone = undo(session, done.id, member, "undo", programme, later)
        assert (undone.name, undone.returned, undone.balance) == ("陶瓷马克杯", 200, 250)
        assert undo(session, done.id, member, "undo", programme, later) == undone
        assert balance_of(session, member, later) == before
        assert lapses(session, member, later).days[0].amount == 125
        assert pieces(session, "mug") == 5
        assert of_member(session, member)[0].state == "undone"
        with pytest.raises(errors.NotUndoable, match="undone"):
            undo(session, done.id, member, "another key", programme, later)
        with pytest.raises(errors.CodeUsed):
            verify(session, done.code, "till", later)
        assert findings(session) == []


def test_an_undo_has_its_time(database: Database, noon: datetime, programme: Programme) -> None:
    """After the hour, after the code was used, or by somebody else, there is nothing to undo."""
    with database.transaction() as session:
        member, other = rich(session, noon), rich(session, noon, name="oLiLei")
        late = redeem(session, member, "mug", 1, "1", programme, noon)
        with pytest.raises(errors.NotUndoable, match="late"):
            undo(session, late.id, member, "u", programme, noon + timedelta(minutes=60, seconds=1))
        verify(session, late.code, "till", noon)
        with pytest.raises(errors.NotUndoable, match="verified"):
            undo(session, late.id, member, "u", programme, noon)
        with pytest.raises(errors.UnknownCode):
            undo(session, late.id, other, "u", programme, noon)
        assert balance_of(session, member, noon).available == 150


def test_a_code_is_used_once(database: Database, noon: datetime, programme: Programme) -> None:
    """Typed in small letters with dashes it is known; a second use is refused with the moment of the first."""
    with database.transaction() as session:
        done = redeem(session, rich(session, noon), "mug", 2, "wish", programme, noon)
        spelled = f" {done.code[:5].lower()}-{done.code[5:]} "
        first = verify(session, spelled, "till-7", noon)
        assert (first.name, first.quantity, first.at) == ("陶瓷马克杯", 2, noon)
        assert verify(session, done.code, "till-7", noon + timedelta(minutes=1)) == first
        with pytest.raises(errors.CodeUsed) as refusal:
            verify(session, done.code, "till-8", noon + timedelta(minutes=1))
        assert refusal.value.at == noon
        with pytest.raises(errors.UnknownCode):
            verify(session, "2222222222", "till", noon)


def test_stock_is_given_once_and_then_kept(database: Database, noon: datetime, programme: Programme) -> None:
    """A new reward gets its first stock; a restart or a changed file leaves what is there."""
    with database.transaction() as session:
        assert sync_stock(session, programme, noon) == 4
        redeem(session, rich(session, noon), "mug", 1, "wish", programme, noon)
        assert sync_stock(session, programme, noon) == 0
        offers = {offer.reward.id: offer.stock for offer in availability(session, programme, noon)}
        assert offers == {"mug": 4, "coupon": None, "kettle": 3}


def test_only_what_can_be_had_is_affordable(database: Database, noon: datetime, programme: Programme) -> None:
    """Too dear, too high a tier, not open or gone: none of it is offered; cheapest first."""
    with database.transaction() as session:
        member, poor = rich(session, noon, points=120), rich(session, noon, points=30, name="oLiLei")
        names = [offer.reward.id for offer in affordable(session, programme, member, noon)]
        assert names == ["coupon", "mug"]
        assert [offer.reward.id for offer in affordable(session, programme, poor, noon)] == ["coupon"]
        assert affordable(session, programme, 999, noon) == []


def test_a_redemption_of_nothing_is_a_mistake(database: Database, noon: datetime, programme: Programme) -> None:
    """A quantity below 1 would give points; it never reaches the ledger."""
    with database.transaction() as session, pytest.raises(ValueError, match="at least 1"):
        redeem(session, rich(session, noon), "mug", -1, "wish", programme, noon)


def with_reward(programme: Programme, *rewards: dict[str, Any], **sections: Any) -> Programme:
    """The programme with these rewards more, each for 10 points where it does not say."""
    body = programme.model_dump(mode="json")
    body["rewards"] += [{"name": reward["id"], "cost_points": 10} | reward for reward in rewards]
    return Programme.model_validate(body | sections)


KEY = "a key of at least thirty-two bytes, synthetic"
LINKS = Links(KEY, "https://m.qinghe.example/member/r/")
COUPON = {"id": "ten", "name": "10元券", "amount_off_fen": 1000, "valid_days": 30}
POOL = {"id": "film", "way": "exchange", "pool": "cinema", "low_pool": 1, "handover": "观影码 {codes}"}


def race(database: Database, count: int, act: Any) -> list[str]:
    """What each of so many got who started at the same moment: the answer, or the name of the refusal."""
    gate = Barrier(count)

    def run(number: int) -> str:
        gate.wait(10)
        try:
            with database.transaction() as session:
                return str(act(session, number))
        except errors.LoyaltyError as refusal:
            return type(refusal).__name__

    with ThreadPoolExecutor(count) as pool:
        return sorted(pool.map(run, range(count)))


def test_every_wrong_letter_and_swap_shows() -> None:
    """Any one letter read wrongly, and any two neighbours swapped, make a code that the check letter refuses."""
    for _ in range(20):
        code = new_code()
        assert is_well_typed(code)
        wrong = [code[:i] + letter + code[i + 1:] for i in range(CODE_LENGTH) for letter in CODE_LETTERS
                 if letter != code[i]]
        swapped = [code[:i] + code[i + 1] + code[i] + code[i + 2:] for i in range(CODE_LENGTH - 1)
                   if code[i] != code[i + 1]]
        assert not [other for other in wrong if is_well_typed(other)]
        assert sum(map(is_well_typed, swapped)) <= 1
    assert len({new_code() for _ in range(2000)}) == 2000


def test_a_mistyped_code_is_told_from_an_unknown_one(database: Database, noon: datetime,
                                                     programme: Programme) -> None:
    """The till hears that a letter is wrong, or that nobody has this code."""
    with database.transaction() as session:
        code = redeem(session, rich(session, noon), "mug", 1, "wish", programme, noon).code
        other = next(letter for letter in CODE_LETTERS if letter != code[3])
        with pytest.raises(errors.MistypedCode):
            verify(session, code[:3] + other + code[4:], "till", noon)
        with pytest.raises(errors.UnknownCode) as refusal:
            verify(session, new_code(), "till", noon)
        assert not isinstance(refusal.value, errors.MistypedCode)


@pytest.mark.parametrize(("rule", "points"), [("forfeit", 90), ("return", 100)])
def test_a_code_has_its_time(database: Database, noon: datetime, programme: Programme, rule: str,
                             points: int) -> None:
    """Valid to the end of the second day; then refused, not undone, and swept with points kept or given back."""
    programme = with_reward(programme, {"id": "cake", "valid_days": 2, "lapsed": rule, "stock": 1})
    with database.transaction() as session:
        member = rich(session, noon, points=100)
        done = redeem(session, member, "cake", 1, "wish", programme, noon)
        over = noon.replace(hour=16) + timedelta(days=2)
        assert lapse_due(session, over - timedelta(seconds=1)) == 0
        with pytest.raises(errors.CodeLapsed):
            verify(session, done.code, "till", over)
        with pytest.raises(errors.NotUndoable):
            undo(session, done.id, member, "u", programme, over)
        assert lapse_due(session, over) == 1 and lapse_due(session, over) == 0
        assert (balance_of(session, member, over).available, pieces(session, "cake")) == (points, 1)
        with pytest.raises(errors.CodeLapsed):
            verify(session, done.code, "till", over)
        assert findings(session) == []


def test_a_month_has_its_limit(database: Database, noon: datetime, programme: Programme) -> None:
    """Two a month and three in all: the local month decides, and the whole limit stands beside it."""
    programme = with_reward(programme, {"id": "tea", "per_member_month": 2, "per_member": 3})
    may = noon.replace(month=3, day=31, hour=16)
    with database.transaction() as session:
        member = rich(session, noon)
        redeem(session, member, "tea", 2, "1", programme, noon)
        with pytest.raises(errors.LimitReached) as refusal:
            redeem(session, member, "tea", 1, "2", programme, may - timedelta(seconds=1))
        assert (refusal.value.limit, refusal.value.taken) == (2, 2)
        redeem(session, member, "tea", 1, "2", programme, may)
        with pytest.raises(errors.LimitReached) as refusal:
            redeem(session, member, "tea", 1, "3", programme, may)
        assert refusal.value.limit == 3


def test_a_parcel_that_left_is_not_undone(database: Database, noon: datetime, programme: Programme) -> None:
    """Shipped once; the same key again is the same; only what goes by parcel is shipped."""
    programme = with_reward(programme, {"id": "box", "way": "ship"})
    with database.transaction() as session:
        member = rich(session, noon)
        done = redeem(session, member, "box", 1, "1", programme, noon)
        ship(session, done.id, "parcel", noon)
        ship(session, done.id, "parcel", noon)
        with pytest.raises(errors.CodeUsed):
            ship(session, done.id, "another", noon)
        with pytest.raises(errors.NotUndoable, match="shipped"):
            undo(session, done.id, member, "u", programme, noon)
        with pytest.raises(errors.UnknownCode):
            ship(session, redeem(session, member, "mug", 1, "2", programme, noon).id, "p", noon)


def test_a_jump_link_carries_a_token_of_its_member(database: Database, noon: datetime, programme: Programme) -> None:
    """Any library reads the token with the key; it names member, redemption and code, and is the same for a retry."""
    address = "https://shop.example/c?t={token}&m={member}&n={quantity}"
    programme = with_reward(programme, {"id": "jump", "way": "link", "link": address, "handover": "点 {link} 领取"})
    with database.transaction() as session:
        member, other = rich(session, noon), rich(session, noon, name="oLiLei")
        with pytest.raises(errors.ProgrammeError, match="no key for links"):
            redeem(session, member, "jump", 1, "wish", programme, noon)
        done = redeem(session, member, "jump", 2, "wish", programme, noon, LINKS)
        assert redeem(session, member, "jump", 2, "wish", programme, noon + timedelta(hours=1), LINKS) == done
        link = done.handover.removeprefix("点 ").removesuffix(" 领取")
        query = parse_qs(urlsplit(link).query)
        assert (query["m"], query["n"]) == ([str(member)], ["2"])
        token = query["t"][0]
        body = jwt.decode(token, KEY, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
        assert (body["sub"], body["jti"], body["code"]) == (str(member), str(done.id), done.code)
        assert link_of(session, done.id, member, LINKS, noon + timedelta(days=40)) != link
        with pytest.raises(errors.UnknownCode):
            link_of(session, done.id, other, LINKS, noon)
        assert verify(session, done.code, "shop", noon).member_id == member


def test_the_own_page_opens_for_its_member_alone(database: Database, noon: datetime, programme: Programme) -> None:
    """Shown: what, how many, worth, code. Refused: another member, a forged token, one that is over."""
    programme = with_reward(programme, {"id": "show", "way": "page", "value_fen": 500, "handover": "到会员页领取"})
    with database.transaction() as session:
        member, other = rich(session, noon), rich(session, noon, name="oLiLei")
        done = redeem(session, member, "show", 2, "wish", programme, noon, LINKS)
        sentence, link = done.handover.split(" ")
        token = link.removeprefix(LINKS.page_url)
        page = open_page(session, token, LINKS, noon, member)
        assert (sentence, page.name, page.quantity, page.value_fen, page.code, page.state) == (
            "到会员页领取", "show", 2, 1000, done.code, "issued")
        with pytest.raises(errors.BadToken, match="another member"):
            open_page(session, token, LINKS, noon, other)
        forged = Links("another key of at least thirty-two bytes!").token(LINKS.read(token, noon), noon)
        for bad in (forged, token[:-2], "", "x.y.z"):
            with pytest.raises(errors.BadToken, match="not ours"):
                open_page(session, bad, LINKS, noon)
        with pytest.raises(errors.BadToken, match="good until"):
            open_page(session, token, LINKS, noon + timedelta(days=31))
        with pytest.raises(ValueError, match="at least 32"):
            Links("short")


def test_a_red_packet_is_paid_once_or_the_points_come_back(database: Database, noon: datetime,
                                                           programme: Programme) -> None:
    """Claimed once, kept from others meanwhile, claimed again after a crash; sent ends it, final failure refunds."""
    programme = with_reward(programme, {"id": "red", "way": "red_packet", "value_fen": 188, "stock": 9})
    with database.transaction() as session:
        member = rich(session, noon, points=100)
        first = redeem(session, member, "red", 1, "1", programme, noon)
        second = redeem(session, member, "red", 2, "2", programme, noon)
        due = claim_due(session, noon)
        assert [(one.amount_fen, one.openid) for one in due] == [(188, "oWangFang"), (376, "oWangFang")]
        assert claim_due(session, noon) == []
        again = claim_due(session, noon + timedelta(minutes=6))
        assert [(one.bill, one.tries) for one in again] == [(one.bill, 2) for one in due]
        with pytest.raises(errors.NotUndoable, match="sent"):
            undo(session, first.id, member, "u", programme, noon)
        assert mark_sent(session, due[0].id, "wx-1", noon) and not mark_sent(session, due[0].id, "wx-1", noon)
        assert mark_failed(session, due[0].id, "late news", noon, final=True)
        assert mark_failed(session, due[1].id, "busy", noon) is False
        assert claim_due(session, noon + timedelta(minutes=1)) == []
        assert mark_failed(session, due[1].id, "no such openid", noon, final=True)
        assert [(entry.state, entry.quantity) for entry in of_member(session, member)] == [
            ("failed", 2), ("delivered", 1)]
        assert (balance_of(session, member, noon).available, pieces(session, "red")) == (90, 8)
        assert [(one.amount_fen, one.error) for one in unpaid(session, noon)] == [(376, "no such openid")]
        with pytest.raises(errors.UnknownCode):
            verify(session, second.code, "till", noon)
        assert findings(session) == []


def test_a_red_packet_nobody_began_to_pay_is_undone(database: Database, noon: datetime,
                                                    programme: Programme) -> None:
    """Within the hour and before the edge claimed it: points back, nothing is paid any more."""
    programme = with_reward(programme, {"id": "red", "way": "red_packet", "value_fen": 188})
    with database.transaction() as session:
        member = rich(session, noon, points=100)
        done = redeem(session, member, "red", 1, "1", programme, noon)
        assert undo(session, done.id, member, "u", programme, noon).balance == 100
        assert claim_due(session, noon) == []


def test_a_packet_that_keeps_failing_ends(database: Database, noon: datetime, programme: Programme) -> None:
    """Five tries with longer and longer waits, then the points go back by themselves."""
    programme = with_reward(programme, {"id": "red", "way": "red_packet", "value_fen": 188})
    with database.transaction() as session:
        member = rich(session, noon, points=100)
        redeem(session, member, "red", 1, "1", programme, noon)
        at, tries, over = noon, 0, False
        while not over:
            [packet] = claim_due(session, at)
            over, tries = mark_failed(session, packet.id, "busy", at), tries + 1
            assert balance_of(session, member, at).available == (100 if over else 90)
            at += timedelta(hours=1)
        assert tries == 5 and claim_due(session, at) == []


def test_exchange_codes_come_from_their_pool(database: Database, noon: datetime, programme: Programme) -> None:
    """Soonest to lapse first, lapsed ones never; shown in the sentence, no undo; an empty pool takes no points."""
    programme = with_reward(programme, POOL)
    with database.transaction() as session:
        member = rich(session, noon, points=100)
        text = ["code,last_day", "LATE,", "SOON,2026-03-20", "GONE,2026-03-11"]
        assert import_codes(session, "cinema", text, "file-1", noon, programme.zone).added == 3
        assert import_codes(session, "cinema", text, "file-1", noon, programme.zone).added == 3
        at = noon + timedelta(days=2)
        assert [offer.stock for offer in availability(session, programme, at)][-1] == 2
        done = redeem(session, member, "film", 1, "1", programme, at)
        assert done.handover == "观影码 SOON" and codes_of(session, done.id) == ["SOON"]
        assert redeem(session, member, "film", 1, "1", programme, at) == done
        with pytest.raises(errors.NotUndoable, match="delivered"):
            undo(session, done.id, member, "u", programme, at)
        assert [(level.free, level.low) for level in pool_levels(session, programme.rewards, at)] == [(1, True)]
        with pytest.raises(errors.OutOfStock) as refusal:
            redeem(session, member, "film", 2, "2", programme, at)
        assert (refusal.value.left, balance_of(session, member, at).available) == (1, 90)
        assert redeem(session, member, "film", 1, "2", programme, at).handover == "观影码 LATE"
        assert findings(session) == []


def test_a_bad_code_file_is_told_by_line_and_goes_in_not_at_all(database: Database, noon: datetime,
                                                               programme: Programme) -> None:
    """Doubles within, doubles with the pool, empty, over, no day, too many columns: each names its line."""
    zone = programme.zone
    with database.transaction() as session:
        import_codes(session, "cinema", ["code", "OLD"], "1", noon, zone)
        text = ["code,last_day", "A,2026-12-31", "A,", ",2026-12-31", "OLD,", "B,2026-03-09", "C,soon", "D,,x"]
        wrong = [(3, "code"), (4, "code"), (5, "code"), (6, "last_day"), (7, "last_day"), (8, "line")]
        assert [(error.line, error.field) for error in check_codes(session, "cinema", text, noon, zone)] == wrong
        with pytest.raises(BadRows, match="6 errors, the first in line 3: code: stands in line 2") as refusal:
            import_codes(session, "cinema", text, "2", noon, zone)
        assert [error.line for error in refusal.value.errors] == [line for line, _ in wrong]
        assert import_codes(session, "cinema", ["\ufeffcode", "A"], "2", noon, zone).added == 1
        assert import_codes(session, "theatre", ["code", "A"], "3", noon, zone).added == 1
        with pytest.raises(errors.KeyReused):
            import_codes(session, "cinema", ["code", "Z"], "2", noon, zone)
        for text, mend in ((["number", "1"], "first line"), (["code"], "no codes"), ([], "first line"),
                           (["code", '"open'], "not CSV")):
            with pytest.raises(BadRows, match=mend):
                import_codes(session, "cinema", text, "4", noon, zone)


def test_the_last_codes_of_a_pool_go_to_one_each(database: Database, noon: datetime, programme: Programme) -> None:
    """Six wishes for three codes at once: three different codes, three told; nobody paid for nothing."""
    programme = with_reward(programme, POOL)
    with database.transaction() as session:
        members = [rich(session, noon, 10, f"p{n}") for n in range(6)]
        import_codes(session, "cinema", ["code", "A", "B", "C"], "1", noon, programme.zone)

    def act(session: Session, number: int) -> str:
        return redeem(session, members[number], "film", 1, f"w{number}", programme, noon).handover

    assert race(database, 6, act) == ["OutOfStock"] * 3 + ["观影码 A", "观影码 B", "观影码 C"]
    with database.reading() as session:
        assert sum(balance_of(session, member, noon).available for member in members) == 30
        assert findings(session) == []


def test_two_imports_at_once_leave_each_code_once(database: Database, noon: datetime, programme: Programme) -> None:
    """The same codes from four hands under four keys: one goes in, three are told line by line."""
    text = ["code", *(f"C{n}" for n in range(50))]

    def act(session: Session, number: int) -> int:
        return import_codes(session, "cinema", text, f"file-{number}", noon, programme.zone).added

    assert race(database, 4, act) == ["50"] + ["BadRows"] * 3
    with database.reading() as session:
        levels = pool_levels(session, with_reward(programme, POOL).rewards, noon)
        assert [level.free for level in levels] == [50]


def test_a_coupon_for_points_is_undone_while_unused(database: Database, noon: datetime,
                                                    programme: Programme) -> None:
    """Two coupons for 20 points; taken back whole while both are free, not after one was used; no till takes it."""
    programme = with_reward(programme, {"id": "ticket", "kind": "coupon", "coupon": "ten"},
                            coupons=[COUPON | {"per_member": 3}])
    basket = coupons.Basket.model_validate({"lines": [{"sku": "QH-30", "amount_fen": 5000}]})
    with database.transaction() as session:
        member = rich(session, noon, points=100)
        done = redeem(session, member, "ticket", 2, "1", programme, noon)
        assert len(coupons.of_member(session, member, noon)) == 2
        with pytest.raises(errors.LimitReached):
            redeem(session, member, "ticket", 2, "2", programme, noon)
        assert (len(coupons.of_member(session, member, noon)), balance_of(session, member, noon).available) == (2, 80)
        with pytest.raises(errors.UnknownCode):
            verify(session, done.code, "till", noon)
        assert undo(session, done.id, member, "u", programme, noon).balance == 100
        assert coupons.of_member(session, member, noon) == []
        again = redeem(session, member, "ticket", 2, "2", programme, noon)
        first = coupons.of_member(session, member, noon)[0]
        coupons.use(session, first.code, member, "T1", basket, "use", noon)
        with pytest.raises(errors.NotUndoable, match="used"):
            undo(session, again.id, member, "u2", programme, noon)
        assert len(coupons.of_member(session, member, noon)) == 1
        assert findings(session) == []


def test_chances_for_points_are_undone_while_undrawn(database: Database, noon: datetime,
                                                     programme: Programme) -> None:
    """Three chances come back whole or not at all."""
    lottery = {"id": "wheel", "name": "转盘", "prizes": [{"id": "none", "name": "谢谢"}], "consolation": "none"}
    programme = with_reward(programme, {"id": "spin", "kind": "lottery", "chances": 3}, lotteries=[lottery])
    with database.transaction() as session:
        member = rich(session, noon, points=100)
        first = redeem(session, member, "spin", 1, "1", programme, noon)
        undo(session, first.id, member, "u", programme, noon)
        second = redeem(session, member, "spin", 1, "2", programme, noon)
        assert balance_of(session, member, noon, "chances").available == 3
        spend(session, member, 1, key="d", reason="draw", at=noon, asset="chances")
        with pytest.raises(errors.NotUndoable, match="used"):
            undo(session, second.id, member, "u2", programme, noon)
        assert (balance_of(session, member, noon).available, of_member(session, member)[0].state) == (90, "issued")
        assert findings(session) == []


def test_a_benefit_opens_a_plan(database: Database, noon: datetime, programme: Programme) -> None:
    """Points for a month of the card: it begins at once and is not undone."""
    plan = {"id": "card", "name": "月卡", "months": 1, "price_fen": 1000, "percent_off": 5}
    programme = with_reward(programme, {"id": "month", "kind": "benefit", "plan": "card"}, plans=[plan])
    with database.transaction() as session:
        member = rich(session, noon)
        done = redeem(session, member, "month", 1, "1", programme, noon)
        assert [one.plan.id for one in standing(session, member, noon)] == ["card"]
        with pytest.raises(errors.NotUndoable, match="delivered"):
            undo(session, done.id, member, "u", programme, noon)


def test_points_take_money_off_an_order_and_come_back_with_it(database: Database, noon: datetime,
                                                              programme: Programme) -> None:
    """10 points are ¥1, up to half of an order from ¥20 on; once per order; a part refunded gives a part back."""
    programme = with_reward(programme, {"id": "yuan", "kind": "cash", "value_fen": 100, "most_percent": 50,
                                        "from_amount_fen": 2000})
    with database.transaction() as session:
        member = rich(session, noon, points=250)
        assert cash.quote(session, member, "yuan", 1999, programme, noon).pieces == 0
        assert cash.quote(session, member, "yuan", 3999, programme, noon) == cash.Quote(19, 190, 1900)
        assert cash.quote(session, member, "yuan", 90_000, programme, noon).pieces == 25
        with pytest.raises(errors.OrderBearsLess):
            cash.put_on_order(session, member, "yuan", 20, "T1", 3999, "k", programme, noon)
        done = cash.put_on_order(session, member, "yuan", 19, "T1", 3999, "k", programme, noon)
        assert cash.put_on_order(session, member, "yuan", 19, "T1", 3999, "k", programme, noon) == done
        with pytest.raises(errors.KeyReused):
            cash.put_on_order(session, member, "yuan", 19, "T2", 3999, "k", programme, noon)
        with pytest.raises(errors.OrderBearsLess):
            cash.put_on_order(session, member, "yuan", 1, "T1", 3999, "k2", programme, noon)
        with pytest.raises(errors.CodeUsed):
            verify(session, done.code, "till", noon)
        back = cash.return_from_order(session, done.id, 9, "r1", noon)
        assert (back.points, back.balance) == (90, 150)
        assert cash.return_from_order(session, done.id, 9, "r1", noon) == back
        with pytest.raises(errors.RefundTooHigh) as refusal:
            cash.return_from_order(session, done.id, 11, "r2", noon)
        assert refusal.value.most_fen == 1000
        assert cash.return_from_order(session, done.id, 10, "r2", noon).balance == 250
        with pytest.raises(errors.UnknownOffer):
            cash.quote(session, member, "mug", 3999, programme, noon)
        assert findings(session) == []


def test_a_prize_costs_nothing_and_is_not_undone(database: Database, noon: datetime, programme: Programme) -> None:
    """Granted once per key, from the stock, without points, and outside the member's limit."""
    with database.transaction() as session:
        member = rich(session, noon)
        prize = grant(session, member, "mug", "prize", programme, noon)
        assert grant(session, member, "mug", "prize", programme, noon) == prize
        assert (prize.cost, prize.balance, pieces(session, "mug")) == (0, 250, 4)
        with pytest.raises(errors.NotUndoable, match="prize"):
            undo(session, prize.id, member, "u", programme, noon)
        assert redeem(session, member, "mug", 2, "own", programme, noon).quantity == 2
        assert verify(session, prize.code, "till", noon).name == "陶瓷马克杯"


@pytest.mark.parametrize(("reward", "mend"), [
    ({"kind": "coupon"}, "coupon: a reward of kind coupon and way verify needs it"),
    ({"kind": "coupon", "coupon": "gold"}, "not among coupons"),
    ({"way": "exchange"}, "pool: a reward of kind goods"),
    ({"pool": "x"}, "means nothing"),
    ({"way": "link"}, "link: a reward"),
    ({"way": "link", "link": "shop.example"}, "whole address"),
    ({"way": "link", "link": "https://x/{phone}"}, "knows no {phone}"),
    ({"way": "link", "link": "https://x/{"}, "brace"),
    ({"way": "red_packet"}, "how many fen"),
    ({"kind": "cash"}, "how many fen"),
    ({"kind": "lottery", "chances": 1}, "need a lottery"),
    ({"kind": "benefit", "plan": "gold"}, "not among plans"),
    ({"plan": "gold"}, "only a reward of kind benefit"),
    ({"kind": "coupon", "coupon": "ten", "valid_days": 3}, "no code to hand in"),
])
def test_a_reward_that_cannot_work_is_refused(programme: Programme, reward: dict[str, Any], mend: str) -> None:
    """What a kind or a way needs is asked for, what it cannot use is refused, each by its field."""
    with pytest.raises(ValidationError, match=mend):
        with_reward(programme, {"id": "r"} | reward, coupons=[COUPON])
