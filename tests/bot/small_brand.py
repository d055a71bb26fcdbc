"""A configuration small enough to train on in a second."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

SAMPLE = Path(__file__).resolve().parents[2] / "config"
SENTENCES = {
    "running_out": [
        "咖啡快喝完了", "就剩最后两包啦", "罐子又见底了", "还够喝三天", "粮快没了", "奶粉快吃完了", "面霜快用完了",
        "只剩一袋了", "最后一盒也拆了", "这瓶要见底了", "茶包快喝光了", "家里就剩半罐", "猫粮快没了呀",
    ],
    "human_agent": [
        "转人工", "我要人工客服", "叫你们店长来", "有没有真人", "找个活人跟我说", "人工人工", "让负责人联系我",
        "换个真人来聊", "别机器人了转人工", "请转人工服务", "叫经理出来", "麻烦转一下人工",
    ],
}  # fmt: skip
NONE = (
    "手机快没电了", "外卖快吃完了", "上周喝完就补了", "还没喝完呢", "电影快演完了", "作业快写完了", "周末去哪玩",
    "今天好热啊", "早上好", "收到谢谢", "哈哈哈哈", "孩子睡了吗", "晚上吃什么", "明天降温多穿点", "这个群好热闹",
    "刚下班", "堵车了", "我到家了", "在吗", "好的", "嗯嗯", "人工智能真厉害", "人工湖那边开花了", "钱包见底了",
)  # fmt: skip
HELD_OUT = {
    "running_out": ["茶快喝完了", "奶粉见底了", "就剩半袋了", "猫粮就剩最后一包", "面霜要用完了"],
    "human_agent": ["转人工服务", "叫店长", "找真人", "让经理联系我", "我要转人工"],
    "none": ["流量快没了", "晚上好", "刚到家", "周末吃什么", "收到"],
}


def write_config(folder: Path, sentences: dict[str, list[str]] | None = None, none: tuple[str, ...] = NONE) -> Path:
    """Programme and replies of the sample, with these scenarios and held-out messages."""
    for name in ("scenarios", "heldout"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("programme.yaml", "replies.yaml"):
        shutil.copy(SAMPLE / name, folder)
    for scenario, texts in {**(sentences or SENTENCES), "none": list(none)}.items():
        head = [f"id: {scenario}", "title: 题", *(["stage: service"] if scenario != "none" else []), "examples:"]
        _write(folder / "scenarios" / f"{scenario}.yaml", head, texts)
    for scenario, texts in HELD_OUT.items():
        _write(folder / "heldout" / f"{scenario}.yaml", [f"id: {scenario}", "messages:"], texts)
    return folder


def _write(path: Path, head: list[str], texts: list[str]) -> None:
    lines = [*head, *(f"  - {json.dumps(text, ensure_ascii=False)}" for text in texts)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
