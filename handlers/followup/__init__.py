"""Follow-ups: what is set off by a reaction, and what keeps it from being too much."""
