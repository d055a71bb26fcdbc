"""The memory of 微信客服: accounts with append-only logs, sessions, codes; and what moves them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from bot.emulator.errors import ApiError
from bot.emulator.events import send_kf_signal
from bot.emulator.kf_table import ASSISTANT, ENDED, HUMAN, NEW, ORIGIN_SYSTEM, POOL, UNKNOWN_ACCOUNT
from bot.emulator.state import Json, State

TOKENS_KEPT = 20_000


@dataclass
class Session:
    """One customer in one account (fact sheet 6.8)."""

    state: int = ENDED
    servicer: str = ""
    last_customer_at: float | None = None
    last_at: float = 0.0
    sent: int = 0
    welcome_sent_at: float | None = None
    entered: Json = field(default_factory=dict)


@dataclass
class Entry:
    """One line of the account's log; `position` is what a cursor points at."""

    position: int
    at: float
    message: Json


@dataclass
class EventCode:
    """A one-time right to send by send_msg_on_event; `state` must still hold when it is not None."""

    kind: str
    external_userid: str
    open_kfid: str
    expires_at: float
    state: int | None = None
    used: bool = False


@dataclass
class Switches:
    """Odd behaviour on demand: empty pages with has_more=1, refused tokens, failing after acceptance."""

    empty_pages: int = 0
    refuse_tokens: int = 0
    fail_sends: int = 0
    fail_type: int = 13


@dataclass
class Account:
    """A kf account: its log, sessions, used msgids and the callback tokens that still count."""

    open_kfid: str
    name: str
    servicers: list[str]
    log: list[Entry] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    msgids: set[str] = field(default_factory=set)
    tokens: dict[str, float] = field(default_factory=dict)


@dataclass
class KfMemory:
    """All accounts and event codes; filled from the configuration on first use."""

    accounts: dict[str, Account] = field(default_factory=dict)
    codes: dict[str, EventCode] = field(default_factory=dict)
    switches: Switches = field(default_factory=Switches)
    filled: bool = False


def kf_memory(state: State) -> KfMemory:
    """The kf part of the platform's memory."""
    memory = state.part(KfMemory)
    if not memory.filled:
        memory.filled = True
        for seed in state.config.kf_accounts:
            memory.accounts[seed.open_kfid] = Account(seed.open_kfid, seed.name, list(seed.servicers))
    return memory


def account_of(state: State, open_kfid: str) -> Account:
    """The account; ApiError 95004 when it does not exist."""
    account = kf_memory(state).accounts.get(open_kfid)
    if account is None:
        raise ApiError(UNKNOWN_ACCOUNT, "open_kfid does not exist")
    return account


def session_of(state: State, account: Account, external_userid: str) -> Session:
    """The customer's session as it stands now: 48 hours without a message end it."""
    session = account.sessions.setdefault(external_userid, Session())
    if session.state != ENDED and state.clock.now() - session.last_at >= state.limits.kf_window_s:
        session.state, session.servicer = ENDED, ""
    return session


def chat_key(open_kfid: str, external_userid: str) -> str:
    """The name of the chat between a customer and an account."""
    return f"kf:{open_kfid}:{external_userid}"


def signal(state: State, account: Account) -> str:
    """Send kf_msg_or_event with a fresh sync token and return the token."""
    token, now = f"ENC{secrets.token_urlsafe(16)}", state.clock.now()
    if len(account.tokens) > TOKENS_KEPT:
        account.tokens = {old: until for old, until in account.tokens.items() if until > now}
    account.tokens[token] = now + state.limits.kf_token_s
    send_kf_signal(state, account.open_kfid, token)
    return token


def append(state: State, account: Account, message: Json) -> str:
    """Append to the log and signal the service; returns the msgid."""
    position = state.next_number()
    full = {"msgid": f"kfm{position}{secrets.token_hex(4)}", "send_time": int(state.clock.now()), **message}
    account.log.append(Entry(position, state.clock.now(), full))
    signal(state, account)
    state.touch()
    return str(full["msgid"])


def append_event(state: State, account: Account, event_type: str, external_userid: str, **extra: object) -> str:
    """Append a system event; the ids stand inside `event`, as the platform does."""
    event: Json = {"event_type": event_type, "open_kfid": account.open_kfid}
    if external_userid:
        event["external_userid"] = external_userid
    return append(state, account, {"origin": ORIGIN_SYSTEM, "msgtype": "event", "event": event | extra})


def customer_wrote(state: State, account: Account, external_userid: str) -> Session:
    """A customer message opens the windows again and wakes an ended session."""
    session = session_of(state, account, external_userid)
    if session.state == ENDED:
        session.state, session.servicer = NEW, ""
    session.last_customer_at = session.last_at = state.clock.now()
    session.sent = 0
    return session


def issue_code(state: State, account: Account, external_userid: str, kind: str) -> str:
    """A code for send_msg_on_event; `kind` is welcome, pool, taken or ended."""
    limits = state.limits
    long_lived = kind in ("pool", "taken")
    held = {"pool": POOL, "taken": HUMAN}.get(kind)
    expires_at = state.clock.now() + (limits.kf_code_long_s if long_lived else limits.kf_code_short_s)
    code = f"KC-{secrets.token_urlsafe(16)}"
    kf_memory(state).codes[code] = EventCode(kind, external_userid, account.open_kfid, expires_at, held)
    return code


def move(state: State, account: Account, external_userid: str, target: int, servicer: str) -> str:
    """Change the session's state; returns the msg_code of a first move to 2 or 3, or of a move to 4."""
    session = session_of(state, account, external_userid)
    before = session.state
    session.state = target
    session.servicer = servicer if target == HUMAN else ""
    state.touch()
    if target == ENDED:
        return issue_code(state, account, external_userid, "ended")
    if target in (POOL, HUMAN) and before in (NEW, ASSISTANT, POOL, ENDED) and before != target:
        return issue_code(state, account, external_userid, "pool" if target == POOL else "taken")
    return ""
