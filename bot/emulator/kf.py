"""The 微信客服 API: sync, send, session state, accounts, servicers, customers."""

from __future__ import annotations

import re
import secrets
from bisect import bisect_left, bisect_right

from bot.emulator.api import Call, Endpoint
from bot.emulator.errors import ApiError
from bot.emulator.kf_bodies import check_msgid, shown
from bot.emulator.kf_state import (
    Account,
    EventCode,
    Session,
    account_of,
    append_event,
    chat_key,
    kf_memory,
    move,
    session_of,
)
from bot.emulator.kf_table import (
    BAD_SYNC_TOKEN,
    HUMAN,
    MOVES,
    NOT_SERVICER,
    OUT_OF_TIME,
    REFUSED,
    REPEATED_MSGID,
    SENDABLE,
    SERVICER_STOPPED,
    STATE_FORBIDS,
    TOO_MANY,
)
from bot.emulator.limits import MINUTE_S
from bot.emulator.state import Json, State

CURSOR = re.compile(r"kfc-(\d{1,20})")


def _check_sync_token(state: State, account: Account, call: Call) -> None:
    token, switches = call.body.get("token") or "", kf_memory(state).switches
    if not token:
        most = state.limits.kf_sync_tokenless_per_min
        if not state.frequency.allow(f"kf/sync/{account.open_kfid}", most, MINUTE_S, state.clock.now()):
            raise ApiError(45009, "sync_msg without token is limited strictly")
        return
    if switches.refuse_tokens > 0:
        switches.refuse_tokens -= 1
        raise ApiError(BAD_SYNC_TOKEN, "invalid msg token")
    if account.tokens.get(str(token), 0.0) <= state.clock.now():
        raise ApiError(BAD_SYNC_TOKEN, "invalid msg token")


def sync_msg(state: State, call: Call) -> Json:
    """kf/sync_msg: the account's log behind the cursor; go on while has_more is 1."""
    account = account_of(state, call.text("open_kfid"))
    limit = call.number("limit", int(state.limits.kf_sync_page), 1, int(state.limits.kf_sync_page))
    _check_sync_token(state, account, call)
    cursor = call.text("cursor", empty=True)
    match = CURSOR.fullmatch(cursor) if cursor else None
    if cursor and match is None:
        raise ApiError(40035, "invalid cursor")
    switches = kf_memory(state).switches
    if switches.empty_pages > 0:
        switches.empty_pages -= 1
        return {"next_cursor": cursor, "has_more": 1, "msg_list": []}
    position, oldest = int(match.group(1)) if match else 0, state.clock.now() - state.limits.kf_keep_s
    start = bisect_right(account.log, position, key=lambda entry: entry.position)
    start = max(start, bisect_left(account.log, oldest, key=lambda entry: entry.at))
    shown = account.log[start : start + limit]
    last = shown[-1].position if shown else position
    more = int(len(account.log) > start + limit)
    return {"next_cursor": f"kfc-{last}", "has_more": more, "msg_list": [entry.message for entry in shown]}


def _check_sendable(state: State, session: Session) -> None:
    if session.state not in SENDABLE:
        raise ApiError(STATE_FORBIDS, f"session state {session.state} forbids sending")
    wrote = session.last_customer_at
    if wrote is None or state.clock.now() - wrote >= state.limits.kf_window_s:
        raise ApiError(OUT_OF_TIME, "48 hours since the customer's last message are over")
    if session.sent >= state.limits.kf_messages:
        raise ApiError(TOO_MANY, "more than 5 messages since the customer's last message")


def _target(state: State, call: Call, name: str = "touser") -> str:
    external = call.text(name, 41035)
    if external not in state.customers:
        raise ApiError(40096, "invalid external_userid")
    return external


def send_msg(state: State, call: Call) -> Json:
    """kf/send_msg: 5 messages within 48 hours, in states 0 and 1; accepted is not delivered."""
    account = account_of(state, call.text("open_kfid"))
    external = _target(state, call)
    msgid = check_msgid(call.body)
    if msgid and msgid in account.msgids:
        raise ApiError(REPEATED_MSGID, "msgid was used before")
    kind, text, extra = shown(call.body, state.limits)
    session = session_of(state, account, external)
    _check_sendable(state, session)
    session.sent += 1
    session.last_at = state.clock.now()
    return {"msgid": _deliver(state, account, external, msgid, (kind, text, extra))}


def _deliver(state: State, account: Account, external: str, msgid: str, bubble: tuple[str, str, Json]) -> str:
    msgid = msgid or f"kfs-{secrets.token_hex(12)}"
    account.msgids.add(msgid)
    switches = kf_memory(state).switches
    rejected = state.customers[external].rejects_kf
    if switches.fail_sends > 0 or rejected:
        fail_type = 10 if rejected else switches.fail_type
        switches.fail_sends = max(0, switches.fail_sends - 1)
        append_event(state, account, "msg_send_fail", external, fail_msgid=msgid, fail_type=fail_type)
    else:
        kind, text, extra = bubble
        state.write(chat_key(account.open_kfid, external), account.open_kfid, kind, text, extra | {"msgid": msgid})
    return msgid


def _event_code(state: State, code: str, msgid: str) -> EventCode:
    found = kf_memory(state).codes.get(code)
    if found is None:
        raise ApiError(OUT_OF_TIME, "code is unknown")
    account = account_of(state, found.open_kfid)
    if msgid and msgid in account.msgids:
        raise ApiError(REPEATED_MSGID, "msgid was used before")
    if found.used or found.expires_at <= state.clock.now():
        raise ApiError(OUT_OF_TIME, "code is used or expired")
    session = session_of(state, account, found.external_userid)
    if found.state is not None and session.state != found.state:
        raise ApiError(STATE_FORBIDS, "the session left the state of the code")
    return found


def send_on_event(state: State, call: Call) -> Json:
    """kf/send_msg_on_event: one message per code, beside the 5 of send_msg; a known msgid is said first."""
    msgid = check_msgid(call.body)
    code = _event_code(state, call.text("code"), msgid)
    account = account_of(state, code.open_kfid)
    allowed = ("text", "msgmenu") if code.kind in ("welcome", "ended") else ("text",)
    bubble = shown(call.body, state.limits, allowed)
    code.used = True
    if code.kind == "welcome":
        session_of(state, account, code.external_userid).welcome_sent_at = state.clock.now()
    return {"msgid": _deliver(state, account, code.external_userid, msgid, bubble)}


def get_state(state: State, call: Call) -> Json:
    """kf/service_state/get: the session's state, and its servicer in state 3."""
    account = account_of(state, call.text("open_kfid"))
    session = session_of(state, account, _target(state, call, "external_userid"))
    servicer = {"servicer_userid": session.servicer} if session.state == HUMAN else {}
    return {"service_state": session.state} | servicer


def check_servicer(state: State, account: Account, userid: str) -> str:
    """The servicer's userid; ApiError 95014 when he is none, 95019 when he stopped serving."""
    if userid.lower() not in {name.lower() for name in account.servicers} or not state.is_staff(userid):
        raise ApiError(NOT_SERVICER, "not a servicer of this account")
    if not state.member(userid).serving:
        raise ApiError(SERVICER_STOPPED, "the servicer has stopped serving")
    return state.member(userid).userid


def trans_state(state: State, call: Call) -> Json:
    """kf/service_state/trans: only the moves of the table; no session_status_change follows."""
    account = account_of(state, call.text("open_kfid"))
    external = _target(state, call, "external_userid")
    target = call.number("service_state", -1, 0, 4)
    before = session_of(state, account, external).state
    if target not in MOVES[before]:
        raise ApiError(REFUSED[before], f"state {before} cannot become {target}")
    servicer = ""
    if target == HUMAN:
        servicer = check_servicer(state, account, call.text("servicer_userid", NOT_SERVICER))
    code = move(state, account, external, target, servicer)
    return {"msg_code": code} if code else {}


def list_accounts(state: State, call: Call) -> Json:
    """kf/account/list: the accounts of the corp."""
    offset, limit = call.number("offset", 0), call.number("limit", 100, 1, 100)
    accounts = list(kf_memory(state).accounts.values())[offset : offset + limit]
    rows = [{"open_kfid": item.open_kfid, "name": item.name, "manage_privilege": True} for item in accounts]
    return {"account_list": [row | {"avatar": "https://wx.example.invalid/kf.jpg"} for row in rows]}


def list_servicers(state: State, call: Call) -> Json:
    """kf/servicer/list: 0 is serving and 1 stopped here, the reverse of the event."""
    account = account_of(state, call.query.get("open_kfid", ""))
    rows = [
        {"userid": name, "status": 0 if state.member(name).serving else 1, "stop_type": 0}
        for name in account.servicers
        if state.is_staff(name)
    ]
    return {"servicer_list": rows}


def _seen_in_kf(state: State, external: str) -> Session | None:
    oldest = state.clock.now() - state.limits.kf_window_s
    for account in kf_memory(state).accounts.values():
        session = account.sessions.get(external)
        if session is not None and max(session.last_customer_at or 0.0, session.entered.get("at", 0.0)) >= oldest:
            return session
    return None


def batch_customers(state: State, call: Call) -> Json:
    """kf/customer/batchget: names and unionids of customers active in the last 48 hours."""
    asked = call.texts("external_userid_list", 100)
    with_context = call.number("need_enter_session_context", 0, 0, 1) == 1
    rows, invalid = [], []
    for external in asked:
        customer, session = state.customers.get(external), _seen_in_kf(state, external)
        if customer is None or session is None:
            invalid.append(external)
            continue
        row: Json = {"external_userid": external, "nickname": customer.name, "gender": customer.gender}
        row |= {"avatar": "https://wx.example.invalid/avatar.jpg"}
        row |= {"unionid": customer.unionid} if customer.unionid else {}
        context = {name: session.entered.get(name, "") for name in ("scene", "scene_param")}
        rows.append(row | ({"enter_session_context": context} if with_context else {}))
    return {"customer_list": rows, "invalid_external_userid": invalid}


ENDPOINTS = (
    Endpoint("kf/sync_msg", sync_msg, "kf"),
    Endpoint("kf/send_msg", send_msg, "kf"),
    Endpoint("kf/send_msg_on_event", send_on_event, "kf"),
    Endpoint("kf/service_state/get", get_state, "kf"),
    Endpoint("kf/service_state/trans", trans_state, "kf"),
    Endpoint("kf/account/list", list_accounts, "kf", ("GET", "POST")),
    Endpoint("kf/servicer/list", list_servicers, "kf", ("GET",)),
    Endpoint("kf/customer/batchget", batch_customers, "kf"),
)
