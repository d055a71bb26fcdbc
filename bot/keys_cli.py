"""`huitou keys`: keys for the brand's own systems, made, listed and revoked."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.api.scopes import ALL, SCOPES
from bot.clock import system_clock
from bot.command import FINDINGS, FINE, WRONG_USE, command, err, ready_database, say, settings_in_force
from loyalty import api_keys

keys_app = typer.Typer(no_args_is_help=True, help="Keys of the brand's own systems for /api/v1.")


@keys_app.command("create")
@command
def create(
    name: Annotated[str, typer.Argument(help="The system it is for; keys of one name share idempotency keys.")],
    scope: Annotated[list[str] | None, typer.Option(help="What it may do, as orders:write; again for more.")] = None,
    per_s: Annotated[int | None, typer.Option(min=1, help="Requests a second; none: api.requests_per_s.")] = None,
) -> int:
    """Make a key and show it, this once."""
    unknown = sorted(set(scope or []) - {*SCOPES, ALL})
    if unknown or not scope:
        said = f"no such scope: {', '.join(unknown)}" if unknown else "a key without a --scope opens nothing"
        err.print(f"{said}; choose from {', '.join(SCOPES)}, or '{ALL}' for all of them", markup=False)
        return WRONG_USE
    with ready_database(settings_in_force()).transaction() as session:
        key_id, key = api_keys.create_key(session, name, scope, system_clock(), per_s)
    err.print(f"key {key_id} for {name}; it is shown this once:", markup=False)
    say(key)
    return FINE


@keys_app.command("list")
@command
def show() -> int:
    """Every key with what it may do, oldest first; the keys themselves are not kept."""
    with ready_database(settings_in_force()).reading() as session:
        keys = api_keys.list_keys(session)
    for key in keys:
        rate = f" {key.requests_per_s}/s" if key.requests_per_s else ""
        state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else f"since {key.created_at:%Y-%m-%d}"
        say(f"{key.id} {key.name} {','.join(key.scopes)}{rate} {state}")
    say(f"{sum(key.revoked_at is None for key in keys)} in force")
    return FINE


@keys_app.command("revoke")
@command
def revoke(key_id: int) -> int:
    """Let a key open nothing any more, in every process within seconds."""
    with ready_database(settings_in_force()).transaction() as session:
        revoked = api_keys.revoke_key(session, key_id, system_clock())
    say(f"key {key_id} is revoked" if revoked else f"no key {key_id} to revoke; see huitou keys list")
    return FINE if revoked else FINDINGS
