"""The 公众号: what comes from it and what goes to it."""
