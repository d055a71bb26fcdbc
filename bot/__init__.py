"""The edge: network, clock, processes. The only ring with async code, and the only one that begins transactions."""
