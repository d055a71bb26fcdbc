"""Logs: whoever writes the line, in either format, no phone number, no token and nobody's words stand in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from bot.logs import mask, set_up_logging
from bot.settings import Log

PHONE, TOKEN = "13812345678", "tok-verysecret"


@pytest.fixture(params=["json", "plain"])
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Everything that is logged in this format; logging is put back afterwards."""
    kind: Literal["json", "plain"] = request.param
    root = logging.getLogger()
    before, level, configured = root.handlers[:], root.level, structlog.get_config()
    set_up_logging(Log(format=kind))
    written = io.StringIO()
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    yield written
    root.handlers[:] = before
    root.setLevel(level)
    structlog.configure(**configured)


def ours() -> structlog.stdlib.BoundLogger:
    """A logger of ours that is made now."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("t")
    return logger.bind()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"电话{PHONE}谢谢", "电话138****5678谢谢"),
        (f"{PHONE},19912345678", "138****5678,199****5678"),
        ("订单 2026112013812345678", "订单 2026112013812345678"),
        (f"GET /cgi-bin/x?access_token={TOKEN}&a=1", "GET /cgi-bin/x?access_token=***&a=1"),
        (f"corpid=ww1&corpsecret={TOKEN}", "corpid=ww1&corpsecret=***"),
    ],
)
def test_phones_and_tokens_lose_their_middle(text: str, masked: str) -> None:
    """A phone number is still recognisable to who knows it; an order number is none."""
    assert mask(text) == masked


def test_our_lines_hold_nobodys_words(lines: io.StringIO) -> None:
    """Texts become their length, secrets stars, phone numbers lose their middle, also inside lists and mappings."""
    ours().info(
        "told",
        text="快吃完了",
        token=TOKEN,
        why=f"call {PHONE}",
        problems=[f"a {PHONE}"],
        more={"content": "我的秘密", "tel": PHONE, "secret": TOKEN},
    )
    said = lines.getvalue()
    assert "<4 characters>" in said and "138****5678" in said
    assert not any(private in said for private in ("快吃完了", "我的秘密", PHONE, TOKEN))


def test_errors_hold_no_phone_and_no_token(lines: io.StringIO) -> None:
    """A traceback is masked as well, of our lines and of a library's."""
    for log in (ours().exception, logging.getLogger("aiohttp.server").exception):
        try:
            raise ValueError(f"{PHONE} at https://x/?access_token={TOKEN}")
        except ValueError:
            log("failed")
    said = lines.getvalue()
    assert said.count("138****5678") >= 2 and said.count("access_token=***") >= 2
    assert PHONE not in said and TOKEN not in said


def test_a_librarys_lines_go_through_the_same_chain(lines: io.StringIO) -> None:
    """Lines of the standard logging are masked too, arguments put in."""
    logging.getLogger("lib").warning("sent to %s with access_token=%s", PHONE, TOKEN)
    assert "138****5678" in lines.getvalue() and TOKEN not in lines.getvalue()


def test_json_lines_are_one_object_each(lines: io.StringIO) -> None:
    """A machine reads each line by itself, with level and time; Chinese stands as Chinese."""
    ours().info("开始了", parts=["web"])
    ours().warning("两行\n文字", n=1)
    written = lines.getvalue().splitlines()
    if not written[0].startswith("{"):
        pytest.skip("the plain format is for people")
    first, second = map(json.loads, written)
    assert (first["event"], first["level"], first["parts"]) == ("开始了", "info", ["web"])
    assert second["event"] == "两行\n文字" and second["timestamp"].endswith("Z")
