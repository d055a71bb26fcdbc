"""Every refusal of the loyalty core, by name.

LoyaltyError
├── LedgerError
│   ├── KeyReused          a known key with another body
│   ├── NotEnough          the balance does not reach
│   ├── UnknownTransfer    no such transfer or hold
│   ├── HoldClosed         the hold was settled, released or timed out before
│   ├── NotReversible      more would be reversed than was moved
│   ├── RefundTooHigh      more would be paid back than the rules leave
│   └── UnknownOrder       no such order of this source
├── PersonError
│   ├── UnknownMember
│   ├── IdentityTaken      the identity belongs to another member
│   ├── BadIdentity        the value cannot be an identity of this kind
│   ├── NotMergeable       the two cannot become one, or the merge cannot be undone
│   ├── UnknownProposal    no such merge or proposal
│   ├── NotErasable        something is left that must be settled first
│   └── AnswerErased       the answer was about somebody who was forgotten since
├── RewardError
│   ├── UnknownReward
│   ├── UnknownOffer       no such coupon type, plan, lottery, prize or code pool
│   ├── RewardClosed       not open yet, or over
│   ├── OutOfStock
│   ├── LimitReached       the per-member limit
│   ├── TierTooLow
│   ├── UnknownCode        no redemption with this code or id
│   │   └── MistypedCode   the check letter does not fit: a letter is wrong or swapped
│   ├── CodeUsed           the code was verified before
│   │   └── CodeLapsed     the code's time is over
│   ├── BadToken           a link's token is forged, foreign or over
│   ├── CouponRefused      the coupon does not fit the order, or its state forbids it
│   ├── OrderBearsLess     more points than may go on this order
│   ├── PlanRefused        the plan does not allow it
│   ├── TopUpRefused       the amount is outside what the programme takes
│   └── NotUndoable
├── ActivityError
│   ├── BadActivity        its kind or facts cannot be used
│   ├── UnknownActivity
│   └── ActivityDecided    it was approved, rejected or refused before
├── FraudError
│   ├── UnknownFinding
│   └── FindingDecided     it was held, dismissed, released or confiscated before
└── ProgrammeError         the programme contradicts itself
"""

from __future__ import annotations

from datetime import datetime


class LoyaltyError(Exception):
    """A refusal of the loyalty core; nothing was written by the call that raised it."""


class LedgerError(LoyaltyError):
    """A movement of points was refused."""


class KeyReused(LedgerError):
    """A key that is known already came back with another body."""

    def __init__(self, key: str, first_hash: str, other_hash: str) -> None:
        self.key, self.first_hash, self.other_hash = key, first_hash, other_hash
        super().__init__(f"key {key!r} was used with body {first_hash[:12]}, now with {other_hash[:12]}; "
                         "send the first body again or a new key")


class NotEnough(LedgerError):
    """The available balance does not reach; `missing` says by how much."""

    def __init__(self, missing: int, available: int) -> None:
        self.missing, self.available = missing, available
        super().__init__(f"{available} available, {missing} missing")


class UnknownTransfer(LedgerError):
    """There is no transfer or hold under this key or id."""

    def __init__(self, which: str | int) -> None:
        self.which = which
        super().__init__(f"no transfer {which!r}; use the key or id that posting it gave back")


class HoldClosed(LedgerError):
    """The hold was settled, released or timed out before."""

    def __init__(self, hold_id: int, state: str) -> None:
        self.hold_id, self.state = hold_id, state
        super().__init__(f"hold {hold_id} is {state}; a hold ends once, make a new one")


class NotReversible(LedgerError):
    """More would be reversed than the transfer moved, or it is of a kind that is never reversed."""

    def __init__(self, transfer_id: int, reason: str) -> None:
        self.transfer_id, self.reason = transfer_id, reason
        super().__init__(f"transfer {transfer_id} cannot be reversed: {reason}")


class RefundTooHigh(LedgerError):
    """More would be paid back than the rules leave."""

    def __init__(self, asked_fen: int, most_fen: int) -> None:
        self.asked_fen, self.most_fen = asked_fen, most_fen
        super().__init__(f"{asked_fen} fen asked back, at most {most_fen} can be")


class UnknownOrder(LedgerError):
    """There is no order under this id of this source."""

    def __init__(self, source: str, external_id: str) -> None:
        self.source, self.external_id = source, external_id
        super().__init__(f"no order {external_id!r} of {source!r}; send the order first")


class PersonError(LoyaltyError):
    """A member or identity does not fit."""


class UnknownMember(PersonError):
    """There is no member with this id or identity."""

    def __init__(self, which: object) -> None:
        self.which = which
        super().__init__(f"no member {which!r}; an order or a message of theirs makes one")


class IdentityTaken(PersonError):
    """The identity belongs to another member; a merge proposal was noted in the same session."""

    def __init__(self, kind: str, member_id: int, owner_id: int, value: str = "") -> None:
        self.kind, self.member_id, self.owner_id, self.value = kind, member_id, owner_id, value
        super().__init__(f"this {kind} belongs to member {owner_id}, not {member_id}; decide the merge proposal")


class BadIdentity(PersonError):
    """The value cannot be an identity of this kind; the value itself is not repeated, it may be a phone."""

    def __init__(self, kind: str, what: str, mend: str) -> None:
        self.kind, self.what, self.mend = kind, what, mend
        super().__init__(f"{kind}: {what}; {mend}")


class NotMergeable(PersonError):
    """The two members cannot become one, or their merge cannot be undone; `mend` says what to do first."""

    def __init__(self, what: str, mend: str) -> None:
        self.what, self.mend = what, mend
        super().__init__(f"{what}; {mend}")


class UnknownProposal(PersonError):
    """There is no merge or proposal with this id, or it was decided before."""

    def __init__(self, which: int, mend: str = "list the open ones") -> None:
        self.which = which
        super().__init__(f"no such open merge or proposal: {which}; {mend}")


class NotErasable(PersonError):
    """Something of value is left that must be settled before the person is forgotten."""

    def __init__(self, member_id: int, what: str, mend: str) -> None:
        self.member_id, self.what, self.mend = member_id, what, mend
        super().__init__(f"member {member_id}: {what}; {mend}")


class AnswerErased(PersonError):
    """What was done under a key is done; the answer was about somebody who was forgotten since."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"key {key!r} was answered, and the person it was about is forgotten; nothing is left to do")


class RewardError(LoyaltyError):
    """A redemption was refused."""


class UnknownReward(RewardError):
    """The programme has no reward with this id."""

    def __init__(self, reward_id: str) -> None:
        self.reward_id = reward_id
        super().__init__(f"no reward {reward_id!r} in the programme")


class UnknownOffer(RewardError):
    """The programme has no coupon type, plan, lottery or prize with this id, or no pool has this name."""

    def __init__(self, kind: str, which: str | int) -> None:
        self.kind, self.which = kind, which
        super().__init__(f"no {kind} {which!r}; look at the programme or the id again")


class RewardClosed(RewardError):
    """The reward is not open yet, or its time is over."""

    def __init__(self, reward_id: str, opens: datetime | None, closes: datetime | None) -> None:
        self.reward_id, self.opens, self.closes = reward_id, opens, closes
        super().__init__(f"reward {reward_id!r} is open from {opens or 'ever'} to {closes or 'ever'}")


class OutOfStock(RewardError):
    """Fewer pieces are left than were asked for."""

    def __init__(self, reward_id: str, left: int) -> None:
        self.reward_id, self.left = reward_id, left
        super().__init__(f"{left} of reward {reward_id!r} left")


class LimitReached(RewardError):
    """The member has taken, or would take, more than the per-member limit."""

    def __init__(self, reward_id: str, limit: int, taken: int) -> None:
        self.reward_id, self.limit, self.taken = reward_id, limit, taken
        super().__init__(f"{limit} of reward {reward_id!r} per member, {taken} taken")


class TierTooLow(RewardError):
    """The reward asks for a higher tier."""

    def __init__(self, reward_id: str, needed: str, tier: str | None) -> None:
        self.reward_id, self.needed, self.tier = reward_id, needed, tier
        super().__init__(f"reward {reward_id!r} needs tier {needed!r}, the member has {tier!r}")


class UnknownCode(RewardError):
    """No redemption has this code or id."""

    def __init__(self, which: str | int) -> None:
        self.which = which
        super().__init__(f"no redemption {which!r}; look at the code again")


class CodeUsed(RewardError):
    """The code cannot be verified: it was verified before, or the redemption was undone."""

    def __init__(self, code: str, state: str, at: datetime | None) -> None:
        self.code, self.state, self.at = code, state, at
        super().__init__(f"code {code!r} is {state} since {at}")


class MistypedCode(UnknownCode):
    """The code's check letter does not fit: a letter was misread or two were swapped."""


class CodeLapsed(CodeUsed):
    """The code was not used while it was valid."""


class BadToken(RewardError):
    """A link's token cannot be trusted: forged, for something else, or over."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the token is refused: {reason}; open the link anew from the list of redemptions")


class CouponRefused(RewardError):
    """The coupon cannot be taken for this: `reason` says what stands against it."""

    def __init__(self, coupon: str | int, reason: str) -> None:
        self.coupon, self.reason = coupon, reason
        super().__init__(f"coupon {coupon!r}: {reason}")


class OrderBearsLess(RewardError):
    """More would be taken off the order by points than the reward allows on it."""

    def __init__(self, order_ref: str, pieces: int, most: int) -> None:
        self.order_ref, self.pieces, self.most = order_ref, pieces, most
        super().__init__(f"{pieces} pieces for order {order_ref!r}, which bears {most}; ask for a quote first")


class PlanRefused(RewardError):
    """The plan does not allow it: `reason` says why."""

    def __init__(self, plan_id: str, reason: str) -> None:
        self.plan_id, self.reason = plan_id, reason
        super().__init__(f"plan {plan_id!r}: {reason}")


class TopUpRefused(RewardError):
    """The amount is outside what the programme takes at once."""

    def __init__(self, amount_fen: int, least_fen: int, most_fen: int) -> None:
        self.amount_fen, self.least_fen, self.most_fen = amount_fen, least_fen, most_fen
        super().__init__(f"a top-up of {amount_fen} fen; give from {least_fen} to {most_fen}")


class NotUndoable(RewardError):
    """The redemption cannot be undone any more; `reason` is late, used, or the state it is in."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the redemption cannot be undone: {reason}")


class ActivityError(LoyaltyError):
    """Something a member did was refused."""


class BadActivity(ActivityError):
    """The kind or the facts of an activity cannot be used."""

    def __init__(self, problem: str, mend: str) -> None:
        self.problem, self.mend = problem, mend
        super().__init__(f"{problem}; {mend}")


class UnknownActivity(ActivityError):
    """There is no activity with this id."""

    def __init__(self, activity_id: int) -> None:
        self.activity_id = activity_id
        super().__init__(f"no activity {activity_id}; use the id that recording it gave back")


class ActivityDecided(ActivityError):
    """The activity was decided otherwise before, or never waited for a decision."""

    def __init__(self, activity_id: int, state: str) -> None:
        self.activity_id, self.state = activity_id, state
        super().__init__(f"activity {activity_id} is {state}; only what is pending can be decided")


class FraudError(LoyaltyError):
    """A finding of fraud cannot be dealt with so."""


class UnknownFinding(FraudError):
    """There is no finding with this number."""

    def __init__(self, finding_id: int) -> None:
        self.finding_id = finding_id
        super().__init__(f"no finding {finding_id}; see huitou fraud list")


class FindingDecided(FraudError):
    """The finding is in a state that does not allow it."""

    def __init__(self, finding_id: int, state: str, wanted: str) -> None:
        self.finding_id, self.state, self.wanted = finding_id, state, wanted
        super().__init__(f"finding {finding_id} is {state}, only what is {wanted} can be decided so")


class ProgrammeError(LoyaltyError):
    """The programme contradicts itself."""

    def __init__(self, place: str, mend: str) -> None:
        self.place, self.mend = place, mend
        super().__init__(f"{place}: {mend}")
