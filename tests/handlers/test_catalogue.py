"""Finding the reward a customer means, in the words people use for it."""

from __future__ import annotations

import pytest

from handlers import catalogue
from handlers.brand import Brand
from loyalty.rewards import Offer

pytestmark = pytest.mark.either_engine


@pytest.fixture(scope="module")
def offers(sample: Brand) -> list[Offer]:
    """Every reward of the sample programme."""
    return [Offer(reward, reward.stock) for reward in sample.programme.rewards]


def found(text: str, offers: list[Offer], shown: tuple[str, ...] = ()) -> list[str]:
    """The ids that a text is taken to mean."""
    return [reward.id for reward in catalogue.find(text, offers, shown)]


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("保温杯", "thermos_cup"),
        ("我想用积分换个保温杯", "thermos_cup"),
        ("积分兑换保温水杯", "thermos_cup"),
        ("麻烦帮我换两个随行杯吧", "travel_cup"),
        ("十元券", "coupon_10"),
        ("10元券能换吗", "coupon_10"),
        ("换杯拿铁", "latte"),
        ("烘焙 课", "roastery_tour"),
        ("积分换任意中杯拿铁", "latte"),
    ],
)
def test_a_name_or_alias_is_found(text: str, reward: str, offers: list[Offer]) -> None:
    """A name or an alias that stands in the message is a hit, whatever words of asking stand around it."""
    assert found(text, offers) == [reward]


@pytest.mark.parametrize(
    ("text", "reward"), [("保温", "thermos_cup"), ("换个随行的", "travel_cup"), ("帆布", "canvas_bag")]
)
def test_a_part_of_a_name_is_found(text: str, reward: str, offers: list[Offer]) -> None:
    """A part that only one reward has is enough."""
    assert found(text, offers) == [reward]


@pytest.mark.parametrize(
    ("text", "reward"), [("保问杯", "thermos_cup"), ("积分换保问杯", "thermos_cup"), ("随形杯", "travel_cup")]
)
def test_a_slip_of_one_character_is_forgiven(text: str, reward: str, offers: list[Offer]) -> None:
    """One wrong character of three still names the reward: a prompt follows that names it in full."""
    assert found(text, offers) == [reward]


@pytest.mark.parametrize("text", ["积分换个杯子", "换杯子", "兑换杯子"])
def test_a_word_of_two_rewards_gives_both(text: str, offers: list[Offer]) -> None:
    """杯子 may be either cup, so that the customer is asked which."""
    assert found(text, offers) == ["thermos_cup", "travel_cup"]


@pytest.mark.parametrize("text", ["换个电饭煲", "iPhone", "", "积分兑换", "我想换礼品", "哈哈", "。"])
def test_what_is_not_in_the_catalogue_is_not_guessed(text: str, offers: list[Offer]) -> None:
    """An unknown reward, or none named at all, finds nothing."""
    assert found(text, offers) == []


SHOWN = ("sticker", "travel_cup", "thermos_cup")


@pytest.mark.parametrize(
    ("text", "reward"), [("1", "sticker"), ("第二个", "travel_cup"), ("选3号", "thermos_cup"), ("３", "thermos_cup")]
)
def test_a_number_is_a_place_in_the_list_just_shown(text: str, reward: str, offers: list[Offer]) -> None:
    """The number counts in the list the customer saw, not in the catalogue."""
    assert found(text, offers, SHOWN) == [reward]


@pytest.mark.parametrize("text", ["0", "4", "第十个", "99"])
def test_a_number_beyond_the_list_finds_nothing(text: str, offers: list[Offer]) -> None:
    """No wrapping round, no last one: a place that is not there is none."""
    assert found(text, offers, SHOWN) == []


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("baowenbei", "thermos_cup"),
        ("积分换bao wen bei", "thermos_cup"),
        ("baowenbie", "thermos_cup"),
        ("bwb", "thermos_cup"),
        ("水行杯", "travel_cup"),
        ("拿贴", "latte"),
        ("帆布代", "canvas_bag"),
        ("红焙工坊", "roastery_tour"),
        ("優惠券", "coupon_10"),
    ],
)
def test_a_name_is_found_by_its_sound(text: str, reward: str, offers: list[Offer]) -> None:
    """Pinyin as letters, first letters, a voice slip and traditional characters name the reward."""
    assert found(text, offers) == [reward]


@pytest.mark.parametrize(
    ("text", "rewards"),
    [
        ("保温杯和拿铁各一个", ["thermos_cup", "latte"]),
        ("不要保温杯了要随行杯", ["travel_cup"]),
        ("咖啡随行杯", ["travel_cup"]),
        ("1", []),
        ("a", []),
    ],
)
def test_two_names_are_two_wishes_and_a_refused_one_is_none(
    text: str, rewards: list[str], offers: list[Offer]
) -> None:
    """Each name in a message counts once, one that is refused does not, and a bare sign is no part of a name."""
    assert found(text, offers) == rewards


@pytest.mark.parametrize(
    ("text", "reward"), [("最便宜的", "sticker"), ("最贵能换的", "roastery_tour"), ("最划算的", "latte")]
)
def test_superlatives(text: str, reward: str, offers: list[Offer]) -> None:
    """By cost, and by what a reward is worth for its points."""
    best = catalogue.superlative(text, offers)
    assert best is not None and [one.id for one in best] == [reward]


def test_no_superlative_is_none(offers: list[Offer]) -> None:
    """A message that compares nothing asks for no best."""
    assert catalogue.superlative("换个杯子", offers) is None


@pytest.mark.parametrize(
    ("text", "reward"), [("最后一个", "thermos_cup"), ("倒数第二个", "travel_cup"), ("第二个要两份", "travel_cup")]
)
def test_a_place_within_a_longer_message(text: str, reward: str, offers: list[Offer]) -> None:
    """Counted from the end, or with words around it."""
    assert found(text, offers, SHOWN) == [reward]


def test_a_place_whose_reward_has_closed_meanwhile_finds_nothing(offers: list[Offer]) -> None:
    """What is no longer offered cannot be picked by its old number."""
    still_open = [offer for offer in offers if offer.reward.id != "sticker"]
    assert found("1", still_open, SHOWN) == []


def test_a_name_goes_before_a_list(offers: list[Offer]) -> None:
    """Also with a list open a name may be one that does not stand in it."""
    assert found("还是换贴纸吧", offers, ("travel_cup", "thermos_cup")) == ["sticker"]


@pytest.mark.parametrize(
    ("text", "rest"),
    [("积分换个杯子", "杯子"), ("我想要兑换两张10元券", "10元券"), ("帮我换一下", ""), ("换三杯拿铁吧", "拿铁")],
)
def test_what_remains_is_what_is_wanted(text: str, rest: str) -> None:
    """The words of asking and counting are taken away, the thing stays."""
    assert catalogue.wanted(text) == rest
