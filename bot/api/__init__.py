"""The brand's own systems: orders in, balances and statements out, codes verified."""
