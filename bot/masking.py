"""Masking: what a customer wrote without who they are, before it leaves the house.

Rather a word too many than one too few: a reader far away needs the wish, not the person.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from bot.logs import mask

_PLACE: Final = "省|自治区|市|自治州|州|盟|区|县|旗|镇|乡|街道|村"
_ROAD: Final = "路|大街|街|大道|巷|弄|胡同|里|小区|花园|公寓|大厦|广场|苑|家园|新村|城|府"
_DOOR: Final = "号楼|号院|号|弄|栋|幢|座|单元|室|层|楼|期"
_NUMBER: Final = r"[0-9一二三四五六七八九十百零〇]+(?:[-—][0-9]+)*"
_SURNAMES: Final = (
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏水窦章云苏潘葛范彭郎鲁韦马苗方俞任袁柳鲍史"
    "唐费廉薛雷贺倪汤罗毕郝邬安常傅卞齐康伍余顾孟黄穆萧尹姚邵汪毛米戴宋庞熊纪舒屈项祝董梁杜阮蓝闵季贾江童颜郭梅林钟徐邱骆高夏蔡田樊"
    "胡凌霍虞万柯卢莫房丁邓单洪包石崔龚程邢裴陆翁荀惠甄曲封段侯宁仇甘武刘景詹龙叶司黎白蒲谭温庄柴阎连艾容古易廖耿匡文聂曾游"
)
_RULES: Final = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"https?://\S+|www\.\S+", "[链接]"),
        (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "[邮箱]"),
        (r"(?i)(?:微信号?|vx|v信|wechat|qq号?|账号|帐号)\s*[:是]?\s*[a-z0-9][a-z0-9_-]{4,}", "[账号]"),
        (r"(?:收货|收件|邮寄|寄送|我家|家庭|公司)?地址[:是]?\s*[^,。;!?\n]+", "[地址]"),
        (rf"(?:[\u4e00-\u9fff]{{1,8}}?(?:{_PLACE})){{2,}}(?:[\u4e00-\u9fff0-9]{{1,12}}?(?:{_ROAD}))*"
         rf"(?:{_NUMBER}(?:{_DOOR}))*(?:{_NUMBER})?", "[地址]"),
        (rf"[\u4e00-\u9fff]{{1,10}}?(?:{_ROAD})\s*(?:[东南西北中][一二三四]?段?)?{_NUMBER}(?:{_DOOR})"
         rf"(?:{_NUMBER}(?:{_DOOR})?)*", "[地址]"),
        (rf"[0-9A-Za-z]+\s*(?:号楼|栋|幢|单元)(?:\s*{_NUMBER}(?:{_DOOR})?)*", "[地址]"),
        (r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Za-z][·\s]?[A-Za-z0-9]{5,6}", "[车牌]"),
        (r"(?:\+?86[-\s]?)?1[3-9](?:[-\s.]?\d){9}(?!\d)", "[电话]"),
        (r"(?<!\d)0\d{2,3}[-\s]\d{7,8}(?!\d)", "[电话]"),
        (r"[一二三四五六七八九零〇幺两]{7,}", "[号码]"),
        (r"(?=[A-Za-z0-9_-]*\d{4})[A-Za-z0-9][A-Za-z0-9_-]{5,}", "[号码]"),
        (r"\d(?:[-\s]?\d){5,}", "[号码]"),
        (r"(我叫|我是叫|本人|姓名[:是]?|收件人[:是]?|联系人[:是]?|名字[:是叫]?)\s*[\u4e00-\u9fff·]{2,4}", r"\1[姓名]"),
        (rf"(我姓|免贵姓)[{_SURNAMES}]", r"\1[姓]"),
        (rf"[{_SURNAMES}][\u4e00-\u9fff]{{0,2}}(?=先生|女士|小姐|太太)", "[姓名]"),
    )
)
_SHORTEST_NAME: Final = 2


def mask_personal(text: str, names: Iterable[str] = ()) -> str:
    """The text with phones, numbers of people and orders, addresses, accounts and these known names left out."""
    masked = unicodedata.normalize("NFKC", text)
    for name in sorted({unicodedata.normalize("NFKC", name).strip() for name in names}, key=len, reverse=True):
        if len(name) >= _SHORTEST_NAME:
            masked = masked.replace(name, "[姓名]")
    for pattern, word in _RULES:
        masked = pattern.sub(word, masked)
    return mask(masked)
