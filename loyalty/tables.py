"""Tables of the loyalty core."""
