"""The page with the phones: one template, one script, one style sheet, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, select_autoescape

from bot.emulator.server import STATE

FOLDER = Path(__file__).parent / "page"
TYPES = {"phones.js": "text/javascript", "phones.css": "text/css"}

CHIPS = {
    "group": ("快吃完了", "帮我妈也带一份", "这个尺码偏大吗", "今天下雨了"),
    "private": ("快吃完了", "我有多少积分", "给闺蜜也买一份", "不要再发了"),
    "kf": (
        "我有多少积分",
        "积分换个杯子",
        "确认",
        "想退货",
        "想约明天下午的手冲课",
        "快吃完了",
        "转人工",
        "不要再发了",
    ),
    "oa": ("我有多少积分", "积分换个杯子", "确认", "营业时间", "转人工"),
    "app": (),
}
PUSHES = (("+30 分钟", 1800), ("+1 天", 86400), ("+7 天", 604800), ("+30 天", 2592000))

_PAGES = Environment(loader=FileSystemLoader(FOLDER), autoescape=select_autoescape(["html"]))


async def show_page(request: web.Request) -> web.StreamResponse:
    """GET /: the phones."""
    config = request.app[STATE].config
    till = config.till
    text = _PAGES.get_template("phones.html").render(
        chips=CHIPS,
        pushes=PUSHES if config.is_clock_shared else (),
        till=[button.label for button in till.buttons] if till else [],
    )
    return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})


async def send_asset(request: web.Request) -> web.StreamResponse:
    """GET /_emulator/page/NAME: the script or the style sheet."""
    name = request.match_info["name"]
    if name not in TYPES:
        raise web.HTTPNotFound
    text = (FOLDER / name).read_text(encoding="utf-8")
    return web.Response(text=text, content_type=TYPES[name], headers={"Cache-Control": "no-store"})


def add_page(app: web.Application) -> None:
    """Add the page to the application."""
    app.router.add_get("/", show_page)
    app.router.add_get("/_emulator/page/{name}", send_asset)
