"""Points: how many there are, and what lapses when."""

from __future__ import annotations

from handlers.talk.turn import Prompt, Say, Scene, Turn


def tell(turn: Turn) -> Scene:
    """我还有多少积分: the balance and every lot that will lapse, told in private only."""
    text = describe_balance(turn)
    if turn.is_automatic:
        yield Say(text)
        return
    why = f"客户问了自己的{turn.brand.programme.points_name}, 数字只可私聊告知"
    yield Prompt("points_query", why, turn.reply("points_prepared", answer=text), private=True)


def describe_balance(turn: Turn) -> str:
    """The balance in words, with all that lapses, soonest first."""
    balance = turn.facts.balance(turn.member_id)
    if balance.available <= 0 and not balance.lapsing:
        return turn.reply("points_none", balance=balance.available)
    text = turn.reply("points_balance", balance=balance.available)
    if balance.lapsing:
        lots = [{"amount": lapse.amount, "on": f"{lapse.on:%Y年%-m月%-d日}"} for lapse in balance.lapsing]
        text += "\n" + turn.reply("points_lapsing", lots=lots)
    return text
