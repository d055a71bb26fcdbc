"""客户群: the lists an app may read; nobody may post into a group by API."""

from __future__ import annotations

from bot.emulator.api import Call, Endpoint, page
from bot.emulator.errors import ApiError
from bot.emulator.state import Group, Json, State

PAGE_MOST = 1000


def list_groups(state: State, call: Call) -> Json:
    """externalcontact/groupchat/list: ids of the groups; `limit` is required."""
    if "limit" not in call.body:
        raise ApiError(40058, "limit is required")
    limit = call.number("limit", 0, 1, PAGE_MOST)
    owners = (call.body.get("owner_filter") or {}).get("userid_list") or []
    wanted = {owner.lower() for owner in owners}
    groups = [group for group in state.groups.values() if not wanted or group.owner.lower() in wanted]
    shown, cursor = page(groups, call.text("cursor", empty=True), limit)
    rows = [{"chat_id": group.chat_id, "status": 0} for group in shown]
    return {"group_chat_list": rows} | ({"next_cursor": cursor} if cursor else {})


def _member(state: State, group: Group, person: str, need_name: bool) -> Json:
    row: Json = {
        "userid": person,
        "type": 1 if state.is_staff(person) else 2,
        "join_time": group.members[person],
        "join_scene": 1 if state.is_staff(person) else 3,
        "group_nickname": "",
    }
    if person != group.owner:
        row["invitor"] = {"userid": group.owner}
    if person in state.customers and state.customers[person].unionid:
        row["unionid"] = state.customers[person].unionid
    return row | ({"name": state.name_of(person)} if need_name else {})


def get_group(state: State, call: Call) -> Json:
    """externalcontact/groupchat/get: the group and its members; 40050 for an unknown one."""
    group = state.groups.get(call.text("chat_id", 40050))
    if group is None:
        raise ApiError(40050, "chat_id does not exist")
    need_name = call.number("need_name", 0, 0, 1) == 1
    return {
        "group_chat": {
            "chat_id": group.chat_id,
            "name": group.name,
            "owner": group.owner,
            "create_time": group.create_time,
            "notice": group.notice,
            "member_version": group.member_version,
            "member_list": [_member(state, group, person, need_name) for person in group.members],
            "admin_list": [
                {"userid": person} for person in group.members if state.is_staff(person) and person != group.owner
            ],
        }
    }


ENDPOINTS = (
    Endpoint("externalcontact/groupchat/list", list_groups, "contact"),
    Endpoint("externalcontact/groupchat/get", get_group, "contact"),
)
