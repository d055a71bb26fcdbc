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
        "not_text_voice", "not_text_image", "not_text_location", "not_text_card", "from_group",
        "human_agent", "complaint", "opt_out", "opt_in", "hint", "unclear", "only_own", "not_text", "clarify",
        "bundle", "bundle_unknown", "friend", "nothing_open",
        "rep_running_out", "rep_buying_for_friend", "rep_complaint", "rep_human_agent", "rep_opt_out",
        "points_owed", "points_lapsing_only", "points_period", "points_entries", "points_history", "points_rules",
        "points_rules_expiry", "points_rules_worth", "points_rules_behaviours", "points_rules_unknown",
        "redeem_done_ship", "redeem_done_coupon", "redeem_done_link", "redeem_done_page", "redeem_done_exchange",
        "redeem_done_red_packet", "redeem_which", "redeem_quantity", "redeem_detail", "rep_redeem_ship",
        "rep_redeem_address", "redeem_ship_to",
        "undo_still_open", "join_invite", "join_repeat", "join_still_open", "join_later", "join_done", "phone_ask",
        "phone_bad", "phone_done", "phone_not_now", "phone_by_staff", "rep_bind_phone", "membership_tier",
        "membership_next", "membership_benefits", "membership_joined", "membership_stranger", "membership_staff",
        "membership_plans", "stored_value_balance", "stored_value_steps", "stored_value_bonus", "stored_value_bounds",
        "stored_value_use", "stored_value_staff", "check_in_done", "check_in_again", "check_in_refused",
        "check_in_rules", "check_in_none",
        "order_lines", "order_none", "order_number_taken", "order_to_person", "address_ask", "address_taken",
        "address_too_late",
        "invoice_ask", "invoice_taken", "case_never_mind", "product_answer", "product_which", "product_unknown",
        "product_careful", "product_never_mind", "return_order", "return_reason", "return_wish", "return_photo",
        "return_taken", "return_question", "return_policy", "return_photo_added", "return_changed", "return_dropped",
        "return_withdrawn", "return_progress", "return_still_open", "complaint_again", "take_your_time",
        "appointment_service", "appointment_day",
        "appointment_time", "appointment_half", "appointment_full", "appointment_closed", "appointment_closed_day",
        "appointment_too_soon", "appointment_too_far", "appointment_past", "appointment_impossible",
        "appointment_mismatch", "appointment_offer", "appointment_card", "appointment_already", "appointment_many",
        "appointment_again", "appointment_dropped", "appointment_still_open", "appointment_none",
        "appointment_list", "appointment_which", "appointment_new_time", "appointment_cancel",
        "appointment_cancelled", "appointment_kept", "appointment_late", "appointment_hours",
        "appointment_by_person", "appointment_reminder", "survey_ask", "survey_ask_about", "survey_why",
        "survey_thanks", "rep_order", "rep_case", "rep_product_question", "rep_return", "rep_appointment",
        "rep_survey", "rep_reminder",
        "coupons_mine",
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
