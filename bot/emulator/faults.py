"""Faults on demand, per endpoint: wrong codes, slow answers, connections cut after the effect."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from typing import Any

from aiohttp import web

KINDS = ("errcode", "http", "slow", "cut_after_effect", "broken_json", "timeout")
BEFORE_EFFECT = ("errcode", "http", "timeout")


@dataclass
class Fault:
    """One fault: where, what, how often; `endpoint` "*" means everywhere, `skip` lets calls pass first.

    errcode and http answer before the effect; timeout waits `seconds` and hangs up without it; slow
    waits and then answers; cut_after_effect and broken_json spoil the answer after the effect.
    """

    endpoint: str
    kind: str
    errcode: int = 45009
    times: int = 1
    seconds: float = 1.0
    skip: int = 0
    hits: int = 0


@dataclass
class FaultBoard:
    """The faults that are set, in order; the first that fits an endpoint is used."""

    faults: list[Fault] = field(default_factory=list)

    def add(self, values: dict[str, Any]) -> Fault:
        """Set a fault from plain data; ValueError names what is wrong."""
        known = {"endpoint", "kind", "errcode", "times", "seconds", "skip"}
        if set(values) - known or values.get("kind") not in KINDS or not values.get("endpoint"):
            raise ValueError(f"a fault has endpoint, kind ({', '.join(KINDS)}), errcode, times, seconds, skip")
        fault = Fault(**values)
        fault.endpoint = fault.endpoint.strip("/").removeprefix("cgi-bin/").replace("oa/cgi-bin/", "oa/")
        self.faults.append(fault)
        return fault

    def take(self, endpoint: str) -> Fault | None:
        """Use up one hit of the first fault that fits; None when the call is to go well."""
        for fault in self.faults:
            if fault.endpoint not in ("*", endpoint) or fault.hits >= fault.times:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                return None
            fault.hits += 1
            return fault
        return None

    def clear(self) -> None:
        """Take every fault away."""
        self.faults.clear()

    def as_json(self) -> list[dict[str, Any]]:
        """The faults as plain data."""
        return [asdict(fault) for fault in self.faults]


def hang_up(request: web.Request) -> web.Response:
    """Cut the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def spoil_before(request: web.Request, fault: Fault) -> web.Response | None:
    """The fault's answer when it strikes before the effect; None when the call goes on."""
    if fault.kind == "http":
        status = fault.errcode if 400 <= fault.errcode <= 599 else 500
        return web.Response(status=status, text="upstream error")
    if fault.kind in ("slow", "timeout"):
        await asyncio.sleep(fault.seconds)
    return hang_up(request) if fault.kind == "timeout" else None


def spoil_after(request: web.Request, fault: Fault, answer: str) -> web.Response | None:
    """The fault's answer when it strikes after the effect; None when the true answer is sent."""
    if fault.kind == "cut_after_effect":
        return hang_up(request)
    if fault.kind == "broken_json":
        return web.Response(text=answer[: len(answer) // 2], content_type="application/json")
    return None
