"""Endpoints over HTTP: key, limit, scope, body, one transaction in a thread, and every refusal as a problem."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec
import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from bot.api.endpoints import Call, Endpoint
from bot.api.group_commits import GroupCommits
from bot.api.keys import KeyRing, require_scope
from bot.api.people import in_one_form
from bot.api.problems import Problem, database_away, of_refusal, of_validation
from bot.api.requests import body_of, idempotency_key_of, query_of, require_json
from bot.api.writes import Answer, Write, again, answer_once, write_of
from bot.database import Database, is_transient
from loyalty.customers import Identity, profiles
from loyalty.errors import AnswerErased, BadIdentity, IdentityTaken, KeyReused, LoyaltyError
from loyalty.handover import Links
from loyalty.identities import Identifier
from loyalty.matching import propose
from loyalty.programme import Programme

log = structlog.get_logger("api")
Found = TypeVar("Found")
Handler = Callable[[web.Request], Awaitable[web.Response]]
ClientHandler = Callable[[web.Request, str], Awaitable[web.Response]]


class Api:
    """What the endpoints need in hand; `programme` and `clock` are asked anew for each request."""

    def __init__(self, database: Database, programme: Callable[[], Programme], keys: KeyRing,
                 clock: Callable[[], datetime], identifier: Identifier | None = None,
                 on_written: Callable[[], None] = lambda: None, links: Links | None = None) -> None:
        self.links = links
        self.database, self.programme, self.keys, self.clock = database, programme, keys, clock
        self.identifier, self.on_written = identifier, on_written

    def handler(self, endpoint: Endpoint) -> Handler:
        """The endpoint as the router takes it."""
        group = GroupCommits(self.database, endpoint) if endpoint.together is not None else None

        async def work(request: web.Request, client: str) -> web.Response:
            if endpoint.writes:
                answer = await self._write(endpoint, request, client, group)
                self.on_written()
                return _json(answer)
            return _json(await self._read(endpoint, request, client))

        return self.answering(work, endpoint.scope)

    def answering(self, work: ClientHandler, scope: str = "") -> Handler:
        """The work behind its key, its rate and its scope, with every refusal turned into a problem."""

        async def answer(request: web.Request) -> web.Response:
            try:
                client = await self.keys.client_of(request.headers.get("Authorization", ""))
                await self.keys.count(client)
                require_scope(client, scope)
                return await work(request, client.name)
            except Problem as problem:
                log.info("refused", status=problem.status, title=problem.title, route=_route(request))
                return problem.response()

        return answer

    async def _read(self, endpoint: Endpoint, request: web.Request, client: str) -> Answer:
        call = self._call(endpoint, request, client, "", None)

        def look() -> Answer:
            with self.database.reading() as session:
                status, told = endpoint.work(session, call)
                return Answer(status, told.model_dump(mode="json"), replayed=False)

        try:
            return await _in_thread(look)
        except LoyaltyError as error:
            raise of_refusal(error, endpoint.part_of(error)) from error

    async def _write(
        self, endpoint: Endpoint, request: web.Request, client: str, group: GroupCommits | None
    ) -> Answer:
        if endpoint.body is not None:
            require_json(request)
        key, raw = idempotency_key_of(request), await body_of(request)
        call = self._call(endpoint, request, client, f"api:{client}:{key}", _body(endpoint, raw))
        write = write_of(client, key, request.method, request.path, raw)
        try:
            if group is not None:
                return await group.take(write, call)
            return await _in_thread(lambda: self._transact(endpoint, call, write))
        except KeyReused as error:
            own = error.key in (write.key, call.key)
            raise of_refusal(error, "Idempotency-Key" if own else endpoint.part_of(error)) from error
        except AnswerErased as error:
            raise of_refusal(error, "Idempotency-Key") from error
        except IdentityTaken as error:
            await _in_thread(partial(self._propose, error, client, call.at))
            raise of_refusal(error, endpoint.part_of(error)) from error
        except LoyaltyError as error:
            raise of_refusal(error, endpoint.part_of(error)) from error

    def _propose(self, error: IdentityTaken, client: str, at: datetime) -> None:
        """Keep who may be one person: the proposal noted with the refusal went with its transaction."""
        with self.database.transaction() as session:
            pair = (error.member_id, error.owner_id)
            if len(profiles(session, pair)) == len(pair):
                propose(session, [(*pair, Identity(error.kind, error.value), f"api {client}")], at)

    def _transact(self, endpoint: Endpoint, call: Call[Any, Any, Any], write: Write) -> Answer:
        def work(session: Session) -> tuple[int, dict[str, Any]]:
            status, told = endpoint.work(session, call)
            return status, told.model_dump(mode="json")

        with self.database.transaction() as session:
            return answer_once(session, write, work, call.at)

    def _call(self, endpoint: Endpoint, request: web.Request, client: str, key: str,
              body: BaseModel | None) -> Call[Any, Any, Any]:
        try:
            path = endpoint.params.model_validate(dict(request.match_info))
            query = endpoint.query.model_validate(query_of(request))
            if self.identifier is not None:
                path = in_one_form(path, self.identifier)
                body = body and in_one_form(body, self.identifier)
        except ValidationError as error:
            raise of_validation(error) from error
        except BadIdentity as error:
            raise of_refusal(error, error.kind) from error
        return Call(client, key, self.clock(), self.programme(), path, query, body, self.links)


def _body(endpoint: Endpoint, raw: bytes) -> BaseModel | None:
    if endpoint.body is None:
        if raw.strip():
            raise Problem(422, "Fields are wrong", "this address takes no body", [("body", "send none")])
        return None
    try:
        return endpoint.body.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise of_validation(error) from error


async def _in_thread(work: Callable[[], Found]) -> Found:
    """Run database work off the loop; raises a 503 problem."""
    try:
        return await asyncio.to_thread(again, work)
    except Exception as error:
        if not is_transient(error):
            raise
        log.warning("database away", error=type(error).__name__)
        raise database_away() from error


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else ""


def _json(answer: Answer) -> web.Response:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    return web.Response(body=msgspec.json.encode(answer.body), status=answer.status, headers=headers)
