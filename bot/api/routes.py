"""The addresses under /api/v1 and what each of them does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, TypeVar

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from bot.api.problems import Problem, of_refusal, of_validation
from bot.api.requests import body_of, client_of, idempotency_key_of, require_json
from bot.api.writes import Answer, Work, Write, answer_once, write_of
from bot.database import Database, is_transient
from loyalty.balances import balances
from loyalty.customers import find, profiles
from loyalty.errors import KeyReused, LoyaltyError, UnknownMember
from loyalty.orders import OrderIn, PlausibleMoment, record
from loyalty.programme import Programme
from loyalty.redemptions import verify
from loyalty.statement import statement

log = structlog.get_logger("api")
Found = TypeVar("Found")
Handler = Callable[[web.Request], Awaitable[web.Response]]
ClientHandler = Callable[[web.Request, str], Awaitable[web.Response]]
TRIES = 4


class Page(BaseModel):
    """The query of a statement: at most `limit` entries older than `before_id`, within `since` and `until`."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200)] = 20
    before_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    since: PlausibleMoment | None = None
    until: PlausibleMoment | None = None


def add_routes(app: web.Application, database: Database, programme: Callable[[], Programme],
               api_keys: Mapping[str, str], clock: Callable[[], datetime]) -> None:
    """Hang the API into the application; `programme` and `clock` are asked anew for each request."""
    api = Api(database, programme, api_keys, clock)
    app.router.add_post("/api/v1/orders", api.answering(api.take_order))
    app.router.add_get("/api/v1/members/{kind}/{value}", api.answering(api.show_member))
    app.router.add_get("/api/v1/members/{kind}/{value}/statement", api.answering(api.show_statement))
    app.router.add_post("/api/v1/redemptions/{code}/verify", api.answering(api.verify_code))


class Api:
    """What the handlers need in hand."""

    def __init__(self, database: Database, programme: Callable[[], Programme], api_keys: Mapping[str, str],
                 clock: Callable[[], datetime]) -> None:
        self.database, self.programme, self.api_keys, self.clock = database, programme, dict(api_keys), clock

    def answering(self, handler: ClientHandler) -> Handler:
        """The handler behind its key check, with every refusal turned into a problem."""

        async def answer(request: web.Request) -> web.Response:
            try:
                return await handler(request, client_of(request, self.api_keys))
            except Problem as problem:
                log.info("refused", status=problem.status, title=problem.title, route=_route(request))
                return problem.response()
            except ValidationError as error:
                return of_validation(error).response()

        return answer

    async def take_order(self, request: web.Request, client: str) -> web.Response:
        """POST /api/v1/orders: a paid order; the answer shows what it earned and the new balance."""
        require_json(request)
        key, body = idempotency_key_of(request), await body_of(request)
        order, at = OrderIn.model_validate_json(body, strict=True), self.clock()

        def work(session: Session) -> tuple[int, dict[str, Any]]:
            outcome = record(session, order, self.programme(), at)
            return (201 if outcome.new else 200), asdict(outcome)

        write = write_of(client, key, request.method, request.path, body)
        return _json(await self._write(write, work, at, "external_id"))

    async def verify_code(self, request: web.Request, client: str) -> web.Response:
        """POST /api/v1/redemptions/{code}/verify: use up a code; the answer says what to hand out."""
        key, body = idempotency_key_of(request), await body_of(request)
        code, at = _from_path(request, "code"), self.clock()

        def work(session: Session) -> tuple[int, dict[str, Any]]:
            done = verify(session, code, f"api:{client}:{key}", at)
            found = balances(session, [done.member_id], at)[done.member_id]
            return 200, asdict(done) | {"at": done.at.isoformat(), "balance": found.available}

        write = write_of(client, key, request.method, request.path, body)
        return _json(await self._write(write, work, at, "code"))

    async def show_member(self, request: web.Request, _client: str) -> web.Response:
        """GET /api/v1/members/{kind}/{value}: who it is, and what they have."""
        kind, value, now = _from_path(request, "kind"), _from_path(request, "value"), self.clock()

        def look(session: Session) -> dict[str, Any]:
            member_id = _member(session, kind, value)
            profile = profiles(session, [member_id])[member_id]
            points = balances(session, [member_id], now, zone=self.programme().zone)[member_id]
            return {
                "member_id": member_id, "name": profile.name, "tier": profile.tier,
                "points": {
                    "available": points.available, "held": points.held,
                    "lapsing": [{"on": lapse.on.isoformat(), "amount": lapse.amount} for lapse in points.lapsing],
                },
            }

        return _json(Answer(200, await self._look(look), replayed=False))

    async def show_statement(self, request: web.Request, _client: str) -> web.Response:
        """GET /api/v1/members/{kind}/{value}/statement: entries newest first, a page at a time."""
        kind, value = _from_path(request, "kind"), _from_path(request, "value")
        page = Page.model_validate(dict(request.query))

        def look(session: Session) -> dict[str, Any]:
            found = statement(session, _member(session, kind, value), limit=page.limit + 1, before_id=page.before_id,
                              since=page.since, until=page.until)
            shown = found[:page.limit]
            return {
                "entries": [asdict(entry) | {"at": entry.at.isoformat()} for entry in shown],
                "next_before_id": shown[-1].id if len(found) > page.limit else None,
            }

        return _json(Answer(200, await self._look(look), replayed=False))

    async def _write(self, write: Write, work: Work, at: datetime, field: str) -> Answer:
        def transact() -> Answer:
            with self.database.transaction() as session:
                return answer_once(session, write, work, at)

        try:
            return await _in_thread(transact)
        except KeyReused as error:
            raise of_refusal(error, "Idempotency-Key" if error.key == write.key else field) from error
        except LoyaltyError as error:
            raise of_refusal(error, field) from error

    async def _look(self, look: Callable[[Session], Found]) -> Found:
        def read() -> Found:
            with self.database.reading() as session:
                return look(session)

        try:
            return await _in_thread(read)
        except UnknownMember as error:
            raise of_refusal(error, "value") from error


async def _in_thread(work: Callable[[], Found]) -> Found:
    """Run database work off the loop, again where that may help; raises a 503 problem."""
    retrying = Retrying(stop=stop_after_attempt(TRIES), wait=wait_random_exponential(0.05, max=1),
                        retry=retry_if_exception(is_transient), reraise=True)
    try:
        return await asyncio.to_thread(retrying, work)
    except Exception as error:
        if not is_transient(error):
            raise
        log.warning("database away", error=type(error).__name__)
        raise Problem(503, "Try again", "the database does not answer; whether a write was done is not known",
                      [("request", "send it again with the same Idempotency-Key: it is done once")],
                      {"Retry-After": "2"}) from error


def _member(session: Session, kind: str, value: str) -> int:
    member_id = find(session, kind, value)
    if member_id is None:
        raise UnknownMember(kind)  # the value is personal and stays out of messages and logs
    return member_id


def _from_path(request: web.Request, name: str) -> str:
    text = request.match_info[name]
    if not text.isprintable() or len(text) > 200:
        raise Problem(422, "Address is wrong", f"{name} in the address is not printable or too long",
                      [(name, "send at most 200 printable characters")])
    return text


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else ""


def _json(answer: Answer) -> web.Response:
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
    return web.Response(text=json.dumps(answer.body, ensure_ascii=False), status=answer.status, headers=headers,
                        content_type="application/json", charset="utf-8")
