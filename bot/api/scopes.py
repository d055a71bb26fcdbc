"""What a key may do: an area of the API, to read or to write."""

AREAS = {
    "orders": "paid orders, refunds and what is known of an order",
    "members": "people, their identities, their tags",
    "points": "earning, spending, holds, reversals and statements",
    "rewards": "what can be redeemed",
    "redemptions": "redeeming, cancelling and verifying codes",
    "coupons": "issuing, locking, using and returning coupons",
    "stored_value": "top-ups, payments and balances in fen",
    "plans": "paid plans that were bought or renewed",
    "tiers": "a member's tier, why they have it, and the way to the next",
    "events": "what members do beside buying",
    "campaigns": "what each campaign gave, cost and brought",
    "lotteries": "prizes and odds, draws and their proof",
    "red_packets": "money to be paid to members",
    "pools": "exchange codes of other shops",
    "fraud": "what looks like abuse, and points held for review",
    "privacy": "all that is kept of a person, and forgetting them",
    "webhooks": "where the service reports what happened",
}
SCOPES = tuple(f"{area}:{verb}" for area in AREAS for verb in ("read", "write"))
ALL = "*"
"""The scope of every scope; keys from the settings have it."""
