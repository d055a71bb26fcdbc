"""Masking: nobody who reads what leaves can tell who wrote it, and what they want can still be read."""

from __future__ import annotations

import pytest

from bot.masking import mask_personal


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("我电话13812345678,帮我查积分", "13812345678"),
        ("打138 1234 5678吧", "1234"),
        ("电话138-1234-5678", "5678"),
        ("+86 13812345678 是我", "13812345678"),
        ("座机021-62345678", "62345678"),
        ("手机号１３８１２３４５６７８", "13812345678"),
        ("电话一三八幺二三四五六七八", "一三八"),
        ("身份证31010119900101123X", "31010119900101123X"),
        ("订单号2026112013812345678 到哪了", "2026112013812345678"),
        ("单号SF1234567890123啥时候到", "SF1234567890123"),
        ("单号 YT-20261120-77", "20261120"),
        ("会员卡 6222 0210 0112 3456", "0112"),
        ("寄到浙江省杭州市西湖区文三路478号3幢201室", "文三路"),
        ("上海市徐汇区那边能送吗", "徐汇区"),
        ("我家在中山北路100弄5号", "中山北路"),
        ("放12号楼2单元301门口", "12号楼"),
        ("地址是幸福里三排东头第二家,谢谢", "幸福里"),
        ("加我微信abc_12345", "abc_12345"),
        ("发我邮箱 liu.yang@example.com", "liu.yang"),
        ("看这个https://shop.example/o/123456", "shop.example"),
        ("我叫张小花,积分怎么没了", "张小花"),
        ("我姓欧,不对我姓王", "我姓王"),
        ("麻烦告诉王建国先生", "王建国"),
        ("收件人:李雷雷", "李雷雷"),
        ("沪A12345 周六保养", "A12345"),
    ],
)
def test_who_it_is_does_not_leave(text: str, secret: str) -> None:
    """Phones in every way people write them, numbers, addresses, accounts, names they say."""
    assert secret not in mask_personal(text)


def test_known_names_do_not_leave() -> None:
    """A name that we know is found wherever it stands; one letter is no name."""
    assert mask_personal("阿青的积分是多少, a", ["阿青", "a"]) == "[姓名]的积分是多少, a"


@pytest.mark.parametrize(
    "text",
    [
        "差不多了,再来2盒", "618有活动吗", "一天吃几包?30包一盒的", "满199减20能叠加吗", "周六下午3点能约吗",
        "我有多少积分,够换杯子不", "第12天打卡", "孕妇28周能喝吗", "换成500g的行不行", "五六天就喝完了",
    ],
)  # fmt: skip
def test_what_they_want_stays(text: str) -> None:
    """Small numbers, amounts, days and sizes carry the meaning."""
    assert mask_personal(text) == text.replace("?", "?")
