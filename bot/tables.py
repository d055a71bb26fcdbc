"""Every module with tables, in one place: whoever needs the whole schema imports this one."""

from importlib import import_module

from loyalty.storage import Base

MODULES = (
    "handlers.effort_tables",
    "handlers.followup.tables",
    "handlers.service_tables",
    "handlers.talk.tables",
    "loyalty.api_keys",
    "loyalty.campaign_tables",
    "loyalty.insight_tables",
    "loyalty.people_tables",
    "loyalty.reward_tables",
    "loyalty.tables",
    "loyalty.webhook_tables",
)
"""A test holds that no module with tables is missing here."""

for _name in MODULES:
    import_module(_name)  # each brings its tables into the one metadata

METADATA = Base.metadata
"""The whole schema."""
