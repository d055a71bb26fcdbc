"""Every number of the platform in one place, each of them settable while the emulator runs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86400


@dataclass
class Limits:
    """The platform's limits; byte limits count UTF-8 bytes, times are virtual seconds."""

    token_ttl_s: int = 7200
    stable_overlap_s: int = 300
    api_per_min: int = 10_000
    api_per_hour: int = 150_000
    app_text_bytes: int = 2048
    app_per_member_per_min: int = 30
    app_per_member_per_hour: int = 1000
    app_per_day: int = 200_000
    app_recipients: int = 1000
    duplicate_check_s: int = 1800
    duplicate_check_max_s: int = 4 * HOUR_S
    recall_s: int = DAY_S
    response_code_s: int = 72 * HOUR_S
    card_buttons: int = 6
    card_horizontal: int = 6
    card_jumps: int = 3
    card_key_bytes: int = 1024
    welcome_s: int = 20
    welcome_bytes: int = 4000
    welcome_attachments: int = 9
    remark_chars: int = 20
    description_chars: int = 150
    state_chars: int = 30
    mass_recipients: int = 10_000
    mass_groups: int = 2000
    mass_per_month: int = 31
    mass_dispatch_s: int = 60
    mass_reminders: int = 3
    kf_window_s: int = 48 * HOUR_S
    kf_messages: int = 5
    kf_keep_s: int = 3 * DAY_S
    kf_token_s: int = 600
    kf_sync_page: int = 1000
    kf_sync_tokenless_per_min: int = 60
    kf_text_bytes: int = 2048
    kf_menu_head_bytes: int = 1024
    kf_menu_id_bytes: int = 128
    kf_menu_content_bytes: int = 128
    kf_menu_url_bytes: int = 2048
    kf_menu_view_bytes: int = 1024
    kf_menu_text_bytes: int = 256
    kf_menu_entries: int = 50
    kf_menu_clickable: int = 10
    kf_code_long_s: int = 48 * HOUR_S
    kf_code_short_s: int = 20
    archive_page: int = 1000
    archive_window_s: int = 5 * DAY_S
    archive_notify_s: float = 1.0
    archive_seq_gap: int = 3
    oa_text_bytes: int = 2048
    oa_message_count: int = 5
    oa_message_s: int = 48 * HOUR_S
    oa_event_count: int = 3
    oa_event_s: int = MINUTE_S

    def change(self, **numbers: Any) -> None:
        """Set the named numbers; ValueError names one that does not exist or is not a number."""
        known = {field.name for field in fields(self)}
        for name, value in numbers.items():
            if name not in known:
                raise ValueError(f"no limit is called {name!r}; known: {', '.join(sorted(known))}")
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"limit {name} must be a number, not {value!r}")
            setattr(self, name, value)


def cut_bytes(text: str, size_bytes: int) -> str:
    """The text cut to so many UTF-8 bytes at a character's edge, as send APIs do silently."""
    return text.encode()[:size_bytes].decode(errors="ignore")


class Frequency:
    """Counts calls per key in fixed windows; a breach blocks the key for one window."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], tuple[int, int]] = {}
        self._blocked: dict[tuple[str, int], float] = {}

    def allow(self, key: str, most: int, window_s: int, now: float) -> bool:
        """Count one call; False when it is over `most` in the window or the key is still blocked."""
        place = (key, window_s)
        if self._blocked.get(place, 0.0) > now:
            return False
        window = int(now // window_s)
        seen, count = self._counts.get(place, (window, 0))
        count = count + 1 if seen == window else 1
        self._counts[place] = (window, count)
        if count > most:
            self._blocked[place] = now + window_s
            return False
        return True

    def drop_over(self, key: str, most: int, window_s: int, now: float) -> bool:
        """Count one message; True when it is over `most` in this window (no block follows)."""
        place = (f"drop:{key}", window_s)
        window = int(now // window_s)
        seen, count = self._counts.get(place, (window, 0))
        count = count + 1 if seen == window else 1
        self._counts[place] = (window, count)
        return count > most
