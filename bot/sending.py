"""Carrying out what the outbox asks for: one function a kind, all of them in KINDS (handlers.talk.effects)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from bot.adapters import Adapters
from bot.cache import Cache
from bot.roster_rows import ListedGroup, group_in
from bot.texts import split_text
from bot.wechat import gateway as wechat
from bot.wecom import contacts, kf, outreach, staff
from bot.wecom.errors import (
    CONVERSATION_BEGUN,
    PARAMETERS,
    TASK_ID_USED,
    ApiRefused,
    ErrorClass,
    LimitReached,
    NotSendable,
    PlatformError,
)
from bot.wecom.gateway import Gateway
from handlers.talk.outbox import Leased

MINUTE_S: Final = 60
CODE_S: Final = 48 * 3600
"""How long the code of a hand-over can be used (wecom.md §6.6)."""
NO_CODE: Final = "-"
PART_S: Final = 24 * 3600
"""How long the parts of a 公众号 text that were taken are remembered, so that a later part's error repeats none."""

log = structlog.get_logger("bot.sending")


class NotConnected(PlatformError):
    """The 公众号 is not set up: set HUITOU_WECHAT__APP_ID and HUITOU_WECHAT__SECRET."""

    group = ErrorClass.CONFIG


@dataclass(frozen=True, slots=True)
class Gateways:
    """The ways out; `wechat` is None where no 公众号 is connected."""

    wecom: Gateway
    wechat: Gateway | None
    agent_id: int
    adapters: Adapters | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A leased row and the error its last try ended with, "" for a first one and for one whose deliverer died."""

    row: Leased
    last_error: str = ""
    last_class: str = ""

    @property
    def may_have_arrived(self) -> bool:
        """Whether an earlier try may have taken effect without our knowing, however later ones ended."""
        return self.row.was_unanswered


@dataclass(frozen=True, slots=True)
class Sent:
    """What the platform gave back: an id to refer to it by, or the profile that was asked for."""

    platform_id: str = ""
    contact: contacts.Contact | None = None
    group: ListedGroup | None = None
    link: str = ""
    results: Mapping[str, str] | None = None


class Sender:
    """Knows how each kind is sent, how often a member may be written to, and when an error means "had it already"."""

    def __init__(self, gateways: Gateways, cache: Cache, member_app_per_min: int) -> None:
        self._gateways = gateways
        self._cache = cache
        self._member_app_per_min = member_app_per_min

    async def send(self, job: Job) -> Sent:
        """Do what the row asks for; raises PlatformError. Doing it twice does it once, where the platform allows."""
        carry_out = KINDS.get(job.row.kind)
        if carry_out is None:
            raise NotSendable(f"nothing here sends {job.row.kind!r}; known: {', '.join(sorted(KINDS))}")
        try:
            return await carry_out(self, job)
        except ApiRefused as error:
            if error.group is not ErrorClass.DONE:
                raise
            return Sent()

    async def kf_text(self, job: Job) -> Sent:
        """A text in 微信客服, in as many messages as it takes."""
        return await self._kf(job, kf.text_bodies(job.row.payload["content"]))

    async def kf_menu(self, job: Job) -> Sent:
        """A menu in 微信客服."""
        payload = job.row.payload
        return await self._kf(job, kf.menu_bodies(payload["head"], payload["items"], payload["tail"]))

    async def _kf(self, job: Job, bodies: Sequence[dict[str, Any]]) -> Sent:
        payload, wecom = job.row.payload, self._gateways.wecom
        for part, body in enumerate(bodies):
            msgid = kf.msgid_of(job.row.key, part)
            try:
                await kf.send(wecom, payload["touser"], payload["open_kfid"], body, msgid, job.row.trace)
            except ApiRefused as error:
                if not _had_it(job, error, PARAMETERS, len(bodies) > 1):
                    raise
        return Sent(kf.msgid_of(job.row.key))

    async def kf_transfer(self, job: Job) -> Sent:
        """Hand a session over and say the word that goes with it, where the platform gives a code for it."""
        payload, name = job.row.payload, f"kf-code:{job.row.key}"
        code = await self._cache.get(name)
        if code is None:
            code = await kf.transfer(
                self._gateways.wecom,
                payload["open_kfid"],
                payload["external_userid"],
                payload["state"],
                payload["servicer"],
                job.row.trace,
            )
            # The code is given once; a second try must not hand over again to get another.
            await self._cache.set(name, code or NO_CODE, CODE_S)
        if payload["say"] and code not in ("", NO_CODE):
            await self._say(job, code, payload["say"])
        return Sent()

    async def _say(self, job: Job, code: str, content: str) -> None:
        msgid = kf.msgid_of(job.row.key)
        try:
            await kf.send_on_event(self._gateways.wecom, code, content, msgid, job.row.trace)
        except ApiRefused as error:
            if not _had_it(job, error, PARAMETERS, False):
                raise

    async def oa_text(self, job: Job) -> Sent:
        """A text in the 公众号; the platform knows no idempotency here, so a part that may have arrived is repeated."""
        if self._gateways.wechat is None:
            raise NotConnected("the 公众号 is not set up; set HUITOU_WECHAT__APP_ID and HUITOU_WECHAT__SECRET")
        for number, part in enumerate(split_text(job.row.payload["content"], wechat.TEXT_BYTES)):
            name = f"oa-part:{job.row.key}:{number}"
            if job.row.attempts > 1 and await self._cache.get(name) is not None:
                continue
            await wechat.send_text(self._gateways.wechat, job.row.payload["touser"], part, job.row.trace)
            await self._cache.set(name, "sent", PART_S)
        return Sent()

    async def app_text(self, job: Job) -> Sent:
        """A text to a member of staff."""
        payload, sent = job.row.payload, ""
        for part in split_text(payload["content"], staff.TEXT_BYTES):
            await self._spare_member(payload["touser"])
            gateways = self._gateways
            sent = await staff.send_text(gateways.wecom, gateways.agent_id, payload["touser"], part, job.row.trace)
        return Sent(sent)

    async def card(self, job: Job) -> Sent:
        """A card with buttons to a member of staff; its id is the code that greys it."""
        payload, gateways = job.row.payload, self._gateways
        await self._spare_member(payload["touser"])
        try:
            code = await staff.send_card(gateways.wecom, gateways.agent_id, payload["touser"], payload, job.row.trace)
        except ApiRefused as error:
            if error.errcode != TASK_ID_USED or not job.may_have_arrived:
                raise
            return Sent()
        return Sent(code)

    async def card_update(self, job: Job) -> Sent:
        """Grey a card; a code that was used before means that it is grey."""
        payload, gateways = job.row.payload, self._gateways
        await staff.update_card(
            gateways.wecom,
            gateways.agent_id,
            [payload["touser"]],
            payload["response_code"],
            payload["replace_name"],
            job.row.trace,
        )
        return Sent()

    async def profile(self, job: Job) -> Sent:
        """Ask who a customer is."""
        ask = contacts.get_kf_customer if job.row.payload["channel"] == "kf" else contacts.get_contact
        external_userid = job.row.payload["external_userid"]
        return Sent(contact=await ask(self._gateways.wecom, external_userid, job.row.trace))

    async def chat_profile(self, job: Job) -> Sent:
        """Ask what a customer group is called and who sits in it."""
        chat = job.row.payload["chat"]
        answer = await contacts.get_group(self._gateways.wecom, chat, job.row.trace)
        return Sent(group=group_in(answer, chat))

    async def welcome(self, job: Job) -> Sent:
        """The greeting of a new contact; used before means that it was heard."""
        payload, wecom = job.row.payload, self._gateways.wecom
        try:
            await outreach.send_welcome(wecom, payload["welcome_code"], payload["content"], job.row.trace)
        except ApiRefused as error:
            if error.errcode != CONVERSATION_BEGUN or not job.may_have_arrived:
                raise
        return Sent()

    async def mass_task(self, job: Job) -> Sent:
        """A 企业群发 task; the platform knows no idempotency here, so one that may have arrived is not made again."""
        payload, wecom = job.row.payload, self._gateways.wecom
        name = f"mass-task:{job.row.key}"
        known = await self._cache.get(name)
        if known is None:
            if job.may_have_arrived:
                raise NotSendable("the task may have been made by a try without an answer; see 群发 in the console")
            known = await outreach.add_mass_task(
                wecom, payload["sender"], payload["people"], payload["content"], payload["link"], job.row.trace
            )
            await self._cache.set(name, known, PART_S)
        return Sent(known)

    async def mass_result(self, job: Job) -> Sent:
        """Ask what became of a 企业群发 task."""
        payload = job.row.payload
        found = await outreach.mass_results(
            self._gateways.wecom, payload["msgid"], payload["sender"], job.row.trace
        )
        return Sent(payload["msgid"], results=found)

    async def mark_tag(self, job: Job) -> Sent:
        """Set and take away corp tags; doing it twice changes nothing."""
        payload = job.row.payload
        people = payload["userid"], payload["external_userid"]
        await outreach.mark_tags(self._gateways.wecom, *people, payload["add"], payload["remove"], job.row.trace)
        return Sent()

    async def contact_way(self, job: Job) -> Sent:
        """Make a contact-way link."""
        payload = job.row.payload
        link, config_id = await outreach.add_contact_way(
            self._gateways.wecom, payload["userid"], payload["code"], job.row.trace
        )
        return Sent(config_id, link=link)

    async def adapter(self, job: Job) -> Sent:
        """A signed request to a system of the brand; the row's key lets it do the same thing once."""
        if self._gateways.adapters is None:
            raise NotConnected("no adapter is set up; set HUITOU_FOLLOWUP__ADAPTERS__<NAME>__URL")
        await self._gateways.adapters.ask(job.row.payload["name"], job.row.key, job.row.payload["body"])
        return Sent()

    async def _spare_member(self, userid: str) -> None:
        # Beyond the platform's limit messages vanish without an error, so we stop before it.
        wait_s = await self._cache.hit(f"app:{userid.lower()}", MINUTE_S, self._member_app_per_min)
        if wait_s > 0:
            raise LimitReached("app messages to one member a minute", wait_s)


def _had_it(job: Job, error: ApiRefused, codes: Collection[int], has_parts: bool) -> bool:
    """Whether the platform refuses because it has this msgid already: the docs name no code for that (wecom.md §6.5).

    It does when an earlier try may have arrived and the same code did not already end that try. Of a message in
    several parts the first ones may have arrived although the try as a whole was refused.
    """
    if error.group is not ErrorClass.UNKNOWN and error.errcode not in codes:
        return False
    arrived = job.may_have_arrived or (has_parts and job.row.attempts > 1)
    had_it = arrived and not job.last_error.startswith(f"{error.errcode} ")
    if had_it:
        log.warning("taken as sent before", errcode=error.errcode, row=job.row.id, trace=job.row.trace)
    return had_it


KINDS: Final[dict[str, Callable[[Sender, Job], Awaitable[Sent]]]] = {
    "kf_text": Sender.kf_text,
    "kf_menu": Sender.kf_menu,
    "kf_transfer": Sender.kf_transfer,
    "oa_text": Sender.oa_text,
    "app_text": Sender.app_text,
    "card": Sender.card,
    "card_update": Sender.card_update,
    "profile": Sender.profile,
    "chat_profile": Sender.chat_profile,
    "welcome": Sender.welcome,
    "mass_task": Sender.mass_task,
    "mass_result": Sender.mass_result,
    "mark_tag": Sender.mark_tag,
    "contact_way": Sender.contact_way,
    "adapter": Sender.adapter,
}
"""Every kind of `handlers.talk.effects` and what carries it out."""
