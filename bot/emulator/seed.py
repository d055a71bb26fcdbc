"""The story the emulator starts with: a shop, its two people of staff and four customers."""

from __future__ import annotations

from bot.emulator.config import (
    CustomerSeed,
    EmulatorConfig,
    FollowSeed,
    GroupSeed,
    KfAccount,
    OfficialAccount,
    People,
    Receiver,
    StaffSeed,
    TagSeed,
)

CORP_ID = "ww0000000000000001"
AGENT_ID = 1000002
APP_SECRET = "emulator-app-secret"  # noqa: S105 - opens nothing but this emulator
ARCHIVE_SECRET = "emulator-archive-secret"  # noqa: S105 - likewise

PEOPLE = People(
    customers=(
        CustomerSeed("wmAAAA0001", "阿青", "oUNION0001", "oOPENID0001", 2),
        CustomerSeed("wmAAAA0002", "小满", "oUNION0002", "oOPENID0002", 2),
        CustomerSeed("wmAAAA0003", "何姐", "oUNION0003", "oOPENID0003", 2),
        CustomerSeed("wmAAAA0004", "路人", "oUNION0004", "", 0),
    ),
    staff=(StaffSeed("liuyang", "刘阳", "导购"), StaffSeed("wangli", "王莉", "店长")),
    groups=(
        GroupSeed(
            "wrGROUP0001",
            "城西老客群",
            "liuyang",
            ("liuyang", "wangli", "wmAAAA0001", "wmAAAA0002", "wmAAAA0003", "wmAAAA0004"),
            "欢迎来到城西店老客群",
        ),
    ),
    follows=(
        FollowSeed("liuyang", "wmAAAA0001", "阿青-会员", "shop-031"),
        FollowSeed("liuyang", "wmAAAA0002", "小满", "shop-031"),
        FollowSeed("wangli", "wmAAAA0003", "何姐", "shop-031"),
    ),
    tags=(
        TagSeed("etTAG01", "银卡", "etGROUP1", "等级"),
        TagSeed("etTAG02", "金卡", "etGROUP1", "等级"),
        TagSeed("etTAG03", "免打扰", "etGROUP2", "意愿"),
    ),
)


def default_config(
    receivers: dict[str, Receiver] | None = None, archive_public_keys: dict[int, str] | None = None
) -> EmulatorConfig:
    """The seed corp with the given receivers and archive keys; secrets are fixed and only for this machine."""
    return EmulatorConfig(
        corp_id=CORP_ID,
        agent_id=AGENT_ID,
        app_secret=APP_SECRET,
        archive_secret=ARCHIVE_SECRET,
        kf_accounts=(KfAccount("wkAAA0001", "回头客服", ("liuyang", "wangli")),),
        oa=OfficialAccount("wx0000000000000001", "emulator-oa-secret", "gh_000000000001", "城西店"),
        receivers=receivers or {},
        archive_public_keys=archive_public_keys or {},
        people=PEOPLE,
    )
