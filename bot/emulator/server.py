"""Serves /cgi-bin/*, /oa/cgi-bin/* and /archive/pull: always HTTP 200 with an errcode, unless a fault says not."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable

from aiohttp import web

from bot.emulator import archive, contact, groupchat, kf, mass, messages, oa
from bot.emulator.api import Call, Endpoint
from bot.emulator.errors import ApiError
from bot.emulator.faults import FaultBoard, spoil_after, spoil_before
from bot.emulator.limits import HOUR_S, MINUTE_S
from bot.emulator.state import Json, State

STATE: web.AppKey[State] = web.AppKey("state", State)
FAULTS: web.AppKey[FaultBoard] = web.AppKey("faults", FaultBoard)
SHOWN_BODY_CHARS = 2000
Answerer = Callable[[State, bytes], Json]


def get_token(state: State, call: Call) -> Json:
    """gettoken: the same token inside its life, with the seconds that remain."""
    corp_id, secret = call.query.get("corpid", ""), call.query.get("corpsecret", "")
    if not corp_id:
        raise ApiError(41002, "corpid missing")
    if not secret:
        raise ApiError(41004, "corpsecret missing")
    if corp_id != state.config.corp_id:
        raise ApiError(40013, "invalid corpid")
    if not state.config.scopes_of(secret):
        raise ApiError(40001, "invalid credential")
    token, left_s = state.tokens.get(secret)
    return {"access_token": token, "expires_in": left_s}


def ip_list(state: State, call: Call) -> Json:
    """getcallbackip and get_api_domain_ip: this machine, in two of the three notations."""
    return {"ip_list": ["127.0.0.1", "127.0.0.0/8"]}


ENDPOINTS: dict[str, Endpoint] = {
    endpoint.path: endpoint
    for endpoint in (
        Endpoint("gettoken", get_token, methods=("GET",), tokenless=True),
        Endpoint("getcallbackip", ip_list, methods=("GET",)),
        Endpoint("get_api_domain_ip", ip_list, methods=("GET",)),
        *messages.ENDPOINTS,
        *contact.ENDPOINTS,
        *groupchat.ENDPOINTS,
        *mass.ENDPOINTS,
        *kf.ENDPOINTS,
        *archive.ENDPOINTS,
    )
}
OA_ENDPOINTS: dict[str, Endpoint] = {
    endpoint.path: endpoint for endpoint in (*oa.ENDPOINTS, Endpoint("getcallbackip", ip_list, methods=("GET",)))
}


def _said(state: State, errcode: int, errmsg: str, remote: str) -> Json:
    if errcode == 0:
        return {"errcode": 0, "errmsg": "ok"}
    hint = f"hint: [{int(state.clock.now())}_{state.next_number() % 100}_{secrets.token_hex(8)}]"
    url = f"https://open.work.weixin.qq.com/devtool/query?e={errcode}"
    return {"errcode": errcode, "errmsg": f"{errmsg}, {hint}, from ip: {remote}, more info at {url}"}


def _body(raw: bytes, method: str) -> Json:
    if method == "GET" or not raw:
        return {}
    try:
        body = json.loads(raw)
    except ValueError:
        raise ApiError(40058, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise ApiError(40058, "the body is not a JSON object")
    return body


def _authorise(state: State, endpoint: Endpoint, call: Call, is_oa: bool) -> None:
    if not endpoint.tokenless:
        shelf = state.oa_tokens if is_oa else state.tokens
        call.secret = shelf.check(call.query.get("access_token", ""))
        call.scopes = frozenset() if is_oa else state.config.scopes_of(call.secret)
        if endpoint.scope and endpoint.scope not in call.scopes:
            raise ApiError(48002, "no permission for this API")
        if state.trusted_ips and call.remote not in state.trusted_ips:
            raise ApiError(60020, "not allowed to access from your ip")
    now = state.clock.now()
    name = f"{'oa/' if is_oa else ''}{endpoint.path}"
    per_min = state.frequency.allow(name, int(state.limits.api_per_min), MINUTE_S, now)
    if not (state.frequency.allow(name, int(state.limits.api_per_hour), HOUR_S, now) and per_min):
        raise ApiError(45009, "api freq out of limit")


def answer_call(state: State, method: str, path: str, call: Call, raw: bytes, is_oa: bool) -> Json:
    """The platform's answer to one call, as plain data with errcode; never raises ApiError."""
    try:
        endpoint = (OA_ENDPOINTS if is_oa else ENDPOINTS).get(path)
        if endpoint is None:
            raise ApiError(40066 if is_oa else 48004, f"the emulator does not have {path}")
        if method not in endpoint.methods:
            raise ApiError(40058, f"{path} does not take {method}")
        call.body = _body(raw, method)
        _authorise(state, endpoint, call, is_oa)
        return _said(state, 0, "ok", call.remote) | endpoint.handler(state, call)
    except ApiError as error:
        return _said(state, error.errcode, error.errmsg, call.remote)
    except (AttributeError, TypeError, ValueError) as error:
        return _said(state, 40058, f"a field has the wrong type: {error}", call.remote)


async def _serve(request: web.Request, name: str, work: Answerer) -> web.StreamResponse:
    state, started = request.app[STATE], time.perf_counter()
    raw = await request.read()
    fault = request.app[FAULTS].take(name)
    entry = _log(state, request, name, raw, fault.kind if fault else "")
    if fault is not None:
        spoiled = await spoil_before(request, fault)
        if spoiled is not None:
            return spoiled
    if fault is not None and fault.kind == "errcode":
        answer = _said(state, fault.errcode, "fault on demand", request.remote or "")
    else:
        answer = work(state, raw)
    text = json.dumps(answer, ensure_ascii=False)
    shown = "***" if "access_token" in answer else text[:SHOWN_BODY_CHARS]
    entry |= {"errcode": answer.get("errcode", 0), "answer": shown}
    entry["ms"] = int((time.perf_counter() - started) * 1000)
    state.touch()
    spoiled = spoil_after(request, fault, text) if fault is not None else None
    return spoiled or web.Response(text=text, content_type="application/json")


def _log(state: State, request: web.Request, name: str, raw: bytes, fault: str) -> Json:
    hidden = ("access_token", "corpsecret", "secret")
    query = {key: "***" if key in hidden else value for key, value in request.query.items()}
    body = raw.decode(errors="replace")[:SHOWN_BODY_CHARS]
    entry: Json = {
        "number": state.next_number(),
        "at": state.clock.now(),
        "endpoint": name,
        "query": query,
        "body": "***" if "secret" in body[:400] else body,
        "fault": fault,
        "errcode": None,
        "answer": "",
        "ms": 0,
    }
    state.api_log.append(entry)
    return entry


async def serve_corp(request: web.Request) -> web.StreamResponse:
    """Any /cgi-bin/ call."""
    path = request.match_info["path"]
    call = Call(dict(request.query), {}, remote=request.remote or "")
    return await _serve(request, path, lambda state, raw: answer_call(state, request.method, path, call, raw, False))


async def serve_oa(request: web.Request) -> web.StreamResponse:
    """Any /oa/cgi-bin/ call."""
    path = request.match_info["path"]
    call = Call(dict(request.query), {}, remote=request.remote or "")
    return await _serve(
        request, f"oa/{path}", lambda state, raw: answer_call(state, request.method, path, call, raw, True)
    )


def _pull(state: State, raw: bytes, remote: str) -> Json:
    try:
        return _said(state, 0, "ok", remote) | archive.pull(state, _body(raw, "POST"))
    except ApiError as error:
        return _said(state, error.errcode, error.errmsg, remote)


async def serve_archive(request: web.Request) -> web.StreamResponse:
    """POST /archive/pull: the archive library's GetChatData in HTTP form."""
    remote = request.remote or ""
    return await _serve(request, "archive/pull", lambda state, raw: _pull(state, raw, remote))


def add_api(app: web.Application) -> None:
    """Add the platform's own paths to the application."""
    app.router.add_route("*", "/cgi-bin/{path:.+}", serve_corp)
    app.router.add_route("*", "/oa/cgi-bin/{path:.+}", serve_oa)
    app.router.add_post("/archive/pull", serve_archive)
