"""The control API under /_emulator/: scripts and the page play the people through it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from bot.emulator import archive, kf_state, mass, messages, oa, people, phones, till, view
from bot.emulator.config import Receiver
from bot.emulator.errors import EmulatorError, PhoneError
from bot.emulator.server import FAULTS, STATE
from bot.emulator.state import Json, State

Act = Callable[[State, Json], Json]
Served = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _reply(body: Any, status: int = 200, **headers: str) -> web.Response:
    text = json.dumps(body, ensure_ascii=False)
    return web.Response(text=text, status=status, content_type="application/json", headers=headers)


def refusal(error: Exception) -> web.Response:
    """The answer to an act that is not possible: status 400 and the reason."""
    return _reply({"ok": False, "error": str(error)}, 400)


async def _json(request: web.Request) -> Json:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError as error:
        raise PhoneError(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise PhoneError("the body must be a JSON object")
    return body


def _act(act: Act) -> Served:
    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            done = act(request.app[STATE], await _json(request))
        except (EmulatorError, ValueError, TypeError) as error:
            return refusal(error)
        return _reply({"ok": True, **done})

    return serve


def tap(state: State, body: Json) -> Json:
    """A member taps a card: staff, task_id, key, and picks {question_key: [option ids]}."""
    staff, task_id, key = (str(body.get(name, "")) for name in ("staff", "task_id", "key"))
    messages.tap(state, staff, task_id, key, body.get("picks") or {})
    return {}


def follow_oa(state: State, body: Json) -> Json:
    """A customer follows (`on` true) or leaves the 公众号."""
    customer = state.customer(str(body.get("customer", "")))
    oa.subscribe(state, customer, bool(body.get("on", True)))
    return {"openid": customer.openid}


def consent(state: State, body: Json) -> Json:
    """A customer agrees (`agree` true) or not to archiving with a member."""
    staff = state.member(str(body.get("staff", ""))).userid
    return {"msgid": archive.keep_consent(state, str(body.get("customer", "")), staff, bool(body.get("agree", True)))}


def switch_log(state: State, body: Json) -> Json:
    """A member switches corps: the archive keeps a record without msgtype."""
    return {"msgid": archive.keep_switch(state, state.member(str(body.get("staff", ""))).userid)}


def confirm_mass(state: State, body: Json) -> Json:
    """A member confirms a mass message."""
    return {"sent": mass.confirm(state, str(body.get("staff", "")), str(body.get("msgid", "")))}


def push_clock(state: State, body: Json) -> Json:
    """Push the clock by push_s seconds."""
    now = state.clock.push(float(body.get("push_s", 0)))
    state.touch()
    return {"now": now, "offset_s": state.clock.offset_s}


def expire_token(state: State, body: Json) -> Json:
    """Let tokens expire (42001) or, with "revoke": true, forget them (40014); `of` is corp or oa."""
    shelf = state.oa_tokens if body.get("of") == "oa" else state.tokens
    if body.get("revoke"):
        shelf.revoke_all()
        return {}
    return {"expired": shelf.expire_all()}


def change_limits(state: State, body: Json) -> Json:
    """Set numbers of the platform; answers all of them."""
    state.limits.change(**body)
    return asdict(state.limits)


def change_callbacks(state: State, body: Json) -> Json:
    """Set switches of callback delivery; answers all of them."""
    state.callbacks.settings.change(**body)
    return asdict(state.callbacks.settings)


def change_kf(state: State, body: Json) -> Json:
    """Set kf switches: empty_pages, refuse_tokens, fail_sends, fail_type."""
    switches = kf_state.kf_memory(state).switches
    known = set(asdict(switches))
    if set(body) - known or not all(isinstance(value, int) for value in body.values()):
        raise PhoneError(f"kf switches are integers named {', '.join(sorted(known))}")
    for name, value in body.items():
        setattr(switches, name, value)
    return asdict(switches)


def change_archive(state: State, body: Json) -> Json:
    """Rotate the archive's key: key_version is the publickey_ver used from now on."""
    version = int(body.get("key_version", 0))
    if version and version not in state.config.archive_public_keys:
        raise PhoneError(f"no archive public key {version}; known: {sorted(state.config.archive_public_keys)}")
    state.part(archive.Archive).key_version = version
    return {"key_version": version}


def change_receivers(state: State, body: Json) -> Json:
    """Set receivers by name (url, token, aes_key, receive_id), as saved in the console."""
    state.callbacks.configure({name: Receiver(**values) for name, values in body.items()})
    return {}


def change_ips(state: State, body: Json) -> Json:
    """Set the trusted IPs; an empty list trusts all."""
    state.trusted_ips = [str(item) for item in body.get("ips", [])]
    return {"ips": state.trusted_ips}


ACTS: dict[str, Act] = {
    "say": phones.say,
    "sidebar_send": phones.sidebar_send,
    "image": phones.send_image,
    "recall": phones.recall_said,
    "tap": tap,
    "contact": phones.change_contact,
    "group": phones.change_group,
    "kf_enter": phones.enter_kf,
    "kf_servicer": phones.serve_kf,
    "kf_block": phones.block_kf,
    "oa_follow": follow_oa,
    "consent": consent,
    "switch": switch_log,
    "mass_confirm": confirm_mass,
    "people": people.put,
    "people_remove": people.remove,
    "clock": push_clock,
    "expire_token": expire_token,
    "limits": change_limits,
    "callbacks": change_callbacks,
    "kf_switches": change_kf,
    "archive": change_archive,
    "receivers": change_receivers,
    "trusted_ips": change_ips,
}


async def see(request: web.Request) -> web.StreamResponse:
    """GET view: what everybody sees, ?lines=N of each chat (300); 304 when If-None-Match still holds."""
    state = request.app[STATE]
    tag = view.etag(state)
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    lines = request.query.get("lines", "")
    shown = view.view(state, int(lines)) if lines.isdigit() and int(lines) else view.view(state)
    return _reply(shown, ETag=tag)


async def read_log(request: web.Request) -> web.StreamResponse:
    """GET log: API calls and callbacks, newest last; ?last=N of each (200)."""
    state = request.app[STATE]
    last = request.query.get("last", "200")
    count = int(last) if last.isdigit() else 200
    calls = list(state.api_log)[-count:]
    sent = [record.as_json() for record in list(state.callbacks.log)[-count:]]
    return _reply({"calls": calls, "callbacks": sent})


async def read_clock(request: web.Request) -> web.StreamResponse:
    """GET clock: the virtual time in Unix seconds."""
    clock = request.app[STATE].clock
    return _reply({"now": clock.now(), "offset_s": clock.offset_s})


async def read_people(request: web.Request) -> web.StreamResponse:
    """GET people: everybody."""
    return _reply(people.as_json(request.app[STATE]))


async def reset(request: web.Request) -> web.StreamResponse:
    """POST reset: the seed people, empty chats, no faults; the clock stays where it is."""
    request.app[STATE].reset()
    request.app[FAULTS].clear()
    return _reply({"ok": True})


async def add_fault(request: web.Request) -> web.StreamResponse:
    """POST faults: set one fault."""
    try:
        request.app[FAULTS].add(await _json(request))
    except (EmulatorError, ValueError, TypeError) as error:
        return refusal(error)
    return _reply({"ok": True, "faults": request.app[FAULTS].as_json()})


async def clear_faults(request: web.Request) -> web.StreamResponse:
    """DELETE faults: take all away."""
    request.app[FAULTS].clear()
    return _reply({"ok": True})


async def read_faults(request: web.Request) -> web.StreamResponse:
    """GET faults: those that are set, with their hits."""
    return _reply({"faults": request.app[FAULTS].as_json()})


async def verify(request: web.Request) -> web.StreamResponse:
    """POST verify {"receiver"}: ask the service for the echo, as saving in the console does."""
    body = await _json(request)
    return _reply(await request.app[STATE].callbacks.verify(str(body.get("receiver", "app"))))


async def press_till(request: web.Request) -> web.StreamResponse:
    """POST till {"label", "customer"}: the brand's till posts it to the service."""
    try:
        done = await till.press(request.app[STATE], await _json(request))
    except EmulatorError as error:
        return refusal(error)
    return _reply({"ok": True, **done})


async def settle(request: web.Request) -> web.StreamResponse:
    """POST settle: answers when no callback is on its way any more."""
    await request.app[STATE].callbacks.settle()
    return _reply({"ok": True})


def add_control(app: web.Application) -> None:
    """Add the control paths to the application."""
    for name, act in ACTS.items():
        app.router.add_post(f"/_emulator/{name}", _act(act))
    for name, served in {"view": see, "log": read_log, "clock": read_clock, "people": read_people}.items():
        app.router.add_get(f"/_emulator/{name}", served)
    app.router.add_get("/_emulator/faults", read_faults)
    app.router.add_post("/_emulator/faults", add_fault)
    app.router.add_delete("/_emulator/faults", clear_faults)
    for name, served in {"reset": reset, "verify": verify, "settle": settle, "till": press_till}.items():
        app.router.add_post(f"/_emulator/{name}", served)
