"""What is known of the people of one batch, read in few statements for all of them together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from handlers.talk.tables import ChatRow, ServingRow
from loyalty import coupons
from loyalty.activities import streak_of
from loyalty.balances import Balance, Lapses, balances, lapses
from loyalty.coupons import CouponEntry
from loyalty.customers import Profile, identities_of, profiles
from loyalty.days import month_start
from loyalty.orders import Purchase, purchases
from loyalty.plans import Standing as PlanStanding
from loyalty.plans import standings
from loyalty.programme import Programme
from loyalty.redemptions import RedemptionEntry, of_member
from loyalty.rewards import Offer, availability
from loyalty.statement import Entry, Totals, statement, totals
from loyalty.storage import among
from loyalty.stored_value import Wallet, wallets
from loyalty.tier_figures import Figures, figures

T = TypeVar("T")
RECENT_REDEMPTIONS = 5
MOST_REDEMPTIONS = 200


class Facts:
    """Facts of the members of a batch; each kind is read once, when first asked for, for all who may need it.

    `members` are all of the batch; `active` are those whose messages may lead to something, the others need a name
    and consent at most.
    """

    def __init__(
        self,
        session: Session,
        members: Collection[int],
        active: Collection[int],
        programme: Programme,
        now: datetime,
        chats: Collection[str] = (),
    ) -> None:
        self._session = session
        self._everybody = frozenset(members)
        self._members = frozenset(active)
        self._chats = frozenset(chats)
        self._programme = programme
        self._now = now
        self._read: dict[str, object] = {}

    def profile(self, member_id: int) -> Profile:
        """Name, tier, consent."""
        return self._once("profiles", lambda: profiles(self._session, self._everybody))[member_id]

    def name(self, member_id: int) -> str:
        """The name a person goes by, or nothing."""
        return self.profile(member_id).name

    def balance(self, member_id: int) -> Balance:
        """Points that can be spent now."""
        read = self._once("balances", lambda: balances(self._session, self._members, self._now))
        return read.get(member_id) or Balance(0, 0)

    def lapses(self, member_id: int) -> Lapses:
        """What of the points lapses when; read for the one who asks."""
        known: dict[int, Lapses] = self._once("lapses", dict)
        if member_id not in known:
            known[member_id] = lapses(self._session, member_id, self._now, zone=self._programme.zone)
        return known[member_id]

    def purchases(self, member_id: int) -> tuple[Purchase, ...]:
        """The last orders, newest first."""
        return self._once("purchases", lambda: purchases(self._session, self._members)).get(member_id, ())

    def offers(self) -> list[Offer]:
        """Every reward that is open now, with its stock."""
        return self._once("offers", lambda: availability(self._session, self._programme, self._now))

    def undoable(self, member_id: int) -> list[RedemptionEntry]:
        """The redemptions that may still be taken back, newest first."""
        entries = self.redemptions(member_id)
        return [entry for entry in entries if entry.state == "issued" and entry.cost and entry.undo_until > self._now]

    def taken(self, member_id: int, reward_id: str, this_month: bool = False) -> int:
        """How many of a reward the member has had for points and kept, ever or in this local month."""
        since = month_start(self._now, self._programme.zone) if this_month else None
        entries = self._redeemed(member_id)
        return sum(
            entry.quantity
            for entry in entries
            if entry.reward_id == reward_id and entry.state not in {"undone", "failed"} and entry.cost
            and (since is None or entry.at >= since)
        )  # fmt: skip

    def redemptions(self, member_id: int) -> list[RedemptionEntry]:
        """The last redemptions, newest first."""
        return self._redeemed(member_id)[:RECENT_REDEMPTIONS]

    def coupons(self, member_id: int) -> list[CouponEntry]:
        """Coupons that can be used, soonest to lapse first."""
        return coupons.of_member(self._session, member_id, self._now)

    def is_member(self, member_id: int) -> bool:
        """Whether the person joined, or has points or orders: who earned something is no stranger."""
        if self.profile(member_id).joined_at is not None or self.purchases(member_id):
            return True
        balance = self.balance(member_id)
        return bool(balance.available or balance.pending or balance.held) or bool(self.entries(member_id, 1))

    def entries(self, member_id: int, limit: int = 5) -> list[Entry]:
        """The last changes of the points, newest first."""
        return statement(self._session, member_id, limit=limit)

    def totals(self, member_id: int, since: datetime, until: datetime) -> Totals:
        """What came and went of the points in a time."""
        return totals(self._session, member_id, since, until)

    def figures(self, member_id: int) -> Figures:
        """What counts now for reaching a tier."""
        return figures(self._session, self._programme, [member_id], self._now)[member_id]

    def wallet(self, member_id: int) -> Wallet:
        """Stored value that can be spent now."""
        return wallets(self._session, [member_id], self._now)[member_id]

    def plans(self, member_id: int) -> list[PlanStanding]:
        """Paid plans the member has now."""
        return standings(self._session, [member_id], self._now)[member_id]

    def streak(self, member_id: int) -> int:
        """Days in a row the member has checked in."""
        return streak_of(self._session, self._programme, member_id, self._now)

    def rep_of(self, member_id: int) -> str:
        """Who serves this customer: the newest contact that still stands; nothing where nobody does."""
        return self._once("reps", self._read_reps).get(member_id, "")

    def chat_name(self, chat: str) -> str:
        """The name of a customer group where it is known."""
        return self._once("chats", self._read_chats).get(chat, ("", ""))[0]

    def chat_owner(self, chat: str) -> str:
        """Which member of staff owns a customer group, where it is known."""
        return self._once("chats", self._read_chats).get(chat, ("", ""))[1]

    def look_up(self, kind: str, read: Callable[[Session, Collection[int], datetime], T]) -> T:
        """What a dialog of its own needs to know, read once for all whose messages may lead to something."""
        return self._once(kind, lambda: read(self._session, self._members, self._now))

    def forget(self, kind: str) -> None:
        """Something of this kind changed: read it anew when next asked."""
        self._read.pop(kind, None)

    def forget_people(self) -> None:
        """Consent or names changed: read them anew when next asked."""
        self._read.pop("profiles", None)

    def forget_points(self) -> None:
        """Points or stock moved: read them anew when next asked."""
        self._read.pop("balances", None)
        self._read.pop("lapses", None)
        self._read.pop("offers", None)
        self._read.pop("redemptions", None)

    def _redeemed(self, member_id: int) -> list[RedemptionEntry]:
        """Read for the one who asks: a list of rewards looks at the limits of each."""
        known: dict[int, list[RedemptionEntry]] = self._once("redemptions", dict)
        if member_id not in known:
            known[member_id] = of_member(self._session, member_id, MOST_REDEMPTIONS)
        return known[member_id]

    def _once(self, kind: str, read: Callable[[], T]) -> T:
        if kind not in self._read:
            self._read[kind] = read()
        return self._read[kind]  # type: ignore[return-value]

    def _identities(self, kind: str) -> Mapping[int, str]:
        return identities_of(self._session, self._members, kind)

    def _read_reps(self) -> dict[int, str]:
        by_external = {value: member for member, value in self._identities("external_userid").items()}
        rows = self._session.execute(
            select(ServingRow.external_userid, ServingRow.userid)
            .where(among(ServingRow.external_userid, by_external), ServingRow.ended_at.is_(None))
            .order_by(ServingRow.since)
        )
        return {by_external[row.external_userid]: row.userid for row in rows}

    def _read_chats(self) -> dict[str, tuple[str, str]]:
        wanted = select(ChatRow.chat, ChatRow.name, ChatRow.owner).where(among(ChatRow.chat, self._chats))
        return {row.chat: (row.name, row.owner) for row in self._session.execute(wanted)}
