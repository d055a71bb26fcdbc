"""微信客服 as data: states, who may go where, errcodes and the numbers the docs do not give."""

from __future__ import annotations

from types import MappingProxyType

NEW, ASSISTANT, POOL, HUMAN, ENDED = 0, 1, 2, 3, 4

#: service_state/trans: from a state to the states an API call may choose (fact sheet 6.4).
MOVES = MappingProxyType(
    {
        NEW: frozenset({ASSISTANT, POOL, HUMAN, ENDED}),
        ASSISTANT: frozenset({POOL, HUMAN, ENDED}),
        POOL: frozenset({HUMAN, ENDED}),
        HUMAN: frozenset({HUMAN, ENDED, POOL}),
        ENDED: frozenset(),
    }
)
#: The errcode of a forbidden move, by the state it starts from.
REFUSED = MappingProxyType({NEW: 95016, ASSISTANT: 95016, POOL: 95016, HUMAN: 95016, ENDED: 95013})
#: States in which kf/send_msg is allowed.
SENDABLE = frozenset({NEW, ASSISTANT})

#: The docs give no code for a repeated msgid; this one is the emulator's choice.
REPEATED_MSGID = 95033
TOO_MANY = 95001
OUT_OF_TIME = 95002
UNKNOWN_ACCOUNT = 95004
BAD_SYNC_TOKEN = 95007
TOO_MANY_ITEMS = 95008
BAD_ITEM = 95009
NOT_SERVICER = 95014
STATE_FORBIDS = 95018
SERVICER_STOPPED = 95019

ORIGIN_CUSTOMER, ORIGIN_SYSTEM, ORIGIN_SERVICER = 3, 4, 5
