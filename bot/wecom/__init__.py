"""WeCom 企业微信: what comes from it and what goes to it."""
