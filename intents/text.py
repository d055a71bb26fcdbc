"""One written form for what people type: width, case, script, emoji, space."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

# Named as WeChat names its own stickers in text, so that 👍 and [强] become one word.
_EMOJI = {
    "😂": "[笑哭]", "🤣": "[笑哭]", "😊": "[微笑]", "🙂": "[微笑]", "😄": "[开心]", "😁": "[开心]",
    "😃": "[开心]", "😀": "[开心]", "😆": "[开心]", "😍": "[色]", "🥰": "[色]", "😘": "[亲亲]",
    "😋": "[馋嘴]", "🤤": "[馋嘴]", "😭": "[流泪]", "😢": "[流泪]", "🥺": "[可怜]", "😡": "[发怒]",
    "😠": "[发怒]", "🤬": "[发怒]", "😤": "[发怒]", "👿": "[发怒]", "😅": "[汗]", "😓": "[汗]",
    "🙄": "[白眼]", "😒": "[白眼]", "🤦": "[捂脸]", "🤔": "[疑问]", "❓": "?", "❔": "?", "❗": "!",
    "❕": "!", "👍": "[强]", "💪": "[加油]", "👎": "[弱]", "🙏": "[合十]", "🤝": "[握手]", "👌": "[ok]",
    "👏": "[鼓掌]", "❤": "[爱心]", "💕": "[爱心]", "💖": "[爱心]", "💗": "[爱心]", "🧡": "[爱心]",
    "💔": "[心碎]", "🌹": "[玫瑰]", "🎉": "[庆祝]", "🎊": "[庆祝]", "🎁": "[礼物]", "🧧": "[红包]",
    "🔥": "[火]", "✅": "[打勾]", "☑": "[打勾]", "✔": "[打勾]", "❌": "[打叉]", "📦": "[包裹]",
    "🚚": "[快递]", "🐂": "[牛]", "🐮": "[牛]", "💩": "[便便]", "😴": "[睡]", "🤮": "[吐]", "🤢": "[吐]",
}  # fmt: skip
_EMOJI_TABLE = {ord(sign): word for sign, word in _EMOJI.items()}
# Variation selectors, joiners, skin tones, marks of direction, controls and lone surrogates say nothing.
_NOISE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060\ufe00-\ufe0f\ufeff\U0001f3fb-\U0001f3ff\x00-\x08\x0e-\x1f"
                    "\x7f-\x9f\ud800-\udfff]")  # fmt: skip
_SPACE = re.compile(r"[^\S\n]+")
_LONG_RUN = re.compile(r"([^\W\d]|[^\w\s])\1{2,}")
_STICKER_RUN = re.compile(r"(\[[^\[\]\n]{1,4}\])(?: ?\1)+")


def normalise(text: str) -> str:
    """NFKC, lower case, simplified characters, frequent emoji as [words], single spaces, runs cut to two.

    Never raises; lone surrogates and invisible characters are dropped; idempotent.
    """
    return normalise_all([text])[0]


def normalise_all(texts: Sequence[str]) -> list[str]:
    """Each text as `normalise` gives it; one pass over all of them, because a call costs more than a character."""
    if not texts:
        return []
    whole = "\n".join(texts)
    if whole.count("\n") >= len(texts):
        whole = "\n".join([text.replace("\n", " ") for text in texts])
    if not whole.isascii():
        # Emoji go first: NFKC would turn some of them into letters.
        whole = _simplify(unicodedata.normalize("NFKC", _NOISE.sub("", whole.translate(_EMOJI_TABLE))))
    else:
        whole = _NOISE.sub("", whole)
    whole = _LONG_RUN.sub(r"\1\1", _SPACE.sub(" ", whole.lower()))
    if "]" in whole:
        whole = _STICKER_RUN.sub(r"\1", whole)
    return [line.strip() for line in whole.split("\n")]


def simplified(text: str) -> str:
    """The text in simplified characters, otherwise as it was written."""
    return _simplify(text)


class _Simplified(dict[int, str]):
    """A translate table that asks OpenCC once for each character it meets."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        # Only ideographs have a second script; everything else answers for itself.
        self[code] = _converter().convert(char) if "\u3400" <= char <= "\u9fff" else char
        return self[code]


_SIMPLIFIED = _Simplified()


@cache
def _converter() -> Any:
    from opencc import OpenCC

    return OpenCC("t2s")


def _simplify(whole: str) -> str:
    # The character table tells in a microsecond whether OpenCC, a thousand times slower, is needed.
    if (plain := whole.translate(_SIMPLIFIED)) == whole:
        return whole
    pairs = zip(whole.split("\n"), plain.split("\n"), strict=True)
    return "\n".join([line if line == changed else _convert(line) for line, changed in pairs])


@lru_cache(maxsize=4096)
def _convert(text: str) -> str:
    return str(_converter().convert(text))
