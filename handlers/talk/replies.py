"""Reply texts: sandboxed templates from config/replies.yaml, rendered with safe defaults for what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import ChainableUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

NAMES = frozenset(
    {
        "points_balance", "points_lapsing", "points_none", "points_prepared",
        "redeem_list", "redeem_confirm", "redeem_done", "redeem_cancelled", "redeem_repeat", "redeem_over",
        "redeem_missing", "redeem_none_affordable", "redeem_out_of_stock", "redeem_limit", "redeem_tier",
        "redeem_closed", "redeem_unknown", "redeem_still_open", "redeem_prepared",
        "undo_confirm", "undo_done", "undo_none", "undo_refused", "undo_kept",
        "human_agent", "complaint", "opt_out", "opt_in", "hint", "not_text", "clarify",
        "bundle", "bundle_unknown", "friend",
        "rep_running_out", "rep_buying_for_friend", "rep_complaint", "rep_human_agent", "rep_opt_out",
    }
)  # fmt: skip
"""Every reply the code may ask for; `huitou check` names a file that lacks one or has one too many."""


class ReplyError(Exception):
    """A reply template cannot be used; the message names it and the mend."""


class Replies:
    """The texts of a brand. A variable that is not given renders as nothing, never as an error to a customer."""

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._environment = ImmutableSandboxedEnvironment(
            undefined=ChainableUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
        )
        self._compiled: dict[str, Template] = {}
        self._others: dict[str, Template] = {}
        for name, text in templates.items():
            try:
                self._compiled[name] = self._environment.from_string(text)
            except TemplateError as error:
                raise ReplyError(f"reply {name}: {error}; mend the template") from error
        self._loose = dict(templates)

    def render(self, name: str, /, **variables: Any) -> str:
        """The text of one reply; raises `ReplyError` for a name that is not configured."""
        try:
            return self._compiled[name].render(variables).strip()
        except KeyError:
            raise ReplyError(f"reply {name} is missing in config/replies.yaml; add it") from None

    def render_text(self, template: str, /, **variables: Any) -> str:
        """A text that stands elsewhere in config/, such as `says` of a scenario, under the same rules."""
        if template not in self._others:
            self._others[template] = self._environment.from_string(template)
        return self._others[template].render(variables).strip()

    def findings(self) -> list[str]:
        """What is missing, unknown or fails when nothing is known of the customer."""
        found = [f"reply {name} is missing; add it" for name in sorted(NAMES - self._loose.keys())]
        found += [f"reply {name} is used nowhere; remove it" for name in sorted(self._loose.keys() - NAMES)]
        for name in sorted(self._loose):
            try:
                if not self.render(name):
                    found.append(f"reply {name} renders as nothing when nothing is known; give it a default")
            except TemplateError as error:
                found.append(f"reply {name} fails when nothing is known: {error}; use default()")
        return found
