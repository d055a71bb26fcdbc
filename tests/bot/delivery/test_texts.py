"""Texts in the sizes a channel takes: nothing lost, nothing too long, no sign of a reader's torn in two."""

from __future__ import annotations

import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.texts import cut, split_text

FAMILY, FLAG, SKIN, ACCENT = "👨‍👩‍👧‍👦", "🇨🇳", "👍🏽", "e\u0301"
SIGNS = st.sampled_from(["积分", "好的。", "换!", "\n", " ", "a", FAMILY, FLAG, SKIN, ACCENT, "❤️", "1️⃣", ",", "咖啡,"])
WORDS = st.lists(SIGNS, max_size=120).map("".join)


@given(WORDS, st.integers(30, 300))
@settings(max_examples=150, deadline=None)
def test_parts_are_short_whole_and_together_the_text(text: str, limit: int) -> None:
    """Joined they are what was said; each fits; every cut is between two signs as a reader sees them."""
    parts = split_text(text, limit)
    assert "".join(parts) == text
    assert all(len(part.encode()) <= limit for part in parts)
    assert [sign for part in parts for sign in regex.findall(r"\X", part)] == regex.findall(r"\X", text)
    assert all(parts) or text == ""


@given(WORDS, st.integers(30, 300))
@settings(max_examples=100, deadline=None)
def test_a_cut_text_fits_and_ends_with_an_ellipsis(text: str, limit: int) -> None:
    """What fits is left alone; what does not is shortened between two signs and says so."""
    short = cut(text, limit)
    assert len(short.encode()) <= limit
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


def test_a_long_answer_breaks_where_a_sentence_ends() -> None:
    """A reader does not find half a sentence at the end of a message."""
    text = "这款咖啡是中度烘焙, 适合早上喝。" * 60
    parts = split_text(text, 2048)
    assert len(parts) == 2
    assert parts[0].endswith("。")


def test_lines_go_before_sentences() -> None:
    """A list is cut between two of its lines."""
    text = "\n".join(f"{number}. 随行杯。很好看。" for number in range(100))
    assert all(part.endswith("\n") for part in split_text(text, 1024)[:-1])


def test_a_heap_of_marks_longer_than_a_message_is_cut_all_the_same() -> None:
    """One letter with a thousand accents cannot stay whole; it must not hold up the others either."""
    text = "a" + "\u0301" * 2000
    assert "".join(split_text(text, 300)) == text
