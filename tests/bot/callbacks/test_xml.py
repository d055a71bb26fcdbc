"""The XML reader: lenient about elements, equal on both of its paths, and deaf to document types."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.wecom.crypto import BadCallback, BadXml, TooLarge
from bot.wecom.xml import MAX_DEPTH, _flat, _nested, parse

NAMES = st.sampled_from(["ToUserName", "Content", "MsgId", "A", "_b1", "xml"])
PIECES = st.sampled_from(
    [
        *"ab<>&]['\"= \t\n\r/!\x00\x01\x0b\x7f\u3000\ufffe\uffff好😀",
        "]]>",
        "]]",
        "<![CDATA[",
        "</A>",
        "<A>",
        "&amp;",
        "&#65;",
    ]
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)
LEAVES = st.tuples(NAMES, st.booleans(), TEXTS, st.sampled_from(["", " ", "\n", "x"]))


def written(leaves: list[tuple[str, bool, str, str]], root: str, tail: str) -> bytes:
    """XML as someone careless would write it."""
    inner = "".join(f"<{n}>{f'<![CDATA[{t}]]>' if q else t}</{n}>{space}" for n, q, t, space in leaves)
    return f"{root}{inner}</xml>{tail}".encode()


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.lists(LEAVES, max_size=5),
    st.sampled_from(["<xml>", "<xml>\n ", "<xml >", "<xml>x"]),
    st.sampled_from(["", "\n"]),
)
def test_fast_path_says_what_expat_says(leaves: list[tuple[str, bool, str, str]], root: str, tail: str) -> None:
    """Wherever the fast path gives an answer, expat gives the same one."""
    data = written(leaves, root, tail)
    fast = _flat(data)
    if fast is not None:
        assert fast == _nested(data)


def test_fast_path_takes_the_ordinary_message() -> None:
    """The ordinary message does go the fast way, or the test above would prove nothing."""
    assert _flat("<xml><A><![CDATA[ 好]] ]]></A>\n<B>1</B><C></C><D><![CDATA[]]></D></xml>".encode()) == {
        "A": " 好]] ",
        "B": "1",
        "C": "",
        "D": "",
    }


def test_nested_elements_lists_and_white_space() -> None:
    """Children become a dict, repeated ones a list, and the white space of a text stays."""
    text = "<xml><L><Item>a</Item><Item> b\n</Item></L><T>  快吃完了 </T><O><P>1</P></O><T2>&lt;x&gt;</T2></xml>"
    assert parse(text.encode()) == {
        "L": {"Item": ["a", " b\n"]},
        "T": "  快吃完了 ",
        "O": {"P": "1"},
        "T2": "<x>",
    }


BOMB = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "data",
    [
        f'<!DOCTYPE x [<!ENTITY l0 "lol">{BOMB}]><xml><A>&l9;</A></xml>',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><A>&e;</A></xml>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><xml><A>1</A></xml>',
        "<!DOCTYPE xml><xml><A>1</A></xml>",
        "<xml><A>&undefined;</A></xml>",
        "<xml><A>1</B></xml>",
        "<xml><A>1</A>",
        "",
        "好",
        "<xml><A>\x00</A></xml>",
    ],
)
def test_entities_document_types_and_damage_are_refused(data: str) -> None:
    """Nothing is expanded, fetched or guessed."""
    with pytest.raises(BadXml):
        parse(data.encode())


@pytest.mark.parametrize("data", [b"<xml><A>\xff</A></xml>", "<xml><A>好</A></xml>".encode("gbk")])
def test_other_encodings_are_refused(data: bytes) -> None:
    """The platform speaks UTF-8, whatever a declaration says."""
    with pytest.raises(BadXml):
        parse(data)


def test_depth_width_and_size_are_bounded() -> None:
    """Deep, wide and long documents end before they cost anything."""
    deep = "<xml>" + "<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH + "</xml>"
    wide = "<xml>" + "<a/>" * 5000 + "</xml>"
    same = "<xml>" + "<a></a>" * 5000 + "</xml>"
    long = "<xml><a>" + "x" * 200_000 + "</a></xml>"
    for text in (deep, wide, same, long):
        with pytest.raises(TooLarge):
            parse(text.encode())


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_tree_or_a_refusal(data: bytes) -> None:
    """No bytes make it raise anything but its own errors."""
    for text in (data, b"<xml><A>" + data + b"</A></xml>"):
        with suppress(BadCallback):
            assert isinstance(parse(text), dict)
