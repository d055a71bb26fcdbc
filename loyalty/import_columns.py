"""A CSV file as people export it: header in English or Chinese, cells read one by one, refusals that name the mend."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

IDENTITY_COLUMNS: Final = {
    "unionid": (), "external_userid": ("外部联系人ID",), "openid": (), "phone": ("手机号", "手机", "手机号码"),
    "tmall_buyer": ("天猫买家", "天猫昵称", "买家昵称"), "jd_buyer": ("京东买家", "京东账号"),
    "douyin_buyer": ("抖音买家", "抖音账号"),
}
ORDER_COLUMNS: Final = IDENTITY_COLUMNS | {
    "external_id": ("订单号", "订单编号"), "paid_at": ("付款时间", "支付时间", "订单付款时间"),
    "amount": ("实付金额", "实付", "买家实际支付金额"), "amount_fen": (), "source": ("来源平台", "平台"),
    "shop": ("店铺", "门店"), "items": ("商品明细",), "sku": ("商品编码", "商家编码"), "item": ("商品名称", "商品"),
    "quantity": ("数量", "购买数量"),
}
MEMBER_COLUMNS: Final = IDENTITY_COLUMNS | {
    "name": ("姓名", "会员姓名"), "address": ("地址", "收货地址"), "unverified_phone": ("收货手机",),
    "joined_at": ("入会时间", "注册时间"), "birthday": ("生日",), "source": ("来源", "获客来源"),
    "channel_code": ("渠道码", "渠道"), "tags": ("标签",), "opted_out": ("勿扰",), "points": ("积分", "积分余额"),
    "points_until": ("积分有效期",),
}
"""Columns by their own name, with the names other systems give them. `id:card` is an identity of the kind `card`."""

OTHER_KIND: Final = "id:"
MARKS: Final = ("_line", "_column", "_what", "_mend")
"""What a file of refused rows has besides its own columns; read again they are passed over."""
WHOLE_ROW: Final = "row"
"""The column of a fault that lies in no single cell."""

_yuan = re.compile(r"(?:¥|￥|CNY)? ?([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,10})(?:\.([0-9]{1,2})0*)?(?: ?元)?").fullmatch
_slashed = re.compile(
    r"([0-9]{4})[/.年-]([0-9]{1,2})[/.月-]([0-9]{1,2})日?(?:[ T]+([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?))?").fullmatch
_whole = re.compile(r"[0-9]{1,12}").fullmatch


class RowError(NamedTuple):
    """What is wrong with one cell: line of the file, column as the file calls it, what it is, and the mend."""

    line: int
    column: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.column}: {self.what}; {self.mend}"


class CellError(Exception):
    """A cell that cannot be read; `column` is our own name for it."""

    def __init__(self, column: str, what: str, mend: str) -> None:
        self.column, self.what, self.mend = column, what, mend
        super().__init__(f"{column}: {what}; {mend}")


class HeaderError(Exception):
    """The first line does not name the columns that are needed; nothing was read."""


class Header:
    """Which column stands where; `ignored` are those that mean nothing here."""

    def __init__(self, cells: Sequence[str], columns: Mapping[str, Sequence[str]]) -> None:
        names = {alias.casefold(): name for name, aliases in columns.items() for alias in (name, *aliases)}
        self.cells, self.ignored = list(cells), list[str]()
        self.place: dict[str, int] = {}
        self.mark = next((place for place, cell in enumerate(cells) if cell == MARKS[1]), None)
        for place, cell in enumerate(cells):
            text = cell.strip()
            name = text if text.startswith(OTHER_KIND) and len(text) > len(OTHER_KIND) else names.get(text.casefold())
            if name is None:
                self.ignored += [text] if text and text not in MARKS else []
            elif name in self.place:
                raise HeaderError(f"line 1: {text!r} and {cells[self.place[name]]!r} are both {name}; remove one")
            else:
                self.place[name] = place
        self.identities = [(name.removeprefix(OTHER_KIND), place) for name, place in self.place.items()
                           if name in IDENTITY_COLUMNS or name.startswith(OTHER_KIND)]
        if not self.identities:
            known = ", ".join(IDENTITY_COLUMNS)
            raise HeaderError(f"line 1: no column says who it is; one of {known}, or id:KIND, is needed")

    def need(self, *names: str) -> None:
        """Raise HeaderError unless one of these columns is there."""
        if not any(name in self.place for name in names):
            raise HeaderError(f"line 1: column {' or '.join(names)} is missing; the file has {', '.join(self.cells)}")

    def called(self, column: str) -> str:
        """What the file calls a column of ours."""
        place = self.place.get(column, self.place.get(OTHER_KIND + column))
        return column if place is None else self.cells[place].strip()


def fen_of(text: str, column: str = "amount") -> int:
    """Yuan as people write them, in fen: 12, 12.5, ¥1,234.50, 12元."""
    found = _yuan(text)
    if found is None:
        raise CellError(column, f"{text[:40]!r} is no amount in yuan", "write it like 128.50, not below 0")
    yuan, cents = found[1].replace(",", ""), found[2] or ""
    return int(yuan) * 100 + int(cents.ljust(2, "0") or 0)


def whole_of(text: str, column: str, least: int = 0) -> int:
    """A whole number."""
    if not _whole(text) or int(text) < least:
        raise CellError(column, f"{text[:40]!r} is no whole number from {least}", "write digits alone")
    return int(text)


def moment_of(text: str, column: str, zone: ZoneInfo) -> datetime:
    """A moment as people and machines write it; without a zone it is local time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _loosely(text, column)
    moment = moment.replace(tzinfo=zone).astimezone(UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if not 2000 <= moment.year < 2100:
        raise CellError(column, f"the year of {text[:40]!r} is not between 2000 and 2100", "look at the date again")
    return moment


def _loosely(text: str, column: str) -> datetime:
    found = _slashed(text)
    if found is not None:
        year, month, day, clock = found.groups()
        try:
            return datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}T{(clock or '00:00').rjust(5, '0')}")
        except ValueError:
            pass
    raise CellError(column, f"{text[:40]!r} is no date and time", "write it like 2026-03-10 12:00:00")


def truth_of(text: str, column: str) -> bool:
    """Yes or no."""
    if text.casefold() in {"1", "y", "yes", "true", "是"}:
        return True
    if text.casefold() in {"0", "n", "no", "false", "否"}:
        return False
    raise CellError(column, f"{text[:40]!r} is neither yes nor no", "write 是 or 否")

