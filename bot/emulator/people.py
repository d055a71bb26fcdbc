"""Adds, changes and removes the people of the story while it runs."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from bot.emulator.errors import PhoneError
from bot.emulator.state import Customer, Follow, Group, Json, Staff, State, Tag

KINDS = ("customers", "staff", "groups", "follows", "tags")


def as_json(state: State) -> Json:
    """Everybody, as plain data."""
    return {
        "customers": [asdict(item) for item in state.customers.values()],
        "staff": [asdict(item) for item in state.staff.values()],
        "groups": [asdict(item) for item in state.groups.values()],
        "follows": [asdict(item) for item in state.follows.values()],
        "tags": [asdict(item) for item in state.tags.values()],
    }


def _built(kind: type[Any], values: Json, defaults: Json) -> Any:
    known = {item.name for item in fields(kind)}
    unknown = set(values) - known
    if unknown:
        raise PhoneError(f"unknown fields {sorted(unknown)}; {kind.__name__} has {sorted(known)}")
    try:
        return kind(**(defaults | values))
    except TypeError as error:
        raise PhoneError(f"{kind.__name__}: {error}") from error


def put(state: State, body: Json) -> Json:
    """Add or replace people from lists named customers, staff, groups, follows, tags."""
    if set(body) - set(KINDS):
        raise PhoneError(f"people come in lists named {', '.join(KINDS)}")
    now = int(state.clock.now())
    for values in body.get("customers", []):
        customer = _built(Customer, values, {"subscribed": bool(values.get("openid"))})
        state.customers[customer.external_userid] = customer
    for values in body.get("staff", []):
        person = _built(Staff, values, {})
        state.staff[person.userid.lower()] = person
    for values in body.get("groups", []):
        members = values.get("members") or {}
        listed = dict.fromkeys(members, now) if isinstance(members, list) else members
        group = _built(Group, values | {"members": listed}, {"create_time": now})
        state.groups[group.chat_id] = group
    for values in body.get("follows", []):
        follow = _built(Follow, values, {"createtime": now})
        state.follows[follow.userid.lower(), follow.external_userid] = follow
    for values in body.get("tags", []):
        tag = _built(Tag, values, {})
        state.tags[tag.tag_id] = tag
    state.touch()
    return as_json(state)


def remove(state: State, body: Json) -> Json:
    """Remove people by id; their relations and memberships go with them, without callbacks."""
    for external in body.get("customers", []):
        state.customers.pop(external, None)
    for userid in body.get("staff", []):
        state.staff.pop(str(userid).lower(), None)
    for chat_id in body.get("groups", []):
        state.groups.pop(chat_id, None)
    state.follows = {
        key: item
        for key, item in state.follows.items()
        if key[0] in state.staff and item.external_userid in state.customers
    }
    for group in state.groups.values():
        group.members = {who: at for who, at in group.members.items() if who in state.customers or state.is_staff(who)}
    state.touch()
    return as_json(state)
