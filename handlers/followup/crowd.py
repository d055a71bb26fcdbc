"""What is known of the people whose follow-ups are due: read for all of them in few statements, when asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from handlers.brand import Brand
from handlers.followup.conditions import FACTS, NEVER_DAYS
from handlers.talk.tables import ChatMemberRow, RepRow, ServingRow, VerdictRow
from loyalty import plans
from loyalty.balances import Balance, Lapse, balances, coming_expiries
from loyalty.customers import Profile, identities_of, profiles
from loyalty.days import local_day, midnight_after
from loyalty.expiry import last_day
from loyalty.people_tables import MemberTag
from loyalty.storage import UtcDateTime, among
from loyalty.tables import PurchaseSummary, Redemption

T = TypeVar("T")
KF_OPEN: Final = timedelta(hours=48)
OA_OPEN: Final = timedelta(hours=48)
TALKED_LATELY: Final = timedelta(days=90)
LAPSES_SOON: Final = timedelta(days=31)

# Built once: building a statement costs more than running it, and these are asked for with every batch.
_SUMMARIES: Final = select(
    PurchaseSummary.member_id, PurchaseSummary.first_at, PurchaseSummary.last_at, PurchaseSummary.orders,
    PurchaseSummary.amount_fen, PurchaseSummary.last_items,
).where(among(PurchaseSummary.member_id, "members"))  # fmt: skip
_REDEEMED: Final = (
    select(Redemption.member_id, func.max(Redemption.at))
    .where(among(Redemption.member_id, "members"), Redemption.state != "undone")
    .group_by(Redemption.member_id)
)
_GONE_REPS: Final = select(RepRow.userid).where(RepRow.left_at.is_not(None))
_SERVINGS: Final = (
    select(ServingRow.external_userid, ServingRow.userid, ServingRow.since, ServingRow.channel_code, RepRow.name)
    .join(RepRow, RepRow.userid == ServingRow.userid, isouter=True)
    .where(among(ServingRow.external_userid, "customers"), ServingRow.ended_at.is_(None), RepRow.left_at.is_(None))
    .order_by(ServingRow.since)
)
_TALKS: Final = (
    select(VerdictRow.member_id, VerdictRow.channel, VerdictRow.chat, func.max(VerdictRow.at))
    .where(among(VerdictRow.member_id, "members"), VerdictRow.at > bindparam("since", type_=UtcDateTime()))
    .group_by(VerdictRow.member_id, VerdictRow.channel, VerdictRow.chat)
)


@dataclass(frozen=True, slots=True)
class Serving:
    """Who serves a customer, since when, and the channel code the customer came by."""

    rep: str
    rep_name: str
    since: datetime
    channel_code: str


@dataclass(frozen=True, slots=True)
class Bought:
    """What the maintained row of purchases says of a customer."""

    first_at: datetime
    last_at: datetime
    orders: int
    amount_fen: int
    last_items: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Talked:
    """When a customer last wrote in a channel, and in which chat."""

    chat: str
    at: datetime


class Crowd:
    """Facts of one batch of members; each kind is one statement for all of them."""

    def __init__(self, session: Session, members: Collection[int], brand: Brand, now: datetime) -> None:
        self.session, self.members, self.brand, self.now = session, sorted(set(members)), brand, now
        self._read: dict[str, Any] = {}
        self.products = {product.sku: product for product in reversed(brand.programme.products)}

    def profile(self, member_id: int) -> Profile:
        """Name, tier, consent; of a member who is gone an empty one."""
        known = self._once("profiles", lambda: profiles(self.session, self.members))
        return known.get(member_id) or Profile(member_id, "", None, None, None)

    def balance(self, member_id: int, asset: str = "points") -> Balance:
        """What they have of an asset."""
        read = self._once(asset, lambda: balances(self.session, self.members, self.now, asset=asset))
        return read.get(member_id) or Balance(0, 0)

    def lapses(self, member_id: int) -> list[Lapse]:
        """What of their points lapses within a month, soonest first."""
        return self._once("lapses", self._lapses).get(member_id, [])

    def summary(self, member_id: int) -> Bought | None:
        """The maintained row of their purchases."""
        known = self._read.get("summaries")  # asked for most of all
        return (self._once("summaries", self._summaries) if known is None else known).get(member_id)

    def identity(self, member_id: int, kind: str) -> str:
        """Their newest name of a kind, or nothing."""
        return self._once(kind, lambda: identities_of(self.session, self.members, kind)).get(member_id, "")

    def serving(self, member_id: int) -> Serving | None:
        """Who serves them now; a rep who has left or a contact that ended serves nobody."""
        return self._once("servings", self._servings).get(member_id)

    def talked(self, member_id: int, channel: str) -> Talked | None:
        """When they last wrote in a channel a program may answer in."""
        return self._once("talks", self._talks).get((member_id, channel))

    def tags(self, member_id: int) -> tuple[str, ...]:
        """Their tags that hold."""
        return tuple(sorted(self._once("tags", self._tags).get(member_id, ())))

    def groups(self, member_id: int) -> int:
        """In how many customer groups they sit."""
        return self._once("groups", self._groups).get(member_id, 0)

    def redeemed_at(self, member_id: int) -> datetime | None:
        """When they last redeemed something they kept."""
        return self._once("redeemed", self._redeemed).get(member_id)

    def gone_reps(self) -> frozenset[str]:
        """Every member of staff who has left."""
        return self._once("gone", lambda: frozenset(self.session.scalars(_GONE_REPS)))

    def plan_until(self, member_id: int) -> datetime | None:
        """When the last of their paid plans is over, renewals counted; None where there is none now."""
        return max((one.until for one in self._once("plans", self._plans).get(member_id, ())), default=None)

    def forget(self, kind: str) -> None:
        """Something of this kind changed: read it anew when next asked."""
        self._read.pop(kind, None)

    def _once(self, kind: str, read: Callable[[], T]) -> T:
        if kind not in self._read:
            self._read[kind] = read()
        found: T = self._read[kind]
        return found

    def _by_external(self) -> dict[str, int]:
        known = self._once("external_userid", lambda: identities_of(self.session, self.members, "external_userid"))
        return {value: member for member, value in known.items()}

    def _lapses(self) -> dict[int, list[Lapse]]:
        zone = self.brand.programme.zone
        until = midnight_after(local_day(self.now, zone) + LAPSES_SOON, zone)
        found: dict[int, list[Lapse]] = {}
        for one in coming_expiries(self.session, self.now, until, member_ids=self.members, asset="points"):
            found.setdefault(one.member_id, []).append(Lapse(last_day(one.at, zone), one.amount))
        return found

    def _summaries(self) -> dict[int, Bought]:
        return {row[0]: Bought(*row[1:]) for row in self.session.execute(_SUMMARIES, {"members": self.members})}

    def _redeemed(self) -> dict[int, datetime]:
        return {row[0]: row[1] for row in self.session.execute(_REDEEMED, {"members": self.members})}

    def _servings(self) -> dict[int, Serving]:
        members = self._by_external()
        rows = self.session.execute(_SERVINGS, {"customers": list(members)})
        return {members[row[0]]: Serving(row[1], row[4] or "", row[2], row[3]) for row in rows}

    def _talks(self) -> dict[tuple[int, str], Talked]:
        rows = self.session.execute(_TALKS, {"members": self.members, "since": self.now - TALKED_LATELY})
        found: dict[tuple[int, str], Talked] = {}
        for member, channel, chat, at in rows:
            known = found.get((member or 0, channel))
            if known is None or known.at < at:
                found[member or 0, channel] = Talked(chat, at)
        return found

    def _plans(self) -> dict[int, list[plans.Standing]]:
        return plans.standings(self.session, self.members, self.now)

    def _tags(self) -> dict[int, set[str]]:
        rows = self.session.execute(
            select(MemberTag.member_id, MemberTag.tag, MemberTag.expires_at).where(
                among(MemberTag.member_id, self.members)
            )
        )
        found: dict[int, set[str]] = {}
        for member, tag, expires_at in rows:
            if expires_at is None or expires_at > self.now:
                found.setdefault(member, set()).add(tag)
        return found

    def _groups(self) -> dict[int, int]:
        members = self._by_external()
        rows = self.session.execute(
            select(ChatMemberRow.person, func.count())
            .where(among(ChatMemberRow.person, members), ChatMemberRow.left_at.is_(None))
            .group_by(ChatMemberRow.person)
        )
        return {members[row[0]]: row[1] for row in rows}


class FactsOf(Mapping[str, Any]):
    """The facts of one person in one run, under the names of `conditions.FACTS`; each is read when it is asked for."""

    def __init__(
        self,
        crowd: Crowd,
        member_id: int,
        started_at: datetime,
        given: Mapping[str, Any],
        complained_at: Callable[[int], datetime | None],
    ) -> None:
        self._crowd, self._member, self._started_at, self._given = crowd, member_id, started_at, given
        self._complained_at = complained_at

    def __getitem__(self, name: str) -> Any:
        if name in self._given:
            return self._given[name]
        look = LOOKS.get(name)
        return FACTS[name] if look is None else look(self)

    def __contains__(self, name: object) -> bool:
        return name in FACTS or name in self._given

    def __iter__(self) -> Iterator[str]:
        return iter(FACTS)

    def __len__(self) -> int:
        return len(FACTS)

    def days_since(self, at: datetime | None) -> int:
        """Whole days since a moment; never where there was none."""
        return NEVER_DAYS if at is None else max(0, (self._crowd.now - at).days)

    def since_start(self, at: datetime | None) -> bool:
        """Whether it happened after this run began."""
        return at is not None and at > self._started_at

    @property
    def profile(self) -> Profile:
        """Name, tier, consent."""
        return self._crowd.profile(self._member)

    @property
    def summary(self) -> Bought | None:
        """The maintained row of purchases."""
        return self._crowd.summary(self._member)

    @property
    def serving(self) -> Serving | None:
        """Who serves the person."""
        return self._crowd.serving(self._member)

    def product(self, field: str) -> Any:
        """A field of the product of the programme that was bought last."""
        bought, products = self.summary, self._crowd.products
        items = bought.last_items if bought else ()
        found = next((products[item["sku"]] for item in items if item["sku"] in products), None)
        return (getattr(found, field) if found else None) or FACTS[_PRODUCT[field]]

    def own_cycle(self) -> int:
        """The person's own days between two purchases."""
        kept = self.summary
        return 0 if kept is None or kept.orders < 2 else round((kept.last_at - kept.first_at).days / (kept.orders - 1))

    def lapse(self) -> tuple[int, int, str]:
        """What lapses within a month: points, days until the first of it, and that day in words."""
        today = self._crowd.now.astimezone(self._crowd.brand.programme.zone).date()
        soon = self._crowd.lapses(self._member)
        if not soon:
            return 0, NEVER_DAYS, ""
        return sum(one.amount for one in soon), (soon[0].on - today).days, f"{soon[0].on.month}月{soon[0].on.day}日"

    def is_open(self, channel: str, window: timedelta) -> bool:
        """Whether a program may write to the person in a channel now."""
        talked = self._crowd.talked(self._member, channel)
        return talked is not None and self._crowd.now - talked.at < window

    def last_message_at(self) -> datetime | None:
        """When the person last wrote anywhere."""
        found = (self._crowd.talked(self._member, channel) for channel in ("kf", "oa", "private", "group"))
        return max((talked.at for talked in found if talked), default=None)

    def plan_days_left(self) -> int:
        """Whole days until the paid plan is over."""
        until = self._crowd.plan_until(self._member)
        return 0 if until is None else (until - self._crowd.now).days

    @property
    def crowd(self) -> Crowd:
        """The batch this person belongs to."""
        return self._crowd

    @property
    def member_id(self) -> int:
        """Whose facts these are."""
        return self._member

    @property
    def complained_at(self) -> datetime | None:
        """When the person last complained."""
        return self._complained_at(self._member)

    def tier_name(self) -> str:
        """The name of the tier."""
        tiers = self._crowd.brand.programme.tiers
        return next((tier.name for tier in tiers if tier.id == self.profile.tier), "")


_PRODUCT: Final = {"name": "product", "bundle": "bundle", "cycle_days": "cycle_days"}
LOOKS: Final[dict[str, Callable[[FactsOf], Any]]] = {
    "name": lambda one: one.profile.name,
    "tier": lambda one: one.profile.tier or "",
    "tier_name": FactsOf.tier_name,
    "joined": lambda one: one.profile.joined_at is not None,
    "days_since_joined": lambda one: one.days_since(one.profile.joined_at),
    "opted_out": lambda one: one.profile.opted_out_at is not None,
    "points": lambda one: one.crowd.balance(one.member_id).available,
    "points_lapsing": lambda one: one.lapse()[0],
    "points_lapse_days": lambda one: one.lapse()[1],
    "points_lapse_on": lambda one: one.lapse()[2],
    "stored_value_yuan": lambda one: one.crowd.balance(one.member_id, "stored_value").available / 100,
    "orders": lambda one: one.summary.orders if one.summary else 0,
    "spent_yuan": lambda one: one.summary.amount_fen / 100 if one.summary else 0.0,
    "days_since_order": lambda one: one.days_since(one.summary.last_at if one.summary else None),
    "ordered_since_start": lambda one: one.since_start(one.summary.last_at if one.summary else None),
    "redeemed_since_start": lambda one: one.since_start(one.crowd.redeemed_at(one.member_id)),
    "replied_since_start": lambda one: one.since_start(one.last_message_at()),
    "days_since_message": lambda one: one.days_since(one.last_message_at()),
    "days_since_complaint": lambda one: one.days_since(one.complained_at),
    "product": lambda one: one.product("name"),
    "bundle": lambda one: one.product("bundle"),
    "cycle_days": lambda one: one.product("cycle_days"),
    "own_cycle_days": FactsOf.own_cycle,
    "rep": lambda one: one.serving.rep if one.serving else "",
    "rep_name": lambda one: one.serving.rep_name if one.serving else "",
    "channel_code": lambda one: one.serving.channel_code if one.serving else "",
    "days_since_added": lambda one: one.days_since(one.serving.since if one.serving else None),
    "tags": lambda one: one.crowd.tags(one.member_id),
    "groups": lambda one: one.crowd.groups(one.member_id),
    "plan_days_left": FactsOf.plan_days_left,
    "kf_open": lambda one: one.is_open("kf", KF_OPEN),
    "oa_open": lambda one: one.is_open("oa", OA_OPEN),
    "brand": lambda one: one.crowd.brand.programme.name,
    "points_name": lambda one: one.crowd.brand.programme.points_name,
}
"""How each fact is found; those that are not here are given by the run itself."""
