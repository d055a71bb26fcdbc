"""Logging: one line an event, as JSON or for people, with personal data masked whoever wrote the line."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

import structlog
from structlog.types import EventDict, Processor

from bot.settings import Log

_PRIVATE: Final = frozenset({"text", "content", "said", "quote", "name", "nickname", "remark", "raw", "payload"})
_SECRET: Final = frozenset({"token", "secret", "access_token", "aes_key", "authorization", "api_key", "signature"})
_PHONE: Final = re.compile(r"(?<!\d)(1[3-9]\d)\d{4}(\d{4})(?!\d)")
_QUERY_TOKEN: Final = re.compile(r"(access_token|corpsecret|secret|key)=[^&\s\"']+")


def mask(value: str) -> str:
    """A text with phone numbers and tokens made unreadable."""
    return _QUERY_TOKEN.sub(r"\1=***", _PHONE.sub(r"\1****\2", value))


def mask_event(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """What people wrote becomes its length, secrets become stars, phone numbers lose their middle."""
    for key, value in list(event.items()):
        if not key.startswith("_"):  # the chain's own marks
            event[key] = _masked(key, value)
    return event


def _masked(key: str, value: Any) -> Any:
    if key in _SECRET:
        return "***"
    if isinstance(value, str):
        return f"<{len(value)} characters>" if key in _PRIVATE else mask(value)
    if isinstance(value, dict):
        return {inner: _masked(str(inner), held) for inner, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(key, held) for held in value]
    return value


def set_up_logging(settings: Log) -> None:
    """Send our lines and those of libraries through one chain to standard error."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_event,
    ]
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if settings.format == "plain":
        renderer = structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Lines below the level cost nothing: a callback has one at DEBUG.
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.level)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level)
    for noisy in ("aiohttp.access", "alembic", "jieba"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
