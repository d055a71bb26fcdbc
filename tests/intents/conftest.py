"""A small synthetic shop: enough sentences to learn three scenarios in a second."""

from __future__ import annotations

import pytest

from intents.model import LinearModel
from intents.scenarios import Labelled
from intents.training import train
from intents.words import base_dictionary

_SENTENCES = {
    "running_out": (
        "咖啡快喝完了", "就剩最后两包啦", "罐子又见底了", "还够喝三天", "粮快没了", "奶粉快吃完了", "面霜快用完了",
        "只剩一袋了", "最后一盒也拆了", "这瓶要见底了", "茶包快喝光了", "家里就剩半罐", "猫粮快没了呀", "洗衣液用完了",
    ),
    "points_query": (
        "我有多少积分", "积分还剩多少", "查一下我的积分", "帮我看看积分余额", "我的积分什么时候过期", "积分到账了吗",
        "我现在几分了 积分", "积分明细在哪看", "我积分怎么少了", "查积分", "看下我还有多少积分", "我这账号积分是多少",
    ),
    "human_agent": (
        "转人工", "我要人工客服", "叫你们店长来", "有没有真人", "找个活人跟我说", "人工人工", "让负责人联系我",
        "换个真人来聊", "别机器人了转人工", "请转人工服务", "叫经理出来", "麻烦转一下人工",
    ),
}  # fmt: skip
_TWO_NEEDS = ("咖啡快喝完了,顺便看下我还有多少积分", "积分查不到,转人工", "猫粮见底了 叫店长来")
_NONE = (
    "手机快没电了", "外卖快吃完了", "上周喝完就补了", "还没喝完呢", "球队积分排第几", "电影快演完了", "作业快写完了",
    "周末去哪玩", "今天好热啊", "早上好", "收到谢谢", "哈哈哈哈", "孩子睡了吗", "晚上吃什么", "明天降温多穿点",
    "这个群好热闹", "刚下班", "堵车了", "我到家了", "在吗", "好的", "嗯嗯", "联赛积分榜看了吗", "人工智能真厉害",
    "人工湖那边开花了", "最后两节课上完了", "钱包见底了", "流量只剩一点了", "够睡三天了", "店长人挺好的",
    "地铁上人好多", "老师布置的作业", "下雨了记得带伞", "刚看完新闻", "健身去了", "车快没油了",
    "信用卡积分清零了", "昨天就买过了",
)  # fmt: skip


@pytest.fixture(scope="session")
def sentences() -> list[Labelled]:
    """Sentences with one scenario, with two and with none."""
    single = [Labelled(text, frozenset({name})) for name, texts in _SENTENCES.items() for text in texts]
    double = [
        Labelled(_TWO_NEEDS[0], frozenset({"running_out", "points_query"})),
        Labelled(_TWO_NEEDS[1], frozenset({"points_query", "human_agent"})),
        Labelled(_TWO_NEEDS[2], frozenset({"running_out", "human_agent"})),
    ]
    return [*single, *double, *(Labelled(text, frozenset()) for text in _NONE)]


@pytest.fixture(scope="session")
def dictionary() -> dict[str, int]:
    """The dictionary a training takes from jieba, read once."""
    return base_dictionary()


@pytest.fixture(scope="session")
def model(sentences: list[Labelled], dictionary: dict[str, int]) -> LinearModel:
    """One model for the whole run; nobody changes it."""
    return train(sentences, [], seed=7, lexicon=["冻干咖啡"], dictionary=dictionary)
