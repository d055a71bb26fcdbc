"""What follow-ups name elsewhere: scenarios, rewards, coupons, adapters and each other."""

from __future__ import annotations

from collections.abc import Iterator

from handlers.followup.definition import Sops, Step


def problems(
    sops: Sops, scenarios: frozenset[str], rewards: frozenset[str], coupons: frozenset[str], adapters: frozenset[str]
) -> Iterator[str]:
    """What the files say that is nowhere: `file: place: what; mend`."""
    for name, sop in sops.by_id.items():
        if sop.id != name:
            yield f"{name}.yaml: id: {sop.id} is not the file's name; rename one of them"
        for trigger in sop.triggers:
            if trigger.scenario is not None and trigger.scenario not in scenarios:
                yield f"{name}.yaml: triggers: no scenario {trigger.scenario!r}; see config/scenarios"
        for place in sops.programs[name].values():
            where, step = f"{name}.yaml: steps.{place.path}", place.step
            if step.go is not None and step.go not in sops.by_id:
                yield f"{where}.go: no follow-up {step.go!r}; add its file or name another"
            if step.call is not None and step.call.adapter not in adapters:
                adapter = step.call.adapter
                yield f"{where}.call: no adapter {adapter!r}; set HUITOU_FOLLOWUP__ADAPTERS__{adapter.upper()}__URL"
            yield from _gift_problems(where, step, rewards, coupons)


def _gift_problems(where: str, step: Step, rewards: frozenset[str], coupons: frozenset[str]) -> Iterator[str]:
    gift = step.coupon
    if gift is not None and gift.reward is not None and gift.reward not in rewards:
        yield f"{where}.coupon: no reward {gift.reward!r} in programme.yaml; add it or name another"
    if gift is not None and gift.type is not None and gift.type not in coupons:
        yield f"{where}.coupon: no coupon {gift.type!r} in programme.yaml; add it under coupons or name another"
