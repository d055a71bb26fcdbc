"""Words that behave alike, so that what is learnt of 猫粮快吃完 holds for 面霜快用完 and not for 作业快写完."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

_CLASSES = {
    # What people use up, wear out or ask a shop about.
    "P": "咖啡 冻干 挂耳 拿铁 美式 豆子 茶 茶包 茶叶 奶粉 牛奶 酸奶 豆奶 燕麦 麦片 代餐 蛋白粉 益生菌 "
    "钙片 鱼油 维生素 胶囊 酵素 阿胶 燕窝 蜂蜜 坚果 牛肉干 饼干 蛋糕 面包 米 大米 面条 油 酱油 "
    "辅食 米粉 零食 面霜 眼霜 精华 乳液 水乳 爽肤水 面膜 防晒 洗面奶 洁面 粉底 粉底液 口红 唇釉 "
    "眼影 安瓶 护发素 洗发水 发膜 沐浴露 牙膏 牙刷 刷头 香水 香薰 尿不湿 纸尿裤 湿巾 奶嘴 奶瓶 "
    "猫粮 狗粮 猫砂 罐头 冻干粮 猫条 驱虫药 滤芯 滤网 尘袋 墨盒 机油 玻璃水 洗衣液 洗衣凝珠 纸巾 "
    "抽纸 课 课时 私教课 次卡 疗程 衣服 裙子 裤子 外套 毛衣 鞋 鞋子 袜子 内衣 包包 手表 净水器 "
    "扫地机 空气净化器 洗碗机 吸尘器 锅 杯子 保温杯 套装 礼盒 小样 新品 产品 商品 东西 货 "
    "隐形眼镜 日抛 美瞳 药膏 芝麻丸 粮 糖 果汁 饮料 酒 白酒 红酒 礼品 礼物",
    # The same verbs said of these are no business of the shop.
    "O": "外卖 手机 电 电量 电池 充电宝 流量 话费 油箱 汽油 作业 论文 方案 报告 工作 会议 会 球队 球赛 "
    "比赛 联赛 中超 英超 世界杯 游戏 段位 排位 皮肤 信用卡 花呗 银行卡 航空 里程 驾照 学分 考试 "
    "地铁 公交 公交卡 高铁 机票 火车 火车票 车票 电影 电影票 剧 综艺 小说 演唱会 年假 假期 寒假 "
    "暑假 周末 工资 房租 水电 电费 水费 网费 饭 早饭 午饭 晚饭 火锅 烧烤 西瓜 冰箱 耐心 时间 头发 "
    "学校 老师 幼儿园 医院 淘宝 京东 拼多多 抖音 滴滴 美团 饿了么 微信 支付宝 小区 物业 股票 基金 "
    "彩票 钱包 电脑 房子 车位 停车场 驿站 天气 疫苗 体检 社保 公积金 户口 落户 婚礼 红包 孩子 "
    "作文 试卷 题 书 手游 王者 副本 健康码 银行 超市 菜市场 食堂 奶茶店 餐厅 酒店 景区 门票",
    # Kin and company: who asks, or who it is bought for.
    "K": "同事 朋友 闺蜜 老公 老婆 对象 我妈 我爸 妈妈 爸爸 爸妈 婆婆 公公 岳母 丈母娘 姐 姐姐 妹 妹妹 "
    "哥 哥哥 弟 弟弟 邻居 室友 同学 亲戚 表姐 表妹 嫂子 舅妈 姨妈 阿姨 奶奶 爷爷 外婆 姥姥 家里人 "
    "家人 老人 别人 领导 客户 男朋友 女朋友 男友 女友 姐妹 小姐妹 姑姑 儿子 女儿 长辈 老妈 老爸 "
    "婆家 娘家 发小 舍友 街坊 妈 爸 老人家 邻家 亲家 老板娘",
    "V": "吃 喝 用 擦 抹 刷 洗 喂 穿 泡 敷 涂 炖 煮 冲 使 嗑 啃 食 饮 造 干掉 消灭 消耗",
    # Used up.
    "E": "完 光 没了 见底 告急 到底 空 空了 用完 吃完 喝完 用光 吃光 喝光 没有了 断货 断粮 不多 不多了 "
    "底 干净 见了底 用尽 没啦",
    # Left over.
    "L": "剩 只剩 就剩 剩下 还剩 最后 仅剩 余 剩余 剩个",
    "T": "上周 上个月 上月 上次 上回 昨天 昨晚 昨儿 前天 前几天 前阵子 去年 早就 早都 已经 之前 那天 "
    "当时 以前 刚刚 刚才 刚",
    "F": "明天 后天 下周 下个月 周一 周二 周三 周四 周五 周六 周日 星期六 礼拜六 下午 上午 今晚 晚上 "
    "早上 中午 月底 国庆 春节 过年",
    "A": "吗 么 什么 啥 怎么 咋 咋样 怎样 如何 多少 几 哪 哪里 哪儿 哪个 能不能 可不可以 有没有 是不是 "
    "多久 为啥 为什么 嘛",
    "M": "没 不 没有 别 不用 不要 不想 未 还没 不是 甭 莫 没法 无法 不能",
    "S": "客服 店长 经理 人工 真人 活人 负责人 主管 老板 店员 导购 顾问 机器人 专员",
    "I": "我 俺 咱 咱们 我们 本人 偶 人家 我家 自己",
    "Y": "你们 你 您 贵店 你家 店里 商家 店家 你们家",
    "G": "给 帮 替 送 为 带 捎 寄给 推荐",
    "B": "买 下单 购买 订 拍 囤 入手 购 回购 复购 补 补货 续 来",
    "C": "换 改 换成 改成 升级 调 更换",
    "H": "要是 如果 假如 万一 的话 若 倘若 除非 等 哪天 以后",
    "Q": "说 问 讲 听说 据说 写 喊 看到 广告 视频 新闻 直播间",
    "W": "碎 破 坏 漏 裂 瘪 变质 发霉 过期 发错 少发 漏发 错 掉 断 开裂 变形",
    "X": "差 差劲 垃圾 坑 骗 失望 恶心 气死 无语 敷衍 糊弄 离谱 过分 烂 难吃 难喝 难用",
    "Z": "好吃 好喝 好用 喜欢 满意 舒服 香 赞 棒 惊艳 值 爱 爱了 绝 不错 漂亮 好看",
    "D": "快递 物流 发货 单号 派送 签收 地址 发票 订单 包裹 配送",
}  # fmt: skip
_CLASS_OF = {word: sign for sign, words in _CLASSES.items() for word in words.split()}
_COUNTS = "一二两三四五六七八九十几半俩仨"
_UNITS = "包袋盒瓶片粒勺顿次条支罐颗杯桶张箱份斤块天口节件套袋个"
_AMOUNT = re.compile(f"[{_COUNTS}0]+[{_UNITS}]?")
PARTICLES = frozenset("啊呢呀啦哈哦咯喽哟呗滴捏诶唉嗯的吧")


def class_words() -> list[str]:
    """Words of more than one character that have a class: a dictionary must keep them whole."""
    return [word for word in _CLASS_OF if len(word) > 1]


def class_of(word: str) -> str:
    """The sign of a word's class; the word itself where it has none."""
    sign = _CLASS_OF.get(word)
    if sign is not None:
        return sign
    if word[0] in _COUNTS and _AMOUNT.fullmatch(word):
        return "NU" if word[-1] in _UNITS else "N"
    if len(word) == 1 and word in _UNITS:
        return "U"
    return "N" if word.isdecimal() else word


def skeleton_grams(words: Sequence[str]) -> list[str]:
    """Runs of one to three classes of cut words, particles left out, between boundary marks."""
    bones = [class_of(word) for word in words if word not in PARTICLES]
    framed = ["^", *bones, "$"]
    pairs = [f"{left} {right}" for left, right in pairwise(framed)]
    return [*bones, *pairs, *(f"{pair} {last}" for pair, last in zip(pairs, framed[2:], strict=False))]
