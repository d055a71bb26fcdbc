"""The flow of a follow-up as a picture: one box a step, branches side by side, plain SVG without any library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from handlers.followup.definition import Sop, Step, Trigger

WIDTH, HEIGHT, GAP, PAD, TEXT_CHARS = 220, 46, 22, 16, 17
COLOURS: Final = {"wait": "#eef2f7", "branch": "#fff4d6", "end": "#f3f3f3", "go": "#e8f0fe"}
TRIGGERS: Final = {
    "scenario": "听到场景", "loyalty": "会员事件", "order": "订单", "contact": "好友/群", "date": "日子",
    "calendar": "大促日历", "cycle": "购买周期", "segment": "人群", "event": "外部事件",
}  # fmt: skip


def say_trigger(trigger: Trigger) -> str:
    """What sets it off, in a few words."""
    value = getattr(trigger, trigger.kind)
    more = f" 第 {trigger.n} 笔" if trigger.order == "nth" else ""
    more += f" 提前 {trigger.days_before} 天" if trigger.days_before else ""
    more += f" × {trigger.factor:g}" if trigger.cycle == "own" else ""
    return f"{TRIGGERS[trigger.kind]}: {value}{more}"


def say_step(step: Step) -> str:
    """What a step does, in a few words."""
    if step.wait is not None:
        return _say_wait(step)
    if step.prompt is not None:
        late = f", {step.prompt.escalate_after_h}h 未处理升级" if step.prompt.escalate_after_h else ""
        return f"提醒导购{late}" if step.prompt.to == "rep" else f"提醒 {step.prompt.to}{late}"
    if step.message is not None:
        return f"发消息: {'/'.join(step.message.channels)}"
    if step.tag is not None:
        return "标签: " + " ".join([*(f"+{t}" for t in step.tag.add), *(f"-{t}" for t in step.tag.remove)])
    if step.points is not None:
        return f"送 {step.points.amount} 积分" + (" 给朋友" if step.points.to == "friend" else "")
    if step.branch is not None:
        return f"如果 {step.branch.when}"
    plain = {"mass": "企业群发", "welcome": "欢迎语", "invite": "邀请链接", "appointment": "预约邀请"}
    named = {
        "coupon": f"送 {step.coupon.named if step.coupon else ''}",
        "go": f"转入 {step.go}", "end": f"结束: {step.end}",
        "call": f"{step.call.way if step.call else ''} 经 {step.call.adapter if step.call else ''}",
    }  # fmt: skip
    return plain.get(step.action) or named[step.action]


def _say_wait(step: Step) -> str:
    asked = step.wait
    assert asked is not None
    if asked.event:
        return f"等 {asked.event}, 最多 {asked.at_most_days} 天"
    parts = [f"{n} {unit}" for n, unit in ((asked.days, "天"), (asked.hours, "小时"), (asked.minutes, "分钟")) if n]
    until = asked.until
    parts += [f"到 {until.weekday or ''} {until.at:%H:%M}".replace("  ", " ")] if until else []
    return "等 " + " ".join(parts)


def lines(sop: Sop) -> Iterator[str]:
    """The flow as indented lines."""
    yield from (f"▶ {say_trigger(trigger)}" for trigger in sop.triggers)
    yield from _lines(sop.steps, "  ")


def _lines(steps: tuple[Step, ...], indent: str) -> Iterator[str]:
    for number, step in enumerate(steps):
        yield f"{indent}{number}. {say_step(step)}"
        if step.branch is not None:
            for word, inner in (("是", step.branch.then), ("否", step.branch.otherwise)):
                if inner:
                    yield f"{indent}   {word}:"
                    yield from _lines(inner, indent + "     ")


def svg(sop: Sop) -> str:
    """The whole flow as one SVG document."""
    shapes: list[str] = []
    heads = [say_trigger(trigger) for trigger in sop.triggers]
    columns = max(1, _columns(sop.steps), len(heads))
    middle = columns * (WIDTH + GAP) / 2 + PAD
    for place, words in enumerate(heads):
        _box(shapes, middle + (place - (len(heads) - 1) / 2) * (WIDTH + GAP), 60, words, "#d9f2e3", 22)
    bottom = _draw(shapes, sop.steps, middle, 60 + HEIGHT + GAP)
    width, height = columns * (WIDTH + GAP) + 2 * PAD, bottom + PAD
    title = f'<text x="{PAD}" y="30" font-size="18">{escape(sop.title)} ({escape(sop.id)})</text>'
    marker = (
        '<defs><marker id="a" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#667"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="13">'
        f"<title>{escape(sop.title)}</title>{marker}{title}{''.join(shapes)}</svg>\n"
    )


def _columns(steps: tuple[Step, ...]) -> int:
    most = 1
    for step in steps:
        if step.branch is not None:
            most = max(most, _columns(step.branch.then) + _columns(step.branch.otherwise))
    return most


def _draw(shapes: list[str], steps: tuple[Step, ...], x: float, y: float) -> float:
    for step in steps:
        shapes.append(f'<line x1="{x}" y1="{y - GAP}" x2="{x}" y2="{y}" stroke="#667" marker-end="url(#a)"/>')
        _box(shapes, x, y, say_step(step), COLOURS.get(step.action, "#ffffff"), 4)
        y += HEIGHT + GAP
        if step.branch is not None:
            y = _fork(shapes, step, x, y)
    return y


def _fork(shapes: list[str], step: Step, x: float, y: float) -> float:
    assert step.branch is not None
    sides = (("是", step.branch.then, -1), ("否", step.branch.otherwise, 1))
    wide = (_columns(step.branch.then) + _columns(step.branch.otherwise)) * (WIDTH + GAP) / 4
    bottoms = []
    for word, inner, side in sides:
        at = x + side * wide
        shapes.append(f'<path d="M{x},{y - GAP} L{at},{y}" stroke="#667" fill="none"/>')
        shapes.append(f'<text x="{(x + at) / 2}" y="{y - 6}" fill="#667">{word}</text>')
        end = _draw(shapes, inner, at, y + GAP) if inner else y + GAP
        bottoms.append((at, end))
    low = max(end for _, end in bottoms)
    for at, end in bottoms:
        shapes.append(f'<path d="M{at},{end - GAP} L{at},{low} L{x},{low + 4}" stroke="#99a" fill="none"/>')
    return low + GAP


def _box(shapes: list[str], x: float, y: float, words: str, colour: str, radius: int) -> None:
    rows = [words[start : start + TEXT_CHARS] for start in range(0, len(words), TEXT_CHARS)][:2] or [""]
    if len(words) > 2 * TEXT_CHARS:
        rows[1] = rows[1][:-1] + "…"
    shapes.append(
        f'<rect x="{x - WIDTH / 2}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{radius}" fill="{colour}" '
        f'stroke="#667"><title>{escape(words)}</title></rect>'
    )
    for number, row in enumerate(rows):
        line = y + (27 if len(rows) == 1 else 19 + 17 * number)
        shapes.append(f'<text x="{x}" y="{line}" text-anchor="middle">{escape(row)}</text>')
