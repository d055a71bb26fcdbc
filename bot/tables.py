"""Every module with tables, in one place: whoever needs the whole schema imports this one."""

import loyalty.api_keys
import loyalty.campaign_tables
import loyalty.people_tables
import loyalty.reward_tables
import loyalty.tables
import loyalty.webhook_tables  # noqa: F401
from loyalty.storage import Base

METADATA = Base.metadata
"""The whole schema."""
