"""Talk: messages in, effects out, and the tables that keep both."""
