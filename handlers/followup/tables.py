"""Tables of follow-ups: runs, timers, touches."""
