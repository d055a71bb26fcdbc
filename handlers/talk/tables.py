"""Tables of talk: inbox, verdicts, dialogs, outbox, reps."""
