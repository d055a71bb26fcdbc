"""What every command shares: where it prints, its exit status, how expected errors are told, settings and database."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec
from uuid import uuid4

import typer
from rich.console import Console
from sqlalchemy.exc import OperationalError

from bot.database import Database
from bot.logs import mask, set_up_logging
from bot.schema import SchemaError, check_schema
from bot.settings import Settings, SettingsError, load_settings
from bot.yaml_files import ConfigError
from intents.errors import IntentsError
from loyalty.errors import LoyaltyError

P = ParamSpec("P")
FINE, FINDINGS, WRONG_USE = 0, 1, 2
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def command(work: Callable[P, int]) -> Callable[P, None]:
    """Turn a function that gives an exit status into a command; expected errors become one line on stderr.

    What the loyalty core refuses is a finding, what cannot be read or reached is wrong use.
    """

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            status = work(*args, **kwargs)
        except (SettingsError, ConfigError, SchemaError, IntentsError) as error:
            err.print(str(error), markup=False)
            status = WRONG_USE
        except LoyaltyError as error:
            err.print(str(error), markup=False)
            status = FINDINGS
        except OperationalError as error:
            err.print(f"the database does not answer: {mask(str(error.orig))}; check storage.url", markup=False)
            status = WRONG_USE
        raise typer.Exit(status)

    run.__annotations__ = {**work.__annotations__, "return": None}
    return run


def new_key() -> str:
    """The ledger key of something a person did by a command, once."""
    return f"cli:{uuid4()}"


def say(line: str) -> None:
    """Print a line as it stands."""
    out.print(line, markup=False)


def settings_in_force() -> Settings:
    """The settings, with logging set up after them."""
    settings = load_settings()
    set_up_logging(settings.log)
    return settings


def database_of(settings: Settings) -> Database:
    """The database the settings name, whatever its schema."""
    return Database(settings.storage.url.get_secret_value(), settings.storage.pool_size)


def ready_database(settings: Settings) -> Database:
    """The database the settings name; raises SchemaError unless it has the schema of this version."""
    database = database_of(settings)
    check_schema(database)
    return database
